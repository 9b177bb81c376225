// The HTTP client on a loop's ring: against servers of ours, and against peers that say what a test wants them to.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP
import UringServer

@Suite struct HTTPClientTests {
    /// A server whose handler asks another.
    private static func asking(_ options: HTTPClientOptions = HTTPClientOptions(), _ body: @escaping @Sendable (HTTPClient, String) async throws -> String) throws -> TestServer {
        let client = HTTPClient(options: options)
        return try TestServer(application: Application(async: { request, response in
            response.write(try await body(client, String(request.headers["x-url"]!)))
        }))
    }

    private func ask(_ server: TestServer, _ url: String) throws -> String {
        let response = try server.request("GET", "/", ["X-Url: \(url)"])
        return response.status == 200 ? response.bodyText : "\(response.status) \(response.bodyText)"
    }

    private static func url(_ server: TestServer) -> String { "http://\(server.running.addresses[0])" }

    @Test func getsAndPosts() throws {
        let other = try TestServer { request, response in
            response.headers["x-method"] = String(request.methodName)
            response.headers["x-host"] = String(request.headers["host"]!)
            response.headers["x-connection"] = "\(request.connectionID)"
            response.write(request.path)
            response.write(request.body)
        }
        let server = try Self.asking { client, url in
            var lines: [String] = []
            var connections: Set<String> = []
            for _ in 0..<3 {
                let got = try await client.get(url + "/a%20b?c=d", headers: [("X-Own", "1")])
                lines.append("\(got.status.code) \(got.header("X-METHOD")!) \(got.contentLength!) \(String(decoding: try await got.collect(upTo: 100), as: UTF8.self))")
                connections.insert(got.header("x-connection")!)
                let posted = try await client.post(url + "/p", body: Array("body".utf8))
                lines.append("\(posted.status.code) \(posted.header("x-method")!) \(String(decoding: try await posted.collect(upTo: 100), as: UTF8.self))")
                connections.insert(posted.header("x-connection")!)
            }
            return "\(Set(lines).sorted()) \(connections.count)"
        }
        #expect(try ask(server, Self.url(other)) == #"["200 GET 6 /a%20b", "200 POST /pbody"] 1"#)
    }

    /// Bodies of any length come in pieces, chunked or counted, and hold the server back while nobody reads.
    @Test func streamsBothWays() throws {
        var router = Router()
        router.get("/down/{n}") { request, response in
            var left = Int(String(request.parameter("n")!))!
            response.stream { writer in
                let count = min(left, 60_000)
                writer.write([UInt8](repeating: 66, count: count))
                left -= count
                return left == 0 ? .end : .more
            }
        }
        router.post("/up", streamingBody: true) { request, response in
            var count = 0
            for try await piece in try request.bodyStream { count += piece.count }
            response.write("\(count)")
        }
        let other = try TestServer(router: router)
        let server = try Self.asking { client, url in
            let down = try await client.get(url + "/down/5000000")
            var bytes = 0
            for try await piece in down.body { bytes += piece.count }
            var results = ["\(bytes)"]
            for length in [nil, UInt64(3_000_000)] {
                let (stream, pieces) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
                for _ in 0..<30 { pieces.yield([UInt8](repeating: 67, count: 100_000)) }
                pieces.finish()
                let up = try await client.send(HTTPClientRequest(.post, url + "/up", body: .stream(length: length, stream)))
                results.append(String(decoding: try await up.collect(upTo: 100), as: UTF8.self))
            }
            return "\(results)"
        }
        #expect(try ask(server, Self.url(other)) == #"["5000000", "3000000", "3000000"]"#)
    }

    /// Responses without content, to HEAD and by status; the connection is used again.
    @Test func responsesWithoutContent() throws {
        let other = try TestServer { request, response in
            response.headers["x-connection"] = "\(request.connectionID)"
            if request.path == "/none" { response.status = .noContent } else { response.write("content") }
        }
        let server = try Self.asking { client, url in
            var seen: [String] = []
            var connections: Set<String> = []
            for (method, path) in [(HTTPMethod.head, "/"), (.get, "/none"), (.get, "/"), (.head, "/none")] {
                let answer = try await client.send(HTTPClientRequest(method, url + path))
                connections.insert(answer.header("x-connection")!)
                seen.append("\(answer.status.code):\(try await answer.collect(upTo: 100).count)")
            }
            return "\(seen) \(connections.count)"
        }
        #expect(try ask(server, Self.url(other)) == #"["200:0", "204:0", "200:7", "204:0"] 1"#)
    }

    /// A response that nobody reads to its end gives its connection up, not the next request's answer.
    @Test func abandonedBodies() throws {
        let other = try TestServer { request, response in
            if request.path == "/endless" {
                response.stream { writer in
                    writer.write("more and more\n")
                    return .more
                }
            } else {
                response.write("short")
            }
        }
        let server = try Self.asking { client, url in
            for _ in 0..<3 {
                let endless = try await client.get(url + "/endless")
                for try await piece in endless.body where !piece.isEmpty { break }
            }
            return String(decoding: try await client.get(url + "/").collect(upTo: 100), as: UTF8.self)
        }
        #expect(try ask(server, Self.url(other)) == "short")
    }

