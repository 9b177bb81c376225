// The response parser of a client: bytes in, offsets out. Called by a connection to an upstream on its loop's thread. It owns nothing:
// bytes, head and field storage are the caller's, stay valid for the call, and are not kept. RFC 9112 2, 4, 5, 6.3.
//
// Strict where two readers might disagree about where a response ends: a gateway that takes the tail of one response for the head of
// the next answers the wrong client. A line ends with CRLF only, fields are not folded, a length is said once and in one way.

import CUringBase
package import UringHTTP

/// What the parser found.
@frozen @usableFromInline package enum ResponseParseOutcome: Equatable, Sendable {
    /// A whole head: `head` and `fields` are filled in. It may be an interim one (`head.isInterim`): another follows.
    case complete
    /// No fault so far, and no end; call again with more bytes.
    case needMore
    /// Give the response up and close. `head` and `fields` hold nothing to rely on.
    case malformed(ResponseFault)
}

@usableFromInline package enum ResponseParser {
    /// Parses the response head at the start of `base[..<count]`, and says how the body's end is found.
    ///
    /// The outcome depends on the bytes and the request's method alone, not on how the bytes arrive.
    ///
    /// - Parameters:
    ///   - method: of the request that is answered: HEAD has no body, 2xx to CONNECT opens a tunnel.
    ///   - alreadyScanned: how many of these bytes an earlier call answered `needMore` for; 0 at first. See `RequestParser.parse`.
    ///   - fields: uninitialised or old storage for `fieldCapacity` slots. More fields than that, or than
    ///     `limits.fieldCountMax`, is `tooManyFields`.
    ///   - limits: `headerBytesMax` and `fieldCountMax` count; the status line has no limit of its own.
    package static func parse(
        _ base: UnsafePointer<UInt8>, count: Int, alreadyScanned: Int, method: HTTPMethod,
        head: UnsafeMutablePointer<ResponseHead>, fields: UnsafeMutablePointer<FieldSlot>, fieldCapacity: Int,
        limits: ParserLimits
    ) -> ResponseParseOutcome {
        // Caller's memory: `base[..<count]` readable, head and slots writable, for this call.
        let limit = limits.headerBytesMax
        if alreadyScanned > 0,
            unsafe RequestParser.canWait(base, count: count, scanned: min(alreadyScanned, count), mark: limit, mark: limit)
        {
            return .needMore
        }
        unsafe head.initialize(to: ResponseHead())
        var cursor = unsafe base
        let end = unsafe base + min(count, limit)
        let capacity = min(fieldCapacity, limits.fieldCountMax)
        var outcome = unsafe parseStatusLine(&cursor, end: end, base: base, head: head)
        if outcome == nil {
            outcome = unsafe parseFields(&cursor, end: end, base: base, method: method, head: head, fields: fields, capacity: capacity)
        }
        switch outcome {
        case nil:
            unsafe head.pointee.headLength = cursor - base
            return .complete
        case .needMore: return count >= limit ? .malformed(.headTooLarge) : .needMore
        case let outcome?: return outcome
        }
    }
}

// MARK: The status line

extension ResponseParser {
    /// Reads `HTTP/1.x SP 3DIGIT SP [reason] CRLF`. Nil when it is good: `cursor` then stands behind it.
    @inline(__always)
    private static func parseStatusLine(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>, head: UnsafeMutablePointer<ResponseHead>
    ) -> ResponseParseOutcome? {
        let start = unsafe cursor
        if let outcome = unsafe parseVersionAndStatus(start, available: min(end - start, 12), head: head) { return outcome }
        unsafe cursor = start + 12
        guard unsafe cursor < end else { return .needMore }
        // The space behind the status may be missing when no phrase follows: RFC 9112 4 tells servers to send it, some do not, and nothing
        // can be read in two ways.
        if unsafe cursor[0] == 0x20 {
            unsafe cursor += 1
        } else if unsafe cursor[0] != 0x0d && cursor[0] != 0x0a {
            return .malformed(.badStatus)
        }
        let reason = unsafe cursor
        var stop = unsafe curing_scan_value(reason, end, base)
        while unsafe stop < end && stop[0] == 0x09 { unsafe stop = curing_scan_value(stop + 1, end, base) }
        guard unsafe stop < end else { return .needMore }
        guard unsafe stop[0] == 0x0d else { return unsafe .malformed(ResponseFault(FieldSectionParser.valueFault(at: stop))) }
        guard unsafe end - stop >= 2 else { return .needMore }
        guard unsafe stop[1] == 0x0a else { return .malformed(.bareCR) }
        unsafe head.pointee.reasonOffset = reason - base
        unsafe head.pointee.reasonLength = stop - reason
        unsafe cursor = stop + 2
        return nil
    }

