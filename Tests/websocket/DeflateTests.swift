// permessage-deflate (RFC 7692): its examples, both directions, bounds. zlib on the client's side too; another implementation is in PeerTests.

import Testing
@testable import UringWebSocket

@Suite struct DeflateTests {
    private func parameters(server: Bool = false, client: Bool = false, serverBits: Int32 = 15, clientBits: Int32 = 15) -> WebSocketDeflateParameters {
        var parameters = WebSocketDeflateParameters()
        parameters.isOn = true
        parameters.serverTakesContextOver = server
        parameters.clientTakesContextOver = client
        parameters.serverWindowBits = serverBits
        parameters.clientWindowBits = clientBits
        return parameters
    }
    private func compressed(_ payload: [UInt8], final: Bool = true, opcode: UInt8 = 1) -> [UInt8] {
        ClientFrame.make(opcode, payload, final: final, reserved: opcode == 0 ? 0 : 4)
    }
    private func expect(
        _ bytes: [UInt8], _ events: [String], client: Bool = false, roomBytes: Int = 65_536, limits: WebSocketLimits = WebSocketLimits(),
        _ location: SourceLocation = #_sourceLocation
    ) {
        let seen = story(bytes, limits: limits, deflate: parameters(client: client), roomBytes: roomBytes) { Issue.record("\($0)", sourceLocation: location) }
        #expect(Array(seen.prefix(events.count)) == events, sourceLocation: location)
    }

    // MARK: RFC 7692 7.2.3