    @Test func manyAtOnce() throws {
        let other = try TestServer(application: Application(async: { request, response in
            try await request.loop.sleep(for: .milliseconds(2))
            response.write(request.path)
        }))
        var options = HTTPClientOptions()
        options.connectionsPerServerMax = 4
        let server = try Self.asking(options) { client, url in
            let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<60 {
                    group.addTask { String(decoding: try await client.get("\(url)/\(number)").collect(upTo: 100), as: UTF8.self) != "/\(number)" }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            return "\(wrong)"
        }
        #expect(try ask(server, Self.url(other)) == "0")
    }

    /// More requests than may wait fail at once.
    @Test func overload() throws {
        let gate = Gate()
        let other = try TestServer(application: Application(async: { _, _ in await gate.wait() }))
        var options = HTTPClientOptions()
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 2)
        let server = try Self.asking(options) { client, url in
            let results = await withTaskGroup(of: String.self) { group in
                for _ in 0..<5 {
                    group.addTask {
                        do {
                            let answer = try await client.get(url)
                            return "\(answer.status.code)"
                        } catch {
                            gate.open()
                            return "\((error as? HTTPClientError)?.reason == .overloaded)"
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            return "\(results.sorted())"
        }
        #expect(try ask(server, Self.url(other)) == #"["200", "200", "200", "true", "true"]"#)
    }

    // MARK: failures

    private static func reason(_ client: HTTPClient, _ request: HTTPClientRequest) async -> String {
        do {
            let answer = try await client.send(request)
            return "\(answer.status.code) \(String(decoding: try await answer.collect(upTo: 1000), as: UTF8.self))"
        } catch let error as HTTPClientError {
            return "\(error.reason)"
        } catch {
            return "\(type(of: error))"
        }
    }

    @Test func requestsThatCannotBeSent() throws {
        let server = try Self.asking { client, _ in
            var reasons: Set<String> = []
            for request in [
                HTTPClientRequest(.get, "ftp://a/"), HTTPClientRequest(.get, "http://a b/"), HTTPClientRequest(.get, "http://127.0.0.1:1/", headers: [("a b", "c")]),
                HTTPClientRequest(.get, "http://127.0.0.1:1/", headers: [("a", "b\r\nc: d")]), HTTPClientRequest(.get, "http://127.0.0.1:1/", headers: [("Content-Length", "5")]),
            ] { reasons.insert(await Self.reason(client, request)) }
            return "\(reasons.sorted()) \(await Self.reason(client, HTTPClientRequest(.get, "http://127.0.0.1:1/")))"
        }
        #expect(try ask(server, "-") == #"["invalidRequest"] connect(\#(ECONNREFUSED))"#)
    }

    /// What peers say, byte by byte, and what becomes of it. `close` ends the connection behind it.
    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"), ("HTTP/1.1 200 OK\r\n\r\nuntil the end", true, "200 until the end"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", true, "200 ok"),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", false, "201 abc"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", true, "closed"), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", true, "closed"),
        ("HTTP/1.1 200 OK\r\nContent-Le", true, "closed"), ("", true, "closed"), ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false, "malformedResponse"),
        ("garbage\r\n\r\n", false, "malformedResponse"), ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false, "malformedResponse"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, "malformedResponse"),
    ])
    func peers(_ text: String, _ close: Bool, _ result: String) throws {
        let peer = try ScriptedPeer(text, byByte: true, closes: close)
        let server = try Self.asking { client, url in await Self.reason(client, HTTPClientRequest(.post, url, body: .bytes([1]))) }
        #expect(try ask(server, peer.url) == result)
    }

    /// A kept connection that the server has closed meanwhile: a request that may be repeated is, once.
    @Test func staleConnections() throws {
        // Answers one request on each connection, and closes when the next one comes.
        let peer = try ScriptedPeer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", byByte: false, closes: false, requestsPerConnection: 1)
        let server = try Self.asking { client, url in
            var results: [String] = []
            for method in [HTTPMethod.get, .get, .get, .post] {
                results.append(await Self.reason(client, HTTPClientRequest(method, url)))
            }
            return "\(results)"
        }
        // The second and the third find theirs closed and are sent again; a POST may not be.
        #expect(try ask(server, peer.url) == #"["200 ok", "200 ok", "200 ok", "closed"]"#)
    }

    /// Each limit, met: head and body of a response, requests on a connection.
    @Test func limits() throws {
        let peer = try ScriptedPeer("HTTP/1.1 200 OK\r\nX-Long: \(String(repeating: "a", count: 300))\r\nContent-Length: 20\r\n\r\n\(String(repeating: "b", count: 20))", byByte: false, closes: false)
        var (head, body) = (HTTPClientOptions(), HTTPClientOptions())
        head.headerBytesMax = 200
        body.bodyBytesMax = 19
        for (options, result) in [(HTTPClientOptions(), "200 " + String(repeating: "b", count: 20)), (head, "malformedResponse"), (body, "malformedResponse")] {
            let server = try Self.asking(options) { client, url in await Self.reason(client, HTTPClientRequest(.get, url)) }
            #expect(try ask(server, peer.url) == result)
        }
        let other = try TestServer { request, response in response.write("\(request.connectionID)") }
        var requests = HTTPClientOptions()
        requests.requestsPerConnectionMax = 2
        let server = try Self.asking(requests) { client, url in
            var connections: [String] = []
            for _ in 0..<4 { connections.append(await Self.reason(client, HTTPClientRequest(.get, url))) }
            return "\(connections[0] == connections[1]) \(connections[1] == connections[2]) \(connections[2] == connections[3])"
        }
        #expect(try ask(server, Self.url(other)) == "true false true")
    }

    @Test func timeouts() throws {
        let peer = try ScriptedPeer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", byByte: false, closes: false)
        let silent = try ScriptedPeer("", byByte: false, closes: false)
        var options = HTTPClientOptions()
        (options.headTimeout, options.bodyTimeout) = (.milliseconds(30), .milliseconds(30))
        let server = try Self.asking(options) { client, url in await Self.reason(client, HTTPClientRequest(.get, url)) }
        #expect(try ask(server, silent.url) == "timeout")
        #expect(try ask(server, peer.url) == "timeout")
    }

    /// The caller of a handler that waits for another server leaves: its request is given up.
    @Test func cancelled() throws {
        let seen = Locked<[String]>([])
        let other = try TestServer(application: Application(async: { request, _ in
            do { try await request.loop.sleep(for: .seconds(60)) } catch { seen.withLock { $0.append("\(type(of: error))") } }
        }))
        let server = try Self.asking { client, url in
            guard url != "-" else { return "" }
            return await Self.reason(client, HTTPClientRequest(.get, url))
        }
        do {
            let client = try server.client()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Url: \(Self.url(other))\r\n\r\n")
            _ = try ask(server, "-")
            // The other has the request when it has answered one more.
            client.resetOnClose()
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while seen.withLock({ $0.isEmpty }), ContinuousClock.now < deadline { _ = try ask(server, "-") }
        #expect(seen.withLock { $0 } == ["CancellationError"])
    }

    @Test func elsewhereItSaysSo() async throws {
        await #expect(throws: AsyncUseError.self) { _ = try await HTTPClient().get("http://127.0.0.1:1/") }
    }
}

