// Copying, comparing and hashing short strings without a call. Memory of the caller; no state.

enum HPACKBytes {
    /// Copies `count` bytes in blocks of 16. Up to 15 bytes behind either string are read and written along, so both must have them.
    @inline(__always)
    static func copyBlocks(_ source: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<UInt8>, count: Int) {
        // Caller's memory, as said; the two do not overlap.
        var at = 0
        repeat {
            let block = unsafe UnsafeRawPointer(source + at).loadUnaligned(as: SIMD16<UInt8>.self)
            unsafe UnsafeMutableRawPointer(out + at).storeBytes(of: block, as: SIMD16<UInt8>.self)
            at &+= 16
        } while at < count
    }

    /// Whether both hold the same `count` bytes; reads no more.
    @inline(__always)
    static func areEqual(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Overlapping words: the last one always ends at `count`, so nothing beyond it is read.
        if count >= 8 {
            var at = 0
            while at < count &- 8 {
                if unsafe word(a + at) != word(b + at) { return false }
                at &+= 8
            }
            return unsafe word(a + (count &- 8)) == word(b + (count &- 8))
        }
        return unsafe shortWord(a, count: count) == shortWord(b, count: count)
    }

    /// A hash of at most the first and last 64 bytes.
    @inline(__always)
    static func hash(_ bytes: UnsafePointer<UInt8>, count: Int, seed: UInt64) -> UInt64 {
        var sum = seed &+ UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15
        var factor: UInt64 = 0xd6e8_feb8_6659_fd93
        if count < 8 {
            sum ^= unsafe shortWord(bytes, count: count) &* factor
        } else {
            var at = 0
            while at < count &- 8 {
                sum &+= unsafe (word(bytes + at) ^ factor) &* (factor | 1)
                factor &+= 0xa076_1d64_78bd_642e
                at &+= 8
                if at == 64 && count > 136 { at = (count &- 64) & ~7 }
            }
            sum &+= unsafe (word(bytes + (count &- 8)) ^ factor) &* (factor | 1)
        }
        return (sum ^ (sum &>> 29)) &* 0xbf58_476d_1ce4_e5b9
    }

    @inline(__always)
    static func word(_ bytes: UnsafePointer<UInt8>) -> UInt64 {
        // The caller has eight bytes there.
        unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self)
    }

    /// All of 0…7 bytes in one word, different for different bytes of one length.
    @inline(__always)
    static func shortWord(_ bytes: UnsafePointer<UInt8>, count: Int) -> UInt64 {
        // Only bytes below `count` are read.
        if count >= 4 {
            let low = unsafe UInt64(UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self))
            let high = unsafe UInt64(UnsafeRawPointer(bytes + (count &- 4)).loadUnaligned(as: UInt32.self))
            return low | high &<< 32
        }
        guard count > 0 else { return 0 }
        return unsafe UInt64(bytes[0]) | UInt64(bytes[count &>> 1]) &<< 8 | UInt64(bytes[count &- 1]) &<< 16
    }
}
