// What the planner of loops knows about the machine, gathered once. Owns plain values; gathered at start-up on the starting thread.

/// The cores this process may use, how they are related, and the CPU quota above it.
package struct MachineFacts: Hashable, Sendable {
    /// Where `usable` comes from.
    package enum Source: Hashable, Sendable {
        case affinityMask
        /// sched_getaffinity(2) failed.
        case onlineList
        /// Nothing could be read.
        case assumed
    }

    /// Ascending, never empty.
    package var usable: [Int]
    package var source: Source
    /// Cores that exist and run, nil when unknown.
    package var online: [Int]?
    /// Cores that exist, running or not, nil when unknown.
    package var present: [Int]?
    /// The usable cores grouped by physical core (SMT siblings together), each group ascending, groups in order of their first.
    package var physicalCores: [[Int]]
    package var quota: CPUQuota?
    /// What was ignored on the way, for the log.
    package var notes: [String]

    package init(
        usable: [Int], source: Source = .affinityMask, online: [Int]? = nil, present: [Int]? = nil, physicalCores: [[Int]]? = nil,
        quota: CPUQuota? = nil, notes: [String] = []
    ) {
        precondition(!usable.isEmpty, "BUG: a thread that runs has a core")
        self.usable = usable
        self.source = source
        self.online = online
        self.present = present
        self.physicalCores = physicalCores ?? usable.map { [$0] }
        self.quota = quota
        self.notes = notes
    }

    /// - Parameter affinity: `ThreadAffinity.current()` of a thread that was not pinned yet, or nil when the call failed.
    package static func gather(files: SystemFiles, affinity: [Int]?) -> MachineFacts {
        var notes: [String] = []
        let online = list("/sys/devices/system/cpu/online", files, &notes)
        let present = list("/sys/devices/system/cpu/present", files, &notes)
        let (usable, source): ([Int], Source) =
            if let affinity, !affinity.isEmpty {
                (affinity, .affinityMask)
            } else if let online {
                (online.sorted(), .onlineList)
            } else {
                ([0], .assumed)
            }
        var groups = ControlGroups(files: files)
        let quota = groups.cpuQuota()
        return MachineFacts(
            usable: usable, source: source, online: online, present: present, physicalCores: physicalCores(usable, files), quota: quota,
            notes: notes + groups.notes)
    }

    /// This machine as the calling thread sees it.
    package static func gatherLive() -> MachineFacts {
        gather(files: .live, affinity: try? ThreadAffinity.current())
    }

    private static func list(_ path: String, _ files: SystemFiles, _ notes: inout [String]) -> [Int]? {
        guard let text = files.value(path) else { return nil }
        do {
            return try CoreList.parse(text)
        } catch {
            notes.append("\(path): \(error.explanation): ignored")
            return nil
        }
    }

    private static func physicalCores(_ usable: [Int], _ files: SystemFiles) -> [[Int]] {
        let isUsable = Set(usable)
        var groups: [[Int]] = []
        var seen: Set<Int> = []
        for core in usable where !seen.contains(core) {
            let path = "/sys/devices/system/cpu/cpu\(core)/topology/thread_siblings_list"
            let named = files.value(path).flatMap { try? CoreList.parse($0) } ?? []
            // A list that leaves out its own core is damaged; the core then stands alone.
            let siblings = named.contains(core) ? named.filter { isUsable.contains($0) && !seen.contains($0) } : [core]
            seen.formUnion(siblings)
            groups.append(siblings.sorted())
        }
        return groups
    }
}
