// Where this process stands in the cgroup hierarchies, and the tightest limits from there up to the mounted root.
// Owns no state; reads through SystemFiles at start-up and for `uringd doctor`, on the calling thread.

/// One hierarchy that carries a controller: the process's own directory first, then each ancestor up to the mount point.
package struct ControlGroupPath: Hashable, Sendable {
    package let version: CPUQuota.Version
    package let directories: [String]
}

/// Reads cgroup v1, v2 and hybrid set-ups (cgroups(7), "/proc/[pid]/cgroup" and mountinfo in proc(5)).
package struct ControlGroups: Sendable {
    let files: SystemFiles
    /// Files that were there and could not be used, for the log: they are ignored, because a damaged file must not keep a server from
    /// starting.
    package private(set) var notes: [String] = []

    package init(files: SystemFiles) {
        self.files = files
    }

    /// The tightest CPU quota of the process's cgroup and all its ancestors, in v1 and v2 alike; nil when there is none.
    package mutating func cpuQuota() -> CPUQuota? {
        var tightest: CPUQuota?
        for path in paths(controller: "cpu") {
            for directory in path.directories {
                let found = path.version == .v2 ? quotaV2(directory) : quotaV1(directory)
                guard let found else { continue }
                if let current = tightest, !found.isTighter(than: current) { continue }
                tightest = found
            }
        }
        return tightest
    }

    /// The tightest memory limit in bytes and the file that says so; nil when there is none.
    package mutating func memoryLimit() -> (bytes: UInt64, file: String)? {
        var tightest: (bytes: UInt64, file: String)?
        for path in paths(controller: "memory") {
            for directory in path.directories {
                let file = directory + (path.version == .v2 ? "/memory.max" : "/memory.limit_in_bytes")
                guard let text = text(file), text != "max" else { continue }
                guard let bytes = UInt64(text) else {
                    note(file, "holds '\(excerpt(text))', not a number of bytes")
                    continue
                }
                // v1 writes "no limit" as the largest page-aligned Int64.
                if bytes >= 1 << 62 { continue }
                if let current = tightest, current.bytes <= bytes { continue }
                tightest = (bytes, file)
            }
        }
        return tightest
    }

    /// The directory of a process's cgroup of version 2; nil when no such hierarchy is mounted or the process is in none that can be seen from here (then `notes` says why).
    /// - Parameter process: its number, or `self`.
    package mutating func unified(process: String) -> String? {
        let before = notes.count
        let path = paths(controller: "", process: process).first { $0.version == .v2 }
        // A group outside the mounted part has no directory of its own here.
        guard notes.count == before else { return nil }
        return path?.directories.first { !$0.isEmpty }
    }

    // MARK: Limits of one directory

    private mutating func quotaV2(_ directory: String) -> CPUQuota? {
        let file = directory + "/cpu.max"
        guard let text = text(file) else { return nil }
        let fields = text.split(separator: " ")
        if fields.count == 2, fields[0] == "max", UInt64(fields[1]) != nil { return nil }
        guard fields.count == 2, let quota = UInt64(fields[0]), let period = UInt64(fields[1]),
            let limit = CPUQuota(version: .v2, quotaUs: quota, periodUs: period, directory: directory)
        else {
            note(file, "holds '\(excerpt(text))', not a quota and a period")
            return nil
        }
        return limit
    }

    private mutating func quotaV1(_ directory: String) -> CPUQuota? {
        let quotaFile = directory + "/cpu.cfs_quota_us"
        guard let quotaText = text(quotaFile), quotaText != "-1" else { return nil }
        let periodFile = directory + "/cpu.cfs_period_us"
        guard let periodText = text(periodFile) else {
            note(periodFile, "is missing beside cpu.cfs_quota_us")
            return nil
        }
        guard let quota = UInt64(quotaText), let period = UInt64(periodText),
            let limit = CPUQuota(version: .v1, quotaUs: quota, periodUs: period, directory: directory)
        else {
            note(quotaFile, "holds '\(excerpt(quotaText))' with period '\(excerpt(periodText))', not a quota and a period")
            return nil
        }
        return limit
    }

    // MARK: Finding the directories

    /// The hierarchies that may carry the controller. In a hybrid set-up both are answered; only one of them has its files.
    private mutating func paths(controller: String, process: String = "self") -> [ControlGroupPath] {
        guard let memberships = text("/proc/\(process)/cgroup"), let mountText = text("/proc/self/mountinfo") else { return [] }
        let mounts = mountText.split(separator: "\n").compactMap(Mount.init(line:))
        var paths: [ControlGroupPath] = []
        for line in memberships.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[2].first == "/" else {
                note("/proc/\(process)/cgroup", "has the line '\(excerpt(String(line)))'")
                continue
            }
            let version: CPUQuota.Version
            if fields[0] == "0", fields[1].isEmpty {
                version = .v2
            } else if fields[1].split(separator: ",").contains(Substring(controller)) {
                version = .v1
            } else {
                continue
            }
            let candidates = mounts.filter { $0.carries(version, controller: controller) }
            if let path = locate(group: String(fields[2]), version: version, mounts: candidates) { paths.append(path) }
        }
        return paths
    }

    /// A mount shows the part of the hierarchy below its root. Without a cgroup namespace a container's mount has the root
    /// `/docker/ID` and the process's path begins with it; with a namespace both are `/`; a path that begins with `/..` lies outside.
    private mutating func locate(group: String, version: CPUQuota.Version, mounts: [Mount]) -> ControlGroupPath? {
        let below = mounts.compactMap { mount in mount.relative(group).map { (mount, $0) } }
        if let (mount, relative) = below.max(by: { $0.0.root.utf8.count < $1.0.root.utf8.count }) {
            return ControlGroupPath(version: version, directories: ancestry(of: relative, in: mount.point))
        }
        guard let mount = mounts.first else { return nil }
        notes.append("cgroup \(group) is outside the part mounted at \(mount.point): only the limits of that directory are known")
        return ControlGroupPath(version: version, directories: [mount.point])
    }

    private func ancestry(of relative: String, in mountPoint: String) -> [String] {
        let base = mountPoint == "/" ? "" : mountPoint
        var components = relative.split(separator: "/")
        var directories: [String] = []
        while !components.isEmpty {
            directories.append(base + "/" + components.joined(separator: "/"))
            components.removeLast()
        }
        return directories + [base]
    }

    // MARK: Text and notes

    /// The trimmed text, or nil: silently when the file does not exist, with a note when it cannot be read.
    private mutating func text(_ path: String) -> String? {
        do {
            return String(trimmed(try files.read(path)[...]))
        } catch {
            if error != .absent { note(path, error.explanation) }
            return nil
        }
    }

    private mutating func note(_ path: String, _ problem: String) {
        notes.append("\(path) \(problem): ignored")
    }

    private func excerpt(_ text: String) -> String {
        String(text.prefix(64).map { $0.isNewline ? " " : $0 })
    }
}

