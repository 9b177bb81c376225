// Frames of clients: the examples of RFC 6455, every rule of section 5, and the limits. Every input is also cut at every byte.

import Testing
@testable import UringWebSocket

@Suite struct FrameTests {
    private func expect(_ bytes: [UInt8], _ events: [String], limits: WebSocketLimits = WebSocketLimits(), _ location: SourceLocation = #_sourceLocation) {
        let seen = story(bytes, limits: limits) { Issue.record("\($0)", sourceLocation: location) }
        #expect(Array(seen.prefix(events.count)) == events, sourceLocation: location)
    }
    /// The connection fails with this code, and says so in a Close.
    private func fails(_ bytes: [UInt8], _ code: UInt16, limits: WebSocketLimits = WebSocketLimits(), _ location: SourceLocation = #_sourceLocation) {
        _ = story(bytes, limits: limits) { Issue.record("\($0)", sourceLocation: location) }
        let harness = Harness(limits: limits)
        harness.receive(bytes)
        #expect(harness.events.last == "failed \(code)", sourceLocation: location)
        let frames = harness.takeFrames()
        #expect(frames.last?.opcode == 8 && frames.last?.code == code && frames.last?.final == true, sourceLocation: location)
        #expect(harness.isOver, sourceLocation: location)
        // It stays so, whatever comes.
        harness.receive(ClientFrame.text("x"))
        #expect(harness.events.last == "failed \(code)" && harness.takeFrames().isEmpty, sourceLocation: location)
    }

    // MARK: RFC 6455 5.7

    @Test func examples() {
        // A single-frame masked text message: "Hello".
        expect([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], ["text Hello"])
        // Masked Pong with the body "Hello", and the Ping of the example as a client would mask it.
        expect([0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], ["pong Hello"])
        expect(ClientFrame.make(ClientFrame.ping, Array("Hello".utf8)), ["ping Hello", "10:Hello"])
        // Fragmented "Hel" and "lo".
        expect(ClientFrame.text("Hel", final: false) + ClientFrame.make(ClientFrame.continuation, Array("lo".utf8)), ["text Hello"])
        // 256 bytes in the medium, 64 KiB in the long form.
        let medium = ClientFrame.make(ClientFrame.binary, [UInt8](repeating: 7, count: 256))
        #expect(Array(medium.prefix(4)) == [0x82, 0xfe, 0x01, 0x00])
        expect(medium, ["binary \(String(repeating: "\u{7}", count: 256))"])
        let harness = Harness()
        let long = ClientFrame.make(ClientFrame.binary, [UInt8](repeating: 7, count: 65_536))
        #expect(Array(long.prefix(10)) == [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0])
        harness.receive(long)
        #expect(harness.messages == [[UInt8](repeating: 7, count: 65_536)])
    }

