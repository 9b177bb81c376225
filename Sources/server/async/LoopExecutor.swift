// LoopExecutor: runs the jobs of Swift's tasks on a loop's thread, between completions. One per loop, and the preference of its tasks: they start on it,
// and come back to it after whatever they awaited.

internal import CUringBase
internal import Glibc
internal import Synchronization
internal import UringBase

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
    /// What every job and turn touches. The loop's thread only.
    @unsafe private struct Turn {
        var local: [UnownedJob] = []
        var running: [UnownedJob] = []
        /// What waits while `runAhead` runs.
        var behind: [UnownedJob] = []
        /// The next job of this thread is `runAhead`'s, and is not queued.
        var takesNext = false
        var next: UnownedJob?
        /// A worker that is alive, and its task.
        var worker: Unmanaged<AsyncWorker>?
        var task: UnsafeRawPointer?
        var waits: LoopWaits?
        var isClosed = false
        var isRunning = false
        /// What has come of jobs.
        var outcomes: [AsyncOutcome] = []
        /// An empty array with room, for the next turn.
        var spareOutcomes: [AsyncOutcome] = []
        /// Bodies with bytes that somebody waits for.
        var readable: [AsyncBodySource] = []
    }
    /// Behind a pointer, because access to properties of classes is checked for exclusivity each time; valid as long as this object.
    private let turn: UnsafeMutablePointer<Turn>
    /// There are jobs or outcomes. Behind a pointer, because the loop asks in every turn; valid as long as this object. The loop's thread only.
    let hasWork: UnsafeMutablePointer<Bool>
    /// The loop is over. Any thread.
    private let hasEnded = Atomic<Bool>(false)
    var isOver: Bool { hasEnded.load(ordering: .acquiring) }
    /// Time and operations that tasks wait for. Made by the loop when it is first asked for: the loop's thread only.
    private(set) var waits: LoopWaits? {
        _read { yield unsafe turn.pointee.waits }
        _modify { yield unsafe &turn.pointee.waits }
    }
    /// For requests to servers. As `waits`.
    private(set) var clients: LoopClients?
    /// Set once, on the loop's thread, before anything else; nil again when the loop is over.
    unowned var loop: Loop?
    /// Workers whose task has not ended; each is alive as long as its task. The loop's thread only.
    private var live = unsafe [Unmanaged<AsyncWorker>]()
    var workers: Int { unsafe live.count + sockets.count }
    /// The same of WebSockets that have a task.
    private var sockets = unsafe [Unmanaged<AsyncWebSocketSource>]()
    private struct Remote {
        var jobs: [UnownedJob] = []
        /// The loop has been told that there are jobs.
        var isTold = false
        var isClosed = false
    }
    private let remote = Locked(Remote())
    /// A handler that has outlived the loop has some of its scratch memory.
    private var ownsScratch = false

    /// On the loop's thread.
    init(port: LoopPort) {
        self.port = port
        owner = UInt(pthread_self())
        unsafe hasWork = .allocate(capacity: 1)
        unsafe hasWork.initialize(to: false)
        unsafe turn = .allocate(capacity: 1)
        unsafe turn.initialize(to: Turn())
        local.reserveCapacity(64)
        running.reserveCapacity(64)
    }

    deinit {
        unsafe turn.deinitialize(count: 1)
        unsafe turn.deallocate()
        unsafe hasWork.deallocate()
    }

    private var local: [UnownedJob] {
        _read { yield unsafe turn.pointee.local }
        _modify { yield unsafe &turn.pointee.local }
    }
    private var running: [UnownedJob] {
        _read { yield unsafe turn.pointee.running }
        _modify { yield unsafe &turn.pointee.running }
    }
    private var behind: [UnownedJob] {
        _read { yield unsafe turn.pointee.behind }
        _modify { yield unsafe &turn.pointee.behind }
    }
    private var outcomes: [AsyncOutcome] {
        _read { yield unsafe turn.pointee.outcomes }
        _modify { yield unsafe &turn.pointee.outcomes }
    }
    private var spareOutcomes: [AsyncOutcome] {
        _read { yield unsafe turn.pointee.spareOutcomes }
        _modify { yield unsafe &turn.pointee.spareOutcomes }
    }
    private var readable: [AsyncBodySource] {
        _read { yield unsafe turn.pointee.readable }
        _modify { yield unsafe &turn.pointee.readable }
    }
    private var isClosed: Bool {
        get { unsafe turn.pointee.isClosed }
        set { unsafe turn.pointee.isClosed = newValue }
    }
    private var isRunning: Bool {
        get { unsafe turn.pointee.isRunning }
        set { unsafe turn.pointee.isRunning = newValue }
    }

    /// Whether this is the loop's thread.
    /// - Throws: `CancellationError` when the loop is over: nothing can be done on it.
    func isHere() throws -> Bool {
        if isOver { throw CancellationError() }
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

    func makeClients() throws -> LoopClients {
        if let clients { return clients }
        guard let loop else { throw CancellationError() }
        let made = LoopClients(loop)
        clients = made
        return made
    }

    /// Runs something on the loop's thread, in its next turn. Any thread.
    func run(_ body: @escaping @Sendable () -> Void) { port.post(.run(body)) }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if UInt(pthread_self()) == owner, !isClosed {
            if unsafe turn.pointee.takesNext {
                unsafe turn.pointee.takesNext = false
                unsafe turn.pointee.next = job
                return
            }
            unsafe hasWork.pointee = true
            return local.append(job)
        }
        let (tells, isClosed) = remote.withLock { remote in
            if remote.isClosed { return (false, true) }
            remote.jobs.append(job)
            defer { remote.isTold = true }
            return (!remote.isTold, false)
        }
        // The loop has ended: whatever is left of its tasks runs elsewhere, to its end.
        if isClosed { return runElsewhere(job) }
        if tells { tell() }
    }

    /// Most attempts to reach a loop whose kernel is short of memory for a message; the next job tries again.
    private static let attemptsMax = 1000

    private func tell() {
        for _ in 0..<Self.attemptsMax {
            if port.post(.jobs) { return }
            // The loop has ended meanwhile and has taken the jobs with it.
            if remote.withLock({ $0.isClosed }) { return }
            sched_yield()
        }
        remote.withLock { $0.isTold = false }
    }

    private func runElsewhere(_ job: UnownedJob) {
        globalConcurrentExecutor.enqueue(ExecutorJob(job))
    }

    /// Takes up what other threads enqueued. On the loop's thread.
    func takeRemote() {
        remote.withLock { remote in
            local.append(contentsOf: remote.jobs)
            remote.jobs.removeAll(keepingCapacity: true)
            remote.isTold = false
        }
        unsafe hasWork.pointee = true
    }

    /// Most rounds of jobs that make each other before completions have their turn again: a task that yields for ever must not hold the loop.
    private static let roundsMax = 16

    /// Runs what is there, and what comes of it. On the loop's thread; within a job it does nothing: who called that one goes on.
    func runJobs() { runJobs(first: nil) }

    /// - Parameter first: runs before those that are queued.
    private func runJobs(first: UnownedJob?) {
        guard !isRunning else {
            if let first { local.append(first) }
            return
        }
        isRunning = true
        let outer = unsafe ur_current_loop()
        unsafe ur_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        defer {
            isRunning = false
            unsafe ur_set_current_loop(outer)
        }
        if let first { unsafe first.runSynchronously(on: asUnownedTaskExecutor()) }
        var rounds = 0
        while !local.isEmpty, rounds < Self.roundsMax {
            swap(&local, &running)
            for job in running { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
            running.removeAll(keepingCapacity: true)
            rounds += 1
        }
    }

    /// Runs the job that `resume` makes, and what comes of that at once, before everything that waits already: the time that it takes is its own.
    func runAhead(_ resume: () -> Void) {
        unsafe turn.pointee.takesNext = true
        resume()
        unsafe turn.pointee.takesNext = false
        // None when the loop is over: it runs elsewhere.
        guard let job = unsafe turn.pointee.next else { return }
        unsafe turn.pointee.next = nil
        let isAlone = local.isEmpty
        if !isAlone { swap(&local, &behind) }
        runJobs(first: job)
        guard !isAlone else { return }
        behind.append(contentsOf: local)
        swap(&local, &behind)
        behind.removeAll(keepingCapacity: true)
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

    /// Has somebody who waits for a body read in this turn, when all of it that came together is there. On the loop's thread.
    func noteReadable(_ source: AsyncBodySource) {
        guard !isClosed else { return source.wakeReader() }
        readable.append(source)
        unsafe hasWork.pointee = true
    }

    /// Before the jobs of a turn.
    func wakeReaders() {
        guard !readable.isEmpty else { return }
        // Nobody is added meanwhile: resuming makes jobs, and runs none.
        for source in readable { source.wakeReader() }
        readable.removeAll(keepingCapacity: true)
    }

    /// The task that runs; an address, to tell tasks apart, and good for nothing else. nil: none.
    static var currentTask: UnsafeRawPointer? {
        // SAFETY: the structure is one reference, as the next line checks when it is compiled; nobody follows it.
        unsafe withUnsafeCurrentTask { task in
            guard let task = unsafe task else { return nil }
            return unsafe unsafeBitCast(task, to: UnsafeRawPointer.self)
        }
    }

    /// The worker whose own task runs, as far as that is known: nil in every other task, and in a worker's that has waited for something else than `LoopWaits` since its request has begun.
    ///
    /// Only the loop cancels such a task (nobody else has a `Task` of it), and tells the worker: what it waits for needs no cancellation handler.
    /// On the loop's thread.
    var ownWorker: (worker: AsyncWorker, task: UnsafeRawPointer)? {
        guard let task = unsafe Self.currentTask, unsafe task == turn.pointee.task, let worker = unsafe turn.pointee.worker else { return nil }
        // Alive: its task, which runs, holds it.
        return unsafe (worker.takeUnretainedValue(), task)
    }

    /// A worker's task goes on from here. On the loop's thread.
    func goesOn(_ worker: AsyncWorker, _ task: UnsafeRawPointer?) {
        unsafe turn.pointee.worker = unsafe .passUnretained(worker)
        unsafe turn.pointee.task = unsafe task
    }

    /// Hands over what has come of jobs since this was called last.
    func takeOutcomes(_ body: (AsyncOutcome) -> Void) {
        guard !outcomes.isEmpty else { return }
        swap(&outcomes, &spareOutcomes)
        for outcome in spareOutcomes { body(outcome) }
        spareOutcomes.removeAll(keepingCapacity: true)
    }

    /// After a turn's work: whether the next one must not wait.
    func settle() -> Bool {
        let more = !local.isEmpty || !outcomes.isEmpty || !readable.isEmpty
        unsafe hasWork.pointee = more
        return more
    }

    func workerBegins(_ worker: AsyncWorker) {
        worker.place = unsafe live.count
        unsafe live.append(.passUnretained(worker))
    }

    /// Told by a worker, as the last thing its task does. On any thread once the loop is over, and does nothing then.
    func workerEnds(_ worker: AsyncWorker) {
        guard !isClosed else { return }
        // Another task may have its address from now on.
        unsafe (turn.pointee.worker, turn.pointee.task) = (nil, nil)
        guard let last = unsafe live.popLast()?.takeUnretainedValue() else { preconditionFailure("BUG: a worker that never began") }
        guard last !== worker else { return }
        unsafe live[worker.place] = .passUnretained(last)
        last.place = worker.place
    }

    func socketBegins(_ socket: AsyncWebSocketSource) {
        socket.place = unsafe sockets.count
        unsafe sockets.append(.passUnretained(socket))
    }

    /// Told as the last thing of a handler. On the loop's thread.
    func socketEnds(_ socket: AsyncWebSocketSource) {
        guard !isClosed else { return }
        guard let last = unsafe sockets.popLast()?.takeUnretainedValue() else { preconditionFailure("BUG: a WebSocket's task that never began") }
        guard last !== socket else { return }
        unsafe sockets[socket.place] = .passUnretained(last)
        last.place = socket.place
    }

    /// The loop ends. On its thread; jobs that come later run elsewhere. May be called again.
    /// - Returns: whether scratch memory of the loop's pool is still in the hands of handlers.
    func close() -> Bool {
        // Those whose bytes are there have them.
        wakeReaders()
        loop = nil
        isClosed = true
        hasEnded.store(true, ordering: .releasing)
        (outcomes, waits) = ([], nil)
        clients?.loopEnds()
        for unsafe worker in unsafe live where unsafe worker._withUnsafeGuaranteedRef({ $0.orphan() }) { ownsScratch = true }
        unsafe live = []
        for unsafe socket in unsafe sockets { unsafe socket._withUnsafeGuaranteedRef { $0.orphan() } }
        unsafe sockets = []
        let late = remote.withLock { remote in
            remote.isClosed = true
            defer { remote.jobs = [] }
            return remote.jobs
        }
        for job in local + late { runElsewhere(job) }
        local = []
        return ownsScratch
    }
}
