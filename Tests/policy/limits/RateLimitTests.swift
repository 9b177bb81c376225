import Foundation
import Synchronization
import Testing

@testable import UringPolicy

@Suite("Rates")
struct RateLimitTests {
    private let hasher = RateKeyHasher(secret: (1, 2))
    private func key(_ number: Int, policy: UInt64 = 0) -> RateKey { hasher.key(IPAddress(ipv4: UInt32(number)), policy: policy) }

    @Test("policies have bounds")
    func policyBounds() {
        #expect(RatePolicy(tokens: 0, per: second, burst: 1) == nil)
        #expect(RatePolicy(tokens: 1, per: 0, burst: 1) == nil)
        #expect(RatePolicy(tokens: 1, per: second, burst: 0) == nil)
        #expect(RatePolicy(tokens: 100_000_000, per: second, burst: 1) != nil)
        #expect(RatePolicy(tokens: 100_000_001, per: second, burst: 1)?.interval == 10)
        #expect(RatePolicy(tokens: 200_000_000, per: second, burst: 1) == nil)
        #expect(RatePolicy(tokens: 1, per: 1 << 60, burst: 1) != nil)
        #expect(RatePolicy(tokens: 1, per: 1 << 60, burst: 2) == nil)
        #expect(RatePolicy(tokens: 1, per: .max, burst: .max) == nil)
        #expect(RatePolicy(tokens: 3, per: second, burst: 1)?.interval == 333_333_334)
    }

    @Test("a burst passes, then the pace; what is told is what happens")
    func burstAndPace() throws {
        let policy = try #require(RatePolicy(tokens: 10, per: second, burst: 5))
        let table = SharedRateTable(entries: 10)
        for left in (0..<5).reversed() {
            let decision = table.check(key(1), policy, now: 7 * second)
            #expect(decision == RateDecision(isAllowed: true, isCounted: true, limit: 5, remaining: UInt64(left), resetAfter: UInt64(5 - left) * second / 10, retryAfter: 0))
        }
        let refused = table.check(key(1), policy, now: 7 * second)
        #expect(refused == RateDecision(isAllowed: false, isCounted: true, limit: 5, remaining: 0, resetAfter: second / 2, retryAfter: second / 10))
        #expect(!table.check(key(1), policy, now: 7 * second + second / 10 - 1).isAllowed)
        #expect(table.check(key(1), policy, now: 7 * second + second / 10).isAllowed)
        #expect(!table.check(key(1), policy, now: 7 * second + second / 10).isAllowed)
        #expect(table.check(key(2), policy, now: 7 * second).isAllowed)
        #expect(table.check(key(1), policy, cost: 0, now: 7 * second).isAllowed)
    }

    @Test("a request may cost more than one token, or more than can ever be had")
    func costs() throws {
        let policy = try #require(RatePolicy(tokens: 10, per: second, burst: 5))
        let table = SharedRateTable(entries: 10)
        #expect(table.check(key(1), policy, cost: 6, now: 0).retryAfter == .max)
        #expect(table.check(key(1), policy, cost: .max, now: 0).retryAfter == .max)
        #expect(table.check(key(1), policy, cost: 5, now: 0).remaining == 0)
        #expect(table.check(key(1), policy, cost: 3, now: 0).retryAfter == 3 * second / 10)
        #expect(table.check(key(1), policy, cost: 3, now: 3 * second / 10).isAllowed)
        #expect(table.count(now: 3 * second / 10) == 1)
        #expect(table.count(now: 10 * second) == 0)
    }

    @Test("a slower policy after a reload waits for no more than its own burst")
    func reload() throws {
        let slow = try #require(RatePolicy(tokens: 1, per: 100 * second, burst: 10))
        let fast = try #require(RatePolicy(tokens: 10, per: second, burst: 10))
        let table = SharedRateTable(entries: 10)
        #expect(table.check(key(1), slow, cost: 10, now: 0).isAllowed)
        #expect(table.check(key(1), fast, now: 0).retryAfter == second / 10)
    }

