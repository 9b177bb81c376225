// The request parser: bytes in, offsets out. Called by a connection on its loop's thread. It owns nothing: bytes, head and
// field storage are the caller's, stay valid for the call, and are not kept. RFC 9112 2, 3, 5; the fields that decide
// framing are in RequestParser+Fields.swift.

import CUringBase
package import UringHTTP

/// What the parser found.
@frozen @usableFromInline package enum ParseOutcome: Equatable, Sendable {
    /// A whole head: `head` and `fields` are filled in.
    case complete
    /// No fault so far, and no end; call again with more bytes.
    case needMore
    /// Refuse the request and close. `head` and `fields` hold nothing to rely on.
    case malformed(RequestFault)
}

@usableFromInline package enum RequestParser {
    /// Parses the request head at the start of `base[..<count]`.
    ///
    /// The outcome depends on the bytes alone, not on how they arrive: what is a fault in a prefix stays the same fault,
    /// and a prefix of a good head needs more.
    ///
    /// - Parameters:
    ///   - alreadyScanned: how many of these bytes an earlier call answered `needMore` for; 0 at first. Then only the new ones
    ///     are looked at until a line ends or a limit is near, so that a client who sends byte by byte costs no more than one who does not.
    ///   - fields: uninitialised or old storage for `fieldCapacity` slots. More fields than that, or than
    ///     `limits.fieldCountMax`, is `tooManyFields`.
    package static func parse(
        _ base: UnsafePointer<UInt8>, count: Int, alreadyScanned: Int,
        head: UnsafeMutablePointer<RequestHead>, fields: UnsafeMutablePointer<FieldSlot>, fieldCapacity: Int,
        limits: ParserLimits
    ) -> ParseOutcome {
        if alreadyScanned > 0,
            unsafe canWait(
                base, count: count, scanned: min(alreadyScanned, count), mark: limits.requestLineBytesMax, mark: limits.headerBytesMax)
        {
            return .needMore
        }
        guard count > 0 else { return .needMore }

        unsafe head.initialize(to: RequestHead())
        var cursor = unsafe base
        let lineEnd = unsafe base + min(count, limits.requestLineBytesMax, limits.headerBytesMax)
        switch unsafe parseRequestLine(&cursor, end: lineEnd, base: base, head: head) {
        case nil: break
        case .needMore: return outOfRequestLine(count: count, limits: limits)
        case let outcome?: return outcome
        }
        let headEnd = unsafe base + min(count, limits.headerBytesMax)
        let capacity = min(fieldCapacity, limits.fieldCountMax)
        switch unsafe parseFields(&cursor, end: headEnd, base: base, head: head, fields: fields, capacity: capacity) {
        case nil: break
        case .needMore: return count >= limits.headerBytesMax ? .malformed(.headTooLarge) : .needMore
        case let outcome?: return outcome
        }
        unsafe head.pointee.headLength = cursor - base
        return .complete
    }

    /// The request line has not ended within `count` bytes.
    private static func outOfRequestLine(count: Int, limits: ParserLimits) -> ParseOutcome {
        if count >= limits.headerBytesMax, limits.headerBytesMax <= limits.requestLineBytesMax { return .malformed(.headTooLarge) }
        return count >= limits.requestLineBytesMax ? .malformed(.requestLineTooLong) : .needMore
    }

    /// Whether the bytes from `scanned` on cannot change the earlier answer `needMore`, or only into a fault that may be told
    /// a little later. A whole parse happens when a line ends or a control character came (new lines are bounded by the
    /// field limit), when the size passes a power of two (so all of them together cost a small multiple of one) and when it
    /// passes a limit, given as `mark`.
    @inline(never)
    static func canWait(_ base: UnsafePointer<UInt8>, count: Int, scanned: Int, mark first: Int, mark second: Int) -> Bool {
        func crosses(_ mark: Int) -> Bool { scanned < mark && count >= mark }
        guard count.leadingZeroBitCount == scanned.leadingZeroBitCount, !crosses(first), !crosses(second) else { return false }
        var at = unsafe base + scanned
        let end = unsafe base + count
        while true {
            unsafe at = curing_scan_value(at, end, base)
            if unsafe at == end { return true }
            guard unsafe at[0] == 0x09 else { return false }
            unsafe at += 1
        }
    }
}

