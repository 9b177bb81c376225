// Bytes appended to memory of the caller, for log lines. Used by `AccessLogLine` only, on the loop's thread. The memory is
// as large as the longest line can be, so running out of it is a bug, caught by a check on every byte.

// Safe: the pointer never leaves this value, and every write is checked against its bounds.
@safe struct LogOutput: ~Copyable, ~Escapable {
    /// The caller's memory; it outlives this value, which lives within one call of `AccessLogLine.write`.
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    @_lifetime(borrow buffer)
    init(_ buffer: UnsafeMutableRawBufferPointer) { unsafe self.buffer = buffer }

    @inline(__always)
    @_lifetime(self: copy self)
    mutating func byte(_ byte: UInt8) {
        unsafe precondition(count < buffer.count, "BUG: a log line is longer than its bound")
        // In bounds by the line above.
        unsafe buffer[count] = byte
        count &+= 1
    }

    @inline(__always)
    @_lifetime(self: copy self)
    mutating func text(_ text: StaticString) {
        // A static string lives as long as the process.
        unsafe append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// `source` lives through the call.
    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func append(_ source: UnsafeRawBufferPointer) {
        unsafe precondition(source.count <= buffer.count &- count, "BUG: a log line is longer than its bound")
        // In bounds by the line above.
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: source)
        count &+= source.count
    }

    /// Sixteen hexadecimal digits.
    @_lifetime(self: copy self)
    mutating func hex(_ value: UInt64) {
        for digit in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 &- 4 &* digit)) & 15
            byte(nibble < 10 ? UInt8(ascii: "0") &+ nibble : UInt8(ascii: "a") &+ nibble &- 10)
        }
    }

    /// Exactly `places` decimal digits, leading zeros included. Divides by a constant, which the compiler multiplies.
    @_lifetime(self: copy self)
    private mutating func digits(_ value: UInt64, places: Int) {
        unsafe precondition(places <= buffer.count &- count, "BUG: a log line is longer than its bound")
        var rest = value
        var index = count &+ places
        while index > count {
            index &-= 1
            // In bounds by the line above.
            unsafe buffer[index] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        count &+= places
    }
}

// MARK: Values of clients

extension LogOutput {
    /// The inside of a JSON string. Valid UTF-8 stays, invalid bytes become U+FFFD, control characters (C0, DEL, C1) and
    /// the line separators U+2028 and U+2029 are escaped. Returns whether something did not fit into `max` bytes.
    @_lifetime(self: copy self)
    mutating func json(_ value: Span<UInt8>, max: Int) -> Bool {
        let end = count &+ max
        var index = 0
        while index < value.count {
            let run = plainRun(value, index)
            let fits = min(run, end &- count)
            // `value` lives through the call; the range is inside it.
            unsafe value.withUnsafeBytes { unsafe append(UnsafeRawBufferPointer(rebasing: $0[index..<(index &+ fits)])) }
            if fits < run { return true }
            index &+= run
            guard index < value.count else { break }
            // The longest escape is six bytes.
            guard count &+ 6 <= end else { return true }
            if value[index] < 0x80 {
                escapeASCII(value[index])
                index &+= 1
            } else {
                index &+= multibyte(value, index)
            }
        }
        return false
    }

    /// How many bytes from `index` on need no escape in either format: nearly always all of them.
    private func plainRun(_ value: Span<UInt8>, _ index: Int) -> Int {
        var end = index
        while end < value.count {
            let next = value[end]
            if next < 0x20 || next >= 0x7f || next == UInt8(ascii: "\"") || next == UInt8(ascii: "\\") { break }
            end &+= 1
        }
        return end &- index
    }

    @_lifetime(self: copy self)
    private mutating func escapeASCII(_ value: UInt8) {
        switch value {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            byte(UInt8(ascii: "\\"))
            byte(value)
        case 0x09: text("\\t")
        case 0x0a: text("\\n")
        case 0x0d: text("\\r")
        default:
            text("\\u00")
            hex(value)
        }
    }

    /// Writes the character that begins at `index`, or U+FFFD for a byte that begins none; returns how many bytes it had.
    @_lifetime(self: copy self)
    private mutating func multibyte(_ value: Span<UInt8>, _ index: Int) -> Int {
        let length = UTF8Sequence.length(value, index)
        switch length {
        case 0:
            text("\\ufffd")
            return 1
        case 2 where value[index] == 0xc2 && value[index &+ 1] < 0xa0:
            text("\\u00")
            hex(value[index &+ 1])
        case 3 where value[index] == 0xe2 && value[index &+ 1] == 0x80 && value[index &+ 2] & 0xfe == 0xa8:
            text("\\u20")
            hex(0x28 &+ (value[index &+ 2] & 1))
        default:
            for offset in 0..<length { byte(value[index &+ offset]) }
        }
        return length
    }

