// RoundTripScale: 256 buckets from 0.1 ms to 1 s, each a fixed share wider than the one before.

import Testing
import UringBase

@Suite struct RoundTripScaleTests {
    @Test func endsOfTheScale() {
        #expect(RoundTripScale.lowerBound(0) == 100_000)
        #expect(RoundTripScale.lowerBound(255) == 1_000_000_000)
        for (microseconds, bucket) in [(0, 0), (99, 0), (100, 0), (103, 0), (104, 1), (1_000_000, 255), (999_999, 254), (1_000_001, 255)] as [(UInt64, Int)] {
            #expect(RoundTripScale.bucket(microseconds: microseconds) == bucket, "\(microseconds) µs")
        }
        #expect(RoundTripScale.bucket(microseconds: .max) == 255)
        #expect(RoundTripScale.bucket(nanoseconds: .max) == 255)
    }

    @Test func everyBucketBeginsAtItsBound() {
        for bucket in 0..<RoundTripScale.buckets {
            #expect(RoundTripScale.bucket(nanoseconds: RoundTripScale.lowerBound(bucket)) == bucket)
            guard bucket > 0 else { continue }
            #expect(RoundTripScale.bucket(nanoseconds: RoundTripScale.lowerBound(bucket) - 1) == bucket - 1)
            let ratio = Double(RoundTripScale.lowerBound(bucket)) / Double(RoundTripScale.lowerBound(bucket - 1))
            #expect(abs(ratio - 1.03678) < 0.0001)
        }
    }
}
