// The record layer of our own: who gets it, its keys against RFC 8448, all suites against OpenSSL, KeyUpdate both ways, and what a client may not send.

import CUringTLS
import Glibc
import Testing

@testable import UringTLS

private let suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]

private func connected(_ suite: String = suites[0], _ change: (inout TLSConfiguration) -> Void = { _ in }, _ options: ClientOptions = ClientOptions()) throws -> Pair {
    let context = try TLSContext.make {
        $0.cipherSuites = suite
        change(&$0)
    }
    let pair = Pair(context, options)
    #expect(pair.handshake())
    // The tickets come first.
    #expect(pair.client.read().bytes.isEmpty)
    return pair
}

/// Makes records with the client's keys: what OpenSSL's client would never send.
@safe private struct Forger: ~Copyable {
    private let suite: RecordSuite
    private var direction = unsafe RecordDirection()

    init(_ pair: Pair) {
        let established = unsafe pair.session.memory.pointee.established!
        unsafe suite = established.pointee.records.suite
        // Tests may look inside: the client's secret is the one that the session reads with.
        unsafe direction.take(established.pointee.records.readingSecret!, suite.secretBytes)
        let algorithm = unsafe EVP_CIPHER_fetch(nil, ["AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"][Int(suite.rawValue - 0x1301)], nil)
        #expect(unsafe direction.begin(suite, algorithm, encrypts: true))
        unsafe EVP_CIPHER_free(algorithm)
    }

    deinit {
        var ended = unsafe direction
        unsafe ended.destroy()
    }

    mutating func record(_ type: UInt8, _ bytes: [UInt8], padding: Int = 0) -> [UInt8] {
        let text = padding > 0 ? bytes + [type] + [UInt8](repeating: 0, count: padding - 1) : bytes
        var out = [UInt8](repeating: 0, count: text.count + RecordFormat.overhead)
        #expect(
            unsafe text.withUnsafeBufferPointer { source in
                unsafe out.withUnsafeMutableBufferPointer { room in
                    // Not read when there is no text.
                    unsafe direction.seal(padding > 0 ? 0 : type, source.baseAddress ?? UnsafePointer(room.baseAddress!), text.count, to: room.baseAddress!)
                }
            })
        return out
    }

    mutating func update() { #expect(unsafe direction.update(suite)) }
}

private let keyUpdate: [UInt8] = [24, 0, 0, 1, 0]
private let keyUpdateRequest: [UInt8] = [24, 0, 0, 1, 1]

@Suite struct RecordLayerTests {
    // MARK: who gets it

    @Test(arguments: suites)
    func everySuiteTalksToOpenSSL(suite: String) throws {
        let pair = try connected(suite)
        #expect(unsafe pair.session.makesRecords)
        #expect(unsafe String(cString: pair.session.cipherName!) == suite)
        for size in [1, 15, 16, 17, 16383, 16384, 16385, 70000] {
            pair.client.write(.sample(size))
            #expect(pair.read(pair.client.takeOutgoing()).bytes == .sample(size))
            pair.write(.sample(size, seed: 9))
            #expect(pair.client.read().bytes == .sample(size, seed: 9))
        }
    }

    @Test func theOthersStayWithOpenSSL() throws {
        var old = ClientOptions()
        old.maximumVersion = TLS1_2_VERSION
        for pair in [try connected(suites[0], { _ in }, old), try connected(suites[0], { $0.makesRecords = false })] {
            #expect(unsafe !pair.session.makesRecords && pair.session.ssl != nil)
        }
        // A suite that only OpenSSL has here.
        let pair = Pair(try TLSContext.make { $0.cipherSuites = "TLS_AES_128_CCM_SHA256" }, { var options = ClientOptions(); options.cipherSuites = "TLS_AES_128_CCM_SHA256"; return options }())
        #expect(pair.handshake())
        #expect(unsafe !pair.session.makesRecords && pair.session.ssl != nil)
        pair.client.write(.sample(20))
        #expect(pair.read(pair.client.takeOutgoing()).bytes == .sample(20))
    }

