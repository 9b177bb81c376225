// UpstreamPool: one loop's connections to one server, for a proxy. The loop's thread.

internal import UringHTTP

@safe
package final class UpstreamPool {
    let pool: ClientPool

    /// - Parameters:
    ///   - response: of the loop whose connections they are.
    ///   - host: for the name that TLS asks for and verifies; where to connect, unless `options` say otherwise.
    package init(on response: borrowing Response, isSecure: Bool, host: String, port: UInt16, _ options: HTTPClientOptions) {
        // SAFETY: the loop is the one that runs this, and outlives what its application keeps for it.
        guard let clients = unsafe response.context.pointee.loop._withUnsafeGuaranteedRef({ try? $0.executor.makeClients() }) else {
            preconditionFailure("BUG: a handler runs on a loop that is over")
        }
        pool = ClientPool(clients, ClientPool.Key(client: HTTPClient.nextNumber(), scheme: isSecure ? .https : .http, host: host, port: port), options)
    }

    /// Idle connections go now, others behind what is under way on them.
    package func retire() { pool.retireAll() }
}

extension Response {
    /// The number of the loop that runs this, from 0.
    package var loopIndex: Int { unsafe context.pointee.loop._withUnsafeGuaranteedRef { $0.index } }
}
