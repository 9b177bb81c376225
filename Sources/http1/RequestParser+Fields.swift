// The fields of a request head: all of them into slots, and those that decide where the request ends and what becomes of
// the connection into the head. Strict where two recipients might disagree, because that is what request smuggling lives on
// (RFC 9112 11.2). Same contract as RequestParser.swift: the caller's memory, for the call.

import CUringBase
import UringHTTP

/// What the fields have said so far about framing and connection.
private struct FramingFields {
    var contentLength: UInt64?
    var transferCoding = TransferCoding.absent
    var hasHost = false
    var hostOffset = 0
    var hostLength = 0
    var saysClose = false
    var saysKeepAlive = false
    var listsUpgrade = false
    var hasUpgrade = false
    var expectsContinue = false

    init() {}
}

/// The transfer codings named so far, in order over all Transfer-Encoding fields.
private enum TransferCoding {
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
    @inline(__always)
    static func parseFields(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>,
        head: inout RequestHead, fields: UnsafeMutablePointer<FieldSlot>, capacity: Int
    ) -> ParseOutcome? {
        var framing = FramingFields()
        var slot = FieldSlot(nameOffset: 0, valueOffset: 0, valueLength: 0, nameLength: 0, known: .other)
        var fieldCount = 0
        var at = unsafe cursor
        while true {
            switch unsafe FieldSectionParser.next(&at, end: end, base: base, slot: &slot) {
            case .field:
                guard fieldCount < capacity else { return .malformed(.tooManyFields) }
                unsafe (fields + fieldCount).initialize(to: slot)
                fieldCount &+= 1
                let value = unsafe base + Int(slot.valueOffset)
                let length = Int(slot.valueLength)
                switch slot.known {
                case .host:
                    if framing.hasHost { return .malformed(.duplicateHost) }
                    guard unsafe isHost(value, count: length, base: base) else { return .malformed(.badHost) }
                    framing.hasHost = true
                    framing.hostOffset = Int(slot.valueOffset)
                    framing.hostLength = length
                case .connection, .contentLength, .transferEncoding, .expect, .upgrade:
                    if let fault = unsafe framing.take(slot.known, value: value, count: length, head: head) { return .malformed(fault) }
                default: break
                }
            case .end:
                unsafe cursor = at
                head.fieldCount = fieldCount
                if let fault = head.settle(framing) { return .malformed(fault) }
                return nil
            case .outOfBytes: return .needMore
            case .malformed(let fault): return .malformed(fault)
            }
        }
    }

    /// Whether the value is `host [":" port]`, not empty. Letters, digits, "-" and "." are passed over 16 at a time.
    @inline(__always)
    private static func isHost(_ value: UnsafePointer<UInt8>, count: Int, base: UnsafePointer<UInt8>) -> Bool {
        let end = unsafe value + count
        let stop = unsafe curing_scan_host(value, end, base)
        if unsafe stop == end { return count > 0 }
        if unsafe stop[0] == 0x3a && stop > value {
            return unsafe end - stop == 1 || Authority.parsePort(stop + 1, count: end - stop - 1) != nil
        }
        return unsafe Authority.parse(value, count: count) != nil
    }
}

extension FramingFields {
    /// Takes in one of the rarer deciding fields.
    @inline(never)
    fileprivate mutating func take(
        _ known: KnownField, value: UnsafePointer<UInt8>, count: Int, head: RequestHead
    ) -> RequestFault? {
        switch known {
        case .connection: unsafe takeConnection(value, count: count)
        case .contentLength: return unsafe takeContentLength(value, count: count)
        case .transferEncoding: return unsafe takeTransferEncoding(value, count: count, minorVersion: head.minorVersion)
        case .upgrade: hasUpgrade = true
        case .expect: return unsafe takeExpect(value, count: count, minorVersion: head.minorVersion)
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
    /// Draws the conclusions at the end of the head.
    @inline(__always)
    fileprivate mutating func settle(_ fields: FramingFields) -> RequestFault? {
        if !fields.hasHost && minorVersion > 0 { return .missingHost }
        if targetForm == .origin || targetForm == .asterisk {
            authorityOffset = fields.hostOffset
            authorityLength = fields.hostLength
        }
        switch fields.transferCoding {
        case .absent: framing = fields.contentLength.map { .length($0) } ?? .none
        case .chunked: framing = .chunked
        case .unknown, .unknownThenChunked: return .unknownTransferCoding
        }
        keepAlive = !fields.saysClose && (minorVersion > 0 || fields.saysKeepAlive)
        upgrade = fields.hasUpgrade && fields.listsUpgrade && minorVersion > 0
        expectContinue = fields.expectsContinue && framing != .none && framing != .length(0)
        return nil
    }
}
