// ServerLoop: a loop as tasks see it: time, files, sockets and other threads, awaited without leaving it. Any thread may hold one; what it does is done on its loop.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringRing

/// One of the server's loops, for tasks that run on it: async handlers, and the tasks these start.
///
/// What is awaited here is an operation or a timer of the loop's own ring: no other thread is involved, and the task goes on where it was. Calls from elsewhere are carried
/// out on the loop, too, and come back. Everything here ends early with `CancellationError` when its task is cancelled or the server has stopped.
public struct ServerLoop: Sendable {
    let executor: LoopExecutor

    /// The loop that the calling code runs on; nil elsewhere.
    public static var current: ServerLoop? { LoopExecutor.current.map(ServerLoop.init(executor:)) }

    /// For tasks that shall run on this loop: `Task(executorPreference: loop.taskExecutor) { … }`. Handlers and their child tasks do without being told.
    public var taskExecutor: any TaskExecutor { executor }

    /// Waits at least this long, and at most a quarter of a millisecond longer, unless the loop is busy. Costs less than `Task.sleep`, whose timers belong to another thread.
    public nonisolated(nonsending) func sleep(for duration: Duration) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { @concurrent in try await self.sleep(for: duration) } }
        let waits = try executor.makeWaits()
        let result = await waits.sleep(until: waits.deadline(in: duration.nanosecondsClamped))
        if result != 0 { throw try LoopError(result, "sleeping") }
    }

    /// Runs something that blocks, or that computes for long, on a thread outside of all loops, and waits for it.
    ///
    /// Threads are made when they are needed, 64 at most, and end after 10 s without work; what comes beyond that waits its turn.
    /// - Throws: what `body` throws; `OffloadError` when 10,000 are waiting already, or no thread can be made. The task's cancellation does not reach `body`, which runs outside of all tasks (`Task.isCancelled` says
    ///   false there): it is waited for, to its end.
    public nonisolated(nonsending) func offload<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try unsafe await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Result, any Error>) in
            let accepted = BlockingPool.shared.add { unsafe continuation.resume(with: Swift.Result(catching: body)) }
            // Refused work is dropped without having run, so it is resumed once.
            if !accepted { unsafe continuation.resume(throwing: OffloadError()) }
        }
    }
}

extension Request {
    /// The loop that serves this request.
    public var loop: ServerLoop {
        // SAFETY: a worker is alive while its handler runs, a loop while it calls one that is not async.
        if let worker = unsafe context.pointee.worker { return unsafe ServerLoop(executor: worker._withUnsafeGuaranteedRef { $0.executor }) }
        return unsafe ServerLoop(executor: context.pointee.loop._withUnsafeGuaranteedRef { $0.executor })
    }
}

/// `ServerLoop.offload` has more to do than it takes on.
public struct OffloadError: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description = "10,000 pieces of blocking work are waiting already, or no thread can be made for one"
}

/// An operation of the system that failed.
public struct LoopError: Error, CustomStringConvertible, Sendable, Equatable {
    /// As in `errno`, positive: ENOENT, ECONNREFUSED, ETIME when a time limit was reached.
    public let code: Int32
    /// What was tried.
    public let operation: String
    /// Operation and cause.
    public var description: String { "\(operation): \(SystemError.text(of: code))" }

    init(code: Int32, operation: String) { (self.code, self.operation) = (code, operation) }
}

extension LoopError {
    /// The error of a negative result. A cancelled operation is a `CancellationError`.
    init(_ result: Int32, _ operation: @autoclosure () -> String) throws {
        if result == -ECANCELED { throw CancellationError() }
        self.init(code: -result, operation: operation())
    }
}

extension Duration {
    /// 0 for negative ones, `.max` for those that do not fit.
    var nanosecondsClamped: UInt64 {
        let (seconds, attoseconds) = components
        if seconds < 0 || attoseconds < 0 { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return .max }
        // Rounded up: a sleep is never shorter than was asked for.
        let (sum, carried) = product.addingReportingOverflow((UInt64(attoseconds) + 999_999_999) / 1_000_000_000)
        return carried ? .max : sum
    }
}
