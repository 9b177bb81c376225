// Numbers of claims: dates (RFC 7519 section 2, NumericDate) and integers, exactly and without overflow. The loop's thread.

extension JSONValue {
    /// A NumericDate in whole seconds, a fraction rounded up: for a clock that tells whole seconds `now < date` and `now < ceil(date)` are the
    /// same. nil for other kinds, and beyond 64 bits.
    package var dateSeconds: Int64? {
        guard kind == .number else { return nil }
        return unsafe DecimalNumber(bytes).roundedUp
    }

    /// A number without fraction within 64 bits.
    package var integer: Int64? {
        guard kind == .number else { return nil }
        let number = unsafe DecimalNumber(bytes)
        return number.hasFraction ? nil : number.roundedUp
    }
}

/// A JSON number taken apart: an integer part and whether something stands behind it. 1.5e3, 15e2 and 1500.0 are the same.
private struct DecimalNumber {
    /// Magnitude of the integer part; nil beyond 64 bits.
    private var magnitude: UInt64? = 0
    private(set) var hasFraction = false
    private var isNegative = false

    /// Powers of ten beyond this overflow or vanish, whatever the digits are: a token has no more digits than bytes.
    private static let exponentMax = 1 << 20

    init(_ text: UnsafeBufferPointer<UInt8>) {
        // The scanner has checked the syntax; the text is read during this call.
        isNegative = unsafe text.count > 0 && text[0] == UInt8(ascii: "-")
        let (digitsEnd, exponent) = unsafe DecimalNumber.exponent(of: text)
        // Digits before the point, moved by the exponent, make up the integer part.
        var whole = exponent
        var sawPoint = false
        for index in 0..<digitsEnd {
            if unsafe text[index] == UInt8(ascii: ".") { sawPoint = true }
            if unsafe !sawPoint && text[index] &- 0x30 < 10 { whole += 1 }
        }
        for index in 0..<digitsEnd {
            let digit = unsafe text[index] &- 0x30
            if digit > 9 { continue }
            if whole > 0 { append(digit) } else if digit != 0 { hasFraction = true }
            whole -= 1
        }
        // A large exponent appends zeros; 20 of them overflow unless all digits were zero.
        for _ in 0..<min(max(whole, 0), 20) { append(0) }
    }

    private mutating func append(_ digit: UInt8) {
        guard let value = magnitude else { return }
        let (product, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
        magnitude = overflow || carry ? nil : sum
    }

    private static func exponent(of text: UnsafeBufferPointer<UInt8>) -> (digitsEnd: Int, exponent: Int) {
        // See init.
        guard let mark = unsafe text.firstIndex(where: { $0 | 0x20 == UInt8(ascii: "e") }) else { return (text.count, 0) }
        var exponent = 0
        for index in (mark + 1)..<text.count {
            let digit = unsafe text[index] &- 0x30
            if digit <= 9 { exponent = min(exponent * 10 + Int(digit), exponentMax) }
        }
        return unsafe (mark, text[mark + 1] == UInt8(ascii: "-") ? -exponent : exponent)
    }

    /// The least integer that is not less; nil beyond 64 bits.
    var roundedUp: Int64? {
        guard let magnitude else { return nil }
        if isNegative { return Int64(exactly: magnitude).map { -$0 } }
        let (up, overflow) = magnitude.addingReportingOverflow(hasFraction ? 1 : 0)
        return overflow ? nil : Int64(exactly: up)
    }
}
