// CPU quota and memory limit from made-up cgroup trees: v1, v2, hybrid, nested, containers, damaged files.

import Testing

@testable import UringServer

/// Lines of /proc/self/mountinfo.
private func mountV2(root: String = "/", at point: String = "/sys/fs/cgroup") -> String {
    "31 23 0:28 \(root) \(point) rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
}
private func mountV1(_ controllers: String, root: String = "/", at point: String) -> String {
    "32 31 0:29 \(root) \(point) rw,relatime - cgroup cgroup rw,\(controllers)\n"
}
private let otherMounts = """
    22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
    23 22 0:21 / /proc rw,nosuid shared:2 master:1 - proc proc rw

    """

@Suite struct CPUQuotaTests {
    private func read(_ contents: [String: String]) -> (quota: CPUQuota?, notes: [String]) {
        let tree = TemporaryTree(contents)
        var groups = ControlGroups(files: tree.files)
        // The tree is removed with its last use.
        return withExtendedLifetime(tree) { (groups.cpuQuota(), groups.notes) }
    }

    private func readV2(_ cpuMax: String) -> (quota: CPUQuota?, notes: [String]) {
        read([
            "/proc/self/cgroup": "0::/a\n", "/proc/self/mountinfo": otherMounts + mountV2(), "/sys/fs/cgroup/a/cpu.max": cpuMax,
        ])
    }

    @Test func noCgroupFilesMeanNoQuota() {
        let (quota, notes) = read([:])
        #expect(quota == nil)
        #expect(notes.isEmpty)
    }

    @Test func v2() {
        let (quota, notes) = readV2("150000 100000\n")
        #expect(quota?.summary == "cgroup v2 quota 1.5 CPUs in /sys/fs/cgroup/a")
        #expect(quota?.loops == 2)
        #expect(notes.isEmpty)
    }

    @Test func v2MaxIsNoQuota() {
        let (quota, notes) = readV2("max 100000\n")
        #expect(quota == nil)
        #expect(notes.isEmpty)
    }

    @Test(arguments: ["", "max", "1", "0 100000", "100000 0", "-1 100000", "a b", "1 2 3", "99999999999999999999 1", "1000000000001 1", "\0\0", "max x"])
    func damagedV2IsIgnoredWithANote(text: String) {
        let (quota, notes) = readV2(text)
        #expect(quota == nil)
        #expect(notes.count == 1)
        #expect(notes.first?.hasPrefix("/sys/fs/cgroup/a/cpu.max holds '") == true)
    }

    @Test func everyCutOfAValidFileIsReadOrNoted() {
        for cut in 0...13 {
            let (quota, notes) = readV2(String("150000 100000".prefix(cut)))
            #expect((quota == nil) == (notes.count == 1))
        }
    }

    @Test func theTightestAncestorWins() {
        let (quota, _) = read([
            "/proc/self/cgroup": "0::/system.slice/gate.service/worker\n", "/proc/self/mountinfo": mountV2(),
            "/sys/fs/cgroup/system.slice/cpu.max": "100000 50000", "/sys/fs/cgroup/system.slice/gate.service/cpu.max": "max 100000",
            "/sys/fs/cgroup/system.slice/gate.service/worker/cpu.max": "400000 100000",
        ])
        #expect(quota?.summary == "cgroup v2 quota 2 CPUs in /sys/fs/cgroup/system.slice")
    }

    @Test func v1WithControllersMountedTogether() {
        let (quota, _) = read([
            "/proc/self/cgroup": "4:memory:/m\n2:cpu,cpuacct:/jobs/one\n1:name=systemd:/\n",
            "/proc/self/mountinfo": mountV1("memory", at: "/sys/fs/cgroup/memory") + mountV1("cpu,cpuacct", at: "/sys/fs/cgroup/cpu,cpuacct"),
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "300000\n", "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu,cpuacct/jobs/one/cpu.cfs_period_us": "100000\n",
        ])
        #expect(quota?.summary == "cgroup v1 quota 3 CPUs in /sys/fs/cgroup/cpu,cpuacct/jobs")
    }

    /// `cpuacct` and `cpuset` alone are not the controller `cpu`.
    @Test func v1OtherControllersAreNotTaken() {
        let (quota, _) = read([
            "/proc/self/cgroup": "2:cpuacct:/a\n3:cpuset:/a\n",
            "/proc/self/mountinfo": mountV1("cpuacct", at: "/sys/fs/cgroup/cpuacct") + mountV1("cpuset", at: "/sys/fs/cgroup/cpuset"),
            "/sys/fs/cgroup/cpuacct/a/cpu.cfs_quota_us": "100000", "/sys/fs/cgroup/cpuacct/a/cpu.cfs_period_us": "100000",
        ])
        #expect(quota == nil)
    }

