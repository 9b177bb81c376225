// Records after the handshake: sizes, pieces, bounds, key updates, the ends of a connection, what a peer may not do.

import CUringTLS
import Testing
import UringTLS

private let versions = [TLS1_2_VERSION, TLS1_3_VERSION]

private func connected(_ version: CInt, piece: Int = .max, _ change: (inout TLSConfiguration) -> Void = { _ in }) throws -> Pair {
    var options = ClientOptions()
    options.minimumVersion = version
    options.maximumVersion = version
    let pair = Pair(try TLSContext.make(change), options, piece: piece)
    #expect(pair.handshake())
    return pair
}

@Suite struct RecordTests {
    @Test(arguments: versions, [1, 3, 1000, 16384, Int.max])
    func bytesArriveInPieces(version: CInt, piece: Int) throws {
        let pair = try connected(version)
        pair.piece = piece
        for size in [1, 100, 16384, 16385, 40000] {
            pair.client.write(.sample(size))
            let (plain, end) = pair.read(pair.client.takeOutgoing())
            #expect(plain == .sample(size) && end == .more)
            pair.write(.sample(size, seed: 5))
            #expect(pair.client.read().bytes == .sample(size, seed: 5))
        }
    }

    @Test(arguments: versions)
    func smallCapacitiesLoseNothing(version: CInt) throws {
        let pair = try connected(version)
        for capacity in [1, 7, 16383] {
            pair.client.write(.sample(3000))
            pair.client.write(.sample(20000, seed: 2))
            let (plain, end) = pair.read(pair.client.takeOutgoing(), capacity: capacity)
            #expect(plain == .sample(3000) + .sample(20000, seed: 2) && end == .more)
        }
    }

    @Test(arguments: versions)
    func manyRecordsAreOneRead(version: CInt) throws {
        let pair = try connected(version)
        for index in 0..<10 { pair.client.write(.sample(100, seed: UInt64(index))) }
        let bytes = pair.client.takeOutgoing()
        unsafe bytes.withUnsafeBufferPointer { window in
            unsafe pair.session.feed(window.baseAddress, window.count)
            var buffer = [UInt8](repeating: 0, count: 4096)
            let (step, _) = unsafe pair.withOutput { unsafe pair.session.read(into: &buffer, capacity: 4096, &$0) }
            #expect(step == .bytes(1000))
            #expect(unsafe pair.session.isDrained && pair.session.unread == 0)
        }
    }

    @Test(arguments: versions, [1, 16384, 16385, 100_000])
    func sealedBoundHolds(version: CInt, size: Int) throws {
        let pair = try connected(version)
        let sealed = pair.write(.sample(size)).count
        unsafe #expect(sealed <= TLSSession.sealedBound(size) && sealed > size)
    }

