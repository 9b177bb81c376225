// TLS: what handshakes and records cost the server. The client is OpenSSL over memory BIOs, and is not counted.

import CUringTLS
import Glibc
import UringTLS

/// The server's side of `bench/tls`, with each call counted.
private final class Counted: Peer {
    private let peer: Ours
    init(_ context: TLSContext) {
        own.begin()
        peer = Ours(context)
        own.end()
    }
    func handshake(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
        own.begin()
        defer { own.end() }
        return peer.handshake(bytes, count)
    }
    func read(_ bytes: UnsafePointer<UInt8>, _ count: Int, into: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        own.begin()
        defer { own.end() }
        return peer.read(bytes, count, into: into, capacity: capacity)
    }
    func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        own.begin()
        defer { own.end() }
        return peer.write(bytes, count)
    }
    var written: (UnsafeMutablePointer<UInt8>, Int) { peer.written }
    func end() {
        own.begin()
        peer.end()
        own.end()
    }
}

func tlsBenchmarks() -> [Benchmark] {
    let now = Int64(time(nil))
    guard let certificate = try? TLSCertificate.selfSigned(names: ["localhost"], nowSeconds: now) else { fatalError("no certificate") }
    var configuration = TLSConfiguration(certificates: [certificate])
    configuration.applicationProtocols = []
    guard let context = try? TLSContext(configuration, nowSeconds: now) else { fatalError("no context") }
    let versions = [("1.3", TLS1_3_VERSION, "psk"), ("1.2", TLS1_2_VERSION, "ticket")]
    let handshakes = versions.flatMap { name, version, kind in
        let client = clientContext(version, tickets: true)
        return [
            handshake("tls\(name).full-p256", context, client, session: nil),
            handshake("tls\(name).\(kind)", context, client, session: { session(context, client) }),
        ]
    }
    let client = clientContext(TLS1_3_VERSION, tickets: true)
    return handshakes + [1024, 16384].flatMap { records($0, context, client) }
}

/// One to resume, of a connection that has ended.
private func session(_ context: TLSContext, _ client: OpaquePointer) -> OpaquePointer {
    let (_, peer, side) = connect({ Ours(context) }, client, session: nil)
    defer { peer.end() }
    return SSL_get1_session(side.ssl)
}

private func handshake(_ name: String, _ context: TLSContext, _ client: OpaquePointer, session: (() -> OpaquePointer)?) -> Benchmark {
    Benchmark(name: name, countsOwn: true, checks: 4) { count in
        let offered = session?()
        defer { SSL_SESSION_free(offered) }
        var sum: UInt64 = 0
        // Making the session was not asked for.
        own.reset()
        for _ in 0..<count {
            let (_, peer, side) = connect({ Counted(context) }, client, session: offered)
            guard (offered != nil) == (SSL_session_reused(side.ssl) == 1) else { fatalError("\(name): resumed or not") }
            peer.end()
            sum &+= 1
        }
        return sum
    }
}

private func records(_ size: Int, _ context: TLSContext, _ client: OpaquePointer) -> [Benchmark] {
    let (_, peer, side) = connect({ Counted(context) }, client, session: nil)
    let text = bytes([UInt8](repeating: 0x61, count: size))
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 65536)
    return [
        Benchmark(name: "tls1.3.open-\(size)", size: size, countsOwn: true, checks: 32) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                SSL_write(side.ssl, text.baseAddress!, CInt(size))
                let sealed = side.take()
                sum &+= UInt64(peer.read(sealed, sealed.count, into: buffer, capacity: 65536))
            }
            return sum
        },
        Benchmark(name: "tls1.3.seal-\(size)", size: size, checks: 32) { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= UInt64(peer.write(text.baseAddress!, size)) }
            return sum
        },
    ]
}
