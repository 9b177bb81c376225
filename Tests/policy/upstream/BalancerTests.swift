import Testing

@testable import UringPolicy

@Suite("The balancer")
struct BalancerTests {
    @Test("spreads turns as nginx does")
    func smooth() {
        let harness = BalancerHarness(.roundRobin, weights: [5, 1, 1])
        #expect((0..<14).map { _ in harness.pick() } == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0])
        let even = BalancerHarness(.roundRobin, weights: [3, 3, 3])
        #expect((0..<6).map { _ in even.pick() } == [0, 1, 2, 0, 1, 2])
    }

    @Test("gives each server its turns within every stretch of them", arguments: policySeeds(20))
    func turns(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let weights = (0..<Int(1 + random.below(40))).map { _ in UInt32(1 + random.below(1000)) }
        let harness = BalancerHarness(.roundRobin, weights: weights)
        let sum = Double(weights.reduce(0, +))
        var counts = [Int](repeating: 0, count: weights.count)
        var worst = 0.0
        for turn in 1...3000 {
            counts[harness.pick()] += 1
            for server in weights.indices { worst = max(worst, abs(Double(counts[server]) - Double(turn) * Double(weights[server]) / sum)) }
        }
        // The furthest behind is always chosen: nobody is off by more than two turns.
        #expect(worst < 2, "\(worst) \(weights)")
    }

    @Test("gives idle servers requests by weight", arguments: BalanceMethod.allCases)
    func weights(method: BalanceMethod) {
        let weights: [UInt32] = [1, 2, 3, 4, 10, 1000]
        let harness = BalancerHarness(method, weights: weights)
        var random = PolicyRandom(seed: 3)
        let picks = 102_000
        let counts = harness.counts(picks) { _ in random.next() }
        for server in weights.indices {
            let share = Double(picks) * Double(weights[server]) / 1020
            // Exact in turn; by chance otherwise, and by 4096 slots for hashes.
            let slack = method == .roundRobin || method == .leastRequests ? 1.0 : method == .hash ? share * 0.5 + 120 : 6 * share.squareRoot()
            #expect(abs(Double(counts[server]) - share) <= slack, "\(method): \(counts)")
        }
    }

    @Test("keeps active requests in proportion to weights")
    func leastRequests() {
        let harness = BalancerHarness(.leastRequests, weights: [1, 2, 5])
        for _ in 0..<80 { _ = harness.acquire() }
        #expect((0..<3).map { harness.active($0) } == [10, 20, 50])
        // Whoever is free gets the next ones.
        for _ in 0..<10 { harness.release(1) }
        var next: [Int] = []
        for _ in 0..<10 { if case .server(let server) = harness.acquire() { next.append(server) } }
        #expect(next.allSatisfy { $0 == 1 })
    }

    @Test("takes idle servers in turn, and the one that is behind least")
    func ties() {
        let harness = BalancerHarness(.leastRequests, weights: [1, 1, 1, 1])
        #expect((0..<8).map { _ in harness.pick() } == [0, 1, 2, 3, 0, 1, 2, 3])
    }

    @Test("draws two and takes the better one")
    func randomTwo() {
        let harness = BalancerHarness(.randomTwo, weights: [UInt32](repeating: 1, count: 50))
        for _ in 0..<5000 { _ = harness.acquire() }
        let active = (0..<50).map { harness.active($0) }
        // One choice would spread by ±10 and its extremes by three times as much; two keep within some.
        #expect(active.max()! - active.min()! <= 8, "\(active)")
        let two = BalancerHarness(.randomTwo, weights: [1, 1])
        for _ in 0..<1000 { _ = two.acquire() }
        #expect(two.active(0) == 500 && two.active(1) == 500)
    }

