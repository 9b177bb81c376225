// The chunked decoder: bodies in one piece and in every pair of pieces, faults, limits, trailers, in-place decoding.

import Testing
import UringHTTP
import UringHTTP1

/// What came of feeding a body.
private struct Decoded: Equatable {
    var body: [UInt8] = []
    var trailers: [ParsedField] = []
    /// Bytes behind the body; -1 when it did not end.
    var rest = -1
    var fault: RequestFault?
}

/// Feeds `bytes` so that at most the first `cut` bytes are there at first, then `step` more at a time.
private func decode(_ bytes: [UInt8], cut: Int, step: Int, bodyBytesMax: UInt64 = .max, withStorage: Bool = true) -> Decoded {
    let memory = GuardedBytes(capacity: bytes.count)
    let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 32)
    defer { unsafe slots.deallocate() }
    var decoder = ChunkedDecoder(bodyBytesMax: bodyBytesMax)
    var result = Decoded()
    var from = 0
    var available = min(cut, bytes.count)
    while true {
        // The memory lives to the end of this function; each call sees the unconsumed bytes at the end of a page.
        let input = Array(bytes[from..<available])
        let base = unsafe memory.placedAtEnd(input)
        switch unsafe decoder.decode(base, count: input.count, trailers: withStorage ? slots : nil, trailerCapacity: withStorage ? 32 : 0) {
        case .data(let start, let length):
            #expect(length > 0)
            result.body += input[start..<start + length]
            from += start + length
        case .needMore(let consumed):
            from += consumed
            if available == bytes.count { return result }
            available = min(available + step, bytes.count)
        case .end(let consumed, let count):
            for index in 0..<(withStorage ? count : 0) {
                let slot = unsafe slots[index]
                func text(_ offset: UInt32, _ length: Int) -> String { latin1(input[Int(offset)..<Int(offset) + length]) }
                result.trailers.append(
                    ParsedField(
                        name: text(slot.nameOffset, Int(slot.nameLength)), value: text(slot.valueOffset, Int(slot.valueLength)), known: slot.known))
            }
            result.rest = bytes.count - from - consumed
            #expect(decoder.isDone)
            return result
        case .malformed(let fault):
            result.fault = fault
            return result
        }
    }
}

private func decodeEveryWay(_ bytes: [UInt8], bodyBytesMax: UInt64 = .max, sourceLocation: SourceLocation = #_sourceLocation) -> Decoded {
    let whole = decode(bytes, cut: bytes.count, step: 1, bodyBytesMax: bodyBytesMax)
    for cut in 0..<bytes.count {
        let parts = decode(bytes, cut: cut, step: bytes.count, bodyBytesMax: bodyBytesMax)
        if parts != whole && !(whole.fault != nil && parts.fault == whole.fault) {
            Issue.record("cut at \(cut): \(parts), whole: \(whole)", sourceLocation: sourceLocation)
        }
    }
    for step in [1, 2, 3, 7] {
        let steps = decode(bytes, cut: step, step: step, bodyBytesMax: bodyBytesMax)
        if steps != whole && !(whole.fault != nil && steps.fault == whole.fault) {
            Issue.record("steps of \(step): \(steps), whole: \(whole)", sourceLocation: sourceLocation)
        }
    }
    return whole
}

@Suite struct ChunkedDecoderTests {
    @Test(arguments: [
        ("0\r\n\r\n", "", 0), ("5\r\nhello\r\n0\r\n\r\n", "hello", 0), ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", 0), ("00005\r\nhello\r\n000\r\n\r\n", "hello", 0),
        ("a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij", 0), ("5;x=y\r\nhello\r\n0;z\r\n\r\n", "hello", 0), ("5 ; x\r\nhello\r\n0\r\n\r\n", "hello", 0),
        ("5\t;x=\"a b;c\"\r\nhello\r\n0\r\n\r\n", "hello", 0), ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0), ("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "x", 16),
    ])
    func bodies(text: String, body: String, rest: Int) {
        let result = decodeEveryWay(Array(text.utf8))
        #expect(result == Decoded(body: Array(body.utf8), rest: rest))
    }

