// AsyncWorker: a task that runs async handlers one after another, and the memory that a request has while its handler waits. Pooled by its loop, so that a request
// costs no task: a parked worker's continuation is resumed, on the spot. The loop's thread.
//
//   parked ──begin──▶ running ──the handler returns──▶ done ──finish──▶ parked
//                        └──cancel──▶ cancelled ──the handler returns──▶ gone
//
// Pointers: a worker's memory lives as long as the object, which the loop holds while it is parked, its exchange while it runs, and its own task always.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1

@safe
final class AsyncWorker: @unchecked Sendable {
    enum Phase: UInt8 { case parked, running, done, cancelled }

    /// What every request changes. Behind a pointer, because access to properties of classes is checked for exclusivity each time; valid as long as this object.
    @unsafe private struct Life {
        var phase = Phase.parked
        var isInCall = false
        /// The loop is over, and the handler is not.
        var isOrphan = false
        /// Whose names the captures of the route are. Kept for as long as the handler runs, whatever a reload makes of it; of a parked worker it may be stale.
        var application: HandlerBox?
        /// Its address, to compare.
        var applicationAddress: UnsafeMutableRawPointer?
        var continuation: UnsafeContinuation<Void, Never>?
        var handler: AsyncHandlerBox?
        var error: (any Error)?
        var connection = Handle(index: 0, generation: 0)
        var body: AsyncBodySource?
        var stream: AsyncStreamSource?
        /// What the task waits for, when it has told nobody else whom a cancellation should reach.
        var wait: Handle?
        /// Its task; an address, to tell it from others.
        var address: UnsafeRawPointer?
        var lastExchange: Exchange?
    }
    private let life: UnsafeMutablePointer<Life>
    private(set) var phase: Phase {
        get { unsafe life.pointee.phase }
        set { unsafe life.pointee.phase = newValue }
    }
    /// The loop is over, and the handler is not: nothing of the loop's may be touched any more. Set by the loop's thread before the task goes on elsewhere.
    private(set) var isOrphan: Bool {
        _read { yield unsafe life.pointee.isOrphan }
        _modify { yield unsafe &life.pointee.isOrphan }
    }
    /// Where its executor has it.
    var place = 0
    /// What the request's context points to: copies of everything that the loop uses anew for each request.
    let context: UnsafeMutablePointer<RequestContext>
    let head: UnsafeMutablePointer<RequestHead>
    /// The response under construction. While the worker is parked, spare memory.
    let state: UnsafeMutablePointer<ResponseState>
    private let captures: UnsafeMutablePointer<PathCaptures>
    private var bytes: UnsafeMutablePointer<UInt8>
    private var bytesCapacity: Int
    private var fields: UnsafeMutablePointer<FieldSlot>
    private var fieldCapacity: Int
    private var trailers: UnsafeMutablePointer<FieldSlot>?
    /// For `Request.scratch`; made when it is first asked for.
    private var arena: UnsafeMutablePointer<Arena>?

    let executor: LoopExecutor
    private var task: Task<Void, Never>?
    private var continuation: UnsafeContinuation<Void, Never>? {
        _read { yield unsafe life.pointee.continuation }
        _modify { yield unsafe &life.pointee.continuation }
    }
    private var handler: AsyncHandlerBox? {
        _read { yield unsafe life.pointee.handler }
        _modify { yield unsafe &life.pointee.handler }
    }
    /// What the handler threw.
    private(set) var error: (any Error)? {
        _read { yield unsafe life.pointee.error }
        _modify { yield unsafe &life.pointee.error }
    }
    /// Whose request it is, for when the handler has returned later: the slot, and that it is still the same exchange is known by its object.
    var connection: Handle {
        _read { yield unsafe life.pointee.connection }
        _modify { yield unsafe &life.pointee.connection }
    }
    private var isInCall: Bool {
        _read { yield unsafe life.pointee.isInCall }
        _modify { yield unsafe &life.pointee.isInCall }
    }
    /// The body as the handler reads it: set before its call where the route streams, else when it is asked for.
    var body: AsyncBodySource? {
        _read { yield unsafe life.pointee.body }
        _modify { yield unsafe &life.pointee.body }
    }
    /// The content as the handler writes it.
    var stream: AsyncStreamSource? {
        _read { yield unsafe life.pointee.stream }
        _modify { yield unsafe &life.pointee.stream }
    }

    /// See `LoopExecutor.ownWorker`. The loop's thread, and the worker's own task wherever that runs.
    var wait: Handle? {
        get { unsafe life.pointee.wait }
        set { unsafe life.pointee.wait = newValue }
    }

