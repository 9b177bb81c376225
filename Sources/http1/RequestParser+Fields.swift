// The fields of a request head: all of them into slots, and those that decide where the request ends and what becomes of
// the connection into the head. Strict where two recipients might disagree, because that is what request smuggling lives on
// (RFC 9112 11.2). Same contract as RequestParser.swift: the caller's memory, for the call.

import CUringBase
internal import UringHTTP

/// What the rarer fields have said so far about framing and connection. Of responses too (ResponseParser.swift).
struct FramingFields {
    var contentLength: UInt64?
    var transferCoding = TransferCoding.absent
    var saysClose = false
    var saysKeepAlive = false
    var listsUpgrade = false
    var hasUpgrade = false
    var expectsContinue = false

    init() {}
}

/// The transfer codings named so far, in order over all Transfer-Encoding fields.
enum TransferCoding {
    case absent
    /// Only "chunked".
    case chunked
    /// Something this server does not know, with or without "chunked" at the end.
    case unknown
    /// "chunked" is last, after one this server does not know.
    case unknownThenChunked
}

extension RequestParser {
    /// Reads field lines up to and with the empty line, then decides framing. Nil when all is good.
    @inline(always)
    static func parseFields(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>,
        head: UnsafeMutablePointer<RequestHead>, fields: UnsafeMutablePointer<FieldSlot>, capacity: Int
    ) -> ParseOutcome? {
        // Host stays in registers; what only some requests have is kept together and looked at only when there.
        var rare = FramingFields()
        var hasRare = false
        var hostOffset = -1
        var hostLength = 0
        var fieldCount = 0
        var at = unsafe cursor
        if unsafe capacity > 0 && takePlainHost(&at, end: end, base: base, slot: fields) {
            fieldCount = 1
            unsafe hostOffset = Int(fields.pointee.valueOffset)
            unsafe hostLength = Int(fields.pointee.valueLength)
            // Often there is no more: answered here, before the loop's preparations.
            if unsafe end - at >= 2 && UnsafeRawPointer(at).loadUnaligned(as: UInt16.self) == 0x0a0d
                && head.pointee.minorVersion > 0
            {
                unsafe cursor = at + 2
                unsafe head.pointee.fieldCount = 1
                unsafe head.pointee.setAuthority(offset: hostOffset, length: hostLength)
                return nil
            }
        }
        while true {
            // Without room only the empty line may follow, for which the slot is not written.
            if unsafe fieldCount >= capacity && at < end && at[0] != 0x0d { return .malformed(.tooManyFields) }
            let slot = unsafe fields + fieldCount
            switch unsafe FieldSectionParser.next(&at, end: end, base: base, slot: slot) {
            case .field:
                fieldCount &+= 1
                let known = unsafe slot.pointee.known
                guard known.decidesFraming else { continue }
                let value = unsafe base + Int(slot.pointee.valueOffset)
                let length = unsafe Int(slot.pointee.valueLength)
                if case .host = known {
                    if hostOffset >= 0 { return .malformed(.duplicateHost) }
                    guard unsafe Authority.parse(value, count: length) != nil else { return .malformed(.badHost) }
                    unsafe hostOffset = value - base
                    hostLength = length
                } else {
                    hasRare = true
                    let minorVersion = unsafe head.pointee.minorVersion
                    let fault = unsafe rare.take(known, value: value, count: length, minorVersion: minorVersion)
                    if let fault { return .malformed(fault) }
                }
            case .end:
                unsafe cursor = at
                unsafe head.pointee.fieldCount = fieldCount
                guard unsafe hostOffset >= 0 || head.pointee.minorVersion == 0 else { return .malformed(.missingHost) }
                if hostOffset >= 0 { unsafe head.pointee.setAuthority(offset: hostOffset, length: hostLength) }
                if unsafe !hasRare && head.pointee.minorVersion > 0 { return nil }
                return unsafe head.pointee.settle(rare).map { .malformed($0) }
            case .outOfBytes: return .needMore
            case .malformed(let fault): return .malformed(fault)
            }
        }
    }

    /// Reads the line at the cursor when it is a Host field as clients write it: one space, then a host of letters, digits,
    /// "-" and ".", then perhaps a port of one to four digits, all within the bytes at hand. Clients send it first, and
    /// this reads and checks it in one pass. False, with nothing moved, for any other line: those take the general way.
    @inline(__always)
    private static func takePlainHost(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>,
        slot: UnsafeMutablePointer<FieldSlot>
    ) -> Bool {
        let start = unsafe cursor
        // "host" in either case; among token characters folding bit 5 merges only the cases of these letters.
        guard unsafe end - start >= 16, unsafe UnsafeRawPointer(start).loadUnaligned(as: UInt32.self) | 0x2020_2020 == 0x7473_6f68,
            unsafe UnsafeRawPointer(start + 4).loadUnaligned(as: UInt16.self) == 0x203a
        else { return false }
        let value = unsafe start + 6
        var stop = unsafe curing_scan_host(value, end, base)
        guard unsafe stop > value && end - stop >= 7 else { return false }
        if unsafe stop[0] == 0x3a {
            let port = unsafe stop + 1
            unsafe stop += 1
            while unsafe stop - port < 5 && stop[0] &- 0x30 < 10 { unsafe stop += 1 }
            guard unsafe stop > port && stop - port < 5 else { return false }
        }
        guard unsafe UnsafeRawPointer(stop).loadUnaligned(as: UInt16.self) == 0x0a0d else { return false }
        unsafe cursor = stop + 2
        unsafe slot.initialize(
            to: FieldSlot(
                nameOffset: UInt32(truncatingIfNeeded: start - base), valueOffset: UInt32(truncatingIfNeeded: value - base),
                valueLength: UInt32(truncatingIfNeeded: stop - value), nameLength: 4, known: .host))
        return true
    }
}