/// Over TLS: whom the client believes, and what it says when it does not.
@Suite(.timeLimit(.minutes(3))) struct HTTPSClientTests {
    private static func reason(_ client: HTTPClient, _ url: String) async -> String {
        do {
            let answer = try await client.get(url)
            return "\(answer.status.code) \(String(decoding: try await answer.collect(upTo: 1000), as: UTF8.self))"
        } catch let error as HTTPClientError {
            return "\(error.reason) \(error.description.contains("127.0.0.1"))"
        } catch {
            return "\(error)"
        }
    }

    @Test func trust() throws {
        let identities = try Identities()
        try identities.make("a", for: "localhost")
        var options = ServerOptions()
        options.loops = .count(1)
        let secure = try Server(
            listeners: [Listener("127.0.0.1:0", tls: .files(cert: identities("a.pem"), key: identities("a.key")))], options: options
        ) { request, response in response.write("secure \(request.isSecure)") }.start()
        defer { secure.stop(within: .seconds(20)) }
        let address = secure.addresses[0]
        let port = String(address.split(separator: ":").last ?? "")
        let pem = try identities.read("a.pem")

        var trusting = HTTPClientOptions()
        trusting.tls.trust = .pem(pem)
        trusting.connectsTo = address
        var careless = HTTPClientOptions()
        careless.tls.trust = .unverified
        let clients = [HTTPClient(options: trusting), HTTPClient(), HTTPClient(options: careless)]
        let server = try TestServer(application: Application(async: { _, response in
            // The name is right; the name is another; nobody vouches; nobody is asked to. The second request of the first finds its connection kept.
            for (client, url) in [(0, "https://localhost:\(port)/"), (0, "https://localhost:\(port)/"), (0, "https://b.example/"), (1, "https://127.0.0.1:\(port)/"), (2, "https://127.0.0.1:\(port)/")] {
                response.write(await Self.reason(clients[client], url) + "\n")
            }
        }))
        #expect(try server.get("/").bodyText == "200 secure true\n200 secure true\ntls true\ntls true\n200 secure true\n")
    }

    /// Names are looked up; one that does not exist says so.
    @Test func names() throws {
        let other = try TestServer { _, response in response.write("found") }
        let port = String(other.running.addresses[0].split(separator: ":").last ?? "")
        let client = HTTPClient()
        let server = try TestServer(application: Application(async: { _, response in
            response.write(await Self.reason(client, "http://localhost:\(port)/") + "\n")
            response.write(await Self.reason(client, "http://no-such-name.invalid/") + "\n")
        }))
        #expect(try server.get("/").bodyText == "200 found\nresolve false\n")
    }
}
