// Handshakes of both versions in pieces of every size, ALPN, server names, refusals.

import CUringTLS
import Testing
import UringTLS

private let versions = [TLS1_2_VERSION, TLS1_3_VERSION]

private func only(_ version: CInt) -> ClientOptions {
    var options = ClientOptions()
    options.minimumVersion = version
    options.maximumVersion = version
    return options
}

@Suite struct HandshakeTests {
    @Test(arguments: versions, [1, 2, 3, 7, 100, Int.max])
    func completesInPieces(version: CInt, piece: Int) throws {
        let context = try TLSContext.make()
        let pair = Pair(context, only(version), piece: piece)
        #expect(pair.handshake())
        #expect(unsafe pair.session.version.rawValue == version)
        #expect(unsafe pair.session.resumption == .full)
        #expect(context.counters.full == 1 && context.counters.started == 1 && context.counters.fallback == 0)
        #expect(pair.read({ pair.client.write(Array("hello".utf8)); return pair.client.takeOutgoing() }()).bytes == Array("hello".utf8))
        pair.write(Array("world".utf8))
        #expect(pair.client.read().bytes == Array("world".utf8))
    }

    @Test(arguments: versions)
    func isCutAtEveryByte(version: CInt) throws {
        let context = try TLSContext.make()
        // The client's first flight in two parts, at every place.
        let length = Pair(context, only(version)).client
        _ = length.handshake()
        for cut in 1..<length.takeOutgoing().count {
            let pair = Pair(context, only(version))
            _ = pair.client.handshake()
            let hello = pair.client.takeOutgoing()
            guard cut < hello.count else { break }
            #expect(pair.handshakeStep(Array(hello[..<cut])) == .more)
            #expect(pair.handshakeStep(Array(hello[cut...])) == .more)
            #expect(pair.handshake(), "cut at \(cut)")
        }
    }

    @Test func outputSpillsInOrder() throws {
        let context = try TLSContext.make()
        for capacity in [0, 1, 100, 1000] {
            let pair = Pair(context)
            pair.outputCapacity = capacity
            #expect(pair.handshake())
            pair.write(.sample(50000))
            #expect(pair.client.read().bytes == .sample(50000))
        }
    }

