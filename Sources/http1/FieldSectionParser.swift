// One field line of a head or trailer section (RFC 9112 5), read where it lies. Called by RequestParser and ChunkedDecoder
// on a loop's thread; no state, no allocation. The caller's memory `base..<end` stays readable for each call.

import CUringBase
internal import UringHTTP

/// What stands at the start of a line.
enum FieldLine {
    /// A field line; its slot was filled in and the cursor stands behind it.
    case field
    /// The empty line; the cursor stands behind it.
    case end
    /// The bytes ran out within the line.
    case outOfBytes
    case malformed(RequestFault)
}

enum FieldSectionParser {
    /// Reads the line at `cursor`. `cursor` moves only for `field` and `end`. `slot` is written for
    /// `field` only; its offsets count from `base`.
    @inline(always)
    static func next(
        _ cursor: inout UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>,
        slot: UnsafeMutablePointer<FieldSlot>
    ) -> FieldLine {
        let start = unsafe cursor
        guard unsafe start < end else { return .outOfBytes }
        if unsafe start[0] == 0x0d {
            guard unsafe end - start >= 2 else { return .outOfBytes }
            guard unsafe start[1] == 0x0a else { return .malformed(.bareCR) }
            unsafe cursor = start + 2
            return .end
        }
        // The line's end is looked for from its start, not from the colon: so the processor needs no colon to begin with the
        // next line. Finding and checking the name then runs beside it.
        var stop = unsafe curing_scan_value(start, end, base)
        var colon = unsafe curing_scan_name(start, end, base)
        if unsafe colon == end || colon[0] != 0x3a {
            unsafe colon = tokenEnd(from: colon, end: end)
            guard unsafe colon < end else { return .outOfBytes }
            guard unsafe colon[0] == 0x3a else { return unsafe .malformed(nameFault(at: colon, start: start)) }
        }
        let nameLength = unsafe colon - start
        guard nameLength > 0 else { return .malformed(.badFieldName) }
        guard nameLength <= 0xffff else { return .malformed(.headTooLarge) }

        while unsafe stop < end && stop[0] == 0x09 { unsafe stop = curing_scan_value(stop + 1, end, base) }
        guard unsafe end - stop >= 2 else { return unsafe stop < end && stop[0] != 0x0d ? .malformed(valueFault(at: stop)) : .outOfBytes }
        guard unsafe UnsafeRawPointer(stop).loadUnaligned(as: UInt16.self) == 0x0a0d else { return unsafe .malformed(valueFault(at: stop)) }
        unsafe cursor = stop + 2
        var value = unsafe colon + 1
        while unsafe value < stop && isSpace(value[0]) { unsafe value += 1 }
        while unsafe stop > value && isSpace(stop[-1]) { unsafe stop -= 1 }

        unsafe slot.initialize(
            to: FieldSlot(
                nameOffset: UInt32(truncatingIfNeeded: start - base), valueOffset: UInt32(truncatingIfNeeded: value - base),
                valueLength: UInt32(truncatingIfNeeded: stop - value), nameLength: UInt16(truncatingIfNeeded: nameLength),
                known: KnownField.lookup(start, count: nameLength)))
        return .field
    }

    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// Names what is wrong with a byte that ends a value and does not begin CRLF.
    @inline(never)
    static func valueFault(at stop: UnsafePointer<UInt8>) -> RequestFault {
        switch unsafe stop[0] {
        case 0x0d: .bareCR
        case 0x0a: .bareLF
        default: .badFieldValue
        }
    }

    /// From a byte that the fast scan stopped at, the first that is no token character.
    @inline(never)
    static func tokenEnd(from start: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        var at = unsafe start
        while unsafe at < end && ByteSet.token.contains(at[0]) { unsafe at += 1 }
        return unsafe at
    }

    /// Names what is wrong with a byte that is neither token character nor colon.
    @inline(never)
    static func nameFault(at stop: UnsafePointer<UInt8>, start: UnsafePointer<UInt8>) -> RequestFault {
        switch unsafe stop[0] {
        case 0x20, 0x09: unsafe stop == start ? .obsoleteFold : .spaceBeforeColon
        case 0x0a: .bareLF
        default: .badFieldName
        }
    }
}
