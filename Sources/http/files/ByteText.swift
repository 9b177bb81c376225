// Byte-level helpers of the static-file logic: a cursor over one field value, and text into the caller's storage.
//
// Owns nothing. Reads go through `Span`, writes through `OutputSpan`, so that bounds and lifetimes are the compiler's work.

/// A cursor over one whole field value (already unfolded, leading and trailing whitespace allowed).
struct FieldScanner: ~Escapable {
    private let bytes: Span<UInt8>
    private(set) var position = 0

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position >= bytes.count }

    func peek() -> UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    func byte(at index: Int) -> UInt8 { bytes[index] }

    mutating func advance() {
        if position < bytes.count { position &+= 1 }  // cannot overflow: below count
    }

    /// Consumes `byte` when it is next.
    mutating func accept(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        position &+= 1
        return true
    }

    /// OWS of RFC 9110 section 5.6.3.
    mutating func skipWhitespace() {
        while let byte = peek(), byte == 0x20 || byte == 0x09 { position &+= 1 }
    }

    /// Moves to the next list element, over whitespace and the empty elements that RFC 9110 section 5.6.1.2 asks a recipient to
    /// tolerate. Returns whether at least one comma was passed.
    mutating func skipListSeparators() -> Bool {
        var sawComma = false
        while let byte = peek() {
            if byte == 0x2C {
                sawComma = true
            } else if byte != 0x20 && byte != 0x09 {
                break
            }
            position &+= 1
        }
        return sawComma
    }

    /// Moves behind the next comma, or to the end: how a malformed list element is passed over.
    mutating func skipToComma() {
        while let byte = peek(), byte != 0x2C { position &+= 1 }
    }

    /// 1*DIGIT as an unsigned number that stops at `UInt64.max` instead of overflowing: every file is smaller, so a longer number
    /// behaves the same. Nil when no digit is next.
    mutating func saturatingNumber() -> UInt64? {
        guard let first = peek(), FieldScanner.isDigit(first) else { return nil }
        var value: UInt64 = 0
        while let byte = peek(), FieldScanner.isDigit(byte) {
            position &+= 1
            let (product, productOverflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, sumOverflow) = product.addingReportingOverflow(UInt64(byte &- 0x30))
            value = productOverflow || sumOverflow ? .max : sum
            // Once saturated it must stay there: .max * 10 overflows again, so it does.
        }
        return value
    }

    /// A token of RFC 9110 section 5.6.2 as a range of positions; empty when none is next.
    mutating func token() -> Range<Int> {
        let start = position
        while let byte = peek(), ByteSet.token.contains(byte) { position &+= 1 }
        return start..<position
    }

    /// Whether the bytes in `range` are `lowercase`, ASCII case ignored. `lowercase` holds no upper-case letter.
    func matches(_ range: Range<Int>, _ lowercase: StaticString) -> Bool {
        let expected = lowercase.bytes
        guard range.count == expected.count else { return false }
        for offset in 0..<expected.count where lowercasedASCII(bytes[range.lowerBound &+ offset]) != expected[offset] {
            return false
        }
        return true
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }
}

extension StaticString {
    /// The literal's UTF-8. Lives as long as the process.
    package var bytes: Span<UInt8> {
        @_lifetime(immortal)
        get {
            precondition(hasPointerRepresentation, "BUG: a static string made from a single Unicode scalar has no bytes")
            // A string literal lies in the binary's read-only data: nobody frees it.
            let literal = unsafe Span(_unsafeStart: utf8Start, count: utf8CodeUnitCount)
            return unsafe _overrideLifetime(literal, copying: ())
        }
    }
}

/// Text into the caller's storage. The caller has checked `freeCapacity` against the exact count: `OutputSpan` traps otherwise, which
/// would be our mistake and never the peer's.
extension OutputSpan where Element == UInt8 {
    mutating func appendText(_ bytes: Span<UInt8>) {
        for index in bytes.indices { append(bytes[index]) }
    }

    mutating func appendText(_ text: StaticString) {
        appendText(text.bytes)
    }

    mutating func appendDecimal(_ value: UInt64) {
        var divisor: UInt64 = 1
        for _ in 1..<ByteWriting.decimalLength(value) { divisor &*= 10 }  // at most 10^19, below UInt64.max
        var rest = value
        while divisor > 0 {
            append(0x30 &+ UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    /// Lower-case hexadecimal in exactly `digits` digits, 1…16.
    mutating func appendHexadecimal(_ value: UInt64, digits: Int) {
        for position in 0..<digits {
            append(HexDigit.lowercase(UInt8(truncatingIfNeeded: value >> UInt64(4 * (digits &- 1 &- position))) & 0xF))
        }
    }
}

enum HexDigit {
    static func lowercase(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 &+ nibble : 0x57 &+ nibble
    }

    static func uppercase(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 &+ nibble : 0x37 &+ nibble
    }
}
