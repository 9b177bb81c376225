// Numbers as text into memory of the caller. The caller guarantees room; each function says how many bytes at most.
// Used by response writers on a loop's thread.

@usableFromInline package enum ByteWriting {
    /// Most bytes `writeDecimal` writes: the digits of `UInt64.max`.
    @inlinable package static var decimalBytesMax: Int { 20 }
    /// Most bytes `writeHex` writes.
    @inlinable package static var hexBytesMax: Int { 16 }

    /// How many decimal digits `value` has, 1…20.
    @inlinable package static func decimalLength(_ value: UInt64) -> Int {
        var length = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            length &+= 1
        }
        return length
    }

    /// Writes `value` without leading zeros; answers the number of bytes, 1…20. `out` needs that much room.
    @inlinable package static func writeDecimal(_ value: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for `decimalLength(value)` bytes, for this call.
        let length = decimalLength(value)
        var rest = value
        var at = length
        while at > 0 {
            at &-= 1
            unsafe out[at] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        return length
    }

    /// Writes exactly `digits` decimal digits, with leading zeros; higher digits are cut off.
    @inlinable package static func writeDecimal(_ value: UInt32, digits: Int, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for `digits` bytes, for this call.
        var rest = value
        var at = digits
        while at > 0 {
            at &-= 1
            unsafe out[at] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    /// How many hexadecimal digits `value` has, 1…16.
    @inlinable package static func hexLength(_ value: UInt64) -> Int {
        max(1, (67 &- value.leadingZeroBitCount) &>> 2)
    }

    /// Writes `value` in lower-case hexadecimal without leading zeros; answers the number of bytes, 1…16.
    @inlinable package static func writeHex(_ value: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for `hexLength(value)` bytes, for this call.
        let length = hexLength(value)
        var rest = value
        var at = length
        while at > 0 {
            at &-= 1
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            unsafe out[at] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            rest &>>= 4
        }
        return length
    }

    /// Copies a literal; answers its length. `out` needs that much room.
    @inlinable @inline(__always)
    package static func write(_ literal: StaticString, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for the literal, for this call. A literal lives as long as the program.
        let length = literal.utf8CodeUnitCount
        unsafe out.update(from: literal.utf8Start, count: length)
        return length
    }
}
