// ProcessFigures: what the kernel says of this process, for /metrics. Read from /proc by whoever scrapes; never on a serving loop.

internal import Glibc
internal import UringServer

package struct ProcessFigures: Sendable {
    package var residentBytes: UInt64 = 0
    package var virtualBytes: UInt64 = 0
    package var openDescriptors: UInt64 = 0
    package var descriptorsMax: UInt64 = 0
    package var threads: UInt64 = 0
    package var cpuNs: UInt64 = 0
    /// Since 1970.
    package var startNs: UInt64 = 0

    package static func current() -> ProcessFigures {
        var figures = ProcessFigures()
        let ticks = UInt64(max(1, sysconf(CInt(_SC_CLK_TCK))))
        if let text = try? SystemFiles(root: "").read("/proc/self/stat"), let stat = ProcessStat(text) {
            figures.residentBytes = stat.residentPages * UInt64(max(1, sysconf(CInt(_SC_PAGESIZE))))
            figures.virtualBytes = stat.virtualBytes
            figures.threads = stat.threads
            figures.cpuNs = stat.cpuTicks * (1_000_000_000 / ticks)
            figures.startNs = bootNs() + stat.startTicks * (1_000_000_000 / ticks)
        }
        figures.openDescriptors = descriptors()
        var limit = rlimit()
        if unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { figures.descriptorsMax = UInt64(limit.rlim_cur) }
        return figures
    }

    /// When the machine started, ns since 1970.
    private static func bootNs() -> UInt64 {
        func now(_ clock: clockid_t) -> UInt64 {
            var time = timespec()
            unsafe clock_gettime(clock, &time)
            return UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_nsec)
        }
        let (wall, boot) = (now(CLOCK_REALTIME), now(CLOCK_BOOTTIME))
        return wall > boot ? wall - boot : 0
    }

    /// Entries of /proc/self/fd, but for the one that reads it.
    private static func descriptors() -> UInt64 {
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        // The stream is this function's, and closed once.
        defer { unsafe closedir(directory) }
        var count: UInt64 = 0
        while let entry = unsafe readdir(directory) { if unsafe entry.pointee.d_name.0 != 0x2e { count += 1 } }
        return count > 0 ? count - 1 : 0
    }
}

/// The fields of /proc/self/stat that matter (proc(5)).
struct ProcessStat {
    let cpuTicks: UInt64
    let threads: UInt64
    let startTicks: UInt64
    let virtualBytes: UInt64
    let residentPages: UInt64

    init?(_ text: String) {
        // The second field is the program's name in parentheses, and may have anything in it.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ").map { UInt64($0) }
        // The first here is field 3.
        func field(_ number: Int) -> UInt64? { fields.indices.contains(number - 3) ? fields[number - 3] : nil }
        guard let user = field(14), let system = field(15), let threads = field(20), let start = field(22), let virtual = field(23), let resident = field(24)
        else { return nil }
        (cpuTicks, self.threads, startTicks, virtualBytes, residentPages) = (user + system, threads, start, virtual, resident)
    }
}
