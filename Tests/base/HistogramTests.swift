// The histogram against sorted samples, and its edges by hand.

import Testing
import UringBase

/// The histogram in a copyable box: `#expect` copies what it is called on.
private final class HistogramUnderTest {
    private var histogram: Histogram

    init() { histogram = Histogram() }
    init(copyOf other: HistogramUnderTest) { histogram = other.histogram.copy() }

    var count: UInt64 { histogram.count }
    var sum: UInt64 { histogram.sum }
    var mean: UInt64 { histogram.mean }
    var min: UInt64 { histogram.min }
    var max: UInt64 { histogram.max }
    func record(_ value: UInt64) { histogram.record(value) }
    func percentile(permille: UInt64) -> UInt64 { histogram.percentile(permille: permille) }
    func merge(_ other: HistogramUnderTest) { histogram.merge(other.histogram) }
    func reset() { histogram.reset() }

    var buckets: [(range: ClosedRange<UInt64>, count: UInt64)] {
        var buckets: [(range: ClosedRange<UInt64>, count: UInt64)] = []
        histogram.forEachBucket { buckets.append(($0, $1)) }
        return buckets
    }
}

/// SplitMix64.
private struct HistogramRandom {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct HistogramTests {
    @Test func emptyIsZero() {
        let histogram = HistogramUnderTest()
        #expect(histogram.count == 0)
        #expect(histogram.mean == 0)
        #expect(histogram.min == 0)
        #expect(histogram.max == 0)
        #expect(histogram.percentile(permille: 500) == 0)
        #expect(histogram.buckets.isEmpty)
        #expect(MemoryLayout<Histogram>.size < 9300)
    }

    @Test func smallValuesAreExact() {
        let histogram = HistogramUnderTest()
        for value in 0..<64 as Range<UInt64> { histogram.record(value) }
        #expect(histogram.buckets.map(\.range) == (0..<64).map { $0...$0 })
        #expect(histogram.percentile(permille: 0) == 0)
        #expect(histogram.percentile(permille: 500) == 31)
        #expect(histogram.percentile(permille: 1000) == 63)
        #expect(histogram.mean == 31)
        #expect(histogram.sum == 63 * 32)
    }

    /// At every power of two and its neighbours: a value lies in the bucket that is reported for it, and that is narrow enough.
    @Test func bucketsHoldTheirValues() {
        for exponent in 0...63 as ClosedRange<UInt64> {
            for value in [(1 << exponent) - 1, 1 << exponent, (1 << exponent) + 1, (1 << exponent) + (1 << exponent) / 3] as [UInt64] {
                let histogram = HistogramUnderTest()
                histogram.record(value)
                let buckets = histogram.buckets
                #expect(buckets.count == 1)
                #expect(buckets[0].range.contains(value))
                #expect(histogram.percentile(permille: 500) == value)  // the maximum bounds it
                if value < 1 << 40 {
                    #expect((buckets[0].range.upperBound - buckets[0].range.lowerBound) <= value / 32)
                } else {
                    #expect(buckets[0].range == (1 << 40)...UInt64.max)
                }
            }
        }
    }

    @Test func bucketsCoverTheRangeWithoutGap() {
        let histogram = HistogramUnderTest()
        for exponent in 0..<40 as Range<UInt64> {
            for part in 0..<64 as Range<UInt64> { histogram.record((1 << exponent) + (part << exponent) / 64) }
        }
        histogram.record(0)
        histogram.record(.max)
        let ranges = histogram.buckets.map(\.range)
        #expect(ranges.count == 1153)
        for (range, next) in zip(ranges, ranges.dropFirst()) { #expect(range.upperBound + 1 == next.lowerBound) }
    }

    @Test func percentilesStayWithinTheStatedError() {
        var random = HistogramRandom(state: 7)
        for _ in 0..<20 {
            let histogram = HistogramUnderTest()
            var values: [UInt64] = []
            for _ in 0..<2000 {
                let value = random.next() >> (25 + random.next() % 39)
                values.append(value)
                histogram.record(value)
            }
            values.sort()
            for permille in [1, 10, 250, 500, 900, 990, 999, 1000] as [UInt64] {
                let exact = values[(values.count * Int(permille) + 999) / 1000 - 1]
                let estimate = histogram.percentile(permille: permille)
                #expect(estimate >= exact)
                #expect(estimate - exact <= exact / 32)
            }
            #expect(histogram.percentile(permille: 0) == values.first)
            #expect(histogram.percentile(permille: 5000) == values.last)
            #expect(histogram.sum == values.reduce(0, +))
        }
    }

    @Test func mergeEqualsRecordingAll() {
        var random = HistogramRandom(state: 3)
        let (first, second, both) = (HistogramUnderTest(), HistogramUnderTest(), HistogramUnderTest())
        for index in 0..<1000 {
            let value = random.next() >> (random.next() % 64)
            both.record(value)
            (index % 3 == 0 ? first : second).record(value)
        }
        first.merge(second)
        for permille in 0...1000 as ClosedRange<UInt64> {
            #expect(first.percentile(permille: permille) == both.percentile(permille: permille))
        }
        #expect(first.count == 1000)
        #expect(first.sum == both.sum)
        #expect(first.min == both.min)
        #expect(first.max == both.max)
        first.merge(HistogramUnderTest())
        #expect(first.min == both.min)
    }

    @Test func copiesAreIndependent() {
        let histogram = HistogramUnderTest()
        histogram.record(10)
        let copy = HistogramUnderTest(copyOf: histogram)
        histogram.record(20)
        #expect(copy.count == 1)
        #expect(copy.max == 10)
        histogram.reset()
        #expect(histogram.count == 0)
        #expect(histogram.min == 0)
        #expect(copy.count == 1)
    }

    @Test func sumsStayAtTheirMaximum() {
        let histogram = HistogramUnderTest()
        histogram.record(.max)
        histogram.record(.max)
        #expect(histogram.sum == .max)
        #expect(histogram.count == 2)
        #expect(histogram.percentile(permille: 990) == .max)
    }
}
