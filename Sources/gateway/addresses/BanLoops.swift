// BanLoops: the bans as loops ask them: each has a snapshot of its own, which it changes for the newest when a number has gone up. A connection or a request that meets no ban costs a load, and with bans
// a search, no lock and no reference. Owned by BanBook.

internal import Synchronization
internal import UringBase
internal import UringPolicy

@safe
final class BanLoops: @unchecked Sendable {
    @safe private struct Place: ~Copyable {
        /// Of the snapshot; the loop's own.
        var generation: UInt64 = 0
        /// Retained; nil: nobody is banned.
        var snapshot: Unmanaged<BanSnapshot>?
        /// Written by the loop, read by anybody.
        let connections = Atomic<UInt64>(0)
        let requests = Atomic<UInt64>(0)
    }

    private let count: Int
    /// Owned: one for each loop, which alone touches it while it runs; freed in `deinit`.
    private let places: UnsafeMutablePointer<Place>
    private let newest = Locked(BanSnapshot.empty)
    private let generations = Atomic<UInt64>(0)

    init(_ count: Int) {
        self.count = count
        unsafe places = .allocate(capacity: max(1, count))
        for index in 0..<max(1, count) { unsafe (places + index).initialize(to: Place()) }
    }

    deinit {
        // Loops that asked held this object.
        for index in 0..<max(1, count) { unsafe places[index].snapshot?.release() }
        unsafe places.deinitialize(count: max(1, count))
        unsafe places.deallocate()
    }

    /// What loops ask from now on. Any thread.
    func publish(_ snapshot: BanSnapshot) {
        newest.withLock { $0 = snapshot }
        generations.add(1, ordering: .releasing)
    }

    // MARK: the loops' side

    /// Whether anybody is banned. On the loop's thread.
    @inline(__always)
    func hasBans(_ loop: Int) -> Bool {
        let generation = generations.load(ordering: .acquiring)
        // SAFETY: loops are numbered from 0, as many as there are places; so below.
        if unsafe places[loop].generation != generation { refresh(loop, generation) }
        return unsafe places[loop].snapshot != nil
    }

    /// Until when an address is banned, ns of the loops' clock; nil: it is not. After `hasBans`, on the loop's thread.
    func bannedUntil(_ address: IPAddress, _ loop: Int, now: UInt64) -> UInt64? {
        guard let snapshot = unsafe places[loop].snapshot else { return nil }
        // SAFETY: the place retains it, and nobody else changes the place.
        guard case .banned(_, let until) = unsafe snapshot._withUnsafeGuaranteedRef({ $0.verdict(address, now: now) }) else { return nil }
        return until
    }

    func countConnection(_ loop: Int) { unsafe Self.count(places[loop].connections) }
    func countRequest(_ loop: Int) { unsafe Self.count(places[loop].requests) }

    private static func count(_ counter: borrowing Atomic<UInt64>) { counter.store(counter.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }

    @inline(never)
    private func refresh(_ loop: Int, _ generation: UInt64) {
        // What is published behind the number is seen with it; what comes meanwhile is seen next time.
        let snapshot = newest.withLock { $0 }
        unsafe places[loop].snapshot?.release()
        unsafe places[loop].snapshot = snapshot.isEmpty ? nil : .passRetained(snapshot)
        unsafe places[loop].generation = generation
    }

    /// Connections and requests that were turned away. Any thread.
    var counts: (connections: UInt64, requests: UInt64) {
        var (connections, requests): (UInt64, UInt64) = (0, 0)
        for index in 0..<count {
            connections &+= unsafe places[index].connections.load(ordering: .relaxed)
            requests &+= unsafe places[index].requests.load(ordering: .relaxed)
        }
        return (connections, requests)
    }
}