extension KnownField {
    /// Whether a field's value is looked at while the head is parsed. Asked first, as one test of a bit: almost every field says no.
    @inline(__always)
    fileprivate var decidesFraming: Bool {
        switch self {
        case .host, .connection, .contentLength, .transferEncoding, .expect, .upgrade: true
        default: false
        }
    }
}

extension FramingFields {
    /// Takes in one of the rarer deciding fields.
    @inline(never)
    mutating func take(
        _ known: KnownField, value: UnsafePointer<UInt8>, count: Int, minorVersion: UInt8
    ) -> RequestFault? {
        switch known {
        case .connection: unsafe takeConnection(value, count: count)
        case .contentLength: return unsafe takeContentLength(value, count: count)
        case .transferEncoding: return unsafe takeTransferEncoding(value, count: count, minorVersion: minorVersion)
        case .upgrade: hasUpgrade = true
        case .expect: return unsafe takeExpect(value, count: count, minorVersion: minorVersion)
        default: break
        }
        return nil
    }

    private mutating func takeConnection(_ value: UnsafePointer<UInt8>, count: Int) {
        var list = FieldListIterator(count: count)
        while let range = unsafe list.next(in: value) {
            let option = unsafe value + range.lowerBound
            switch range.count {
            case 5: if unsafe equalsIgnoringCase(option, count: 5, "close") { saysClose = true }
            case 7: if unsafe equalsIgnoringCase(option, count: 7, "upgrade") { listsUpgrade = true }
            case 10: if unsafe equalsIgnoringCase(option, count: 10, "keep-alive") { saysKeepAlive = true }
            default: break
            }
        }
    }

    /// Digits only: a sign, a list, even of equal numbers, or a number beyond `Int64.max` is a fault.
    private mutating func takeContentLength(_ value: UnsafePointer<UInt8>, count: Int) -> RequestFault? {
        guard contentLength == nil else { return .duplicateContentLength }
        guard transferCoding == .absent else { return .lengthAndCoding }
        guard count > 0 else { return .badContentLength }
        var length: UInt64 = 0
        for index in 0..<count {
            let digit = unsafe value[index] &- 0x30
            guard digit < 10, length <= (UInt64(Int64.max) - UInt64(digit)) / 10 else { return .badContentLength }
            length = length &* 10 &+ UInt64(digit)
        }
        contentLength = length
        return nil
    }

    private mutating func takeTransferEncoding(_ value: UnsafePointer<UInt8>, count: Int, minorVersion: UInt8) -> RequestFault? {
        guard minorVersion > 0 else { return .transferEncodingInHTTP10 }
        guard contentLength == nil else { return .lengthAndCoding }
        var list = FieldListIterator(count: count)
        var isEmpty = true
        while let range = unsafe list.next(in: value) {
            isEmpty = false
            // Nothing may follow "chunked" (RFC 9112 6.1), another "chunked" included.
            guard transferCoding == .absent || transferCoding == .unknown else { return .badTransferEncoding }
            let coding = unsafe value + range.lowerBound
            if unsafe equalsIgnoringCase(coding, count: range.count, "chunked") {
                transferCoding = transferCoding == .absent ? .chunked : .unknownThenChunked
                continue
            }
            guard unsafe Self.isForeignCoding(coding, count: range.count) else { return .badTransferEncoding }
            transferCoding = .unknown
        }
        return isEmpty ? .badTransferEncoding : nil
    }

    /// Whether the element is a coding's name, perhaps with parameters, that is not "chunked" (which takes no parameters).
    private static func isForeignCoding(_ element: UnsafePointer<UInt8>, count: Int) -> Bool {
        var length = 0
        while length < count, unsafe ByteSet.token.contains(element[length]) { length += 1 }
        guard length > 0, unsafe !equalsIgnoringCase(element, count: length, "chunked") else { return false }
        return unsafe length == count || element[length] == 0x3b || element[length] == 0x20 || element[length] == 0x09
    }

    private mutating func takeExpect(_ value: UnsafePointer<UInt8>, count: Int, minorVersion: UInt8) -> RequestFault? {
        // A 1.0 client cannot wait for an answer in the middle (RFC 9110 10.1.1).
        guard minorVersion > 0 else { return nil }
        guard unsafe equalsIgnoringCase(value, count: count, "100-continue") else { return .unknownExpectation }
        expectsContinue = true
        return nil
    }
}

extension RequestHead {
    /// The Host field names the authority unless the target does (RFC 9112 3.3).
    @inline(__always)
    fileprivate mutating func setAuthority(offset: Int, length: Int) {
        switch targetForm {
        case .origin, .asterisk:
            authorityOffset = offset
            authorityLength = length
        case .absolute, .authority: break
        }
    }

    /// Draws the conclusions at the end of the head.
    @inline(never)
    fileprivate mutating func settle(_ fields: FramingFields) -> RequestFault? {
        switch fields.transferCoding {
        case .absent: framing = fields.contentLength.map { .length($0) } ?? .none
        case .chunked: framing = .chunked
        case .unknown, .unknownThenChunked: return .unknownTransferCoding
        }
        keepAlive = !fields.saysClose && (minorVersion > 0 || fields.saysKeepAlive)
        upgrade = fields.hasUpgrade && fields.listsUpgrade && minorVersion > 0
        switch framing {
        case .none, .length(0): expectContinue = false
        case .length, .chunked: expectContinue = fields.expectsContinue
        }
        return nil
    }
}
