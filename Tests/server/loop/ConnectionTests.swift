// Life of connections: pipelining, keep-alive and close, limits, drain, upgrades, unix sockets. Timeouts are tested on the simulated clock.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP
import UringServer

@Suite struct ConnectionTests {
    private static let path: Handler = { request, response in response.write(request.path) }

    @Test func pipelinesInOrder() throws {
        let server = try TestServer(Self.path)
        let client = try server.client()
        try client.send((0..<100).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for number in 0..<100 { #expect(try client.readResponse().bodyText == "/\(number)") }
    }

    /// Everything a connection can be asked, in one go and cut at every byte.
    @Test func pipelinesMixedRequests() throws {
        let shared = SharedBytes("shared")
        let server = try TestServer(unix: true) { request, response in
            switch request.path {
            case "/shared": response.write(shared)
            case "/stream":
                response.stream { writer in
                    writer.write("stream")
                    return .end
                }
            case "/error": throw HTTPError(.conflict, "conflict")
            default:
                response.write(request.path)
                response.write(request.body)
            }
        }
        let requests =
            "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyzGET /shared HTTP/1.1\r\nHost: a\r\n\r\n"
            + "GET /stream HTTP/1.1\r\nHost: a\r\n\r\nPOST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            + "GET /error HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n"
        let expected = ["/a", "/bxyz", "shared", "stream", "/chi", "conflict\n", "/last"]
        let bytes = RawClient.bytes(requests)
        let client = try server.client()
        for cut in 0..<bytes.count {
            try client.send(bytes[..<cut])
            try client.waitUntilTaken()
            try client.send(bytes[cut...])
            for text in expected { #expect(try client.readResponse().bodyText == text, "cut at \(cut)") }
        }
    }

    /// More output than the server keeps for one connection: it stops reading until the client takes some.
    @Test func pipelinesBeyondItsBuffers() throws {
        let text = String(repeating: "0123456789", count: 1000)
        let server = try TestServer { _, response in response.write(text) }
        let client = try server.client()
        let count = 500
        try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: count))
        for _ in 0..<count { #expect(try client.readResponse().body.count == 10_000) }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ["close"]), ("GET / HTTP/1.0\r\n\r\n", ["close"]),
        ("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", ["close"]),
        ("GET /close HTTP/1.1\r\nHost: a\r\n\r\n", ["close"]),
    ])
    func closes(request: String, expected: [String]) throws {
        let server = try TestServer { request, response in
            if request.path == "/close" { response.closeConnection() }
            response.write("x")
        }
        let client = try server.client()
        try client.send(request)
        let response = try client.readResponse()
        #expect(response.tokens("connection") == expected)
        #expect(try client.readToEnd().isEmpty)
    }

    @Test func keepsOldConnectionsWhenAsked() throws {
        let server = try TestServer(Self.path)
        let client = try server.client()
        for number in 0..<3 {
            try client.send("GET /\(number) HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.tokens("connection") == ["keep-alive"])
            #expect(response.bodyText == "/\(number)")
        }
    }

    /// The client says that it sends no more, and still gets its answers.
    @Test func halfClosedClientsAreAnswered() throws {
        let server = try TestServer(Self.path)
        let client = try server.client()
        try client.send((0..<20).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        client.finishSending()
        for number in 0..<20 { #expect(try client.readResponse().bodyText == "/\(number)") }
        #expect(try client.readToEnd().isEmpty)
    }

    @Test func requestsPerConnection() throws {
        var options = ServerOptions()
        options.limits.requestsPerConnection = 3
        let server = try TestServer(options: options, Self.path)
        let client = try server.client()
        try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 4))
        for number in 1...3 { #expect(try client.readResponse().tokens("connection") == (number == 3 ? ["close"] : [])) }
        #expect(try client.readToEnd().isEmpty)
    }

    @Test func lineAndHeaderLimits() throws {
        var options = ServerOptions()
        options.limits.requestLineBytes = 100
        options.limits.headerBytes = 500
        options.limits.headerCount = 5
        let server = try TestServer(options: options, Self.path)
        // "GET /…a HTTP/1.1" and its CRLF; the limit's last byte still fits.
        func line(_ count: Int) -> String { "GET /" + String(repeating: "a", count: count - 14) + " HTTP/1.1" }
        #expect(line(100).utf8.count == 100)
        #expect(try server.exchange(line(98) + "\r\nHost: a\r\n\r\n").status == 200)
        let long = try server.exchange(line(101) + "\r\nHost: a\r\n\r\n")
        #expect(long.status == 414)
        #expect(long.tokens("connection") == ["close"])
        #expect(try server.get("/", "x: " + String(repeating: "y", count: 300)).status == 200)
        #expect(try server.get("/", "x: " + String(repeating: "y", count: 500)).status == 431)
        #expect(try server.get("/", "a: 1", "b: 2", "c: 3", "d: 4").status == 200)
        #expect(try server.get("/", "a: 1", "b: 2", "c: 3", "d: 4", "e: 5").status == 431)
    }

    @Test func malformedRequestsAreRefusedAndOthersServed() throws {
        let server = try TestServer(Self.path)
        let client = try server.client()
        try client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().bodyText == "/first")
        #expect(try client.readResponse().status == 400)
        #expect(try client.readToEnd().isEmpty)
        #expect(try server.get("/next").bodyText == "/next")
    }

    // MARK: the end of a server

    @Test func drainFinishesWhatIsUnderWay() throws {
        let began = Locked(false)
        var server: TestServer? = try TestServer(unix: true) { request, response in
            var sent = 0
            response.stream { writer in
                began.withLock { $0 = true }
                writer.write([UInt8](repeating: 7, count: 50_000))
                sent += 1
                return sent == 100 ? .end : .more
            }
        }
        // Used by one thread at a time: by the reader alone once that has started.
        nonisolated(unsafe) let busy = try server!.client()
        let idle = try server!.client()
        try idle.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try idle.readResponse(toHead: true)
        try unsafe busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while !began.withLock({ $0 }) { sched_yield() }
        let body = Locked<Int?>(nil)
        // The client of the response under way reads while the server stops.
        let reader = Reader {
            let response = unsafe try? busy.readResponse()
            body.withLock { $0 = response?.body.count }
        }
        server = nil
        reader.join()
        #expect(body.withLock { $0 } == 5_000_000)
        #expect(try idle.readToEnd().isEmpty)
    }

    @Test func stoppedServersListenNoMore() throws {
        let server = try TestServer(Self.path)
        #expect(try server.get("/a").bodyText == "/a")
        server.running.stop(within: .seconds(20))
        #expect(throws: RawClientError.self) { try server.client() }
        // A second stop finds nothing to do.
        server.running.stop(within: .seconds(20))
    }

    @Test func stopGivesUpAfterItsLimit() throws {
        let server = try TestServer(unix: true) { _, response in response.stream { _ in .wait(milliseconds: 1000) } }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try client.waitUntilTaken()
        server.running.stop(within: .milliseconds(1))
        #expect(throws: RawClientError.self) { try client.readResponse() }
    }

    @Test func unixSocketsAreRemoved() throws {
        let server = try TestServer(unix: true, Self.path)
        guard case .unix(let path) = server.endpoint else { throw SomeError() }
        #expect(try server.get("/a").bodyText == "/a")
        #expect(unsafe access(path, F_OK) == 0)
        server.running.stop(within: .seconds(20))
        #expect(unsafe access(path, F_OK) != 0)
    }

    @Test func replacedHandlers() throws {
        let server = try TestServer { _, response in response.write("old") }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().bodyText == "old")
        server.running.replace(options: ServerOptions(), application: Application { _, response in response.write("new") })
        var answer = ""
        // The message reaches the loop in one of its next turns.
        while answer != "new" {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = try client.readResponse().bodyText
            #expect(answer == "old" || answer == "new")
        }
    }

    // MARK: upgrades

    @Test(arguments: [false, true])
    func upgrade(sendsAtOnce: Bool) throws {
        let server = try TestServer(unix: true) { request, response in
            guard request.headers["upgrade"] == "echo" else { return response.restart(.upgradeRequired) }
            response.upgrade(to: "echo") { connection in
                let thread = Reader { Self.echo(connection) }
                thread.detach()
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n" + (sendsAtOnce ? "early " : ""))
        let response = try client.readResponse()
        #expect(response.status == 101)
        #expect(response.value("upgrade") == "echo")
        #expect(response.tokens("connection") == ["upgrade"])
        #expect(response.value("content-length") == nil)
        try client.send("bytes of another protocol")
        client.finishSending()
        #expect(String(decoding: try client.readToEnd(), as: UTF8.self) == (sendsAtOnce ? "early " : "") + "bytes of another protocol")
        #expect(try server.get("/").status == 426)
    }

    /// Sends everything back until the peer ends; the socket may be non-blocking.
    private static func echo(_ connection: UpgradedConnection) {
        func send(_ bytes: ArraySlice<UInt8>) {
            var bytes = bytes
            while !bytes.isEmpty {
                // The slice owns its bytes through the call.
                let sent = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(connection.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if sent > 0 { bytes = bytes.dropFirst(sent) } else if errno == EAGAIN { wait(POLLOUT) } else { return }
            }
        }
        func wait(_ events: Int32) {
            var request = pollfd(fd: connection.descriptor, events: Int16(events), revents: 0)
            // The kernel writes the request during the call only.
            _ = unsafe poll(&request, 1, 20_000)
        }
        send(connection.received[...])
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            // The array owns the room through the call.
            let count = unsafe room.withUnsafeMutableBytes { unsafe recv(connection.descriptor, $0.baseAddress, $0.count, 0) }
            if count > 0 { send(room[..<count]) } else if count < 0, errno == EAGAIN { wait(POLLIN) } else { return }
        }
    }

    // MARK: starting

    @Test func addressesInUse() throws {
        let server = try TestServer(Self.path)
        #expect(throws: ServerError.self) { try Server(listen: [server.running.addresses[0]], handler: Self.path).start() }
        #expect(throws: ServerError.self) { try Server(listen: ["nonsense"], handler: Self.path).start() }
        #expect(throws: ServerError.self) { try Server(listen: [], handler: Self.path).start() }
    }

    @Test func severalListeners() throws {
        let path = TestServer.temporaryPath()
        let running = try Server(listen: ["127.0.0.1:0", "unix:\(path)", "[::1]:0"], handler: Self.path).start()
        defer { running.stop(within: .seconds(20)) }
        #expect(running.addresses.count == 3)
        for line in running.summary.filter({ $0.hasPrefix("listening") }) {
            let client = try RawClient(try #require(Endpoint(line: line.replacing("http+unix", with: "unix"))))
            try client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().bodyText == "/a")
        }
    }
}

/// A thread of a test.
final class Reader: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        // The body is retained until the thread has taken it.
        let argument = unsafe Unmanaged.passRetained(Body(run)).toOpaque()
        let code = unsafe pthread_create(&thread, nil, { unsafe Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run(); return nil }, argument)
        precondition(code == 0, "BUG: no thread for a test")
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }
    func detach() { pthread_detach(thread) }
}
