// A parsed response in ordinary Swift values, and the two ways of getting one: in one piece, and byte by byte.

import Testing
import UringHTTP
import UringHTTP1

struct ParsedResponse: Equatable {
    var head: ResponseHead
    var fields: [ParsedField]
    var reason: String
}

enum ResponseParse: Equatable {
    case complete(ParsedResponse)
    case needMore
    case malformed(ResponseFault)

    var fault: ResponseFault? {
        if case .malformed(let fault) = self { return fault }
        return nil
    }

    var response: ParsedResponse? {
        if case .complete(let response) = self { return response }
        return nil
    }
}

/// Parses bytes that lie at the end of a page, in one piece.
func parseResponse(
    _ bytes: [UInt8], method: HTTPMethod = .get, alreadyScanned: Int = 0, limits: ParserLimits = ParserLimits(), fieldCapacity: Int = 128,
    memory: GuardedBytes? = nil
) -> ResponseParse {
    let memory = memory ?? GuardedBytes(capacity: bytes.count)
    // `memory` lives to the end of this function; slots and head are this function's.
    let base = unsafe memory.placedAtEnd(bytes)
    var head = ResponseHead()
    let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: fieldCapacity)
    defer { unsafe slots.deallocate() }
    let outcome = unsafe ResponseParser.parse(
        base, count: bytes.count, alreadyScanned: alreadyScanned, method: method, head: &head, fields: slots, fieldCapacity: fieldCapacity,
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
        return .complete(ParsedResponse(head: head, fields: fields, reason: text(head.reasonOffset, head.reasonLength)))
    }
}

/// Parses whole, then every prefix afresh, then in steps of 1, 2, 3 and 7 bytes with `alreadyScanned`, and expects that all
/// agree: a prefix needs more or gives the final answer.
func parseResponseEveryWay(
    _ bytes: [UInt8], method: HTTPMethod = .get, limits: ParserLimits = ParserLimits(), sourceLocation: SourceLocation = #_sourceLocation
) -> ResponseParse {
    let memory = GuardedBytes(capacity: bytes.count)
    let whole = parseResponse(bytes, method: method, limits: limits, memory: memory)
    for length in 0..<bytes.count {
        let part = parseResponse(Array(bytes[..<length]), method: method, limits: limits, memory: memory)
        if part != .needMore && part != whole {
            Issue.record("prefix of \(length) bytes: \(part), whole: \(whole)", sourceLocation: sourceLocation)
            return whole
        }
    }
    for step in [1, 2, 3, 7] {
        var scanned = 0
        var answer = ResponseParse.needMore
        while answer == .needMore && scanned < bytes.count {
            let length = min(scanned + step, bytes.count)
            answer = parseResponse(Array(bytes[..<length]), method: method, alreadyScanned: scanned, limits: limits, memory: memory)
            scanned = length
        }
        if answer != whole {
            Issue.record("in steps of \(step) bytes: \(answer) after \(scanned), whole: \(whole)", sourceLocation: sourceLocation)
        }
    }
    return whole
}

func parseResponseEveryWay(
    _ text: String, method: HTTPMethod = .get, limits: ParserLimits = ParserLimits(), sourceLocation: SourceLocation = #_sourceLocation
) -> ResponseParse {
    parseResponseEveryWay(latin1Bytes(text), method: method, limits: limits, sourceLocation: sourceLocation)
}