    @Test func randomPiecesBothWays() throws {
        var generator = SystemRandomNumberGenerator()
        let seed = generator.next() | 1
        var state = seed
        func random(_ range: Range<Int>) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return range.lowerBound + Int(state >> 33) % range.count
        }
        for version in versions {
            let pair = try connected(version)
            var expected: [UInt8] = []
            var received: [UInt8] = []
            for round in 0..<200 {
                pair.piece = random(1..<30000)
                let bytes = [UInt8].sample(random(1..<40000), seed: UInt64(round))
                expected += bytes
                pair.client.write(bytes)
                let (plain, end) = pair.read(pair.client.takeOutgoing(), capacity: random(1..<40000))
                received += plain
                #expect(end == .more, "seed \(seed)")
                pair.outputCapacity = random(0..<60000)
                pair.write(bytes)
                #expect(pair.client.read().bytes == bytes, "seed \(seed)")
            }
            #expect(expected == received, "seed \(seed)")
        }
    }

    @Test func keyUpdatesAreAnswered() throws {
        let pair = try connected(TLS1_3_VERSION)
        for round in 0..<5 {
            #expect(unsafe SSL_key_update(pair.client.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
            pair.client.write(.sample(100))
            let (plain, end) = pair.read(pair.client.takeOutgoing())
            #expect(plain == .sample(100) && end == .more)
            let bound = unsafe TLSSession.sealedBound(1000)
            #expect(pair.write(.sample(1000, seed: UInt64(round))).count <= bound)
            #expect(pair.client.read().bytes == .sample(1000, seed: UInt64(round)))
        }
    }

    @Test(arguments: versions)
    func closeNotifyIsTheOnlyEnd(version: CInt) throws {
        let pair = try connected(version)
        pair.client.write(.sample(10))
        unsafe SSL_shutdown(pair.client.ssl)
        let (plain, end) = pair.read(pair.client.takeOutgoing())
        #expect(plain == .sample(10) && end == .closed)
        #expect(unsafe pair.session.isClosedByPeer)
        #expect(pair.read(.sample(5)).end == .closed)
        // The other direction is open still.
        pair.write(.sample(20))
        let (_, notify) = unsafe pair.withOutput { unsafe pair.session.shutdown(&$0) }
        #expect(!notify.isEmpty)
        #expect(unsafe pair.withOutput { unsafe pair.session.shutdown(&$0) }.1.isEmpty)
        pair.client.giveIncoming(notify)
        let read = pair.client.read()
        #expect(read.bytes == .sample(20) && read.end == 0)
        let (step, _) = unsafe pair.withOutput { output in unsafe [UInt8(1)].withUnsafeBufferPointer { unsafe pair.session.write($0.baseAddress!, 1, &output) } }
        #expect(step == .failed(TLSFailure(.protocolError)))
    }

    @Test(arguments: versions)
    func readingGoesOnAfterOurClose(version: CInt) throws {
        let pair = try connected(version)
        let (_, notify) = unsafe pair.withOutput { unsafe pair.session.shutdown(&$0) }
        pair.client.write(.sample(30))
        #expect(pair.read(pair.client.takeOutgoing()).bytes == .sample(30))
        pair.client.giveIncoming(notify)
        #expect(pair.client.read().end == 0)
    }

    @Test(arguments: versions)
    func aTruncatedRecordIsNoEnd(version: CInt) throws {
        let pair = try connected(version)
        pair.client.write(.sample(1000))
        let bytes = pair.client.takeOutgoing()
        let (plain, end) = pair.read(Array(bytes.dropLast()))
        #expect(plain.isEmpty && end == .more)
        #expect(unsafe !pair.session.isClosedByPeer)
        #expect(pair.read([bytes.last!]).bytes == .sample(1000))
    }

    @Test(arguments: versions)
    func aChangedRecordFails(version: CInt) throws {
        let pair = try connected(version)
        pair.client.write(.sample(50))
        var bytes = pair.client.takeOutgoing()
        pair.client.write(.sample(60))
        bytes += pair.client.takeOutgoing()
        bytes[bytes.count - 1] ^= 1
        let sentBefore = pair.sent.count
        let (plain, end) = pair.read(bytes)
        #expect(plain == .sample(50))
        guard case .failed(let failure) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(failure.cause == .badRecordMAC)
        #expect(pair.sent.count > sentBefore)
        #expect(pair.client.read().end == SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC)
        #expect(pair.read(.sample(5)).end == .failed(failure))
    }

    @Test(arguments: versions)
    func anOversizedRecordFails(version: CInt) throws {
        let pair = try connected(version)
        let (_, end) = pair.read([23, 3, 3, 0xff, 0xff] + .sample(100))
        guard case .failed(let failure) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(failure.cause == .recordTooLong, "\(failure)")
    }

    @Test func anAlertIsNamed() throws {
        let pair = try connected(TLS1_2_VERSION)
        pair.piece = .max
        let fresh = Pair(try TLSContext.make())
        _ = fresh.client.handshake()
        #expect(fresh.handshakeStep(fresh.client.takeOutgoing()) == .more)
        guard case .failed(let failure) = fresh.handshakeStep([21, 3, 3, 0, 2, 2, 48]) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.cause == .alertReceived && failure.alert == 48)
        #expect(failure.description.contains("unknown CA"))
    }

    @Test func renegotiationIsRefused() throws {
        let pair = try connected(TLS1_2_VERSION)
        #expect(unsafe SSL_renegotiate(pair.client.ssl) == 1)
        _ = pair.client.handshake()
        let (plain, _) = pair.read(pair.client.takeOutgoing())
        #expect(plain.isEmpty)
        // A warning alert, no_renegotiation: the client gives up, the server does no key exchange.
        let step = pair.client.handshake()
        guard case .failed(let reason) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(reason == SSL_R_NO_RENEGOTIATION || reason == SSL_AD_REASON_OFFSET + SSL_AD_NO_RENEGOTIATION)
    }

    @Test func compressionIsOff() throws {
        let pair = try connected(TLS1_2_VERSION)
        #expect(unsafe SSL_get_current_compression(pair.client.ssl) == nil)
    }

    @Test(arguments: versions, [true, false])
    func countsBytesAndNamesTheCipher(version: CInt, releases: Bool) throws {
        let pair = try connected(version) { $0.releasesIdleBuffers = releases }
        let before = unsafe (pair.session.bytesIn, pair.session.bytesOut)
        pair.client.write(.sample(100))
        let bytes = pair.client.takeOutgoing()
        _ = pair.read(bytes)
        let sealed = pair.write(.sample(10)).count
        #expect(unsafe pair.session.bytesIn - before.0 == bytes.count && pair.session.bytesOut - before.1 == sealed)
        #expect(unsafe String(cString: pair.session.cipherName!).contains("AES"))
        unsafe pair.session.releaseBuffers()
        pair.client.write(.sample(100))
        #expect(pair.read(pair.client.takeOutgoing()).bytes == .sample(100))
    }
}