    private let hello: [UInt8] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]

    @Test(arguments: [1, 2, 5, 65_536])
    func examples(roomBytes: Int) {
        // 7.2.3.1: one block, whole and in two fragments.
        expect(compressed(hello), ["text Hello"], roomBytes: roomBytes)
        expect(compressed(Array(hello[..<3]), final: false) + compressed(Array(hello[3...]), opcode: 0), ["text Hello"], roomBytes: roomBytes)
        // 7.2.3.2: the second message refers to the first.
        expect(compressed(hello) + compressed([0xf2, 0x00, 0x11, 0x00, 0x00]), ["text Hello", "text Hello"], client: true, roomBytes: roomBytes)
        // 7.2.3.3: a block without compression.
        expect(compressed([0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]), ["text Hello"], roomBytes: roomBytes)
        // 7.2.3.4: a block that says it is the last.
        expect(compressed([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), ["text Hello"], roomBytes: roomBytes)
        // 7.2.3.5: two blocks.
        expect(compressed([0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]), ["text Hello"], roomBytes: roomBytes)
        // 7.2.3.6: nothing.
        expect(compressed([0x00]), ["text "], roomBytes: roomBytes)
    }

    /// The window outlives a block that says it is the last.
    @Test func lastBlockAndTakeover() {
        expect(compressed([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]) + compressed([0xf2, 0x00, 0x11, 0x00, 0x00]), ["text Hello", "text Hello"], client: true)
    }

    @Test func plainMessagesInBetween() {
        expect(
            compressed(hello) + ClientFrame.text("plain") + ClientFrame.make(ClientFrame.ping) + compressed([0xf2, 0x00, 0x11, 0x00, 0x00]),
            ["text Hello", "text plain", "ping ", "text Hello"], client: true)
    }

    @Test func emptyPayload() {
        expect(compressed([]) + compressed([], final: false) + compressed([], opcode: 0) + compressed(hello), ["text ", "text ", "text Hello"])
        // A last fragment without bytes.
        expect(compressed(hello, final: false) + compressed([], opcode: 0), ["text Hello"])
    }

    @Test func broken() {
        // A reserved block type; half a message; a reference to what was never sent; stored lengths that disagree.
        expect(compressed([0x06, 0x00]), ["failed 1007"])
        expect(compressed(Array(hello[..<4])), ["failed 1007"])
        expect(compressed([0xf2, 0x00, 0x11, 0x00, 0x00]), ["failed 1007"])
        expect(compressed(hello) + compressed([0xf2, 0x00, 0x11, 0x00, 0x00]), ["text Hello", "failed 1007"])
        expect(compressed([0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48]), ["failed 1007"])
        // Without the extension the bit is reserved.
        let harness = Harness()
        harness.receive(compressed(hello))
        #expect(harness.events == ["failed 1002"])
        // It stands in a message's first frame only.
        expect(compressed(hello, final: false) + ClientFrame.make(ClientFrame.continuation, [0], reserved: 4), ["failed 1002"])
    }

    @Test func textIsCheckedAfterInflation() {
        let peer = PeerDeflate()
        expect(compressed(peer.deflate(Array("κόσμε".utf8))), ["text κόσμε"])
        peer.reset()
        expect(compressed(peer.deflate([0xed, 0xa0, 0x80])), ["failed 1007"])
        peer.reset()
        expect(compressed(peer.deflate([0xe2, 0x82])), ["failed 1007"])
        // Characters across pieces of the room.
        peer.reset()
        expect(compressed(peer.deflate(Array("κόσμε€😀".utf8))), ["text κόσμε€😀"], roomBytes: 1)
    }

    // MARK: bounds

    @Test func bomb() {
        // 64 MiB of zeros in 64 KiB.
        let peer = PeerDeflate()
        let bomb = peer.deflate([UInt8](repeating: 0, count: 64 << 20))
        var limits = WebSocketLimits()
        limits.messageBytesMax = 1 << 20
        let compression = Compression()
        let harness = Harness(limits: limits, deflate: parameters(), compression: compression)
        harness.keepsContent = false
        harness.receive(compressed(bomb, opcode: 2))
        #expect(harness.events == ["failed 1009"] && harness.contentBytes <= 1 << 20)
        #expect(harness.takeFrames().last?.code == 1009)
        #expect(compression.lent == [0, 0])
        // Exactly the limit passes.
        peer.reset()
        let exact = peer.deflate([UInt8](repeating: 0, count: 1 << 20))
        let good = Harness(limits: limits, deflate: parameters(), compression: compression)
        good.receive(compressed(exact, opcode: 2))
        #expect(good.messages.first?.count == 1 << 20)
        peer.reset()
        good.receive(compressed(peer.deflate([UInt8](repeating: 0, count: 1 << 20 + 1)), opcode: 2))
        #expect(good.events.last == "failed 1009")
    }

    @Test func emptyBlocksAreBounded() {
        var limits = WebSocketLimits()
        limits.messageBytesMax = 1000
        let compression = Compression()
        let harness = Harness(limits: limits, deflate: parameters(), compression: compression)
        harness.receive(compressed([0x00], final: false))
        for _ in 0..<300 { harness.receive(compressed([0x00, 0x00, 0xff, 0xff, 0x00], final: false, opcode: 0)) }
        #expect(harness.events.last == "failed 1009" || harness.events.last == "failed 1007")
    }

    @Test func idleConnectionsHoldNothing() {
        let compression = Compression()
        let harness = Harness(deflate: parameters(), compression: compression)
        let peer = PeerDeflate()
        let text = [UInt8](repeating: 65, count: 5000)
        let payload = peer.deflate(text)
        harness.receive(compressed(Array(payload[..<5]), final: false))
        #expect(harness.holdsState && compression.lent == [1, 0])
        harness.receive(compressed(Array(payload[5...]), opcode: 0))
        #expect(harness.messages == [text] && !harness.holdsState && compression.lent == [0, 0])
        let next = Harness(deflate: parameters(), compression: compression)
        next.receive(compressed(payload))
        #expect(next.messages == [text] && !next.holdsState && compression.lent == [0, 0])
        #expect(next.sendDeflated(.text, text) != .plain)
        #expect(!next.holdsState && compression.lent == [0, 0])
        // What states took is counted, and stays within its bound.
        #expect(compression.bytes > 0 && compression.bytes < 4 << 20)
    }

    @Test func takeoverHoldsStatesForLife() {
        let compression = Compression()
        do {
            let harness = Harness(deflate: parameters(server: true, client: true), compression: compression)
            harness.receive(compressed(hello))
            harness.sendDeflated(.text, [UInt8](repeating: 65, count: 1000))
            #expect(compression.lent == [1, 1] && harness.holdsState)
            harness.receive(ClientFrame.close(1000))
            #expect(compression.lent == [0, 0])
        }
        do {
            let harness = Harness(deflate: parameters(server: true, client: true), compression: compression)
            harness.receive(compressed(hello))
            // And what one connection sent is out of another's reach.
            let other = Harness(deflate: parameters(server: true, client: true), compression: compression)
            other.receive(compressed([0xf2, 0x00, 0x11, 0x00, 0x00]))
            #expect(other.events == ["failed 1007"])
        }
        #expect(compression.lent == [0, 0])
    }

    @Test func lentStatesAreBounded() {
        var options = WebSocketCompressionOptions()
        options.inflatersMax = 2
        options.deflatersMax = 1
        let compression = Compression(options)
        let all = (0..<3).map { _ in Harness(deflate: parameters(server: true, client: true), compression: compression) }
        for harness in all { harness.receive(compressed(hello)) }
        #expect(all.map(\.events) == [["text Hello"], ["text Hello"], ["failed 1013"]])
        let text = [UInt8](repeating: 65, count: 1000)
        #expect(all[0].sendDeflated(.text, text) != .plain)
        #expect(all[1].sendDeflated(.text, text) == .plain)
        // An optimised build lets go of what is not used any more, and with it of what that has borrowed.
        withExtendedLifetime(all) {}
    }

    // MARK: output

    @Test(arguments: [false, true], [9, 12, 15] as [Int32])
    func messagesOut(takeover: Bool, bits: Int32) {
        let compression = Compression()
        let harness = Harness(deflate: parameters(server: takeover, serverBits: bits), compression: compression)
        let peer = PeerDeflate()
        var random = Random(UInt64(bits))
        var sizes: [Int] = []
        for round in 0..<40 {
            let text = Array((0..<(random.below(800) + 30)).flatMap { _ in Array("{\"id\":\(random.below(1000)),\"name\":\"x\"}".utf8) }.prefix(random.below(30_000) + 300))
            guard case .written = harness.sendDeflated(.text, text) else {
                Issue.record("round \(round) is not compressed")
                continue
            }
            let frames = harness.takeFrames()
            #expect(frames.count == 1 && frames[0].compressed && frames[0].opcode == 1 && frames[0].final)
            if !takeover { peer.reset() }
            #expect(peer.inflate(frames[0].payload) == text)
            sizes.append(frames[0].payload.count)
        }
        #expect(sizes.count == 40)
    }

    @Test func fragmentsOut() {
        let compression = Compression()
        for takeover in [false, true] {
            let harness = Harness(deflate: parameters(server: takeover), compression: compression)
            let peer = PeerDeflate()
            for _ in 0..<3 {
                let pieces = [[UInt8](repeating: 65, count: 1000), [], Array("and so on".utf8), [UInt8](repeating: 66, count: 100_000), []]
                for (index, piece) in pieces.enumerated() {
                    #expect(harness.sendDeflated(.binary, piece, last: index == pieces.count - 1) != .plain)
                    if index == 1 { #expect(!harness.send(.text, [65]) && !harness.sendFragment(.text, [65], last: true)) }
                }
                let frames = harness.takeFrames()
                #expect(frames.map(\.opcode) == [2, 0, 0, 0, 0] && frames.map(\.compressed) == [true, false, false, false, false])
                #expect(frames.map(\.final) == [false, false, false, false, true])
                if !takeover { peer.reset() }
                #expect(peer.inflate(frames.flatMap(\.payload)) == pieces.flatMap { $0 })
            }
        }
    }

    @Test func whatIsSentPlain() {
        let compression = Compression()
        let harness = Harness(deflate: parameters(server: true), compression: compression)
        var random = Random(9)
        // Short; not compressible; and the deflater is not left with what the client never saw.
        #expect(harness.sendDeflated(.text, [UInt8](repeating: 65, count: 255)) == .plain)
        let noise = random.bytes(5000)
        let text = [UInt8](repeating: 65, count: 500)
        let peer = PeerDeflate()
        for _ in 0..<3 {
            #expect(harness.sendDeflated(.binary, noise) == .plain)
            #expect(harness.takeFrames().isEmpty)
            #expect(harness.sendDeflated(.text, text) != .plain)
            #expect(peer.inflate(harness.takeFrames()[0].payload) == text)
        }
        // As fragments too: the whole message.
        #expect(harness.sendDeflated(.binary, noise, last: false) == .plain)
        #expect(harness.sendFragment(.binary, noise, last: false))
        #expect(harness.sendDeflated(.binary, text, last: false) == .plain)
        #expect(harness.sendFragment(.binary, text, last: true))
        // zlib cannot write windows of 8 bits; it reads them.
        let narrow = Harness(deflate: parameters(serverBits: 8, clientBits: 8), compression: compression)
        #expect(narrow.sendDeflated(.text, text) == .plain)
        narrow.receive(compressed(hello))
        #expect(narrow.events == ["text Hello"])
        // Without the extension.
        #expect(Harness().sendDeflated(.text, text) == .plain)
    }

    /// zlib never writes more than the bound, at any level and memory.
    @Test func bound() {
        var random = Random(4)
        for memory in [1, 6, 9] as [Int32] {
            var options = WebSocketCompressionOptions()
            options.memoryLevel = memory
            options.level = 6
            options.thresholdBytes = 0
            let harness = Harness(deflate: parameters(server: true), compression: Compression(options))
            // Compressible in front, so that it does not end as plain; then noise, as a fragment that has no choice.
            for count in [0, 1, 100, 5000, 200_000] {
                #expect(harness.sendDeflated(.binary, [UInt8](repeating: 0, count: 1000), last: false) != .plain)
                #expect(harness.sendDeflated(.binary, random.bytes(count), last: true) != .plain)
                _ = harness.takeFrames()
            }
        }
    }

    // MARK: random messages

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomMessages(seed: UInt64) {
        var random = Random(seed)
        let takeover = random.below(2) == 0
        let bits = Int32(9 + random.below(7))
        var limits = WebSocketLimits()
        limits.wholeFrameBytesMax = [0, 50, 16_370][random.below(3)]
        let compression = Compression(roomBytes: [1, 17, 4096, 65_536][random.below(4)])
        let harness = Harness(limits: limits, deflate: parameters(client: takeover, clientBits: bits), compression: compression)
        let peer = PeerDeflate(level: Int32(random.below(10)), bits: bits)
        var sent: [[UInt8]] = []
        var bytes: [UInt8] = []
        for _ in 0..<20 {
            let content = random.below(3) == 0 ? random.bytes(random.below(3000)) : Array(repeating: randomText(&random), count: 1 + random.below(20)).flatMap { $0 }
            sent.append(content)
            let squeezes = random.below(4) > 0
            if squeezes, !takeover { peer.reset() }
            let payload = squeezes ? peer.deflate(content) : content
            var at = 0
            repeat {
                // The first fragment is not empty, so that `at` tells the first from the others.
                let least = at == 0 ? min(1, payload.count) : 0
                let count = random.below(2) == 0 ? min(payload.count - at, least + random.below(100)) : payload.count - at
                let isLast = at + count == payload.count
                bytes += ClientFrame.make(
                    at == 0 ? 2 : 0, Array(payload[at..<(at + count)]), final: isLast, reserved: squeezes && at == 0 ? 4 : 0, mask: random.bytes(4))
                at += count
                if isLast { break }
            } while true
        }
        var at = 0
        while at < bytes.count {
            let count = min(1 + random.below(random.below(2) == 0 ? 9 : 3000), bytes.count - at)
            harness.receive(slice: bytes[at..<(at + count)])
            at += count
        }
        #expect(harness.messages == sent)
    }
}
