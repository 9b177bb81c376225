// What collectors answer: read, and read when it is anything else.

import Testing

@testable import UringPolicy

@Suite("Answers of a collector")
struct OTLPAnswerTests {
    // partial_success { rejected_spans: 300, error_message: "no" }, behind a field of another kind each.
    private let partial: [UInt8] = [0x18, 0x05, 0x0a, 0x10, 0x08, 0xac, 0x02, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x02, 0x6e, 0x6f, 0x25, 1, 2, 3, 4]

    @Test("tell how many spans were rejected, and why")
    func whole() {
        let answer = exactly(partial) { OTLPAnswer($0) }
        #expect(answer.rejected == 300 && answer.message == Array("no".utf8))
        #expect(exactly([]) { OTLPAnswer($0) }.rejected == 0)
        // A negative number is none.
        #expect(exactly([0x0a, 11, 0x08] + [UInt8](repeating: 0xff, count: 9) + [1]) { OTLPAnswer($0) }.rejected == 0)
    }

    @Test("are read as far as they go when they are cut")
    func cut() {
        for end in partial.indices {
            let answer = exactly(partial[..<end]) { OTLPAnswer($0) }
            // The message that holds them has to be there as a whole.
            #expect(answer.rejected == (end < 20 ? 0 : 300) && answer.message.isEmpty == (end < 20))
        }
    }

    @Test("of a refusal have a sentence, unless they are no message")
    func refusal() {
        #expect(exactly([0x08, 3, 0x12, 3, 0x62, 0x61, 0x64]) { OTLPAnswer.statusMessage($0) } == Array("bad".utf8))
        for bytes: [UInt8] in [Array("<html>".utf8), [0x12, 3, 0x62], [0x08], [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x00, 0x01], [0x0b]] {
            #expect(exactly(bytes) { OTLPAnswer.statusMessage($0) } == nil)
        }
    }
}
