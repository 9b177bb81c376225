// FilterCounts: what the filters of a route decided, for /metrics and the log. One object for each filter that says why, kept over reloads while route and filter are the same. Each loop has words of
// its own, which it alone writes and anybody reads.

internal import Synchronization

/// The figures of one filter, added up.
struct FilterFigure: Sendable {
    let route: String
    let filter: String
    let results: [(name: String, count: UInt64)]
}

@safe
final class FilterCounts: Sendable {
    /// The log is told no more often, for each result.
    private static let reportNs: UInt64 = 10_000_000_000
    /// Two lines of the cache each: neighbours are fetched in pairs.
    private static let wordsPerCell = 16

    let route: String
    let filter: RouteFilterKind
    let loops: Int
    /// As the metric's label has them.
    let results: [String]
    private let log: LogReporter?
    // Allocated in init, freed in deinit, never moved: a cell for each loop, one of what the log has not been told, one of when it may be told again.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private var count: Int { (loops + 2) * Self.wordsPerCell }

    init(_ route: String, _ filter: RouteFilterKind, results: [String], loops: Int, log: LogReporter?) {
        precondition(results.count <= Self.wordsPerCell, "BUG: a filter with too many results")
        (self.route, self.filter, self.results, self.loops, self.log) = (route, filter, results, loops, log)
        let count = (loops + 2) * Self.wordsPerCell
        unsafe words = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(words).deallocate()
    }

    private func place(_ cell: Int, _ result: Int) -> Int {
        precondition(UInt(bitPattern: cell) < UInt(bitPattern: loops + 2) && UInt(bitPattern: result) < UInt(bitPattern: Self.wordsPerCell), "BUG: no such count")
        return cell * Self.wordsPerCell + result
    }

    /// On the loop's thread.
    func add(_ result: Int, loop: Int) {
        let index = place(loop, result)
        // By the only writer of the word.
        unsafe words[index].store(words[index].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    /// Counts, and tells the log when it has not been told of that result for a while. On the loop's thread.
    /// - Parameter text: what happened to a request.
    func add(_ result: Int, loop: Int, now: UInt64, _ text: @autoclosure () -> String) {
        add(result, loop: loop)
        guard let log else { return }
        let (untold, due) = (place(loops, result), place(loops + 1, result))
        unsafe words[untold].wrappingAdd(1, ordering: .relaxed)
        let at = unsafe words[due].load(ordering: .relaxed)
        guard now >= at, unsafe words[due].compareExchange(expected: at, desired: now &+ Self.reportNs, ordering: .relaxed).exchanged else { return }
        let requests = unsafe words[untold].exchange(0, ordering: .relaxed)
        log.note("\(filter.rawValue) of the route \(route): \(text())\(requests > 1 ? "; \(requests) requests since the last such line" : "")")
    }

    /// Any thread.
    func sum(_ result: Int) -> UInt64 { (0..<loops).reduce(0) { unsafe $0 &+ words[place($1, result)].load(ordering: .relaxed) } }

    var figure: FilterFigure { FilterFigure(route: route, filter: filter.rawValue, results: results.enumerated().map { ($1, sum($0)) }) }
}
