// The sliding mean: start, window, rounding, extremes.

import Testing
import UringBase

@Suite struct SlidingMeanTests {
    private func mean(_ shift: UInt8, of samples: [UInt64]) -> SlidingMean {
        var mean = SlidingMean(windowShift: shift)
        for sample in samples { mean.record(sample) }
        return mean
    }

    @Test func emptyIsZero() {
        #expect(SlidingMean(windowShift: 4).value == 0)
        #expect(SlidingMean(windowShift: 4).thousandths == 0)
    }

    @Test func firstWindowIsThePlainMean() {
        #expect(mean(4, of: [10]).value == 10)
        #expect(mean(4, of: [10, 20]).value == 15)
        #expect(mean(4, of: [1, 2]).thousandths == 1500)
        #expect(mean(4, of: Array(1...16)).thousandths.distance(to: 8500).magnitude <= 1)
    }

    @Test func windowOfOneIsTheLastSample() {
        #expect(mean(0, of: [5, 900, 7]).value == 7)
        #expect(mean(0, of: [5, 900, 7]).window == 1)
    }

    @Test func samplesFadeWithTheWindow() {
        var step = mean(6, of: Array(repeating: 0, count: 64))
        for _ in 0..<64 { step.record(1_000_000) }
        // (1 - 1/64)^64 = 0.365 of the old level are left after one window.
        #expect(step.value.distance(to: 635_010).magnitude < 1000)
        for _ in 0..<1000 { step.record(1_000_000) }
        #expect(step.value.distance(to: 1_000_000).magnitude <= 1)
    }

    @Test(arguments: 0...12 as ClosedRange<UInt8>) func constantsAreKept(shift: UInt8) {
        for level in [0, 1, 3, 1000, SlidingMean.sampleMax] as [UInt64] {
            var mean = SlidingMean(windowShift: shift)
            for _ in 0..<20_000 { mean.record(level) }
            #expect(mean.value == level)
            // From above and from below it comes back to within the stated rounding.
            mean.record(level + 500)
            mean.record(level > 500 ? level - 500 : 0)
            for _ in 0..<100_000 { mean.record(level) }
            #expect(mean.value == level)
            #expect(mean.thousandths.distance(to: level * 1000).magnitude <= 1000 / 16 + 1)  // + 1: rounded down
        }
    }

    @Test func extremesDoNotOverflow() {
        for shift in 0...12 as ClosedRange<UInt8> {
            var mean = SlidingMean(windowShift: shift)
            for index in 0..<10_000 {
                mean.record(index % 2 == 0 ? .max : 0)
                #expect(mean.value <= SlidingMean.sampleMax)
            }
            for _ in 0..<(Int(mean.window) * 60) { mean.record(0) }
            #expect(mean.value == 0)
        }
    }

    @Test func tooWideAWindowIsABug() async {
        await #expect(processExitsWith: .failure) {
            _ = SlidingMean(windowShift: 13)
        }
    }
}
