// Decides how many loops run and on which cores, and says why. Owns plain values; made once at start-up, on the starting thread,
// before any loop exists.

/// Which loops will run: one core per loop, and the reason.
public struct LoopPlan: Hashable, Sendable {
    /// One core per loop, loop 0 first. A core occurs twice only when more loops than cores were asked for.
    public let cores: [Int]

    /// Whether each loop's thread is confined to its core.
    ///
    /// False when a cgroup quota is smaller than the affinity mask and no cores were named: such a machine is shared by quota, every
    /// container on it sees the same mask, and pinning would crowd them all onto its first cores while others idle. The
    /// scheduler then places the threads; ``cores`` is where they would have been pinned.
    public let isPinned: Bool

    /// Why this many, and why these: `affinity mask`, `cgroup v2 quota 1.5 CPUs in /sys/fs/cgroup/a, rounded to 2`.
    public let reason: String

    /// What an operator should know besides, one sentence each: ignored files, shared cores, a quota below what was asked for.
    public let notes: [String]

    /// The plan for this machine, as the calling thread sees it: call before pinning anything.
    public init(_ selection: LoopSelection) throws(LoopPlanError) {
        try self.init(selection, machine: .gatherLive())
    }

    /// For the line `listening on …`: `loops: 2, cores 0,1: affinity mask`.
    public var summary: String {
        let place = isPinned ? "cores \(CoreList.format(cores))" : "not pinned"
        return "loops: \(cores.count), \(place): \(reason)"
    }

    package init(_ selection: LoopSelection, machine: MachineFacts) throws(LoopPlanError) {
        switch selection {
        case .automatic: self.init(automatic: machine)
        case .count(let count): try self.init(count: count, machine: machine)
        case .cores(let cores): try self.init(requested: cores, machine: machine)
        }
    }

    private init(cores: [Int], isPinned: Bool, reason: String, notes: [String]) {
        assert(!cores.isEmpty && cores.count <= LoopSelection.loopsMax)
        self.cores = cores
        self.isPinned = isPinned
        self.reason = reason
        self.notes = notes
    }
}

// MARK: The three selections

extension LoopPlan {
    private init(automatic machine: MachineFacts) {
        let usable = machine.usable.count
        let quota = machine.bindingQuota
        let wanted = quota?.loops ?? usable
        let loops = min(wanted, LoopSelection.loopsMax)
        var reason = machine.sourceText
        if let quota { reason = quota.summary + (quota.isWhole ? "" : ", rounded to \(quota.loops)") }
        if loops < wanted { reason += ", capped at \(loops) loops" }
        self.init(
            cores: machine.chosen(loops), isPinned: quota == nil, reason: reason,
            notes: machine.notes + (quota == nil ? machine.siblingNote : []))
    }

    private init(count: Int, machine: MachineFacts) throws(LoopPlanError) {
        guard (1...LoopSelection.loopsMax).contains(count) else { throw .countOutOfRange(count) }
        var notes = machine.notes
        if count > machine.usable.count {
            notes.append(
                "\(count) loops share \(machine.usable.count) usable core\(machine.usable.count == 1 ? "" : "s"): each waits for the others")
        }
        notes += machine.quotaNote(loops: count)
        self.init(cores: machine.chosen(count), isPinned: machine.bindingQuota == nil, reason: "\(count) requested", notes: notes)
    }

    private init(requested cores: [Int], machine: MachineFacts) throws(LoopPlanError) {
        guard !cores.isEmpty else { throw .noCores }
        guard cores.count <= LoopSelection.loopsMax else { throw .countOutOfRange(cores.count) }
        var seen: Set<Int> = []
        for core in cores where !seen.insert(core).inserted { throw .duplicateCore(core) }
        let refused = cores.sorted().compactMap { core in machine.whyUnusable(core).map { LoopPlanError.RefusedCore(core: core, why: $0) } }
        guard refused.isEmpty else { throw .unusableCores(refused, usable: machine.usable) }
        self.init(
            cores: cores, isPinned: true, reason: "requested", notes: machine.notes + machine.quotaNote(loops: cores.count))
    }
}

extension MachineFacts {
    /// The quota, where it allows fewer loops than the mask has cores.
    fileprivate var bindingQuota: CPUQuota? {
        guard let quota, quota.loops < usable.count else { return nil }
        return quota
    }

