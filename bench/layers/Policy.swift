// The gateway's policies: a rate counted for one client and for one of a hundred thousand, a breaker that stays closed, a limit of concurrency.

import UringPolicy

func policyBenchmarks() -> [Benchmark] {
    guard let policy = RatePolicy(tokens: 1_000_000, per: 1_000_000_000, burst: 1_000_000) else { fatalError("BUG: a good rate") }
    let table = SharedRateTable(entries: 100_000)
    let hasher = RateKeyHasher(secret: (1, 2))
    var random = FixedRandom(4)
    let addresses = (0..<100_000).map { _ in IPAddress(high: 0, low: 0xffff_0000_0000 | random.next() & 0xffff_ffff) }
    let keys = addresses.map { hasher.key($0, policy: 1) }
    let order = (0..<65_536).map { _ in Int(random.next() % 100_000) }
    let breaker = CircuitBreaker(BreakerSettings(), loops: 1, now: 1)
    let limiter = place(ConcurrencyLimiter(ConcurrencySettings(), now: 1, random: &policyRandom))
    let now = place(UInt64(1_000_000_000))
    return [
        rate("rate.check-1", table, policy, now) { _ in keys[0] },
        rate("rate.check-100k", table, policy, now) { keys[order[$0 & 65_535]] },
        Benchmark(name: "rate.key-of-address") { count in
            var sum: UInt64 = 0
            for index in 0..<count { sum &+= hasher.key(addresses[index & 4095], policy: 1).low }
            return sum
        },
        Benchmark(name: "breaker.admit+record") { count in
            var sum: UInt64 = 0
            for index in 0..<count {
                now.pointee &+= 1000
                let (admission, _) = breaker.admit(now: now.pointee)
                _ = breaker.record(admission, isFailure: index & 1023 == 0, latencyNs: 1_000_000, loop: 0, now: now.pointee)
                sum &+= admission.isAllowed ? 1 : 0
            }
            return sum
        },
        Benchmark(name: "concurrency.acquire+release") { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                now.pointee &+= 1000
                sum &+= limiter.pointee.acquire() ? 1 : 0
                limiter.pointee.release(.answered, latencyNs: 1_000_000, now: now.pointee)
            }
            return sum
        },
    ]
}

private nonisolated(unsafe) var policyRandom = PolicyRandom(seed: 5)

/// A thousand requests a millisecond: nobody runs out of tokens.
private func rate(_ name: String, _ table: SharedRateTable, _ policy: RatePolicy, _ now: UnsafeMutablePointer<UInt64>, _ key: @escaping (Int) -> RateKey) -> Benchmark {
    Benchmark(name: name) { count in
        var sum: UInt64 = 0
        for index in 0..<count {
            now.pointee &+= 1000
            sum &+= table.check(key(index), policy, now: now.pointee).isAllowed ? 1 : 0
        }
        return sum
    }
}