    @Test("never more than burst and pace, whatever comes when", arguments: 0..<20)
    func bound(seed: UInt64) throws {
        var random = PolicyRandom(seed: seed)
        let policy = try #require(RatePolicy(tokens: 1 + random.below(1000), per: second, burst: 1 + random.below(50)))
        let table = SharedRateTable(entries: 4)
        var (now, admitted): (UInt64, UInt64) = (random.below(second), 0)
        let start = now
        for _ in 0..<5000 {
            now += random.below(3) == 0 ? random.below(policy.interval * 3) : 0
            let cost = 1 + random.below(3)
            let decision = table.check(key(1), policy, cost: cost, now: now)
            if decision.isAllowed { admitted += cost }
            #expect(admitted <= policy.burst + (now - start) / policy.interval)
            // What a refusal promises is kept, and 1 ns less is too early.
            if !decision.isAllowed && decision.retryAfter != .max {
                let then = now + decision.retryAfter
                let debtAtThen = table.check(key(1), policy, cost: 0, now: then)
                #expect(debtAtThen.remaining >= cost)
                #expect(table.check(key(1), policy, cost: 0, now: then - 1).remaining < cost)
            }
        }
    }

    @Test("the table forgets who owes nothing, and says when it is full of who does", arguments: [SharedRateTable.WhenFull.admit, .deny])
    func full(answer: SharedRateTable.WhenFull) throws {
        let policy = try #require(RatePolicy(tokens: 1, per: second, burst: 2))
        let table = SharedRateTable(entries: 4, whenFull: answer)
        // Two buckets of four.
        var counted = 0
        for number in 0..<100 where table.check(key(number), policy, now: 0).isCounted { counted += 1 }
        #expect(counted == 8)
        #expect(table.overflows == 92)
        let refused = table.check(key(1000), policy, now: 0)
        #expect(!refused.isCounted && refused.isAllowed == (answer == .admit))
        // A second later all of it is free again.
        for number in 200..<208 { #expect(table.check(key(number), policy, now: second).isCounted) }
    }

    @Test("as many keys as were asked for find room")
    func capacity() throws {
        let policy = try #require(RatePolicy(tokens: 1, per: second, burst: 2))
        let table = SharedRateTable(entries: 65_536)
        #expect(table.memoryBytes == 2 << 20)
        for number in 0..<65_536 { _ = table.check(key(number), policy, now: 0) }
        #expect(table.overflows < 66, "\(table.overflows) of 65536")
        #expect(table.count(now: 0) == 65_536 - Int(table.overflows))
        // Every one of them is remembered.
        for number in 0..<65_536 {
            let decision = table.check(key(number), policy, now: 0)
            #expect(!decision.isCounted || decision.remaining == 0)
        }
    }

    @Test("several threads together get exactly what one gets")
    func threads() throws {
        let policy = try #require(RatePolicy(tokens: 1000, per: second, burst: 100))
        let table = SharedRateTable(entries: 1000)
        let keys = 50
        let admitted = (0..<keys).map { _ in Counter() }
        // Every thread's clock goes from 0 to 100 ms; 100 + 100 tokens for each key.
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = PolicyRandom(seed: UInt64(thread))
            for step in 0...20_000 {
                let number = Int(random.below(UInt64(keys)))
                if table.check(key(number), policy, now: UInt64(step) * 5_000).isAllowed { admitted[number].value.wrappingAdd(1, ordering: .relaxed) }
            }
        }
        for number in 0..<keys {
            // Asked by 1600 requests each; one for each other thread may slip by where slots are taken first.
            let count = admitted[number].value.load(ordering: .relaxed)
            #expect(count >= 195 && count <= 203, "\(count)")
        }
    }

