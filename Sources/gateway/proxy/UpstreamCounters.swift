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

    /// Of the upstream, by whoever looks names up.
    enum LookupWord: Int { case lookups, failedLookups, addressChanges }

    private let loops: Int
    private let servers: Int
    /// One for each server, and one of the upstream's own, last.
    private let cells: [CounterCells]
    // Where each cell's words begin. Allocated in init, freed in deinit; the words live as long as `cells` does.
    nonisolated(unsafe) private let bases: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<UInt64>>>

    /// - Parameters:
    ///   - servers: for each server the words that go on; nil: it begins at 0.
    ///   - own: the upstream's own, that go on.
    init(loops: Int, servers: [CounterCells?], own: CounterCells? = nil) {
        (self.loops, self.servers) = (loops, servers.count)
        cells = (servers + [own]).map { $0 ?? CounterCells(loops: loops) }
        unsafe bases = .allocate(capacity: cells.count)
        for (index, cell) in cells.enumerated() { unsafe (bases + index).initialize(to: cell.words) }
    }

    deinit {
        unsafe bases.deinitialize(count: cells.count)
        unsafe bases.deallocate()
    }

    func cells(of server: Int) -> CounterCells { cells[server] }
    var ownCells: CounterCells { cells[servers] }

    /// Of a loop, or with `loops` the events; `servers` is the upstream's own.
    private func withWord<Result>(_ server: Int, _ loop: Int, _ word: Int, _ body: (borrowing Atomic<UInt64>) -> Result) -> Result {
        precondition(UInt(bitPattern: server) <= UInt(bitPattern: servers) && UInt(bitPattern: loop) <= UInt(bitPattern: loops) && word < CounterCells.wordsPerLoop, "BUG: no such counter")
        return unsafe body(bases[server][loop * CounterCells.wordsPerLoop + word])
    }

    /// By the only writer of the word.
    private func add(_ server: Int, _ loop: Int, _ word: Int, _ amount: UInt64) {
        withWord(server, loop, word) { $0.store($0.load(ordering: .relaxed) &+ amount, ordering: .relaxed) }
    }

    private func load(_ server: Int, _ loop: Int, _ word: Int) -> UInt64 { withWord(server, loop, word) { $0.load(ordering: .relaxed) } }

    // MARK: counting

    /// On the loop's thread.
    func add(_ word: ServerWord, plus offset: Int = 0, loop: Int, server: Int, _ amount: UInt64 = 1) { add(server, loop, word.rawValue + offset, amount) }

    /// On the loop's thread.
    func add(_ word: LoopWord, loop: Int) { add(servers, loop, word.rawValue, 1) }

    /// Any thread.
    func add(_ word: EventWord, server: Int) { withWord(server, loops, word.rawValue) { _ = $0.wrappingAdd(1, ordering: .relaxed) } }

    /// Any thread.
    func add(_ word: LookupWord) { withWord(servers, loops, word.rawValue) { _ = $0.wrappingAdd(1, ordering: .relaxed) } }

    // MARK: reading

    func sum(_ word: ServerWord, plus offset: Int = 0, server: Int) -> UInt64 { (0..<loops).reduce(0) { $0 &+ load(server, $1, word.rawValue + offset) } }
    func sum(_ word: LoopWord) -> UInt64 { (0..<loops).reduce(0) { $0 &+ load(servers, $1, word.rawValue) } }
    func event(_ word: EventWord, server: Int) -> UInt64 { load(server, loops, word.rawValue) }
    func event(_ word: LookupWord) -> UInt64 { load(servers, loops, word.rawValue) }
}

/// The words of a server, or of an upstream: those of each loop, then those of events. They outlive the set of servers that they were made for where the server goes on.
@safe
final class CounterCells: Sendable {
    /// Two lines of the cache each: neighbours are fetched in pairs.
    static let wordsPerLoop = 16

    // Allocated in init, freed in deinit, never moved.
    nonisolated(unsafe) fileprivate let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int

    init(loops: Int) {
        count = (loops + 1) * Self.wordsPerLoop
        unsafe words = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(words).deallocate()
    }
}

/// The clock of the loops.
enum MonotonicClock {
    static var now: UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
