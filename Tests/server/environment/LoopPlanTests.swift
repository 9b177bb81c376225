// LoopPlan: every selection against made-up machines, the texts users see, and this machine.

import Glibc
import Testing

@testable import UringServer

private func quota(_ quotaUs: UInt64, _ periodUs: UInt64 = 100_000) -> CPUQuota? {
    CPUQuota(version: .v2, quotaUs: quotaUs, periodUs: periodUs, directory: "/sys/fs/cgroup/a")
}

@Suite struct LoopPlanTests {
    // MARK: auto

    @Test func automaticTakesTheAffinityMask() throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: [0, 1]))
        #expect(plan.cores == [0, 1])
        #expect(plan.isPinned)
        #expect(plan.summary == "loops: 2, cores 0,1: affinity mask")
        #expect(plan.notes.isEmpty)
    }

    @Test func automaticWithASmallerQuotaIsNotPinned() throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: [4, 5, 6, 7], quota: quota(150_000)))
        #expect(plan.cores == [4, 5])
        #expect(!plan.isPinned)
        #expect(plan.summary == "loops: 2, not pinned: cgroup v2 quota 1.5 CPUs in /sys/fs/cgroup/a, rounded to 2")
    }

    @Test func wholeQuotaIsNotSaidToBeRounded() throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: [0, 1, 2, 3], quota: quota(300_000)))
        #expect(plan.summary == "loops: 3, not pinned: cgroup v2 quota 3 CPUs in /sys/fs/cgroup/a")
    }

    @Test(arguments: [200_000, 180_000, 6_400_000, CPUQuota.microsecondsMax])
    func quotaAsLargeAsTheMaskChangesNothing(quotaUs: UInt64) throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: [0, 1], quota: quota(quotaUs)))
        #expect(plan.summary == "loops: 2, cores 0,1: affinity mask")
    }

    @Test func tinyQuotaStillGivesALoop() throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: [0, 1], quota: quota(1_000)))
        #expect(plan.summary == "loops: 1, not pinned: cgroup v2 quota 0.01 CPUs in /sys/fs/cgroup/a, rounded to 1")
    }

    @Test func moreCoresThanLoopsMaxAreCapped() throws {
        let plan = try LoopPlan(.automatic, machine: MachineFacts(usable: Array(0..<2000)))
        #expect(plan.cores.count == LoopSelection.loopsMax)
        #expect(plan.summary == "loops: 1024, cores 0-1023: affinity mask, capped at 1024 loops")
    }

    @Test func automaticUsesSiblingsAndSaysSo() throws {
        let machine = MachineFacts(usable: [0, 1, 2, 3], physicalCores: [[0, 1], [2, 3]])
        let plan = try LoopPlan(.automatic, machine: machine)
        #expect(plan.cores == [0, 1, 2, 3])
        #expect(plan.notes == ["4 usable cores are 2 physical ones (SMT): --loops 2 uses one of each"])
    }

    @Test func unknownAffinityIsSaid() throws {
        let online = try LoopPlan(.automatic, machine: MachineFacts(usable: [0, 1], source: .onlineList))
        #expect(online.summary == "loops: 2, cores 0,1: online cores, the affinity mask cannot be read")
        let nothing = try LoopPlan(.automatic, machine: MachineFacts(usable: [0], source: .assumed))
        #expect(nothing.summary.hasPrefix("loops: 1, cores 0: one core assumed"))
    }

    // MARK: a number

    @Test func countTakesOneOfEachPhysicalCoreFirst() throws {
        let machine = MachineFacts(usable: Array(0..<8), physicalCores: [[0, 1], [2, 3], [4, 5], [6, 7]])
        #expect(try LoopPlan(.count(3), machine: machine).cores == [0, 2, 4])
        #expect(try LoopPlan(.count(4), machine: machine).cores == [0, 2, 4, 6])
        #expect(try LoopPlan(.count(5), machine: machine).cores == [0, 1, 2, 4, 6])
        #expect(try LoopPlan(.count(3), machine: machine).summary == "loops: 3, cores 0,2,4: 3 requested")
    }

    @Test func moreLoopsThanCoresWrapAroundWithANote() throws {
        let plan = try LoopPlan(.count(5), machine: MachineFacts(usable: [2, 3]))
        #expect(plan.cores == [2, 3, 2, 3, 2])
        #expect(plan.isPinned)
        #expect(plan.summary == "loops: 5, cores 2,3: 5 requested")
        #expect(plan.notes == ["5 loops share 2 usable cores: each waits for the others"])
    }

    @Test func countAboveTheQuotaIsNotedAndNotPinned() throws {
        let plan = try LoopPlan(.count(4), machine: MachineFacts(usable: Array(0..<8), quota: quota(200_000)))
        #expect(plan.cores.count == 4)
        #expect(!plan.isPinned)
        #expect(plan.notes == [
            "4 loops on cgroup v2 quota 2 CPUs in /sys/fs/cgroup/a: the kernel stops all of them for the rest of each period once it is used up"
        ])
    }

    @Test(arguments: [0, -1, 1025, Int.max, Int.min])
    func countOutsideItsRangeIsRefused(count: Int) throws {
        #expect(throws: LoopPlanError.countOutOfRange(count)) { try LoopPlan(.count(count), machine: MachineFacts(usable: [0])) }
    }

    @Test func countAtItsLimit() throws {
        #expect(try LoopPlan(.count(1024), machine: MachineFacts(usable: [0])).cores.count == 1024)
    }

    // MARK: a list

    @Test func listIsTakenInItsOrderAndPinnedWhateverTheQuota() throws {
        let plan = try LoopPlan(.cores([3, 1]), machine: MachineFacts(usable: [0, 1, 2, 3], quota: quota(100_000)))
        #expect(plan.cores == [3, 1])
        #expect(plan.isPinned)
        #expect(plan.summary == "loops: 2, cores 1,3: requested")
        #expect(plan.notes.count == 1)
    }

    @Test func unusableCoresAreNamedWithTheirReasons() throws {
        let machine = MachineFacts(usable: [0, 1], online: [0, 1, 2, 3], present: Array(0..<6))
        let error = #expect(throws: LoopPlanError.self) { try LoopPlan(.cores([0, 3, 2, 4, 9]), machine: machine) }
        #expect(
            error?.description
                == "loops: cores 2,3 are outside the affinity mask (taskset, cpuset), core 4 is offline, core 9 does not exist; usable: 0,1")
    }

    @Test(arguments: [-1, Int.min, Int.max, 8192])
    func impossibleCoreNumbersAreRefused(core: Int) throws {
        let error = #expect(throws: LoopPlanError.self) { try LoopPlan(.cores([core]), machine: MachineFacts(usable: [0])) }
        #expect(error?.description == "loops: core \(core) does not exist; usable: 0")
    }

    @Test func emptyAndDuplicateListsAreRefused() throws {
        let machine = MachineFacts(usable: [0, 1])
        #expect(throws: LoopPlanError.noCores) { try LoopPlan(.cores([]), machine: machine) }
        #expect(throws: LoopPlanError.duplicateCore(1)) { try LoopPlan(.cores([0, 1, 1]), machine: machine) }
        #expect(throws: LoopPlanError.countOutOfRange(1025)) { try LoopPlan(.cores(Array(0..<1025)), machine: machine) }
    }
}

