// Histogram of a loop's measurements: queue depth, batch size, loop lag, latencies.
//
// Owned and written by one loop thread. Nothing here is atomic, and nothing needs to be: another thread never reads a
// loop's histogram, it asks for one through the loop's mailbox, and the loop answers with a copy (`copy()`), which is
// sendable and belongs to the asker. So the hot path pays for plain additions only, and the compiler sees to the rest.

/// Counts of values in buckets of about 3 % width, in fixed memory of 9 KiB, without allocation.
///
/// Values below 64 are exact. Above, a bucket is 1/32 of its power of two wide, so a percentile is never below the true one and
/// above it by at most 1/32 (3.2 %). Values of 2⁴⁰ (18 minutes in ns) and more share the last bucket, in which percentiles are
/// the maximum; count, sum and maximum are exact for all.
package struct Histogram: ~Copyable, Sendable {
    /// 32 buckets per power of two.
    private static var precisionBits: Int { 5 }
    /// Values of 2^40 and more are not told apart.
    private static var rangeBits: Int { 40 }
    /// 32 exact values, 32 buckets for each power of two from 2⁵ to 2³⁹, one for the rest.
    private static var last: Int { 32 * (1 + rangeBits - precisionBits) }

    private var buckets = InlineArray<1153, UInt64>(repeating: 0)
    /// Values recorded.
    package private(set) var count: UInt64 = 0
    /// Sum of all values; stays at its maximum instead of wrapping.
    package private(set) var sum: UInt64 = 0
    /// The greatest value, 0 when there is none.
    package private(set) var max: UInt64 = 0
    /// The least value, 0 when there is none.
    package var min: UInt64 { count == 0 ? 0 : least }
    private var least: UInt64 = .max

    package init() {}

    /// Counts one value.
    package mutating func record(_ value: UInt64) {
        buckets[Self.bucket(of: value)] &+= 1
        count &+= 1
        add(toSum: value)
        max = Swift.max(max, value)
        least = Swift.min(least, value)
    }

    /// Mean of all values, rounded down; 0 when there is none.
    package var mean: UInt64 { count == 0 ? 0 : sum / count }

    /// The value that `permille` of 1000 values do not exceed: 500 is the median, 999 the 99.9th percentile.
    ///
    /// - Parameter permille: 0 (the minimum) to 1000 (the maximum); more counts as 1000.
    /// - Returns: at least the true percentile and at most 1/32 above it; 0 when there is no value.
    package func percentile(permille: UInt64) -> UInt64 {
        guard count > 0 else { return 0 }
        if permille == 0 { return least }
        // ⌈count · permille / 1000⌉, exact without overflow.
        let product = count.multipliedFullWidth(by: Swift.min(permille, 1000))
        let (quotient, remainder) = UInt64(1000).dividingFullWidth(product)
        let rank = quotient + (remainder == 0 ? 0 : 1)
        // Through a span: subscripts of a borrowed inline array copy all of it each time (Swift 6.3).
        let counts = buckets.span
        var seen: UInt64 = 0
        for bucket in 0..<Self.last {
            seen &+= counts[bucket]
            if seen >= rank { return Swift.min(Self.greatest(in: bucket), max) }
        }
        return max
    }

    /// Adds the values of another histogram, as if they had been recorded here.
    package mutating func merge(_ other: borrowing Histogram) {
        let counts = other.buckets.span
        for bucket in 0...Self.last { buckets[bucket] &+= counts[bucket] }
        count &+= other.count
        add(toSum: other.sum)
        max = Swift.max(max, other.max)
        least = Swift.min(least, other.least)
    }

    /// A copy for another owner, such as a thread that asked the loop for one. Explicit, because it is 9 KiB.
    package func copy() -> Histogram {
        var copy = Histogram()
        copy.buckets = buckets
        copy.count = count
        copy.sum = sum
        copy.max = max
        copy.least = least
        return copy
    }

    /// Forgets all values.
    package mutating func reset() { self = Histogram() }

    /// Calls `body` with the bounds and count of every bucket that is not empty, in ascending order: for export into
    /// formats with buckets of their own.
    package func forEachBucket(_ body: (_ range: ClosedRange<UInt64>, _ count: UInt64) -> Void) {
        let counts = buckets.span
        var lower: UInt64 = 0
        for bucket in 0..<Self.last {
            let upper = Self.greatest(in: bucket)
            if counts[bucket] > 0 { body(lower...upper, counts[bucket]) }
            lower = upper + 1
        }
        if counts[Self.last] > 0 { body(lower...UInt64.max, counts[Self.last]) }
    }

    // MARK: Buckets

    /// Below 32 the value itself; then the exponent, and the five bits after the leading one.
    private static func bucket(of value: UInt64) -> Int {
        guard value >= 32 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        guard exponent < rangeBits else { return last }
        let shift = UInt64(exponent - precisionBits)
        return 32 * Int(shift) + Int(value >> shift)
    }

    private static func greatest(in bucket: Int) -> UInt64 {
        guard bucket >= 64 else { return UInt64(bucket) }
        let shift = UInt64(bucket / 32 - 1)
        return ((UInt64(bucket % 32) + 33) << shift) - 1
    }

    private mutating func add(toSum value: UInt64) {
        let (total, overflow) = sum.addingReportingOverflow(value)
        sum = overflow ? .max : total
    }
}
