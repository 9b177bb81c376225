// TestServer: the public entry: a server in a simulated world, driven by the test. One thread at a time.

internal import UringRing
internal import UringSimulation
public import UringHTTP

/// A whole server in memory: loops, parser, router, timeouts and responses are those that serve, on a simulated kernel. No socket, no thread, no waiting; the same seed gives
/// the same run.
///
///     let test = try TestServer(router: makeRouter())
///     let response = try test.request(.get, "/hello/world")
///     #expect(response.status == .ok)
///     #expect(response.body == #"{"hello":"world"}"#)
///
/// The server runs within the calls of this class, of `TestConnection` and of `TestExchange`, on the caller's thread, until what was asked for is there or nothing can happen any
/// more. **Time stands still** meanwhile: timeouts, and producers that wait, are for `advance(by:)`.
///
/// Simulated: HTTP/1.1 in clear, over connections with buffers of their own; one loop, whatever `options.loops` says. HTTP/2 by prior knowledge can be spoken in raw bytes. Not
/// simulated: TLS, and what a handler does with the socket of an upgraded connection. Files are the real ones.
///
/// Use one on one thread at a time. It ends when it is let go of; `finish` ends it in order and tells what it did not give back.
public final class TestServer {
    private let world: TestWorld
    /// What happens is drawn from it.
    public let seed: UInt64

    /// - Parameters:
    ///   - options: as for `Server`; addresses and loops are of no meaning here.
    ///   - seed: decides everything that is left to chance.
    ///   - faults: what goes wrong, and how often.
    ///   - handler: as for `Server`. Called on the thread of the test.
    public init(options: ServerOptions = ServerOptions(), seed: UInt64 = 1, faults: TestFaults = TestFaults(), handler: @escaping Handler) {
        self.seed = seed
        self.faults = faults
        world = TestWorld(options: options, application: Application(handler: handler), seed: seed, faults: faults)
    }

    /// As `init(options:seed:faults:handler:)`, with everything an application can say. Its reporter hears what `reports` tells.
    public init(application: Application, options: ServerOptions = ServerOptions(), seed: UInt64 = 1, faults: TestFaults = TestFaults()) {
        self.seed = seed
        self.faults = faults
        world = TestWorld(options: options, application: application, seed: seed, faults: faults)
    }

    /// A server that answers by a router.
    /// - Throws: when patterns are malformed or in conflict.
    public convenience init(router: Router, options: ServerOptions = ServerOptions(), seed: UInt64 = 1, faults: TestFaults = TestFaults()) throws(RouterError) {
        self.init(application: try Application(router: router), options: options, seed: seed, faults: faults)
    }

    deinit { world.end() }

    // MARK: requests

    /// Sends a request on a connection of its own, reads the response, and closes.
    /// - Parameters:
    ///   - method: any but `.other`.
    ///   - target: path and query as they stand in the request line.
    ///   - headers: sent in this order. `host` and `content-length` are added when they are missing.
    ///   - body: sent in one piece; see `start` for others.
    ///   - limit: how much simulated time may pass. None by default: a response that waits for time is an error that says so.
    /// - Throws: `TestFailure` when no response comes, or a malformed one.
    @discardableResult
    public func request(
        _ method: HTTPMethod, _ target: String, headers: TestHeaders = [:], body: TestBytes? = nil, within limit: Duration = .zero
    ) throws -> TestResponse {
        let connection = connect()
        let response = try connection.request(method, target, headers: headers, body: body, within: limit)
        connection.close()
        try world.drive()
        return response
    }

    /// Sends a request on a connection of its own and returns when nothing more can happen: the response may be under way, and the body is sent by the caller.
    ///
    ///     let events = try test.start(.get, "/events")
    ///     #expect(try events.read() == "data: 1\n\n")
    ///     try test.advance(by: .seconds(1))
    ///     #expect(try events.read() == "data: 2\n\n")
    ///
    /// The parameters are those of `request`; `body` says what follows by `TestExchange.send`.
    public func start(_ method: HTTPMethod, _ target: String, headers: TestHeaders = [:], body: TestRequestBody = .none) throws -> TestExchange {
        try connect().start(method, target, headers: headers, body: body)
    }

    /// A client that connects.
    /// - Parameters:
    ///   - address: its address and port, `192.0.2.1:4000` or `[2001:db8::1]:4000`; one of 10.0.0.0/8 when nil. Traps when it is none.
    ///   - window: bytes that are under way to it before the server has to wait for it, from 1.
    ///   - readBytes: the most that one of its reads takes, from 1.
    public func connect(from address: String? = nil, window: Int = 64 * 1024, readBytes: Int = 64 * 1024) -> TestConnection {
        var source: SocketAddress?
        if let address {
            guard case .success(let parsed) = SocketAddress.parse(address) else { preconditionFailure("'\(address)' is no address with a port") }
            source = parsed
        }
        precondition(window > 0 && readBytes > 0, "a client that takes nothing: see TestConnection.stopReading")
        var options = ClientOptions()
        (options.serverSendBytes, options.readBytes) = (window, 1...readBytes)
        if readBytes == 64 * 1024 { options.readBytes = readBytes...readBytes }
        // Who closes is what tests look at.
        options.closesAtEnd = false
        return TestConnection(world, world.connect(from: source, options: options))
    }

    // MARK: the world

    /// Lets time pass. What was to happen meanwhile happens, each at its time: timeouts, producers that wait.
    /// - Parameter duration: zero or more.
    public func advance(by duration: Duration) throws { try world.advance(by: duration) }

    /// Runs the server until nothing happens any more, without time: after `ExchangeHandle.resume` was called, for instance.
    public func settle() throws { try world.drive() }

    /// How much simulated time has passed.
    public var elapsed: Duration { .nanoseconds(Int64(clamping: world.simulation.now - start)) }
    private let start: UInt64 = 1_000_000_000

    /// The calendar clock, seconds since 1970: 2024-06-01 12:00:00 UTC at the start. Setting it leaves timeouts alone.
    public var unixTime: Int64 {
        get { world.simulation.unixTime }
        set { world.simulation.stepUnixTime(newValue - world.simulation.unixTime) }
    }

    /// What goes wrong from now on.
    public var faults: TestFaults {
        didSet { world.simulation.faults = faults.plan }
    }

    /// What the server told its reporter, in order.
    public var reports: [TestReport] { world.reports.all }
    /// Forgets the reports so far.
    public func clearReports() { world.reports.clear() }

    /// How long, in real time, calls wait for other threads to resume an exchange (`ExchangeHandle.resume`) when nothing else can happen. Zero by default: then a test says
    /// itself when its threads are done, and calls `settle`. With a time, runs are no longer exactly alike.
    public var threadPatience: Duration {
        get { world.threadPatience }
        set { world.threadPatience = newValue }
    }

    /// Ends the server as SIGTERM does: what is under way is finished, then it closes.
    /// - Parameter limit: of simulated time, after which it cuts off who is still connected.
    /// - Throws: `TestFailure` when the server has not given back what it used, or used the kernel wrongly.
    public func finish(within limit: Duration = .seconds(30)) throws {
        let left = try world.drain(within: limit)
        guard left.isEmpty else { throw TestFailure("the server holds \(left.joined(separator: ", ")) at its end") }
        let leaks = world.simulation.leaks()
        guard leaks.isEmpty else { throw TestFailure("not given back: \(leaks.joined(separator: "; "))") }
    }
}