    @Test func whatWasNegotiatedIsKnownAfterwards() throws {
        var options = ClientOptions()
        options.serverName = "www.example.com"
        options.applicationProtocols = ["h2", "http/1.1"]
        let pair = try connected(suites[0], { _ in }, options)
        #expect(unsafe pair.session.makesRecords && pair.session.ssl == nil)
        #expect(unsafe String(cString: pair.session.serverName!) == "www.example.com")
        #expect(unsafe pair.session.isHTTP2 && pair.session.version == .tls13 && pair.session.resumption == .full)
        // And of one that was resumed.
        options.session = pair.client.sessions.last
        let resumed = try Pair(pair, options)
        #expect(resumed.handshake())
        #expect(unsafe resumed.session.makesRecords && resumed.session.resumption == .preSharedKey && resumed.session.isHTTP2)
        resumed.client.write(.sample(100))
        #expect(resumed.read(resumed.client.takeOutgoing()).bytes == .sample(100))
    }

    /// A piece of the client's last flight and its first request in one window.
    @Test func dataBehindTheHandshakeIsRead() throws {
        let pair = Pair(try TLSContext.make())
        #expect(pair.client.handshake() == .more)
        #expect(pair.handshakeStep(pair.client.takeOutgoing()) == .more)
        #expect(pair.client.handshake() == .done)
        pair.client.write(.sample(300))
        pair.client.write(.sample(400))
        let bytes = pair.client.takeOutgoing()
        unsafe bytes.withUnsafeBufferPointer { window in
            unsafe pair.session.feed(window.baseAddress, window.count)
            let (step, flight) = unsafe pair.withOutput { unsafe pair.session.handshake(&$0) }
            #expect(unsafe step == .done && pair.session.makesRecords)
            pair.client.giveIncoming(flight)
            var buffer = [UInt8](repeating: 0, count: 1000)
            let (read, _) = unsafe pair.withOutput { unsafe pair.session.read(into: &buffer, capacity: 1000, &$0) }
            #expect(read == .bytes(700))
            #expect(Array(buffer[..<700]) == .sample(300) + .sample(400))
        }
        #expect(pair.client.read().bytes.isEmpty && pair.client.sessions.count == 2)
        pair.write(.sample(50))
        #expect(pair.client.read().bytes == .sample(50))
    }

    // MARK: keys

    /// RFC 8448 section 3: keys of the client's and the server's application traffic.
    @Test func keysAreThoseOfTheTrace() {
        func expand(_ secret: String, _ label: StaticString, _ count: Int) -> String {
            let bytes = hexadecimal(secret)
            var out = [UInt8](repeating: 0, count: count)
            #expect(
                unsafe bytes.withUnsafeBufferPointer { source in
                    unsafe out.withUnsafeMutableBufferPointer { unsafe RecordSuite.aes128GCM.expand(source.baseAddress!, label, to: $0.baseAddress!, count: count) }
                })
            return out.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        let client = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
        #expect(expand(client, "key", 16) == "17422dda596ed5d9acd890e3c63f5051" && expand(client, "iv", 12) == "5b78923dee08579033e523d9")
        let server = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
        #expect(expand(server, "key", 16) == "9f02283b6c9c07efc26bb9f2ac92e356" && expand(server, "iv", 12) == "cf782b88dd83549aadf1e984")
    }

    @Test(arguments: suites)
    func keyUpdatesGoBothWays(suite: String) throws {
        let pair = try connected(suite, { $0.recordsPerKey = 3 })
        for round in 0..<20 {
            #expect(unsafe SSL_key_update(pair.client.ssl, round % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
            pair.client.write(.sample(100, seed: UInt64(round)))
            let (plain, end) = pair.read(pair.client.takeOutgoing())
            #expect(plain == .sample(100, seed: UInt64(round)) && end == .more)
            // More records than a key is good for here, in one call.
            pair.write(.sample(100_000, seed: UInt64(round)))
            #expect(pair.client.read().bytes == .sample(100_000, seed: UInt64(round)))
        }
    }

    @Test func aKeyIsGoodForSoManyRecords() throws {
        let pair = try connected(suites[0], { $0.recordsPerKey = 5 })
        // Two of the five are the tickets. A KeyUpdate is a record of 27 bytes.
        let sizes = (0..<8).map { _ in pair.write([1]).count }
        #expect(sizes == [23, 23, 23, 50, 23, 23, 23, 23])
        #expect(pair.client.read().bytes.count == 8)
    }

