// A server of the library within the test's process, on a free port of the loopback or on a unix socket. Stops with its object.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

final class TestServer: Sendable {
    let running: RunningServer
    let endpoint: Endpoint
    /// What the server told its reporter.
    let reports: Reports

    /// - Parameter unix: listen on a unix socket, where a client can tell what the server has read.
    init(unix: Bool = false, options: ServerOptions = ServerOptions(), application: Application) throws {
        var options = options
        options.loops = .count(1)
        options.deferAccept = false
        // Sanitizers and busy machines are slow, which is no news here.
        options.stallThreshold = .zero
        // A client that a test leaves connected would hold the server's stop up as long.
        if options.timeouts.linger == ServerOptions().timeouts.linger { options.timeouts.linger = .milliseconds(100) }
        var application = application
        let reports = Reports()
        if application.reporter == nil { application.reporter = reports }
        self.reports = reports
        let address = unix ? "unix:" + Self.temporaryPath() : "127.0.0.1:0"
        running = try Server(listen: [address], options: options, application: application).start()
        endpoint = try #require(Endpoint(line: "listening on http://\(running.addresses[0])") ?? Endpoint(line: "listening on \(running.addresses[0])"))
    }

    convenience init(unix: Bool = false, options: ServerOptions = ServerOptions(), _ handler: @escaping Handler) throws {
        try self.init(unix: unix, options: options, application: Application(handler: handler))
    }

    convenience init(unix: Bool = false, options: ServerOptions = ServerOptions(), router: Router) throws {
        try self.init(unix: unix, options: options, application: Application(router: router))
    }

    deinit { running.stop(within: .seconds(20)) }

    func client() throws -> RawClient { try RawClient(endpoint) }

    /// One request on a connection of its own.
    func exchange(_ request: String, toHead: Bool = false) throws -> RawResponse {
        let client = try client()
        try client.send(request)
        return try client.readFinalResponse(toHead: toHead)
    }

    /// GET with an optional head of further lines.
    func get(_ target: String, _ lines: String...) throws -> RawResponse { try request("GET", target, lines) }

    func request(_ method: String, _ target: String, _ lines: [String] = []) throws -> RawResponse {
        let head = lines.map { $0 + "\r\n" }.joined()
        return try exchange("\(method) \(target) HTTP/1.1\r\nHost: example.com\r\n\(head)\r\n", toHead: method == "HEAD")
    }

    static func temporaryPath() -> String {
        "/tmp/uring-test-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock"
    }
}

/// Remembers what a server reports.
final class Reports: ServerReporter {
    private let lines = Locked<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    private func add(_ line: String) { lines.withLock { $0.append(line) } }

    func stalled(_ stall: LoopStall) { add("stalled \(stall.route)") }
    func handlerFailed(_ route: String, _ error: any Error) { add("failed \(route): \(error)") }
    func fieldRefused(_ route: String) { add("refused \(route)") }
    func lengthMismatch() { add("length") }
    func handshakeFailed(_ failure: HandshakeFailure, peer: String) { add("handshake \(failure.reason) \(peer)") }
    func certificatesNotTaken(listener: String, _ reason: String) { add("certificates \(listener): \(reason)") }
}

/// An error that no response type knows.
struct SomeError: Error {}
