// SharedServers: what all loops know about the servers of one upstream. One object per upstream and configuration, made before the loops start; every loop reads it, and
// whoever detects something (a health check, an outlier, a drain) writes it, without locks.
//
// A server has one word: its flags and the time until which it is ejected. A loop does not read n words for a decision: each change raises `epoch`, a loop that sees a new
// one looks at all words again (Balancer.update), and what ends by time needs no writer. Per request that is one relaxed load of a line that is written only on changes.

internal import Synchronization

/// Why a server is not used, as one word.
struct ServerWord: Equatable {
    private static let drainingBit: UInt64 = 1
    private static let unhealthyBit: UInt64 = 2
    /// The time lies above, in units of 2²⁰ ns (1.05 ms): every UInt64 of ns fits.
    private static let timeShift: UInt64 = 8
    private static let unitShift: UInt64 = 20

    var bits: UInt64

    /// It takes no further requests, by configuration or by an operator.
    var isDraining: Bool {
        get { bits & Self.drainingBit != 0 }
        set { bits = newValue ? bits | Self.drainingBit : bits & ~Self.drainingBit }
    }

    /// By active checks.
    var isUnhealthy: Bool {
        get { bits & Self.unhealthyBit != 0 }
        set { bits = newValue ? bits | Self.unhealthyBit : bits & ~Self.unhealthyBit }
    }

    /// Ejected before this time, ns; 0: not ejected.
    var ejectedUntil: UInt64 { (bits >> Self.timeShift) << Self.unitShift }

    /// Rounded up to the unit.
    mutating func eject(until time: UInt64) {
        let units = time >> Self.unitShift + (time & (1 << Self.unitShift - 1) == 0 ? 0 : 1)
        bits = bits & (1 << Self.timeShift - 1) | units << Self.timeShift
    }

    func isEjected(at now: UInt64) -> Bool { now < ejectedUntil }
}

