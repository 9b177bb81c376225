// Fuzz target: the request parser. A property that fails traps, which the fuzzer reports with the input.
//
// 1. No crash, no read outside the input (the copies are exactly as long as the bytes; the sanitizer watches).
// 2. The way the bytes arrive does not change the outcome.
// 3. A head that is accepted, written out again from what was read, is accepted and read the same.

import UringHTTP
import UringHTTP1

private let fieldCapacity = 128

/// An outcome with what can be compared independently of memory.
private struct Result: Equatable {
    var outcome: ParseOutcome
    var head: RequestHead?
    var fields: [FieldSlot] = []
}

private func parse(_ bytes: ArraySlice<UInt8>, alreadyScanned: Int = 0) -> Result {
    // An allocation of exactly the size; lives to the end of this function.
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { copy.deallocate() }
    _ = copy.initialize(from: bytes)
    let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: fieldCapacity)
    defer { slots.deallocate() }
    var head = RequestHead()
    guard let base = copy.baseAddress else { return Result(outcome: .needMore) }
    let outcome = RequestParser.parse(
        base, count: bytes.count, alreadyScanned: alreadyScanned, head: &head, fields: slots, fieldCapacity: fieldCapacity,
        limits: ParserLimits(requestLineBytesMax: 512, headerBytesMax: 2048, fieldCountMax: 20))
    guard outcome == .complete else { return Result(outcome: outcome) }
    return Result(outcome: outcome, head: head, fields: (0..<head.fieldCount).map { slots[$0] })
}

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// The parts of an accepted head, which must survive being written out again.
private struct Meaning: Equatable {
    var request: [[UInt8]]
    var fields: [[UInt8]]
    var known: [KnownField]
    var head: RequestHead

    init(_ result: Result, _ bytes: ArraySlice<UInt8>) {
        let head = result.head!
        func text(_ offset: Int, _ length: Int) -> [UInt8] { Array(bytes[bytes.startIndex + offset..<bytes.startIndex + offset + length]) }
        request = [
            text(head.methodOffset, head.methodLength), text(head.targetOffset, head.targetLength), text(head.pathOffset, head.pathLength),
            head.queryLength < 0 ? [] : text(head.queryOffset, head.queryLength), text(head.authorityOffset, head.authorityLength),
        ]
        fields = result.fields.flatMap { [text(Int($0.nameOffset), Int($0.nameLength)), text(Int($0.valueOffset), Int($0.valueLength))] }
        known = result.fields.map(\.known)
        // Offsets depend on white space that is not written again.
        self.head = head
        self.head.methodOffset = 0
        self.head.targetOffset = 0
        self.head.pathOffset = 0
        self.head.queryOffset = 0
        self.head.authorityOffset = 0
        self.head.headLength = 0
    }

    var written: [UInt8] {
        var bytes = request[0] + [0x20] + request[1] + Array(" HTTP/1.\(head.minorVersion)\r\n".utf8)
        for index in stride(from: 0, to: fields.count, by: 2) { bytes += fields[index] + Array(": ".utf8) + fields[index + 1] + Array("\r\n".utf8) }
        return bytes + Array("\r\n".utf8)
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    // The first byte chooses where and how to split.
    let choice = Int(data[0])
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))[...]
    let whole = parse(bytes)

    let cut = min(bytes.count, choice &* bytes.count / 255)
    let part = parse(bytes[..<cut])
    check(part.outcome == .needMore || part == whole, "a prefix gives another answer than the whole")

    var scanned = 0
    var answer = Result(outcome: .needMore)
    while answer.outcome == .needMore && scanned < bytes.count {
        let length = min(bytes.count, scanned + 1 + choice % 17)
        answer = parse(bytes[..<length], alreadyScanned: scanned)
        scanned = length
    }
    if answer.outcome == .needMore, case .malformed = whole.outcome {
        // A fault in the unfinished last line may be told later, but a whole parse at this point must know it.
        check(parse(bytes) == whole, "the same bytes give two answers")
    } else {
        check(answer == whole, "bytes that arrive in pieces give another answer")
    }

    if let head = whole.head {
        check(head.headLength <= bytes.count && head.headLength <= 2048 && head.fieldCount <= 20, "a limit was passed")
        let meaning = Meaning(whole, bytes)
        let written = meaning.written[...]
        // Writing puts a space behind each colon, so a head at the limit may grow beyond it.
        if written.count < 2048 && written.firstIndex(of: 0x0a)! < 511 {
            let again = parse(written)
            check(again.outcome == .complete, "an accepted head, written again, is refused")
            check(Meaning(again, written) == meaning, "an accepted head, written again, is read differently")
        }
    }
    return 0
}
