// BanBook: who is turned away at run time: bans of the administration, of rules and of the fleet, and the prefixes of `addresses.file`. One for the process, made before the loops and kept over
// reloads. Changed on threads that may wait, and by loops when a rule bans somebody; loops ask snapshots of their own (BanBook+Loops), which are made anew off the loops after each change.

internal import Glibc
internal import Synchronization
internal import UringBase
internal import UringPolicy

@safe
final class BanBook: Sendable {
    /// Bans besides those of the file. More are the business of a packet filter.
    static let entriesMax = 100_000
    /// How often the file is looked at and bans that are over are dropped.
    private static let periodMs: Int32 = 1000

    struct FileFigures: Sendable {
        var path: String
        /// When what is in use was read, ns since 1970.
        var readNs: UInt64
        /// Why the file as it is now is not in use; nil: it is.
        var problem: String?
    }

    private struct State {
        var list = BanList(entriesMax: BanBook.entriesMax)
        /// What a fleet shares, as it was last read.
        var shared = BanList()
        /// Where changes are told; nil: nowhere.
        var sharing: SharedBans?
        var file: AddressFile?
        var fileFigures: FileFigures?
        /// Of the file as it was looked at last, whatever came of it.
        var seen: AddressFile.Stamp?
        var made: [BanSource: UInt64] = [:]
        var overflows: UInt64 = 0
        var reads: UInt64 = 0
        var failures: UInt64 = 0
        var trusted: [Prefix] = []
        var isChanged = false
    }

    private let state = Locked(State())
    private let thread = Locked<PeriodicThread?>(nil)
    private let isWoken = Atomic<Bool>(false)
    /// One snapshot is made at a time, so that an older one does not replace a newer.
    private let publishing = Locked<Void>(())
    let loops: BanLoops
    let log: LogReporter?

    init(loops: Int, log: LogReporter? = nil) {
        self.loops = BanLoops(loops)
        self.log = log
    }

    // MARK: configuration

    /// A configuration takes effect. Returns when new connections meet it.
    func take(_ file: AddressFile?, trusted: [AddressPrefix], now: UInt64 = Gateway.wallNs()) {
        state.withLock { state in
            state.trusted = trusted.map(Prefix.init)
            (state.file, state.seen) = (file, file?.stamp)
            state.fileFigures = file.map { FileFigures(path: $0.path, readNs: now, problem: nil) }
            if file != nil { state.reads += 1 }
        }
        publish()
    }

    /// Looks at the file from now on, and does what loops leave to it. Once is enough.
    func start() {
        thread.withLock { thread in
            guard thread == nil else { return }
            thread = PeriodicThread(periodMs: Self.periodMs) { [weak self] in self?.work() }
            if thread == nil { log?.log.error("bans: no thread for them could be started: the file of `addresses` is read on reloads only, and rules ban nobody") }
        }
    }

    /// Ends that, for good.
    func end() { thread.withLock { $0 }?.end() }

    private func work() {
        isWoken.store(false, ordering: .relaxed)
        look()
        let isChanged = state.withLock { state in
            if state.list.expire(now: Gateway.wallNs()) + state.shared.expire(now: Gateway.wallNs()) > 0 { state.isChanged = true }
            return state.isChanged
        }
        if isChanged { publish() }
    }

    /// Reads the file if it has changed. A file that is wrong changes nothing, and is told of once.
    func look(now: UInt64 = Gateway.wallNs()) {
        guard let (path, seen) = state.withLock({ state in state.file.map { ($0.path, state.seen) } }) else { return }
        let stamp = AddressFile.Stamp(path)
        guard stamp != seen else { return }
        do throws(AddressFileError) {
            let file = try AddressFile.read(path, now: now)
            let before = state.withLock { state -> Int in
                let before = state.file?.list.count ?? 0
                (state.file, state.seen, state.isChanged) = (file, file.stamp, true)
                state.fileFigures = FileFigures(path: path, readNs: now, problem: nil)
                state.reads += 1
                return before
            }
            log?.log.notice("addresses.file: read \(path) again: \(file.list.count) bans, \(before) before")
        } catch {
            state.withLock { state in
                (state.seen, state.failures) = (stamp, state.failures + 1)
                state.fileFigures?.problem = error.lines.first
            }
            for line in error.lines { log?.log.error("addresses.file: \(line)") }
            log?.log.error("addresses.file: \(path) is not usable, the bans that were read before go on")
        }
    }