/// The shared state of the servers of one upstream, by their index.
@safe
package final class SharedServers: Sendable {
    /// Servers of an upstream: their indices are 16 bits wide in hash tables, and a scan over them stays below a microsecond or so.
    package static var countMax: Int { 4096 }

    /// One line for each server, so that failures of one do not disturb who reads another.
    struct Cell: ~Copyable {
        let word: Atomic<UInt64>
        /// When it began to be used, ns, for the slow start; 0: before everything.
        let since: Atomic<UInt64>
        let consecutive5xx = Atomic<UInt32>(0)
        let consecutiveGateway = Atomic<UInt32>(0)
        /// Ejections, less one for each interval without; multiplies the next one's time.
        let ejections = Atomic<UInt32>(0)
        private let padding: (UInt32, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

        init(word: UInt64, since: UInt64) {
            self.word = Atomic(word)
            self.since = Atomic(since)
        }
    }

    package let count: Int
    /// Raised after each change of a word.
    let epoch = Atomic<UInt64>(1)
    /// Who ejects: one at a time, so that the bound on ejected servers is exact. Who does not get it goes on and tries again with its next failure.
    let ejectionClaim = Atomic<Bool>(false)
    /// When the next sweep of the outlier detector is due; 0: it was never asked.
    let nextSweep = Atomic<UInt64>(0)
    // Allocated in `init`, freed in `deinit`; loops hold a reference for as long as they use it.
    nonisolated(unsafe) private let cells: UnsafeMutablePointer<Cell>

    /// - Parameters:
    ///   - count: servers, at most `countMax`.
    ///   - areHealthy: what they are taken for before the first check (`HealthSettings.initial`); true without checks.
    ///   - since: when they came into use, ns, 0 to use them fully at once. A server that is new in a reload gets the time, those that were there before do not.
    package init(count: Int, areHealthy: Bool = true, since: UInt64 = 0) {
        precondition((0...Self.countMax).contains(count), "BUG: an upstream has at most 4096 servers")
        self.count = count
        var word = ServerWord(bits: 0)
        word.isUnhealthy = !areHealthy
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * MemoryLayout<Cell>.stride, alignment: 64)
        unsafe cells = memory.bindMemory(to: Cell.self, capacity: max(count, 1))
        for index in 0..<count { unsafe (cells + index).initialize(to: Cell(word: word.bits, since: since)) }
    }

    deinit {
        unsafe cells.deinitialize(count: count)
        unsafe UnsafeMutableRawPointer(cells).deallocate()
    }

    /// Calls `body` with a server's line.
    @inline(__always) func withCell<Result>(_ server: Int, _ body: (borrowing Cell) -> Result) -> Result {
        precondition(UInt(bitPattern: server) < UInt(bitPattern: count), "BUG: no such server")
        // Lives as long as this object.
        return unsafe body(cells[server])
    }

    func word(_ server: Int) -> ServerWord { withCell(server) { ServerWord(bits: $0.word.load(ordering: .acquiring)) } }

    func since(_ server: Int) -> UInt64 { withCell(server) { $0.since.load(ordering: .relaxed) } }

    /// Changes a word; false when `change` left it as it was.
    @discardableResult func update(_ server: Int, _ change: (inout ServerWord) -> Void) -> Bool {
        let isChanged = withCell(server) { cell in
            var old = cell.word.load(ordering: .relaxed)
            while true {
                var new = ServerWord(bits: old)
                change(&new)
                guard new.bits != old else { return false }
                // Releasing: whoever sees the word sees `since` too.
                let (done, now) = cell.word.compareExchange(expected: old, desired: new.bits, ordering: .acquiringAndReleasing)
                if done { return true }
                old = now
            }
        }
        if isChanged { epoch.wrappingAdd(1, ordering: .releasing) }
        return isChanged
    }

    /// What an active check decided (`HealthState`): the loop that checks this server says it to all. The server's slow start begins when it is healthy again.
    package func setHealthy(_ server: Int, _ isHealthy: Bool, now: UInt64) {
        if isHealthy && word(server).isUnhealthy { setSince(server, now) }
        update(server) { $0.isUnhealthy = !isHealthy }
    }

    /// Takes a server out of use, or back into it. Requests that it has go on.
    package func setDraining(_ server: Int, _ isDraining: Bool, now: UInt64) {
        if !isDraining && word(server).isDraining { setSince(server, now) }
        update(server) { $0.isDraining = isDraining }
    }

    /// Takes over what is known of a server that another object knew: both have the same settings. Before any loop uses this one.
    package func take(_ server: Int, from other: SharedServers, _ known: Int) {
        other.withCell(known) { old in
            withCell(server) { cell in
                cell.word.store(old.word.load(ordering: .relaxed), ordering: .relaxed)
                cell.since.store(old.since.load(ordering: .relaxed), ordering: .relaxed)
                cell.consecutive5xx.store(old.consecutive5xx.load(ordering: .relaxed), ordering: .relaxed)
                cell.consecutiveGateway.store(old.consecutiveGateway.load(ordering: .relaxed), ordering: .relaxed)
                cell.ejections.store(old.ejections.load(ordering: .relaxed), ordering: .relaxed)
            }
        }
    }

    /// The server is new: its slow start begins. Before any loop uses this object.
    package func begin(_ server: Int, now: UInt64) { setSince(server, now) }

    func setSince(_ server: Int, _ time: UInt64) { withCell(server) { $0.since.store(time, ordering: .relaxed) } }

    /// For metrics and `/upstreams`.
    package func isHealthy(_ server: Int) -> Bool { !word(server).isUnhealthy }
    package func isDraining(_ server: Int) -> Bool { word(server).isDraining }
    /// How long it stays ejected, ns; 0: it is not.
    package func ejectedFor(_ server: Int, now: UInt64) -> UInt64 {
        let until = word(server).ejectedUntil
        return until > now ? until - now : 0
    }
    package func isEjected(_ server: Int, now: UInt64) -> Bool { word(server).isEjected(at: now) }
    /// How many times its eject time the next ejection lasts, less one.
    package func ejections(_ server: Int) -> UInt32 { withCell(server) { $0.ejections.load(ordering: .relaxed) } }
}
