// Client sessions against our own server sessions, with every byte in between in the test's hands: trust, names, client certificates,
// resumption, cuts and ends.

import CUringTLS
import Glibc
import Testing
import UringTLS

/// A client's session and a server's.
@safe private final class Link {
    let client: TLSSession
    let server: TLSSession
    private let contexts: (TLSClientContext, TLSContext)
    /// Bytes per piece that each side is given at a time.
    var piece = Int.max
    private(set) var clientStep = TLSHandshakeStep.more
    private(set) var serverStep = TLSHandshakeStep.more

    init(_ client: TLSClientContext, _ server: TLSContext, host: String = "localhost", port: UInt16 = 443, resumes: Bool = true) throws {
        contexts = (client, server)
        unsafe self.client = try #require(unsafe client.makeSession(host: host, port: port, resumes: resumes))
        unsafe self.server = try #require(unsafe server.makeSession())
    }

    deinit {
        unsafe client.destroy()
        unsafe server.destroy()
    }

    /// Feeds one piece, answers the call's result and what it wrote.
    func call<Result>(_ session: TLSSession, _ bytes: [UInt8], _ body: (inout TLSOutput) -> Result) -> (Result, [UInt8]) {
        unsafe bytes.withUnsafeBufferPointer { window in
            unsafe session.feed(window.baseAddress, window.count)
            // Everything spills: the sink's own memory is not what is tested here.
            var output = unsafe TLSOutput(base: nil, capacity: 0)
            let result = unsafe body(&output)
            var written: [UInt8] = []
            if let spill = unsafe output.takeSpill() {
                written = unsafe Array(UnsafeBufferPointer(start: spill.base, count: spill.count))
                unsafe free(spill.base)
            }
            unsafe session.feed(nil, 0)
            return (result, written)
        }
    }

    private func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        guard piece < bytes.count else { return bytes.isEmpty ? [] : [bytes] }
        return stride(from: 0, to: bytes.count, by: piece).map { Array(bytes[$0..<min($0 + piece, bytes.count)]) }
    }

    /// True when both sides are established.
    @discardableResult func handshake() -> Bool {
        var toServer: [UInt8]
        (clientStep, toServer) = unsafe call(client, []) { unsafe client.handshake(&$0) }
        for _ in 0..<10 {
            var toClient: [UInt8] = []
            for part in pieces(toServer) {
                guard serverStep == .more else {
                    // Behind its end only alerts come.
                    _ = unsafe read(server, part)
                    continue
                }
                let (step, written) = unsafe call(server, part) { unsafe server.handshake(&$0) }
                serverStep = step
                toClient += written
            }
            toServer = []
            for part in pieces(toClient) {
                guard clientStep == .more else {
                    _ = unsafe read(client, part)
                    continue
                }
                let (step, written) = unsafe call(client, part) { unsafe client.handshake(&$0) }
                clientStep = step
                toServer += written
            }
            if toServer.isEmpty && toClient.isEmpty { break }
        }
        return clientStep == .done && serverStep == .done
    }

    var failure: TLSFailure? { if case .failed(let failure) = clientStep { failure } else { nil } }

    func write(_ session: TLSSession, _ bytes: [UInt8]) -> [UInt8] {
        var output = unsafe TLSOutput(base: nil, capacity: 0)
        #expect(unsafe bytes.withUnsafeBufferPointer { unsafe session.write($0.baseAddress!, $0.count, &output) } == .written(bytes.count))
        return unsafe Self.take(&output)
    }

    func shutdown(_ session: TLSSession) -> [UInt8] {
        var output = unsafe TLSOutput(base: nil, capacity: 0)
        unsafe session.shutdown(&output)
        return unsafe Self.take(&output)
    }

    private static func take(_ output: inout TLSOutput) -> [UInt8] {
        guard let spill = unsafe output.takeSpill() else { return [] }
        defer { unsafe free(spill.base) }
        return unsafe Array(UnsafeBufferPointer(start: spill.base, count: spill.count))
    }

    func read(_ session: TLSSession, _ bytes: [UInt8]) -> (bytes: [UInt8], end: TLSReadStep) {
        var plain: [UInt8] = []
        var end = TLSReadStep.more
        var buffer = [UInt8](repeating: 0, count: 20000)
        for part in pieces(bytes) {
            unsafe part.withUnsafeBufferPointer { window in
                unsafe session.feed(window.baseAddress, window.count)
                var output = unsafe TLSOutput(base: nil, capacity: 0)
                while true {
                    end = unsafe buffer.withUnsafeMutableBufferPointer { unsafe session.read(into: $0.baseAddress!, capacity: $0.count, &output) }
                    guard case .bytes(let count) = end else { break }
                    plain += buffer[..<count]
                }
                unsafe output.reset()
                unsafe session.feed(nil, 0)
            }
        }
        return (plain, end)
    }
}