    // MARK: changes

    enum Refusal: Error, Equatable {
        case full
        /// The prefix is within one that no ban touches.
        case neverBanned(Prefix)
    }

    /// Bans of the administration or of the fleet, all or none. Returns when loops turn them away.
    func add(_ entries: [BanEntry], now: UInt64 = Gateway.wallNs()) -> Result<[BanList.Addition], Refusal> {
        let result = state.withLock { state -> Result<[BanList.Addition], Refusal> in
            for entry in entries {
                if let shield = Self.allowed(state).first(where: { $0.covers(entry.prefix) }) { return .failure(.neverBanned(shield)) }
            }
            var list = state.list
            var additions: [BanList.Addition] = []
            for entry in entries {
                let addition = list.add(entry, now: now)
                if addition == .full {
                    state.overflows += 1
                    return .failure(.full)
                }
                additions.append(addition)
            }
            for entry in entries { state.made[entry.source, default: 0] += 1 }
            (state.list, state.isChanged) = (list, true)
            state.sharing?.share(entries.map { .put($0) })
            return .success(additions)
        }
        if case .success = result { publish() }
        return result
    }

    /// A rule bans somebody. On a loop's thread: loops turn the prefix away when the book's own thread has made the snapshot, some ms later.
    /// - Returns: false: it is never banned, or there is no room.
    func ban(_ entry: BanEntry, now: UInt64 = Gateway.wallNs()) -> Bool {
        let isAdded = state.withLock { state in
            if Self.allowed(state).contains(where: { $0.covers(entry.prefix) }) { return false }
            switch state.list.add(entry, now: now) {
            case .added, .replaced: break
            case .kept: return true
            case .full:
                state.overflows += 1
                return false
            }
            state.made[entry.source, default: 0] += 1
            state.isChanged = true
            state.sharing?.share([.put(entry)])
            return true
        }
        if isAdded, !isWoken.exchange(true, ordering: .relaxed) { thread.withLock { $0 }?.wake() }
        return isAdded
    }

    enum Removal: Equatable {
        case removed(BanEntry)
        /// It stands in the file.
        case inFile
        case absent
    }

    func remove(_ prefix: Prefix, now: UInt64 = Gateway.wallNs()) -> Removal {
        let removal = state.withLock { state -> Removal in
            let (mine, shared) = (state.list.remove(prefix), state.shared.remove(prefix))
            if let entry = [mine, shared].compactMap({ $0 }).first(where: { $0.until > now }) {
                state.isChanged = true
                state.sharing?.share([.lift(prefix)])
                return .removed(entry)
            }
            return state.file?.list[prefix].map { $0.until > now } ?? false ? .inFile : .absent
        }
        if case .removed = removal { publish() }
        return removal
    }

    // MARK: a fleet

    /// Where bans are shared from now on; nil: nowhere, and what was shared is forgotten.
    func share(with sharing: SharedBans?) {
        state.withLock { state in
            guard state.sharing !== sharing else { return }
            state.sharing = sharing
            // What others have banned is up to the others.
            (state.shared, state.isChanged) = (BanList(), true)
            sharing?.share(state.list.list(now: Gateway.wallNs()).map { .put($0) })
        }
        publish()
    }

    /// A ban of this process is in the list of the fleet: from here on it is the fleet's, and ends when somebody lifts it.
    func isShared(_ entry: BanEntry) {
        state.withLock { state in
            guard state.list[entry.prefix] == entry else { return }
            _ = state.list.remove(entry.prefix)
            _ = state.shared.add(BanEntry(entry.prefix, until: entry.until, source: .redis, reason: entry.reason), now: Gateway.wallNs())
            state.isChanged = true
        }
    }

