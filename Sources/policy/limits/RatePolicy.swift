// How much a client may ask for, and the arithmetic of the generic cell rate algorithm (ITU-T I.371, the virtual scheduling form). Values; any thread.

/// `tokens` in each period at an even pace, of which `burst` may come at once.
@frozen @usableFromInline
package struct RatePolicy: Hashable, Sendable, BitwiseCopyable {
    /// Nanoseconds that a token takes to come back. Rounded up, so that no more than the rate is ever admitted; by that less is, at most 1 ns for each token (0.1 % at a million a second).
    @usableFromInline package let interval: UInt64
    /// Tokens that may be used at once, at least 1.
    @usableFromInline package let burst: UInt64
    /// `interval` · `burst`: who owes no more than this is admitted.
    @usableFromInline package let tolerance: UInt64

    /// 36 years: the longest time in which a burst comes back. Times of some ten years of uptime added to it do not overflow.
    package static var toleranceMax: UInt64 { 1 << 60 }
    /// A token every 10 ns. Beyond it rounding would eat more than a tenth of the rate.
    package static var intervalMin: UInt64 { 10 }

    /// - Parameters:
    ///   - period: ns.
    /// - Returns: nil for a rate of 0, a burst of 0, a rate above a hundred million a second or a burst that needs more than 36 years to come back.
    package init?(tokens: UInt64, per period: UInt64, burst: UInt64) {
        guard tokens > 0, period > 0, burst > 0 else { return nil }
        interval = period / tokens + (period % tokens == 0 ? 0 : 1)
        guard interval >= Self.intervalMin else { return nil }
        let (spread, overflow) = interval.multipliedReportingOverflow(by: burst)
        guard !overflow, spread <= Self.toleranceMax else { return nil }
        self.burst = burst
        tolerance = spread
    }

    /// What becomes of a request for `cost` tokens of somebody whose debts are paid at `paidAt`.
    ///
    /// - Returns: the decision, and when debts are paid after it; the latter means something only when it is allowed.
    @usableFromInline
    package func decide(paidAt: UInt64, cost: UInt64, now: UInt64) -> (decision: RateDecision, paidAt: UInt64) {
        // Who was limited by a slower policy before a reload owes this one no more than its burst.
        let debt = paidAt > now ? min(paidAt &- now, tolerance) : 0
        guard cost <= burst else { return (refusal(debt: debt, retryAfter: .max), paidAt) }
        // Both are at most `tolerance`, which is at most 2⁶⁰.
        let after = debt &+ interval &* cost
        guard after <= tolerance else { return (refusal(debt: debt, retryAfter: after &- tolerance), paidAt) }
        let decision = RateDecision(isAllowed: true, isCounted: true, limit: burst, remaining: (tolerance &- after) / interval, resetAfter: after, retryAfter: 0)
        return (decision, now &+ after)
    }

    private func refusal(debt: UInt64, retryAfter: UInt64) -> RateDecision {
        RateDecision(isAllowed: false, isCounted: true, limit: burst, remaining: (tolerance &- debt) / interval, resetAfter: debt, retryAfter: retryAfter)
    }
}

/// What a limiter answers. Times are ns from the time of the question.
@frozen @usableFromInline
package struct RateDecision: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline package var isAllowed: Bool
    /// No when the table was full of others (`SharedRateTable`), or Redis did not answer: then `isAllowed` is what was configured for that.
    @usableFromInline package var isCounted: Bool
    /// Tokens of a full burst.
    @usableFromInline package var limit: UInt64
    /// Tokens that may be used at once now.
    @usableFromInline package var remaining: UInt64
    /// Until all of `limit` is there again.
    @usableFromInline package var resetAfter: UInt64
    /// Until the same request would be allowed; 0 when it was, `.max` when it costs more than a whole burst.
    @usableFromInline package var retryAfter: UInt64

    @inlinable
    package init(isAllowed: Bool, isCounted: Bool, limit: UInt64, remaining: UInt64, resetAfter: UInt64, retryAfter: UInt64) {
        self.isAllowed = isAllowed
        self.isCounted = isCounted
        self.limit = limit
        self.remaining = remaining
        self.resetAfter = resetAfter
        self.retryAfter = retryAfter
    }

    /// Nothing was counted: what is said instead.
    package static func uncounted(_ policy: RatePolicy, isAllowed: Bool) -> RateDecision {
        RateDecision(
            isAllowed: isAllowed, isCounted: false, limit: policy.burst, remaining: isAllowed ? policy.burst : 0, resetAfter: 0,
            retryAfter: isAllowed ? 0 : policy.interval)
    }
}