    @Test(arguments: [
        (["h2", "http/1.1"], ["h2", "http/1.1"], "h2"), (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"), (["http/1.1", "h2"], ["h2", "http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"), (["h2", "http/1.1"], [], ""), (["h2"], ["spdy/3", "h2"], "h2"), ([], ["h2"], ""),
    ])
    func applicationProtocol(ours: [String], theirs: [String], chosen: String) throws {
        let context = try TLSContext.make { $0.applicationProtocols = ours }
        var options = ClientOptions()
        options.applicationProtocols = theirs
        let pair = Pair(context, options)
        #expect(pair.handshake())
        #expect(pair.applicationProtocol == chosen)
        #expect(pair.client.applicationProtocol == chosen)
        #expect(unsafe pair.session.isHTTP2 == (chosen == "h2"))
    }

    @Test(arguments: versions)
    func noCommonApplicationProtocolIsFatal(version: CInt) throws {
        let context = try TLSContext.make()
        var options = only(version)
        options.applicationProtocols = ["spdy/3", "h2c"]
        let pair = Pair(context, options)
        #expect(!pair.handshake())
        #expect(pair.failure?.cause == .noApplicationProtocol)
        #expect(pair.sent.suffix(2) == [2, 120])
        #expect(context.counters.failed(.noApplicationProtocol) == 1)
    }

    @Test func oldVersionIsRefusedWithItsAlert() throws {
        let context = try TLSContext.make()
        var options = only(TLS1_1_VERSION)
        options.securityLevel = 0
        let pair = Pair(context, options)
        #expect(!pair.handshake())
        #expect(pair.failure?.cause == .unsupportedVersion)
        #expect(pair.sent.suffix(2) == [2, 70])
    }

    @Test func noSharedCipher() throws {
        let context = try TLSContext.make()
        var options = only(TLS1_2_VERSION)
        options.cipherList = "ECDHE-RSA-AES128-GCM-SHA256"
        let pair = Pair(context, options)
        #expect(!pair.handshake())
        #expect(pair.failure?.cause == .noSharedCipher)
        #expect(pair.sent.suffix(2) == [2, 40])
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "X"])
    func plainHTTPTakesNothingAndSaysNothing(text: String) throws {
        let context = try TLSContext.make()
        let pair = Pair(context)
        #expect(pair.handshakeStep(Array(text.utf8)) == .failed(TLSFailure(.plainHTTP)))
        #expect(pair.sent.isEmpty)
        #expect(unsafe pair.session.bytesIn == 0)
        #expect(context.counters.failed(.plainHTTP) == 1)
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8])
    func garbageFails(seed: UInt64) throws {
        let context = try TLSContext.make()
        let pair = Pair(context)
        let step = pair.handshakeStep([0x7f] + .sample(500, seed: seed))
        guard case .failed(let failure) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(pair.handshakeStep(.sample(10)) == .failed(failure))
        #expect(context.counters.failedTotal == 1)
    }

    @Test func brokenHelloFails() throws {
        let context = try TLSContext.make()
        let pair = Pair(context)
        _ = pair.client.handshake()
        var hello = pair.client.takeOutgoing()
        hello[43] = 255  // the length of the session id
        guard case .failed(let failure) = pair.handshakeStep(hello) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.cause == .decodeError, "\(failure)")
    }

    @Test func namesChooseCertificates() throws {
        let first = try TestIdentity("first", names: ["first.example"]).loaded()
        let exact = try TestIdentity("exact", names: ["a.example.com"]).loaded()
        let wild = try TestIdentity("wild", names: ["*.example.com"]).loaded()
        let common = try TestIdentity("common.example").loaded()
        let context = try TLSContext(TLSConfiguration(certificates: [first, exact, wild, common]), nowSeconds: now)
        let cases: [(String?, TLSCertificate)] = [
            ("first.example", first), ("a.example.com", exact), ("A.Example.COM", exact), ("b.example.com", wild), ("a.b.example.com", first),
            ("example.com", first), ("common.example", common), ("unknown.example", first), ("com", first), (nil, first), (".example.com", first),
        ]
        for version in versions {
            for (name, expected) in cases {
                var options = only(version)
                options.serverName = name
                let pair = Pair(context, options)
                #expect(pair.handshake())
                #expect(pair.client.peerCertificateFingerprint == expected.fingerprint, "\(name ?? "none")")
                if let name { #expect(unsafe pair.session.serverName.map { unsafe String(cString: $0) } == name) }
            }
        }
    }

    @Test func keyKindFollowsTheClient() throws {
        let ecdsa = try TestIdentity("ec", names: ["a.example"]).loaded()
        let rsa = try TestIdentity("rsa", names: ["a.example"], kind: .rsa).loaded()
        for order in [[ecdsa, rsa], [rsa, ecdsa]] {
            let context = try TLSContext(TLSConfiguration(certificates: order), nowSeconds: now)
            for version in versions {
                for (algorithms, expected) in [("ECDSA+SHA256", ecdsa), ("RSA-PSS+SHA256", rsa), ("ECDSA+SHA256:RSA-PSS+SHA256", ecdsa)] {
                    for name in ["a.example", nil] {
                        var options = only(version)
                        options.serverName = name
                        options.signatureAlgorithms = algorithms
                        let pair = Pair(context, options)
                        #expect(pair.handshake(), "\(version) \(algorithms)")
                        #expect(pair.client.peerCertificateFingerprint == expected.fingerprint, "\(version) \(algorithms)")
                    }
                }
            }
        }
    }

    @Test func chainIsSent() throws {
        let root = TestIdentity("root", isAuthority: true)
        let middle = TestIdentity("middle", issuer: root, isAuthority: true)
        let leaf = try TestIdentity("leaf", names: ["leaf.example"], issuer: middle).loaded(chain: [middle])
        let context = try TLSContext(TLSConfiguration(certificates: [leaf]), nowSeconds: now)
        let pair = Pair(context)
        #expect(pair.handshake())
        #expect(unsafe OPENSSL_sk_num(SSL_get_peer_cert_chain(pair.client.ssl)) == 2)
    }

    @Test func phasesAreTimed() throws {
        let context = try TLSContext(TLSConfiguration.selfSigned(nowSeconds: now), nowSeconds: now, tick: countingTick)
        let pair = Pair(context, ClientOptions(), piece: 50)
        #expect(pair.handshake())
        let times = unsafe pair.session.times
        #expect(0 < times.firstBytes && times.firstBytes < times.helloReceived)
        #expect(times.helloReceived < times.flightWritten && times.flightWritten < times.finished)
    }
}

nonisolated(unsafe) private var ticks: UInt64 = 0
private func countingTick() -> UInt64 {
    // One test uses it.
    unsafe ticks += 1
    return unsafe ticks
}
