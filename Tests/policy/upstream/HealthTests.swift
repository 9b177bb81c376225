import Testing

@testable import UringPolicy

@Suite("Active checks")
struct HealthTests {
    private static func settings(_ initial: HealthSettings.Initial = .healthy) -> HealthSettings {
        var settings = HealthSettings()
        settings.initial = initial
        return settings
    }

    /// Runs one check to its end; what changed.
    private static func check(_ state: inout HealthState, _ result: HealthResult, _ now: inout UInt64, _ random: inout PolicyRandom) -> HealthTransition? {
        now = max(now, state.nextEvent)
        #expect(state.step(now: now) == .check)
        #expect(state.step(now: now) == .wait)
        now += 1_000_000
        return state.finished(result, now: now, random: &random)
    }

    @Test("change the state after so many results in a row", arguments: HealthResult.allCases.filter { $0 != .success })
    func transitions(failure: HealthResult) {
        var random = PolicyRandom(seed: 1)
        var now: UInt64 = 5
        var state = HealthState(Self.settings(), now: now, random: &random)
        #expect(Self.check(&state, failure, &now, &random) == nil)
        #expect(Self.check(&state, failure, &now, &random) == nil)
        #expect(Self.check(&state, .success, &now, &random) == nil)
        #expect(Self.check(&state, failure, &now, &random) == nil)
        #expect(Self.check(&state, failure, &now, &random) == nil && state.isHealthy)
        #expect(Self.check(&state, failure, &now, &random) == .becameUnhealthy(afterFailures: 3, last: failure))
        #expect(Self.check(&state, failure, &now, &random) == nil)
        #expect(Self.check(&state, .success, &now, &random) == nil && !state.isHealthy)
        #expect(Self.check(&state, failure, &now, &random) == nil)
        #expect(Self.check(&state, .success, &now, &random) == nil)
        #expect(Self.check(&state, .success, &now, &random) == .becameHealthy(afterSuccesses: 2))
    }

    @Test("let the first success decide about a server that was never seen")
    func first() {
        var random = PolicyRandom(seed: 1)
        var now: UInt64 = 5
        var state = HealthState(Self.settings(.unhealthy), now: now, random: &random)
        #expect(!state.isHealthy)
        #expect(Self.check(&state, .success, &now, &random) == .becameHealthy(afterSuccesses: 1))
        var late = HealthState(Self.settings(.unhealthy), now: now, random: &random)
        #expect(Self.check(&late, .timeout, &now, &random) == nil)
        #expect(Self.check(&late, .success, &now, &random) == nil)
        #expect(Self.check(&late, .success, &now, &random) == .becameHealthy(afterSuccesses: 2))
    }

    @Test("come at intervals with jitter, and end in time", arguments: policySeeds(20))
    func schedule(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        var settings = Self.settings()
        settings.unhealthyIntervalNs = 500_000_000
        var now: UInt64 = 1_000_000_000
        var state = HealthState(settings, now: now, random: &random)
        #expect(state.nextEvent >= now && state.nextEvent <= now + 200_000_000)
        #expect(state.step(now: state.nextEvent - 1) == .wait)
        var began = state.nextEvent
        for round in 0..<20 {
            let isHealthy = state.isHealthy
            now = began
            #expect(state.step(now: now) == .check)
            #expect(state.nextEvent == now + settings.timeoutNs)
            let isLate = random.below(2) == 0
            now += isLate ? settings.timeoutNs : 5_000_000
            #expect(state.step(now: now) == (isLate ? .abandon : .wait))
            _ = state.finished(round < 10 ? .timeout : .success, now: now, random: &random)
            let interval = state.isHealthy ? settings.intervalNs : settings.unhealthyIntervalNs
            let earliest = max(began + interval * 9 / 10, now + interval * 9 / 40)
            #expect(state.nextEvent >= earliest && state.nextEvent <= max(began + interval * 11 / 10 + 100, now + interval * 11 / 40 + 100))
            #expect(round > 3 || !isHealthy || state.isHealthy == (round < 2))
            began = state.nextEvent
        }
    }

    @Test("grow the weight linearly in a slow start")
    func slowStart() {
        let start = SlowStart(windowNs: 1000, minimumPercent: 10)
        #expect(start.percent(since: 0, now: 0) == 100 && start.percent(since: 0, now: 5) == 100)
        #expect(start.percent(since: 50, now: 50) == 10)
        #expect(start.percent(since: 50, now: 550) == 55)
        #expect(start.percent(since: 50, now: 1049) == 99)
        #expect(start.percent(since: 50, now: 1050) == 100)
        #expect(start.percent(since: 50, now: 49) == 100)
        #expect(SlowStart(windowNs: .max, minimumPercent: 1).percent(since: 1, now: .max) == 99)
        #expect(SlowStart.off.percent(since: 50, now: 50) == 100)
    }
}
