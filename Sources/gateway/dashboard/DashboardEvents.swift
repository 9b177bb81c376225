// DashboardEvents: what feeds the dashboard: a thread takes a sample of everything each second, and each page that is open is sent the samples as server-sent events (HTML Living Standard,
// section 9.2) by the administration's loop. Pages share the samples: ten of them cost the serving loops no more than one.

internal import Glibc
internal import UringBase
internal import UringServer
internal import UringTCPTrace

/// On the sampler's thread.
final class DashboardSampler: Sendable {
    private let lastLine = Locked<UInt64>(0)
    private let lastTrace = Locked<TCPTrace?>(nil)

    func sample(_ gateway: Gateway) {
        let last = lastLine.withLock { $0 }
        let lines = gateway.log.lines(after: last)
        if let newest = lines.last { lastLine.withLock { $0 = newest.number } }
        let figures = gateway.figures()
        let before = lastTrace.withLock { last in
            defer { last = figures.tcp }
            return last
        }
        // Of the first second nothing is known: what was counted before it came long ago.
        let traced = figures.tcp.map { now in before.map { before in now.ports.map { $0.since(before[$0.side, $0.number]) } } ?? [] }
        gateway.history.append(
            DashboardSample.make(
                figures, now: Gateway.wallNs(), events: lines, traced: traced))
    }
}

/// On the administration's loop.
enum DashboardEvents {
    /// How often it looks for a new sample: a page is at most this much behind.
    private static let pollMs: UInt32 = 250

    /// - Parameter after: the number of the last sample that the page has; 0: none.
    static func stream(_ gateway: Gateway, after: UInt64, to response: inout Response) {
        response.headers["content-type"] = "text/event-stream"
        response.headers["x-accel-buffering"] = "no"
        response.disableTimeout()
        let history = gateway.history
        let hello = DashboardSample.hello(
            backend: gateway.server.backend == .epoll ? "epoll" : "uring", loops: gateway.server.plan.cores.count, pid: getpid(), startNs: ProcessFigures.current().startNs)
        // A number of another process means nothing here.
        var last = after <= history.last ? after : 0
        var isFirst = true
        // The gateway owns the server of this response, which ends with it.
        response.stream { writer in
            if isFirst {
                writer.write("retry: 1000\nevent: hello\ndata: ")
                writer.write(hello)
                writer.write("\n\n")
                isFirst = false
            }
            while writer.written < ResponseWriter.preferredBytes, let (number, sample) = history.next(after: last) {
                writer.write("id: \(number)\ndata: ")
                writer.write(sample)
                writer.write("\n\n")
                last = number
            }
            return writer.written >= ResponseWriter.preferredBytes ? .more : .wait(milliseconds: pollMs)
        }
    }
}
