// Loop: one pinned thread, one kernel ring, its connections, buffers, timers. Created, run and destroyed on that thread; nothing in it is
// shared, locked or atomic. Other threads reach it by messages only (LoopMessage).
//
// One turn: queue sends → enter (submit and wait) → settle the sends of the last batch → work off completions → timers.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
package import UringRing

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
    let captures: UnsafeMutablePointer<PathCaptures>
    let settings: UnsafeMutablePointer<LoopSettings>
    let state: UnsafeMutablePointer<LoopState>
    let meter: UnsafeMutablePointer<LoopMeter>
    /// For the pieces that producers write.
    let scratch: UnsafeMutablePointer<ByteBuffer>
    /// What the request context points to before the first request. Never used.
    private let nobody: UnsafeMutablePointer<Connection>
    let index: Int

    /// - Parameters:
    ///   - index: this loop's number, 0…
    ///   - handler: kept for the loop's life or until a message replaces it.
    package init(index: Int, kernel: Kernel, listeners: [LoopListener], configuration: LoopConfiguration, handler: HandlerBox) throws(SystemError) {
        self.index = index
        self.kernel = kernel
        ring = kernel.ring
        nobody = .allocate(capacity: 1)
        pool = .allocate(capacity: 1)
        connections = .allocate(capacity: 1)
        wheel = .allocate(capacity: 1)
        batch = .allocate(capacity: 1)
        response = .allocate(capacity: 1)
        context = .allocate(capacity: 1)
        head = .allocate(capacity: 1)
        fields = .allocate(capacity: configuration.parserLimits.fieldCountMax)
        captures = .allocate(capacity: 1)
        settings = .allocate(capacity: 1)
        state = .allocate(capacity: 1)
        meter = .allocate(capacity: 1)
        scratch = .allocate(capacity: 1)
        buffers = .allocate(capacity: 1)
        buffers.initialize(
            to: try BufferRing.make(kernel: kernel, count: configuration.receiveBuffers, bytesEach: configuration.receiveBufferBytes))
        pool.initialize(to: ChunkPool(chunksMax: configuration.chunksMax))
        connections.initialize(to: Slab(capacity: configuration.connectionsMax))
        let now = kernel.now()
        wheel.initialize(to: TimerWheel(now: now))
        batch.initialize(to: BatchArena())
        response.initialize(to: ResponseState())
        head.initialize(to: RequestHead())
        captures.initialize(to: PathCaptures())
        settings.initialize(to: LoopSettings(configuration, fieldCapacity: configuration.parserLimits.fieldCountMax))
        state.initialize(to: LoopState(now: now, handler: handler, listeners: listeners))
        meter.initialize(to: LoopMeter())
        context.initialize(
            to: RequestContext(
                base: UnsafePointer(batch.pointee.base), head: UnsafePointer(head), fields: UnsafePointer(fields),
                body: UnsafePointer(batch.pointee.base), captures: captures, connection: nobody,
                loop: Unmanaged.passUnretained(self)))
        scratch.initialize(to: ByteBuffer(capacity: 16 * 1024))
        state.pointee.install(handler, ticksPerSecond: kernel.ticksPerSecond, stallNs: configuration.stallThresholdNs)
        refreshDate()
        for listener in 0..<listeners.count { armAccept(listener) }
    }

    /// Every connection must be gone: `run` returns only then, and a simulation drives the loop until `isFinished`.
    deinit {
        for slot in 0..<connections.pointee.slotsEver {
            let connection = connections.pointee.pointer(at: slot)
            guard connection.pointee.flags.contains(.open) else { continue }
            discardMemory(connection)
            kernel.close(connection.pointee.fd)
        }
        for entry in state.pointee.listeners where !entry.closed && entry.listener.closesWithLoop { kernel.close(entry.listener.fd) }
        response.pointee.destroy()
        batch.pointee.destroy()
        state.pointee.destroy()
        settings.pointee.destroy()
        scratch.pointee.destroy()
        fields.deallocate()
        nobody.deallocate()
        func end<T: ~Copyable>(_ pointer: UnsafeMutablePointer<T>) {
            pointer.deinitialize(count: 1)
            pointer.deallocate()
        }
        end(context); end(head); end(captures); end(settings); end(meter); end(wheel); end(connections); end(batch); end(response); end(state); end(scratch)
        end(pool)
        // The receive buffers' memory goes after the kernel's ring: the loop's owner destroys the kernel with this object, last.
        kernel.retire(buffers)
    }

    /// Drained and empty: `runOnce` has nothing left to do.
    package var isFinished: Bool {
        state.pointee.phase == .draining && connections.pointee.count == 0 && state.pointee.listeners.allSatisfy { !$0.armed }
    }

    /// Runs until drained. On the loop's own thread.
    package func run() {
        while !isFinished { runOnce() }
    }

    /// One turn. Blocks while there is nothing to do.
    package func runOnce() {
        flushOutput()
        buffers.pointee.publish()
        let idle = !state.pointee.hasWork
        state.pointee.hasWork = false
        let code = kernel.enter(waitFor: idle ? 1 : 0, timeoutNs: idle ? timeout() : 0)
        if code < 0 { enterFailed(-code) }
        state.pointee.now = kernel.now()
        let began = state.pointee.now
        let ready = ur_cq_ready(ring)
        settleSends(ready)
        dispatch(ready)
        if began >= state.pointee.nextDateRefresh { refreshDate() }
        resumeConnections()
        if wheel.pointee.nextExpiry <= state.pointee.now { runTimers() }
        meter.pointee.record(batch: Int(ready), handled: state.pointee.handledInTurn)
        state.pointee.handledInTurn = 0
        if ready > 0 { meter.pointee.recordLag(kernel.now() &- began) }
    }

    private func timeout() -> Int64 {
        let expiry = min(wheel.pointee.nextExpiry, state.pointee.acceptRetryAt)
        guard expiry != .max else { return -1 }
        return Int64(clamping: expiry > state.pointee.now ? expiry &- state.pointee.now : 0)
    }

    private func enterFailed(_ code: Int32) {
        switch code {
        case ETIME, EINTR: break
        // The completion queue is full or the kernel is short of memory: work completions off, then try again.
        case EBUSY, EAGAIN, ENOMEM: state.pointee.hasWork = ur_cq_ready(ring) > 0
        default:
            preconditionFailure("BUG: io_uring_enter: \(SystemError.text(of: code)) (errno \(code))")
        }
    }

    // MARK: completions

    private func dispatch(_ ready: UInt32) {
        var seen: UInt32 = 0
        while seen < ready {
            let completion = ur_cq_at(ring, 0)!.pointee
            ur_cq_advance(ring, 1)
            seen &+= 1
            let operation = Operation(raw: completion.user_data)
            switch operation.kind {
            case .receive: received(operation.handle, completion.res, completion.flags)
            case .send: sent(operation.handle, completion.res)
            case .accept: accepted(Int(operation.handle.index), completion.res, completion.flags)
            case .poll: writable(operation.handle, completion.res)
            case .open: opened(operation.handle, completion.res)
            case .message: message(completion.user_data, completion.res)
            case .cancel, .close, .read: break
            case nil: preconditionFailure("BUG: a completion that this loop never asked for")
            }
        }
    }

    /// A free submission entry; submits what is queued first when there is none.
    func entry() -> UnsafeMutablePointer<ur_sqe> {
        if let entry = ur_get_sqe(ring) { return entry }
        meter.pointee.submissionQueueFull &+= 1
        // Submits without waiting. What the kernel refuses for the moment (EBUSY, EAGAIN) it takes after completions were reaped, and those
        // are bounded: the queue is emptied by at least one entry each time it answers 0 or more.
        for _ in 0..<10_000 {
            let code = kernel.enter(waitFor: 0, timeoutNs: 0)
            if let entry = ur_get_sqe(ring) { return entry }
            if code < 0, code != -EINTR, code != -EAGAIN, code != -EBUSY, code != -ENOMEM { break }
        }
        preconditionFailure("BUG: the submission queue stays full")
    }

    // MARK: clock

    private func refreshDate() {
        let seconds = kernel.unixTime()
        state.pointee.setDate(seconds)
        // Coarse on purpose: the header has seconds, and 100 ms late is as true as the network allows.
        state.pointee.nextDateRefresh = state.pointee.now &+ 100_000_000
    }
}
