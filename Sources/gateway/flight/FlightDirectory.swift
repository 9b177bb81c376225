// FlightDirectory: where dumps lie: found or made so that nobody else can read them or have us write elsewhere, and never more files than are wanted. Any thread that may wait for a disk.

internal import Glibc
internal import UringBase

struct FlightDirectory {
    let path: String
    private let descriptor: Int32

    private static let prefix = "uringd-flight-"
    private static let suffix = ".jsonl"

    /// Where dumps go when the configuration does not say: the first directory of systemd's LogsDirectory= or StateDirectory=, otherwise one of this user's own below TMPDIR or /tmp.
    static func standard(_ environment: (String) -> String? = environment) -> String {
        for name in ["LOGS_DIRECTORY", "STATE_DIRECTORY"] {
            if let first = environment(name)?.split(separator: ":").first, first.hasPrefix("/") { return String(first) }
        }
        let base = environment("TMPDIR").flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/tmp"
        return "\(base)/uringd-\(geteuid())"
    }

    static func environment(_ name: String) -> String? {
        // SAFETY: copied at once; the program does not change its environment while threads run.
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// - Parameter path: must exist; nil: `standard`, which is made when it is missing, and must be a directory of this user that no other may write to: whoever else could put something in
    ///   its place could have us write there.
    static func open(_ path: String?, standard: String = standard()) -> Result<FlightDirectory, TextProblem> {
        let place = path ?? standard
        if path == nil, unsafe mkdir(place, 0o700) != 0, errno != EEXIST { return .failure(problem("cannot make the directory", place)) }
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (path == nil ? O_NOFOLLOW : 0)
        let descriptor = unsafe Glibc.open(place, flags)
        guard descriptor >= 0 else { return .failure(problem("cannot open the directory", place)) }
        if path == nil {
            var facts = stat()
            guard unsafe fstat(descriptor, &facts) == 0, facts.st_uid == geteuid(), facts.st_mode & 0o022 == 0 else {
                Glibc.close(descriptor)
                return .failure(TextProblem(reason: "`\(place)` belongs to somebody else, or others may write to it; admin.flight-recorder.directory names another"))
            }
        }
        return .success(FlightDirectory(path: place, descriptor: descriptor))
    }

    func close() { Glibc.close(descriptor) }

    private static func problem(_ what: String, _ path: String) -> TextProblem { TextProblem(reason: "\(what) `\(path)`: \(ConfigFileChecks.reason(errno))") }

    /// `uringd-flight-2026-11-27T22:41:42.123Z-4711-stall.jsonl`: names in the order of time.
    static func name(_ reason: String, unixNs: UInt64, pid: Int32) -> String {
        var seconds = time_t(unixNs / 1_000_000_000)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        func digits(_ value: Int32, _ count: Int = 2) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let (year, month, day) = unsafe (parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday)
        let (hour, minute, second) = unsafe (parts.tm_hour, parts.tm_min, parts.tm_sec)
        let date = "\(digits(year, 4))-\(digits(month))-\(digits(day))"
        let clock = "\(digits(hour)):\(digits(minute)):\(digits(second)).\(digits(Int32(unixNs / 1_000_000 % 1000), 3))"
        return "\(prefix)\(date)T\(clock)Z-\(pid)-\(reason)\(suffix)"
    }

    /// Writes a file that nobody else can read, and removes the oldest beyond `keep`.
    /// - Returns: its path.
    func write(_ bytes: [UInt8], reason: String, unixNs: UInt64, keep: Int) -> Result<String, TextProblem> {
        let name = Self.name(reason, unixNs: unixNs, pid: getpid())
        // First: the disk has room again for the one that comes.
        prune(to: max(0, keep - 1))
        let file = unsafe openat(descriptor, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { return .failure(Self.problem("cannot make", path + "/" + name)) }
        defer { Glibc.close(file) }
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress! + written, $0.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let failure = Self.problem("cannot write", path + "/" + name)
                // A half dump would look like a whole one.
                unsafe unlinkat(descriptor, name, 0)
                return .failure(failure)
            }
            written += count
        }
        return .success(path + "/" + name)
    }

    /// Files that this program made, oldest first.
    func dumps() -> [String] {
        // A descriptor of its own, for closedir closes it.
        let own = unsafe openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let stream = unsafe fdopendir(own) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            // SAFETY: good until the next readdir; the name ends with a NUL within its field.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) } }
            if name.hasPrefix(Self.prefix), name.hasSuffix(Self.suffix) { names.append(name) }
        }
        return names.sorted()
    }

    private func prune(to count: Int) {
        for name in dumps().dropLast(count) { unsafe unlinkat(descriptor, name, 0) }
    }
}
