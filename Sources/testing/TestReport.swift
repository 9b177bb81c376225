// TestReport: what the server told its reporter. The log is written on whatever thread drives the loop; read from any.

internal import Synchronization

/// One thing that the server reported (`ServerReporter`).
public enum TestReport: Sendable, CustomStringConvertible {
    /// A handler, producer or receiver threw something that is no `HTTPError` or `ResponseError`, or that answers 5xx.
    case handlerFailed(route: String, any Error)
    /// A response field was not sent: its value contains CR, LF or NUL.
    case fieldRefused(route: String)
    /// A producer wrote more or less than the length it had announced.
    case lengthMismatch
    /// A handler held its loop for too long. Simulated time does not pass in handlers: only a test that moves the clock in one sees it.
    case stalled(LoopStall)

    /// The sentence for people.
    public var description: String {
        switch self {
        case .handlerFailed(let route, let error): "the handler of \(route.isEmpty ? "a streamed response" : route) failed: \(error)"
        case .fieldRefused(let route): "a response field of \(route) was refused: its value contains CR, LF or NUL"
        case .lengthMismatch: "a streamed response is longer or shorter than the length it announced"
        case .stalled(let stall): "\(stall.route) held the loop for \(stall.nanoseconds) ns"
        }
    }
}

/// Remembers, and passes on to the application's own reporter.
final class ReportLog: ServerReporter {
    private let next: (any ServerReporter)?
    private let reports = Mutex<[TestReport]>([])

    init(before next: (any ServerReporter)?) { self.next = next }

    var all: [TestReport] { reports.withLock { $0 } }
    func clear() { reports.withLock { $0 = [] } }
    private func add(_ report: TestReport) { reports.withLock { $0.append(report) } }

    func stalled(_ stall: LoopStall) {
        add(.stalled(stall))
        next?.stalled(stall)
    }
    func handlerFailed(_ route: String, _ error: any Error) {
        add(.handlerFailed(route: route, error))
        next?.handlerFailed(route, error)
    }
    func fieldRefused(_ route: String) {
        add(.fieldRefused(route: route))
        next?.fieldRefused(route)
    }
    func lengthMismatch() {
        add(.lengthMismatch)
        next?.lengthMismatch()
    }
}
