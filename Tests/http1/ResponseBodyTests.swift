// Bodies of responses in every framing, cut at every byte, and what the end of the connection means for them.

import Testing
import UringHTTP
import UringHTTP1

private struct Read: Equatable {
    var body: [UInt8] = []
    /// Bytes behind the end; nil when it did not come.
    var rest: Int?
    var trailers = 0
    var fault: ResponseFault?
    var end: ResponseBodyEnd
}

/// Feeds the pieces, keeping what a step has not consumed.
private func read(_ framing: ResponseBodyFraming, _ pieces: [[UInt8]], bodyBytesMax: UInt64 = .max) -> Read {
    var reader = ResponseBodyReader(framing, bodyBytesMax: bodyBytesMax)
    var read = Read(end: .truncated)
    var held: [UInt8] = []
    for piece in pieces {
        held += piece
        var consumed = 0
        feeding: while read.rest == nil && read.fault == nil {
            let memory = GuardedBytes(capacity: held.count)
            let base = unsafe memory.placedAtEnd(held[consumed...])
            // The memory lives to the end of the turn.
            switch unsafe reader.next(base, count: held.count - consumed) {
            case .data(let start, let length):
                read.body += held[(consumed + start)..<(consumed + start + length)]
                consumed += start + length
            case .needMore(let used):
                consumed += used
                break feeding
            case .end(let used, let trailers):
                consumed += used
                read.trailers = trailers
                read.rest = 0
            case .malformed(let fault): read.fault = fault
            }
        }
        held.removeFirst(consumed)
    }
    if read.rest != nil { read.rest = held.count }
    read.end = reader.endOfConnection
    #expect(reader.bodyBytes == UInt64(read.body.count))
    #expect(read.rest == nil || reader.isDone)
    return read
}

@Suite struct ResponseBodyTests {
    @Test(arguments: [
        (.none, "xyz", "", 3), (.tunnel, "xyz", "", 3), (.length(0), "xyz", "", 3), (.length(2), "xyz", "xy", 1), (.length(3), "xyz", "xyz", 0),
        (.chunked, "0\r\n\r\nHTTP", "", 4), (.chunked, "1\r\na\r\n2;e=f\r\nbc\r\n0\r\nT: u\r\n\r\n", "abc", 0),
    ] as [(ResponseBodyFraming, String, String, Int)])
    func cutAtEveryByte(framing: ResponseBodyFraming, text: String, body: String, rest: Int) {
        let bytes = Array(text.utf8)
        let whole = read(framing, [bytes])
        #expect(whole.body == Array(body.utf8) && whole.rest == rest && whole.end == .complete && whole.fault == nil)
        for cut in 0...bytes.count {
            let parts = read(framing, [Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(parts == whole, "cut at \(cut)")
            // The connection ends there.
            let part = read(framing, [Array(bytes[..<cut])])
            #expect(part.end == (cut < bytes.count - rest ? .truncated : .complete), "ended at \(cut)")
        }
        #expect(read(framing, bytes.map { [$0] }) == whole)
    }

    @Test func untilClose() {
        let whole = read(.untilClose, [Array("abc".utf8), [], Array("def".utf8)])
        #expect(whole == Read(body: Array("abcdef".utf8), rest: nil, end: .assumedComplete))
        #expect(read(.untilClose, []).end == .assumedComplete)
    }

    @Test func limits() {
        let five = Array("abcde".utf8)
        #expect(read(.length(5), [five], bodyBytesMax: 5).body == five)
        #expect(read(.length(6), [[]], bodyBytesMax: 5).fault == .bodyTooLarge)
        #expect(read(.untilClose, [five], bodyBytesMax: 5).body == five)
        #expect(read(.untilClose, [five, [0]], bodyBytesMax: 5) == Read(body: five, rest: nil, fault: .bodyTooLarge, end: .assumedComplete))
        #expect(read(.chunked, [Array("6\r\n".utf8)], bodyBytesMax: 5).fault == .bodyTooLarge)
        #expect(read(.length(UInt64(Int64.max)), [five]).body == five)
    }

    @Test func badChunks() {
        #expect(read(.chunked, [Array("x\r\n".utf8)]).fault == .badChunkSize)
        #expect(read(.chunked, [Array("1\r\nabc".utf8)]).fault == .badChunkEnd)
        #expect(read(.chunked, [Array("0\r\nContent-Length: 5\r\n\r\n".utf8)]).fault == .forbiddenTrailer)
        #expect(read(.chunked, [Array("0\r\nA: b\n\r\n".utf8)]).fault == .bareLF)
    }
}