private let authority = TestIdentity("authority", isAuthority: true)
private let versions: [TLSConfiguration.Version] = [.tls12, .tls13]

private func trusting(_ identities: TestIdentity...) throws -> TLSClientConfiguration.Trust {
    .authorities(try TLSAuthorities.load(pem: Array(identities.map(\.certificatePEM).joined().utf8), name: "ca"))
}

private func makeClient(_ trust: TLSClientConfiguration.Trust, _ change: (inout TLSClientConfiguration) -> Void = { _ in }) throws -> TLSClientContext {
    var configuration = TLSClientConfiguration(trust: trust)
    change(&configuration)
    return try TLSClientContext(configuration, nowSeconds: now)
}

private func makeServer(_ names: [String], days: ClosedRange<Int> = -1...30, issuer: TestIdentity? = authority, _ change: (inout TLSConfiguration) -> Void = { _ in }) throws -> TLSContext {
    var configuration = TLSConfiguration(certificates: [try TestIdentity("leaf", names: names, issuer: issuer, days: days).loaded()])
    change(&configuration)
    return try TLSContext(configuration, nowSeconds: now)
}

@Suite struct ClientSessionTests {
    @Test(arguments: versions, [1, 3, 100, Int.max])
    func completesInPieces(version: TLSConfiguration.Version, piece: Int) throws {
        let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }
        let link = try Link(client, makeServer(["localhost"]))
        link.piece = piece
        #expect(link.handshake())
        #expect(unsafe link.client.version == version && link.client.isHTTP2 && link.server.isHTTP2)
        #expect(unsafe link.client.resumption == .full)
        #expect(unsafe String(cString: try #require(link.server.serverName)) == "localhost")
        #expect(unsafe link.read(link.server, link.write(link.client, .sample(40000))).bytes == .sample(40000))
        #expect(unsafe link.read(link.client, link.write(link.server, .sample(40000, seed: 2))).bytes == .sample(40000, seed: 2))
        #expect(client.counters.started == 1 && client.counters.full == 1 && client.counters.failedTotal == 0)
    }

    @Test(arguments: versions)
    func isCutAtEveryByteOfTheServersFlight(version: TLSConfiguration.Version) throws {
        let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version; $0.sessionsMax = 0 }
        let server = try makeServer(["localhost"])
        func flight(_ link: Link) -> [UInt8] {
            let (step, hello) = unsafe link.call(link.client, []) { unsafe link.client.handshake(&$0) }
            #expect(step == .more)
            return unsafe link.call(link.server, hello) { unsafe link.server.handshake(&$0) }.1
        }
        let length = flight(try Link(client, server)).count
        for cut in stride(from: 1, to: length - 2, by: 1) {
            let link = try Link(client, server)
            let bytes = flight(link)
            let middle = min(cut, bytes.count - 1)
            #expect(unsafe link.call(link.client, Array(bytes[..<middle])) { unsafe link.client.handshake(&$0) }.0 == .more)
            let (step, _) = unsafe link.call(link.client, Array(bytes[middle...])) { unsafe link.client.handshake(&$0) }
            #expect(step == (version == .tls13 ? .done : .more), "cut at \(cut)")
        }
    }

    /// What the certificate names, what is connected to, how it ends.
    @Test(arguments: [
        (["localhost"], "localhost", nil), (["a.example"], "A.Example", nil), (["a.example"], "a.example.", nil), (["*.a.example"], "b.a.example", nil),
        (["a.example"], "b.example", .wrongHost), (["*.a.example"], "c.b.a.example", .wrongHost), (["*.a.example"], "a.example", .wrongHost), (["f*.a.example"], "foo.a.example", .wrongHost), (["*.example"], "b.example", .wrongHost),
        ([], "leaf", .wrongHost), (["IP:127.0.0.1"], "127.0.0.1", nil), (["IP:::1"], "::1", nil), (["IP:::1"], "0:0:0:0:0:0:0:1", nil), (["IP:127.0.0.1"], "127.0.0.2", .wrongHost),
        (["127.0.0.1"], "127.0.0.1", .wrongHost), (["IP:127.0.0.1"], "localhost", .wrongHost), (["other.example", "localhost"], "localhost", nil),
    ] as [([String], String, TLSFailure.Cause?)])
    func names(names: [String], host: String, cause: TLSFailure.Cause?) throws {
        for version in versions {
            let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }
            let link = try Link(client, makeServer(names), host: host)
            #expect(link.handshake() == (cause == nil), "\(link.failure.map(\.description) ?? "")")
            #expect(link.failure?.cause == cause)
            if let cause { #expect(client.counters.failed(cause) == 1 && link.failure?.verifyError != 0) }
            // An address is not sent as a name.
            #expect(unsafe (link.server.serverName == nil) == host.allSatisfy { $0.isHexDigit && !$0.isLetter || $0 == "." || $0 == ":" })
        }
    }

    @Test func refusesWhomItDoesNotTrust() throws {
        let other = TestIdentity("other", isAuthority: true)
        let cases: [(TLSContext, TLSClientConfiguration.Trust, TLSFailure.Cause?)] = [
            (try makeServer(["localhost"], days: -10 ... -1), try trusting(authority), .certificateExpired),
            (try makeServer(["localhost"], days: 5...10), try trusting(authority), .certificateExpired),
            (try makeServer(["localhost"]), try trusting(other), .unknownAuthority), (try makeServer(["localhost"]), try trusting(other, authority), nil),
            (try makeServer(["localhost"], issuer: nil), try trusting(authority), .unknownAuthority), (try makeServer(["localhost"]), .system, .unknownAuthority),
            (try makeServer(["elsewhere"], days: -10 ... -1, issuer: nil), .unverified, nil),
        ]
        for (server, trust, cause) in cases {
            let link = try Link(makeClient(trust), server)
            #expect(link.handshake() == (cause == nil))
            #expect(link.failure?.cause == cause, "\(link.failure.map(\.description) ?? "")")
            // It stays so.
            if let failure = link.failure { #expect(unsafe link.call(link.client, []) { unsafe link.client.handshake(&$0) }.0 == .failed(failure)) }
        }
    }

    @Test func anIntermediateOrTheLeafItselfMayBeTrusted() throws {
        let middle = TestIdentity("middle", issuer: authority, isAuthority: true)
        let leaf = TestIdentity("leaf", names: ["localhost"], issuer: middle)
        let server = try TLSContext(TLSConfiguration(certificates: [leaf.loaded(chain: [middle])]), nowSeconds: now)
        for trusted in [authority, middle, leaf] { #expect(try Link(makeClient(trusting(trusted)), server).handshake()) }
        // The chain is not sent: only who has the intermediate can close it.
        let bare = try TLSContext(TLSConfiguration(certificates: [leaf.loaded()]), nowSeconds: now)
        let link = try Link(makeClient(trusting(authority)), bare)
        #expect(!link.handshake() && link.failure?.cause == .unknownAuthority)
    }

    @Test func clientCertificates() throws {
        let clients = TestIdentity("clients", isAuthority: true)
        let authorities = try TLSAuthorities.load(pem: Array(clients.certificatePEM.utf8), name: "ca")
        for version in versions {
            let server = try makeServer(["localhost"]) { $0.clientAuthentication = .required(authorities: authorities) }
            let identity = try TestIdentity("me", issuer: clients).loaded()
            let link = try Link(makeClient(trusting(authority)) { $0.certificate = identity; $0.minimumVersion = version; $0.maximumVersion = version }, server)
            #expect(link.handshake())
            #expect(unsafe link.server.clientSubject == "CN=me")
            // TLS 1.3 tells it behind the client's end of the handshake.
            let bare = try Link(makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }, server)
            #expect(!bare.handshake())
            #expect(server.counters.failed(.certificateRequired) == 1)
            #expect(unsafe bare.client.failure?.cause == .alertReceived, "\(version)")
        }
    }

    @Test(arguments: [
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"), (["http/1.1"], ["h2", "http/1.1"], "http/1.1"), ([], ["h2"], ""), (["h2"], [], ""),
    ])
    func applicationProtocol(ours: [String], theirs: [String], chosen: String) throws {
        let link = try Link(makeClient(trusting(authority)) { $0.applicationProtocols = ours }, makeServer(["localhost"]) { $0.applicationProtocols = theirs })
        #expect(link.handshake())
        #expect(unsafe String(decoding: link.client.applicationProtocol, as: UTF8.self) == chosen)
    }

    @Test func noCommonApplicationProtocol() throws {
        let link = try Link(makeClient(trusting(authority)) { $0.applicationProtocols = ["h2"] }, makeServer(["localhost"]) { $0.applicationProtocols = ["http/1.1"] })
        #expect(!link.handshake())
        #expect(link.failure?.cause == .alertReceived && link.failure?.alert == 120)
    }

    // MARK: Resumption

    @Test(arguments: versions)
    func resumes(version: TLSConfiguration.Version) throws {
        let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }
        let server = try makeServer(["localhost"])
        #expect(try Link(client, server).handshake())
        // Two tickets of TLS 1.3; one session of TLS 1.2.
        #expect(client.resumableCount == (version == .tls13 ? 2 : 1))
        let second = try Link(client, server)
        // Taken out while it is used, and never shown again.
        #expect(client.resumableCount == 1)
        #expect(second.handshake())
        #expect(unsafe second.client.resumption == (version == .tls13 ? .preSharedKey : .ticket))
        #expect(unsafe second.server.resumption == second.client.resumption)
        let counters = client.counters
        #expect(counters.full == 1 && counters.preSharedKey + counters.ticket == 1 && counters.fallback == 0)
        // Another host, another port, no resumption wished for: no session is offered.
        for (host, port, resumes) in [("127.0.0.1", UInt16(443), true), ("localhost", 444, true), ("localhost", 443, false)] {
            let link = try Link(client, server, host: host, port: port, resumes: resumes)
            link.handshake()
            #expect(unsafe link.client.resumption == .full && !link.client.offeredResumption)
        }
    }

    @Test func aServerThatForgotFallsBack() throws {
        for version in versions {
            let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }
            #expect(try Link(client, makeServer(["localhost"])).handshake())
            let link = try Link(client, makeServer(["localhost"]))
            #expect(link.handshake())
            #expect(unsafe link.client.resumption == .full && link.client.offeredResumption)
            #expect(client.counters.fallback == 1)
        }
    }

    @Test func storeIsBounded() throws {
        let server = try makeServer(["localhost"])
        let client = try makeClient(trusting(authority)) { $0.sessionsMax = 5 }
        for _ in 0..<6 { #expect(try Link(client, server, resumes: false).handshake()) }
        #expect(client.resumableCount == 4)
        for port in 1...4 { #expect(try Link(client, server, port: UInt16(port)).handshake()) }
        #expect(client.resumableCount == 5)
        client.forgetSessions()
        #expect(client.resumableCount == 0)
        let none = try makeClient(trusting(authority)) { $0.sessionsMax = 0 }
        #expect(try Link(none, server).handshake())
        #expect(none.resumableCount == 0)
    }

    @Test func oldSessionsAreNotOffered() throws {
        let server = try makeServer(["localhost"])
        let client = try makeClient(trusting(authority))
        #expect(try Link(client, server).handshake())
        client.update(nowSeconds: now + 8 * 86400)
        let link = try Link(client, server)
        #expect(unsafe !link.client.offeredResumption)
        #expect(client.resumableCount == 0)
    }

    // MARK: Ends

    @Test(arguments: versions)
    func ends(version: TLSConfiguration.Version) throws {
        let client = try makeClient(trusting(authority)) { $0.minimumVersion = version; $0.maximumVersion = version }
        let server = try makeServer(["localhost"])
        let good = try Link(client, server)
        good.handshake()
        let last = unsafe good.write(good.server, .sample(100)) + good.shutdown(good.server)
        let (bytes, end) = unsafe good.read(good.client, last)
        #expect(bytes == .sample(100) && end == .closed)
        #expect(unsafe good.client.isClosedByPeer)
        // The transport ends before close_notify, at every byte: never taken for an end.
        for cut in [0, 1, last.count / 2, last.count - 1] {
            let link = try Link(client, server)
            link.handshake()
            let all = unsafe link.write(link.server, .sample(100)) + link.shutdown(link.server)
            let (_, end) = unsafe link.read(link.client, Array(all[..<min(cut, all.count - 1)]))
            #expect(end == .more)
            #expect(unsafe !link.client.isClosedByPeer && link.client.failure == nil)
        }
        // A byte that was changed on its way.
        let changed = try Link(client, server)
        changed.handshake()
        var record = unsafe changed.write(changed.server, .sample(100))
        record[record.count - 1] ^= 1
        guard case .failed(let failure) = unsafe changed.read(changed.client, record).end else { Issue.record("a changed record was read"); return }
        #expect(failure.cause == .badRecordMAC)
    }

    @Test func plainServer() throws {
        let client = try makeClient(trusting(authority))
        let link = try Link(client, makeServer(["localhost"]))
        _ = unsafe link.call(link.client, []) { unsafe link.client.handshake(&$0) }
        let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        #expect(unsafe link.call(link.client, answer) { unsafe link.client.handshake(&$0) }.0 == .failed(TLSFailure(.plainHTTP)))
    }

    @Test(arguments: ["", "a b", "a\u{0}b", ".", "é.example", String(repeating: "a", count: 254)])
    func hostsThatAreNone(host: String) throws {
        for trust in [try trusting(authority), .unverified] {
            let client = try makeClient(trust)
            #expect(unsafe client.makeSession(host: host, port: 443) == nil)
            #expect(client.sessionCount == 0)
        }
    }

    @Test func abandonedSessionsAreCounted() throws {
        let client = try makeClient(.unverified)
        let session = unsafe try #require(unsafe client.makeSession(host: "localhost", port: 443))
        #expect(client.sessionCount == 1)
        unsafe session.destroy()
        #expect(client.sessionCount == 0 && client.counters.abandoned == 1)
    }

    @Test func badSettings() {
        #expect(throws: TLSLoadError.self) { try makeClient(.unverified) { $0.cipherList = "NONSENSE" } }
        #expect(throws: TLSLoadError.self) { try makeClient(.unverified) { $0.groups = "NONSENSE" } }
    }
}
