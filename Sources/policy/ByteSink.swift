// Where policies write bytes: memory of the caller, never more than there is. On whichever thread the caller is; a sink is passed down as `inout` and lives no longer than the call.

/// A cursor over memory of the caller. What does not fit is left out and remembered (`isTruncated`): the caller then drops what was written or gives more room.
@frozen @usableFromInline @safe
package struct ByteSink: ~Copyable {
    /// The caller's memory, `capacity` bytes, for as long as the sink.
    @usableFromInline let base: UnsafeMutablePointer<UInt8>
    @usableFromInline package let capacity: Int
    /// Bytes written so far.
    @usableFromInline package private(set) var count = 0
    /// Something did not fit.
    @usableFromInline package private(set) var isTruncated = false

    /// - Parameter base: `capacity` writable bytes that outlive the sink.
    @inlinable package init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        unsafe self.base = base
        self.capacity = capacity
    }

    package var remaining: Int { capacity - count }

    package mutating func append(_ byte: UInt8) {
        guard let at = room(1) else { return }
        // SAFETY: `room` has found the place within the caller's memory; so below.
        unsafe base[at] = byte
    }

    package mutating func append(_ text: StaticString) {
        guard let at = room(text.utf8CodeUnitCount) else { return }
        // SAFETY: a literal lives for ever.
        unsafe (base + at).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    package mutating func append(_ bytes: Span<UInt8>) {
        guard !bytes.isEmpty, let at = room(bytes.count) else { return }
        // SAFETY: the span's memory for this call.
        unsafe bytes.withUnsafeBufferPointer { unsafe (base + at).update(from: $0.baseAddress!, count: $0.count) }
    }

    package mutating func append(_ bytes: Span<UInt8>, _ range: Range<Int>) { append(bytes.extracting(range)) }

    /// For text that is not on a hot path.
    package mutating func append(_ text: String) {
        for byte in text.utf8 { append(byte) }
    }

    package mutating func appendDecimal(_ value: UInt64) {
        var digits = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            digits &+= 1
        }
        appendDecimal(value, digits: digits)
    }

    /// With leading zeros; higher digits are cut off.
    package mutating func appendDecimal(_ value: UInt64, digits: Int) {
        guard let at = room(digits) else { return }
        var rest = value
        for place in stride(from: at + digits - 1, through: at, by: -1) {
            unsafe base[place] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    package mutating func appendDecimal(_ value: Int64) {
        if value < 0 { append(0x2d) }
        appendDecimal(value.magnitude)
    }

    /// Lower case, the lowest `digits` of the number.
    package mutating func appendHex(_ value: UInt64, digits: Int = 16) {
        guard let at = room(digits) else { return }
        var rest = value
        for place in stride(from: at + digits - 1, through: at, by: -1) {
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            unsafe base[place] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            rest >>= 4
        }
    }

    /// Little endian, `bytes` of them.
    package mutating func appendLittleEndian(_ value: UInt64, bytes: Int) {
        for place in 0..<bytes { append(UInt8(truncatingIfNeeded: value &>> UInt64(8 &* place))) }
    }

    package mutating func appendBigEndian(_ value: UInt64, bytes: Int) {
        for place in (0..<bytes).reversed() { append(UInt8(truncatingIfNeeded: value &>> UInt64(8 &* place))) }
    }

    /// Takes everything behind `count` back, and with it that something did not fit.
    package mutating func rewind(to count: Int) {
        precondition(count >= 0 && count <= self.count, "BUG: a sink is rewound to what it has written")
        self.count = count
        isTruncated = false
    }

    /// Writes over what was written before, such as a length that is known only behind its content.
    package mutating func overwrite(at place: Int, _ byte: UInt8) {
        precondition(place >= 0 && place < count, "BUG: only what was written is overwritten")
        unsafe base[place] = byte
    }

    /// What was written, for as long as the sink.
    package func withBytes<R>(_ body: (Span<UInt8>) -> R) -> R {
        // SAFETY: the caller's memory, which outlives the sink; `count` bytes of it are written.
        body(unsafe Span(_unsafeStart: base, count: count))
    }

    private mutating func room(_ bytes: Int) -> Int? {
        guard bytes <= capacity &- count, !isTruncated else {
            isTruncated = true
            return nil
        }
        defer { count &+= bytes }
        return count
    }
}
