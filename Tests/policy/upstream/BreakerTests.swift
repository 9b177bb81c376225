import Testing

@testable import UringPolicy

/// A breaker with one caller, and a clock.
final class BreakerHarness {
    static let second: UInt64 = 1_000_000_000
    let breaker: CircuitBreaker
    var now: UInt64 = 1000 * second
    var events: [BreakerEvent] = []

    init(loops: Int = 1, _ configure: (inout BreakerSettings) -> Void) {
        var settings = BreakerSettings()
        settings.errorPermille = 0
        configure(&settings)
        breaker = CircuitBreaker(settings, loops: loops, now: now)
    }

    func admit() -> BreakerAdmission {
        let (admission, event) = breaker.admit(now: now)
        if let event { events.append(event) }
        return admission
    }

    func record(_ admission: BreakerAdmission, fails: Bool, latency: UInt64 = 1_000_000, loop: Int = 0) {
        if let event = breaker.record(admission, isFailure: fails, latencyNs: latency, loop: loop, now: now) { events.append(event) }
    }

    /// A request that is answered at once, if it is allowed.
    func request(fails: Bool = false, latency: UInt64 = 1_000_000) { record(admit(), fails: fails, latency: latency) }
}

@Suite("The circuit breaker")
struct BreakerTests {
    private static let second = BreakerHarness.second

    @Test("trips on failures in a row, tries, and closes")
    func consecutive() {
        let harness = BreakerHarness {
            $0.consecutiveFailures = 5
            $0.trials = 2
            $0.successes = 3
        }
        for _ in 0..<4 { harness.request(fails: true) }
        harness.request()
        for _ in 0..<4 { harness.request(fails: true) }
        #expect(harness.events.isEmpty && harness.breaker.state == .closed)
        let late = harness.admit()
        harness.request(fails: true)
        guard case .opened(.consecutiveFailures(5), let until, openings: 1) = harness.events.first else {
            Issue.record("\(harness.events)")
            return
        }
        #expect(until >= harness.now + 30 * Self.second && until < harness.now + 30 * Self.second + 10_000_000)
        #expect(harness.admit().kind == .refuse && harness.breaker.retryAfter(now: harness.now) == until - harness.now)
        // What was on its way says nothing.
        harness.record(late, fails: true)
        harness.now = until - 1
        #expect(harness.admit().kind == .refuse)
        harness.now = until
        let trials = [harness.admit(), harness.admit()]
        #expect(trials.allSatisfy { $0.kind == .trial } && harness.events.last == .halfOpened)
        #expect(harness.admit().kind == .refuse)
        harness.record(late, fails: true)
        harness.record(trials[0], fails: false)
        harness.breaker.abandon(trials[1])
        let more = [harness.admit(), harness.admit()]
        #expect(more.allSatisfy { $0.kind == .trial } && harness.admit().kind == .refuse)
        for trial in more { harness.record(trial, fails: false) }
        #expect(harness.events.count == 3 && harness.events.last == .closed(successes: 3) && harness.breaker.state == .closed)
        // A trial of before.
        harness.record(trials[1], fails: true)
        for _ in 0..<4 { harness.request(fails: true) }
        #expect(harness.breaker.state == .closed)
    }

    @Test("stays open longer each time that its trials fail")
    func growth() {
        let harness = BreakerHarness {
            $0.consecutiveFailures = 1
            $0.openGrowthPercent = 200
            $0.openMaxNs = 100 * Self.second
        }
        for (round, seconds) in [30, 60, 100, 100].enumerated() {
            harness.request(fails: true)
            guard case .opened(let cause, let until, let openings) = harness.events.last else {
                Issue.record("\(harness.events)")
                return
            }
            #expect(cause == (round == 0 ? .consecutiveFailures(1) : .trial(successes: 0)) && openings == UInt32(round + 1))
            #expect((until - harness.now) / Self.second == UInt64(seconds))
            harness.now = until
        }
        for _ in 0..<3 { harness.request() }
        harness.request(fails: true)
        guard case .opened(_, let until, openings: 1) = harness.events.last else {
            Issue.record("\(harness.events)")
            return
        }
        #expect((until - harness.now) / Self.second == 30)
    }

    @Test("is not kept half-open by trials that are never reported")
    func lostTrials() {
        let harness = BreakerHarness {
            $0.consecutiveFailures = 1
            $0.trials = 1
        }
        harness.request(fails: true)
        harness.now += 31 * Self.second
        #expect(harness.admit().kind == .trial && harness.admit().kind == .refuse)
        harness.now += 29 * Self.second
        #expect(harness.admit().kind == .refuse)
        harness.now += 2 * Self.second
        #expect(harness.admit().kind == .trial && harness.admit().kind == .refuse)
    }

