// TestConnection: one client of the test server, and what it has heard. One thread at a time.

internal import UringSimulation
public import UringHTTP

/// A client's connection. Made by `TestServer.connect`; requests on it are answered in their order.
public final class TestConnection {
    /// How a connection is, seen from the client.
    public enum State: Sendable, Equatable {
        /// Open, or about to be.
        case open
        /// Nobody listens, after `TestServer.finish`.
        case refused
        /// The server has closed in order, and everything it sent was read.
        case closedByServer
        /// Cut off, by the server or by the network.
        case reset
        /// By this client.
        case closedByClient
    }

    private let world: TestWorld
    private let client: SimulatedClient
    /// Bytes that belong to no response yet.
    private var pending: [UInt8] = []
    /// Responses that are expected, in order.
    private var exchanges: [TestExchange] = []
    /// The client has sent bytes of its own: what comes back may be anything.
    private var speaksFreely = false
    private var isHeldBack = false

    /// Content that an exchange has and the test has not read, from which on the client reads no further.
    private static let unreadMax = 1024 * 1024

    init(_ world: TestWorld, _ client: SimulatedClient) {
        (self.world, self.client) = (world, client)
        // What it has read may be all that the test waits for.
        client.onReceive = { [simulation = world.simulation] _ in simulation.returnToDriver() }
        world.add(self)
    }

    /// How the connection is now.
    public var state: State {
        switch client.state {
        case .connecting, .established: .open
        case .refused: .refused
        case .finished: .closedByServer
        case .reset: .reset
        case .closed: .closedByClient
        }
    }

    // MARK: requests

    /// Sends a request and reads its response. See `TestServer.request`.
    @discardableResult
    public func request(
        _ method: HTTPMethod, _ target: String, headers: TestHeaders = [:], body: TestBytes? = nil, within limit: Duration = .zero
    ) throws -> TestResponse {
        try start(method, target, headers: headers, body: body.map { .whole($0) } ?? .none).response(within: limit)
    }

    /// Sends a request without waiting for its response, also behind others that are not answered yet (pipelining). See `TestServer.start`.
    public func start(_ method: HTTPMethod, _ target: String, headers: TestHeaders = [:], body: TestRequestBody = .none) throws -> TestExchange {
        if let last = exchanges.last, !last.isSent { throw TestFailure("the body of \(last.name) is not sent yet: finish() it before the next request") }
        guard state == .open else { throw TestFailure("\(method.name) \(target) cannot be sent: the connection is \(state)") }
        var bytes = try RequestText.head(method, target, headers, body)
        if case .whole(let content) = body { bytes += content.bytes }
        let exchange = TestExchange(self, "\(method.name) \(target)", isHead: method == .head, body)
        exchanges.append(exchange)
        try transmit(bytes)
        return exchange
    }

    // MARK: bytes

    /// Sends bytes as they are: malformed requests, halves of requests, other protocols.
    public func send(_ bytes: TestBytes) throws {
        speaksFreely = true
        try transmit(bytes.bytes)
    }

    /// The bytes that have come and that belong to no request made by `request` or `start`, as they came. Takes them.
    public func receive() throws -> TestBytes {
        try world.drive()
        defer { pending = [] }
        return TestBytes(pending)
    }

    /// Reads the next response to what `send` sent, as strictly as any.
    /// - Parameters:
    ///   - method: that of the request: a response to HEAD has no content.
    ///   - limit: how much simulated time may pass.
    public func response(to method: HTTPMethod = .get, within limit: Duration = .zero) throws -> TestResponse {
        let exchange = TestExchange(self, "what was sent", isHead: method == .head, .none)
        exchanges.append(exchange)
        return try exchange.response(within: limit)
    }

    func transmit(_ bytes: [UInt8]) throws {
        client.send(bytes)
        try world.drive()
    }

    // MARK: going away

    /// Closes: the server reads an end, or is reset when the client has not read everything.
    public func close() { client.close() }
    /// Resets the connection, as a client does that crashes or loses its network's patience.
    public func reset() { client.reset() }
    /// Sends an end and goes on reading.
    public func halfClose() { client.halfClose() }
    /// Reads no further: the server's output stays in the network's buffers, then in the server's.
    public func stopReading() { client.stopReading() }
    /// Reads again, from now on, what has piled up first.
    public func startReading() {
        isHeldBack = false
        client.startReading()
    }

    // MARK: what has arrived

    /// Called by the world after each turn.
    func takeIn() throws {
        if !client.received.isEmpty {
            pending += client.received
            client.dropReceived(client.received.count)
        }
        var input = pending[...]
        defer { if input.count != pending.count { pending = Array(input) } }
        while let exchange = exchanges.first {
            do { try exchange.take(&input, ended: client.state == .finished) } catch let failure as TestFailure {
                throw TestFailure("the response to \(exchange.name) is malformed: \(failure)")
            }
            holdBack(exchange)
            guard exchange.isComplete else { break }
            exchanges.removeFirst()
            if exchange.switchesProtocol { speaksFreely = true }
        }
        if exchanges.isEmpty, !input.isEmpty, !speaksFreely {
            throw TestFailure("\(input.count) bytes that answer no request: \(TestBytes(input.prefix(200)))")
        }
        if state != .open, exchanges.isEmpty { world.remove(self) }
    }

    private func holdBack(_ exchange: TestExchange) {
        guard !isHeldBack, exchange.unreadCount > Self.unreadMax else { return }
        isHeldBack = true
        client.stopReading()
    }

    func readOn() { if isHeldBack { startReading() } }

    /// Drives the world until an exchange is complete.
    func complete(_ exchange: TestExchange, within limit: Duration) throws {
        // It may have come when nobody had asked for it yet.
        try takeIn()
        for other in exchanges { other.readsAll() }
        readOn()
        func isOver() -> Bool { exchange.isComplete || state != .open }
        let deadline = world.simulation.now + TestWorld.nanoseconds(limit)
        try world.drive(until: isOver)
        if !isOver(), limit > .zero { try world.drive(to: deadline, until: isOver) }
        // Whether the connection stays shows now.
        if exchange.isComplete { return try world.drive() }
        throw TestFailure(why(exchange))
    }

    private func why(_ exchange: TestExchange) -> String {
        let reports = world.reports.all.suffix(3).map { "; the server reported: \($0)" }.joined()
        guard state == .open else {
            let part = exchange.hasHead ? "within its response, after \(exchange.contentCount) bytes of content" : "without a response"
            return "\(exchange.name): the connection is \(state) \(part)\(reports)"
        }
        let before = exchanges.firstIndex { $0 === exchange } ?? 0
        let behind = before > 0 ? " (\(before) responses are due before it)" : ""
        let waits = world.wait(of: client) ?? "for nothing of this connection"
        return """
            the response to \(exchange.name) is not complete\(behind): nothing happens any more unless time passes or another thread acts. The server waits \(waits). \
            TestServer.advance(by:) and the parameter `within` let time pass.\(reports)
            """
    }

    /// For what an exchange takes by itself.
    func drive() throws {
        readOn()
        try world.drive()
    }
}
