import Testing

@testable import UringPolicy

@Suite("Retries")
struct RetryTests {
    private static func policy(_ configure: (inout RetrySettings) -> Void = { _ in }) -> RetryPolicy {
        var settings = RetrySettings()
        settings.conditions = [.connectFailure, .refused, .reset, .timeout]
        settings.backoffBaseNs = 0
        configure(&settings)
        return RetryPolicy(settings)
    }

    private static let causes: [RetryCause] = [.connectFailure, .refused, .reset, .stale, .timeout, .status(502), .status(500)]
    private static let progresses: [AttemptProgress] = [.nothingSent, .sent, .responseBegan, .forwarded]

    /// Written again, as a table.
    private static func isAllowed(_ attempt: RetryPolicy.Attempt, repeatsUnsafe: Bool) -> Bool {
        if attempt.progress == .forwarded || !attempt.canRepeatBody || attempt.cause == .status(500) { return false }
        if attempt.progress == .nothingSent || attempt.cause == .refused { return true }
        return attempt.isIdempotent || repeatsUnsafe
    }

    @Test("are made where RFC 9110 allows them and the configuration asks for them", arguments: [false, true])
    func safety(repeatsUnsafe: Bool) {
        let policy = Self.policy { $0.repeatsUnsafe = repeatsUnsafe }
        var random = PolicyRandom(seed: 1)
        for cause in Self.causes {
            for progress in Self.progresses {
                for (isIdempotent, canRepeatBody) in [(false, false), (false, true), (true, false), (true, true)] {
                    let attempt = RetryPolicy.Attempt(cause: cause, progress: progress, isIdempotent: isIdempotent, canRepeatBody: canRepeatBody)
                    var state = RetryState()
                    var budget = RetryBudget()
                    let decision = policy.decide(attempt, state: &state, budget: &budget, now: 77, random: &random)
                    #expect((decision == .retry(at: 77)) == Self.isAllowed(attempt, repeatsUnsafe: repeatsUnsafe), "\(attempt): \(decision)")
                }
            }
        }
    }

    private static let safe = RetryPolicy.Attempt(cause: .connectFailure, progress: .nothingSent, isIdempotent: false, canRepeatBody: true)

    @Test("say why there is none")
    func reasons() {
        var random = PolicyRandom(seed: 1)
        var budget = RetryBudget(percent: 0, reserve: 1)
        var state = RetryState()
        var attempt = Self.safe
        let policy = Self.policy { $0.attempts = 2 }
        func decide(_ policy: RetryPolicy = policy, deadline: UInt64 = .max) -> RetryDecision {
            policy.decide(attempt, state: &state, budget: &budget, now: 10, deadline: deadline, random: &random)
        }
        #expect(decide(deadline: 1_000_009) == .giveUp(.deadline))
        #expect(decide(deadline: 1_000_010) == .retry(at: 10))
        #expect(decide() == .giveUp(.budgetUsed) && state.retries == 1 && budget.refused == 1)
        budget = RetryBudget()
        #expect(decide() == .retry(at: 10))
        #expect(decide() == .giveUp(.attemptsUsed) && state.retries == 2)
        state = RetryState()
        #expect(decide(Self.policy { $0.attempts = 0 }) == .giveUp(.attemptsUsed))
        #expect(decide(Self.policy { $0.conditions = [.reset] }) == .giveUp(.notCovered))
        attempt.cause = .status(503)
        attempt.progress = .responseBegan
        #expect(decide() == .giveUp(.unsafe))
        attempt.isIdempotent = true
        #expect(decide() == .retry(at: 10))
        attempt.canRepeatBody = false
        #expect(decide() == .giveUp(.bodyConsumed))
        attempt.progress = .forwarded
        #expect(decide() == .giveUp(.forwarded))
    }

