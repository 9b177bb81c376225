// UpstreamCounters: what an upstream counts. Each loop has words of its own, which it alone writes and anybody reads, so counting is a load and a store without a lock or a
// line that two cores write. Events that are rare (checks, ejections) are counted by whoever sees them, in words of all.

internal import Glibc
internal import Synchronization

@safe
final class UpstreamCounters: Sendable {
    /// Of a loop and server.
    enum ServerWord: Int {
        case requests = 0
        case ended = 1
        /// Five, by the status's first digit.
        case responses = 2
        /// Seven, by ProxyFailure.
        case failures = 7
        case cancelled = 14
        case headNs = 15
    }

    /// Of a loop.
    enum LoopWord: Int { case retries, retriesOverBudget, unavailable, busy, expired }

    /// Of a server.
    enum EventWord: Int { case ejections, spared, checks, failedChecks, healthTransitions }

    /// Two lines of the cache each: neighbours are fetched in pairs.
    private static let wordsPerCell = 16

    private let loops: Int
    private let servers: Int
    // Allocated in init, freed in deinit, never moved.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int

    init(loops: Int, servers: Int) {
        (self.loops, self.servers) = (loops, servers)
        // Cells of each loop: one per server and its own; then one per server for events.
        count = (loops * (servers + 1) + servers) * Self.wordsPerCell
        unsafe words = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(words).deallocate()
    }

    private func load(_ index: Int) -> UInt64 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "BUG: no such counter")
        return unsafe words[index].load(ordering: .relaxed)
    }

    /// By the only writer of the word.
    private func add(_ index: Int, _ amount: UInt64) {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "BUG: no such counter")
        unsafe words[index].store(words[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    private func place(_ loop: Int, server: Int) -> Int { (loop * (servers + 1) + server) * Self.wordsPerCell }
    private func place(events server: Int) -> Int { (loops * (servers + 1) + server) * Self.wordsPerCell }

    // MARK: counting

    /// On the loop's thread.
    func add(_ word: ServerWord, plus offset: Int = 0, loop: Int, server: Int, _ amount: UInt64 = 1) {
        add(place(loop, server: server) + word.rawValue + offset, amount)
    }

    /// On the loop's thread.
    func add(_ word: LoopWord, loop: Int) { add(place(loop, server: servers) + word.rawValue, 1) }

    /// Any thread.
    func add(_ word: EventWord, server: Int) {
        precondition(UInt(bitPattern: server) < UInt(bitPattern: servers), "BUG: no such server")
        unsafe _ = words[place(events: server) + word.rawValue].wrappingAdd(1, ordering: .relaxed)
    }

    // MARK: reading

    func sum(_ word: ServerWord, plus offset: Int = 0, server: Int) -> UInt64 {
        (0..<loops).reduce(0) { $0 &+ load(place($1, server: server) + word.rawValue + offset) }
    }

    func sum(_ word: LoopWord) -> UInt64 { (0..<loops).reduce(0) { $0 &+ load(place($1, server: servers) + word.rawValue) } }
    func event(_ word: EventWord, server: Int) -> UInt64 { load(place(events: server) + word.rawValue) }
}

/// The clock of the loops.
enum MonotonicClock {
    static var now: UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
