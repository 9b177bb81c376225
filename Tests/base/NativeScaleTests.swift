// The buckets of native histograms, against the definition by logarithms.

import Foundation
import Testing

@testable import UringBase

@Suite struct NativeScaleTests {
    private func bound(_ index: Int) -> Double { pow(2, Double(index) / 4) * 1e9 }

    @Test func bucketsEndAtFourthRootsOfTwo() {
        for index in NativeScale.firstIndex...NativeScale.lastIndex {
            let end = bound(index)
            // The scale's own unit is a nanosecond or so: two of them lie aside.
            #expect(NativeScale.index(place: NativeScale.place(nanoseconds: UInt64(end) - 2)) == index, "\(index)")
            #expect(NativeScale.index(place: NativeScale.place(nanoseconds: UInt64(end) + 3)) == min(index + 1, NativeScale.lastIndex), "\(index)")
        }
    }

    @Test func aPowerOfTwoOfSecondsEndsItsBucket() {
        for exponent in 0...6 { #expect(NativeScale.index(place: NativeScale.place(nanoseconds: 1_000_000_000 << UInt64(exponent))) == 4 * exponent) }
    }

    @Test func whatLiesOutsideCountsAtTheEnds() {
        #expect(NativeScale.place(nanoseconds: 0) == 0 && NativeScale.place(nanoseconds: 1) == 0)
        for long in [128_000_000_001, 1 << 37, 1 << 62, UInt64.max] { #expect(NativeScale.place(nanoseconds: long) == NativeScale.places - 1) }
        #expect(NativeScale.index(place: NativeScale.places - 1) == NativeScale.lastIndex)
    }

    @Test func placesNeverFall() {
        var (last, value): (Int, UInt64) = (0, 1)
        while value < 1 << 40 {
            let place = NativeScale.place(nanoseconds: value)
            #expect(place >= last && place < NativeScale.places)
            (last, value) = (place, value + value / 37 + 1)
        }
    }
}
