// Which bytes HTTP allows where. Constant bit sets, so that a test of one byte is a shift and a mask with no table to load
// and nothing to initialise. Used by the parsers and by whoever writes fields; any thread.

/// A set of US-ASCII bytes, with one answer for all bytes from 0x80.
@frozen @usableFromInline package struct ByteSet: Sendable {
    @usableFromInline let low: UInt64
    @usableFromInline let high: UInt64
    @usableFromInline let allowsHighBytes: Bool

    /// `low` holds bytes 0…63 as bits, `high` bytes 64…127.
    @inlinable package init(low: UInt64, high: UInt64, allowsHighBytes: Bool = false) {
        self.low = low
        self.high = high
        self.allowsHighBytes = allowsHighBytes
    }

    @inlinable @inline(__always) package func contains(_ byte: UInt8) -> Bool {
        if byte >= 0x80 { return allowsHighBytes }
        let word = byte < 64 ? low : high
        return (word &>> UInt64(byte & 63)) & 1 == 1
    }

    /// `tchar` of RFC 9110 5.6.2: methods, field names, list members.
    @inlinable package static var token: ByteSet { ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe) }

    /// Bytes of a field value (RFC 9110 5.5): visible characters, space, tab and obs-text.
    @inlinable package static var fieldValue: ByteSet {
        ByteSet(low: 0xffff_ffff_0000_0200, high: 0x7fff_ffff_ffff_ffff, allowsHighBytes: true)
    }

    /// Bytes accepted in a query. RFC 3986's `query`, and the characters that browsers send raw (`[]{}|^` backtick and
    /// backslash, WHATWG URL); never a space, a control, `"`, `#`, `<`, `>` or a byte from 0x80.
    @inlinable package static var query: ByteSet { ByteSet(low: 0xaffffff200000000, high: 0x7fff_ffff_ffff_ffff) }

    /// Bytes accepted in a path: those of a query without `?`, which ends it, and without the backslash, which some
    /// software takes for a slash.
    @inlinable package static var path: ByteSet { ByteSet(low: 0x2ffffff200000000, high: 0x7fff_ffff_efff_ffff) }

    /// `reg-name` of RFC 3986 3.2.2 without `%`, which needs two digits behind it.
    @inlinable package static var registeredName: ByteSet { ByteSet(low: 0x2bff_7fd2_0000_0000, high: 0x47ff_fffe_87ff_fffe) }
}

/// ASCII letters folded to lower case; other bytes unchanged.
@inlinable @inline(__always) package func lowercasedASCII(_ byte: UInt8) -> UInt8 {
    byte &- 0x41 < 26 ? byte | 0x20 : byte
}

/// The value 0…15 of a hexadecimal digit, nil for any other byte.
@inlinable @inline(__always) package func hexDigitValue(_ byte: UInt8) -> UInt8? {
    let digit = byte &- 0x30
    if digit < 10 { return digit }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : nil
}
