// ClientPool: the connections of one loop to one server for one client: those that are idle, how many there may be, who waits. The loop's thread.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing
internal import UringTLS

@safe
final class ClientPool: @unchecked Sendable {
    /// Connections are shared by what is the same client and the same server; `client` is the client's number.
    struct Key: Hashable {
        let client: UInt64
        let scheme: HTTPURL.Scheme
        let host: String
        let port: UInt16
    }

    let key: Key
    let clients: LoopClients
    let policy: ClientPolicy
    let limits: ParserLimits
    let bodyBytesMax: UInt64
    private let options: HTTPClientOptions
    /// The one that was used last is used first: the others may grow old and go.
    private var idle: [ClientConnection] = []
    /// Open ones and those that are being made.
    private var count = 0
    private typealias Waiter = UnsafeContinuation<Result<ClientConnection, any Error>, Never>
    /// In the order they came.
    private var waiting = unsafe [(id: UInt64, waiter: Waiter)]()
    private var nextWaiter: UInt64 = 0
    /// Who waits for a connection that is being made.
    private var connecting = unsafe [ObjectIdentifier: UnsafeContinuation<HTTPClientError?, Never>]()

    init(_ clients: LoopClients, _ key: Key, _ options: HTTPClientOptions) {
        (self.clients, self.key, self.options) = (clients, key, options)
        policy = options.policy
        limits = options.parserLimits
        bodyBytesMax = options.bodyBytesMax
    }

    // MARK: for exchanges

    /// An idle connection, or a new one.
    func acquire() async throws -> ClientConnection {
        while let connection = idle.popLast() { if connection.isIdle { return connection } }
        if count < options.connectionsPerServerMax {
            count += 1
            return try await connect()
        }
        guard unsafe waiting.count < options.pendingPerServerMax else { throw HTTPClientError(.overloaded, "\(options.pendingPerServerMax) requests wait for a connection to \(key.host) already") }
        return try await wait()
    }

    private func wait() async throws -> ClientConnection {
        nextWaiter += 1
        let id = nextWaiter
        let executor = clients.loop.executor
        let result = await withTaskCancellationHandler {
            // Resumed once: by whoever takes it out of the list.
            unsafe await withUnsafeContinuation { unsafe waiting.append((id, $0)) }
        } onCancel: {
            executor.run { [self] in giveUp(id) }
        }
        return try result.get()
    }

    private func giveUp(_ id: UInt64) {
        guard let index = unsafe waiting.firstIndex(where: { unsafe $0.id == id }) else { return }
        let waiter = unsafe waiting.remove(at: index).waiter
        unsafe waiter.resume(returning: .failure(CancellationError()))
    }

    // MARK: connecting

    /// A connection for the place that the caller has counted, which is given back when there is none.
    private func connect() async throws -> ClientConnection {
        do {
            let security = try clients.security(key, options)
            let addresses = try await clients.resolve(key, options)
            var failure = HTTPClientError(.resolve, "\(key.host) has no address")
            for address in addresses {
                try Task.checkCancellation()
                let connection = ClientConnection(self, address, security, connectDeadline: clients.deadline(in: options.connectTimeoutNs))
                guard let failed = await attempt(connection) else { return connection }
                failure = failed
            }
            throw failure
        } catch {
            count -= 1
            serveWaiting()
            if unsafe count == 0 && waiting.isEmpty { clients.isEmpty(self) }
            throw error
        }
    }

    /// nil, or why it could not be connected.
    private func attempt(_ connection: ClientConnection) async -> HTTPClientError? {
        switch clients.loop.connect(connection.address, connection) {
        case .failure(let error): return HTTPClientError(.connect(error.code), error.description)
        case .success(let handle):
            connection.handle = handle
            clients.loop.tunnelLink(handle)?.wake(at: connection.connectDeadline)
            // Resumed once: by `settle`, which takes it out of the table. No completion comes before this turn is over.
            return unsafe await withUnsafeContinuation { unsafe connecting[ObjectIdentifier(connection)] = $0 }
        }
    }

    private func settle(_ connection: ClientConnection, _ failure: HTTPClientError?) {
        let waiter = unsafe connecting.removeValue(forKey: ObjectIdentifier(connection))
        unsafe waiter?.resume(returning: failure)
    }

    func connected(_ connection: ClientConnection) { settle(connection, nil) }

    func connectFailed(_ connection: ClientConnection, _ code: Int32) {
        connection.handle = nil
        settle(connection, HTTPClientError(.connect(code), "connecting to \(key.host) (\(connection.address.description)): \(SystemError.text(of: code))"))
    }

    func securityFailed(_ connection: ClientConnection, _ failure: TLSFailure) {
        connection.handle = nil
        settle(connection, HTTPClientError(.tls, "the TLS handshake with \(key.host) (\(connection.address.description)): \(HandshakeFailure(failure))"))
    }

    // MARK: connections

    /// Its exchange is complete, and it may take another.
    func isFree(_ connection: ClientConnection) {
        if unsafe !waiting.isEmpty {
            let waiter = unsafe waiting.removeFirst().waiter
            return unsafe waiter.resume(returning: .success(connection))
        }
        idle.append(connection)
        if unsafe clients.loop.state.pointee.phase == .draining { connection.retire() }
    }

    /// It has ended; told once, after it was connected.
    func closed(_ connection: ClientConnection) {
        idle.removeAll { $0 === connection }
        count -= 1
        serveWaiting()
        if unsafe count == 0 && waiting.isEmpty { clients.isEmpty(self) }
    }

    /// There is a place: who has waited longest makes a connection of his own.
    private func serveWaiting() {
        guard unsafe !waiting.isEmpty, count < options.connectionsPerServerMax else { return }
        let waiter = unsafe waiting.removeFirst().waiter
        count += 1
        Task(executorPreference: clients.loop.executor) { @Sendable [self] in
            do {
                let connection = try await connect()
                unsafe waiter.resume(returning: .success(connection))
            } catch {
                unsafe waiter.resume(returning: .failure(error))
            }
        }
    }
}
