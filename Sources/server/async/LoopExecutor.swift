// LoopExecutor: runs the jobs of Swift's tasks on a loop's thread, between completions. One per loop, and the preference of its tasks: they start on it,
// and come back to it after whatever they awaited.

internal import CUringBase
internal import Glibc
internal import Synchronization

/// What handlers did that their loop has to act upon, outside of jobs.
enum AsyncOutcome {
    /// A handler has returned, later than its call.
    case returned(AsyncWorker)
    /// A handler has begun to write its content.
    case begun(AsyncWorker)
    /// There is more content, or its end.
    case written(AsyncStreamSource)
    /// There is room for more of a body.
    case body(AsyncBodySource)
}

/// Jobs come from the loop's own thread (a continuation that a completion resumed, `Task.yield`) without a lock, from others with one and a message that wakes
/// the loop.
@safe
package final class LoopExecutor: TaskExecutor, @unchecked Sendable {
    private let port: LoopPort
    private let owner: UInt
    /// The loop's thread only.
    private var local: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var isClosed = false
    private var isRunning = false
    /// What has come of jobs. The loop's thread only.
    private var outcomes: [AsyncOutcome] = []
    /// There are jobs or outcomes. Behind a pointer, because the loop asks in every turn; valid as long as this object. The loop's thread only.
    let hasWork: UnsafeMutablePointer<Bool>
    /// The loop is over. Any thread.
    private let hasEnded = Atomic<Bool>(false)
    /// Time and operations that tasks wait for. Made by the loop when it is first asked for: the loop's thread only.
    private(set) var waits: LoopWaits?
    /// Set once, on the loop's thread, before anything else; nil again when the loop is over.
    unowned var loop: Loop?
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
        unsafe hasWork = .allocate(capacity: 1)
        unsafe hasWork.initialize(to: false)
        local.reserveCapacity(64)
        running.reserveCapacity(64)
    }

    deinit { unsafe hasWork.deallocate() }

    /// Whether this is the loop's thread.
    /// - Throws: `CancellationError` when the loop is over: nothing can be done on it.
    func isHere() throws -> Bool {
        if hasEnded.load(ordering: .acquiring) { throw CancellationError() }
        return UInt(pthread_self()) == owner
    }

    /// On the loop's thread, while the loop is there.
    func makeWaits() throws -> LoopWaits {
        if let waits { return waits }
        guard let loop else { throw CancellationError() }
        let made = LoopWaits(loop)
        waits = made
        return made
    }

    /// Runs something on the loop's thread, in its next turn. Any thread.
    func run(_ body: @escaping @Sendable () -> Void) { port.post(.run(body)) }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if UInt(pthread_self()) == owner, !isClosed {
            unsafe hasWork.pointee = true
            return local.append(job)
        }
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

    /// Takes up what other threads enqueued. On the loop's thread.
    func takeRemote() {
        remote.withLock { remote in
            local.append(contentsOf: remote.jobs)
            remote.jobs.removeAll(keepingCapacity: true)
        }
        unsafe hasWork.pointee = true
    }

    /// Most rounds of jobs that make each other before completions have their turn again: a task that yields for ever must not hold the loop.
    private static let roundsMax = 16

    /// Runs what is there, and what comes of it. On the loop's thread; within a job it does nothing: who called that one goes on.
    func runJobs() {
        guard !isRunning else { return }
        isRunning = true
        let outer = unsafe ur_current_loop()
        unsafe ur_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        defer {
            isRunning = false
            unsafe ur_set_current_loop(outer)
        }
        var rounds = 0
        while !local.isEmpty, rounds < Self.roundsMax {
            swap(&local, &running)
            for job in running { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
            running.removeAll(keepingCapacity: true)
            rounds += 1
        }
    }

    /// The executor whose jobs run on this thread now. It is alive: they do.
    static var current: LoopExecutor? {
        guard let pointer = unsafe ur_current_loop() else { return nil }
        return unsafe Unmanaged<LoopExecutor>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Has the loop act upon it in this turn. On the loop's thread.
    func note(_ outcome: AsyncOutcome) {
        guard !isClosed else { return }
        outcomes.append(outcome)
        unsafe hasWork.pointee = true
    }

    /// What has come of jobs since this was called last.
    func takeOutcomes() -> [AsyncOutcome] {
        if outcomes.isEmpty { return [] }
        defer { outcomes = [] }
        return outcomes
    }

    /// After a turn's work: whether the next one must not wait.
    func settle() -> Bool {
        let more = !local.isEmpty || !outcomes.isEmpty
        unsafe hasWork.pointee = more
        return more
    }

    func workerBegins() { workers += 1 }
    /// Told by a worker, as the last thing its task does.
    func workerEnds() { if !isClosed { workers -= 1 } }

    /// The loop ends. On its thread; jobs that come later run elsewhere.
    func close() {
        isClosed = true
        hasEnded.store(true, ordering: .releasing)
        outcomes = []
        let late = remote.withLock { remote in
            remote.isClosed = true
            defer { remote.jobs = [] }
            return remote.jobs
        }
        for job in local + late { runElsewhere(job) }
        local = []
    }
}