    /// Byte by byte, so that a prefix and the whole line give the same answer.
    private static func parseVersionAndStatus(
        _ start: UnsafePointer<UInt8>, available: Int, head: UnsafeMutablePointer<ResponseHead>
    ) -> ResponseParseOutcome? {
        // "HTTP/1.1" as one word: most responses.
        let isUsual = unsafe available == 12 && UnsafeRawPointer(start).loadUnaligned(as: UInt64.self) == 0x312e_312f_5054_5448
        var status = 0
        for index in isUsual ? 8..<available : 0..<available {
            let byte = unsafe start[index]
            let digit = byte &- 0x30
            switch index {
            case 0...4: guard unsafe byte == name.utf8Start[index] else { return .malformed(.badStatusLine) }
            case 5:
                guard digit < 10 else { return .malformed(.badStatusLine) }
                guard digit == 1 else { return .malformed(.unsupportedVersion) }
            case 6: guard byte == 0x2e else { return .malformed(.badStatusLine) }
            case 7:
                guard digit < 10 else { return .malformed(.badStatusLine) }
                unsafe head.pointee.minorVersion = min(digit, 1)
            case 8: guard byte == 0x20 else { return .malformed(.badStatusLine) }
            default:
                guard digit < 10 else { return .malformed(.badStatus) }
                status = status &* 10 &+ Int(digit)
            }
        }
        guard available == 12 else { return .needMore }
        guard let checked = HTTPStatus(checked: status) else { return .malformed(.badStatus) }
        unsafe head.pointee.status = checked
        return nil
    }

    private static var name: StaticString { "HTTP/" }
}

// MARK: The fields

extension ResponseParser {
    /// Reads field lines up to and with the empty line, then decides framing. Nil when all is good.
    @inline(__always)
    private static func parseFields(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>, method: HTTPMethod,
        head: UnsafeMutablePointer<ResponseHead>, fields: UnsafeMutablePointer<FieldSlot>, capacity: Int
    ) -> ResponseParseOutcome? {
        var framing = FramingFields()
        var fieldCount = 0
        while true {
            // Without room only the empty line may follow, for which the slot is not written.
            if unsafe fieldCount >= capacity && cursor < end && cursor[0] != 0x0d { return .malformed(.tooManyFields) }
            let slot = unsafe fields + fieldCount
            switch unsafe FieldSectionParser.next(&cursor, end: end, base: base, slot: slot) {
            case .field:
                fieldCount &+= 1
                let known = unsafe slot.pointee.known
                guard known.decidesResponseFraming else { continue }
                let value = unsafe base + Int(slot.pointee.valueOffset)
                let fault = unsafe framing.take(known, value: value, count: Int(slot.pointee.valueLength), minorVersion: head.pointee.minorVersion)
                if let fault { return .malformed(ResponseFault(fault)) }
            case .end:
                unsafe head.pointee.fieldCount = fieldCount
                return unsafe head.pointee.settle(framing, method: method).map { .malformed($0) }
            case .outOfBytes: return .needMore
            case .malformed(let fault): return .malformed(ResponseFault(fault))
            }
        }
    }
}

extension KnownField {
    /// Whether a response field's value is looked at while the head is parsed.
    @inline(__always)
    fileprivate var decidesResponseFraming: Bool {
        switch self {
        case .connection, .contentLength, .transferEncoding: true
        default: false
        }
    }
}

extension ResponseHead {
    /// The table of RFC 9112 6.3, rule by rule.
    fileprivate mutating func settle(_ fields: FramingFields, method: HTTPMethod) -> ResponseFault? {
        contentLength = fields.contentLength
        keepAlive = !fields.saysClose && (minorVersion > 0 || fields.saysKeepAlive)
        let announcesBody = fields.transferCoding != .absent || (fields.contentLength ?? 0) > 0
        // 1: no body, whatever the fields say. In responses to HEAD and in 304 they describe what GET would have had.
        if method == .head && !status.isInformational || status.code == 304 { return end(.none) }
        if status.isInformational {
            // Neither field may stand there (RFC 9110 8.6, RFC 9112 6.1). A server that means it sends bytes we would take for a response.
            if announcesBody { return .bodyInInterim }
            if status.code == 101 { keepAlive = false }
            return end(status.code == 101 ? .tunnel : .none)
        }
        // 2: the fields are ignored.
        if method == .connect && status.isSuccess {
            keepAlive = false
            return end(.tunnel)
        }
        if status.code == 204 {
            // As with 1xx, but it is the last response: the connection is not used again.
            if announcesBody { keepAlive = false }
            return end(.none)
        }
        // 3, 4: both fields are refused when the second of them is read.
        switch fields.transferCoding {
        case .absent: break
        case .chunked: return end(.chunked)
        case .unknown, .unknownThenChunked: return .unknownTransferCoding
        }
        // 5, 6.
        if let length = fields.contentLength { return end(.length(length)) }
        // 8.
        keepAlive = false
        return end(.untilClose)
    }

    private mutating func end(_ framing: ResponseBodyFraming) -> ResponseFault? {
        self.framing = framing
        return nil
    }
}