    @Test func aMessageInPiecesIsTaken() throws {
        let pair = try connected()
        var forger = Forger(pair)
        for piece in keyUpdateRequest.dropLast() { #expect(pair.read(forger.record(22, [piece])).end == .more) }
        let before = pair.sent.count
        #expect(pair.read(forger.record(22, [1])).end == .more)
        #expect(pair.sent.count == before + 27)
        forger.update()
        #expect(pair.read(forger.record(23, .sample(10))).bytes == .sample(10))
        pair.write(.sample(30))
        #expect(pair.client.read().bytes == .sample(30))
    }

    @Test func nothingIsAnsweredAfterOurEnd() throws {
        let pair = try connected()
        var forger = Forger(pair)
        _ = unsafe pair.withOutput { unsafe pair.session.shutdown(&$0) }
        let before = pair.sent.count
        #expect(pair.read(forger.record(22, keyUpdateRequest)).end == .more && pair.sent.count == before)
        forger.update()
        #expect(pair.read(forger.record(23, .sample(10))).bytes == .sample(10))
    }

    // MARK: records

    @Test(arguments: [1, 2, 100, 16384 - 100])
    func paddingIsTakenOff(padding: Int) throws {
        let pair = try connected()
        var forger = Forger(pair)
        #expect(pair.read(forger.record(23, .sample(100), padding: padding)).bytes == .sample(100))
        #expect(pair.read(forger.record(23, .sample(100), padding: padding), capacity: 7).bytes == .sample(100))
        // Padding that the reader has no room for, behind nothing.
        #expect(pair.read(forger.record(23, [], padding: padding)).end == .more)
        #expect(pair.read(forger.record(23, .sample(5))).bytes == .sample(5))
    }

    @Test func everyCutAndEveryCapacityIsTheSame() throws {
        let whole = [UInt8].sample(60)
        let pair = try connected()
        for cut in 0...(2 * (60 + 22)) {
            for capacity in [1, 59, 60, 61, 120, 1000] {
                pair.client.write(whole)
                pair.client.write(whole)
                let bytes = pair.client.takeOutgoing()
                let first = pair.read(Array(bytes[..<cut]), capacity: capacity)
                let second = pair.read(Array(bytes[cut...]), capacity: capacity)
                #expect(first.bytes + second.bytes == whole + whole, "cut at \(cut), capacity \(capacity)")
                #expect(first.end == .more && second.end == .more)
            }
        }
    }

    @Test func buffersAreKeptAndGivenBack() throws {
        let context = try TLSContext.make()
        let pairs = (0..<40).map { _ in Pair(context) }
        for pair in pairs {
            #expect(pair.handshake())
            pair.client.write(.sample(5000))
        }
        #expect(unsafe context.state.pointee.recordBuffers.kept == 0)
        var rests: [[UInt8]] = []
        for pair in pairs {
            let bytes = pair.client.takeOutgoing()
            #expect(pair.read(Array(bytes.dropLast(3))).bytes.isEmpty)
            rests.append(Array(bytes.suffix(3)))
        }
        for (pair, rest) in zip(pairs, rests) { #expect(pair.read(rest).bytes == .sample(5000)) }
        #expect(unsafe context.state.pointee.recordBuffers.kept == RecordBuffers.keptMax)
    }

    // MARK: what ends a connection

    /// Feeds what the forger makes of it; answers the failure, and the alert that the client got.
    private func fails(_ name: String, _ cause: TLSFailure.Cause, alert: CInt?, _ make: (inout Forger) -> [UInt8]) throws {
        let pair = try connected()
        var forger = Forger(pair)
        let bytes = make(&forger)
        let (_, end) = pair.read(bytes)
        guard case .failed(let failure) = end else {
            Issue.record("\(name): \(end)")
            return
        }
        #expect(failure.cause == cause, "\(name)")
        if let alert { #expect(pair.client.read().end == SSL_AD_REASON_OFFSET + alert, "\(name)") } else { #expect(pair.client.read().end == nil, "\(name)") }
        // And so it stays.
        #expect(pair.read(forger.record(23, .sample(5))).end == .failed(failure))
    }

    @Test func whatAClientMayNotSend() throws {
        try fails("another type outside", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { _ in [22, 3, 3, 0, 20] + .sample(20) }
        try fails("a change of ciphers", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { _ in [20, 3, 3, 0, 1, 1] }
        try fails("an alert in clear", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { _ in [21, 3, 3, 0, 2, 1, 0] }
        try fails("another version", .decodeError, alert: SSL_AD_DECODE_ERROR) { _ in [23, 3, 1, 0, 20] + .sample(20) }
        try fails("plain HTTP", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { _ in Array("GET / HTTP/1.1\r\n\r\n".utf8) }
        try fails("too long", .recordTooLong, alert: SSL_AD_RECORD_OVERFLOW) { _ in [23, 3, 3, 0x41, 0x01] }
        try fails("too long inside", .recordTooLong, alert: SSL_AD_RECORD_OVERFLOW) { $0.record(23, .sample(16385)) }
        try fails("shorter than a tag", .badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC) { _ in [23, 3, 3, 0, 16] + .sample(16) }
        try fails("nothing", .badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC) { _ in [23, 3, 3, 0, 0] }
        try fails("garbage", .badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC) { _ in [23, 3, 3, 0, 40] + .sample(40) }
        try fails("padding alone", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(0, [0, 0, 0]) }
        try fails("a change of ciphers inside", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(20, [1]) }
        try fails("a type that is none", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(99, [1, 2]) }
        try fails("a new hello", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(22, [1, 0, 0, 4, 3, 3, 0, 0]) }
        try fails("a certificate", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(22, [11, 0, 0, 4, 0, 0, 0, 0]) }
        try fails("a message of nothing", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(22, []) }
        try fails("a long KeyUpdate", .decodeError, alert: SSL_AD_DECODE_ERROR) { $0.record(22, [24, 0, 0, 2, 0, 0]) }
        try fails("another KeyUpdate", .protocolError, alert: SSL_AD_ILLEGAL_PARAMETER) { $0.record(22, [24, 0, 0, 1, 2]) }
        try fails("two in a record", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(22, keyUpdate + keyUpdate) }
        try fails("data inside a message", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { $0.record(22, [24, 0]) + $0.record(23, [1]) }
        try fails("an alert of one byte", .decodeError, alert: SSL_AD_DECODE_ERROR) { $0.record(21, [2]) }
        try fails("an alert", .alertReceived, alert: nil) { $0.record(21, [2, 40]) }
        try fails("a record again", .badRecordMAC, alert: SSL_AD_BAD_RECORD_MAC) { forger in
            let record = forger.record(23, .sample(30))
            return record + record
        }
    }

    @Test func idleRecordsAreCounted() throws {
        let pair = try connected()
        var forger = Forger(pair)
        for _ in 0..<3 {
            for _ in unsafe 0..<RecordLayer.idleRecordsMax { #expect(pair.read(forger.record(23, [])).end == .more) }
            #expect(pair.read(forger.record(23, [7])).bytes == [7])
        }
        try fails("records of nothing", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { forger in
            unsafe (0...RecordLayer.idleRecordsMax).flatMap { _ in forger.record(23, []) }
        }
        try fails("KeyUpdates", .unexpectedMessage, alert: SSL_AD_UNEXPECTED_MESSAGE) { forger in
            unsafe (0...RecordLayer.idleRecordsMax).flatMap { _ in
                let record = forger.record(22, keyUpdate)
                forger.update()
                return record
            }
        }
    }

    @Test func closeNotifyEndsReading() throws {
        let pair = try connected()
        var forger = Forger(pair)
        // user_canceled says nothing.
        let (plain, end) = pair.read(forger.record(21, [1, 90]) + forger.record(23, .sample(4)) + forger.record(21, [1, 0]) + forger.record(23, .sample(9)))
        #expect(plain == .sample(4) && end == .closed)
        #expect(unsafe pair.session.isClosedByPeer)
    }

    private func hexadecimal(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8).map { UInt8($0 < 0x3a ? $0 - 0x30 : $0 - 0x57) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
