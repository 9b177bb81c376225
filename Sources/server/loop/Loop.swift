// Loop: one pinned thread, one kernel ring, its connections, buffers, timers. Created, run and destroyed on that thread; nothing in it is
// shared, locked or atomic. Other threads reach it by messages only (LoopMessage).
//
// One turn: queue sends → enter (submit and wait) → settle the sends of the last batch → work off completions → timers.

internal import CUring
internal import CUringBase
internal import Glibc
package import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
package import UringRing

@safe
package final class Loop {
    let kernel: Kernel
    let ring: UnsafeMutablePointer<ur_ring>
    let buffers: UnsafeMutablePointer<BufferRing>
    let pool: UnsafeMutablePointer<ChunkPool>
    let connections: UnsafeMutablePointer<Slab<Connection>>
    let wheel: UnsafeMutablePointer<TimerWheel>
    let batch: UnsafeMutablePointer<BatchArena>
    let response: UnsafeMutablePointer<ResponseState>
    let context: UnsafeMutablePointer<RequestContext>
    let head: UnsafeMutablePointer<RequestHead>
    let fields: UnsafeMutablePointer<FieldSlot>
    private let fieldMemory: UnsafeMutablePointer<FieldSlot>
    let captures: UnsafeMutablePointer<PathCaptures>
    let settings: UnsafeMutablePointer<LoopSettings>
    let state: UnsafeMutablePointer<LoopState>
    let meter: UnsafeMutablePointer<LoopMeter>
    /// Scratch memory of the request under way.
    let arena: UnsafeMutablePointer<Arena>
    /// Trailer fields of the body under way, and of the response that a producer is ending.
    let trailers: UnsafeMutablePointer<FieldSlot>
    let trailerText: UnsafeMutablePointer<GrowingBytes>
    /// Where HTTP/2 puts the text of a request's head, in place of a receive buffer.
    let headText: UnsafeMutablePointer<UInt8>
    let http2Head: HTTP2Head
    /// What was decrypted last, or is about to be encrypted from a file; and what OpenSSL says of its own accord.
    let plaintext: UnsafeMutablePointer<UInt8>
    let sealedRoom: UnsafeMutablePointer<UInt8>
    /// Most connections; the slab has room for streams of HTTP/2 beside them.
    let connectionsMax: Int
    /// For the pieces that producers write.
    let scratch: UnsafeMutablePointer<GrowingBytes>
    /// What the request context points to before the first request, and that of a handler whose client has gone: no connection, never opened.
    let nobody: UnsafeMutablePointer<Connection>
    let index: Int
    /// Where others, and handlers of this loop, post messages to it.
    let port: LoopPort
    /// Where the last events are written to, for others to read; nil: nowhere. `recorder` keeps it.
    let flight: UnsafeMutablePointer<ur_flight_ring>?
    private let recorder: FlightRing?
    /// For async handlers.
    let executor: LoopExecutor
    /// The executor has something to do. Its memory, which lives as long as the executor.
    private let asyncWork: UnsafeMutablePointer<Bool>

    /// - Parameters:
    ///   - index: this loop's number, 0…
    ///   - handler: kept for the loop's life or until a message replaces it.
    package init(index: Int, kernel: Kernel, listeners: [LoopListener], configuration: LoopConfiguration, handler: HandlerBox,
        port: LoopPort? = nil, recorder: FlightRing? = nil
    ) throws(SystemError) {
        let port = port ?? LoopPort(mailbox: nil)
        self.port = port
        executor = LoopExecutor(port: port)
        unsafe asyncWork = unsafe executor.hasWork
        self.index = index
        self.kernel = kernel
        self.recorder = recorder
        unsafe flight = unsafe recorder?.ring
        unsafe ring = unsafe kernel.ring
        unsafe nobody = .allocate(capacity: 1)
        unsafe pool = .allocate(capacity: 1)
        unsafe connections = .allocate(capacity: 1)
        unsafe wheel = .allocate(capacity: 1)
        unsafe batch = .allocate(capacity: 1)
        unsafe response = .allocate(capacity: 1)
        unsafe context = .allocate(capacity: 1)
        unsafe head = .allocate(capacity: 1)
        // HTTP/2 decodes a head's pseudo fields to slots in front of the others.
        unsafe fieldMemory = .allocate(capacity: configuration.fieldCapacity &+ 2 &* HTTP2Head.pseudoSlots)
        unsafe fields = unsafe fieldMemory + HTTP2Head.pseudoSlots
        unsafe captures = .allocate(capacity: 1)
        unsafe settings = .allocate(capacity: 1)
        unsafe state = .allocate(capacity: 1)
        unsafe meter = .allocate(capacity: 1)
        unsafe scratch = .allocate(capacity: 1)
        unsafe trailerText = .allocate(capacity: 1)
        unsafe trailers = .allocate(capacity: ParserLimits.trailerCountMax)
        unsafe headText = .allocate(capacity: Self.headTextBytes)
        unsafe http2Head = unsafe HTTP2Head(
            request: head, slots: fieldMemory, slotCapacity: configuration.fieldCapacity &+ 2 &* HTTP2Head.pseudoSlots, text: headText,
            textCapacity: Self.headTextBytes)
        unsafe plaintext = .allocate(capacity: Self.plaintextBytes)
        unsafe sealedRoom = .allocate(capacity: Self.sealedRoomBytes)
        unsafe arena = .allocate(capacity: 1)
        unsafe buffers = .allocate(capacity: 1)
        unsafe buffers.initialize(
            to: try BufferRing.make(kernel: kernel, count: configuration.receiveBuffers, bytesEach: configuration.receiveBufferBytes))
        unsafe pool.initialize(to: ChunkPool(chunksMax: configuration.chunksMax))
        unsafe arena.initialize(to: Arena(pool: pool)!)  // a pool has room for its first chunk
        connectionsMax = configuration.connectionsMax
        unsafe connections.initialize(to: Slab(capacity: Self.slots(configuration.connectionsMax)))
        let now = kernel.now()
        unsafe wheel.initialize(to: TimerWheel(now: now, tickShift: configuration.timerTickShift))
        unsafe batch.initialize(to: BatchArena())
        unsafe response.initialize(to: ResponseState())
        unsafe head.initialize(to: RequestHead())
        unsafe captures.initialize(to: PathCaptures())
        unsafe settings.initialize(to: LoopSettings(configuration, fieldCapacity: configuration.fieldCapacity))
        unsafe state.initialize(to: LoopState(now: now, handler: handler, listeners: listeners, addressLimiter: configuration.addressLimiter))
        unsafe meter.initialize(to: LoopMeter())
        if !configuration.samplesPhases { unsafe meter.pointee.phases.switchOff() }
        unsafe context.initialize(
            to: RequestContext(
                base: UnsafePointer(batch.pointee.base), head: UnsafePointer(head), fields: UnsafePointer(fields),
                body: UnsafePointer(batch.pointee.base), captures: captures, trailerBase: UnsafePointer(batch.pointee.base), trailerFields: UnsafePointer(trailers), connection: nobody,
                loop: Unmanaged.passUnretained(self)))
        unsafe trailerText.initialize(to: GrowingBytes(capacity: 256))
        unsafe scratch.initialize(to: GrowingBytes(capacity: 16 * 1024))
        executor.loop = self
        unsafe state.pointee.install(handler, ticksPerSecond: kernel.ticksPerSecond, stallNs: configuration.stallThresholdNs, isRecorded: flight != nil)
        unsafe state.pointee.lastTicks = kernel.ticks()
        let (nowhere, policy) = unsafe (Handle(index: .max, generation: 0), settings.pointee.policy)
        unsafe nobody.initialize(to: Connection(handle: nowhere, fd: -1, listener: 0, id: 0, machine: KeepAliveMachine(openedAt: now, policy)))
        self.port.open(target: kernel.messageTarget)
        refreshDate()
        for listener in 0..<listeners.count {
            try setTransport(listener, listeners[listener].transport)
            armAccept(listener)
        }
    }

    /// Every connection must be gone: `run` returns only then, and a simulation drives the loop until `isFinished`.
    deinit {
        let poolIsUsed = closeAsync()
        for slot in unsafe 0..<connections.pointee.slotsEver {
            let connection = unsafe connections.pointee.pointer(at: slot)
            guard unsafe connection.pointee.flags.contains(.open) else { continue }
            unsafe discardMemory(connection)
            unsafe endTrace(connection)
            unsafe dropBulk(connection.pointee.bulk)
            unsafe kernel.close(connection.pointee.fd)
        }
        for entry in unsafe state.pointee.listeners where !entry.closed && entry.listener.closesWithLoop { kernel.close(entry.listener.fd) }
        unsafe response.pointee.destroy()
        unsafe batch.pointee.destroy()
        unsafe state.pointee.destroy()
        unsafe settings.pointee.destroy()
        unsafe scratch.pointee.destroy()
        unsafe headText.deallocate()
        unsafe plaintext.deallocate()
        unsafe sealedRoom.deallocate()
        unsafe fieldMemory.deallocate()
        unsafe trailers.deallocate()
        unsafe trailerText.pointee.destroy()
        unsafe nobody.deallocate()
        func end<T: ~Copyable>(_ pointer: UnsafeMutablePointer<T>) {
            unsafe pointer.deinitialize(count: 1)
            unsafe pointer.deallocate()
        }
        unsafe end(context); unsafe end(head); unsafe end(captures); unsafe end(settings); unsafe end(meter); unsafe end(wheel); unsafe end(connections); unsafe end(batch); unsafe end(response); unsafe end(state); unsafe end(scratch); unsafe end(trailerText); unsafe end(arena)
        // A handler that takes no notice of its cancellation may outlive everything: its scratch memory stays.
        if !poolIsUsed { unsafe end(pool) }
        unsafe buffers.pointee.publish()
        // The receive buffers' memory goes after the kernel's ring: the loop's owner destroys the kernel with this object, last.
        unsafe kernel.retire(buffers)
    }

    /// Slots for connections and as many streams again: those that are answered at once, nearly all, need none.
    private static func slots(_ connectionsMax: Int) -> Int { min(2 * connectionsMax + 1024, 1 << 24) }
    /// Twice the largest header list that HTTP/2 is allowed, for cookies are joined behind it.
    static var headTextBytes: Int { 2 * LoopConfiguration.http2HeaderBytesMax + 64 }

    var connectionCount: Int { unsafe connections.pointee.count &- state.pointee.streams &- state.pointee.outgoing }

    /// Drained and empty: `runOnce` has nothing left to do.
    package var isFinished: Bool {
        unsafe state.pointee.phase == .draining && connections.pointee.count == 0 && state.pointee.listeners.allSatisfy { !$0.armed }
    }

    /// Runs until drained. On the loop's own thread.
    package func run() {
        while !isFinished { runOnce() }
        endAsync()
        flushObserver()
    }

    /// One turn. Blocks while there is nothing to do.
    package func runOnce() {
        closeEnded()
        flushOutput()
        unsafe buffers.pointee.publish()
        let idle = unsafe !state.pointee.hasWork && !port.hasPending && !asyncWork.pointee
        unsafe state.pointee.hasWork = false
        unsafe state.pointee.fileBytesInTurn = 0
        unsafe state.pointee.enteredAt = unsafe state.pointee.now
        let wait: (UInt32, Int64) = idle ? (1, timeout()) : (0, 0)
        let code = unsafe meter.pointee.phases.isSampling || meter.pointee.phases.isNext ? enterMeasured(wait) : enter(waitFor: wait.0, timeoutNs: wait.1)
        if code < 0 { enterFailed(-code) }
        unsafe state.pointee.now = kernel.now()
        let began = unsafe state.pointee.now
        let ready = unsafe ur_cq_ready(ring)
        turnBegins(ready)
        unsafe meter.pointee.phases.turnBegins(kernel.ticks(), sinceNs: began &- state.pointee.enteredAt)
        settleSends(ready)
        unsafe state.pointee.lastTicks = kernel.ticks()
        dispatch(ready)
        mark(.dispatch)
        if unsafe began >= state.pointee.nextDateRefresh { refreshDate() }
        unsafe state.pointee.lastTicks = kernel.ticks()
        if let messages = port.takeLocal() { for message in messages { deliver(message) } }
        // Before the tasks' turn: what waited for a point in time goes on in this one.
        if unsafe state.pointee.waitsExpireAt <= state.pointee.now { executor.waits?.runTimers() }
        if unsafe asyncWork.pointee {
            mark(.dispatch)
            runAsync()
            mark(.handler)
        }
        resumeConnections()
        if unsafe wheel.pointee.nextExpiry <= state.pointee.now { runTimers() }
        closeEnded()
        if unsafe state.pointee.flushAt <= state.pointee.now { flushObserver() }
        mark(.dispatch)
        let handled = unsafe ready > 0 ? state.pointee.handledInTurn : 0
        if ready > 0 {
            let lag = kernel.now() &- began
            unsafe meter.pointee.record(depth: UInt64(ready), handled: handled, lagNs: lag)
            noteTurn(ready, handled, lag)
            unsafe state.pointee.handledInTurn = 0
        }
        turnEnded(handled: handled)
    }

    /// The last step of a turn that is looked at: what the kernel does with it. And the first, before such a turn: whether the loop waits for it.
    @inline(never)
    private func enterMeasured(_ wait: (minimum: UInt32, timeoutNs: Int64)) -> Int32 {
        mark(.send)
        let (before, began) = (kernel.threadTime(), kernel.ticks())
        let code = enter(waitFor: wait.minimum, timeoutNs: wait.timeoutNs)
        let (spent, ended) = (kernel.threadTime() &- before, kernel.ticks())
        let took = kernel.nanoseconds(ticks: ended &- began)
        if unsafe meter.pointee.phases.isSampling {
            // What it slept behind the sends is nobody's.
            unsafe meter.pointee.phases.turnEnds(kernelNs: spent, began &+ (took > spent ? kernel.ticks(nanoseconds: spent) : ended &- began), kernel.nanoseconds)
            noteLayers()
        }
        unsafe meter.pointee.phases.waited(mayWait: wait.minimum > 0, offNs: took > spent ? took &- spent : 0)
        return code
    }

    private func timeout() -> Int64 {
        let expiry = unsafe min(wheel.pointee.nextExpiry, state.pointee.acceptRetryAt, state.pointee.flushAt, state.pointee.waitsExpireAt)
        guard expiry != .max else { return -1 }
        return unsafe Int64(clamping: expiry > state.pointee.now ? expiry &- state.pointee.now : 0)
    }

    private func enterFailed(_ code: Int32) {
        switch code {
        case ETIME, EINTR: break
        // The completion queue is full or the kernel is short of memory: work completions off, then try again.
        case EBUSY, EAGAIN, ENOMEM: unsafe state.pointee.hasWork = unsafe ur_cq_ready(ring) > 0
        case EBADR:
            // The kernel had no memory for a completion and has dropped it (io_uring_enter(2)): an operation will never end, and its memory can
            // neither be used nor freed. Nothing a client does causes it; starting anew is the only repair.
            fatalError("the kernel ran out of memory and lost a completion (io_uring_enter: EBADR): give the machine more memory, and restart")
        default:
            preconditionFailure("BUG: io_uring_enter: \(SystemError.text(of: code)) (errno \(code))")
        }
    }

    // MARK: completions

    private func dispatch(_ ready: UInt32) {
        var seen: UInt32 = 0
        while seen < ready {
            let completion = unsafe ur_cq_at(ring, 0)!.pointee
            unsafe ur_cq_advance(ring, 1)
            seen &+= 1
            let operation = Operation(raw: completion.user_data)
            switch operation.kind {
            case .receive: received(operation.handle, completion.res, completion.flags)
            case .send: sent(operation.handle, completion.res)
            case .accept: accepted(Int(operation.handle.index), completion.res, completion.flags)
            case .poll: writable(operation.handle, completion.res)
            case .open: opened(operation.handle, completion.res)
            case .message: message(completion.user_data, completion.res)
            case .close: closed(operation.handle, completion.res)
            case .closeDropped: closed(operation.handle, -ECANCELED)
            case .read: fileRead(operation.handle, completion.res)
            case .connect: connected(operation.handle, completion.res)
            case .task: executor.waits?.completed(operation.handle, completion.res)
            case .cancel, .batchSend: break
            case nil: preconditionFailure("BUG: a completion that this loop never asked for")
            }
        }
    }

    /// Takes up completions when no connection is left: those of tasks, and late ones of nobody.
    func reapAtTheEnd() { unsafe dispatch(ur_cq_ready(ring)) }

    /// Hands over what is queued. When the kernel takes only a part (it is short of memory) and that part ends within send → close, the
    /// chain is broken: the close would run by itself, whatever became of the send, on a descriptor that is still in use.
    private func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 {
        let code = kernel.enter(waitFor: minimum, timeoutNs: timeoutNs)
        if let close = unsafe ur_first_pending_close(ring) {
            let handle = unsafe Operation(raw: close.pointee.user_data).handle
            unsafe ur_prep_nop(close)
            unsafe ur_sqe_tag(close, Operation(.closeDropped, handle).raw, 0)
        }
        return code
    }

    /// Makes room for a chain of `count` entries, which must go to the kernel together.
    func reserveEntries(_ count: UInt32) {
        var attempts = 0
        while unsafe ur_sq_space(ring) < count {
            attempts &+= 1
            precondition(attempts < 10_000, "BUG: the submission queue stays full")
            unsafe meter.pointee.submissionQueueFull &+= 1
            note(.queueFull)
            _ = enter(waitFor: 0, timeoutNs: 0)
        }
    }

    /// A free submission entry; submits what is queued first when there is none.
    func entry() -> UnsafeMutablePointer<ur_sqe> {
        if let entry = unsafe ur_get_sqe(ring) { return unsafe entry }
        unsafe meter.pointee.submissionQueueFull &+= 1
        note(.queueFull)
        // Submits without waiting. What the kernel refuses for the moment (EBUSY, EAGAIN) it takes after completions were reaped, and those
        // are bounded: the queue is emptied by at least one entry each time it answers 0 or more.
        for _ in 0..<10_000 {
            let code = enter(waitFor: 0, timeoutNs: 0)
            if let entry = unsafe ur_get_sqe(ring) { return unsafe entry }
            if code < 0, code != -EINTR, code != -EAGAIN, code != -EBUSY, code != -ENOMEM { break }
        }
        preconditionFailure("BUG: the submission queue stays full")
    }

    // MARK: clock

    private func refreshDate() {
        let seconds = kernel.unixTime()
        if unsafe state.pointee.setDate(seconds) { updateTLS(seconds) }
        // Coarse on purpose: the header has seconds, and 100 ms late is as true as the network allows.
        unsafe state.pointee.nextDateRefresh = unsafe state.pointee.now &+ 100_000_000
    }
}
