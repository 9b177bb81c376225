// Looking for a byte and comparing runs of bytes, eight at a time. Stateless; any thread. Nothing here takes the same time for all inputs:
// codes are compared by CRYPTO_memcmp.

enum ByteSearch {
    /// The first of `start..<end` that is `byte`; `end` when none is.
    @inline(__always)
    static func first(_ byte: UInt8, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        // The caller's memory during this call.
        let pattern = UInt64(byte) &* 0x0101_0101_0101_0101
        var at = unsafe start
        while unsafe end - at >= 8 {
            let word = unsafe UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self)) ^ pattern
            // The lowest byte that is zero has the lowest mark.
            let marks = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
            if marks != 0 { return unsafe at + marks.trailingZeroBitCount / 8 }
            unsafe at += 8
        }
        while unsafe at < end && at[0] != byte { unsafe at += 1 }
        return unsafe at
    }

    @inline(__always)
    static func areEqual(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        // The callers' memory: so many bytes on both sides.
        var at = 0
        while count &- at >= 8 {
            let (a, b) = unsafe (UnsafeRawPointer(left + at).loadUnaligned(as: UInt64.self), UnsafeRawPointer(right + at).loadUnaligned(as: UInt64.self))
            if a != b { return false }
            at &+= 8
        }
        while at < count {
            if unsafe left[at] != right[at] { return false }
            at &+= 1
        }
        return true
    }
}