    @Test("are free once, after a stale connection")
    func stale() {
        var random = PolicyRandom(seed: 1)
        var budget = RetryBudget(percent: 0, reserve: 0)
        var state = RetryState()
        var attempt = RetryPolicy.Attempt(cause: .stale, progress: .sent, isIdempotent: true, canRepeatBody: true)
        let policy = Self.policy {
            $0.conditions = []
            $0.attempts = 0
            $0.backoffBaseNs = 1_000_000
        }
        attempt.isIdempotent = false
        #expect(policy.decide(attempt, state: &state, budget: &budget, now: 5, random: &random) == .giveUp(.unsafe))
        attempt.isIdempotent = true
        #expect(policy.decide(attempt, state: &state, budget: &budget, now: 5, random: &random) == .retry(at: 5))
        #expect(policy.decide(attempt, state: &state, budget: &budget, now: 5, random: &random) == .giveUp(.notCovered))
        #expect(state.retries == 0 && state.wasStale)
    }

    @Test("wait a random time below a bound that doubles")
    func backoff() {
        var random = PolicyRandom(seed: 1)
        let policy = Self.policy {
            $0.attempts = 8
            $0.backoffBaseNs = 1000
            $0.backoffMaxNs = 10_000
        }
        var longest = [UInt64](repeating: 0, count: 8)
        for _ in 0..<500 {
            var state = RetryState()
            var budget = RetryBudget()
            for retry in 0..<8 {
                guard case .retry(let time) = policy.decide(Self.safe, state: &state, budget: &budget, now: 100, random: &random) else { break }
                longest[retry] = max(longest[retry], time - 100)
            }
        }
        let bounds: [UInt64] = [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000]
        for (retry, bound) in bounds.enumerated() {
            #expect(longest[retry] <= bound && longest[retry] > bound * 9 / 10, "\(longest)")
        }
    }

    @Test("know statuses")
    func statuses() {
        let set = StatusSet([400, 463, 464, 502, 599, 200, 600, 65_535])
        #expect((0...UInt16.max).filter { set.contains($0) } == [400, 463, 464, 502, 599])
        #expect(set != StatusSet() && StatusSet([502, 503]) == StatusSet([503, 502]))
    }

    @Test("never exceed the budget in any window", arguments: policySeeds(30))
    func budget(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let percent = UInt32(random.below(60))
        let reserve = UInt32(random.below(5))
        let window: UInt64 = 10_000
        var budget = RetryBudget(percent: percent, reserve: reserve, windowNs: window)
        var requests: [UInt64] = []
        var retries: [UInt64] = []
        var now: UInt64 = 0
        for _ in 0..<5000 {
            now += random.below(20) == 0 ? random.below(window * 2) : random.below(20)
            if random.below(3) > 0 {
                budget.request(now: now)
                requests.append(now)
            } else if budget.takeRetry(now: now) {
                retries.append(now)
                // Requests that the budget can know of are at most a window old; retries of nine tenths of it are all remembered.
                let known = requests.reversed().prefix { now - $0 < window }.count
                let taken = retries.reversed().prefix { now - $0 < window * 9 / 10 }.count
                #expect(taken * 100 <= known * Int(percent) + Int(reserve) * 100, "seed \(seed)")
            }
        }
        #expect(percent == 0 && reserve == 0 ? retries.isEmpty : !retries.isEmpty)
    }

    @Test("are granted up to the budget")
    func granted() {
        var budget = RetryBudget(percent: 20, reserve: 3)
        #expect((0..<4).count { _ in budget.takeRetry(now: 1) } == 3)
        for _ in 0..<1000 { budget.request(now: 1) }
        #expect((0..<300).count { _ in budget.takeRetry(now: 1) } == 200)
        // A window later there is the reserve alone, however the clock jumps.
        for now in [20_000_000_000, 10_000_000_000_000, .max] as [UInt64] {
            #expect((0..<10).count { _ in budget.takeRetry(now: now) } == 3)
        }
        #expect((0..<4).count { _ in budget.takeRetry(now: 5) } == 0)
    }
}
