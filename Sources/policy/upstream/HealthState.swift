// HealthState: active checks of one server: when the next one is due, and what its result means. One value per server, kept by the loop that checks that server (one of them does,
// not all); what it decides goes to all loops by `SharedServers.setHealthy`. Sans-I/O: the caller sends the request and says what came of it.
//
//          failure × unhealthyAfter                      A server that was never checked is taken for what `initial` says; its first result decides
//     healthy ─────────────────────▶ unhealthy           at once when that is `unhealthy` (a start waits for one check, not for `healthyAfter`).
//        ▲                              │
//        └── success × healthyAfter ────┘

package struct HealthSettings: Sendable, Equatable {
    /// Between the beginnings of two checks, ns.
    package var intervalNs: UInt64 = 2_000_000_000
    /// The same while the server is unhealthy; 0: as otherwise.
    package var unhealthyIntervalNs: UInt64 = 0
    /// A check that takes longer has failed, ns.
    package var timeoutNs: UInt64 = 1_000_000_000
    /// Failures in a row.
    package var unhealthyAfter: UInt32 = 3
    /// Successes in a row.
    package var healthyAfter: UInt32 = 2
    /// Each interval is longer or shorter by up to this, per cent of it, 0 to 50: checks of many servers, by many gateways, spread out instead of coming in volleys.
    package var jitterPercent: UInt32 = 10
    /// What a server is before its first check. `healthy` serves at once; `unhealthy` sends nothing to a server that was never seen working.
    package var initial = Initial.healthy

    package enum Initial: UInt8, Sendable { case healthy, unhealthy }

    package init() {}
}

/// What came of a check.
package enum HealthResult: UInt8, Sendable, CaseIterable {
    case success
    /// A status that is not among the accepted ones.
    case wrongStatus
    /// The body is not what was asked for.
    case wrongBody
    /// Refused or unreachable.
    case connectFailure
    /// Reset, closed early, or not HTTP.
    case reset
    case timeout
    case tlsFailure
}

/// A change, for the log and for the other loops.
package enum HealthTransition: Sendable, Equatable {
    case becameHealthy(afterSuccesses: UInt32)
    /// The last result of `afterFailures` ones.
    case becameUnhealthy(afterFailures: UInt32, last: HealthResult)
}

/// The checks of one server.
package struct HealthState: Sendable {
    package let settings: HealthSettings
    package private(set) var isHealthy: Bool
    /// Results in a row that speak against `isHealthy`.
    package private(set) var streak: UInt32 = 0
    /// False before the first result.
    package private(set) var wasChecked = false
    /// When the next check begins, ns; `.max` while one is under way.
    private var due: UInt64
    /// When the check that is under way has failed, ns; `.max` between checks.
    private var deadline = UInt64.max
    private var began: UInt64 = 0

    /// The first check comes within a tenth of the interval, a second at most.
    package init(_ settings: HealthSettings, now: UInt64, random: inout PolicyRandom) {
        precondition(settings.intervalNs > 0 && settings.timeoutNs > 0, "BUG: times of health checks are not 0")
        precondition(settings.unhealthyAfter > 0 && settings.healthyAfter > 0, "BUG: a change of health needs a result")
        precondition(settings.jitterPercent <= 50, "BUG: jitter is at most 50 %")
        self.settings = settings
        isHealthy = settings.initial == .healthy
        due = now.saturatingSum(random.below(min(settings.intervalNs / 10, 1_000_000_000) + 1))
    }

    /// When the caller has to look again, ns: to begin a check, or to end one that takes too long.
    package var nextEvent: UInt64 { min(due, deadline) }

    /// What is to be done at `now`.
    package enum Step: Sendable, Equatable {
        /// Nothing before `nextEvent`.
        case wait
        /// Begin a check, and report its end by `finished`.
        case check
        /// Abandon the check under way; `finished(.timeout)` is still to be called.
        case abandon
    }

    /// Begins a check when one is due.
    package mutating func step(now: UInt64) -> Step {
        if now >= deadline { return .abandon }
        guard now >= due else { return .wait }
        (due, began) = (.max, now)
        deadline = now.saturatingSum(settings.timeoutNs)
        return .check
    }

    /// A check has ended.
    package mutating func finished(_ result: HealthResult, now: UInt64, random: inout PolicyRandom) -> HealthTransition? {
        precondition(deadline != .max, "BUG: no check is under way")
        deadline = .max
        let transition = count(result)
        wasChecked = true
        // From the beginning, so that slow answers do not make checks rarer; but never without a pause.
        let interval = jittered(isHealthy || settings.unhealthyIntervalNs == 0 ? settings.intervalNs : settings.unhealthyIntervalNs, &random)
        due = max(began.saturatingSum(interval), now.saturatingSum(interval / 4))
        return transition
    }

    private mutating func count(_ result: HealthResult) -> HealthTransition? {
        let isSuccess = result == .success
        guard isSuccess != isHealthy else {
            streak = 0
            return nil
        }
        streak &+= 1
        let isFirst = !wasChecked && isSuccess
        guard streak >= (isSuccess ? settings.healthyAfter : settings.unhealthyAfter) || isFirst else { return nil }
        defer { streak = 0 }
        isHealthy = isSuccess
        return isSuccess ? .becameHealthy(afterSuccesses: streak) : .becameUnhealthy(afterFailures: streak, last: result)
    }

    private func jittered(_ interval: UInt64, _ random: inout PolicyRandom) -> UInt64 {
        // Divided first: an interval is far above 100 ns.
        let spread = interval / 100 * UInt64(settings.jitterPercent)
        return (interval - spread).saturatingSum(random.below(spread.saturatingProduct(2).saturatingSum(1)))
    }
}