    @Test(arguments: [("0", "100000"), ("100000", "0"), ("x", "100000"), ("100000", "x"), ("-2", "100000"), ("99999999999999999999", "1")])
    func damagedV1IsIgnoredWithANote(quotaText: String, periodText: String) {
        let (quota, notes) = read([
            "/proc/self/cgroup": "1:cpu:/\n", "/proc/self/mountinfo": mountV1("cpu", at: "/sys/fs/cgroup/cpu"),
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": quotaText, "/sys/fs/cgroup/cpu/cpu.cfs_period_us": periodText,
        ])
        #expect(quota == nil)
        #expect(notes.count == 1)
    }

    @Test func v1WithoutPeriodIsNoted() {
        let (quota, notes) = read([
            "/proc/self/cgroup": "1:cpu:/\n", "/proc/self/mountinfo": mountV1("cpu", at: "/sys/fs/cgroup/cpu"),
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
        ])
        #expect(quota == nil)
        #expect(notes == ["/sys/fs/cgroup/cpu/cpu.cfs_period_us is missing beside cpu.cfs_quota_us: ignored"])
    }

    /// systemd's hybrid: cpu on v1, v2 under `unified` without the controller. Then the reverse, with a limit in both.
    @Test func hybrid() {
        let base = [
            "/proc/self/cgroup": "2:cpu:/x\n1:name=systemd:/x\n0::/x\n",
            "/proc/self/mountinfo": mountV1("cpu", at: "/sys/fs/cgroup/cpu") + mountV1("name=systemd", at: "/sys/fs/cgroup/systemd")
                + mountV2(at: "/sys/fs/cgroup/unified"),
            "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "250000", "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
        ]
        #expect(read(base).quota?.summary == "cgroup v1 quota 2.5 CPUs in /sys/fs/cgroup/cpu/x")
        let both = base.merging(["/sys/fs/cgroup/unified/x/cpu.max": "50000 100000"]) { $1 }
        #expect(read(both).quota?.summary == "cgroup v2 quota 0.5 CPUs in /sys/fs/cgroup/unified/x")
    }

    /// Container with a cgroup namespace: the path is `/` and the mounted root is its own group.
    @Test func containerWithNamespace() {
        let (quota, _) = read([
            "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": mountV2(), "/sys/fs/cgroup/cpu.max": "200000 100000",
        ])
        #expect(quota?.summary == "cgroup v2 quota 2 CPUs in /sys/fs/cgroup")
    }

    /// Container without one: the path is the host's, the mount shows only the part below its root.
    @Test func containerWithoutNamespace() {
        let (quota, notes) = read([
            "/proc/self/cgroup": "3:cpu,cpuacct:/docker/abc/inner\n",
            "/proc/self/mountinfo": mountV1("cpu,cpuacct", root: "/docker/abc", at: "/sys/fs/cgroup/cpu"),
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us": "-1",
        ])
        #expect(quota?.summary == "cgroup v1 quota 1 CPU in /sys/fs/cgroup/cpu")
        #expect(notes.isEmpty)
    }

    /// The process was moved outside the namespace's root, or the mount shows another part: no path may leave the mount.
    @Test(arguments: ["/../other", "/elsewhere", "/docker/abcdef"])
    func pathOutsideTheMount(group: String) {
        let (quota, notes) = read([
            "/proc/self/cgroup": "0::\(group)\n", "/proc/self/mountinfo": mountV2(root: "/docker/abc"),
            "/sys/fs/cgroup/cpu.max": "100000 100000", "/sys/fs/other/cpu.max": "1000 100000",
        ])
        #expect(quota?.directory == "/sys/fs/cgroup")
        #expect(notes == ["cgroup \(group) is outside the part mounted at /sys/fs/cgroup: only the limits of that directory are known"])
    }

    /// Of several mounts of one hierarchy, the one with the deepest fitting root maps the path.
    @Test func severalMounts() {
        let (quota, _) = read([
            "/proc/self/cgroup": "0::/a/b\n",
            "/proc/self/mountinfo": mountV2(root: "/z", at: "/z") + mountV2(at: "/host/cgroup") + mountV2(root: "/a", at: "/sys/fs/cgroup"),
            "/sys/fs/cgroup/b/cpu.max": "100000 100000",
        ])
        #expect(quota?.directory == "/sys/fs/cgroup/b")
    }

