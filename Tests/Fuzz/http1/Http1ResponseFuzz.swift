// Fuzz target: the client's response parser and body reader. A property that fails traps, which the fuzzer reports with the input.
//
// 1. No crash, no read outside the input (the copies are exactly as long as the bytes; the sanitizer watches).
// 2. The way the bytes arrive changes neither head nor body nor end.
// 3. A head that is accepted, written out again from what was read, is accepted and read the same.

import UringHTTP
import UringHTTP1

private let fieldCapacity = 128

private struct Result: Equatable {
    var outcome: ResponseParseOutcome
    var head: ResponseHead?
    var fields: [FieldSlot] = []
}

private func parse(_ bytes: ArraySlice<UInt8>, _ method: HTTPMethod, alreadyScanned: Int = 0) -> Result {
    // An allocation of exactly the size; lives to the end of this function.
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { copy.deallocate() }
    _ = copy.initialize(from: bytes)
    let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: fieldCapacity)
    defer { slots.deallocate() }
    var head = ResponseHead()
    guard let base = copy.baseAddress, bytes.count > 0 else { return Result(outcome: .needMore) }
    let outcome = ResponseParser.parse(
        base, count: bytes.count, alreadyScanned: alreadyScanned, method: method, head: &head, fields: slots, fieldCapacity: fieldCapacity,
        limits: ParserLimits(headerBytesMax: 2048, fieldCountMax: 20))
    guard outcome == .complete else { return Result(outcome: outcome) }
    return Result(outcome: outcome, head: head, fields: (0..<head.fieldCount).map { slots[$0] })
}

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// The parts of an accepted head, which must survive being written out again.
private struct Meaning: Equatable {
    var reason: [UInt8]
    var fields: [[UInt8]]
    var known: [KnownField]
    var head: ResponseHead

    init(_ result: Result, _ bytes: ArraySlice<UInt8>) {
        let head = result.head!
        func text(_ offset: Int, _ length: Int) -> [UInt8] { Array(bytes[bytes.startIndex + offset..<bytes.startIndex + offset + length]) }
        reason = text(head.reasonOffset, head.reasonLength)
        fields = result.fields.flatMap { [text(Int($0.nameOffset), Int($0.nameLength)), text(Int($0.valueOffset), Int($0.valueLength))] }
        known = result.fields.map(\.known)
        // Offsets depend on white space that is not written again.
        self.head = head
        self.head.reasonOffset = 0
        self.head.headLength = 0
    }

    var written: [UInt8] {
        var bytes = Array("HTTP/1.\(head.minorVersion) \(head.status.code) ".utf8) + reason + Array("\r\n".utf8)
        for index in stride(from: 0, to: fields.count, by: 2) { bytes += fields[index] + Array(": ".utf8) + fields[index + 1] + Array("\r\n".utf8) }
        return bytes + Array("\r\n".utf8)
    }
}

private struct Body: Equatable {
    var bytes: [UInt8] = []
    var fault: ResponseFault?
    var consumed = 0
    var end: ResponseBodyEnd?
}

private func read(_ bytes: ArraySlice<UInt8>, _ framing: ResponseBodyFraming, step: Int) -> Body {
    var reader = ResponseBodyReader(framing, bodyBytesMax: 1 << 20)
    var body = Body()
    var fed = 0
    while true {
        fed = min(bytes.count, fed + step)
        while true {
            let part = Array(bytes[(bytes.startIndex + body.consumed)..<(bytes.startIndex + fed)])
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(part.count, 1))
            defer { copy.deallocate() }
            _ = copy.initialize(from: part)
            switch reader.next(copy.baseAddress!, count: part.count) {
            case .data(let start, let length):
                check(length > 0 && start + length <= part.count, "a range outside the input")
                body.bytes += part[start..<start + length]
                body.consumed += start + length
                continue
            case .needMore(let consumed):
                check(consumed <= part.count, "more consumed than there is")
                body.consumed += consumed
            case .end(let consumed, _):
                body.consumed += consumed
                body.end = reader.endOfConnection
                check(body.end == .complete, "an end that is none")
                return body
            case .malformed(let fault):
                body.fault = fault
                // How much was consumed before a fault depends on the pieces.
                body.consumed = 0
                return body
            }
            break
        }
        if fed == bytes.count {
            body.end = reader.endOfConnection
            return body
        }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    // The first byte chooses the method, and where and how to split.
    let choice = Int(data[0])
    let method: HTTPMethod = [.get, .get, .head, .connect][choice & 3]
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))[...]
    let whole = parse(bytes, method)

    let part = parse(bytes[..<min(bytes.count, choice &* bytes.count / 255)], method)
    check(part.outcome == .needMore || part == whole, "a prefix gives another answer than the whole")

    var scanned = 0
    var answer = Result(outcome: .needMore)
    while answer.outcome == .needMore && scanned < bytes.count {
        let length = min(bytes.count, scanned + 1 + choice % 17)
        answer = parse(bytes[..<length], method, alreadyScanned: scanned)
        scanned = length
    }
    if answer.outcome == .needMore, case .malformed = whole.outcome {
        // A fault in the unfinished last line may be told later, but a whole parse at this point must know it.
        check(parse(bytes, method) == whole, "the same bytes give two answers")
    } else {
        check(answer == whole, "bytes that arrive in pieces give another answer")
    }

    guard let head = whole.head else { return 0 }
    check(head.headLength <= bytes.count && head.headLength <= 2048 && head.fieldCount <= 20, "a limit was passed")
    let meaning = Meaning(whole, bytes)
    let written = meaning.written[...]
    // Writing puts a space behind each colon, so a head at the limit may grow beyond it.
    if written.count < 2048 {
        let again = parse(written, method)
        check(again.outcome == .complete, "an accepted head, written again, is refused")
        check(Meaning(again, written) == meaning, "an accepted head, written again, is read differently")
    }
    let rest = bytes[(bytes.startIndex + head.headLength)...]
    var inOnePiece = read(rest, head.framing, step: max(rest.count, 1))
    var inPieces = read(rest, head.framing, step: 1 + choice % 13)
    if inOnePiece.fault != nil || inPieces.fault != nil {
        // Body bytes before a fault are the same up to the shorter one.
        let count = min(inOnePiece.bytes.count, inPieces.bytes.count)
        check(inOnePiece.bytes.prefix(count) == inPieces.bytes.prefix(count), "bodies differ")
        inOnePiece.bytes = []
        inPieces.bytes = []
        // A fault within an unfinished trailer line may be told later.
        if inPieces.fault == nil || inOnePiece.fault == nil { return 0 }
    }
    check(inOnePiece.fault == inPieces.fault && inOnePiece.bytes == inPieces.bytes && inOnePiece.end == inPieces.end, "pieces change the body")
    if inOnePiece.fault == nil { check(inOnePiece.consumed <= rest.count, "more consumed than there is") }
    return 0
}
