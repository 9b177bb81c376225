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
    func startAsync(_ elapsed: inout UInt64) -> AsyncWorker? {
        guard let handler = unsafe response.pointee.asyncHandler else { return nil }
        unsafe response.pointee.asyncHandler = nil
        if case .written = unsafe response.pointee.content { unsafe response.pointee.hasSpecialContent = false }
        let worker = unsafe state.pointee.parkedWorkers.popLast() ?? makeWorker()
        unsafe worker.take(context)
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
        if let error = worker.error { handlerFailed(error) }
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

    /// Runs tasks, and takes up the responses of handlers that have returned.
    func runAsync() {
        _ = lap()
        executor.runJobs()
        let took = lap()
        if unsafe took > state.pointee.stallTicks {
            unsafe meter.pointee.stalls &+= 1
            unsafe state.pointee.reporter?.stalled(LoopStall(loop: index, route: "async tasks", nanoseconds: kernel.nanoseconds(ticks: took)))
        }
        for worker in executor.takeReturned() { asyncReturned(worker) }
        if executor.hasJobs { unsafe state.pointee.hasWork = true }
    }

    private func asyncReturned(_ worker: AsyncWorker) {
        guard worker.phase == .done else { return worker.dropScratch() }  // cancelled: its task has ended
        guard let connection = unsafe connections.pointee.pointer(worker.connection), unsafe !connection.pointee.flags.contains(.closing),
            let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.worker === worker
        else { preconditionFailure("BUG: an async handler returned to nobody, and was not told") }
        exchange.worker = nil
        // What follows finds the request where the handler had it.
        let before = unsafe context.pointee
        unsafe context.pointee = unsafe worker.context.pointee
        unsafe head.pointee = unsafe worker.head.pointee
        takeResponse(worker)
        if unsafe connection.pointee.flags.contains(.stream) {
            unsafe finishStream(connection, 0)
        } else {
            unsafe finishResponse(connection, nil, 0, unread: unreadBytes(connection), 0)
        }
        if exchange.producer == nil, exchange.upgrade == nil, unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange { unsafe dropExchange(connection) }
        unsafe context.pointee = unsafe before
        park(worker)
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
        while waits, executor.workers > 0, kernel.now() < deadline {
            _ = kernel.enter(waitFor: 0, timeoutNs: 0)
            executor.takeRemote()
            executor.runJobs()
            for worker in executor.takeReturned() { worker.dropScratch() }
            sched_yield()
        }
        executor.close()
    }
}
