// What HTTP/2 asks of names and values (RFC 9113 8.2, 8.3). Reads the caller's memory; no state; any thread.

import CUringBase
internal import UringHTTP

enum FieldText {
    /// Token characters (RFC 9110 5.6.2) without the upper-case letters.
    private static var lowerToken: ByteSet { ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c000_0000) }

    /// Whether the name consists of token characters in lower case; `count` is at least 1.
    @inline(__always)
    static func isName(_ name: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `name[..<count]` is readable for this call. The scan stops at everything doubtful.
        let end = unsafe name + count
        let stop = unsafe curing_scan_lowername(name, end, name)
        return unsafe stop == end || isRareName(stop, end: end)
    }

    @inline(never)
    private static func isRareName(_ start: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) -> Bool {
        var at = unsafe start
        while unsafe at < end && lowerToken.contains(at[0]) { unsafe at += 1 }
        return unsafe at == end
    }

    /// Whether the value has no control character but tab and no white space around it. Reads down to `floor`; `count` is at least 1.
    @inline(__always)
    static func isValue(_ value: UnsafePointer<UInt8>, count: Int, floor: UnsafePointer<UInt8>) -> Bool {
        // Caller's memory: `value[..<count]` and what lies before it down to `floor` are readable for this call.
        if unsafe isSpace(value[0]) || isSpace(value[count &- 1]) { return false }
        let end = unsafe value + count
        var at = unsafe curing_scan_value(value, end, floor)
        while unsafe at < end {
            guard unsafe at[0] == 0x09 else { return false }
            unsafe at = curing_scan_value(at + 1, end, floor)
        }
        return true
    }

    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// RFC 9113 8.2.2: TE may say "trailers" and nothing else, the others may not occur.
    @inline(__always)
    static func isConnectionSpecific(_ known: KnownField, value: UnsafePointer<UInt8>, count: Int) -> Bool {
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: true
        case .te: unsafe !equalsIgnoringCase(value, count: count, "trailers")
        default: false
        }
    }

    /// Of a name that begins with a colon.
    static func pseudo(_ name: UnsafePointer<UInt8>, count: Int) -> PseudoField {
        // Caller's memory: `name[..<count]` is readable for this call.
        let candidate: (PseudoField, StaticString)
        switch count {
        case 5: candidate = (.path, ":path")
        case 7: candidate = unsafe name[2] == 0x65 ? (.method, ":method") : name[2] == 0x63 ? (.scheme, ":scheme") : (.status, ":status")
        case 9: candidate = (.protocol, ":protocol")
        case 10: candidate = (.authority, ":authority")
        default: return .unknown
        }
        for index in 0..<count where unsafe name[index] != candidate.1.utf8Start[index] { return .unknown }
        return candidate.0
    }
}