// MARK: The request line

extension RequestParser {
    /// Reads the request line with the empty lines before it. Nil when it is good: `cursor` then stands behind it.
    /// `needMore` when the bytes run out before `end`.
    @inline(always)
    fileprivate static func parseRequestLine(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        if unsafe cursor[0] == 0x0d || cursor[0] == 0x0a, let outcome = unsafe skipEmptyLines(&cursor, end: end) { return outcome }
        let method = unsafe cursor
        if let outcome = unsafe parseMethod(&cursor, end: end, head: head) { return outcome }
        unsafe head.pointee.methodOffset = method - base
        let target = unsafe cursor
        if let outcome = unsafe scanTarget(&cursor, end: end, base: base, head: head) { return outcome }
        unsafe head.pointee.targetOffset = target - base
        unsafe head.pointee.targetLength = cursor - target
        unsafe cursor += 1
        if let outcome = unsafe parseVersion(&cursor, end: end, head: head) { return outcome }
        // The form is judged last, so that another protocol's preface ("PRI * HTTP/2.0") is answered for its version.
        if unsafe target[0] == 0x2f && head.pointee.method != .connect { return nil }
        guard let view = unsafe TargetView(target, count: head.pointee.targetLength, method: head.pointee.method) else {
            return .malformed(.badTarget)
        }
        unsafe head.pointee.apply(view)
        return nil
    }

    @inline(never)
    private static func skipEmptyLines(_ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) -> ParseOutcome? {
        var lines = 0
        while true {
            guard unsafe cursor < end else { return .needMore }
            if unsafe cursor[0] == 0x0a { return .malformed(.bareLF) }
            guard unsafe cursor[0] == 0x0d else { return nil }
            guard lines < ParserLimits.leadingEmptyLinesMax else { return .malformed(.badLeadingLines) }
            guard unsafe end - cursor >= 2 else { return .needMore }
            guard unsafe cursor[1] == 0x0a else { return .malformed(.bareCR) }
            unsafe cursor += 2
            lines += 1
        }
    }

    /// Reads the method and the space behind it.
    @inline(__always)
    private static func parseMethod(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        // "GET " as one word: most requests.
        if unsafe end - cursor >= 4 && UnsafeRawPointer(cursor).loadUnaligned(as: UInt32.self) == 0x2054_4547 {
            unsafe head.pointee.method = .get
            unsafe head.pointee.methodLength = 3
            unsafe cursor += 4
            return unsafe cursor < end ? nil : .needMore
        }
        return unsafe parseOtherMethod(&cursor, end: end, head: head)
    }

    @inline(never)
    private static func parseOtherMethod(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        let start = unsafe cursor
        var at = unsafe start
        while unsafe at < end && ByteSet.token.contains(at[0]) {
            unsafe at += 1
            if unsafe at - start > ParserLimits.methodBytesMax { return .malformed(.methodTooLong) }
        }
        guard unsafe at < end else { return .needMore }
        guard unsafe at > start && at[0] == 0x20 else { return .malformed(.badMethod) }
        unsafe head.pointee.methodLength = at - start
        unsafe head.pointee.method = HTTPMethod(bytes: start, count: head.pointee.methodLength)
        unsafe cursor = at + 1
        return unsafe cursor < end ? nil : .needMore
    }