    @Test func examplesOfServerFrames() {
        let harness = Harness()
        harness.send(.text, Array("Hello".utf8))
        #expect(harness.output == [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f])
        _ = harness.takeFrames()
        harness.sendFragment(.text, Array("Hel".utf8), last: false)
        harness.sendFragment(.text, Array("lo".utf8), last: true)
        #expect(harness.output == [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f])
        _ = harness.takeFrames()
        harness.send(.binary, [UInt8](repeating: 0, count: 256))
        #expect(Array(harness.output.prefix(4)) == [0x82, 0x7e, 0x01, 0x00])
        _ = harness.takeFrames()
        harness.send(.binary, [UInt8](repeating: 0, count: 65_536))
        #expect(Array(harness.output.prefix(10)) == [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    // MARK: lengths

    @Test(arguments: [0, 1, 3, 4, 7, 8, 15, 16, 17, 63, 64, 65, 124, 125, 126, 127, 128, 300])
    func lengths(count: Int) {
        let content = (0..<count).map { UInt8($0 & 0x7f) }
        let harness = Harness()
        harness.receive(ClientFrame.make(ClientFrame.text, content))
        #expect(harness.messages == [content])
        expect(ClientFrame.make(ClientFrame.binary, content), [])
        for piece in [1, 5, 64] {
            let torn = Harness()
            torn.receive(ClientFrame.make(ClientFrame.text, content), piece: piece)
            #expect(torn.messages == [content])
        }
    }

    @Test(arguments: [65_534, 65_535, 65_536, 65_537, 200_000], [0, 16_370, 1 << 20])
    func longLengths(count: Int, wholeFrameBytesMax: Int) {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var limits = WebSocketLimits()
        limits.wholeFrameBytesMax = wholeFrameBytesMax
        for piece in [4099, .max] {
            let harness = Harness(limits: limits)
            harness.receive(ClientFrame.make(ClientFrame.binary, content), piece: piece)
            #expect(harness.messages == [content])
            // A frame that is waited for is one piece.
            #expect(harness.parts.count == 1 || count > wholeFrameBytesMax)
        }
    }

    @Test func notTheShortestForm() {
        fails([0x82, 0xfe, 0x00, 0x7d, 1, 2, 3, 4], 1002)
        fails([0x82, 0xfe, 0x00, 0x00, 1, 2, 3, 4], 1002)
        fails([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4], 1002)
        fails([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 0], 1002)
    }

    @Test func sixtyThreeBits() {
        // The top bit is not part of a length.
        fails([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1002)
        fails([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1002)
        // Without it, it is a length, and too large.
        fails([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009)
        var limits = WebSocketLimits()
        limits.frameBytesMax = .max
        limits.messageBytesMax = .max - (1 << 56)
        fails([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009, limits: limits)
        // Two frames whose lengths together have more than 63 bits.
        limits.wholeFrameBytesMax = 0
        let half: [UInt8] = [0x02, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
        let harness = Harness(limits: limits)
        harness.receive(half + [9, 9, 9])
        #expect(harness.contentBytes == 3 && harness.events.isEmpty)
    }

    // MARK: rules

    @Test func maskIsRequired() {
        fails(ClientFrame.make(ClientFrame.text, Array("Hello".utf8), mask: nil), 1002)
        fails(ClientFrame.make(ClientFrame.ping, mask: nil), 1002)
        // A mask of zeros is a mask.
        expect(ClientFrame.make(ClientFrame.text, Array("Hello".utf8), mask: [0, 0, 0, 0]), ["text Hello"])
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7] as [UInt8], [0, 1, 2, 8, 9, 10] as [UInt8])
    func reservedBits(bits: UInt8, opcode: UInt8) {
        let before = opcode == 0 ? ClientFrame.text("a", final: false) : []
        fails(before + ClientFrame.make(opcode, [], reserved: bits), 1002)
    }

    @Test(arguments: [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8])
    func reservedOpcodes(opcode: UInt8) {
        fails(ClientFrame.make(opcode), 1002)
        fails(ClientFrame.text("a", final: false) + ClientFrame.make(opcode, [1]), 1002)
    }

    @Test(arguments: [8, 9, 10] as [UInt8])
    func controlFrames(opcode: UInt8) {
        fails(ClientFrame.make(opcode, final: false), 1002)
        fails(ClientFrame.make(opcode, [UInt8](repeating: 0x41, count: 126)), 1002)
        fails(Array(ClientFrame.make(opcode, [UInt8](repeating: 0x41, count: 65_536)).prefix(30)), 1002)
        fails(ClientFrame.make(opcode, [1, 2, 3], form: .two), 1002)
        if opcode != 8 {
            let most = String(repeating: "A", count: 125)
            expect(ClientFrame.make(opcode, Array(most.utf8)), ["\(opcode == 9 ? "ping" : "pong") \(most)"])
        }
    }

    @Test func orderOfFragments() {
        fails(ClientFrame.make(ClientFrame.continuation, [1]), 1002)
        fails(ClientFrame.make(ClientFrame.continuation, [1], final: false), 1002)
        fails(ClientFrame.text("a") + ClientFrame.make(ClientFrame.continuation, [1]), 1002)
        fails(ClientFrame.text("a", final: false) + ClientFrame.text("b"), 1002)
        fails(ClientFrame.text("a", final: false) + ClientFrame.make(ClientFrame.binary, [1], final: false), 1002)
        let c = ClientFrame.continuation
        expect(
            ClientFrame.text("", final: false) + ClientFrame.make(c, [], final: false) + ClientFrame.make(c, Array("b".utf8), final: false)
                + ClientFrame.make(c, []) + ClientFrame.text("d"), ["text b", "text d"])
        // Control frames may stand between them.
        expect(
            ClientFrame.text("a", final: false) + ClientFrame.make(ClientFrame.ping, Array("p".utf8)) + ClientFrame.make(c, Array("b".utf8), final: false)
                + ClientFrame.make(ClientFrame.pong, Array("q".utf8)) + ClientFrame.make(c, Array("c".utf8)), ["ping p", "pong q", "text abc"])
        // The kind is the first frame's.
        expect(ClientFrame.make(ClientFrame.binary, [65], final: false) + ClientFrame.make(c, [66]), ["binary AB"])
    }

    @Test func emptyMessages() {
        expect(ClientFrame.text("") + ClientFrame.make(ClientFrame.binary, []), ["text ", "binary "])
        let harness = Harness()
        harness.receive(ClientFrame.text(""))
        #expect(harness.parts == [WebSocketPart(.text, begins: true, ends: true, isInflated: false, offset: 6, count: 0)])
    }

    /// Views: what lies whole in the input is one piece of it, and where it begins and ends is told.
    @Test func parts() {
        let harness = Harness()
        harness.receive(ClientFrame.text("ab", final: false) + ClientFrame.make(ClientFrame.continuation, Array("c".utf8)))
        #expect(
            harness.parts == [
                WebSocketPart(.text, begins: true, ends: false, isInflated: false, offset: 6, count: 2),
                WebSocketPart(.text, begins: false, ends: true, isInflated: false, offset: 6, count: 1),
            ])
        // A frame above the limit is passed on as it arrives.
        var limits = WebSocketLimits()
        limits.wholeFrameBytesMax = 4
        let torn = Harness(limits: limits)
        torn.receive(ClientFrame.text("abcd"), piece: 1)
        torn.receive(ClientFrame.text("abcde"), piece: 1)
        #expect(torn.parts.map(\.count) == [4, 1, 1, 1, 1, 1])
        #expect(torn.parts.map(\.begins) == [true, true, false, false, false, false])
        #expect(torn.parts.map(\.ends) == [true, false, false, false, false, true])
    }

    // MARK: limits

    @Test func frameLimit() {
        var limits = WebSocketLimits()
        limits.frameBytesMax = 10
        expect(ClientFrame.make(ClientFrame.text, Array("0123456789".utf8)), ["text 0123456789"], limits: limits)
        fails(ClientFrame.make(ClientFrame.text, Array("0123456789a".utf8)), 1009, limits: limits)
        // Before the content is there.
        let harness = Harness(limits: limits)
        harness.receive([0x82, 0x8b])
        #expect(harness.events == ["failed 1009"])
    }

    @Test func messageLimit() {
        var limits = WebSocketLimits()
        limits.messageBytesMax = 10
        let five = Array("01234".utf8)
        let c = ClientFrame.continuation
        let ten = ClientFrame.make(ClientFrame.text, five, final: false) + ClientFrame.make(c, five, final: false)
        expect(ten + ClientFrame.make(c, []) + ten + ClientFrame.make(c, []), ["text 0123401234", "text 0123401234"], limits: limits)
        fails(ten + ClientFrame.make(c, [65]), 1009, limits: limits)
        // No message may be larger than its limit although its frames may be.
        limits.messageBytesMax = 0
        expect(ClientFrame.text(""), ["text "], limits: limits)
        fails(ClientFrame.text("a"), 1009, limits: limits)
    }

    @Test func fragmentLimit() {
        var limits = WebSocketLimits()
        limits.fragmentsMax = 3
        let c = ClientFrame.make(ClientFrame.continuation, [65], final: false)
        let last = ClientFrame.make(ClientFrame.continuation, [65])
        let first = ClientFrame.text("a", final: false)
        expect(first + c + last + first + c + last, ["text aAA", "text aAA"], limits: limits)
        fails(first + c + c + last, 1008, limits: limits)
    }

    private func flood(_ frame: [UInt8], most: Int, before: [UInt8] = [], _ limits: WebSocketLimits) {
        let harness = Harness(limits: limits)
        harness.receive(before)
        for _ in 0..<most { harness.receive(frame) }
        #expect(!harness.events.contains("failed 1008"))
        harness.receive(frame)
        #expect(harness.events.last == "failed 1008" && harness.takeFrames().last?.code == 1008)
        // As much again when windows have passed.
        let slow = Harness(limits: limits)
        slow.receive(before)
        for _ in 0..<(10 * most) {
            slow.receive(frame)
            slow.now += WebSocketLimits.budgetWindowNanoseconds / UInt64(max(most / 4, 1))
        }
        #expect(slow.events.last != "failed 1008")
    }

    @Test func floods() {
        var limits = WebSocketLimits()
        limits.pingsMax = 8
        limits.pongsMax = 12
        limits.emptyFramesMax = 16
        flood(ClientFrame.make(ClientFrame.ping, [1]), most: 8, limits)
        flood(ClientFrame.make(ClientFrame.pong, [1]), most: 12, limits)
        flood(ClientFrame.make(ClientFrame.continuation, [], final: false), most: 16, before: ClientFrame.text("a", final: false), limits)
        // Messages pay back.
        let busy = Harness(limits: limits)
        for _ in 0..<100 { busy.receive(ClientFrame.make(ClientFrame.ping) + ClientFrame.text("a")) }
        #expect(busy.events.last == "text a")
    }

    // MARK: random messages

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func randomMessages(seed: UInt64) {
        var random = Random(seed)
        var limits = WebSocketLimits()
        limits.wholeFrameBytesMax = [0, 100, 16_370][random.below(3)]
        let harness = Harness(limits: limits)
        var sent: [[UInt8]] = []
        var bytes: [UInt8] = []
        for _ in 0..<30 {
            let kind = random.below(2) == 0 ? ClientFrame.text : ClientFrame.binary
            let content = kind == ClientFrame.text ? randomText(&random) : random.bytes(random.below(random.below(10) == 0 ? 70_000 : 300))
            sent.append(content)
            var at = 0
            var opcode = kind
            repeat {
                let count = random.below(3) == 0 ? min(content.count - at, random.below(200)) : content.count - at
                let isLast = at + count == content.count
                bytes += ClientFrame.make(opcode, Array(content[at..<(at + count)]), final: isLast, mask: random.bytes(4))
                at += count
                opcode = ClientFrame.continuation
                if random.below(4) == 0 { bytes += ClientFrame.make(ClientFrame.ping, random.bytes(random.below(126)), mask: random.bytes(4)) }
                if isLast { break }
            } while true
        }
        var at = 0
        while at < bytes.count {
            let count = min(1 + random.below(random.below(2) == 0 ? 20 : 5000), bytes.count - at)
            harness.receive(slice: bytes[at..<(at + count)])
            at += count
        }
        #expect(harness.messages == sent)
    }
}

/// Characters of one to four bytes.
func randomText(_ random: inout Random) -> [UInt8] {
    let characters = ["a", "Z", " ", "0", "é", "ß", "\u{7ff}", "€", "中", "\u{ffff}", "😀", "\u{10ffff}", "\n", "ascii text of some length, "]
    return (0..<random.below(120)).flatMap { _ in Array(characters[random.below(characters.count)].utf8) }
}