    /// Apache's escaping (ap_escape_logitem): printable ASCII stays, quotes and backslashes get a backslash, all else is
    /// `\xHH`. What does not fit into `max` bytes is cut, and `...` stands for it.
    @_lifetime(self: copy self)
    mutating func combined(_ value: Span<UInt8>, max: Int) {
        // Four bytes for the longest escape, three for the mark.
        let end = count &+ max &- 7
        var index = 0
        while index < value.count {
            let run = plainRun(value, index)
            let fits = Swift.max(0, min(run, end &+ 1 &- count))
            // `value` lives through the call; the range is inside it.
            unsafe value.withUnsafeBytes { unsafe append(UnsafeRawBufferPointer(rebasing: $0[index..<(index &+ fits)])) }
            index &+= fits
            guard index < value.count else { return }
            guard count <= end else { return text("...") }
            let next = value[index]
            if next == UInt8(ascii: "\"") || next == UInt8(ascii: "\\") {
                byte(UInt8(ascii: "\\"))
                byte(next)
            } else {
                text("\\x")
                hex(next)
            }
            index &+= 1
        }
    }

    @_lifetime(self: copy self)
    mutating func combinedOrDash(_ value: Span<UInt8>, max: Int) {
        if value.isEmpty { byte(UInt8(ascii: "-")) } else { combined(value, max: max) }
    }

    @_lifetime(self: copy self)
    private mutating func hex(_ value: UInt8) {
        hexDigit(value >> 4)
        hexDigit(value & 0xf)
    }

    @_lifetime(self: copy self)
    private mutating func hexDigit(_ nibble: UInt8) {
        byte(nibble < 10 ? UInt8(ascii: "0") &+ nibble : UInt8(ascii: "a") &+ nibble &- 10)
    }
}

/// Well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing beyond U+10FFFF.
enum UTF8Sequence {
    /// Bytes of the multi-byte character that begins at `index`, 0 when none does.
    static func length(_ value: Span<UInt8>, _ index: Int) -> Int {
        let rest = value.count &- index
        guard rest >= 2 else { return 0 }
        let second = value[index &+ 1]
        let length: Int
        let isGood: Bool
        switch value[index] {
        case 0xc2...0xdf: (length, isGood) = (2, second & 0xc0 == 0x80)
        case 0xe0: (length, isGood) = (3, second >= 0xa0 && second <= 0xbf)
        case 0xe1...0xec, 0xee...0xef: (length, isGood) = (3, second & 0xc0 == 0x80)
        case 0xed: (length, isGood) = (3, second >= 0x80 && second <= 0x9f)
        case 0xf0: (length, isGood) = (4, second >= 0x90 && second <= 0xbf)
        case 0xf1...0xf3: (length, isGood) = (4, second & 0xc0 == 0x80)
        case 0xf4: (length, isGood) = (4, second >= 0x80 && second <= 0x8f)
        default: return 0
        }
        guard isGood, rest >= length else { return 0 }
        for offset in 2..<Swift.max(length, 2) where value[index &+ offset] & 0xc0 != 0x80 { return 0 }
        return length
    }
}

// MARK: Numbers, times, addresses

extension LogOutput {
    @_lifetime(self: copy self)
    mutating func number(_ value: UInt64) {
        var places = 1
        var bound: UInt64 = 10
        while value >= bound {
            places &+= 1
            let (next, overflow) = bound.multipliedReportingOverflow(by: 10)
            if overflow { break }
            bound = next
        }
        digits(value, places: places)
    }

    /// Milliseconds with three decimals: microseconds are what the clock is good for.
    @_lifetime(self: copy self)
    mutating func milliseconds(_ ns: UInt64) {
        let us = ns / 1000
        number(us / 1000)
        byte(UInt8(ascii: "."))
        digits(us % 1000, places: 3)
    }

    @_lifetime(self: copy self)
    mutating func version(_ version: (major: UInt8, minor: UInt8)) {
        // HTTP/2 has no minor version (RFC 9110 section 2.5), but readers of logs expect `HTTP/2.0`, as nginx and Apache write it.
        number(UInt64(version.major))
        byte(UInt8(ascii: "."))
        number(UInt64(version.minor))
    }