    /// Moves the cursor to the space behind the target. Path and query are found on the way when the target starts with "/";
    /// any other form only has its characters checked here. There is at least one byte at the cursor.
    @inline(__always)
    private static func scanTarget(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        let start = unsafe cursor
        var stop: UnsafePointer<UInt8>
        if unsafe end - start >= 2 && UnsafeRawPointer(start).loadUnaligned(as: UInt16.self) == 0x202f {
            // "/" and a space: the most requested path, known without a search.
            unsafe stop = start + 1
            unsafe head.pointee.pathOffset = start - base
            unsafe head.pointee.pathLength = 1
        } else if unsafe start[0] == 0x2f {
            unsafe stop = curing_scan_path(start, end, base)
            unsafe head.pointee.pathOffset = start - base
            unsafe head.pointee.pathLength = stop - start
            if unsafe stop < end && stop[0] == 0x3f {
                let query = unsafe stop + 1
                unsafe stop = curing_scan_query(query, end, base)
                unsafe head.pointee.queryOffset = query - base
                unsafe head.pointee.queryLength = stop - query
            }
        } else {
            unsafe stop = curing_scan_query(start, end, base)
        }
        guard unsafe stop < end else { return .needMore }
        guard unsafe stop[0] == 0x20 && stop > start else { return unsafe .malformed(targetFault(at: stop)) }
        unsafe cursor = stop
        return nil
    }

    @inline(never)
    private static func targetFault(at stop: UnsafePointer<UInt8>) -> RequestFault {
        // A line that ends here has no version: HTTP/0.9, which has no place on this port.
        unsafe stop[0] == 0x0d || stop[0] == 0x0a ? .badVersion : .badTarget
    }

    /// Reads `HTTP/1.x` and CRLF.
    @inline(__always)
    private static func parseVersion(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        // "HTTP/1.1" and CRLF as two words: most requests.
        if unsafe end - cursor >= 10 && UnsafeRawPointer(cursor).loadUnaligned(as: UInt64.self) == 0x312e_312f_5054_5448
            && UnsafeRawPointer(cursor + 8).loadUnaligned(as: UInt16.self) == 0x0a0d
        {
            unsafe head.pointee.minorVersion = 1
            unsafe cursor += 10
            return nil
        }
        return unsafe parseOtherVersion(&cursor, end: end, head: head)
    }

    /// Byte by byte, so that a prefix and the whole line give the same answer.
    @inline(never)
    private static func parseOtherVersion(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, head: UnsafeMutablePointer<RequestHead>
    ) -> ParseOutcome? {
        let available = unsafe min(end - cursor, 10)
        let start = unsafe cursor
        let name: StaticString = "HTTP/"
        var major: UInt8 = 1
        for index in 0..<available {
            let byte = unsafe start[index]
            let digit = byte &- 0x30
            switch index {
            case 0...4: guard unsafe byte == name.utf8Start[index] else { return .malformed(.badVersion) }
            case 5:
                guard digit < 10 else { return .malformed(.badVersion) }
                major = digit
            case 6: guard byte == 0x2e else { return .malformed(.badVersion) }
            case 7:
                guard digit < 10 else { return .malformed(.badVersion) }
                guard major == 1 else { return .malformed(.unsupportedVersion) }
                unsafe head.pointee.minorVersion = min(digit, 1)
            case 8: guard byte == 0x0d else { return .malformed(byte == 0x0a ? .bareLF : .badVersion) }
            default: guard byte == 0x0a else { return .malformed(.bareCR) }
            }
        }
        guard available == 10 else { return .needMore }
        unsafe cursor = start + 10
        return nil
    }
}

extension RequestHead {
    /// Takes over what was found in a target that is not in origin-form, or that has to be checked against CONNECT.
    fileprivate mutating func apply(_ view: TargetView) {
        targetForm = view.form
        pathOffset = targetOffset &+ view.pathOffset
        pathLength = view.pathLength
        queryOffset = targetOffset &+ view.queryOffset
        queryLength = view.queryLength
        authorityOffset = targetOffset &+ view.authorityOffset
        authorityLength = view.authorityLength
    }
}