    init(executor: LoopExecutor, spare: UnsafeMutablePointer<RequestContext>) {
        self.executor = executor
        unsafe life = .allocate(capacity: 1)
        unsafe life.initialize(to: Life())
        unsafe context = .allocate(capacity: 1)
        unsafe context.initialize(to: spare.pointee)
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: RequestHead())
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: ResponseState())
        unsafe captures = .allocate(capacity: 1)
        unsafe captures.initialize(to: PathCaptures())
        bytesCapacity = 2048
        unsafe bytes = .allocate(capacity: bytesCapacity)
        fieldCapacity = 32
        unsafe fields = .allocate(capacity: fieldCapacity)
    }

    deinit {
        unsafe life.deinitialize(count: 1)
        unsafe life.deallocate()
        unsafe state.pointee.destroy()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
        unsafe context.deinitialize(count: 1)
        unsafe context.deallocate()
        unsafe head.deallocate()
        unsafe captures.deallocate()
        unsafe bytes.deallocate()
        unsafe fields.deallocate()
        unsafe trailers?.deallocate()
        // Scratch memory is given back by the loop; of a handler that outlived its loop it is lost, because its pool is gone.
    }

    // MARK: the request's memory

    /// Copies the request that the loop has laid out. Views that the handler takes point here.
    func take(_ source: UnsafeMutablePointer<RequestContext>, _ application: Unmanaged<HandlerBox>) {
        if unsafe life.pointee.applicationAddress != application.toOpaque() { unsafe set(application.takeUnretainedValue()) }
        let from = unsafe source.pointee
        unsafe head.pointee = from.head.pointee
        let (headCount, fieldCount) = unsafe (head.pointee.headLength, head.pointee.fieldCount)
        let trailerBytes = unsafe Self.extent(from.trailerFields, from.trailerCount)
        let total = unsafe headCount &+ from.bodyCount &+ trailerBytes
        if total > bytesCapacity { resize(total) }
        if fieldCount > fieldCapacity {
            unsafe fields.deallocate()
            fieldCapacity = fieldCount
            unsafe fields = .allocate(capacity: fieldCount)
        }
        unsafe memcpy(bytes, from.base, headCount)
        unsafe memcpy(bytes + headCount, from.body, from.bodyCount)
        unsafe fields.update(from: from.fields, count: fieldCount)
        unsafe context.pointee = unsafe from
        unsafe context.pointee.base = unsafe UnsafePointer(bytes)
        unsafe context.pointee.head = unsafe UnsafePointer(head)
        unsafe context.pointee.fields = unsafe UnsafePointer(fields)
        unsafe context.pointee.body = unsafe UnsafePointer(bytes + headCount)
        unsafe context.pointee.captures = unsafe captures
        if let given = unsafe from.captures, unsafe given.pointee.count > 0 { unsafe captures.pointee = given.pointee } else { unsafe captures.pointee.count = 0 }
        unsafe context.pointee.worker = .passUnretained(self)
        // It cannot be called again for a file that a disk must be waited for.
        unsafe context.pointee.opensPatiently = true
        guard unsafe from.trailerCount > 0 else { return }
        let slots = unsafe trailers ?? .allocate(capacity: ParserLimits.trailerCountMax)
        unsafe trailers = unsafe slots
        unsafe slots.update(from: from.trailerFields, count: from.trailerCount)
        let text = unsafe bytes + headCount + from.bodyCount
        unsafe memcpy(text, from.trailerBase, trailerBytes)
        unsafe (context.pointee.trailerBase, context.pointee.trailerFields) = unsafe (UnsafePointer(text), UnsafePointer(slots))
    }

    private func resize(_ capacity: Int) {
        unsafe bytes.deallocate()
        bytesCapacity = capacity
        unsafe bytes = .allocate(capacity: capacity)
    }

    /// How many bytes from their base the fields reach.
    private static func extent(_ fields: UnsafePointer<FieldSlot>, _ count: Int) -> Int {
        var end = 0
        for index in 0..<count {
            let field = unsafe fields[index]
            end = max(end, Int(field.nameOffset) + Int(field.nameLength), Int(field.valueOffset) + Int(field.valueLength))
        }
        return end
    }

    /// Scratch memory of the request; nil when the pool refuses it.
    func scratch(_ pool: UnsafeMutablePointer<ChunkPool>) -> UnsafeMutablePointer<Arena>? {
        if let arena = unsafe arena { return unsafe arena }
        guard let made = unsafe Arena(pool: pool) else { return nil }
        let memory = UnsafeMutablePointer<Arena>.allocate(capacity: 1)
        unsafe memory.initialize(to: made)
        unsafe arena = unsafe memory
        return unsafe memory
    }

    /// Gives scratch memory back, with its block of the pool. The loop's pool must be there still.
    func dropScratch() {
        guard let memory = unsafe arena else { return }
        unsafe arena = nil
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
    }

    /// An exchange that nobody else has.
    func freshExchange() -> Exchange { unsafe Exchange.fresh(&life.pointee.lastExchange) }

    // MARK: the task

    /// Makes the task, which runs as far as its first park.
    func start() {
        executor.workerBegins(self)
        executor.runAhead {
            task = Task(executorPreference: executor) {
                await self.work()
                self.executor.workerEnds(self)
            }
        }
    }

    /// Runs a handler until it returns or waits. True when it has returned.
    func begin(_ handler: consuming AsyncHandlerBox) -> Bool {
        // Resumed once: it is nil from here until the task parks again.
        guard let parked = unsafe continuation else { preconditionFailure("BUG: an async worker that is not parked") }
        unsafe continuation = nil
        unsafe life.pointee.handler = handler
        (phase, isInCall) = (.running, true)
        unsafe executor.goesOn(self, life.pointee.address)
        executor.runAhead { unsafe parked.resume() }
        isInCall = false
        return phase == .done
    }

    /// More than this is not kept for the next request: idle workers are many, and few requests are as large.
    private static let keptBytesMax = 64 * 1024

    /// The worker is free again. After its response was taken out of it.
    /// - Parameter application: the loop's now.
    func finish(_ application: Unmanaged<HandlerBox>) {
        precondition(phase == .done, "BUG: an async worker is finished while its handler runs")
        phase = .parked
        if error != nil { error = nil }
        // Tasks that outlive the handler and still read or write learn that it has returned.
        if let body {
            body.cancel()
            self.body = nil
        }
        if let stream {
            stream.handlerReturned()
            self.stream = nil
        }
        if unsafe life.pointee.applicationAddress != application.toOpaque() { set(nil) }
        if bytesCapacity > Self.keptBytesMax { resize(2048) }
        unsafe state.pointee.discard(keeping: Self.keptBytesMax)
    }

    /// The application was replaced: a parked worker holds on to none.
    func forgetApplication() { set(nil) }

    @inline(never)
    private func set(_ application: HandlerBox?) {
        unsafe life.pointee.application = application
        unsafe life.pointee.applicationAddress = unsafe application.map { unsafe Unmanaged.passUnretained($0).toOpaque() }
    }

    /// The loop is over, on whose thread this is, and the task goes on elsewhere.
    /// - Returns: whether the handler has scratch memory, which is the loop's.
    func orphan() -> Bool {
        isOrphan = true
        unsafe context.pointee.connection = unsafe Self.nobody
        if phase == .running { phase = .cancelled }
        body?.cancel()
        stream?.cancel()
        return unsafe arena != nil
    }

    /// The connection of handlers that have outlived their loop: never opened. Nothing changes it, and it is never freed.
    nonisolated(unsafe) private static let nobody = {
        let connection = UnsafeMutablePointer<Connection>.allocate(capacity: 1)
        let machine = KeepAliveMachine(openedAt: 0, KeepAlivePolicy())
        unsafe connection.initialize(to: Connection(handle: Handle(index: .max, generation: 0), fd: -1, listener: 0, id: 0, machine: machine))
        return unsafe connection
    }()

    /// Nobody waits for the handler any more: it is told so, and what it does goes nowhere.
    func cancel(nobody: UnsafeMutablePointer<Connection>) {
        guard phase == .running else { return }
        phase = .cancelled
        unsafe context.pointee.connection = unsafe nobody
        body?.cancel()
        stream?.cancel()
        task?.cancel()
        task = nil
        if let wait { executor.waits?.cancel(wait) }
    }

    /// Ends a parked worker's task.
    func retire() {
        precondition(phase == .parked, "BUG: an async worker is retired while its handler runs")
        phase = .cancelled
        task = nil
        let parked = unsafe continuation
        unsafe continuation = nil
        unsafe parked?.resume()
    }

    private func work() async {
        unsafe life.pointee.address = unsafe LoopExecutor.currentTask
        while true {
            // Resumed once, by `begin` or `retire`.
            unsafe await withUnsafeContinuation { unsafe continuation = $0 }
            guard let handler = self.handler.take() else { return }
            do {
                var response = unsafe Response(state, context)
                try unsafe await handler.handle(Request(context), &response)
            } catch {
                self.error = error
            }
            let goesOn = phase == .running
            if goesOn { phase = .done }
            if !isInCall { executor.note(.returned(self)) }
            guard goesOn else { return }
        }
    }
}
