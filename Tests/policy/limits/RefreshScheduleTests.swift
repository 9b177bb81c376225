// When keys are fetched, and how long old ones serve. Times in seconds.

import Testing

@testable import UringPolicy

@Suite struct RefreshScheduleTests {
    private static let second: UInt64 = 1_000_000_000

    /// A schedule whose changes can stand within an expectation.
    private final class Known {
        var value: RefreshSchedule
        var random = PolicyRandom(seed: 7)
        init(_ value: RefreshSchedule) { self.value = value }
        var nextAt: UInt64 { value.nextAt }
        var expiresAt: UInt64? { value.expiresAt }
        func begin(now: UInt64) { value.begin(now: now) }
        func succeeded(now: UInt64, lifetimeNs: UInt64?) { value.succeeded(now: now, lifetimeNs: lifetimeNs, random: &random) }
        func failed(now: UInt64) -> Bool { value.failed(now: now) }
        func ask(now: UInt64) -> Bool { value.ask(now: now) }
    }

    private func schedule(refresh: UInt64 = 300, min: UInt64 = 10, stale: UInt64 = 1000) -> Known {
        Known(RefreshSchedule(RefreshSchedule.Settings(refreshNs: refresh * Self.second, refreshMinNs: min * Self.second, staleNs: stale * Self.second)))
    }

    @Test func aGoodFetchIsRepeatedInTime() {
        let known = schedule()
        #expect(known.nextAt == 0 && known.expiresAt == nil)
        known.begin(now: 100 * Self.second)
        known.succeeded(now: 101 * Self.second, lifetimeNs: nil)
        #expect((101 + 270) * Self.second <= known.nextAt && known.nextAt <= (101 + 300) * Self.second)
        #expect(known.expiresAt == (101 + 300 + 1000) * Self.second)
        // The source makes it sooner, and not sooner than `refreshMinNs`.
        known.succeeded(now: 0, lifetimeNs: 60 * Self.second)
        #expect(54 * Self.second <= known.nextAt && known.nextAt <= 60 * Self.second)
        known.succeeded(now: 0, lifetimeNs: 0)
        #expect(9 * Self.second <= known.nextAt && known.nextAt <= 10 * Self.second)
        known.succeeded(now: 0, lifetimeNs: .max)
        #expect(known.nextAt <= 300 * Self.second)
    }

    @Test func pausesBehindFailuresGrow() {
        let known = schedule()
        var pauses: [UInt64] = []
        for _ in 0..<9 {
            #expect(known.failed(now: 0))
            pauses.append(known.nextAt / Self.second)
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60])
        known.succeeded(now: 0, lifetimeNs: nil)
        #expect(!known.failed(now: 0) && known.nextAt == Self.second)
    }

    @Test func oldOnesServeUntilTheirEnd() {
        let known = schedule(refresh: 20, stale: 30)
        known.succeeded(now: 0, lifetimeNs: nil)
        #expect(!known.failed(now: 20 * Self.second) && !known.failed(now: 49 * Self.second))
        // The end is met by a fetch, not passed over in a pause.
        #expect(known.nextAt == 50 * Self.second)
        #expect(known.failed(now: 50 * Self.second) && known.expiresAt == nil)
        let strict = schedule(refresh: 20, stale: 0)
        strict.succeeded(now: 0, lifetimeNs: nil)
        #expect(!strict.failed(now: 19 * Self.second) && strict.failed(now: 20 * Self.second))
    }

    @Test func askingMakesItSoonerButNotOften() {
        let known = schedule()
        known.begin(now: 100 * Self.second)
        known.succeeded(now: 101 * Self.second, lifetimeNs: nil)
        #expect(known.value.askableAt == 110 * Self.second)
        #expect(known.ask(now: 102 * Self.second) && known.nextAt == 110 * Self.second)
        #expect(!known.ask(now: 103 * Self.second))
        known.begin(now: 110 * Self.second)
        known.succeeded(now: 110 * Self.second, lifetimeNs: nil)
        #expect(known.ask(now: 200 * Self.second) && known.nextAt == 200 * Self.second)
        // While the source fails, its pauses hold.
        _ = known.failed(now: 200 * Self.second)
        #expect(!known.ask(now: 200 * Self.second) && known.nextAt == 201 * Self.second)
    }

    @Test func timesDoNotOverflow() {
        let known = Known(RefreshSchedule(RefreshSchedule.Settings(refreshNs: .max, refreshMinNs: .max, staleNs: .max)))
        known.begin(now: .max)
        known.succeeded(now: .max, lifetimeNs: .max)
        #expect(known.expiresAt == .max && !known.ask(now: .max) && !known.failed(now: .max - 1))
        #expect(known.nextAt == .max)
    }

    @Test func aSuccessorKeepsTheEndAndAsksAtOnce() {
        let old = schedule()
        old.begin(now: 0)
        old.succeeded(now: 0, lifetimeNs: nil)
        let new = RefreshSchedule(schedule(refresh: 20).value.settings, from: old.value)
        #expect(new.nextAt == 0 && new.expiresAt == old.expiresAt && new.askableAt == 10 * Self.second)
    }
}
