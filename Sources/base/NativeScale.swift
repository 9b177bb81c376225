// NativeScale: the buckets of Prometheus' native histograms of schema 2 (exposition of sparse histograms): four for each power of two, in seconds. Values without state; any thread.

/// Bucket `index` holds what is above 2^((index - 1) / 4) seconds and not above 2^(index / 4): each is 19 % wider than the one before.
package enum NativeScale {
    package static var schema: Int32 { 2 }
    /// 2^-17 s, 7.6 µs: what is shorter is in it too.
    package static var firstIndex: Int { -68 }
    /// 2^7 s, 128 s: what is longer is in it too.
    package static var lastIndex: Int { 28 }
    package static var places: Int { 97 }

    /// 2^63 times the fourth roots of 2, 4 and 8.
    private static var quarters: (UInt64, UInt64, UInt64) { (0x9837_F051_8DB8_A96F, 0xB504_F333_F9DE_6484, 0xD744_FCCA_D69D_6AF4) }

    /// 0 to 96.
    @inline(__always)
    package static func place(nanoseconds: UInt64) -> Int {
        // In units of 2^-30 s: ns · 2^30 / 10^9 = ns + ns · 73,741,824 / 10^9. Below 2^37 ns nothing overflows.
        guard nanoseconds < 1 << 37 else { return places &- 1 }
        let scaled = nanoseconds &+ nanoseconds &* 73_741_824 / 1_000_000_000
        guard scaled > 1 << 13 else { return 0 }
        let zeros = scaled.leadingZeroBitCount
        let (exponent, mantissa) = (63 &- zeros, scaled &<< UInt64(zeros))
        var index = 4 &* (exponent &- 30)
        // A bound belongs to the bucket that it ends.
        if mantissa > 1 << 63 { index &+= 1 }
        if mantissa > quarters.0 { index &+= 1 }
        if mantissa > quarters.1 { index &+= 1 }
        if mantissa > quarters.2 { index &+= 1 }
        return min(index, lastIndex) &- firstIndex
    }

    package static func index(place: Int) -> Int { place + firstIndex }
}
