// The doctor's judgement over made-up machines: each failing case, its cause and its remedy.

import Glibc
import Testing

@testable import UringServer

/// A machine on which every check is fine.
private func fitMachine() -> DoctorFacts {
    var facts = DoctorFacts(machine: MachineFacts(usable: [0, 1]))
    facts.kernelRelease = "6.12.9-amd64"
    facts.ioUringDisabled = 0
    facts.process = ProcessFacts(status: "Seccomp:\t0\nCapEff:\t0000000000000000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t27 1000 \n")
    facts.openFiles = ResourceLimit(soft: 1024, hard: 1_048_576)
    facts.lockedMemory = ResourceLimit(soft: 8 << 20, hard: 8 << 20)
    facts.openFilesCeiling = 1_048_576
    facts.listenBacklogMax = 4096
    facts.synBacklogMax = 4096
    facts.localPorts = 32_768...60_999
    facts.clockSource = "tsc"
    facts.transparentHugePages = "madvise"
    return facts
}

private func check(_ name: String, needs: DoctorNeeds = DoctorNeeds(), _ change: (inout DoctorFacts) -> Void) throws -> DoctorCheck {
    var facts = fitMachine()
    change(&facts)
    let report = DoctorReport(facts: facts, needs: needs)
    // Every other check stays as it was on the fit machine: a fault is told once.
    for other in report.checks where other.name != name && other.name != "kernel" && other.name != "io_uring" {
        #expect(other.state == .ok, "\(other)")
    }
    for check in report.checks { #expect((check.remedy == nil) == (check.state == .ok)) }
    return try #require(report.checks.first { $0.name == name })
}

@Suite struct DoctorKernelTests {
    @Test func fitMachineHasNoRemedies() {
        let report = DoctorReport(facts: fitMachine())
        #expect(report.checks.allSatisfy { $0.state == .ok })
        #expect(report.exitCode == 0)
        #expect(report.failures.isEmpty)
    }

    @Test(arguments: [("6.1.0-13-amd64", DoctorCheck.State.ok), ("6.0.1", .warning), ("5.19.0", .warning), ("7.0-rc1", .ok)])
    func version(release: String, state: DoctorCheck.State) throws {
        #expect(try check("kernel") { $0.kernelRelease = release }.state == state)
    }

    @Test(arguments: ["", "six", "6", "6.x", "-6.1"])
    func unreadableVersionIsAWarning(release: String) throws {
        let found = try check("kernel") { $0.kernelRelease = release }
        #expect(found.state == .warning)
        #expect(found.found == "'\(release)', not a release number")
    }

    @Test func olderKernelFailsUnlessItsIoUringIsBackported() throws {
        func old(_ release: String, _ needs: DoctorNeeds) throws -> DoctorCheck {
            try check("kernel", needs: needs) {
                $0.kernelRelease = release
                $0.ring = .refused(errno: EPERM)
            }
        }
        var needs = DoctorNeeds()
        needs.backend = .uring
        #expect(try check("kernel", needs: needs) { $0.kernelRelease = "5.14.0-570.el9" }.state == .warning)
        #expect(try old("5.15.0-91-generic", needs).state == .failed)
        #expect(try old("5.15.0-91-generic", needs).remedy == "run Linux 6.1 or newer")
        // epoll serves where nothing newer than openat2(2) is there.
        needs.backend = .automatic
        #expect(try old("5.6.0", needs).state == .warning)
        #expect(try old("5.5.19", needs).state == .failed)
    }

    // MARK: Blocked, and by what

    /// As it is told where io_uring is demanded. Otherwise it is a warning that says what serves, unless something ran out that epoll needs too.
    private func refusal(_ errno: Int32, _ change: (inout DoctorFacts) -> Void = { _ in }) throws -> DoctorCheck {
        func judged(_ backend: ServerOptions.Backend) throws -> DoctorCheck {
            var needs = DoctorNeeds()
            needs.backend = backend
            return try check("io_uring", needs: needs) {
                $0.ring = .refused(errno: errno)
                change(&$0)
            }
        }
        let (found, usual) = (try judged(.uring), try judged(.automatic))
        #expect(found.state == .failed)
        if [ENOMEM, EMFILE, ENFILE].contains(errno) {
            #expect(usual == found)
        } else {
            #expect(usual.state == .warning)
            #expect(usual.found == found.found + "; serving with epoll, which costs more CPU per request")
        }
        #expect(usual.remedy == found.remedy)
        return found
    }

    @Test func switchedOffForEveryone() throws {
        let found = try refusal(EPERM) {
            $0.ioUringDisabled = 2
            $0.process.seccomp = .filter
        }
        #expect(found.found == "EPERM from io_uring_setup: kernel.io_uring_disabled is 2, which forbids io_uring to every process")
        #expect(found.remedy == "sysctl -w kernel.io_uring_disabled=0")
    }

    @Test func switchedOffOutsideTheGroup() throws {
        let found = try refusal(EPERM) {
            $0.ioUringDisabled = 1
            $0.ioUringGroup = 990
        }
        #expect(found.found.hasSuffix("this process is not in group 990 (kernel.io_uring_group)"))
        #expect(found.remedy?.contains("SupplementaryGroups=990") == true)
    }

    @Test func switchedOffAndNoGroupNamed() throws {
        let found = try refusal(EPERM) {
            $0.ioUringDisabled = 1
            $0.ioUringGroup = -1
        }
        #expect(found.found.hasSuffix("kernel.io_uring_group names no group"))
    }

    /// A member of the group, or a process with CAP_SYS_ADMIN, passes the switch: then something else said no.
    @Test(arguments: [true, false])
    func passingTheGroupSwitchLeavesSeccomp(isMember: Bool) throws {
        let found = try refusal(EPERM) {
            $0.ioUringDisabled = 1
            $0.ioUringGroup = isMember ? 27 : 990
            if !isMember { $0.process.effectiveCapabilities = 1 << 21 }
            $0.process.seccomp = .filter
        }
        #expect(found.found == "EPERM from io_uring_setup: a seccomp profile forbids it")
        #expect(found.remedy?.contains("--security-opt seccomp=") == true)
    }

    @Test func securityModule() throws {
        #expect(try refusal(EACCES).remedy == "allow io_uring in the SELinux or AppArmor policy of this process")
        #expect(try refusal(EPERM) { $0.ioUringDisabled = nil }.found.contains("a security module does"))
    }

    @Test func notInTheKernel() throws {
        #expect(try refusal(ENOSYS).found.contains("built without CONFIG_IO_URING"))
        #expect(try refusal(ENOSYS) { $0.process.seccomp = .filter }.found.contains("a seccomp profile hides it"))
    }

    @Test func outOfSomething() throws {
        #expect(try refusal(ENOMEM).remedy?.contains("MemoryMax=") == true)
        #expect(try refusal(EMFILE).remedy?.contains("LimitNOFILE=") == true)
        #expect(try refusal(ENFILE).remedy?.contains("fs.file-max") == true)
        #expect(try refusal(EIO).found == "errno 5 (Input/output error) from io_uring_setup: the reason is not known")
    }

    /// Of a refused ring no features are reported: the cause is said once.
    @Test func refusalHidesFeatures() {
        var facts = fitMachine()
        facts.ring = .refused(errno: EPERM)
        let report = DoctorReport(facts: facts)
        #expect(!report.checks.contains { $0.name == "io_uring features" })
        #expect(report.exitCode == 0)
        var needs = DoctorNeeds()
        needs.backend = .uring
        let demanding = DoctorReport(facts: facts, needs: needs)
        #expect(demanding.exitCode == 1)
        #expect(demanding.failures.map(\.name) == ["io_uring"])
    }

    // MARK: Features

    private func without(_ missing: Set<RingFeature>, _ backend: ServerOptions.Backend = .uring) throws -> DoctorCheck {
        var needs = DoctorNeeds()
        needs.backend = backend
        return try check("io_uring features", needs: needs) { $0.ring = .available(Set(RingFeature.allCases).subtracting(missing)) }
    }

    @Test(arguments: RingFeature.allCases)
    func eachMissingFeatureIsNamedWithItsRelease(feature: RingFeature) throws {
        let found = try without([feature])
        #expect(found.state == (feature.isRequired ? .failed : .warning))
        #expect(found.found.hasSuffix("without \(feature.rawValue) (\(feature.since))"))
        #expect(found.remedy == "run Linux \(max(feature.since, feature.isRequired ? .floor : feature.since)) or newer")
    }

    @Test func requiredOnesAreNamedBeforeHelpfulOnes() throws {
        let found = try without([.bufferRings, .deferredTaskrun])
        #expect(found.state == .failed)
        #expect(found.found == "without buffer rings (5.19)")
        let usual = try without([.bufferRings, .deferredTaskrun], .automatic)
        #expect(usual.state == .warning)
        #expect(usual.found == "without buffer rings (5.19); serving with epoll, which costs more CPU per request")
    }

    @Test func severalHelpfulOnesAskForTheNewestRelease() throws {
        let found = try without([.deferredTaskrun, .noSubmissionArray])
        #expect(found.found == "all required; slower without DEFER_TASKRUN (6.1), NO_SQARRAY (6.6)")
        #expect(found.remedy == "run Linux 6.6 or newer")
    }
}

@Suite struct DoctorLimitTests {
    /// 2 loops × 8 + 64 beside the connections.
    @Test func openFilesAtTheirEdge() throws {
        var needs = DoctorNeeds()
        needs.connections = 1000
        #expect(try check("open files", needs: needs) { $0.openFiles = ResourceLimit(soft: 64, hard: 1080) }.state == .ok)
        let short = try check("open files", needs: needs) { $0.openFiles = ResourceLimit(soft: 64, hard: 1079) }
        #expect(short.state == .warning)
        #expect(short.found == "soft 64, hard 1079")
        #expect(short.needed == "1080 for 1000 connections")
        #expect(
            short.remedy
                == "set LimitNOFILE=1080 (ulimit -n, docker --ulimit nofile=1080), or lower limits.connections to 999")
    }

    @Test func noDescriptorForAnyConnectionFails() throws {
        #expect(try check("open files") { $0.openFiles = ResourceLimit(soft: 80, hard: 80) }.state == .failed)
        #expect(try check("open files") { $0.openFiles = ResourceLimit(soft: 81, hard: 81) }.state == .warning)
        #expect(try check("open files") { $0.openFiles = nil }.state == .warning)
        #expect(try check("open files") { $0.openFiles = ResourceLimit(soft: nil, hard: nil) }.found == "soft unlimited, hard unlimited")
    }

    @Test func ceilingOfOpenFilesIsNamedWhereItIsInTheWay() throws {
        let found = try check("open files") {
            $0.openFiles = ResourceLimit(soft: 1024, hard: 4096)
            $0.openFilesCeiling = 65_536
        }
        #expect(found.remedy?.contains("after sysctl -w fs.nr_open=100080, which is 65536") == true)
    }

    @Test func absurdNeedsDoNotTrap() {
        var needs = DoctorNeeds()
        needs.connections = .max
        needs.upstreamConnections = .max
        needs.registeredBytesPerLoop = .max
        needs.listenBacklog = .max
        let report = DoctorReport(facts: fitMachine(), needs: needs)
        #expect(report.failures.map(\.name) == ["memlock"])
    }

    @Test func lockedMemory() throws {
        var needs = DoctorNeeds()
        needs.registeredBytesPerLoop = 6 << 20
        let short = try check("memlock", needs: needs) { _ in }
        #expect(short.state == .failed)
        #expect(short.found == "8 MiB")
        #expect(short.needed == "12 MiB of registered buffers")
        #expect(short.remedy == "set LimitMEMLOCK=12582912 (ulimit -l, docker --ulimit memlock=12582912)")
        #expect(try check("memlock", needs: needs) { $0.process.effectiveCapabilities = 1 << 14 }.state == .ok)
        #expect(try check("memlock", needs: needs) { $0.lockedMemory = ResourceLimit(soft: nil, hard: nil) }.found == "unlimited")
        #expect(try check("memlock", needs: needs) { $0.lockedMemory = ResourceLimit(soft: 12 << 20, hard: nil) }.state == .ok)
        #expect(try check("memlock", needs: needs) { $0.lockedMemory = nil }.state == .warning)
        #expect(try check("memlock") { $0.lockedMemory = nil }.state == .ok)
        #expect(try check("memlock") { $0.lockedMemory = ResourceLimit(soft: 0, hard: 0) }.state == .ok)
    }

    @Test func backlogs() throws {
        let listen = try check("listen backlog") { $0.listenBacklogMax = 128 }
        #expect(listen.found == "net.core.somaxconn is 128")
        #expect(listen.remedy == "sysctl -w net.core.somaxconn=4096")
        let syn = try check("SYN backlog") { $0.synBacklogMax = 1023 }
        #expect(syn.remedy == "sysctl -w net.ipv4.tcp_max_syn_backlog=1024")
        #expect(try check("SYN backlog") { $0.synBacklogMax = 1024 }.state == .ok)
        #expect(try check("SYN backlog") { $0.synBacklogMax = nil }.state == .warning)
    }

    @Test func localPortsMatterToProxiesOnly() throws {
        var needs = DoctorNeeds()
        needs.upstreamConnections = 28_232
        #expect(try check("local ports", needs: needs) { _ in }.state == .ok)
        needs.upstreamConnections = 28_233
        #expect(try check("local ports", needs: needs) { _ in }.found == "28232 (32768-60999)")
        #expect(try check("local ports", needs: needs) { $0.localPorts = nil }.state == .warning)
        #expect(!DoctorReport(facts: fitMachine()).checks.contains { $0.name == "local ports" })
    }

    @Test func memoryLimit() throws {
        var needs = DoctorNeeds()
        needs.connections = 1024
        let limit = UInt64(2 * 32 << 20) + 1024 * 6 << 10
        let file = "/sys/fs/cgroup/a/memory.max"
        #expect(try check("memory", needs: needs) { $0.memoryLimit = .init(bytes: limit, file: file) }.state == .ok)
        let short = try check("memory", needs: needs) { $0.memoryLimit = .init(bytes: limit - 1, file: file) }
        #expect(short.state == .warning)
        #expect(short.found == "69.9 MiB in \(file)")
        #expect(short.needed == "about 70 MiB for 1024 idle connections")
    }
}

