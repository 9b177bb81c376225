// A pool's connections for tasks of the loop. The loop's thread.

/// One task's place in the waiting list.
@safe
private final class TaskWaiter: ClientWaiter, @unchecked Sendable {
    private var result: Result<ClientConnection, any Error>?
    private var continuation: UnsafeContinuation<Result<ClientConnection, any Error>, Never>?

    func granted(_ connection: ClientConnection) { answer(.success(connection)) }
    func refused(_ error: HTTPClientError) { answer(.failure(error)) }

    func answer(_ result: Result<ClientConnection, any Error>) {
        guard let continuation = unsafe continuation else {
            self.result = result
            return
        }
        unsafe self.continuation = nil
        unsafe continuation.resume(returning: result)
    }

    func wait() async -> Result<ClientConnection, any Error> {
        if let result { return result }
        // Resumed once: by `answer`, which takes it.
        return unsafe await withUnsafeContinuation { unsafe continuation = $0 }
    }
}

extension ClientPool {
    /// A connection for one request: `start` on it, or `giveBack`.
    func acquire() async throws -> ClientConnection {
        let waiter = TaskWaiter()
        let ticket = acquire(waiter)
        let executor = clients.loop.executor
        let result = await withTaskCancellationHandler {
            await waiter.wait()
        } onCancel: {
            executor.run { [self] in if cancel(ticket) { waiter.answer(.failure(CancellationError())) } }
        }
        return try result.get()
    }
}