/// One line of /proc/self/mountinfo, as far as cgroups need it.
private struct Mount {
    /// The directory of the hierarchy that is mounted.
    let root: String
    /// Where it is mounted.
    let point: String
    let type: Substring
    let superOptions: Substring

    init?(line: Substring) {
        // proc(5): ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL…] - TYPE SOURCE SUPEROPTIONS
        let fields = line.split(separator: " ")
        guard fields.count >= 6, let dash = fields[6...].firstIndex(of: "-"), dash + 3 < fields.count else { return nil }
        root = Mount.unescape(fields[3])
        point = Mount.unescape(fields[4])
        type = fields[dash + 1]
        superOptions = fields[dash + 3]
    }

    func carries(_ version: CPUQuota.Version, controller: String) -> Bool {
        switch version {
        case .v2: type == "cgroup2"
        case .v1: type == "cgroup" && superOptions.split(separator: ",").contains(Substring(controller))
        }
    }

    /// The group's path below this mount's root; nil when it is not below.
    func relative(_ group: String) -> String? {
        if group.split(separator: "/").contains("..") { return nil }
        if root == "/" { return group }
        if group == root { return "/" }
        return group.hasPrefix(root + "/") ? String(group.dropFirst(root.count)) : nil
    }

    /// The kernel writes space, tab, line end and backslash as three octal digits.
    private static func unescape(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