    fileprivate var sourceText: String {
        switch source {
        case .affinityMask: "affinity mask"
        case .onlineList: "online cores, the affinity mask cannot be read"
        case .assumed: "one core assumed, neither the affinity mask nor the online cores can be read"
        }
    }

    /// The first `count` cores, one of each physical core before any second sibling, because two siblings share one core's
    /// execution units; ascending; from the start again when there are more loops than cores.
    fileprivate func chosen(_ count: Int) -> [Int] {
        let depth = physicalCores.map(\.count).max() ?? 0
        let order = (0..<depth).flatMap { rank in physicalCores.compactMap { $0.indices.contains(rank) ? $0[rank] : nil } }
        if count <= order.count { return order.prefix(count).sorted() }
        let ascending = order.sorted()
        return (0..<count).map { ascending[$0 % ascending.count] }
    }

    /// Automatic selection uses siblings: a loop waits for memory often enough that a second one on the same core adds throughput,
    /// and the operator can name one core of each pair instead.
    var siblingNote: [String] {
        guard physicalCores.count < usable.count else { return [] }
        return [
            "\(usable.count) usable cores are \(physicalCores.count) physical ones (SMT): "
                + "--loops \(physicalCores.count) uses one of each"
        ]
    }

    fileprivate func quotaNote(loops: Int) -> [String] {
        guard let quota, quota.loops < loops else { return [] }
        return ["\(loops) loops on \(quota.summary): the kernel stops all of them for the rest of each period once it is used up"]
    }

    fileprivate func whyUnusable(_ core: Int) -> LoopPlanError.Unusable? {
        if usable.contains(core) { return nil }
        if core < 0 || core > CoreList.coreIndexMax { return .absent }
        if let present, !present.contains(core) { return .absent }
        if let online, !online.contains(core) { return .offline }
        return .outsideAffinityMask
    }
}

/// Why a requested plan cannot be made. Each text names what was asked for and what is available.
public enum LoopPlanError: Error, Hashable, Sendable {
    /// Why one core cannot be used.
    public enum Unusable: Hashable, Sendable {
        /// Excluded by taskset(1), a cpuset or `CPUAffinity=`.
        case outsideAffinityMask
        /// The core is switched off.
        case offline
        /// The machine has no such core.
        case absent
    }

    /// A core that was asked for and cannot be used.
    public struct RefusedCore: Hashable, Sendable {
        /// Its number.
        public let core: Int
        /// Why it cannot be used.
        public let why: Unusable
    }

    /// Not within 1…``LoopSelection/loopsMax``.
    case countOutOfRange(Int)
    /// The list of cores is empty.
    case noCores
    /// A core was named twice.
    case duplicateCore(Int)
    /// Some of the cores cannot be used; the second value are those that can.
    case unusableCores([RefusedCore], usable: [Int])
}

extension LoopPlanError: CustomStringConvertible {
    /// The sentence for the operator, with the cores that can be used.
    public var description: String {
        switch self {
        case .countOutOfRange(let count): "\(count) loops requested: 1 to \(LoopSelection.loopsMax) are possible"
        case .noCores: "loops: the list of cores is empty"
        case .duplicateCore(let core): "loops: core \(core) is named twice; --loops N runs several loops on one core"
        case .unusableCores(let refused, let usable):
            "loops: "
                + ([.outsideAffinityMask, .offline, .absent] as [Unusable])
                .compactMap { why in LoopPlanError.clause(refused.filter { $0.why == why }.map(\.core), why) }
                .joined(separator: ", ") + "; usable: \(CoreList.format(usable))"
        }
    }

    private static func clause(_ cores: [Int], _ why: Unusable) -> String? {
        guard !cores.isEmpty else { return nil }
        let subject = cores.count == 1 ? "core \(cores[0])" : "cores \(CoreList.format(cores))"
        let isOne = cores.count == 1
        return switch why {
        case .outsideAffinityMask: "\(subject) \(isOne ? "is" : "are") outside the affinity mask (taskset, cpuset)"
        case .offline: "\(subject) \(isOne ? "is" : "are") offline"
        case .absent: "\(subject) \(isOne ? "does" : "do") not exist"
        }
    }
}
