// Debts of all clients, one table for all loops. Made before the loops start and kept by a reference of each; every loop calls `check` from its own thread, without locks.
//
// A slot is 16 bytes: a fingerprint of the key and the time at which its debts are paid. Four slots are a bucket, one cache line; a key has two buckets to live in. Both words are atomic:
//
//   count a request   compare-and-swap of the time: debts never shrink, so a time that is still the same proves that nothing happened in between
//   take a slot       compare-and-swap of the fingerprint of a slot whose time has passed. The time stays: to owe nothing is what a new key begins with
//
// Considered beside it: a table for each loop (with a share of the rate for each, or sums exchanged now and then). A share refuses clients whose connections happen to meet on one loop, an exchange
// is late by its period, and memory is needed once for each loop. What sharing costs was measured (docs/ARCHITECTURE.md): an uncontended compare-and-swap is in the noise beside the cache miss
// that any large table has.

internal import Synchronization

/// A rate limiter over 128-bit keys, for any number of threads.
///
/// **Bound.** A key is admitted at most `burst` + (time passed) / `interval` tokens over all loops together, exactly, with two reservations: loops whose `now` differ by d (each reads the clock once
/// per batch) may admit d / `interval` tokens more; and when a key that owes nothing is asked for by n loops within the same moment (between a load and a compare-and-swap, some hundred ns) as its
/// slot is taken or given away, up to n − 1 of these requests can go uncounted. A busy key's slot is never given away, so for it there is only the first.
@safe
package final class SharedRateTable: @unchecked Sendable {
    /// What to answer when both buckets of a new key are full of keys that owe something.
    package enum WhenFull: Sendable { case admit, deny }

    struct Slot: ~Copyable {
        /// The key's upper half; 0: never used.
        let fingerprint = Atomic<UInt64>(0)
        /// The theoretical arrival time: what lies in the past owes nothing, and its slot is free.
        let paidAt = Atomic<UInt64>(0)
    }

    /// A cache line of four slots.
    private static let ways = 4
    /// Slots are twice the entries, so that a key finds both of its buckets full about once in ten thousand at the full number of entries.
    private static let slotsPerEntry = 2
    /// 16 million clients: 512 MiB.
    package static let entriesMax = 1 << 24

    private let mask: UInt64
    private let bucketCount: Int
    /// Owned: allocated here, freed in `deinit`; loops that use it retain the table.
    private let slots: UnsafeMutablePointer<Slot>
    private let whenFull: WhenFull
    private let overflowed = Atomic<UInt64>(0)

    /// - Parameter entries: keys that can owe something at the same time, 1 to `entriesMax`; 32 to 64 bytes each.
    package init(entries: Int, whenFull: WhenFull = .admit) {
        let wanted = min(max(entries, 1), Self.entriesMax) * Self.slotsPerEntry
        var buckets = 2
        while buckets * Self.ways < wanted { buckets *= 2 }
        bucketCount = buckets
        mask = UInt64(buckets - 1)
        self.whenFull = whenFull
        let bytes = buckets * Self.ways * MemoryLayout<Slot>.stride
        unsafe slots = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64).bindMemory(to: Slot.self, capacity: buckets * Self.ways)
        for index in 0..<buckets * Self.ways { unsafe (slots + index).initialize(to: Slot()) }
    }

    deinit {
        // Atomics of integers need no destruction.
        unsafe UnsafeMutableRawPointer(slots).deallocate()
    }

    /// Bytes of the table.
    package var memoryBytes: Int { bucketCount * Self.ways * MemoryLayout<Slot>.stride }
    /// Checks that were answered by `whenFull`.
    package var overflows: UInt64 { overflowed.load(ordering: .relaxed) }

    /// Counts a request for `cost` tokens. Any thread; no allocation, no lock.
    ///
    /// - Parameters:
    ///   - cost: 0 only asks.
    ///   - now: ns of a monotonic clock that all loops share.
    package func check(_ key: RateKey, _ policy: RatePolicy, cost: UInt64 = 1, now: UInt64) -> RateDecision {
        let fingerprint = key.high == 0 ? 1 : key.high
        while true {
            var index = find(key, fingerprint)
            if index < 0 {
                // Nobody who owes anything: nothing to keep for a question, or for what can never be.
                if cost == 0 || cost > policy.burst { return policy.decide(paidAt: 0, cost: cost, now: now).decision }
                index = claim(key, fingerprint, now)
                if index == Self.full { return refuse(policy) }
                if index < 0 { continue }
            }
            if let decision = charge(index, fingerprint, policy, cost, now) { return decision }
        }
    }

    /// Keys that owe something at `now`: a walk over the whole table, for figures. Any thread but a loop's.
    package func count(now: UInt64) -> Int {
        // SAFETY: all of them were initialised.
        (0..<bucketCount * Self.ways).reduce(0) { unsafe $0 + (slots[$1].paidAt.load(ordering: .relaxed) > now ? 1 : 0) }
    }

    // MARK: One slot

    /// nil: the slot became somebody else's meanwhile.
    private func charge(_ index: Int, _ fingerprint: UInt64, _ policy: RatePolicy, _ cost: UInt64, _ now: UInt64) -> RateDecision? {
        var paidAt = paidAt(index)
        while true {
            let (decision, then) = policy.decide(paidAt: paidAt, cost: cost, now: now)
            guard decision.isAllowed && cost > 0 else { return self.fingerprint(index) == fingerprint ? decision : nil }
            let (exchanged, seen) = unsafe slots[index].paidAt.compareExchange(expected: paidAt, desired: then, ordering: .acquiringAndReleasing)
            if exchanged {
                if self.fingerprint(index) == fingerprint { return decision }
                // Whoever has the slot now does not pay for this request.
                unsafe slots[index].paidAt.wrappingSubtract(then &- max(paidAt, now), ordering: .acquiringAndReleasing)
                return nil
            }
            paidAt = seen
        }
    }

    // MARK: Buckets

    private static let full = -2
    private static let absent = -1

    /// The index of the first slot of each of the key's buckets.
    @inline(__always)
    private func buckets(_ key: RateKey) -> (Int, Int) {
        let first = key.low & mask
        var second = (key.low &>> 32) & mask
        if second == first { second ^= 1 }
        return (Int(first) &* Self.ways, Int(second) &* Self.ways)
    }

    private func find(_ key: RateKey, _ fingerprint: UInt64) -> Int {
        let (first, second) = buckets(key)
        for way in 0..<Self.ways where self.fingerprint(first &+ way) == fingerprint { return first &+ way }
        for way in 0..<Self.ways where self.fingerprint(second &+ way) == fingerprint { return second &+ way }
        return Self.absent
    }

    /// Takes the slot that was quiet longest in the bucket that has more free ones, so that loops which do so at the same time choose the same and one of them fails.
    ///
    /// - Returns: `absent` when to look again, `full` when there is none.
    private func claim(_ key: RateKey, _ fingerprint: UInt64, _ now: UInt64) -> Int {
        let (first, second) = buckets(key)
        let (one, two) = (quietest(first, now), quietest(second, now))
        let best = one.free >= two.free ? one : two
        guard best.free > 0 else { return Self.full }
        let before = self.fingerprint(best.index)
        guard paidAt(best.index) <= now else { return Self.absent }
        guard exchangeFingerprint(best.index, before, fingerprint) else { return Self.absent }
        if paidAt(best.index) <= now { return best.index }
        // Its former key has just come back: it keeps the slot.
        _ = exchangeFingerprint(best.index, fingerprint, before)
        return Self.absent
    }

    private func quietest(_ bucket: Int, _ now: UInt64) -> (index: Int, free: Int) {
        var (index, least, free) = (bucket, UInt64.max, 0)
        for way in 0..<Self.ways {
            let paidAt = paidAt(bucket &+ way)
            if paidAt <= now { free &+= 1 }
            if paidAt < least { (index, least) = (bucket &+ way, paidAt) }
        }
        return (index, free)
    }

    private func refuse(_ policy: RatePolicy) -> RateDecision {
        overflowed.wrappingAdd(1, ordering: .relaxed)
        return .uncounted(policy, isAllowed: whenFull == .admit)
    }

    // MARK: Memory. Every index comes of `buckets`, so it is within the table, which lives as long as this object.

    @inline(__always)
    private func fingerprint(_ index: Int) -> UInt64 { unsafe slots[index].fingerprint.load(ordering: .acquiring) }

    @inline(__always)
    private func paidAt(_ index: Int) -> UInt64 { unsafe slots[index].paidAt.load(ordering: .acquiring) }

    private func exchangeFingerprint(_ index: Int, _ old: UInt64, _ new: UInt64) -> Bool {
        unsafe slots[index].fingerprint.compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
    }
}