    private static let oneLongExtension = "1;" + String(repeating: "x", count: 4096) + "\r\n"
    private static let longSpace = "1" + String(repeating: " ", count: 4097)
    private static let manyLongExtensions = String(repeating: "1;" + String(repeating: "x", count: 99) + "\r\nz\r\n", count: 50)
    private static let refused: [(String, RequestFault)] = [
        ("\r\n", .badChunkSize), ("x\r\n", .badChunkSize), ("-1\r\n", .badChunkSize), ("+1\r\n", .badChunkSize), ("0x1\r\n", .badChunkSize), (" 1\r\n", .badChunkSize), (";x\r\n", .badChunkSize),
        ("1 \r\n", .badChunkSize), ("1 1\r\n", .badChunkSize), ("1g\r\n", .badChunkSize), ("1,\r\n", .badChunkSize), ("8000000000000000\r\n", .badChunkSize), ("FFFFFFFFFFFFFFFF\r\n", .badChunkSize),
        ("10000000000000000\r\n", .badChunkSize), ("00000000000000001\r\n", .badChunkSize), ("1\nx\r\n", .bareLF), ("1\rx", .bareCR), ("1;x\ny\r\n", .bareLF), ("1;x\ry", .bareCR),
        ("1;\u{0}\r\n", .badChunkExtension), ("1;\u{7f}\r\n", .badChunkExtension), ("1\r\nxy\r\n", .badChunkEnd), ("1\r\nx\n0\r\n\r\n", .badChunkEnd), ("1\r\nx\rz", .badChunkEnd), ("1\r\nx0\r\n\r\n", .badChunkEnd),
        ("1\r\nx\r\n\r\n", .badChunkSize), ("0\r\n\n", .bareLF), ("0\r\nx\r\n\r\n", .badFieldName), ("0\r\n x: y\r\n\r\n", .obsoleteFold), ("0\r\nx: y\n\r\n", .bareLF), ("0\r\nx : y\r\n\r\n", .spaceBeforeColon),
        ("0\r\nx: \u{0}\r\n\r\n", .badFieldValue), ("0\r\n\rx", .bareCR),
        ("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer), ("0\r\ntransfer-encoding: chunked\r\n\r\n", .forbiddenTrailer), ("0\r\nX: y\r\nHost: b\r\n\r\n", .forbiddenTrailer),
        ("0\r\nAuthorization: x\r\n\r\n", .forbiddenTrailer), ("0\r\nContent-Type: x\r\n\r\n", .forbiddenTrailer), ("0\r\nTrailer: x\r\n\r\n", .forbiddenTrailer), ("0\r\nCookie: x\r\n\r\n", .forbiddenTrailer),
        (oneLongExtension, .chunkExtensionsTooLong), (longSpace, .chunkExtensionsTooLong),
        (manyLongExtensions, .chunkExtensionsTooLong),
    ]

    @Test(arguments: refused)
    func faults(text: String, fault: RequestFault) {
        let bytes = latin1Bytes(text)
        if bytes.count < 1000 {
            #expect(decodeEveryWay(bytes).fault == fault)
        } else {
            #expect(decode(bytes, cut: bytes.count, step: 1).fault == fault)
            #expect(decode(bytes, cut: 1, step: 61).fault == fault)
        }
    }

    @Test func extensionsOutweighedByDataAreAccepted() {
        let chunk = "100;chunk-signature=" + String(repeating: "a", count: 64) + "\r\n" + String(repeating: "z", count: 256) + "\r\n"
        let text = String(repeating: chunk, count: 200) + "0\r\n\r\n"
        #expect(decode(Array(text.utf8), cut: text.utf8.count, step: 1).body.count == 51_200)
    }

    @Test func largestSizeIsReadAndTheNextRefused() {
        #expect(decode(Array("7fffffffffffffff\r\n".utf8), cut: 0, step: 1) == Decoded())
        #expect(decode(Array("7fffffffffffffff\r\n".utf8), cut: 0, step: 1, bodyBytesMax: 100).fault == .bodyTooLarge)
    }

    @Test func bodyLimit() {
        let text = Array("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n".utf8)
        #expect(decodeEveryWay(text, bodyBytesMax: 10).body.count == 10)
        #expect(decodeEveryWay(text, bodyBytesMax: 9).fault == .bodyTooLarge)
        #expect(decode(Array("1\r\nx\r\n7fffffffffffffff\r\n".utf8), cut: 0, step: 3).fault == .bodyTooLarge, "no overflow in the sum")
    }

    @Test func trailers() {
        let text = "3\r\nabc\r\n0\r\nX-Checksum: 99\r\nETag:  \"v\" \r\n\r\nnext"
        let expected = [ParsedField(name: "X-Checksum", value: "99", known: .other), ParsedField(name: "ETag", value: "\"v\"", known: .etag)]
        #expect(decodeEveryWay(Array(text.utf8)) == Decoded(body: Array("abc".utf8), trailers: expected, rest: 4))
        #expect(decode(Array(text.utf8), cut: 0, step: 1, withStorage: false) == Decoded(body: Array("abc".utf8), rest: 4))
    }

    @Test func trailerLimits() {
        func text(fill: Int) -> [UInt8] { Array(("0\r\nX: " + String(repeating: "x", count: fill) + "\r\n\r\n").utf8) }
        let fits = 4096 - 7
        for step in [5000, 1] {
            #expect(decode(text(fill: fits), cut: step, step: step).rest == 0)
            #expect(decode(text(fill: fits + 1), cut: step, step: step).fault == .trailersTooLarge)
        }
        func fields(_ count: Int) -> [UInt8] { Array(("0\r\n" + String(repeating: "a: b\r\n", count: count) + "\r\n").utf8) }
        #expect(decodeEveryWay(fields(32)).trailers.count == 32)
        #expect(decodeEveryWay(fields(33)).fault == .tooManyFields)
    }

    @Test func afterTheEndItStaysEnded() {
        var decoder = ChunkedDecoder()
        let bytes = Array("0\r\n\r\n0\r\n".utf8)
        let memory = GuardedBytes(capacity: bytes.count)
        // `memory` lives to the end of the test.
        let base = unsafe memory.placedAtEnd(bytes)
        #expect(unsafe decoder.decode(base, count: bytes.count) == .end(consumed: 5, trailerCount: 0))
        #expect(unsafe decoder.decode(base + 5, count: 3) == .end(consumed: 0, trailerCount: 0))
        withExtendedLifetime(memory) {}
    }

    @Test func inPlaceDecodingOfBufferedPieces() {
        let text = Array("5\r\nhello\r\n6;x\r\n world\r\n0\r\nA: b\r\n\r\nnext".utf8)
        for cut in 0...text.count {
            var decoder = ChunkedDecoder()
            var body: [UInt8] = []
            var pending: [UInt8] = []
            var rest = -1
            for piece in [text[..<cut], text[cut...]] where rest < 0 {
                let input = pending + piece
                let memory = GuardedBytes(capacity: input.count)
                // `memory` lives to the end of the iteration.
                let base = unsafe memory.placedAtStart(input)
                let result = unsafe decoder.decodeInPlace(base, count: input.count)
                body += unsafe Array(UnsafeBufferPointer(start: base, count: result.bodyLength))
                switch result.step {
                case .needMore(let consumed): pending = Array(input[consumed...])
                case .end(let consumed, _): rest = input.count - consumed
                default: Issue.record("cut at \(cut): \(result.step)")
                }
                withExtendedLifetime(memory) {}
            }
            #expect(body == Array("hello world".utf8), "cut at \(cut)")
            // An end found in the first piece sees only what is left of that piece.
            #expect(rest == 4 || (cut >= text.count - 4 && rest == cut - (text.count - 4)), "cut at \(cut)")
        }
    }
}