    /// All bans of the fleet. Not on a loop.
    func take(shared entries: [BanEntry]) {
        let now = Gateway.wallNs()
        var list = BanList()
        for entry in entries { _ = list.add(entry, now: now) }
        state.withLock { state in
            let known = state.shared
            state.made[.redis, default: 0] += UInt64(entries.count { known[$0.prefix] == nil })
            (state.shared, state.isChanged) = (list, true)
        }
        publish()
    }

    /// Prefixes that no ban touches.
    private static func allowed(_ state: State) -> [Prefix] { state.trusted + (state.file?.list.allowed ?? []) }

    /// Makes what loops ask, of all there is. Tens of ms for 100,000 bans.
    private func publish() {
        publishing.withLock { _ in
            let (list, file, allowed) = state.withLock { state in
                state.isChanged = false
                return (Self.live(state), state.file?.list ?? BanList(), Self.allowed(state))
            }
            let (wall, now) = (Gateway.wallNs(), MonotonicClock.now)
            // Loops have a clock that never jumps.
            let entries = list.merged(with: file, now: wall).map { entry in
                BanEntry(entry.prefix, until: entry.isPermanent ? .max : Self.sum(now, entry.until - wall), source: entry.source)
            }
            loops.publish(entries.isEmpty ? .empty : BanSnapshot(entries, allowed: allowed))
        }
    }

    private static func sum(_ time: UInt64, _ ns: UInt64) -> UInt64 {
        let (sum, overflow) = time.addingReportingOverflow(ns)
        return overflow ? .max : sum
    }

    // MARK: what is there

    struct Figures: Sendable {
        /// Bans that hold, by source.
        var held: [(source: String, count: UInt64)] = []
        /// Bans that came to be, by source; not those of the file.
        var made: [(source: String, count: UInt64)] = []
        var overflows: UInt64 = 0
        var reads: UInt64 = 0
        var failures: UInt64 = 0
        var file: FileFigures?
        var connections: UInt64 = 0
        var requests: UInt64 = 0
    }

    /// Any thread but a loop's.
    func figures(now: UInt64 = Gateway.wallNs()) -> Figures {
        var figures = Figures()
        let list = state.withLock { state -> BanList in
            figures.made = BanSource.live.map { ($0.rawValue, state.made[$0] ?? 0) }
            (figures.overflows, figures.reads, figures.failures, figures.file) = (state.overflows, state.reads, state.failures, state.fileFigures)
            return Self.live(state)
        }
        let file = state.withLock { $0.file?.list.list(now: now).count ?? 0 }
        let held = list.list(now: now).reduce(into: [BanSource: UInt64]()) { $0[$1.source, default: 0] += 1 }
        figures.held = BanSource.live.map { ($0.rawValue, held[$0] ?? 0) } + [(BanSource.file.rawValue, UInt64(file))]
        (figures.connections, figures.requests) = loops.counts
        return figures
    }

    /// Everything that holds: the bans that are changed at run time, those of the file, the prefixes that no ban touches. Any thread but a loop's.
    var lists: (live: BanList, file: BanList, allowed: [Prefix]) { state.withLock { (Self.live($0), $0.file?.list ?? BanList(), Self.allowed($0)) } }

    /// This process's and the fleet's; of two for one prefix the longer.
    private static func live(_ state: State) -> BanList {
        guard state.shared.count > 0 else { return state.list }
        var all = state.list.widened()
        // Both are bounded, and the sum is below what a list may have.
        for entry in state.shared.list(now: 0) where (all[entry.prefix]?.until ?? 0) < entry.until { _ = all.add(entry, now: 0) }
        return all
    }
}

extension BanSource {
    /// Those that are not the file's, nor the configuration's.
    static let live: [BanSource] = [.admin, .rule, .redis]
}

extension Prefix {
    /// Whether all of the other lies within.
    func covers(_ other: Prefix) -> Bool { other.length >= length && contains(other.address) }
}
