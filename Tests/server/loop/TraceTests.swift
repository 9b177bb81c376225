// Hooks of ServerTrace: which are called, in which order, with what, for each way that a connection and a request can go.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite(.timeLimit(.minutes(2))) struct TraceTests {
    /// What the hooks were told, a line each: the number of the request in front, as `2/` on HTTP/2.
    private final class Log: Sendable {
        private struct State {
            var lines: [String] = []
            var moments: [TraceMoment] = []
            var connections: Set<UInt64> = []
        }
        private let state = Locked(State())

        var lines: [String] { state.withLock { $0.lines } }
        /// Those of one request.
        func lines(_ number: String) -> [String] { lines.filter { $0.hasPrefix(number + " ") }.map { String($0.dropFirst(number.count + 1)) } }
        var connections: Int { state.withLock { $0.connections.count } }
        /// Moments of one loop do not go back.
        var isAscending: Bool { state.withLock { state in zip(state.moments, state.moments.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds } } }

        private func add(_ connection: TracedConnection, _ line: String) {
            #expect(connection.loop == 0)
            state.withLock { state in
                state.lines.append(line)
                state.moments.append(connection.moment)
                state.connections.insert(connection.id)
            }
        }
        private func add(_ request: TracedRequest, _ line: String) { add(request.connection, "\(request.number)\(request.isHTTP2 ? "/" : "") \(line)") }

        /// Waits for what a loop does in its own time.
        func wait(for line: String) {
            let deadline = ContinuousClock.now + .seconds(20)
            while !lines.contains(line), ContinuousClock.now < deadline { sched_yield() }
        }

        var trace: ServerTrace {
            var trace = ServerTrace()
            trace.connectionAccepted = { self.add($0, "accepted") }
            trace.handshakeBegan = { self.add($0, "handshake") }
            trace.handshakeFlight = { self.add($0, "flight") }
            trace.handshakeEnded = { self.add($0, "handshake \($1.result) \($1.version ?? "none")") }
            trace.requestParsed = { self.add($0, "parsed \($1.name) \($2)") }
            trace.requestRefused = { self.add($0, "refused \($1.code)") }
            trace.handlerBegan = { request, view in
                #expect(view.connectionID == request.connection.id)
                self.add(request, "handler \(String(view.path))")
            }
            trace.routeChosen = { self.add($0, "route \($1)") }
            trace.handlerEnded = { self.add($0, "\($1)") }
            trace.responseBegan = { self.add($0, "response \($1.code)") }
            trace.responseSent = { self.add($0, "sent") }
            trace.responseAborted = { self.add($0, "aborted \($1)") }
            trace.connectionClosed = { self.add($0, "closed \($1)") }
            return trace
        }
    }

    private static func router(_ gate: Gate) -> Router {
        var router = Router()
        router.get("/plain") { request, response in response.write("hello") }
        router.get("/throws") { request, response in throw HTTPError(.forbidden) }
        router.get("/yield", name: "yielding") { request, response in
            await Task.yield()
            response.write("hello")
        }
        router.get("/gate") { request, response in
            await gate.wait()
            response.write("hello")
        }
        router.get("/stream") { request, response in
            let stream = try response.startStream()
            try await stream.write("first")
            // Until the head has left.
            try await request.loop.sleep(for: .milliseconds(1))
            try await stream.write("last")
        }
        router.get("/large") { request, response in response.write([UInt8](repeating: 1, count: 30_000_000)) }
        router.get("/cut") { request, response in
            response.stream(length: 10) { writer in
                writer.write("short")
                return .end
            }
        }
        router.get("/close") { request, response in
            response.closeConnection()
            response.write("last")
        }
        router.post("/echo") { request, response in response.write(request.body) }
        router.post("/pieces", streamingBody: true) { request, response in
            response.receiveBody { part, response in
                if part.isLast { response.write("taken") }
                return .more
            }
        }
        return router
    }

    private struct Traced {
        let log = Log()
        let gate = Gate()
        let server: TestServer

        init(options given: ServerOptions = ServerOptions()) throws {
            var options = given
            // Clients that stay are waited for this long at the end of a test.
            options.timeouts.linger = .milliseconds(20)
            var application = try Application(router: router(gate))
            application.trace = log.trace
            server = try TestServer(options: options, application: application)
        }

        /// All that was told, when the server has ended.
        func end() -> [String] {
            gate.open()
            server.running.stop(within: .seconds(20))
            #expect(log.isAscending)
            return log.lines
        }
    }

    private static func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n" }
    /// How many bytes `get` has.
    private static func head(_ path: String) -> Int { get(path).utf8.count }

    private static func plain(_ path: String, route: String? = nil, _ how: String = "returned", status: Int = 200) -> [String] {
        ["parsed GET \(head(path))", "handler \(path)", "route \(route ?? path)", how, "response \(status)", "sent"]
    }

    // MARK: HTTP/1.1

    @Test func keptConnection() throws {
        let traced = try Traced()
        do {
            let client = try traced.server.client()
            for path in ["/plain", "/throws", "/nowhere"] {
                try client.send(Self.get(path))
                _ = try client.readFinalResponse(toHead: false)
            }
        }
        traced.log.wait(for: "closed client")
        let lines = traced.end()
        #expect(lines.first == "accepted" && lines.last == "closed client" && lines.count == 2 + 3 * 6)
        #expect(traced.log.lines("1") == Self.plain("/plain"))
        #expect(traced.log.lines("2") == Self.plain("/throws", "threw", status: 403))
        #expect(traced.log.lines("3") == Self.plain("/nowhere", route: "not found", status: 404))
        #expect(traced.log.connections == 1)
    }

    @Test func serverCloses() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        try client.send(Self.get("/close"))
        _ = try client.readToEnd()
        // The server reads on until the client has seen the end.
        client.finishSending()
        traced.log.wait(for: "closed server")
        #expect(traced.end() == ["accepted"] + Self.plain("/close").map { "1 \($0)" } + ["closed server"])
    }

    @Test func pipelined() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        try client.send(String(repeating: Self.get("/plain"), count: 20) + Self.get("/close"))
        _ = try client.readToEnd()
        let lines = traced.end()
        for number in 1...20 { #expect(traced.log.lines("\(number)") == Self.plain("/plain")) }
        #expect(traced.log.lines("21") == Self.plain("/close"))
        // In order, each once.
        #expect(lines.filter { $0.hasSuffix("sent") } == (1...21).map { "\($0) sent" })
    }

    @Test func asyncHandlers() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        for path in ["/yield", "/stream"] {
            try client.send(Self.get(path))
            _ = try client.readFinalResponse(toHead: false)
        }
        _ = traced.end()
        #expect(traced.log.lines("1") == Self.plain("/yield", route: "yielding"))
        let streamed = traced.log.lines("2")
        #expect(streamed.filter { $0 != "returned" } == Self.plain("/stream").filter { $0 != "returned" })
        // Behind the head, which the handler wrote on before it returned.
        #expect(try #require(streamed.firstIndex(of: "returned")) == 4, "\(streamed)")
    }

    @Test func bodies() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        for path in ["/echo", "/pieces"] {
            try client.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            try client.send("body")
            _ = try client.readFinalResponse(toHead: false)
        }
        _ = traced.end()
        for (number, path) in [("1", "/echo"), ("2", "/pieces")] {
            #expect(Array(traced.log.lines(number).dropFirst()) == ["handler \(path)", "route \(path)", "returned", "response 200", "sent"])
        }
    }

    @Test func clientGoesWhileAHandlerWaits() throws {
        let traced = try Traced()
        do {
            let client = try traced.server.client()
            try client.send(Self.get("/gate"))
            traced.log.wait(for: "1 route /gate")
            client.resetOnClose()
        }
        traced.log.wait(for: "closed client")
        #expect(traced.end() == ["accepted", "1 parsed GET \(Self.head("/gate"))", "1 handler /gate", "1 route /gate", "1 abandoned", "1 aborted client", "closed client"])
    }

    /// The response is written, and the client takes no more than the sockets hold.
    @Test func clientGoesWhileItIsAnswered() throws {
        let traced = try Traced()
        do {
            let client = try traced.server.client()
            try client.send(Self.get("/large"))
            _ = try client.readSome(1000)
            client.resetOnClose()
        }
        traced.log.wait(for: "closed client")
        _ = traced.end()
        #expect(traced.log.lines("1") == Self.plain("/large").dropLast() + ["aborted client"])
    }

    @Test func malformed() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        try client.send(Self.get("/plain") + "GET  / HTTP/1.1\r\n\r\n")
        client.finishSending()
        _ = try client.readToEnd()
        let lines = traced.end()
        #expect(traced.log.lines("1") == Self.plain("/plain"))
        #expect(traced.log.lines("2") == ["refused 400", "response 400", "sent"])
        #expect(lines.last == "closed refused")
    }

    @Test func bodyTooLarge() throws {
        var options = ServerOptions()
        options.limits.bodyBytes = 10
        let traced = try Traced(options: options)
        let client = try traced.server.client()
        try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
        client.finishSending()
        _ = try client.readToEnd()
        _ = traced.end()
        #expect(Array(traced.log.lines("1").dropFirst()) == ["refused 413", "response 413", "sent"])
    }

    @Test func producerFails() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        try client.send(Self.get("/cut"))
        _ = try? client.readToEnd()
        traced.log.wait(for: "closed failure")
        #expect(traced.end().last == "closed failure")
        #expect(traced.log.lines("1") == Self.plain("/cut").dropLast() + ["aborted failure"])
    }

    @Test func timeLimit() throws {
        var options = ServerOptions()
        options.timeouts.handler = .milliseconds(20)
        let traced = try Traced(options: options)
        let client = try traced.server.client()
        try client.send(Self.get("/gate"))
        client.finishSending()
        _ = try client.readToEnd()
        traced.log.wait(for: "closed timeout")
        #expect(traced.end().last == "closed timeout")
        #expect(Array(traced.log.lines("1").dropFirst(3)) == ["abandoned", "refused 503", "response 503", "sent"])
    }

    /// A connection is traced as it was accepted; the next one by what a reload brings.
    @Test func reload() throws {
        let traced = try Traced()
        let later = Log()
        var application = try Application(router: Self.router(traced.gate))
        application.trace = later.trace
        let first = try traced.server.client()
        try first.send(Self.get("/plain"))
        _ = try first.readFinalResponse(toHead: false)
        traced.server.running.replace(options: ServerOptions(), application: application)
        traced.server.running.onEachLoopIsAsked()
        try first.send(Self.get("/plain"))
        _ = try first.readFinalResponse(toHead: false)
        let second = try traced.server.client()
        try second.send(Self.get("/plain"))
        _ = try second.readFinalResponse(toHead: false)
        _ = traced.end()
        #expect(traced.log.lines("2") == Self.plain("/plain") && traced.log.connections == 1)
        #expect(later.lines.first == "accepted" && later.lines("1") == Self.plain("/plain") && later.lines("2") == [])
    }

    @Test func stopped() throws {
        let traced = try Traced()
        let client = try traced.server.client()
        try client.send(Self.get("/plain"))
        _ = try client.readFinalResponse(toHead: false)
        #expect(traced.end().last == "closed stopped")
        withExtendedLifetime(client) {}
    }

    // MARK: HTTP/2

    @Test func http2() throws {
        let traced = try Traced()
        let client = try FrameClient(traced.server.endpoint)
        #expect(try client.ask(1, "GET", "/plain").status == 200)
        #expect(try client.ask(3, "GET", "/yield").status == 200)
        #expect(try client.ask(5, "GET", "/stream").status == 200)
        try client.send(FrameClient.request(7, "POST", "/echo", ends: false), FrameClient.data(7, [1, 2, 3], ends: true))
        #expect(try client.answer(7).status == 200)
        #expect(try client.ask(9, "GET", "/throws").status == 403)
        _ = traced.end()
        let middle = ["returned", "response 200", "sent"]
        #expect(Array(traced.log.lines("1/").dropFirst()) == ["handler /plain", "route /plain"] + middle)
        #expect(Array(traced.log.lines("3/").dropFirst()) == ["handler /yield", "route yielding"] + middle)
        #expect(Set(traced.log.lines("5/").dropFirst()) == Set(["handler /stream", "route /stream"] + middle) && traced.log.lines("5/").last == "sent")
        #expect(Array(traced.log.lines("7/").dropFirst()) == ["handler /echo", "route /echo"] + middle)
        #expect(Array(traced.log.lines("9/").dropFirst()) == ["handler /throws", "route /throws", "threw", "response 403", "sent"])
        #expect(traced.log.lines.filter { $0.hasSuffix("/ parsed") }.isEmpty && traced.log.connections == 1)
    }

    @Test func http2Reset() throws {
        let traced = try Traced()
        let client = try FrameClient(traced.server.endpoint)
        try client.send(FrameClient.request(1, "GET", "/gate"), FrameClient.request(3, "GET", "/plain"))
        #expect(try client.answer(3).status == 200)
        try client.send(FrameClient.reset(1))
        try client.synchronise()
        _ = traced.end()
        #expect(Array(traced.log.lines("1/").dropFirst()) == ["handler /gate", "route /gate", "abandoned", "aborted client"])
        #expect(traced.log.lines("3/").last == "sent")
    }

    /// A list of fields beyond the limit never was a request.
    @Test func http2Refused() throws {
        var options = ServerOptions()
        options.limits.headerBytes = 1000
        let traced = try Traced(options: options)
        let client = try FrameClient(traced.server.endpoint)
        #expect(try client.ask(1, "GET", "/plain", [("x-long", String(repeating: "a", count: 1500))]).status == 431)
        #expect(try client.ask(3, "GET", "/plain").status == 200)
        _ = traced.end()
        #expect(traced.log.lines("1/") == ["refused 431", "response 431", "sent"])
        #expect(traced.log.lines("3/").last == "sent")
    }

    // MARK: TLS

    private func secure(_ command: (Endpoint) -> String) throws -> [String] {
        let (log, gate) = (Log(), Gate())
        var application = try Application(router: Self.router(gate))
        application.trace = log.trace
        application.reporter = Reports()
        var options = ServerOptions()
        options.loops = .count(1)
        options.deferAccept = false
        let running = try Server(listeners: [Listener("127.0.0.1:0", tls: .selfSigned(["localhost"]))], options: options, application: application).start()
        let endpoint = try #require(Endpoint(line: "listening on https://\(running.addresses[0])"))
        let client = try ServerProcess(["-c", command(endpoint)], listeners: 0, binary: "/bin/sh")
        try client.waitForExit()
        running.stop(within: .seconds(20))
        #expect(log.isAscending)
        return log.lines
    }

    @Test func tls() throws {
        let lines = try secure { "printf 'GET /close HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n' | timeout 20 openssl s_client -connect \($0) -ign_eof -tls1_3 2>&1" }
        #expect(lines == ["accepted", "handshake", "flight", "handshake full TLSv1.3"] + Self.plain("/close").map { "1 \($0)" } + ["closed server"])
    }

    /// Its notes are moved by what encryption adds: sent once and in order, however many records.
    @Test func tlsPipelined() throws {
        let many = String(repeating: "GET /plain HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", count: 30)
        let lines = try secure { "printf '\(many)GET /large HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' | timeout 20 openssl s_client -connect \($0) -ign_eof -tls1_2 2>&1 | wc -c" }
        #expect(lines.filter { $0.hasSuffix("sent") } == (1...31).map { "\($0) sent" })
        #expect(lines.dropLast().last == "31 sent")
    }

    @Test func handshakeFails() throws {
        let lines = try secure { "timeout 20 openssl s_client -connect \($0) -alpn foo 2>&1 </dev/null" }
        #expect(lines.prefix(2) == ["accepted", "handshake"] && lines.count == 4)
        #expect(lines[2].hasPrefix("handshake failed") && lines[3] == "closed refused", "\(lines)")
    }

    /// The client leaves before its hello is whole.
    @Test func handshakeAbandoned() throws {
        let lines = try secure { "exec 3<>/dev/tcp/$(echo \($0) | tr : /) ; printf '\\026\\003\\001\\002\\000\\001' >&3".inBash }
        #expect(lines == ["accepted", "handshake", "handshake abandoned none", "closed client"])
    }
}

extension String {
    fileprivate var inBash: String { "bash -c \"\(replacing("\"", with: "\\\"").replacing("$", with: "\\$"))\"" }
}

extension RunningServer {
    /// Messages are taken up in order: what was posted before has been done when this returns.
    fileprivate func onEachLoopIsAsked() { _ = snapshots() }
}