    @Test("does not choose what is at its bound, and says that waiting may help", arguments: BalanceMethod.allCases)
    func full(method: BalanceMethod) {
        var servers = BalancerHarness.servers([1, 2, 3])
        for index in servers.indices { servers[index].requestsMax = UInt32(index + 1) }
        let harness = BalancerHarness(method, servers)
        var random = PolicyRandom(seed: 4)
        for _ in 0..<6 { #expect(harness.acquire(key: random.next()) != .busy) }
        #expect((0..<3).map { harness.active($0) } == [1, 2, 3])
        #expect(harness.acquire(key: 5) == .busy)
        harness.release(2)
        #expect(harness.acquire(key: 5) == .server(2))
        #expect(harness.acquire(key: 5) == .busy)
    }

    @Test("does not ask a server twice for one request", arguments: BalanceMethod.allCases)
    func tried(method: BalanceMethod) {
        let harness = BalancerHarness(method, weights: [1, 1000, 10, 5])
        for key in 0..<100 as Range<UInt64> {
            var tried = TriedServers()
            for _ in 0..<4 {
                guard case .server(let server) = harness.acquire(key: key, tried: tried) else {
                    Issue.record("no server left")
                    return
                }
                #expect(!tried.contains(server))
                tried.insert(server)
                harness.release(server)
            }
            #expect(harness.acquire(key: key, tried: tried) == .tried)
        }
        // What was hidden for retries is not forgotten.
        let counts = harness.counts(1016) { mixed(UInt64($0)) }
        #expect(counts.reduce(0, +) == 1016 && counts[1] > 800)
    }

    @Test("uses backups when no other can be used", arguments: BalanceMethod.allCases)
    func backups(method: BalanceMethod) {
        var servers = BalancerHarness.servers([1, 1, 1, 1])
        (servers[0].isBackup, servers[2].isBackup) = (true, true)
        servers[3].requestsMax = 1
        let harness = BalancerHarness(method, servers)
        let usual = harness.counts(100) { mixed(UInt64($0)) }
        #expect(usual[0] == 0 && usual[2] == 0)
        harness.shared.setHealthy(1, false, now: harness.now)
        #expect(harness.acquire() == .server(3))
        // The other one is at its bound.
        let overflow = harness.counts(100) { mixed(UInt64($0)) }
        #expect(overflow[0] > 20 && overflow[2] > 20 && overflow[1] == 0)
        // None is healthy: backups rather than a panic.
        harness.release(3)
        harness.shared.setHealthy(3, false, now: harness.now)
        let down = harness.counts(100) { mixed(UInt64($0)) }
        #expect(!harness.isPanicking && down[0] + down[2] == 100)
        harness.shared.setHealthy(0, false, now: harness.now)
        harness.shared.setHealthy(2, false, now: harness.now)
        let panic = harness.counts(100) { mixed(UInt64($0)) }
        #expect(harness.isPanicking && panic[1] + panic[3] == 100)
    }

    @Test("panics below its threshold, and never without one", arguments: [0, 50, 100] as [UInt32])
    func panic(threshold: UInt32) {
        let harness = BalancerHarness(.roundRobin, weights: [1, 1, 1, 1]) { $0.panicThresholdPercent = threshold }
        for down in 1...4 {
            harness.shared.setHealthy(down - 1, false, now: harness.now)
            let counts = harness.counts(100)
            let isPanicking = (4 - down) * 100 < 4 * Int(threshold)
            #expect(harness.isPanicking == isPanicking)
            #expect(counts.filter { $0 > 0 }.count == (isPanicking ? 4 : 4 - down), "\(counts)")
        }
        #expect(harness.acquire() == (threshold == 0 ? .unavailable : .server(0)))
    }

    @Test("does not use draining servers even in a panic")
    func draining() {
        let harness = BalancerHarness(.roundRobin, weights: [1, 1])
        harness.shared.setDraining(0, true, now: harness.now)
        harness.shared.setHealthy(1, false, now: harness.now)
        #expect(harness.counts(10) == [0, 10])
        harness.shared.setDraining(1, true, now: harness.now)
        #expect(harness.acquire() == .unavailable)
        harness.shared.setDraining(0, false, now: harness.now)
        #expect(harness.counts(10) == [10, 0])
    }

    @Test("knows the end of an ejection without being told")
    func ejection() {
        let harness = BalancerHarness(.leastRequests, weights: [1, 1, 1])
        harness.shared.update(1) { $0.eject(until: harness.now + 5_000_000) }
        #expect(harness.counts(30) == [15, 0, 15])
        harness.now += 7_000_000
        let counts = harness.counts(30)
        #expect(counts[1] >= 9 && counts[1] <= 11, "\(counts)")
    }

    @Test("takes servers slowly into use", arguments: BalanceMethod.allCases)
    func slowStart(method: BalanceMethod) {
        let harness = BalancerHarness(method, weights: [1, 1]) { $0.slowStart = SlowStart(windowNs: 10_000_000_000, minimumPercent: 10) }
        harness.shared.setHealthy(1, false, now: harness.now)
        #expect(harness.counts(100)[1] == 0)
        harness.shared.setHealthy(1, true, now: harness.now)
        var random = PolicyRandom(seed: 9)
        // 10 % of the weight against 100 %: a share of 9 %; then 55 against 100: 35 %; then half.
        for (step, share) in [0.091, 0.355, 0.5].enumerated() {
            let count = Double(harness.counts(4000) { _ in random.next() }[1]) / 4000
            #expect(abs(count - share) < 0.05, "\(method) step \(step): \(count)")
            harness.now += 5_000_000_000
        }
    }

    @Test("never chooses what is excluded while another can be used", arguments: BalanceMethod.allCases)
    func histories(method: BalanceMethod) {
        for seed in policySeeds(30) { history(method, seed) }
    }

    /// Random servers, requests, failures and returns, with a plain model beside it.
    private func history(_ method: BalanceMethod, _ seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let count = Int(1 + random.below(20))
        let servers = (0..<count).map { index in
            BalancerServer(
                identity: mixed(UInt64(index)), weight: UInt32(1 + random.below(1000)), requestsMax: random.below(2) == 0 ? 0 : UInt32(1 + random.below(4)), isBackup: random.below(4) == 0)
        }
        let threshold = UInt32(random.below(3) * 50)
        let harness = BalancerHarness(method, servers, slotBits: 8) {
            $0.panicThresholdPercent = threshold
            $0.hashBoundPercent = seed % 2 == 0 ? 125 : 0
            $0.slowStart = seed % 3 == 0 ? SlowStart(windowNs: 1_000_000_000) : .off
        }
        var active: [Int] = []
        for _ in 0..<400 {
            harness.now += random.below(50_000_000)
            let server = Int(random.below(UInt64(count)))
            switch random.below(12) {
            case 0: harness.shared.setHealthy(server, random.below(2) == 0, now: harness.now)
            case 1: harness.shared.setDraining(server, random.below(3) == 0, now: harness.now)
            case 2: harness.shared.update(server) { $0.eject(until: harness.now + random.below(300_000_000)) }
            case 3...5 where !active.isEmpty: harness.release(active.remove(at: Int(random.below(UInt64(active.count)))))
            default:
                var tried = TriedServers()
                for _ in 0..<random.below(3) { tried.insert(Int(random.below(UInt64(count)))) }
                let before = (0..<count).map { harness.active($0) }
                let choice = harness.acquire(key: random.next(), tried: tried)
                #expect(choice == expected(choice, harness, servers, before, tried, threshold), "\(method), seed \(seed)")
                if case .server(let chosen) = choice { active.append(chosen) }
            }
        }
    }

    /// The choice itself when it is among the allowed ones, or what should have come.
    private func expected(
        _ choice: BalancerChoice, _ harness: BalancerHarness, _ servers: [BalancerServer], _ active: [Int], _ tried: TriedServers, _ threshold: UInt32
    ) -> BalancerChoice {
        let shared = harness.shared
        let isHealthy = servers.indices.map { shared.isHealthy($0) && !shared.isEjected($0, now: harness.now) && !shared.isDraining($0) }
        let candidates = servers.indices.filter { !servers[$0].isBackup && !shared.isDraining($0) }
        let backups = servers.indices.filter { servers[$0].isBackup && isHealthy[$0] }
        let healthy = candidates.filter { isHealthy[$0] }
        let panics = healthy.count * 100 < candidates.count * Int(threshold) && !(healthy.isEmpty && !backups.isEmpty)
        let live = panics ? candidates : healthy
        func isFree(_ server: Int) -> Bool { !tried.contains(server) && (servers[server].requestsMax == 0 || active[server] < Int(servers[server].requestsMax)) }
        let first = live.filter(isFree)
        let allowed = first.isEmpty ? backups.filter(isFree) : first
        if let any = allowed.first {
            if case .server(let chosen) = choice, allowed.contains(chosen) { return choice }
            return .server(any)
        }
        let all = live + backups
        return all.isEmpty ? .unavailable : all.allSatisfy { tried.contains($0) } ? .tried : .busy
    }
}
