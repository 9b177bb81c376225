// BreakerSettings: what a circuit breaker goes by, and what it says. Values; see CircuitBreaker.

package struct BreakerSettings: Sendable, Equatable {
    /// Most trial requests at once, and most successes that a breaker can wait for: 7 bits of its word.
    package static var trialsMax: UInt32 { 127 }

    /// Trips when more than this share of the responses of `windowNs` failed, per mille, 1 to 1000; 0: off.
    package var errorPermille: UInt32 = 50
    /// ns.
    package var windowNs: UInt64 = 120_000_000_000
    /// Trips when the quantile `latencyPermille` of the responses of a period lay above it, ns, for `latencyPeriods` in a row; 0: off.
    package var latencyNs: UInt64 = 0
    /// 950: the p95. 1 to 999.
    package var latencyPermille: UInt32 = 950
    package var latencyPeriods: UInt32 = 3
    /// ns.
    package var periodNs: UInt64 = 10_000_000_000
    /// Trips after so many failures in a row; 0: off.
    package var consecutiveFailures: UInt32 = 0
    /// Windows and periods with fewer responses say nothing; such a period ends a row of slow ones.
    package var minimumRequests: UInt64 = 20
    /// How long it stays open, ns.
    package var openNs: UInt64 = 30_000_000_000
    /// Each time that trials fail in a row, it stays open so much longer, per cent of the time before, from 100 on.
    package var openGrowthPercent: UInt32 = 100
    /// Never longer, ns.
    package var openMaxNs: UInt64 = 300_000_000_000
    /// Trial requests at once while it is half-open, 1 to `trialsMax`.
    package var trials: UInt32 = 3
    /// Successes of trials that close it, 1 to `trialsMax`.
    package var successes: UInt32 = 3
    /// Lets everything through and says what it would have done.
    package var isDryRun = false

    package init() {}

    func check() {
        precondition(errorPermille <= 1000 && (1...999).contains(latencyPermille), "BUG: shares of a breaker out of range")
        precondition(windowNs >= BreakerWindow.tickMinNs && periodNs >= BreakerWindow.tickMinNs, "BUG: times of a breaker are 100 ms at least")
        precondition(latencyPeriods > 0 && openNs > 0 && openGrowthPercent >= 100, "BUG: a breaker opens for a time")
        precondition((1...Self.trialsMax).contains(trials) && (1...Self.trialsMax).contains(successes), "BUG: a breaker has 1 to 127 trials")
    }
}

/// What tripped it, with the figures.
package enum BreakerCause: Sendable, Equatable {
    /// So many responses of the window, and failures among them.
    case errorRate(failures: UInt64, requests: UInt64)
    /// So many of the last period's responses were slower than the bound; the longest row of periods ended with it.
    case latency(slow: UInt64, requests: UInt64, periods: UInt32)
    case consecutiveFailures(UInt32)
    /// A trial failed, after so many that had not.
    case trial(successes: UInt32)
}

/// A change of state, for log and metrics. With a dry run the same, of what would have happened.
package enum BreakerEvent: Sendable, Equatable {
    /// Until this time, ns; `openings` in a row, this one included.
    case opened(BreakerCause, until: UInt64, openings: UInt32)
    case halfOpened
    case closed(successes: UInt32)
}

package enum BreakerState: UInt8, Sendable, CaseIterable { case closed, open, halfOpen }

/// What a request may do. Its result is reported with it.
package struct BreakerAdmission: Sendable, Equatable, BitwiseCopyable {
    package enum Kind: UInt8, Sendable, BitwiseCopyable {
        /// The breaker is closed.
        case pass
        /// One of the trials: `record`, or `abandon`, must follow, or the place is free again only after the time of an opening.
        case trial
        /// Refused, and let through by a dry run: its result is not looked at.
        case shadow
        case refuse
    }

    package let kind: Kind
    let generation: UInt16

    package var isAllowed: Bool { kind != .refuse }

    init(kind: Kind, generation: UInt16) { (self.kind, self.generation) = (kind, generation) }

    /// For who keeps it as a number until the outcome is there.
    package var bits: UInt32 { UInt32(kind.rawValue) << 16 | UInt32(generation) }

    /// nil: not what `bits` said.
    package init?(bits: UInt32) {
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: bits >> 16)) else { return nil }
        self.init(kind: kind, generation: UInt16(truncatingIfNeeded: bits))
    }
}

/// All that a breaker's loops agree on, in one word.
struct BreakerWord: Equatable {
    private static let generationMask: UInt64 = 0xFFF
    /// 2²³ ns (8.4 ms): 36 bits of it are 18 years of uptime.
    static let unitShift: UInt64 = 23
    private static let timeMask: UInt64 = 1 << 36 - 1

    var bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    init(_ state: BreakerState, generation: UInt16, trials: UInt32 = 0, successes: UInt32 = 0, units: UInt64 = 0) {
        bits = UInt64(state.rawValue) | (UInt64(generation) & Self.generationMask) << 2 | UInt64(trials) << 14 | UInt64(successes) << 21
        bits |= (units & Self.timeMask) << 28
    }

    var state: BreakerState { BreakerState(rawValue: UInt8(truncatingIfNeeded: bits & 3)) ?? .closed }
    /// Rises with each change of state.
    var generation: UInt16 { UInt16(bits >> 2 & Self.generationMask) }
    /// Under way.
    var trials: UInt32 { UInt32(truncatingIfNeeded: bits >> 14 & 0x7F) }
    var successes: UInt32 { UInt32(truncatingIfNeeded: bits >> 21 & 0x7F) }
    /// Open: its end. Half-open: when the latest trial began. In units.
    var units: UInt64 { bits >> 28 }

    static func units(_ time: UInt64) -> UInt64 { min(time >> unitShift, timeMask) }

    /// The next state; `units` rounds down.
    func next(_ state: BreakerState, units: UInt64 = 0, trials: UInt32 = 0) -> BreakerWord { BreakerWord(state, generation: generation &+ 1, trials: trials, units: units) }

    /// The same state, other trials.
    func with(trials: UInt32, successes: UInt32, units: UInt64) -> BreakerWord { BreakerWord(state, generation: generation, trials: trials, successes: successes, units: units) }
}
