// Temporary: superseded by the pool that is asked by callbacks.

internal import UringHTTP
internal import UringHTTP1

protocol ClientWaiter: AnyObject {
    func granted(_ connection: ClientConnection)
    func refused(_ error: HTTPClientError)
}

struct Leaser: @unchecked Sendable { let waiter: any ClientWaiter }

extension ClientPool {
    func lease(_ waiter: any ClientWaiter) {
        if let connection = takeIdle() { return waiter.granted(connection) }
        let leaser = Leaser(waiter: waiter)
        Task(executorPreference: clients.loop.executor) { @Sendable [self] in
            do {
                let connection = try await acquire()
                leaser.waiter.granted(connection)
            } catch let error as HTTPClientError {
                leaser.waiter.refused(error)
            } catch {
                leaser.waiter.refused(HTTPClientError(.closed, "cancelled"))
            }
        }
    }

    func withdraw(_ waiter: any ClientWaiter) {}
}
