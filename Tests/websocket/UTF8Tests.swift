// UTF-8 (RFC 3629) over fragments and pieces: the kinds of cases that Autobahn's section 6 has, written anew from the definition of UTF-8, and all
// there is up to four bytes against the standard library.

import Testing
@testable import UringWebSocket

@Suite struct UTF8Tests {
    private func isValid(_ bytes: [UInt8], pieces: [Int] = []) -> Bool {
        var validator = UTF8Validator()
        var at = 0
        for count in pieces + [bytes.count] {
            let end = min(at + count, bytes.count)
            let piece = UnsafeMutablePointer<UInt8>.allocate(capacity: max(end - at, 1))
            defer { unsafe piece.deallocate() }
            for index in at..<end { unsafe piece[index - at] = bytes[index] }
            guard unsafe validator.take(piece, count: end - at) else { return false }
            at = end
        }
        return validator.isComplete
    }
    /// In one piece, cut at every byte, with ASCII around it so that every path meets it.
    private func check(_ bytes: [UInt8], _ expected: Bool, _ location: SourceLocation = #_sourceLocation) {
        #expect((String(validating: bytes, as: UTF8.self) != nil) == expected, "the standard library disagrees", sourceLocation: location)
        for before in [0, 1, 7, 8, 31, 33] {
            for after in [0, 1, 9, 40] {
                let around = [UInt8](repeating: 0x61, count: before) + bytes + [UInt8](repeating: 0x7a, count: after)
                #expect(isValid(around) == expected, sourceLocation: location)
                for cut in 0...bytes.count { #expect(isValid(around, pieces: [before + cut]) == expected, sourceLocation: location) }
                #expect(isValid(around, pieces: around.map { _ in 1 }) == expected, sourceLocation: location)
            }
        }
    }

    // MARK: well-formed

    @Test func textOfManyScripts() {
        for text in ["", "Hello", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "中文字符", "𝄞 and 😀", "\u{0}", "a\u{0}b"] { check(Array(text.utf8), true) }
    }

    /// The first and the last character of each length, and around the surrogates.
    @Test func borders() {
        for scalar in [0x0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x3_ffff, 0x4_0000, 0xf_ffff, 0x10_0000, 0x10_ffff] as [UInt32] {
            check(Array(String(Unicode.Scalar(scalar)!).utf8), true)
        }
    }

    @Test func nonCharacters() {
        for plane in 0...16 as ClosedRange<UInt32> {
            for low in [0xfffe, 0xffff] as [UInt32] { check(Array(String(Unicode.Scalar(plane << 16 | low)!).utf8), true) }
        }
    }

    // MARK: not well-formed

    @Test func beyondTheLastCharacter() {
        check([0xf4, 0x90, 0x80, 0x80], false)
        check([0xf7, 0xbf, 0xbf, 0xbf], false)
        check([0xf8, 0x88, 0x80, 0x80, 0x80], false)
        check([0xfb, 0xbf, 0xbf, 0xbf, 0xbf], false)
        check([0xfc, 0x84, 0x80, 0x80, 0x80, 0x80], false)
        check([0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf], false)
    }

    @Test func continuationsAlone() {
        for count in 1...7 { check([UInt8](repeating: 0x80, count: count), false) }
        for byte in 0x80...0xbf as ClosedRange<UInt8> { check([byte], false) }
        check([0x80, 0xbf, 0x80, 0xbf], false)
    }

    @Test func lonelyLeads() {
        for byte in 0xc0...0xff as ClosedRange<UInt8> {
            check([byte], false)
            check([byte, 0x20], false)
        }
    }

    @Test func lastByteMissing() {
        for text in ["\u{80}", "\u{7ff}", "\u{800}", "\u{ffff}", "\u{10000}", "\u{10ffff}"] { check(Array(text.utf8.dropLast()), false) }
        // One behind the other.
        check(["\u{80}", "\u{800}", "\u{10000}"].flatMap { Array($0.utf8.dropLast()) }, false)
    }

    @Test func impossibleBytes() {
        check([0xfe], false)
        check([0xff], false)
        check([0xfe, 0xfe, 0xff, 0xff], false)
    }

    @Test func overlong() {
        // "/" in two to six bytes, the longest of each kind, and NUL.
        for bytes in [
            [0xc0, 0xaf], [0xe0, 0x80, 0xaf], [0xf0, 0x80, 0x80, 0xaf], [0xf8, 0x80, 0x80, 0x80, 0xaf], [0xfc, 0x80, 0x80, 0x80, 0x80, 0xaf],
            [0xc1, 0xbf], [0xe0, 0x9f, 0xbf], [0xf0, 0x8f, 0xbf, 0xbf], [0xc0, 0x80], [0xe0, 0x80, 0x80], [0xf0, 0x80, 0x80, 0x80],
        ] as [[UInt8]] { check(bytes, false) }
    }

    @Test func surrogates() {
        for bytes in [
            [0xed, 0xa0, 0x80], [0xed, 0xad, 0xbf], [0xed, 0xae, 0x80], [0xed, 0xaf, 0xbf], [0xed, 0xb0, 0x80], [0xed, 0xbe, 0x80], [0xed, 0xbf, 0xbf],
            [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80], [0xed, 0xaf, 0xbf, 0xed, 0xbf, 0xbf],
        ] as [[UInt8]] { check(bytes, false) }
    }

    @Test func brokenInTheMiddle() {
        let text = Array("Hello-µ@ßöäüàá-UTF-8!!".utf8)
        for place in text.indices {
            for byte in [0x80, 0xc0, 0xff, 0xed] as [UInt8] {
                var broken = text
                broken[place] = byte
                #expect(isValid(broken) == (String(validating: broken, as: UTF8.self) != nil))
            }
            #expect(isValid(Array(text[..<place])) == (String(validating: text[..<place], as: UTF8.self) != nil))
        }
    }

    // MARK: everything

    @Test func everyPairAndTriple() {
        var wrong = 0
        let thirds: [UInt8] = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
        for first in 0...255 as ClosedRange<UInt8> {
            for second in 0...255 as ClosedRange<UInt8> {
                let pair = [first, second]
                if isValid(pair) != (String(validating: pair, as: UTF8.self) != nil) { wrong += 1 }
                guard first >= 0xe0 else { continue }
                for third in thirds {
                    let triple = [first, second, third]
                    let expected = String(validating: triple, as: UTF8.self) != nil
                    if isValid(triple) != expected || isValid(triple, pieces: [1, 1]) != expected { wrong += 1 }
                    for fourth in [0x41, 0x80, 0xbf] as [UInt8] where first >= 0xf0 {
                        let four = triple + [fourth]
                        if isValid(four) != (String(validating: four, as: UTF8.self) != nil) { wrong += 1 }
                    }
                }
            }
        }
        #expect(wrong == 0)
    }

    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func randomBytes(seed: UInt64) {
        var random = Random(seed)
        for _ in 0..<100 {
            var bytes = randomText(&random)
            for _ in 0..<random.below(3) where !bytes.isEmpty { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            let expected = String(validating: bytes, as: UTF8.self) != nil
            #expect(isValid(bytes) == expected)
            #expect(isValid(bytes, pieces: (0..<8).map { _ in random.below(20) }) == expected)
        }
    }

    // MARK: in messages

    @Test func charactersAcrossFragments() {
        let text = Array("κόσμε €😀".utf8)
        for cut in 0...text.count {
            let bytes = ClientFrame.make(ClientFrame.text, Array(text[..<cut]), final: false) + ClientFrame.make(ClientFrame.continuation, Array(text[cut...]))
            let harness = Harness()
            harness.receive(bytes)
            #expect(harness.messages == [text])
        }
        // Each byte a fragment.
        let all = text.enumerated().flatMap { ClientFrame.make($0 == 0 ? 1 : 0, [$1], final: $0 == text.count - 1) }
        #expect(story(all) { Issue.record("\($0)") } == ["text κόσμε €😀"])
    }

    @Test func failsAsSoonAsItIsClear() {
        // The second fragment is bad, the third never comes.
        let first = ClientFrame.make(ClientFrame.text, Array("κόσμε".utf8), final: false)
        let harness = Harness()
        harness.receive(first + ClientFrame.make(ClientFrame.continuation, [0xf4, 0x90], final: false))
        #expect(harness.events == ["failed 1007"])
        // In a frame that is passed on as it arrives, at the bad byte.
        var limits = WebSocketLimits()
        limits.wholeFrameBytesMax = 0
        let torn = Harness(limits: limits)
        let good = Array("κόσμε".utf8)
        let frame = ClientFrame.make(ClientFrame.text, good + [0xed, 0xa0] + Array("edited".utf8))
        let bad = 6 + good.count + 1
        torn.receive(Array(frame[..<bad]))
        #expect(torn.events.isEmpty)
        torn.receive([frame[bad]])
        #expect(torn.events == ["failed 1007"])
        // The end of a message within a character.
        let half = story(ClientFrame.make(ClientFrame.text, [0xe2, 0x82])) { Issue.record("\($0)") }
        #expect(half.first == "failed 1007")
        let late = story(ClientFrame.make(ClientFrame.text, [0xe2, 0x82], final: false) + ClientFrame.make(ClientFrame.continuation, [])) { Issue.record("\($0)") }
        #expect(late.first == "failed 1007")
    }

    @Test func nothingIsCarriedIntoTheNextMessage() {
        // Binary content is not looked at.
        let bytes = ClientFrame.make(ClientFrame.binary, [0xe2, 0x82]) + ClientFrame.text("ok") + ClientFrame.make(ClientFrame.binary, [0xff])
        let harness = Harness()
        harness.receive(bytes)
        #expect(harness.messages == [[0xe2, 0x82], Array("ok".utf8), [0xff]])
    }
}
