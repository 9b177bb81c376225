// The adapters to swift-log, swift-metrics, swift-service-lifecycle and swift-http-types, against servers within the process.

#if Log && Metrics && Lifecycle && HTTPTypes
import CoreMetrics
import HTTPTypes
import InMemoryLogging
import Logging
import MetricsTestKit
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import UringHTTPTypes
import UringLifecycle
import UringLog
import UringMetrics
import UringServer

@Suite struct LightAdapterTests {
    private struct Failure: Error {}

    @Test func exchangesAndFailuresAreLogged() async throws {
        let memory = InMemoryLogHandler()
        let logger = Logger(label: "web", factory: { _ in memory })
        var application = Application { request, response in
            response.setRoute("orders")
            if request.path == "/fails" { throw Failure() }
            logger.with(request).info("within")
            response.write("ok")
        }
        application.log(to: logger)
        let server = try LocalServer(application)
        let endpoint = server.endpoint
        _ = try await offTheTask { try endpoint.get("/x?y", "X-Request-Id: abc-1") }
        _ = try await offTheTask { try endpoint.get("/x", "X-Request-Id: two words") }
        _ = try await offTheTask { try endpoint.get("/fails") }
        try await eventually { memory.entries.filter { $0.message == "request" }.count == 3 }
        let lines = memory.entries.filter { $0.message == "request" }.map(\.metadata)
        #expect(lines.map { $0["status"] } == ["200", "200", "500"])
        #expect(lines[0]["path"] == "/x" && lines[0]["method"] == "GET" && lines[0]["route"] == "orders" && lines[0]["request.id"] == "abc-1")
        #expect(lines[1]["request.id"] == nil)
        let within = memory.entries.filter { $0.message == "within" }.compactMap { $0.metadata["request.id"]?.description }
        #expect(within.count == 2 && within[0] == "abc-1" && within[1].contains("-") && within[1] != "two words")
        #expect(memory.entries.contains { $0.message == "a handler failed" && $0.level == .error && $0.metadata["error"] == "Failure()" })
    }

    @Test func linesBelowTheLevelAreNotMade() async throws {
        let memory = InMemoryLogHandler()
        var logger = Logger(label: "web", factory: { _ in memory })
        logger.logLevel = .warning
        var application = Application { _, response in response.write("ok") }
        application.log(to: logger)
        let server = try LocalServer(application)
        let endpoint = server.endpoint
        _ = try await offTheTask { try endpoint.get("/") }
        #expect(memory.entries.isEmpty)
    }

    @Test func requestsAreCountedByRouteAndStatus() async throws {
        let test = TestMetrics()
        let metrics = ServerMetrics(factory: test)
        var application = Application { request, response in
            if request.path == "/named" { response.setRoute("named") }
            if request.path == "/bad" { response.status = .badRequest }
            response.write("0123456789")
        }
        application.flushInterval = .milliseconds(1)
        metrics.observe(&application)
        let running: RunningServer
        do {
            let server = try LocalServer(application)
            running = server.running
            let endpoint = server.endpoint
            for path in ["/named", "/named", "/bad", "/other"] { _ = try await offTheTask { try endpoint.get(path) } }
            metrics.record(running.snapshots())
        }
        // The server has stopped: its loop has handed over what it had.
        func count(_ route: String, _ status: String) -> Int64 { test.counterTotal(label: "http_server_requests", dimensions: [("route", route), ("status", status)]) }
        #expect(count("named", "2xx") == 2)
        #expect(count("none", "4xx") == 1)
        #expect(count("none", "2xx") == 1)
        #expect(try test.expectTimer("http_server_request_duration", [("route", "named")]).values.count == 2)
        #expect(test.counterTotal(label: "http_server_response_bytes", dimensions: [("route", "named")]) > 20)
        #expect(test.counterTotal(label: "http_server_connections_accepted", dimensions: [("loop", "0")]) == 4)
        #expect(try test.expectRecorder("http_server_loop_lag_seconds", [("loop", "0"), ("stat", "p99")]).values.count == 1)
        #expect(test.counterTotal(label: "http_server_tls_handshakes", dimensions: [("loop", "0"), ("kind", "full")]) == 0)
    }

