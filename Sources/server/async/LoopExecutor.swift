// LoopExecutor: runs the jobs of Swift's tasks on a loop's thread, between completions. One per loop, and for its tasks executor of both kinds: they start on it,
// and come back to it after whatever they awaited.

internal import Glibc
internal import Synchronization

/// Jobs come from the loop's own thread (a continuation that a completion resumed, `Task.yield`) without a lock, from others with one and a message that wakes
/// the loop.
package final class LoopExecutor: TaskExecutor, SerialExecutor, @unchecked Sendable {
    private let port: LoopPort
    private let owner: UInt
    /// The loop's thread only.
    private var local: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var isClosed = false
    private var isRunning = false
    /// Workers whose handlers have returned since `runJobs` was called last, later than their call. The loop's thread only.
    private(set) var returned: [AsyncWorker] = []
    /// Workers whose task has not ended. The loop's thread only.
    private(set) var workers = 0
    private struct Remote {
        var jobs: [UnownedJob] = []
        var isClosed = false
    }
    private let remote = Mutex(Remote())

    /// On the loop's thread.
    init(port: LoopPort) {
        self.port = port
        owner = UInt(pthread_self())
        local.reserveCapacity(64)
        running.reserveCapacity(64)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if UInt(pthread_self()) == owner, !isClosed { return local.append(job) }
        let (isFirst, isClosed) = remote.withLock { remote in
            if !remote.isClosed { remote.jobs.append(job) }
            return (remote.jobs.count == 1, remote.isClosed)
        }
        // The loop has ended: whatever is left of its tasks runs elsewhere, to its end.
        if isClosed { return runElsewhere(job) }
        if isFirst { port.post(.jobs) }
    }

    private func runElsewhere(_ job: UnownedJob) {
        globalConcurrentExecutor.enqueue(ExecutorJob(job))
    }

    /// On the loop's thread: whether it must not sleep.
    var hasJobs: Bool { !local.isEmpty }

    /// Takes up what other threads enqueued. On the loop's thread.
    func takeRemote() {
        remote.withLock { remote in
            local.append(contentsOf: remote.jobs)
            remote.jobs.removeAll(keepingCapacity: true)
        }
    }

    /// Most rounds of jobs that make each other before completions have their turn again: a task that yields for ever must not hold the loop.
    private static let roundsMax = 16

    /// Runs what is there, and what comes of it. On the loop's thread; within a job it does nothing: who called that one goes on.
    func runJobs() {
        guard !isRunning else { return }
        isRunning = true
        defer { isRunning = false }
        var rounds = 0
        while !local.isEmpty, rounds < Self.roundsMax {
            swap(&local, &running)
            for job in running { unsafe job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor()) }
            running.removeAll(keepingCapacity: true)
            rounds += 1
        }
    }

    /// Told by a worker, within a job.
    func handlerReturned(_ worker: AsyncWorker) { if !isClosed { returned.append(worker) } }

    func workerBegins() { workers += 1 }
    /// Told by a worker, as the last thing its task does.
    func workerEnds() { if !isClosed { workers -= 1 } }

    func takeReturned() -> [AsyncWorker] {
        defer { returned = [] }
        return returned
    }

    /// The loop ends. On its thread; jobs that come later run elsewhere.
    func close() {
        isClosed = true
        let late = remote.withLock { remote in
            remote.isClosed = true
            defer { remote.jobs = [] }
            return remote.jobs
        }
        for job in local + late { runElsewhere(job) }
        local = []
    }
}
