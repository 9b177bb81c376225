// UpstreamPool: one loop's connections to one server, for a proxy. The loop's thread.

internal import UringHTTP

@safe
package final class UpstreamPool {
    let pool: ClientPool

    /// - Parameters:
    ///   - response: of the loop whose connections they are.
    ///   - host: for the name that TLS asks for and verifies; where to connect, unless `options` say otherwise.
    ///   - client: a number of `makeClient`: pools with the same one share what TLS needs, and must have the same TLS and protocols.
    package init(on response: borrowing Response, isSecure: Bool, host: String, port: UInt16, client: UInt64 = UpstreamPool.makeClient(), _ options: HTTPClientOptions) {
        // SAFETY: the loop is the one that runs this, and outlives what its application keeps for it.
        guard let clients = unsafe response.context.pointee.loop._withUnsafeGuaranteedRef({ try? $0.executor.makeClients() }) else {
            preconditionFailure("BUG: a handler runs on a loop that is over")
        }
        pool = ClientPool(clients, ClientPool.Key(client: client, scheme: isSecure ? .https : .http, host: host, port: port), options)
    }

    /// The same for a task of a loop, on its thread.
    /// - Throws: `CancellationError` when the loop is over.
    package init(on loop: ServerLoop, isSecure: Bool, host: String, port: UInt16, client: UInt64, _ options: HTTPClientOptions) throws {
        pool = ClientPool(
            try loop.executor.makeClients(), ClientPool.Key(client: client, scheme: isSecure ? .https : .http, host: host, port: port), options)
    }

    /// Other connections to the server of another pool: of HTTP/1.1, for requests that ask for another protocol, which HTTP/2 has no word for (RFC 9113 section 8.6).
    /// - Parameter client: as in the other `init`.
    package init(http1Beside other: UpstreamPool, client: UInt64) {
        var options = other.pool.options
        options.protocols = .http1
        let key = other.pool.key
        pool = ClientPool(other.pool.clients, ClientPool.Key(client: client, scheme: key.scheme, host: key.host, port: key.port), options)
    }

    /// Connections of the same loop to another server.
    /// - Parameters: as in the first `init`.
    package init(beside other: UpstreamPool, host: String, port: UInt16, client: UInt64, _ options: HTTPClientOptions) {
        pool = ClientPool(other.pool.clients, ClientPool.Key(client: client, scheme: other.pool.key.scheme, host: host, port: port), options)
    }

    /// Other bounds of connections, and of requests that wait for one. What is beyond them stays as long as it is of use.
    package func resize(connections: Int, pending: Int) { pool.resize(connections: connections, pending: pending) }

    /// No other has it.
    package static func makeClient() -> UInt64 { HTTPClient.nextNumber() }

    /// As `ClientPool` has them.
    package var openCount: Int { pool.openCount }
    package var idleCount: Int { pool.idleCount }
    package var connectingCount: Int { pool.connectingCount }
    package var pendingCount: Int { pool.pendingCount }

    /// Idle connections go now, others behind what is under way on them.
    package func retire() { pool.retireAll() }
}

extension Response {
    /// The number of the loop that runs this, from 0.
    package var loopIndex: Int { unsafe context.pointee.loop._withUnsafeGuaranteedRef { $0.index } }
}
