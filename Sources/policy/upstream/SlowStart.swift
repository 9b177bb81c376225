// SlowStart: how much of its weight a server has that is new or comes back. A value in the settings of a Balancer; sans-I/O.

/// The weight grows linearly from a least share to all of it: caches fill, pools open and compilers warm up before the full load comes.
package struct SlowStart: Sendable, Equatable {
    /// The ramp, ns; 0: none.
    package var windowNs: UInt64
    /// The share at its beginning, per cent, 1 to 100: without requests nothing would get warm.
    package var minimumPercent: UInt32

    package static var off: SlowStart { SlowStart(windowNs: 0) }

    package init(windowNs: UInt64, minimumPercent: UInt32 = 10) {
        precondition((1...100).contains(minimumPercent), "BUG: a slow start begins with 1 to 100 % of the weight")
        self.windowNs = windowNs
        self.minimumPercent = minimumPercent
    }

    /// The share of the weight, per cent, of a server that has been in use since `since` (0: for ever).
    package func percent(since: UInt64, now: UInt64) -> UInt32 {
        // Before `since` only a panic uses the server, and there nobody is spared.
        guard windowNs > 0, since > 0, now >= since, now &- since < windowNs else { return 100 }
        let passed = (now &- since).multipliedFullWidth(by: UInt64(100 &- minimumPercent))
        return minimumPercent &+ UInt32(truncatingIfNeeded: windowNs.dividingFullWidth(passed).quotient)
    }

    /// When a ramp that is under way at `now` has gone on noticeably: a 32nd of the window later.
    func nextStep(after now: UInt64) -> UInt64 { now.saturatingSum(max(windowNs / 32, 1)) }
}

extension UInt64 {
    /// Times do not wrap: what would, is never (`.max`).
    @inline(__always) func saturatingSum(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    @inline(__always) func saturatingProduct(_ other: UInt64) -> UInt64 {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
