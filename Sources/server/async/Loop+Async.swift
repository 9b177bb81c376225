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
        guard let handler = unsafe response.pointee.asyncHandler.take() else { return nil }
        if case .written = unsafe response.pointee.content { unsafe response.pointee.hasSpecialContent = false }
        let worker = unsafe state.pointee.parkedWorkers.popLast() ?? makeWorker()
        unsafe worker.take(context, state.pointee.handler)
        if let body { worker.body = body }
        unsafe swap(&worker.state.pointee, &response.pointee)
        let hasReturned = worker.begin(handler)
        let took = lap()
        elapsed &+= took
        if unsafe took > state.pointee.stallTicks { reportStall(took) }
        guard hasReturned else { return worker }
        unsafe asyncHandlerReturned(context.pointee.connection, worker)
        takeResponse(worker)
        park(worker)
        return nil
    }

    /// Leaves a worker with the exchange that waits for it.
    func attach(_ worker: AsyncWorker, _ connection: UnsafeMutablePointer<Connection>) {
        worker.connection = unsafe connection.pointee.handle
        unsafe worker.context.pointee.connection = unsafe connection
        let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue() ?? give(connection, worker.freshExchange())
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
            // What it wrote of its content is not sent, and will not be.
            worker.stream?.cancel()
        } else if let stream = worker.stream, !stream.hasBegun {
            // All of its content is there already.
            stream.hasBegun = true
            stream.end(nil)
        }
        if unsafe response.pointee.refusedField { refusedField() }
    }

    private func park(_ worker: consuming AsyncWorker) {
        worker.dropScratch()
        unsafe worker.finish(state.pointee.handler)
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
        executor.wakeReaders()
        executor.runJobs()
        let took = lap()
        if unsafe took > state.pointee.stallTicks {
            unsafe meter.pointee.stalls &+= 1
            unsafe state.pointee.reporter?.stalled(LoopStall(loop: index, route: "async tasks", nanoseconds: kernel.nanoseconds(ticks: took)))
        }
        executor.takeOutcomes { outcome in
            switch outcome {
            case .begun(let worker): beginStream(worker)
            case .written(let source): continueStream(source)
            case .body(let source): continueBody(source)
            case .returned(let worker): asyncReturned(worker)
            }
        }
        if executor.settle() { unsafe state.pointee.hasWork = true }
    }

    /// Another application answers from now on.
    func applicationReplaced() {
        for worker in unsafe state.pointee.parkedWorkers { worker.forgetApplication() }
    }

    private func asyncReturned(_ worker: AsyncWorker) {
        guard worker.phase == .done else {  // cancelled: its task has ended
            dropResponder(worker)
            return worker.dropScratch()
        }
        guard let (connection, exchange) = unsafe waiting(worker) else { return parkUnheard(worker) }
        unsafe asyncHandlerReturned(connection, worker)
        if worker.error != nil { dropResponder(worker) }
        exchange.worker = nil
        if let responder = unsafe worker.state.pointee.responder {
            unsafe leaveLate(responder, worker, connection, exchange)
            return park(worker)
        }
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
        unsafe answer(worker, connection)
        unsafe dropAnswered(connection, exchange)
        park(worker)
    }

    /// The client has gone in this very turn. Its exchange, which goes at the turn's end, must not find the worker at somebody else's request and cancel that.
    private func parkUnheard(_ worker: AsyncWorker) {
        dropResponder(worker)
        if let connection = unsafe connections.pointee.pointer(worker.connection), let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(),
            exchange.worker === worker
        {
            (exchange.worker, exchange.body) = (nil, nil)
        }
        park(worker)
    }

    /// Nobody waits for whom the handler has left its request to.
    private func dropResponder(_ worker: AsyncWorker) {
        guard let responder = unsafe worker.state.pointee.responder else { return }
        unsafe worker.state.pointee.forgetContent()
        responder.cancelled()
    }

    /// The exchange that waits for a worker; nil when there is none any more.
    private func waiting(_ worker: AsyncWorker) -> (connection: UnsafeMutablePointer<Connection>, exchange: Exchange)? {
        guard let connection = unsafe connections.pointee.pointer(worker.connection), unsafe !connection.pointee.flags.contains(.closing),
            let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.worker === worker
        else { return nil }
        return unsafe (connection, exchange)
    }

    /// Sends the response that the handler has set up, which finds its request where the handler had it.
    /// - Parameter goesOn: the handler has not returned, and may read more of the body while content is sent: nothing of that is unread.
    private func answer(_ worker: AsyncWorker, _ connection: UnsafeMutablePointer<Connection>, goesOn: Bool = false) {
        let before = unsafe context.pointee
        unsafe context.pointee = unsafe worker.context.pointee
        unsafe head.pointee = unsafe worker.head.pointee
        takeResponse(worker)
        if unsafe connection.pointee.flags.contains(.stream) {
            unsafe finishStream(connection, 0)
        } else {
            let unread = unsafe goesOn && contentPlan().sendsBody ? 0 : unreadBytes(connection)
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
        unsafe answer(worker, connection, goesOn: true)
        // Views of what middleware left for the handler stay good until it returns.
        unsafe swap(&worker.state.pointee.values, &response.pointee.values)
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
        if let onResume = source.onResume { return onResume() }
        guard let handle = source.connection, let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing),
            unsafe connection.pointee.flags.contains(.bodyPaused), unsafe connection.pointee.exchange?.takeUnretainedValue().body === source
        else { return }
        unsafe resumeBody(connection)
    }

    // MARK: the end

    /// How long handlers that were cancelled may take to return before the loop ends without them. 1 s.
    private static var farewellNs: UInt64 { 1_000_000_000 }
    /// Time passes in steps of at most this long meanwhile. 10 ms.
    private static var farewellStepNs: Int64 { 10_000_000 }

    /// Lets cancelled handlers return, then ends every wait of this loop's tasks. Its last turn; no connection is left.
    /// - Returns: how many have not.
    @discardableResult
    package func endAsync() -> Int {
        let deadline = kernel.now() &+ Self.farewellNs
        retireWorkers()
        executor.waits?.cancelAll()
        while true {
            executor.takeRemote()
            executor.wakeReaders()
            executor.runJobs()
            executor.takeOutcomes { if case .returned(let worker) = $0 { worker.dropScratch() } }
            if let messages = port.takeLocal() { for message in messages { deliver(message) } }
            let isBusy = executor.settle()
            let isOver = executor.workers == 0 && executor.waits?.operations ?? 0 == 0 && !isBusy
            if isOver || kernel.now() >= deadline { break }
            let idle = !isBusy && !port.hasPending
            _ = kernel.enter(waitFor: idle ? 1 : 0, timeoutNs: idle ? Self.farewellStepNs : 0)
            reapAtTheEnd()
        }
        defer { _ = closeAsync() }
        return executor.workers
    }

    private func retireWorkers() {
        let parked = unsafe state.pointee.parkedWorkers
        unsafe state.pointee.parkedWorkers = []
        for worker in parked { worker.retire() }
    }

    /// Nothing runs on this loop any more: what is left of its tasks goes on elsewhere. Operations that the kernel has not given back are never answered: the memory
    /// they work on stays theirs.
    /// - Returns: whether handlers have memory of the loop's pool still.
    func closeAsync() -> Bool {
        retireWorkers()
        executor.waits?.endTimers()
        return executor.close()
    }
}
