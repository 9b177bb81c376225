// RefreshSchedule: when something that another server keeps is fetched, and for how long the last of it serves while that server fails. A value; sans-I/O.

/// Times in ns on one clock, which never goes back.
///
///     wanted ──begin──▶ under way ──succeeded──▶ fresh ──its time──▶ wanted
///                          └──failed──▶ stale, or nothing ──pause──▶ wanted
package struct RefreshSchedule: Sendable {
    package struct Settings: Sendable, Equatable {
        /// From one good fetch to the next.
        package var refreshNs: UInt64
        /// From the beginning of a fetch to one that somebody asks for (`ask`), and the least that the source can make of `refreshNs`.
        package var refreshMinNs: UInt64
        /// How long behind the time of the next fetch the last good one still serves. 0: not once a fetch has failed.
        package var staleNs: UInt64

        package init(refreshNs: UInt64, refreshMinNs: UInt64, staleNs: UInt64) { (self.refreshNs, self.refreshMinNs, self.staleNs) = (refreshNs, refreshMinNs, staleNs) }
    }

    /// The pause behind the first failure in a row; it doubles with each. 1 s.
    package static var retryNs: UInt64 { 1_000_000_000 }
    /// The longest such pause. 60 s.
    package static var retryMaxNs: UInt64 { 60_000_000_000 }

    package let settings: Settings
    /// The next fetch begins then.
    package private(set) var nextAt: UInt64 = 0
    /// What is there serves until then, at least. Nil: there is nothing.
    package private(set) var expiresAt: UInt64?
    /// Failures since the last good fetch.
    package private(set) var failures: UInt32 = 0
    private var beganAt: UInt64?

    package init(_ settings: Settings) { self.settings = settings }

    /// Something is there from before, as old as its own schedule says.
    package init(_ settings: Settings, from other: RefreshSchedule) {
        self.settings = settings
        (expiresAt, failures, beganAt) = (other.expiresAt, other.failures, other.beganAt)
        // Whatever has changed in the settings, a fetch at once finds out.
        nextAt = 0
    }

    /// A fetch begins.
    package mutating func begin(now: UInt64) { beganAt = now }

    /// - Parameters:
    ///   - lifetimeNs: how long the source says that it is good for; nil: it does not.
    ///   - random: so that many processes that began at once do not ask at once for ever.
    package mutating func succeeded(now: UInt64, lifetimeNs: UInt64?, random: inout PolicyRandom) {
        let wanted = min(settings.refreshNs, max(lifetimeNs ?? .max, settings.refreshMinNs))
        failures = 0
        nextAt = Self.sum(now, wanted - random.below(wanted / 10 + 1))
        expiresAt = Self.sum(Self.sum(now, wanted), settings.staleNs)
    }

    /// - Returns: whether there is nothing left that may serve.
    package mutating func failed(now: UInt64) -> Bool {
        failures = failures == .max ? .max : failures + 1
        let pause = min(Self.retryNs << UInt64(min(failures - 1, 6)), Self.retryMaxNs)
        nextAt = Self.sum(now, pause)
        guard let end = expiresAt else { return true }
        if now >= end {
            expiresAt = nil
            return true
        }
        // What is there ends in time: the fetch that fails then finds it.
        nextAt = min(nextAt, end)
        return false
    }

    /// Somebody misses something that a fetch might bring.
    /// - Returns: whether one begins sooner for it.
    package mutating func ask(now: UInt64) -> Bool {
        // The pauses behind failures are no shorter for it.
        guard failures == 0 else { return false }
        let soonest = max(now, beganAt.map { Self.sum($0, settings.refreshMinNs) } ?? 0)
        guard soonest < nextAt else { return false }
        nextAt = soonest
        return true
    }

    /// Before that asking changes nothing.
    package var askableAt: UInt64 { beganAt.map { Self.sum($0, settings.refreshMinNs) } ?? 0 }

    private static func sum(_ time: UInt64, _ ns: UInt64) -> UInt64 {
        let (sum, overflow) = time.addingReportingOverflow(ns)
        return overflow ? .max : sum
    }
}
