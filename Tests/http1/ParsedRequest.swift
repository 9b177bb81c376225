// A parse in ordinary Swift values, and the two ways of getting one: in one piece, and byte by byte.

import Testing
import UringHTTP
import UringHTTP1

struct ParsedField: Equatable {
    var name: String
    var value: String
    var known: KnownField
}

struct ParsedRequest: Equatable {
    var head: RequestHead
    var fields: [ParsedField]
    var method: String
    var target: String
    var path: String
    var query: String?
    var authority: String
}

enum Parse: Equatable {
    case complete(ParsedRequest)
    case needMore
    case malformed(RequestFault)

    var fault: RequestFault? {
        if case .malformed(let fault) = self { return fault }
        return nil
    }

    var request: ParsedRequest? {
        if case .complete(let request) = self { return request }
        return nil
    }
}

func latin1(_ bytes: some Sequence<UInt8>) -> String {
    String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) }))
}

/// Parses bytes that lie at the end of a page, in one piece.
func parse(
    _ bytes: [UInt8], alreadyScanned: Int = 0, limits: ParserLimits = ParserLimits(), fieldCapacity: Int = 128,
    memory: GuardedBytes? = nil
) -> Parse {
    let memory = memory ?? GuardedBytes(capacity: bytes.count)
    // `memory` lives to the end of this function; slots and head are this function's.
    let base = unsafe memory.placedAtEnd(bytes)
    var head = RequestHead()
    let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: fieldCapacity)
    defer { unsafe slots.deallocate() }
    let outcome = unsafe RequestParser.parse(
        base, count: bytes.count, alreadyScanned: alreadyScanned, head: &head, fields: slots, fieldCapacity: fieldCapacity,
        limits: limits)
    defer { withExtendedLifetime(memory) {} }
    switch outcome {
    case .needMore: return .needMore
    case .malformed(let fault): return .malformed(fault)
    case .complete:
        func text(_ offset: Int, _ length: Int) -> String { latin1(bytes[offset..<offset + length]) }
        let fields = (0..<head.fieldCount).map { index in
            let slot = unsafe slots[index]
            return ParsedField(
                name: text(Int(slot.nameOffset), Int(slot.nameLength)), value: text(Int(slot.valueOffset), Int(slot.valueLength)),
                known: slot.known)
        }
        return .complete(
            ParsedRequest(
                head: head, fields: fields, method: text(head.methodOffset, head.methodLength),
                target: text(head.targetOffset, head.targetLength), path: text(head.pathOffset, head.pathLength),
                query: head.queryLength < 0 ? nil : text(head.queryOffset, head.queryLength),
                authority: text(head.authorityOffset, head.authorityLength)))
    }
}

func parse(_ text: String, limits: ParserLimits = ParserLimits(), fieldCapacity: Int = 128) -> Parse {
    parse(Array(text.utf8), limits: limits, fieldCapacity: fieldCapacity)
}

/// Parses whole, then every prefix afresh, then in steps of 1, 2, 3 and 7 bytes with `alreadyScanned`, and expects that all
/// agree: a prefix needs more or gives the final answer.
func parseEveryWay(
    _ bytes: [UInt8], limits: ParserLimits = ParserLimits(), sourceLocation: SourceLocation = #_sourceLocation
) -> Parse {
    let memory = GuardedBytes(capacity: bytes.count)
    let whole = parse(bytes, limits: limits, memory: memory)
    for length in 0..<bytes.count {
        let part = parse(Array(bytes[..<length]), limits: limits, memory: memory)
        if part != .needMore && part != whole {
            Issue.record("prefix of \(length) bytes: \(part), whole: \(whole)", sourceLocation: sourceLocation)
            return whole
        }
    }
    for step in [1, 2, 3, 7] {
        var scanned = 0
        var answer = Parse.needMore
        while answer == .needMore && scanned < bytes.count {
            let length = min(scanned + step, bytes.count)
            answer = parse(Array(bytes[..<length]), alreadyScanned: scanned, limits: limits, memory: memory)
            scanned = length
        }
        if answer != whole {
            Issue.record("in steps of \(step) bytes: \(answer) after \(scanned), whole: \(whole)", sourceLocation: sourceLocation)
        }
    }
    return whole
}

func parseEveryWay(
    _ text: String, limits: ParserLimits = ParserLimits(), sourceLocation: SourceLocation = #_sourceLocation
) -> Parse {
    parseEveryWay(Array(text.utf8), limits: limits, sourceLocation: sourceLocation)
}