@Suite struct MachineFactsTests {
    /// The tree is removed with its last use.
    private func gather(_ tree: TemporaryTree, affinity: [Int]?) -> MachineFacts {
        withExtendedLifetime(tree) { MachineFacts.gather(files: tree.files, affinity: affinity) }
    }

    @Test func siblingsOutsideTheMaskDoNotCount() {
        let tree = TemporaryTree([
            "/sys/devices/system/cpu/online": "0-3\n", "/sys/devices/system/cpu/present": "0-7\n",
            "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2\n",
            "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1,3\n",
            "/sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "1,3\n",
        ])
        let facts = gather(tree, affinity: [0, 1, 3])
        #expect(facts.usable == [0, 1, 3])
        #expect(facts.physicalCores == [[0], [1, 3]])
        #expect(facts.online == [0, 1, 2, 3])
        #expect(facts.present == Array(0..<8))
    }

    @Test func damagedTopologyLeavesCoresAlone() {
        let tree = TemporaryTree([
            "/sys/devices/system/cpu/online": "0-\n", "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "1",
            "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "x",
        ])
        let facts = gather(tree, affinity: [0, 1])
        #expect(facts.physicalCores == [[0], [1]])
        #expect(facts.online == nil)
        #expect(facts.notes == ["/sys/devices/system/cpu/online: '0-' is neither a core number nor a range such as 0-3: ignored"])
    }

