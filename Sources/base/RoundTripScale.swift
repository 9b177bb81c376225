// RoundTripScale: the buckets that round-trip times are counted in, wherever they come from. Values without state; any thread.

/// 256 buckets of equal width on a logarithmic scale from 0.1 ms to 1 s: each is wider than the one before by the 255th root of 10,000, 3.7 %. What is less counts in the first,
/// what is more in the last.
package enum RoundTripScale {
    package static let buckets = 256
    package static let firstUs: UInt64 = 100
    package static let lastUs: UInt64 = 1_000_000

    /// Lower bounds in nanoseconds, ascending; that of the first bucket is 0.1 ms.
    private static let bounds: [UInt64] = {
        var (bounds, bound) = ([UInt64](), Double(firstUs) * 1000)
        // exp(ln(10000) / 255), to all the digits that a Double has.
        let step = 1.0367791970603661
        for _ in 0..<buckets {
            bounds.append(UInt64(bound.rounded()))
            bound *= step
        }
        return bounds
    }()

    /// 0 to 255.
    package static func bucket(microseconds: UInt64) -> Int {
        let ns = microseconds.multipliedReportingOverflow(by: 1000)
        return ns.overflow ? buckets - 1 : bucket(nanoseconds: ns.partialValue)
    }

    /// 0 to 255.
    package static func bucket(nanoseconds: UInt64) -> Int {
        var (low, high) = (0, buckets)
        // The last bound that is not greater.
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] <= nanoseconds { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)
    }

    /// The least round trip of a bucket, in nanoseconds.
    package static func lowerBound(_ bucket: Int) -> UInt64 { bounds[min(max(bucket, 0), buckets - 1)] }
}