    @Test("trips on the error rate of its window, not below the least volume")
    func errorRate() {
        let harness = BreakerHarness {
            $0.errorPermille = 50
            $0.minimumRequests = 20
        }
        // 19 failures are too few to say anything.
        for _ in 0..<19 { harness.request(fails: true) }
        harness.now += 3 * Self.second
        harness.request()
        #expect(harness.events.isEmpty)
        harness.now += 3 * Self.second
        harness.request()
        #expect(harness.events.count == 1)
        guard case .opened(.errorRate(failures: 19, requests: 20), _, _) = harness.events.first else {
            Issue.record("\(harness.events)")
            return
        }
    }

    @Test("does not trip at exactly the rate, and forgets what lies behind the window")
    func window() {
        let harness = BreakerHarness { $0.errorPermille = 50 }
        for second in 0..<600 {
            for request in 0..<20 { harness.request(fails: request == 7) }
            _ = second
            harness.now += Self.second
        }
        #expect(harness.events.isEmpty)
        // All fails, for as long as it stays within 5 % of two minutes: 120 · 20 requests.
        var failures = 0
        while harness.events.isEmpty {
            harness.request(fails: true)
            harness.now += Self.second / 20
            failures += 1
        }
        #expect(failures < 100, "\(failures)")
        let quiet = BreakerHarness { $0.errorPermille = 50 }
        for _ in 0..<19 { quiet.request(fails: true) }
        // An hour later they are forgotten, although nobody looked in between.
        quiet.now += 3600 * Self.second
        for _ in 0..<300 {
            quiet.request()
            quiet.now += Self.second
        }
        #expect(quiet.events.isEmpty)
    }

    @Test("trips within a tick, and by the figures of the window", arguments: policySeeds(15))
    func model(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let rate = 100 + random.below(300)
        let harness = BreakerHarness {
            $0.errorPermille = UInt32(rate)
            $0.windowNs = 20 * Self.second
        }
        var history: [(time: UInt64, fails: Bool)] = []
        let tick = Self.second / 3 + 1
        var share = random.below(1000)
        while history.count < 4000 {
            harness.now += random.below(400) == 0 ? random.below(60 * Self.second) : random.below(Self.second / 8)
            if random.below(100) == 0 { share = random.below(rate * 2) }
            let fails = random.below(1000) < share
            harness.request(fails: fails)
            if case .opened(.errorRate(let failures, let requests), _, _) = harness.events.last {
                // The figures are those of a window whose edges are a tick off at most.
                let within = history.filter { $0.time + 20 * Self.second >= harness.now }
                let wide = history.filter { $0.time + 20 * Self.second + 2 * tick >= harness.now }
                #expect(requests >= 20 && failures * 1000 > requests * rate)
                #expect(requests >= within.count && requests <= wide.count, "seed \(seed): \(within.count) \(requests) \(wide.count)")
                return
            }
            history.append((harness.now, fails))
        }
    }

    @Test("trips on a slow p95 in so many periods in a row")
    func latency() {
        func harness() -> BreakerHarness {
            BreakerHarness {
                $0.latencyNs = 800_000_000
                $0.latencyPeriods = 3
            }
        }
        /// A period of 100 responses.
        func period(_ harness: BreakerHarness, slow: Int, of count: Int = 100) {
            for request in 0..<count {
                harness.request(latency: request < slow ? 800_000_001 : 800_000_000)
                harness.now += 10 * Self.second / UInt64(count)
            }
        }
        let steady = harness()
        for _ in 0..<20 { period(steady, slow: 5) }
        #expect(steady.events.isEmpty)
        for _ in 0..<3 { period(steady, slow: 6) }
        steady.request()
        #expect(steady.events.count == 1)
        guard case .opened(.latency(slow: 6, requests: 100, periods: 3), _, _) = steady.events.first else {
            Issue.record("\(steady.events)")
            return
        }
        // A good one, or one with too few, ends the row.
        let mixed = harness()
        for _ in 0..<5 {
            for _ in 0..<2 { period(mixed, slow: 50) }
            period(mixed, slow: 0)
            for _ in 0..<2 { period(mixed, slow: 50) }
            period(mixed, slow: 10, of: 10)
            for _ in 0..<2 { period(mixed, slow: 50) }
            mixed.now += 60 * Self.second
        }
        #expect(mixed.events.isEmpty)
    }