    @Test func withoutAffinityTheOnlineCoresServe() {
        let tree = TemporaryTree(["/sys/devices/system/cpu/online": "0,2\n"])
        let facts = gather(tree, affinity: nil)
        #expect(facts.usable == [0, 2])
        #expect(facts.source == .onlineList)
        #expect(gather(TemporaryTree(), affinity: nil).source == .assumed)
    }

    @Test func quotaAndItsNotesAreGathered() throws {
        let tree = TemporaryTree([
            "/proc/self/cgroup": "0::/a/b\n", "/proc/self/mountinfo": "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n",
            "/sys/fs/cgroup/a/cpu.max": "150000 100000", "/sys/fs/cgroup/a/b/cpu.max": "?",
        ])
        let plan = try LoopPlan(.automatic, machine: gather(tree, affinity: [0, 1, 2]))
        #expect(plan.summary == "loops: 2, not pinned: cgroup v2 quota 1.5 CPUs in /sys/fs/cgroup/a, rounded to 2")
        #expect(plan.notes == ["/sys/fs/cgroup/a/b/cpu.max holds '?', not a quota and a period: ignored"])
    }
}

@Suite struct ThreadAffinityTests {
    /// On a thread of its own, because the mask belongs to the thread and must not outlive the test.
    private func onOwnThread(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        // The retained box is released by the thread.
        let box = unsafe Unmanaged.passRetained(Box(body))
        let result = unsafe pthread_create(
            &thread, nil, { unsafe Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body(); return nil }, box.toOpaque())
        #expect(result == 0)
        pthread_join(thread, nil)
    }

    @Test func pinningIsSeenByTheMaskAndByThePlan() {
        onOwnThread {
            do {
                let before = try ThreadAffinity.current()
                #expect(before == before.sorted())
                let core = try #require(before.last)
                try ThreadAffinity.pin(to: core)
                #expect(try ThreadAffinity.current() == [core])
                let plan = try LoopPlan(.automatic)
                #expect(plan.cores == [core])
                #expect(plan.summary == "loops: 1, cores \(core): affinity mask")
                #expect(ThreadAffinity.currentThreadID > 0)
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test func pinningToACoreThatDoesNotExistNamesTheCall() {
        onOwnThread {
            let error = #expect(throws: (any Error).self) { try ThreadAffinity.pin(to: CoreList.coreIndexMax) }
            #expect(error.map { "\($0)" } == "sched_setaffinity to core 8191: Invalid argument (errno 22)")
        }
    }
}

@Suite struct SystemFilesTests {
    @Test func boundIsExact() throws {
        let tree = TemporaryTree(["/a": String(repeating: "x", count: 40_000)])
        defer { withExtendedLifetime(tree) {} }
        #expect(try tree.files.read("/a", bytesMax: 40_000).count == 40_000)
        #expect(throws: SystemFiles.Failure.tooLarge(bytesMax: 39_999)) { try tree.files.read("/a", bytesMax: 39_999) }
    }

    @Test func defaultBoundIsMet() throws {
        let tree = TemporaryTree(["/a": String(repeating: "x", count: SystemFiles.fileBytesMax)])
        defer { withExtendedLifetime(tree) {} }
        #expect(try tree.files.read("/a").utf8.count == SystemFiles.fileBytesMax)
        tree.write("/b", String(repeating: "x", count: SystemFiles.fileBytesMax + 1))
        #expect(throws: SystemFiles.Failure.tooLarge(bytesMax: SystemFiles.fileBytesMax)) { try tree.files.read("/b") }
    }

    @Test func failuresAreTold() {
        let tree = TemporaryTree(["/file": ""])
        defer { withExtendedLifetime(tree) {} }
        #expect(throws: SystemFiles.Failure.absent) { try tree.files.read("/none") }
        #expect(throws: SystemFiles.Failure.absent) { try tree.files.read("/file/below") }
        #expect(throws: SystemFiles.Failure.unreadable(errno: EISDIR)) { try tree.files.read("") }
        #expect(tree.files.value("/none") == nil)
        #expect(tree.files.value("/file") == "")
    }
}
