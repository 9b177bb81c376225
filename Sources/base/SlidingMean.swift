// Sliding mean of a loop's measurements: queue depth, batch size, loop lag.
//
// Owned and written by one loop thread; another thread that wants to read asks the loop for a copy through its mailbox
// (see Histogram.swift), so nothing here is atomic. A value of 24 bytes, integer arithmetic only.

/// Exponentially weighted mean over a window of 2^n samples.
///
/// The first `window` samples are averaged plainly, so a fresh mean is right at once and not drawn to its first value. After
/// that every sample weighs 1/window: a sample that is `window` samples old has 37 % of the weight of the newest, 2.3 times
/// `window` samples make up 90 % of the mean. The window counts samples, not time: a loop that samples once per turn
/// forgets fast when it is busy.
package struct SlidingMean: Sendable, BitwiseCopyable {
    /// Fixed point: 16 bits after the point keep the rounding of a window of 4096 below 1/16.
    private static var fractionBits: UInt64 { 16 }
    /// Samples above 2⁴⁶ (19 hours in ns) count as 2⁴⁶, so that the arithmetic cannot overflow.
    package static var sampleMax: UInt64 { 1 << 46 }

    private var scaled: Int64 = 0
    /// Samples so far, up to the window.
    private var seen: UInt32 = 0
    private let windowShift: UInt8

    /// - Parameter windowShift: the window is 2^windowShift samples; 0 (the last sample only) to 12.
    package init(windowShift: UInt8) {
        precondition(windowShift <= 12, "BUG: the window of a sliding mean is at most 2^12 samples")
        self.windowShift = windowShift
    }

    /// Samples in the window.
    package var window: UInt32 { 1 << UInt32(windowShift) }

    /// Takes one sample into the mean.
    package mutating func record(_ sample: UInt64) {
        let difference = Int64(min(sample, Self.sampleMax) << Self.fractionBits) &- scaled
        if seen < window {
            seen &+= 1
            scaled &+= difference / Int64(seen)
        } else {
            scaled &+= difference >> Int64(windowShift)
        }
    }

    /// The mean, rounded to the nearest integer; 0 before the first sample.
    package var value: UInt64 { UInt64(scaled &+ Self.half) >> Self.fractionBits }

    /// The mean in thousandths, rounded down, for small numbers such as batch sizes.
    package var thousandths: UInt64 {
        let whole = UInt64(scaled) >> Self.fractionBits
        let fraction = UInt64(scaled) & ((1 << Self.fractionBits) - 1)
        return whole &* 1000 &+ ((fraction &* 1000) >> Self.fractionBits)
    }

    private static var half: Int64 { 1 << (Int64(fractionBits) - 1) }
}