@Suite struct DoctorMachineTests {
    @Test func loopsThatCannotBeFail() throws {
        var needs = DoctorNeeds()
        needs.loops = .cores([0, 7])
        let found = try check("loops", needs: needs) { _ in }
        #expect(found.state == .failed)
        #expect(found.found == "loops: core 7 is outside the affinity mask (taskset, cpuset); usable: 0,1")
        #expect(found.needed == "0,7")
    }

    @Test func quotaIsSaid() throws {
        let found = try check("loops") {
            $0.machine.quota = CPUQuota(version: .v1, quotaUs: 50_000, periodUs: 100_000, directory: "/sys/fs/cgroup/cpu/x")
        }
        #expect(found.state == .ok)
        #expect(found.found == "loops: 1, not pinned: cgroup v1 quota 0.5 CPUs in /sys/fs/cgroup/cpu/x, rounded to 1")
    }

    @Test func ignoredFilesAreAWarningSiblingsAreNot() throws {
        let damaged = try check("loops") { $0.machine.notes = ["/x holds '?': ignored"] }
        #expect(damaged.state == .warning)
        #expect(damaged.found == "loops: 2, cores 0,1: affinity mask; /x holds '?': ignored")
        #expect(try check("loops") { $0.machine.physicalCores = [[0, 1]] }.state == .ok)
    }

