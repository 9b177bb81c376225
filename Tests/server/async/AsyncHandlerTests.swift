// Async handlers: where they run, how long their request lives, what happens to those whose client goes.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP
import UringServer

@Suite struct AsyncHandlerTests {
    private static func server(_ options: ServerOptions = ServerOptions(), _ handler: @escaping AsyncHandler) throws -> TestServer {
        try TestServer(options: options, application: Application(async: handler))
    }

    private actor Counter {
        private var value = 0
        func next() -> Int {
            value += 1
            return value
        }
    }

    @Test func answersWithoutWaiting() throws {
        let server = try Self.server { request, response in
            response.headers["x-path"] = String(request.path)
            response.write("hello ")
            response.write(request.body)
        }
        let client = try server.client()
        for _ in 0..<3 {
            try client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld")
            let response = try client.readResponse()
            #expect(response.bodyText == "hello world" && response.values("x-path") == ["/a"])
        }
    }

    /// Before, within and after everything that can be awaited: one thread, that of the loop. (Not tried: `Task.detached`, which needs a thread of the global pool,
    /// and the tests beside this one may block all of them.)
    @Test func staysOnItsLoop() throws {
        let counter = Counter()
        let server = try Self.server { _, response in
            let thread = pthread_self()
            var places: [String] = []
            func note(_ place: String) { places.append(pthread_self() == thread ? place : "\(place) elsewhere") }
            await Task.yield()
            note("yield")
            try await Task.sleep(for: .milliseconds(2))
            note("sleep")
            _ = await counter.next()
            note("actor")
            async let child = { pthread_self() == thread }()
            note(await child ? "child" : "child elsewhere")
            let sum = await withTaskGroup(of: Int.self) { group in
                for number in 1...3 { group.addTask { number } }
                return await group.reduce(0, +)
            }
            note("group \(sum)")
            await withCheckedContinuation { continuation in
                Detached.start { continuation.resume() }
            }
            note("another thread")
            response.write(places.joined(separator: ","))
        }
        #expect(try server.get("/").bodyText == "yield,sleep,actor,child,group 6,another thread")
    }

    /// The loop's memory of a request is used for others meanwhile; the handler's is not.
    @Test func requestLivesAcrossAwaits() throws {
        let server = try Self.server { request, response in
            let path = request.path
            let header = request.headers["x-number"]
            let body = request.body
            guard var scratch = request.scratch(100) else { return }
            scratch[0] = path.span[1]
            for _ in 0..<3 { try await Task.sleep(for: .milliseconds(1)) }
            response.write(path)
            if let header { response.write(header) }
            response.write(body)
            response.write([scratch[0]])
        }
        let clients = try (0..<20).map { _ in try server.client() }
        for (index, client) in clients.enumerated() {
            try client.send("POST /\(index) HTTP/1.1\r\nHost: a\r\nX-Number: <\(index)>\r\nContent-Length: 6\r\n\r\nbody\(index % 10)!")
        }
        for (index, client) in clients.enumerated() {
            #expect(try client.readResponse().bodyText == "/\(index)<\(index)>body\(index % 10)!\(String(index).first!)")
        }
    }

    @Test func pipelinedInOrder() throws {
        let server = try Self.server { request, response in
            if request.path == "/slow" { try await Task.sleep(for: .milliseconds(20)) }
            response.write(request.path)
        }
        let client = try server.client()
        let paths = ["/a", "/slow", "/b", "/slow", "/c"]
        try client.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for path in paths { #expect(try client.readResponse().bodyText == path) }
    }

    private struct Failure: Error {}

    @Test func errors() throws {
        let server = try Self.server { request, _ in
            if request.path == "/late" { await Task.yield() }
            if request.path == "/later" { try await Task.sleep(for: .milliseconds(1)) }
            throw Failure()
        }
        let client = try server.client()
        for path in ["/now", "/late", "/later", "/now"] {
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 500)
        }
    }

    @Test func streamsAfterWaiting() throws {
        let server = try Self.server { _, response in
            try await Task.sleep(for: .milliseconds(1))
            var left = 3
            response.stream { writer in
                writer.write("piece")
                left -= 1
                return left == 0 ? .end : .more
            }
        }
        let client = try server.client()
        for _ in 0..<2 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().bodyText == "piecepiecepiece")
        }
    }

    /// The client leaves: the task is cancelled, its worker is not used again, and what it still does goes nowhere.
    @Test func cancelledWhenTheClientGoes() throws {
        let seen = Locked<[String]>([])
        let server = try Self.server { request, response in
            guard request.path == "/wait" else { return response.write("here") }
            do {
                try await Task.sleep(for: .seconds(60))
            } catch {
                seen.withLock { $0.append("\(type(of: error)) \(Task.isCancelled) \(String(request.path)) \(request.remoteAddress.isEmpty)") }
                response.write("to nobody")
            }
        }
        do {
            let client = try server.client()
            try client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try server.get("/")
            client.resetOnClose()
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while seen.withLock({ $0.isEmpty }), ContinuousClock.now < deadline { _ = try server.get("/") }
        #expect(seen.withLock { $0 } == ["CancellationError true /wait true"])
        #expect(try server.get("/").bodyText == "here")
    }

    @Test func handlerTimeout() throws {
        var options = ServerOptions()
        options.timeouts.handler = .milliseconds(50)
        let server = try Self.server(options) { _, _ in try await Task.sleep(for: .seconds(60)) }
        #expect(try server.get("/").status == 503)
    }

    /// A sync handler decides, and what it set stays set.
    @Test func goesOnFromASyncHandler() throws {
        let server = try TestServer { request, response in
            response.headers["x-sync"] = "yes"
            if request.path == "/sync" { return response.write("sync") }
            response.run { _, response in
                await Task.yield()
                response.write("async")
            }
        }
        let client = try server.client()
        for path in ["/sync", "/async", "/sync", "/async"] {
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.bodyText == String(path.dropFirst()) && response.values("x-sync") == ["yes"])
        }
    }

    /// Handlers that wait when the server stops are cancelled, and it does not wait for those that do not care.
    @Test func stopsWithHandlersThatWait() throws {
        let server = try Self.server { request, _ in
            if request.path == "/deaf" {
                // Never resumed, on purpose.
                unsafe await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            } else {
                try await Task.sleep(for: .seconds(60))
            }
        }
        let clients = try ["/deaf", "/wait"].map { path in
            let client = try server.client()
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        server.running.stop(within: .milliseconds(50))
        withExtendedLifetime(clients) {}
    }
}
