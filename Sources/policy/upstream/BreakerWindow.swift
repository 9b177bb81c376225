// BreakerWindow: sums of responses over the last minutes. Owned by a CircuitBreaker, used by whichever loop evaluates; knows totals since the beginning and makes differences of them.

/// Responses since a beginning.
struct BreakerTotals: Sendable, Equatable, BitwiseCopyable {
    var requests: UInt64 = 0
    var failures: UInt64 = 0
    var slow: UInt64 = 0

    static func - (a: BreakerTotals, b: BreakerTotals) -> BreakerTotals {
        BreakerTotals(requests: a.requests &- b.requests, failures: a.failures &- b.failures, slow: a.slow &- b.slow)
    }
}

/// A sliding window of at most 62 parts, and the periods beside it.
///
/// It is asked at each tick, before the responses after it are counted; so what came since the last tick, came in the tick after it, even if nobody asked for an hour.
struct BreakerWindow: Sendable {
    static var tickMinNs: UInt64 { 100_000_000 }
    private static var capacity: Int { 64 }

    private struct Mark: BitwiseCopyable {
        var time: UInt64 = 0
        var totals = BreakerTotals()
    }

    private let windowNs: UInt64
    private let periodNs: UInt64
    let tickNs: UInt64
    private var marks = InlineArray<64, Mark>(repeating: Mark())
    private var first = 0
    private var count = 0
    /// When it was asked for the last time.
    private var asked: UInt64 = 0
    private var periodEnd: UInt64 = 0
    private var periodStart = BreakerTotals()
    /// The state of the breaker that it belongs to.
    private(set) var generation: UInt16?

    init(windowNs: UInt64, periodNs: UInt64) {
        self.windowNs = windowNs
        self.periodNs = periodNs
        // Two marks to spare: at the window's edge and the present.
        tickNs = max(windowNs / 60, Self.tickMinNs)
    }

    /// Begins anew: what was before is not looked at.
    mutating func reset(_ totals: BreakerTotals, now: UInt64, generation: UInt16) {
        (first, count) = (0, 1)
        marks[0] = Mark(time: now, totals: totals)
        asked = now
        periodEnd = now.saturatingSum(periodNs)
        periodStart = totals
        self.generation = generation
    }

    /// What came within the window, after taking in the present totals.
    mutating func slide(_ totals: BreakerTotals, now: UInt64) -> BreakerTotals {
        if now > asked { append(Mark(time: min(now, asked.saturatingSum(tickNs)), totals: totals)) }
        asked = max(asked, now)
        let edge = now > windowNs ? now - windowNs : 0
        while count > 1 && mark(1).time <= edge { drop() }
        return totals - mark(0).totals
    }

    /// The responses of a period that has ended at `now`, and whether it is the last one (if not, a quiet one came after it, and ends every row); nil within one.
    mutating func endPeriod(_ totals: BreakerTotals, now: UInt64) -> (totals: BreakerTotals, followsDirectly: Bool)? {
        guard now >= periodEnd else { return nil }
        let passed = totals - periodStart
        let isLate = now - periodEnd >= periodNs
        periodStart = totals
        periodEnd = now.saturatingSum(periodNs)
        return (passed, !isLate)
    }

    /// When it wants to be asked again.
    func nextTick(after now: UInt64) -> UInt64 { min(now.saturatingSum(tickNs), periodEnd) }

    private func mark(_ index: Int) -> Mark { marks[(first + index) % Self.capacity] }

    private mutating func append(_ mark: Mark) {
        if count == Self.capacity { drop() }
        marks[(first + count) % Self.capacity] = mark
        count += 1
    }

    private mutating func drop() {
        first = (first + 1) % Self.capacity
        count -= 1
    }
}
