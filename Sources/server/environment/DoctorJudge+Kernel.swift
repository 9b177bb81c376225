// The doctor's checks of the kernel and of io_uring: there, allowed, complete. Pure; any thread.

internal import Glibc
internal import UringRing

extension DoctorJudge {
    var kernelChecks: [DoctorCheck] {
        [kernel, ringAllowed] + ringFeatures
    }

    private var features: Set<RingFeature>? {
        if case .available(let features) = facts.ring { features } else { nil }
    }

    // MARK: Version

    private var kernel: DoctorCheck {
        let name = "kernel"
        let needed = "\(KernelVersion.floor), better \(KernelVersion.recommended) or newer"
        guard let release = facts.kernelRelease, let version = KernelVersion(release: release) else {
            return .warning(
                name, found: facts.kernelRelease.map { "'\($0)', not a release number" } ?? "release cannot be read", needed: needed,
                remedy: "make /proc/sys/kernel/osrelease readable; the io_uring features below count")
        }
        let found = "Linux \(release)"
        if version >= KernelVersion.recommended { return .ok(name, found: found, needed: needed) }
        // Distributions carry newer io_uring code under older numbers: what was probed counts more than the number.
        let isComplete = features.map { $0.isSuperset(of: RingFeature.allCases.filter(\.isRequired)) } ?? false
        let remedy = "run Linux \(KernelVersion.recommended) or newer"
        return version >= (needs.backend == .uring ? KernelVersion.floor : KernelVersion.epollFloor) || isComplete
            ? .warning(name, found: found, needed: needed, remedy: remedy) : .failed(name, found: found, needed: needed, remedy: remedy)
    }

    // MARK: Allowed or blocked, and by what

    private var ringAllowed: DoctorCheck {
        switch facts.ring {
        case .available: .ok("io_uring", found: "allowed", needed: "allowed")
        case .refused(let errno): refusal(errno)
        }
    }

    private func refusal(_ errno: Int32) -> DoctorCheck {
        let (cause, remedy): (String, String) =
            switch errno {
            case EPERM, EACCES: forbidden(errno)
            case ENOSYS: unknownCall
            case ENOMEM:
                (
                    "not enough memory for a ring of two entries",
                    "raise the memory limit of the cgroup (MemoryMax=), or LimitMEMLOCK= on a kernel before 5.12"
                )
            case EMFILE: ("this process has no free descriptor", "raise LimitNOFILE= (ulimit -n)")
            case ENFILE: ("the system has no free descriptor", "raise sysctl fs.file-max")
            default: ("the reason is not known", "report it with this line and the output of uname -a")
            }
        let found = "\(errnoName(errno)) from io_uring_setup: \(cause)"
        // epoll needs memory and descriptors too.
        let isShort = errno == ENOMEM || errno == EMFILE || errno == ENFILE
        if isShort || needs.backend == .uring { return .failed("io_uring", found: found, needed: "allowed", remedy: remedy) }
        return .warning("io_uring", found: found + withEpoll, needed: "allowed", remedy: remedy)
    }

    private var withEpoll: String { "; serving with epoll, which costs more CPU per request" }

    /// EPERM comes from the sysctl, from a seccomp profile or from a security module: the order is the kernel's, profile first, but
    /// the sysctl is certain where it applies, so it is named first.
    private func forbidden(_ errno: Int32) -> (String, String) {
        if facts.ioUringDisabled == 2 {
            return ("kernel.io_uring_disabled is 2, which forbids io_uring to every process", "sysctl -w kernel.io_uring_disabled=0")
        }
        if facts.ioUringDisabled == 1, !mayPassGroupSwitch {
            return groupSwitch
        }
        if facts.process.seccomp == .filter { return ("a seccomp profile forbids it", Self.seccompRemedy) }
        return (
            "neither kernel.io_uring_disabled nor seccomp forbids it, so a security module does",
            "allow io_uring in the SELinux or AppArmor policy of this process"
        )
    }

    private var mayPassGroupSwitch: Bool {
        facts.process.has(.administrate) || facts.ioUringGroup.map { facts.process.groups.contains($0) } ?? false
    }

    private var groupSwitch: (String, String) {
        let group = facts.ioUringGroup ?? -1
        if group < 0 {
            return (
                "kernel.io_uring_disabled is 1 and kernel.io_uring_group names no group",
                "sysctl -w kernel.io_uring_group=GID with a group of this process, or kernel.io_uring_disabled=0"
            )
        }
        return (
            "kernel.io_uring_disabled is 1 and this process is not in group \(group) (kernel.io_uring_group)",
            "add SupplementaryGroups=\(group) (docker: --group-add \(group)), or sysctl -w kernel.io_uring_disabled=0"
        )
    }

    private var unknownCall: (String, String) {
        if facts.process.seccomp == .filter {
            return ("a seccomp profile hides it, or the kernel was built without CONFIG_IO_URING", Self.seccompRemedy)
        }
        return (
            "the kernel was built without CONFIG_IO_URING, or a sandbox such as gVisor stands in for the kernel",
            "run a kernel with CONFIG_IO_URING=y, outside of the sandbox"
        )
    }

    private static let seccompRemedy =
        "allow io_uring_setup, io_uring_enter and io_uring_register: docker run --security-opt seccomp=PROFILE.json, "
        + "Kubernetes seccompProfile Localhost, systemd SystemCallFilter="

    private func errnoName(_ code: Int32) -> String {
        switch code {
        case EPERM: "EPERM"
        case EACCES: "EACCES"
        case ENOSYS: "ENOSYS"
        case ENOMEM: "ENOMEM"
        case EMFILE: "EMFILE"
        case ENFILE: "ENFILE"
        default: "errno \(code) (\(SystemError.text(of: code)))"
        }
    }

    // MARK: Complete

    /// Nothing when io_uring is refused: what it would offer cannot be known, and the refusal is already said.
    private var ringFeatures: [DoctorCheck] {
        guard let features else { return [] }
        let name = "io_uring features"
        let missing = RingFeature.allCases.filter { !features.contains($0) }
        let required = missing.filter(\.isRequired)
        let needed = "all required, better all"
        if let newest = required.map(\.since).max() {
            let found = "without \(list(required))"
            let remedy = "run Linux \(max(newest, KernelVersion.floor)) or newer"
            return [
                needs.backend == .uring
                    ? .failed(name, found: found, needed: needed, remedy: remedy) : .warning(name, found: found + withEpoll, needed: needed, remedy: remedy)
            ]
        }
        if let newest = missing.map(\.since).max() {
            return [
                .warning(
                    name, found: "all required; slower without \(list(missing))", needed: needed,
                    remedy: "run Linux \(newest) or newer")
            ]
        }
        return [.ok(name, found: "all \(RingFeature.allCases.count)", needed: needed)]
    }

    private func list(_ features: [RingFeature]) -> String {
        features.map { "\($0.rawValue) (\($0.since))" }.joined(separator: ", ")
    }
}