    @Test func clockSource() throws {
        #expect(try check("clock source") { $0.clockSource = "hpet" }.state == .warning)
        #expect(try check("clock source") { $0.clockSource = nil }.state == .warning)
        #expect(try check("clock source") { $0.clockSource = "arch_sys_counter" }.state == .ok)
    }
}

@Suite struct DoctorReportTests {
    @Test func textIsAlignedWithRemediesBelow() {
        let lines = DoctorReport.lines(of: [
            DoctorCheck(name: "kernel", state: .ok, found: "Linux 6.1", needed: "5.19", remedy: nil),
            DoctorCheck(name: "open files", state: .warning, found: "3", needed: "4", remedy: "raise it"),
            DoctorCheck(name: "io_uring", state: .failed, found: "EPERM", needed: "allowed", remedy: "allow it"),
        ])
        #expect(
            lines == """
                ok       kernel      Linux 6.1 (needed: 5.19)
                warning  open files  3 (needed: 4)
                         remedy: raise it
                failed   io_uring    EPERM (needed: allowed)
                         remedy: allow it

                """)
    }

    @Test func countLineClosesTheText() {
        var facts = fitMachine()
        facts.clockSource = "hpet"
        facts.ring = .refused(errno: EPERM)
        #expect(DoctorReport(facts: facts).text.hasSuffix("\n10 checks: 8 ok, 2 warnings, 0 failed\n"))
        facts.ring = .refused(errno: EMFILE)
        #expect(DoctorReport(facts: facts).text.hasSuffix("\n10 checks: 8 ok, 1 warning, 1 failed\n"))
    }

    @Test func jsonEscapes() {
        var facts = fitMachine()
        facts.clockSource = "a\"b\\c\n\u{1}é"
        let json = DoctorReport(facts: facts).json
        #expect(json.hasPrefix(#"{"ok":10,"warnings":1,"failed":0,"checks":[{"name":"kernel","state":"ok","found":"Linux 6.12.9-amd64","#))
        #expect(json.contains(#""found":"a\"b\\c\n\u0001é","needed":"#))
        #expect(json.contains(#""remedy":null}"#))
        #expect(json.hasSuffix("]}\n"))
        #expect(!json.dropLast().contains("\n"))
    }

    @Test(arguments: [
        (UInt64(0), "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (8 << 20, "8 MiB"), (.max, "16777215.9 TiB"),
    ])
    func bytes(count: UInt64, text: String) {
        #expect(byteText(count) == text)
    }
}