    @Test func mountPointsWithSpacesAndColonsInGroups() {
        let (quota, _) = read([
            "/proc/self/cgroup": "0::/a:b c\n", "/proc/self/mountinfo": mountV2(at: #"/mnt/c\040groups\134x"#),
            #"/mnt/c groups\x/a:b c/cpu.max"#: "100000 100000",
        ])
        #expect(quota?.directory == #"/mnt/c groups\x/a:b c"#)
    }

    @Test(arguments: ["garbage\n", "0\n", "0::relative\n", ":::::\n", "\n\n", "0::/a"])
    func damagedMembershipNeverTraps(text: String) {
        let (quota, _) = read(["/proc/self/cgroup": text, "/proc/self/mountinfo": mountV2() + "1 2\n- - -\n1 2 3 4 5 6 - cgroup2\n"])
        #expect(quota == nil)
    }

    @Test func everyCutOfMountinfoIsSafe() {
        let line = otherMounts + mountV2(at: #"/c\040g"#)
        for cut in 0...line.count {
            let (quota, _) = read([
                "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": String(line.prefix(cut)), "/c g/cpu.max": "100000 100000",
            ])
            // The mount exists once its file system type, source and some super option are there.
            #expect((quota != nil) == (cut > line.count - "rw,nsdelegate\n".count))
        }
    }

    @Test func unreadableFileIsNoted() {
        let tree = TemporaryTree(["/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": mountV2()])
        tree.write("/sys/fs/cgroup/cpu.max/a-directory-in-its-place", "")
        var groups = ControlGroups(files: tree.files)
        #expect(withExtendedLifetime(tree) { groups.cpuQuota() } == nil)
        #expect(groups.notes == ["/sys/fs/cgroup/cpu.max cannot be read: Is a directory: ignored"])
    }

    @Test func rounding() {
        func loops(_ quota: UInt64, _ period: UInt64) -> Int? {
            CPUQuota(version: .v2, quotaUs: quota, periodUs: period, directory: "/")?.loops
        }
        #expect(loops(1, 100_000) == 1)
        #expect(loops(50_000, 100_000) == 1)
        #expect(loops(100_000, 100_000) == 1)
        #expect(loops(100_001, 100_000) == 2)
        #expect(loops(150_000, 100_000) == 2)
        #expect(loops(CPUQuota.microsecondsMax, 1) == Int(CPUQuota.microsecondsMax))
        #expect(loops(CPUQuota.microsecondsMax + 1, 1) == nil)
        #expect(loops(1, CPUQuota.microsecondsMax + 1) == nil)
        #expect(loops(0, 1) == nil)
        #expect(loops(1, 0) == nil)
    }

    @Test func textOfCPUs() {
        func text(_ quota: UInt64, _ period: UInt64) -> String? {
            CPUQuota(version: .v2, quotaUs: quota, periodUs: period, directory: "/")?.cpusText
        }
        #expect(text(150_000, 100_000) == "1.5")
        #expect(text(125_000, 100_000) == "1.25")
        #expect(text(105_000, 100_000) == "1.05")
        #expect(text(200_000, 100_000) == "2")
        #expect(text(1, CPUQuota.microsecondsMax) == "0.01")
        #expect(text(CPUQuota.microsecondsMax, 1) == "1000000000000")
    }

    @Test func tighterIsExactAtTheEdges() throws {
        let most = CPUQuota.microsecondsMax
        let nearlyOne = try #require(CPUQuota(version: .v2, quotaUs: most - 1, periodUs: most, directory: "/"))
        let one = try #require(CPUQuota(version: .v2, quotaUs: 1, periodUs: 1, directory: "/"))
        #expect(nearlyOne.isTighter(than: one))
        #expect(!one.isTighter(than: nearlyOne))
        #expect(!one.isTighter(than: one))
    }
}

@Suite struct MemoryLimitTests {
    private func read(_ contents: [String: String]) -> (bytes: UInt64?, file: String?, notes: [String]) {
        let tree = TemporaryTree(contents)
        var groups = ControlGroups(files: tree.files)
        return withExtendedLifetime(tree) {
            let limit = groups.memoryLimit()
            return (limit?.bytes, limit?.file, groups.notes)
        }
    }

    @Test func v2TightestAncestor() {
        let found = read([
            "/proc/self/cgroup": "0::/a/b\n", "/proc/self/mountinfo": mountV2(), "/sys/fs/cgroup/a/memory.max": "1048576\n",
            "/sys/fs/cgroup/a/b/memory.max": "max\n",
        ])
        #expect(found.bytes == 1_048_576)
        #expect(found.file == "/sys/fs/cgroup/a/memory.max")
    }

    @Test func v1UnlimitedIsNoLimit() {
        let base = ["/proc/self/cgroup": "4:memory:/m\n", "/proc/self/mountinfo": mountV1("memory", at: "/sys/fs/cgroup/memory")]
        let file = "/sys/fs/cgroup/memory/m/memory.limit_in_bytes"
        #expect(read(base.merging([file: "9223372036854771712\n"]) { $1 }).bytes == nil)
        #expect(read(base.merging([file: "536870912\n"]) { $1 }).bytes == 536_870_912)
        #expect(read(base.merging([file: "-1\n"]) { $1 }).notes.count == 1)
    }
}
