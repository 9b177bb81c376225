// An IP address as a value: 128 bits, IPv4 in its mapped form. Any thread; no allocation but in `description`.

/// An address of IPv4 or IPv6. `::ffff:192.0.2.1` is 192.0.2.1: a listener for both families gives clients of IPv4 in that form, and rules for them are written in the other.
@frozen @usableFromInline
package struct IPAddress: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// The first 64 bits, as a number.
    @usableFromInline package let high: UInt64
    @usableFromInline package let low: UInt64

    @inlinable package init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    /// - Parameter ipv4: as a number: 127.0.0.1 is 0x7f000001.
    @inlinable package init(ipv4: UInt32) { (high, low) = (0, Self.mapped | UInt64(ipv4)) }

    @usableFromInline static var mapped: UInt64 { 0xffff_0000_0000 }

    @inlinable package var isIPv4: Bool { high == 0 && low &>> 32 == 0xffff }

    /// Of an IPv4 address.
    @inlinable package var ipv4: UInt32 { UInt32(truncatingIfNeeded: low) }

    @inlinable package static func < (left: IPAddress, right: IPAddress) -> Bool { (left.high, left.low) < (right.high, right.low) }

    /// The network's first address: what comes behind `length` bits is 0.
    ///
    /// - Parameter length: of the 128 bits.
    @inlinable package func masked(_ length: Int) -> IPAddress {
        if length >= 128 { return self }
        if length >= 64 { return IPAddress(high: high, low: length == 64 ? 0 : low & ~(UInt64.max &>> UInt64(length &- 64))) }
        return IPAddress(high: length <= 0 ? 0 : high & ~(UInt64.max &>> UInt64(length)), low: 0)
    }

    /// What stands for one client in limits: an address of IPv4, the /64 of IPv6 that a customer has at least (RFC 6177).
    @inlinable package var client: IPAddress { isIPv4 ? self : masked(64) }

    // MARK: Text

    /// The longest text: `ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff`.
    package static var textBytesMax: Int { 39 }

    /// Reads an address that is all of `text`: four decimal numbers without leading zeros (which others read as octal), or RFC 4291 2.2 without a zone.
    package init?(_ text: Span<UInt8>) { self.init(text, 0..<text.count) }

    package init?(_ text: Span<UInt8>, _ range: Range<Int>) {
        guard range.count >= 2, range.count <= 45 else { return nil }
        var isIPv6 = false
        for at in range where text[at] == 0x3a {
            isIPv6 = true
            break
        }
        if isIPv6 {
            guard let address = Self.parseIPv6(text, range) else { return nil }
            self = address
        } else {
            guard let number = Self.parseIPv4(text, range) else { return nil }
            self.init(ipv4: number)
        }
    }

    /// For configuration and tests.
    package init?(_ text: String) {
        guard let address = IPAddress(Array(text.utf8).span) else { return nil }
        self = address
    }

    private static func parseIPv4(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt32? {
        var (number, part, digits, parts): (UInt32, UInt32, Int, Int) = (0, 0, 0, 0)
        for at in range {
            let byte = text[at]
            if byte == 0x2e {
                guard digits > 0, parts < 3 else { return nil }
                number = number << 8 | part
                (part, digits, parts) = (0, 0, parts + 1)
            } else {
                guard byte >= 0x30, byte <= 0x39, digits < 3, digits == 0 || part > 0 else { return nil }
                part = part * 10 + UInt32(byte - 0x30)
                digits += 1
                guard part <= 255 else { return nil }
            }
        }
        guard parts == 3, digits > 0 else { return nil }
        return number << 8 | part
    }

    /// Groups before "::" fill up from the left, those behind it from the right.
    private static func parseIPv6(_ text: Span<UInt8>, _ range: Range<Int>) -> IPAddress? {
        var groups = InlineArray<8, UInt16>(repeating: 0)
        var (count, gap, at) = (0, -1, range.lowerBound)
        let end = range.upperBound
        if text[at] == 0x3a {
            guard at + 1 < end, text[at + 1] == 0x3a else { return nil }
            (gap, at) = (0, at + 2)
        }
        while at < end {
            var (value, digits): (UInt16, Int) = (0, 0)
            let start = at
            while at < end, let digit = hexDigit(text[at]) {
                guard digits < 4 else { return nil }
                (value, digits, at) = (value << 4 | UInt16(digit), digits + 1, at + 1)
            }
            if at < end, text[at] == 0x2e {
                guard count <= 6, let number = parseIPv4(text, start..<end) else { return nil }
                groups[count] = UInt16(truncatingIfNeeded: number >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: number)
                (count, at) = (count + 2, end)
                break
            }
            guard digits > 0, count < 8 else { return nil }
            groups[count] = value
            count += 1
            if at == end { break }
            guard text[at] == 0x3a, at + 1 < end else { return nil }
            at += 1
            if text[at] == 0x3a {
                guard gap < 0 else { return nil }
                (gap, at) = (count, at + 1)
            }
        }
        // "::" stands for one group at least.
        guard gap < 0 ? count == 8 : count < 8 else { return nil }
        return IPAddress(groups, count: count, gap: gap)
    }

    private init(_ groups: InlineArray<8, UInt16>, count: Int, gap: Int) {
        var (high, low): (UInt64, UInt64) = (0, 0)
        for place in 0..<8 {
            let zeros = 8 - count
            let group: UInt16 = gap < 0 || place < gap ? groups[place] : place < gap + zeros ? 0 : groups[place - zeros]
            if place < 4 { high = high << 16 | UInt64(group) } else { low = low << 16 | UInt64(group) }
        }
        self.init(high: high, low: low)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }

    /// RFC 5952: lower case, no leading zeros, the longest run of two zero groups and more as "::"; IPv4 in dots.
    package func append(to sink: inout ByteSink) {
        if isIPv4 {
            for shift in stride(from: UInt32(24), through: 0, by: -8) {
                sink.appendDecimal(UInt64(ipv4 >> shift & 0xff))
                if shift > 0 { sink.append(0x2e) }
            }
            return
        }
        let gap = longestZeros
        var place = 0
        while place < 8 {
            if place == gap.lowerBound && gap.count > 1 {
                sink.append("::")
                place = gap.upperBound
                continue
            }
            let group = group(place)
            sink.appendHex(UInt64(group), digits: group == 0 ? 1 : (19 - group.leadingZeroBitCount) / 4)
            place += 1
            if place < 8 && !(place == gap.lowerBound && gap.count > 1) { sink.append(0x3a) }
        }
    }

    private func group(_ place: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: (place < 4 ? high : low) &>> UInt64(48 &- 16 &* (place & 3)))
    }

    private var longestZeros: Range<Int> {
        var best = 0..<0
        var start = 0
        for place in 0..<8 {
            if group(place) != 0 { start = place + 1 } else if place + 1 - start > best.count { best = start..<place + 1 }
        }
        return best
    }
}

extension IPAddress: CustomStringConvertible {
    @usableFromInline package var description: String {
        unsafe String(unsafeUninitializedCapacity: Self.textBytesMax) { memory in
            // SAFETY: the string's memory during this call; the longest text fits.
            var sink = unsafe ByteSink(memory.baseAddress!, capacity: memory.count)
            append(to: &sink)
            return sink.count
        }
    }
}
