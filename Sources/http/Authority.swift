// The host and port of a request: Host field, absolute-form and authority-form targets. Any thread, no state.

/// Checks of `uri-host [ ":" port ]` (RFC 3986 3.2, RFC 9110 7.2). User information is not accepted (RFC 9110 4.2.4).
@usableFromInline package enum Authority {
    /// Where host and port lie in an authority. The host of an IPv6 literal includes its brackets.
    @frozen @usableFromInline package struct Parts: Equatable, Sendable {
        @usableFromInline package var hostLength: Int
        /// Offset of the first digit; only meaningful when `portLength` is not 0.
        @usableFromInline package var portOffset: Int
        /// 0 when there is no port or an empty one.
        @usableFromInline package var portLength: Int
        /// Nil when there is no port or an empty one.
        @usableFromInline package var port: UInt16?
    }

    /// Splits and checks; nil when the host is empty, a character does not belong, or the port is no number up to 65535.
    package static func parse(_ bytes: UnsafePointer<UInt8>, count: Int) -> Parts? {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        guard count > 0 else { return nil }
        let hostLength = unsafe bytes[0] == 0x5b ? literalLength(bytes, count: count) : nameLength(bytes, count: count)
        guard let hostLength, hostLength > 0 else { return nil }
        var parts = Parts(hostLength: hostLength, portOffset: hostLength, portLength: 0, port: nil)
        guard hostLength < count else { return parts }
        guard unsafe bytes[hostLength] == 0x3a else { return nil }
        parts.portOffset = hostLength + 1
        parts.portLength = count - hostLength - 1
        guard parts.portLength > 0 else { return parts }
        guard let port = unsafe parsePort(bytes + parts.portOffset, count: parts.portLength) else { return nil }
        parts.port = port
        return parts
    }

    /// A decimal number up to 65535, leading zeros allowed; nil for anything else.
    package static func parsePort(_ bytes: UnsafePointer<UInt8>, count: Int) -> UInt16? {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        guard count > 0 else { return nil }
        var value: UInt32 = 0
        for index in 0..<count {
            let digit = unsafe bytes[index] &- 0x30
            guard digit < 10 else { return nil }
            value = value &* 10 &+ UInt32(digit)
            guard value <= 65_535 else { return nil }
        }
        return UInt16(truncatingIfNeeded: value)
    }

    /// Length of the `reg-name` or IPv4 address at the start, up to a colon or the end; nil when another byte is met.
    private static func nameLength(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int? {
        // Caller's memory, see `parse`.
        var at = 0
        while at < count {
            let byte = unsafe bytes[at]
            if byte == 0x3a { return at }
            if byte == 0x25 {
                guard count - at >= 3, unsafe hexDigitValue(bytes[at + 1]) != nil, unsafe hexDigitValue(bytes[at + 2]) != nil
                else { return nil }
                at += 3
                continue
            }
            guard ByteSet.registeredName.contains(byte) else { return nil }
            at += 1
        }
        return at
    }

    /// Length of the bracketed IPv6 address at the start, brackets included; nil when it is none. Addresses of future
    /// versions and zone identifiers have no place in a request and are refused.
    private static func literalLength(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int? {
        // Caller's memory, see `parse`. No address text is longer than 45 bytes.
        var at = 1
        while at < min(count, 47), unsafe bytes[at] != 0x5d { at += 1 }
        guard at < count, unsafe bytes[at] == 0x5d, unsafe isIPv6Address(bytes + 1, count: at - 1) else { return nil }
        return at + 1
    }

    /// `IPv6address` of RFC 3986 3.2.2.
    package static func isIPv6Address(_ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        var groups = 0
        var isCompressed = false
        var at = 0
        if count >= 2, unsafe bytes[0] == 0x3a, unsafe bytes[1] == 0x3a {
            isCompressed = true
            at = 2
        }
        while at < count {
            let start = at
            while at < count, at - start < 4, unsafe hexDigitValue(bytes[at]) != nil { at += 1 }
            guard at > start else { return false }
            if at < count, unsafe bytes[at] == 0x2e {
                guard unsafe isIPv4Address(bytes + start, count: count - start) else { return false }
                groups += 2
                break
            }
            groups += 1
            guard at < count else { break }
            guard unsafe bytes[at] == 0x3a else { return false }
            at += 1
            if at < count, unsafe bytes[at] == 0x3a {
                guard !isCompressed else { return false }
                isCompressed = true
                at += 1
            } else if at == count {
                return false
            }
        }
        return isCompressed ? groups <= 7 : groups == 8
    }

    /// Four decimal numbers up to 255 without leading zeros.
    package static func isIPv4Address(_ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        var numbers = 0
        var at = 0
        while true {
            let start = at
            var value = 0
            while at < count, at - start < 3, unsafe bytes[at] &- 0x30 < 10 {
                value = unsafe value * 10 + Int(bytes[at] &- 0x30)
                at += 1
            }
            guard at > start, value <= 255, unsafe at - start == 1 || bytes[start] != 0x30 else { return false }
            numbers += 1
            if at == count { return numbers == 4 }
            guard numbers < 4, unsafe bytes[at] == 0x2e else { return false }
            at += 1
        }
    }
}