    @Test func moreRoutesThanATableHolds() async throws {
        let test = TestMetrics()
        let metrics = ServerMetrics(factory: test)
        var application = Application { request, response in response.setRoute(RouteName(registering: "route-\(String(request.path))")) }
        metrics.observe(&application)
        do {
            let server = try LocalServer(application)
            let endpoint = server.endpoint
            try await offTheTask {
                let client = try RawClient(endpoint)
                for number in 0..<300 {
                    try client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
                    _ = try client.readFinalResponse()
                }
            }
        }
        #expect(test.counterTotal(label: "http_server_requests", dimensions: [("route", "route-/0"), ("status", "2xx")]) == 1)
        #expect(test.counterTotal(label: "http_server_requests", dimensions: [("route", "other"), ("status", "2xx")]) == 300 - 256)
    }

    @Test func aServerIsAService() async throws {
        var options = ServerOptions()
        options.loops = .count(1)
        let path = "/tmp/uring-adapters-\(UInt64.random(in: 0 ... .max)).sock"
        let server = Server(listen: ["unix:" + path], options: options) { _, response in response.write("served") }
        let group = ServiceGroup(configuration: .init(services: [server], logger: Logger(label: "quiet", factory: { _ in SwiftLogNoOpLogHandler() })))
        let task = Task { try await group.run() }
        while (try? await offTheTask { try Endpoint.unix(path: path).get("/") }.bodyText) != "served" { try await Task.sleep(for: .milliseconds(5)) }
        await group.triggerGracefulShutdown()
        try await task.value
    }

    @Test func aCancelledServiceEnds() async throws {
        var options = ServerOptions()
        options.loops = .count(1)
        let server = Server(listen: ["127.0.0.1:0"], options: options) { _, response in response.write("served") }
        let task = Task { try await server.run() as Void }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func headsAreCopiedBothWays() async throws {
        let seen = Mutex<[HTTPRequest]>([])
        let made = Mutex<HTTPResponse?>(nil)
        let server = try LocalServer(
            Application { request, response in
                seen.withLock { $0.append(HTTPRequest(request)) }
                var head = HTTPResponse(status: .init(code: 299, reasonPhrase: "ours"), headerFields: [.contentType: "text/x", .connection: "close", .contentLength: "9"])
                head.headerFields.append(HTTPField(name: .setCookie, value: "a=1"))
                head.headerFields.append(HTTPField(name: .setCookie, value: "b=2"))
                response.set(head)
                made.withLock { $0 = HTTPResponse(response) }
                response.write("body")
            })
        let endpoint = server.endpoint
        let answer = try await offTheTask { try endpoint.exchange("BREW /a%20b?c HTTP/1.1\r\nHost: example.com\r\nX-Latin: \u{e4}\r\nx-latin: 2\r\n\r\n") }
        #expect(answer.status == 299 && answer.values("set-cookie") == ["a=1", "b=2"] && answer.value("content-length") == "4" && answer.tokens("connection") == ["close"])
        let request = try #require(seen.withLock { $0.first })
        #expect(request.method.rawValue == "BREW" && request.scheme == "http" && request.authority == "example.com" && request.path == "/a%20b?c")
        #expect(request.headerFields.map(\.name.rawName) == ["X-Latin", "x-latin"])
        // Copied within the call.
        let latin = unsafe request.headerFields[0].withUnsafeBytesOfValue { unsafe Array($0) }
        #expect(latin == [0xe4])
        #expect(made.withLock { $0?.headerFields.map(\.value) } == ["text/x", "9", "a=1", "b=2"])
    }

    @Test(arguments: UringServer.HTTPMethod.allCases)
    func methods(method: UringServer.HTTPMethod) {
        guard let theirs = HTTPRequest.Method(method) else { return #expect(method == .other) }
        #expect(UringServer.HTTPMethod(theirs) == method)
        #expect(theirs.rawValue == "\(method.name)")
    }
}
#endif