    @Test("begins anew when it closes")
    func fresh() {
        let harness = BreakerHarness {
            $0.errorPermille = 50
            $0.consecutiveFailures = 10
        }
        for _ in 0..<500 { harness.request() }
        for _ in 0..<10 { harness.request(fails: true) }
        #expect(harness.breaker.state == .open)
        harness.now += 31 * Self.second
        for _ in 0..<3 { harness.request() }
        #expect(harness.breaker.state == .closed)
        for _ in 0..<30 {
            harness.request()
            harness.now += Self.second
        }
        #expect(harness.breaker.state == .closed && harness.events.count == 3)
    }

    @Test("only reports in a dry run")
    func dryRun() {
        let harness = BreakerHarness {
            $0.consecutiveFailures = 2
            $0.isDryRun = true
            $0.trials = 1
            $0.successes = 1
        }
        for _ in 0..<50 { harness.request(fails: true) }
        #expect(harness.events.count == 1 && harness.admit().kind == .shadow && harness.admit().isAllowed)
        harness.now += 31 * Self.second
        harness.request()
        #expect(harness.events.suffix(2) == [.halfOpened, .closed(successes: 1)])
    }

    @Test("knows legal edges only, whatever comes", arguments: policySeeds(40))
    func histories(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let harness = BreakerHarness(loops: 3) {
            $0.errorPermille = UInt32(random.below(2) * 300)
            $0.consecutiveFailures = UInt32(random.below(4))
            $0.latencyNs = random.below(2) * 500_000_000
            $0.periodNs = Self.second
            $0.windowNs = 10 * Self.second
            $0.openNs = Self.second
            $0.trials = UInt32(1 + random.below(4))
            $0.successes = UInt32(1 + random.below(5))
        }
        var pending: [BreakerAdmission] = []
        var seen = 0
        var state = BreakerState.closed
        for _ in 0..<4000 {
            harness.now += random.below(50) == 0 ? random.below(5 * Self.second) : random.below(20_000_000)
            if pending.count < 10 && random.below(2) == 0 || pending.isEmpty {
                let admission = harness.admit()
                #expect(admission.isAllowed || harness.breaker.state != .closed)
                if admission.isAllowed { pending.append(admission) }
            } else {
                let admission = pending.remove(at: Int(random.below(UInt64(pending.count))))
                switch random.below(10) {
                case 0: harness.breaker.abandon(admission)
                default: harness.record(admission, fails: random.below(3) == 0, latency: random.below(2 * Self.second), loop: Int(random.below(3)))
                }
            }
            for event in harness.events[seen...] {
                switch (state, event) {
                case (.closed, .opened(let cause, let until, openings: 1)):
                    if case .trial = cause { Issue.record("no trial while it is closed") }
                    #expect(until > harness.now)
                    state = .open
                case (.halfOpen, .opened(.trial(_), _, _)): state = .open
                case (.open, .halfOpened): state = .halfOpen
                case (.halfOpen, .closed(harness.breaker.settings.successes)): state = .closed
                default: Issue.record("seed \(seed): \(event) from \(state)")
                }
            }
            seen = harness.events.count
            #expect(harness.breaker.state == state)
            let word = harness.breaker.current
            #expect(word.trials <= harness.breaker.settings.trials && word.successes < max(harness.breaker.settings.successes, 1))
        }
    }

    @Test("is one for all loops")
    func loops() async {
        var settings = BreakerSettings()
        settings.consecutiveFailures = 1000
        settings.errorPermille = 500
        settings.windowNs = 10 * Self.second
        settings.openNs = Self.second
        let breaker = CircuitBreaker(settings, loops: 4, now: 0)
        let events = await withTaskGroup(of: [BreakerEvent].self) { group in
            for loop in 0..<4 {
                group.addTask {
                    var events: [BreakerEvent] = []
                    for step in 0..<20_000 as Range<UInt64> {
                        let now = step * 500_000
                        let (admission, event) = breaker.admit(now: now)
                        if let event { events.append(event) }
                        guard admission.isAllowed else { continue }
                        let fails = step / 4000 % 2 == 0
                        if let event = breaker.record(admission, isFailure: fails, latencyNs: 5, loop: loop, now: now) { events.append(event) }
                    }
                    return events
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        func count(_ matches: (BreakerEvent) -> Bool) -> Int { events.count(where: matches) }
        let opened = count { if case .opened = $0 { true } else { false } }
        let halfOpened = count { $0 == .halfOpened }
        // Each change is told once: in whatever order, they alternate.
        #expect(opened > 0 && (opened == halfOpened || opened == halfOpened + 1), "\(events)")
        #expect(breaker.totals().failures <= breaker.totals().requests)
    }
}