    /// RFC 3339 in UTC with microseconds: `2026-11-23T12:45:46.123456Z`.
    @_lifetime(self: copy self)
    mutating func timestamp(_ wallNs: UInt64) {
        let time = CivilTime(wallNs / 1_000_000_000)
        digits(time.year, places: 4)
        byte(UInt8(ascii: "-"))
        digits(time.month, places: 2)
        byte(UInt8(ascii: "-"))
        digits(time.day, places: 2)
        byte(UInt8(ascii: "T"))
        clock(time)
        byte(UInt8(ascii: "."))
        digits(wallNs % 1_000_000_000 / 1000, places: 6)
        byte(UInt8(ascii: "Z"))
    }

    /// `23/Nov/2026:12:45:46 +0000`.
    @_lifetime(self: copy self)
    mutating func commonTime(_ wallNs: UInt64) {
        let time = CivilTime(wallNs / 1_000_000_000)
        digits(time.day, places: 2)
        byte(UInt8(ascii: "/"))
        let names: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        for offset in 0..<3 {
            // month is 1 to 12; a static string lives as long as the process.
            byte(unsafe names.utf8Start[Int(time.month &- 1) &* 3 &+ offset])
        }
        byte(UInt8(ascii: "/"))
        digits(time.year, places: 4)
        byte(UInt8(ascii: ":"))
        clock(time)
        text(" +0000")
    }

    @_lifetime(self: copy self)
    private mutating func clock(_ time: CivilTime) {
        digits(time.secondOfDay / 3600, places: 2)
        byte(UInt8(ascii: ":"))
        digits(time.secondOfDay / 60 % 60, places: 2)
        byte(UInt8(ascii: ":"))
        digits(time.secondOfDay % 60, places: 2)
    }

    /// `1.2.3.4:56`, `[2001:db8::1]:56` (RFC 5952), `unix:`; without the port and its brackets when it is not wanted.
    @_lifetime(self: copy self)
    mutating func address(_ peer: PeerAddress, withPort: Bool) {
        switch peer.family {
        case .unix: return text("unix:")
        case .ipv4: ipv4(UInt32(truncatingIfNeeded: peer.low))
        case .ipv6:
            if withPort { byte(UInt8(ascii: "[")) }
            ipv6(peer.high, peer.low)
            if withPort { byte(UInt8(ascii: "]")) }
        }
        guard withPort else { return }
        byte(UInt8(ascii: ":"))
        number(UInt64(peer.port))
    }

    @_lifetime(self: copy self)
    private mutating func ipv4(_ address: UInt32) {
        var shift: UInt32 = 24
        while true {
            number(UInt64(address >> shift & 0xff))
            if shift == 0 { return }
            byte(UInt8(ascii: "."))
            shift &-= 8
        }
    }

    @_lifetime(self: copy self)
    private mutating func ipv6(_ high: UInt64, _ low: UInt64) {
        // An IPv4 client of a dual-stack socket (RFC 4291 section 2.5.5.2).
        if high == 0 && low >> 32 == 0xffff {
            text("::ffff:")
            return ipv4(UInt32(truncatingIfNeeded: low))
        }
        func group(_ index: Int) -> UInt64 { (index < 4 ? high : low) >> UInt64((3 &- index & 3) &* 16) & 0xffff }
        // RFC 5952 section 4.2: the longest run of at least two zero groups, the first of equals.
        var best = (start: 8, length: 1)
        var start = 0
        while start < 8 {
            var length = 0
            while start &+ length < 8 && group(start &+ length) == 0 { length &+= 1 }
            if length > best.length { best = (start, length) }
            start &+= length &+ 1
        }
        var index = 0
        while index < 8 {
            if index == best.start {
                text("::")
                index &+= best.length
                continue
            }
            if index > 0 && index != best.start &+ best.length { byte(UInt8(ascii: ":")) }
            shortHex(group(index))
            index &+= 1
        }
    }

    @_lifetime(self: copy self)
    private mutating func shortHex(_ value: UInt64) {
        var shift: UInt64 = 12
        while shift > 0 && value >> shift == 0 { shift &-= 4 }
        while true {
            hexDigit(UInt8(truncatingIfNeeded: value >> shift & 0xf))
            if shift == 0 { return }
            shift &-= 4
        }
    }
}

/// A second of the Gregorian calendar in UTC, from seconds since 1970, by counting days in eras of 400 years that begin
/// in March, so that the leap day is the last of its year.
struct CivilTime {
    let year: UInt64
    let month: UInt64
    let day: UInt64
    let secondOfDay: UInt64

    init(_ seconds: UInt64) {
        secondOfDay = seconds % 86_400
        // Days since 0000-03-01. Years beyond 9999 would not fit into the formats; no clock is there.
        let days = seconds / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}