@Suite struct DoctorFactsTests {
    private func gather(_ contents: [String: String]) -> DoctorFacts {
        let tree = TemporaryTree(contents)
        return withExtendedLifetime(tree) {
            DoctorFacts.gather(files: tree.files, affinity: [0], ring: .refused(errno: ENOSYS), openFiles: nil, lockedMemory: nil)
        }
    }

    @Test func readsEachFile() {
        let facts = gather([
            "/proc/sys/kernel/osrelease": "6.1.0\n", "/proc/sys/kernel/io_uring_disabled": "1\n", "/proc/sys/kernel/io_uring_group": "-1\n",
            "/proc/self/status": "Name:\tx\nGid:\t1\t2\t3\t4\nGroups:\t5 6 \nSeccomp:\t2\nCapEff:\t0000000000204000\n",
            "/proc/sys/fs/nr_open": "1048576\n", "/proc/sys/net/core/somaxconn": "4096\n", "/proc/sys/net/ipv4/tcp_max_syn_backlog": "512\n",
            "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n", "/proc/self/cgroup": "0::/\n",
            "/proc/self/mountinfo": "1 1 0:1 / /cg rw - cgroup2 none rw\n", "/cg/memory.max": "4096\n",
            "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        ])
        #expect(facts.kernelRelease == "6.1.0")
        #expect(facts.ioUringDisabled == 1)
        #expect(facts.ioUringGroup == -1)
        #expect(facts.process.seccomp == .filter)
        #expect(facts.process.groups == [2, 5, 6])
        #expect(facts.process.has(.administrate) && facts.process.has(.lockMemory))
        #expect(facts.openFilesCeiling == 1_048_576)
        #expect(facts.listenBacklogMax == 4096)
        #expect(facts.synBacklogMax == 512)
        #expect(facts.localPorts == 32_768...60_999)
        #expect(facts.memoryLimit == .init(bytes: 4096, file: "/cg/memory.max"))
        #expect(facts.clockSource == "tsc")
        #expect(facts.transparentHugePages == "madvise")
    }

    @Test func nothingReadableIsJudgedWithoutATrap() {
        let facts = gather([:])
        #expect(facts.kernelRelease == nil && facts.localPorts == nil && facts.memoryLimit == nil && facts.process.seccomp == nil)
        #expect(DoctorReport(facts: facts).exitCode == 0)
        var needs = DoctorNeeds()
        needs.backend = .uring
        #expect(DoctorReport(facts: facts, needs: needs).exitCode == 1)
    }

    @Test(arguments: ["", "1", "60999 32768", "1 65536", "-1 5", "a b", "1 2 3"])
    func damagedPortRange(text: String) {
        #expect(gather(["/proc/sys/net/ipv4/ip_local_port_range": text]).localPorts == nil)
    }

    @Test(arguments: ["", "Seccomp:", "Seccomp:\t9", "CapEff:\tzz", "Gid:\t1", ":\n::", "CapEff:\tffffffffffffffffff"])
    func damagedStatus(text: String) {
        let facts = ProcessFacts(status: text)
        #expect(facts.seccomp == nil && facts.groups.isEmpty && facts.effectiveCapabilities == 0)
    }
}

@Suite struct LiveMachineTests {
    /// The probe's answers must hang together on any kernel that runs these tests.
    @Test func probeAgreesWithItself() throws {
        guard case .available(let features) = RingProbe.live() else {
            // Then the report says so, with a cause.
            #expect(DoctorReport.live().failures.contains { $0.name == "io_uring" })
            return
        }
        #expect(features.contains(.poll))
        if features.contains(.deferredTaskrun) { #expect(features.contains(.singleIssuer)) }
        if features.contains(.incrementalBuffers) { #expect(features.contains(.bufferRings)) }
        let release = try #require(SystemFiles.live.value("/proc/sys/kernel/osrelease"))
        let version = try #require(KernelVersion(release: release))
        // Mainline numbers: a kernel of that release has what came with it.
        for feature in RingFeature.allCases where feature.since <= version { #expect(features.contains(feature), "\(feature)") }
    }

    @Test func probesLeaveNoDescriptor() throws {
        func ringDescriptors() -> Int {
            (0..<1024).count { (descriptor: Int) -> Bool in
                var buffer = [CChar](repeating: 0, count: 64)
                // The array owns the buffer through the call.
                let length = unsafe readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count - 1)
                guard length > 0 else { return false }
                return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) == "anon_inode:[io_uring]"
            }
        }
        // Other tests of this process may hold rings; what ours leave would add up.
        let before = ringDescriptors()
        for _ in 0..<20 { _ = RingProbe.live() }
        #expect(ringDescriptors() < before + 20)
    }

    @Test func limitsAreReadAndRaised() async throws {
        let limit = try #require(ResourceLimit.openFiles())
        #expect(ResourceLimit.lockedMemory() != nil)
        #expect(try ResourceLimit.raiseOpenFiles() == ResourceLimit(soft: limit.hard, hard: limit.hard))
        #expect(ResourceLimit.openFiles()?.soft == limit.hard)
    }
}
