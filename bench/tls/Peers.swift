// The two servers that are compared, and the client of both: OpenSSL over memory BIOs.

internal import CUringTLS
internal import Glibc
#if canImport(UringTLS)
internal import UringTLS
#endif

func nanoseconds() -> UInt64 { clock_gettime_nsec() }

private func clock_gettime_nsec() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// One server side of a connection. Each call is what is timed.
protocol Peer {
    /// Takes bytes, answers true when established; what it writes goes to `written`.
    func handshake(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Bool
    func read(_ bytes: UnsafePointer<UInt8>, _ count: Int, into: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int
    func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int
    var written: (UnsafeMutablePointer<UInt8>, Int) { get }
    func end()
}

let sinkBytes = 1 << 20
let sink = UnsafeMutablePointer<UInt8>.allocate(capacity: sinkBytes)

final class Ours: Peer {
    let session: TLSSession
    var sent = 0

    init(_ context: TLSContext) { session = context.makeSession()! }

    func handshake(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
        session.feed(bytes, count)
        var output = TLSOutput(base: sink, capacity: sinkBytes)
        let step = session.handshake(&output)
        sent = output.count
        if case .failed(let failure) = step { fatalError("\(failure)") }
        return step == .done
    }

    func read(_ bytes: UnsafePointer<UInt8>, _ count: Int, into: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        session.feed(bytes, count)
        var output = TLSOutput(base: sink, capacity: sinkBytes)
        guard case .bytes(let count) = session.read(into: into, capacity: capacity, &output) else { return 0 }
        return count
    }

    func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var output = TLSOutput(base: sink, capacity: sinkBytes)
        guard case .written = session.write(bytes, count, &output) else { fatalError("write") }
        sent = output.count
        return output.count
    }

    var written: (UnsafeMutablePointer<UInt8>, Int) { (sink, sent) }

    func end() { session.destroy() }
}

final class Plain: Peer {
    let ssl: OpaquePointer
    let incoming = BIO_new(BIO_s_mem())!
    let outgoing = BIO_new(BIO_s_mem())!
    var sent = 0

    init(_ context: OpaquePointer) {
        ssl = SSL_new(context)
        SSL_set_bio(ssl, incoming, outgoing)
        SSL_set_accept_state(ssl)
    }

    func handshake(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
        if count > 0 { BIO_write(incoming, bytes, CInt(count)) }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result != 1, SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ { fatalError("handshake \(ERR_peek_error())") }
        take()
        return result == 1
    }

    func read(_ bytes: UnsafePointer<UInt8>, _ count: Int, into: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        BIO_write(incoming, bytes, CInt(count))
        ERR_clear_error()
        var total = 0
        var got = 0
        while total < capacity, SSL_read_ex(ssl, into + total, capacity - total, &got) == 1 { total += got; if urtls_bio_pending(incoming) == 0 { break } }
        return total
    }

    func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        ERR_clear_error()
        var done = 0
        SSL_write_ex(ssl, bytes, count, &done)
        take()
        return sent
    }

    private func take() {
        let pending = urtls_bio_pending(outgoing)
        sent = pending > 0 ? Int(BIO_read(outgoing, sink, CInt(pending))) : 0
    }

    var written: (UnsafeMutablePointer<UInt8>, Int) { (sink, sent) }

    func end() {
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
    }
}

func clientContext(_ version: CInt, tickets: Bool) -> OpaquePointer {
    let context = SSL_CTX_new(TLS_client_method())!
    _ = urtls_ctx_set_min_version(context, version)
    _ = urtls_ctx_set_max_version(context, version)
    if !tickets { _ = SSL_CTX_set_options(context, urtls_op_no_ticket) }
    return context
}

/// The client; not timed.
final class Client {
    let ssl: OpaquePointer
    let incoming = BIO_new(BIO_s_mem())!
    let outgoing = BIO_new(BIO_s_mem())!
    var buffer = [UInt8](repeating: 0, count: 1 << 20)

    init(_ context: OpaquePointer, session: OpaquePointer?) {
        ssl = SSL_new(context)
        SSL_set_bio(ssl, incoming, outgoing)
        SSL_set_connect_state(ssl)
        if let session, let copy = SSL_SESSION_dup(session) {
            SSL_set_session(ssl, copy)
            SSL_SESSION_free(copy)
        }
    }

    deinit {
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
    }

    func take() -> [UInt8] {
        let pending = urtls_bio_pending(outgoing)
        var bytes = [UInt8](repeating: 0, count: pending)
        if pending > 0 { BIO_read(outgoing, &bytes, CInt(pending)) }
        return bytes
    }

    func give(_ bytes: (UnsafeMutablePointer<UInt8>, Int)) { if bytes.1 > 0 { BIO_write(incoming, bytes.0, CInt(bytes.1)) } }

    func handshake() -> Bool { SSL_do_handshake(ssl) == 1 }

    func read() -> Int { max(0, Int(SSL_read(ssl, &buffer, CInt(buffer.count)))) }
}

/// Runs a handshake; answers the nanoseconds that the server's calls took, making and ending the session included.
func connect(_ make: () -> any Peer, _ clientContext: OpaquePointer, session: OpaquePointer?) -> (ns: UInt64, peer: any Peer, client: Client) {
    let client = Client(clientContext, session: session)
    var spent: UInt64 = 0
    let begin = nanoseconds()
    let peer = make()
    spent += nanoseconds() - begin
    var isDone = (client.handshake(), false)
    while !(isDone.0 && isDone.1) {
        let bytes = client.take()
        if !isDone.1 {
            let start = nanoseconds()
            isDone.1 = peer.handshake(bytes, bytes.count)
            spent += nanoseconds() - start
            client.give(peer.written)
        }
        if !isDone.0 { isDone.0 = client.handshake() }
    }
    _ = client.read()
    return (spent, peer, client)
}
