// Async handlers: how a request goes to a worker and comes back. The loop's thread.
//
// A handler that does not wait is over when `startAsync` returns, and its response is where any handler's is. One that waits leaves its worker with the exchange of its
// connection (on HTTP/2, of its stream), whose machine is in the state `handling` meanwhile: its clock runs, further requests wait, a client that goes ends the exchange.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends, a worker's as long as the worker.

internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// Idle workers that are kept: handlers that wait at the same time need one each, and bursts come again.
    private static var parkedWorkersMax: Int { 256 }

    /// The handler has chosen to go on asynchronously.
    @inline(__always) var goesOnAsync: Bool { unsafe response.pointee.hasSpecialContent && response.pointee.asyncHandler != nil }

    /// Calls the async handler on the request that is laid out. nil when it has returned: its response is in the loop's state. Otherwise whoever works on it: `attach` it.
    func startAsync(_ elapsed: inout UInt64, body: AsyncBodySource? = nil) -> AsyncWorker? {
        guard let handler = unsafe response.pointee.asyncHandler else { return nil }
        unsafe response.pointee.asyncHandler = nil
        if case .written = unsafe response.pointee.content { unsafe response.pointee.hasSpecialContent = false }
        let worker = unsafe state.pointee.parkedWorkers.popLast() ?? makeWorker()
        unsafe worker.take(context)
        worker.body = body
        unsafe swap(&worker.state.pointee, &response.pointee)
        let hasReturned = worker.begin(handler)
        let took = lap()
        elapsed &+= took
        if unsafe took > state.pointee.stallTicks { reportStall(took) }
        guard hasReturned else { return worker }
        takeResponse(worker)
        park(worker)
        return nil
    }

    /// Leaves a worker with the exchange that waits for it.
    func attach(_ worker: AsyncWorker, _ connection: UnsafeMutablePointer<Connection>) {
        worker.connection = unsafe connection.pointee.handle
        unsafe worker.context.pointee.connection = unsafe connection
        let exchange = unsafe makeExchange(connection)
        exchange.worker = worker
        exchange.body = worker.body
        if unsafe state.pointee.observes { exchange.logged = unsafe LoggedExchange(worker.context, worker.state, began: state.pointee.now) }
        if unsafe worker.state.pointee.untimed { unsafe connection.pointee.machine.handlerUntimed() }
        unsafe armTimer(connection)
    }

    private func makeWorker() -> AsyncWorker {
        let worker = unsafe AsyncWorker(executor: executor, spare: context)
        worker.start()
        return worker
    }

    /// Moves what the handler left to the loop's state.
    private func takeResponse(_ worker: AsyncWorker) {
        unsafe swap(&worker.state.pointee, &response.pointee)
        // A handler that is async already cannot go on asynchronously once more.
        if unsafe response.pointee.asyncHandler != nil { unsafe response.pointee.asyncHandler = nil }
        if let error = worker.error {
            handlerFailed(error)
        } else if let stream = worker.stream, !stream.hasBegun {
            // All of its content is there already.
            stream.hasBegun = true
            stream.end(nil)
        }
        if unsafe response.pointee.refusedField { refusedField() }
    }

    private func park(_ worker: AsyncWorker) {
        worker.dropScratch()
        worker.finish()
        if unsafe state.pointee.parkedWorkers.count < Self.parkedWorkersMax { unsafe state.pointee.parkedWorkers.append(worker) } else { worker.retire() }
    }

    /// Nobody waits for this exchange's handler any more.
    func cancelAsync(_ worker: AsyncWorker) {
        unsafe worker.cancel(nobody: nobody)
    }

    // MARK: a turn

    /// Runs tasks, and takes up what has come of them.
    func runAsync() {
        _ = lap()
        executor.runJobs()
        let took = lap()
        if unsafe took > state.pointee.stallTicks {
            unsafe meter.pointee.stalls &+= 1
            unsafe state.pointee.reporter?.stalled(LoopStall(loop: index, route: "async tasks", nanoseconds: kernel.nanoseconds(ticks: took)))
        }
        for outcome in executor.takeOutcomes() {
            switch outcome {
            case .begun(let worker): beginStream(worker)
            case .written(let source): continueStream(source)
            case .body(let source): continueBody(source)
            case .returned(let worker): asyncReturned(worker)
            }
        }
        if executor.settle() { unsafe state.pointee.hasWork = true }
    }

    private func asyncReturned(_ worker: AsyncWorker) {
        guard worker.phase == .done else { return worker.dropScratch() }  // cancelled: its task has ended
        guard let (connection, exchange) = unsafe waiting(worker) else { return park(worker) }  // its client has gone in this very turn
        exchange.worker = nil
        exchange.body = nil
        if unsafe connection.pointee.body.mode == .stream {
            // The rest of the body is nobody's business any more.
            unsafe connection.pointee.flags.remove(.bodyPaused)
            unsafe connection.pointee.body.mode = .discard
        }
        if let stream = worker.stream, stream.hasBegun {
            stream.end(worker.error)
            return park(worker)
        }
        unsafe answer(worker, connection, unread: unreadBytes(connection))
        if exchange.producer == nil, exchange.upgrade == nil, unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange { unsafe dropExchange(connection) }
        park(worker)
    }

    /// The exchange that waits for a worker; nil when there is none any more.
    private func waiting(_ worker: AsyncWorker) -> (connection: UnsafeMutablePointer<Connection>, exchange: Exchange)? {
        guard let connection = unsafe connections.pointee.pointer(worker.connection), unsafe !connection.pointee.flags.contains(.closing),
            let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.worker === worker
        else { return nil }
        return unsafe (connection, exchange)
    }

    /// Sends the response that the handler has set up, which finds its request where the handler had it.
    private func answer(_ worker: AsyncWorker, _ connection: UnsafeMutablePointer<Connection>, unread: UInt64) {
        let before = unsafe context.pointee
        unsafe context.pointee = unsafe worker.context.pointee
        unsafe head.pointee = unsafe worker.head.pointee
        takeResponse(worker)
        if unsafe connection.pointee.flags.contains(.stream) {
            unsafe finishStream(connection, 0)
        } else {
            unsafe finishResponse(connection, nil, 0, unread: unread, 0)
        }
        unsafe context.pointee = unsafe before
    }

    // MARK: streams

    /// The handler goes on, and writes what follows the head.
    private func beginStream(_ worker: AsyncWorker) {
        // It has returned meanwhile, or nobody waits for it: then what it wrote is content like any other, or nothing.
        guard worker.phase == .running, let stream = worker.stream, !stream.hasBegun, let (connection, exchange) = unsafe waiting(worker) else { return }
        stream.hasBegun = true
        stream.connection = unsafe connection.pointee.handle
        // It may still read the body, so nothing of that is unread.
        unsafe answer(worker, connection, unread: 0)
        guard unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange, exchange.worker === worker else { return }
        // No content to send: what it still writes goes nowhere.
        if exchange.producer == nil { unsafe dropExchange(connection) }
    }

    private func continueStream(_ source: AsyncStreamSource) {
        guard let handle = source.connection, let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing),
            unsafe connection.pointee.producerWakeAt != .max
        else { return }
        unsafe produce(connection)
    }

    private func continueBody(_ source: AsyncBodySource) {
        guard let handle = source.connection, let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing),
            unsafe connection.pointee.flags.contains(.bodyPaused), unsafe connection.pointee.exchange?.takeUnretainedValue().body === source
        else { return }
        unsafe resumeBody(connection)
    }

    // MARK: the end

    /// How long handlers that were cancelled may take to return before the loop ends without them. 1 s.
    private static var farewellNs: UInt64 { 1_000_000_000 }

    /// Lets cancelled handlers return, then ends every task of this loop. Before the loop's memory goes.
    func endAsync(waits: Bool) {
        let deadline = kernel.now() &+ Self.farewellNs
        for worker in unsafe state.pointee.parkedWorkers { worker.retire() }
        unsafe state.pointee.parkedWorkers = []
        executor.runJobs()
        executor.waits?.cancelAll()
        while waits, executor.workers > 0 || (executor.waits?.operations ?? 0) > 0, kernel.now() < deadline {
            _ = kernel.enter(waitFor: 0, timeoutNs: 0)
            reapAtTheEnd()
            executor.takeRemote()
            executor.runJobs()
            for case .returned(let worker) in executor.takeOutcomes() { worker.dropScratch() }
            sched_yield()
        }
        executor.close()
        executor.loop = nil
    }
}
