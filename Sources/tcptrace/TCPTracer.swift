// TCPTracer: a program in the kernel that counts the lives and round trips of a cgroup's TCP connections (CShims/CUringBPF/tcptrace.bpf.c), and what it has counted. Owned by whoever wants the
// figures; any thread. The program goes with this object, and with the process however that ends: only its descriptors hold it.

internal import CUringBPF
internal import Glibc
internal import UringBase

/// Why there is no tracer, in a sentence with the remedy.
package struct TCPTracerFailure: Error, CustomStringConvertible, Sendable {
    package let description: String
}

package final class TCPTracer: Sendable {
    /// All counts of all ports: room for 60 ports with every round trip there is, and for thousands as they are. What finds no room is counted as lost. 1 MiB of the kernel's memory.
    package static let entriesMax: UInt32 = 16_384
    /// What the verifier may say.
    private static let logBytes = 16 * 1024

    /// The directory of the cgroup.
    package let cgroup: String
    private let counts: Int32
    private let lost: Int32
    /// Holds the program in its place.
    private let link: Int32

    /// Begins to count.
    /// - Parameter cgroup: a directory below a mounted cgroup2; sockets of it and of the groups below count from now on, with those of every process in them. A socket belongs to the group that its
    ///   maker was in.
    package init(cgroup: String) throws(TCPTracerFailure) {
        self.cgroup = cgroup
        var opened: [Int32] = []
        func keep(_ code: Int32, _ what: String) throws(TCPTracerFailure) -> Int32 {
            guard code >= 0 else {
                for descriptor in opened { close(descriptor) }
                throw TCPTracerFailure(description: Self.sentence(what, -code))
            }
            opened.append(code)
            return code
        }
        let directory = unsafe open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        let group = try keep(directory >= 0 ? directory : -errno, "opening \(cgroup)")
        let counts = try keep(unsafe ur_bpf_map(1, 8, Self.entriesMax, "tcp_counts"), "making a map for eBPF")
        let bounds = try keep(unsafe ur_bpf_map(0, 4 * UInt32(RoundTripScale.buckets), 1, "tcp_bounds"), "making a map for eBPF")
        let lost = try keep(unsafe ur_bpf_map(0, 8, 1, "tcp_lost"), "making a map for eBPF")
        // 1 s in ns fits.
        let scale = (0..<RoundTripScale.buckets).map { UInt32(RoundTripScale.lowerBound($0)) }
        // SAFETY: the kernel reads the array during the call.
        let filled = unsafe scale.withUnsafeBytes { unsafe ur_bpf_map_set(bounds, 0, $0.baseAddress) }
        if filled < 0 { _ = try keep(filled, "filling a map of eBPF") }
        var log = [CChar](repeating: 0, count: Self.logBytes)
        let loaded = unsafe log.withUnsafeMutableBufferPointer { unsafe ur_tcptrace_load(counts, bounds, lost, $0.baseAddress, UInt32(Self.logBytes)) }
        let said = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: "\n").last.map { ": \($0)" } ?? ""
        let program = try keep(loaded, "loading an eBPF program\(said)")
        let link = try keep(ur_tcptrace_attach(program, group), "attaching an eBPF program to \(cgroup)")
        // The link holds the program, and the program its maps.
        for descriptor in opened where ![counts, lost, link].contains(descriptor) { close(descriptor) }
        (self.counts, self.lost, self.link) = (counts, lost, link)
    }

    deinit { for descriptor in [link, counts, lost] { close(descriptor) } }

    static func sentence(_ what: String, _ code: Int32) -> String {
        let reason =
            switch code {
            case EPERM, EACCES: "not permitted: CAP_BPF and CAP_NET_ADMIN are needed"
            case ENOSYS, EOPNOTSUPP: "this kernel has no eBPF of that kind (CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF)"
            case EBADF, EINVAL: "refused: is it a directory of a cgroup of version 2, and the kernel 5.7 or newer?"
            case ENOENT, ENOTDIR: "there is no such directory: is cgroup2 mounted?"
            case ENOMEM, EMFILE, ENFILE: "no memory or descriptor was left (errno \(code))"
            default: "errno \(code)"
            }
        return "\(what): \(reason)"
    }

    /// What was counted so far. Some hundred system calls.
    package func read() -> TCPTrace {
        var trace = TCPTrace()
        var missed: UInt64 = 0
        if unsafe ur_bpf_map_get(lost, 0, &missed) == 0 { trace.lost = missed }
        var (key, next): (UInt32, UInt32) = (0, 0)
        var isFirst = true
        // Nothing is ever removed: every key comes once, and those that are added meanwhile perhaps.
        for _ in 0..<Self.entriesMax {
            guard (isFirst ? unsafe ur_bpf_map_next(counts, nil, &next) : unsafe ur_bpf_map_next(counts, &key, &next)) == 0 else { break }
            var value: UInt64 = 0
            if unsafe ur_bpf_map_get(counts, next, &value) == 0 { trace.add(key: next, value) }
            (key, isFirst) = (next, false)
        }
        trace.sort()
        return trace
    }
}
