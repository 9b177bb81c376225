// Everything `uringd doctor` judges, gathered apart from the judging so that every unfit machine can be made up in a test.
// Owns plain values; gathered on the calling thread, which must not be pinned yet.

/// What was found on the machine. nil: could not be read.
package struct DoctorFacts: Sendable {
    package var kernelRelease: String?
    package var ring: RingProbe
    /// kernel.io_uring_disabled: 0 everyone, 1 only the group, 2 nobody (Linux ≥ 6.6).
    package var ioUringDisabled: Int?
    /// kernel.io_uring_group; -1: none.
    package var ioUringGroup: Int?
    package var process: ProcessFacts
    package var openFiles: ResourceLimit?
    package var lockedMemory: ResourceLimit?
    /// fs.nr_open: the highest hard limit of open files that may be set.
    package var openFilesCeiling: UInt64?
    package var listenBacklogMax: UInt64?
    package var synBacklogMax: UInt64?
    package var localPorts: ClosedRange<Int>?
    package var machine: MachineFacts
    package var memoryLimit: MemoryLimit?
    package var clockSource: String?
    package var transparentHugePages: String?

    /// The tightest memory limit above this process.
    package struct MemoryLimit: Hashable, Sendable {
        package let bytes: UInt64
        package let file: String

        package init(bytes: UInt64, file: String) {
            self.bytes = bytes
            self.file = file
        }
    }

    /// A machine on which every check is fine: the start of each test's made-up machine.
    package init(machine: MachineFacts, ring: RingProbe = .available(Set(RingFeature.allCases))) {
        self.machine = machine
        self.ring = ring
        process = ProcessFacts(status: "")
    }

    /// - Parameters:
    ///   - affinity: `ThreadAffinity.current()`, or nil when it failed.
    package static func gather(
        files: SystemFiles, affinity: [Int]?, ring: RingProbe, openFiles: ResourceLimit?, lockedMemory: ResourceLimit?
    ) -> DoctorFacts {
        var facts = DoctorFacts(machine: .gather(files: files, affinity: affinity), ring: ring)
        facts.kernelRelease = files.value("/proc/sys/kernel/osrelease")
        facts.ioUringDisabled = files.value("/proc/sys/kernel/io_uring_disabled").flatMap { Int($0) }
        facts.ioUringGroup = files.value("/proc/sys/kernel/io_uring_group").flatMap { Int($0) }
        facts.process = ProcessFacts(status: files.value("/proc/self/status") ?? "")
        facts.openFiles = openFiles
        facts.lockedMemory = lockedMemory
        facts.openFilesCeiling = files.value("/proc/sys/fs/nr_open").flatMap { UInt64($0) }
        facts.listenBacklogMax = files.value("/proc/sys/net/core/somaxconn").flatMap { UInt64($0) }
        facts.synBacklogMax = files.value("/proc/sys/net/ipv4/tcp_max_syn_backlog").flatMap { UInt64($0) }
        facts.localPorts = files.value("/proc/sys/net/ipv4/ip_local_port_range").flatMap(portRange)
        var groups = ControlGroups(files: files)
        facts.memoryLimit = groups.memoryLimit().map { MemoryLimit(bytes: $0.bytes, file: $0.file) }
        facts.clockSource = files.value("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        facts.transparentHugePages = files.value("/sys/kernel/mm/transparent_hugepage/enabled").flatMap(bracketed)
        return facts
    }

    /// This machine, probed now.
    package static func gatherLive() -> DoctorFacts {
        gather(
            files: .live, affinity: try? ThreadAffinity.current(), ring: .live(), openFiles: .openFiles(), lockedMemory: .lockedMemory())
    }

    private static func portRange(_ text: String) -> ClosedRange<Int>? {
        let ends = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        guard ends.count == 2, (0...65_535).contains(ends[0]), (ends[0]...65_535).contains(ends[1]) else { return nil }
        return ends[0]...ends[1]
    }

    /// sysfs marks the choice in a list by brackets: `always [madvise] never`.
    private static func bracketed(_ text: String) -> String? {
        let words: [Substring] = text.split(whereSeparator: \.isWhitespace)
        let chosen = words.first { $0.first == "[" && $0.last == "]" && $0.count > 2 }
        return chosen.map { String($0.dropFirst().dropLast()) }
    }
}

/// What /proc/self/status says about rights (proc(5)).
package struct ProcessFacts: Hashable, Sendable {
    package enum Seccomp: Int, Sendable {
        case none, strict, filter
    }

    /// Bit numbers of capabilities(7).
    package enum Capability: UInt64, Sendable {
        /// Memory of a process that has it is not counted against RLIMIT_MEMLOCK.
        case lockMemory = 14
        /// Passes kernel.io_uring_disabled = 1.
        case administrate = 21
    }

    /// nil: the kernel was built without seccomp, or the file cannot be read.
    package var seccomp: Seccomp?
    package var effectiveCapabilities: UInt64 = 0
    /// The effective group and the supplementary ones.
    package var groups: Set<Int> = []

    package init(status: String) {
        for line in status.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 1)
            guard fields.count == 2 else { continue }
            let words = fields[1].split(whereSeparator: \.isWhitespace)
            switch fields[0] {
            case "Seccomp": seccomp = words.first.flatMap { Int($0) }.flatMap(Seccomp.init(rawValue:))
            case "CapEff": effectiveCapabilities = words.first.flatMap { UInt64($0, radix: 16) } ?? 0
            case "Gid": if words.count > 1, let group = Int(words[1]) { groups.insert(group) }
            case "Groups": groups.formUnion(words.compactMap { Int($0) })
            default: continue
            }
        }
    }

    package func has(_ capability: Capability) -> Bool {
        effectiveCapabilities >> capability.rawValue & 1 != 0
    }
}
