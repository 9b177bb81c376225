// TCPTracing: where a gateway has its round trips from: the TCP tracer in the kernel, or what the kernel says of a sample of its own connections. Any thread.

internal import UringBase
internal import UringServer
internal import UringTCPTrace

enum TCPTracing: Sendable {
    /// `admin.tcp-tracer` is off.
    case off
    case attached(TCPTracer)
    /// It is on and could not be: why.
    case sampling(String)

    /// Begins to trace the cgroup of this process.
    /// - Parameter attach: makes the tracer of a cgroup's directory.
    static func start(
        _ log: OperationalLog, groups: ControlGroups = ControlGroups(files: .live), attach: (String) throws(TCPTracerFailure) -> TCPTracer = { path throws(TCPTracerFailure) in try TCPTracer(cgroup: path) }
    ) -> TCPTracing {
        var groups = groups
        guard let directory = groups.unified(process: "self") else {
            return fallBack(log, "no cgroup of version 2 is mounted that this process is in\(groups.notes.map { "; " + $0 }.joined())")
        }
        do throws(TCPTracerFailure) {
            let tracer = try attach(directory)
            log.info("the TCP tracer counts the connections of the cgroup \(directory)")
            return .attached(tracer)
        } catch {
            return fallBack(log, "\(error)")
        }
    }

    private static func fallBack(_ log: OperationalLog, _ reason: String) -> TCPTracing {
        log.warning("admin.tcp-tracer: \(reason). Round trips come from TCP_INFO of a sample of connections instead; connections and retransmits by port are not counted")
        return .sampling(reason)
    }

    /// Of `uringd_tcp_tracer`.
    var source: String {
        switch self {
        case .off: "off"
        case .attached: "ebpf"
        case .sampling: "tcp_info"
        }
    }

    var trace: TCPTrace? {
        if case .attached(let tracer) = self { return tracer.read() }
        return nil
    }
}