    @Test("a slot that changes hands all the time loses no debts and invents none")
    func churn() throws {
        let policy = try #require(RatePolicy(tokens: 1, per: 1000, burst: 1))
        let table = SharedRateTable(entries: 1)
        let clock = Atomic<UInt64>(1)
        let admitted = Atomic<UInt64>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = PolicyRandom(seed: UInt64(thread))
            for _ in 0..<50_000 {
                let now = clock.wrappingAdd(random.below(200), ordering: .relaxed).newValue
                let decision = table.check(key(Int(random.below(64))), policy, now: now)
                if decision.isAllowed && decision.isCounted { admitted.wrappingAdd(1, ordering: .relaxed) }
            }
        }
        let now = clock.load(ordering: .relaxed)
        // Eight slots, each pays off one request in 1000 ns; a share for clocks that differ and for slots that two asked for.
        #expect(admitted.load(ordering: .relaxed) <= (8 + 8 * now / 1000) * 11 / 10)
        #expect(table.count(now: now + 10_000) == 0, "no debt is longer than a burst")
    }

    @Test("keys are those of SipHash-2-4 with 128 bits")
    func siphash() {
        // Of OpenSSL: openssl mac -macopt hexkey:000102…0f -macopt size:16 SIPHASH.
        let reference = RateKeyHasher(secret: (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
        for (length, expected) in Self.vectors {
            let message = (8..<8 + length).map { UInt8($0) }
            let key = exactly(message) { reference.key($0, policy: 0x0706_0504_0302_0100) }
            let bytes = written {
                $0.appendLittleEndian(key.low, bytes: 8)
                $0.appendLittleEndian(key.high, bytes: 8)
            }
            #expect(bytes.map { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() } == expected)
        }
    }

    /// Of messages 00 01 02 …, whose first eight bytes are the policy.
    private static let vectors: [(Int, String)] = [
        (0, "3b62a9ba6258f5610f83e264f31497b4"),
        (1, "264499060ad9baabc47f8b02bb6d71ed"),
        (7, "5493e99933b0a8117e08ec0f97cfc3d9"),
        (8, "6ee2a4ca67b054bbfd3315bf85230577"),
        (9, "473d06e8738db89854c066c47ae47740"),
        (15, "c9d184ddd5a9f5e0cf8ce29a9abf691c"),
        (16, "2db479ae78bd50d8882a8a178a6132ad"),
        (31, "528a5bb93baf2c9c4473cce5d0d22bd9"),
    ]

    @Test("an address has the key of its bytes")
    func addressKey() {
        let address = address("2001:db8::42")
        let bytes = written {
            $0.appendBigEndian(address.high, bytes: 8)
            $0.appendBigEndian(address.low, bytes: 8)
        }!
        #expect(hasher.key(address, policy: 9) == hasher.key(bytes.span, policy: 9))
        #expect(hasher.key(address, policy: 9) != hasher.key(address, policy: 8))
        #expect(RateKeyHasher().key(address, policy: 9) != RateKeyHasher().key(address, policy: 9))
    }

    @Test("fields say it in the words of the draft")
    func fields() throws {
        let policy = try #require(RatePolicy(tokens: 100, per: second, burst: 250))
        let name = Array("orders".utf8)
        #expect(text { RateLimitFields.appendPolicy(policy, name: name.span, to: &$0) } == "\"orders\";q=250;w=3")
        let decision = RateDecision(isAllowed: false, isCounted: true, limit: 250, remaining: 3, resetAfter: second + 1, retryAfter: 1)
        #expect(text { RateLimitFields.appendLimit(decision, name: name.span, to: &$0) } == "\"orders\";r=3;t=2")
        #expect(RateLimitFields.retryAfterSeconds(decision) == 1)
        #expect(RateLimitFields.retryAfterSeconds(RateDecision(isAllowed: true, isCounted: true, limit: 1, remaining: 1, resetAfter: 0, retryAfter: 0)) == nil)
        #expect(RateLimitFields.retryAfterSeconds(RateDecision(isAllowed: false, isCounted: true, limit: 1, remaining: 1, resetAfter: 0, retryAfter: .max)) == nil)
        #expect(RateLimitFields.isName("a-b_c.9") && !RateLimitFields.isName("") && !RateLimitFields.isName("a\"b") && !RateLimitFields.isName("a b"))
        let long = [UInt8](repeating: 0x61, count: RateLimitFields.nameBytesMax)
        let huge = RateDecision(isAllowed: true, isCounted: true, limit: .max, remaining: .max, resetAfter: .max, retryAfter: 0)
        #expect(written(capacity: RateLimitFields.valueBytesMax) { RateLimitFields.appendLimit(huge, name: long.span, to: &$0) } != nil)
    }
}

private final class Counter: Sendable { let value = Atomic<UInt64>(0) }
