// ClientPool: the connections of one loop to one server for one client: those that are free, how many there may be, who waits. It answers by callbacks (`ClientWaiter`);
// +Async is the same for tasks. The loop's thread.
//
//   acquire ─ a connection is free, or has streams to spare ─▶ granted, within the call
//           ├ there may be another ─▶ waits, and one is made ─────────────────┐
//           ├ fewer wait than may ──▶ waits                                   │
//           └ otherwise ────────────▶ refused: overloaded                     ▼
//   whatever becomes free, and each place that does: to who has waited longest (`hasRoom`, `connectIfNeeded`)

internal import UringBase
package import UringHTTP
internal import UringHTTP1
internal import UringHTTP2

@safe
package final class ClientPool: @unchecked Sendable {
    /// Connections are shared by what is the same client and the same server; `client` is the client's number.
    package struct Key: Hashable, Sendable {
        package let client: UInt64
        package let scheme: HTTPURL.Scheme
        package let host: String
        package let port: UInt16
        package init(client: UInt64, scheme: HTTPURL.Scheme, host: String, port: UInt16) {
            (self.client, self.scheme, self.host, self.port) = (client, scheme, host, port)
        }
    }

    package let key: Key
    let clients: LoopClients
    private(set) var options: HTTPClientOptions
    let policy: ClientPolicy
    let limits: ParserLimits
    let http2KeepAlive: HTTP2KeepAlive
    var bodyBytesMax: UInt64 { options.bodyBytesMax }

    /// All that stand, each at its `place`.
    private var connections: [ClientConnection] = []
    /// Those that take one request at a time and are free. The one that was used last is used first: the others may grow old and go.
    private var idle: [ClientConnection] = []
    /// Those that are shared. The first that has room is used: the others become empty, and go.
    private var shared: [ClientConnection] = []
    private var connecting: [ClientConnector] = []
    private var waiting = ClientWaitingList()
    /// `connectIfNeeded` is under way.
    private var isConnecting = false
    /// What the server speaks, as far as is known.
    enum Spoken { case unknown, http1, http2 }
    private(set) var spoken: Spoken
    /// What one connection of HTTP/2 is good for, as far as is known.
    private var streamsPerConnection: Int

    init(_ clients: LoopClients, _ key: Key, _ options: HTTPClientOptions) {
        (self.clients, self.key, self.options) = (clients, key, options)
        policy = options.policy
        streamsPerConnection = max(1, min(HTTP2ClientSettings.streamsBeforeSettingsMax, options.streamsPerConnectionMax))
        (limits, http2KeepAlive) = (options.parserLimits, options.http2KeepAlive)
        spoken =
            switch (options.protocols, key.scheme) {
            case (.http2, _): .http2
            case (.automatic, .https): .unknown
            case (.automatic, .http), (.http1, _): .http1
            }
    }

    /// What a server of HTTP/2 may say.
    var http2Limits: HTTP2Limits {
        var limits = HTTP2Limits()
        (limits.headerListBytesMax, limits.fieldCountMax) = (self.limits.headerBytesMax, LoopClients.fieldsMax)
        return limits
    }

    // MARK: figures

    /// Connections that stand, idle ones among them.
    package var openCount: Int { connections.count }
    /// Those on which nothing is under way.
    package var idleCount: Int { idle.count + shared.reduce(0) { $0 + ($1.isIdle ? 1 : 0) } }
    /// Connections that are being made.
    package var connectingCount: Int { connecting.count }
    /// Who waits.
    package var pendingCount: Int { waiting.count }

    // MARK: for whoever has a request

    /// Asks for a connection for one request. When one is there, the waiter is answered within the call, and nothing is allocated.
    /// - Returns: what `cancel` takes; 0 when the waiter is answered already.
    @discardableResult
    package func acquire(_ waiter: any ClientWaiter) -> UInt64 {
        if waiting.isEmpty, let connection = takeFree() {
            connection.granted += 1
            waiter.granted(connection)
            return 0
        }
        // Each place that is not taken serves one more.
        let pendingMax = options.pendingPerServerMax + max(0, options.connectionsPerServerMax - connections.count)
        guard waiting.count < pendingMax else {
            waiter.refused(HTTPClientError(.overloaded, "\(options.pendingPerServerMax) requests wait for a connection to \(key.host) already"))
            return 0
        }
        guard !clients.isOver else {
            waiter.refused(Self.loopIsOver)
            return 0
        }
        clients.isUsed(self)
        let ticket = waiting.append(waiter)
        connectIfNeeded()
        return ticket
    }

    /// The waiter does not wait any more, and is told nothing.
    /// - Returns: false when it has been answered.
    @discardableResult
    package func cancel(_ ticket: UInt64) -> Bool {
        guard waiting.remove(ticket) else { return false }
        forgetIfEmpty()
        return true
    }

    /// Other bounds from now on; what stands beyond them stays.
    func resize(connections: Int, pending: Int) {
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (connections, pending)
        connectIfNeeded()
    }

    /// Closes what is idle, and what is not behind its exchanges. Whoever waits is served all the same, by connections that are closed behind that.
    package func retireAll() {
        for connection in connections { connection.retire() }
        for connector in connecting { connector.isRetiring = true }
    }

    /// A connection that has room without being told so; nil when there is none.
    func takeFree() -> ClientConnection? {
        while let connection = idle.popLast() {
            connection.isListed = false
            if connection.room > 0 { return connection }
        }
        return shared.first { $0.room > 0 }
    }

    // MARK: connecting

    /// Makes as many connections as those who wait have use for.
    private func connectIfNeeded() {
        guard !isConnecting, !clients.isOver else { return }
        isConnecting = true
        defer { isConnecting = false }
        while connections.count + connecting.count < options.connectionsPerServerMax, waiting.count > served {
            let connector = ClientConnector(self)
            connecting.append(connector)
            connector.begin()
        }
    }

    /// How many of those who wait the connections that are being made will serve. When the server may speak HTTP/2, the first tells for the others.
    private var served: Int {
        switch spoken {
        case .http1: connecting.count
        case .http2: connecting.count * streamsPerConnection
        case .unknown: connecting.isEmpty ? 0 : .max
        }
    }

    func connected(_ connector: ClientConnector, _ handle: Handle, _ link: TunnelLink) {
        connecting.removeAll { $0 === connector }
        guard let connection = makeTransport(handle, link) else {
            link.close()
            return fail(HTTPClientError(.tls, "\(key.host) does not speak HTTP/2"))
        }
        connection.place = connections.count
        connections.append(connection)
        // Its policy's times are the client's, not those for clients of this server.
        link.watchesOutput(true)
        link.handOver(to: connection)
        serve(connection)
        // To be closed behind its first requests, or at once when there are none.
        if connector.isRetiring || clients.isDraining { connection.isRetiring = true }
        if connection.isRetiring, connection.isIdle { connection.retire() }
        // Others may be needed, now that it is known what one is good for.
        connectIfNeeded()
    }

    /// By what ALPN has chosen, or what is known in advance; nil: not what was asked for.
    private func makeTransport(_ handle: Handle, _ link: TunnelLink) -> ClientConnection? {
        let isHTTP2 = key.scheme == .https ? link.isHTTP2 : options.protocols == .http2
        if options.protocols == .http2, !isHTTP2 { return nil }
        spoken = isHTTP2 ? .http2 : .http1
        guard isHTTP2 else { return HTTP1ClientTransport(self, handle) }
        clients.makeHTTP2Head(http2Limits)
        return HTTP2ClientTransport(self, handle)
    }

    /// The server has said how many requests a connection takes.
    func learned(streams: Int) { streamsPerConnection = max(1, streams) }

    /// No address of the server could be connected to: whom it was made for is told.
    func connectFailed(_ connector: ClientConnector, _ failure: HTTPClientError) {
        connecting.removeAll { $0 === connector }
        fail(failure)
    }

    private func fail(_ failure: HTTPClientError) {
        // One that was to be shared fails for all who have nothing else to wait for.
        refuse(clients.isOver ? waiting.count : spoken == .http1 ? 1 : connecting.isEmpty ? waiting.count : 0, failure)
        connectIfNeeded()
        forgetIfEmpty()
    }

    private static var loopIsOver: HTTPClientError { HTTPClientError(.closed, "the loop is over") }

    /// Those who have waited longest get nothing.
    private func refuse(_ count: Int, _ failure: HTTPClientError) {
        var refused: [any ClientWaiter] = []
        while refused.count < count, let waiter = waiting.popFirst() { refused.append(waiter) }
        for waiter in refused { waiter.refused(failure) }
    }

    // MARK: connections

    /// It takes a request, or another one: its exchange is complete, a grant was given back, its server allows more.
    func hasRoom(_ connection: ClientConnection) {
        if connection.isRetiring { return connection.isIdle ? connection.retire() : () }
        serve(connection)
        if connection.isIdle, clients.isDraining { connection.retire() }
    }

    private func serve(_ connection: ClientConnection) {
        while connection.room > 0, let waiter = waiting.popFirst() {
            connection.granted += 1
            waiter.granted(connection)
        }
        guard connection.room > 0, !connection.isListed, connection.handle != nil else { return }
        connection.isListed = true
        if connection.isShared { shared.append(connection) } else { idle.append(connection) }
    }

    /// It takes no more requests, and ends with those that are under way.
    func isLeaving(_ connection: ClientConnection) {
        unlist(connection)
        connectIfNeeded()
    }

    private func unlist(_ connection: ClientConnection) {
        guard connection.isListed else { return }
        connection.isListed = false
        if connection.isShared { shared.removeAll { $0 === connection } } else { idle.removeAll { $0 === connection } }
    }

    /// It has ended, or is somebody else's; told once.
    func closed(_ connection: ClientConnection) {
        unlist(connection)
        let last = connections.removeLast()
        if last !== connection {
            connections[connection.place] = last
            last.place = connection.place
        }
        if clients.isOver { refuse(waiting.count, Self.loopIsOver) }
        connectIfNeeded()
        forgetIfEmpty()
    }

    private func forgetIfEmpty() {
        if connections.isEmpty, connecting.isEmpty, waiting.isEmpty { clients.isEmpty(self) }
    }
}
