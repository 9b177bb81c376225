// The client over HTTP/2: against servers of ours, in clear and over TLS, and against nghttpd. Hostile peers are in HTTP2HostileTests.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP

@testable import UringServer

@Suite(.timeLimit(.minutes(3))) struct HTTP2ClientTests {
    static func options(_ change: (inout HTTPClientOptions) -> Void = { _ in }) -> HTTPClientOptions {
        var options = HTTPClientOptions()
        options.protocols = .http2
        change(&options)
        return options
    }

    static func asking(_ options: HTTPClientOptions = Self.options(), _ body: @escaping @Sendable (HTTPClient) async throws -> String) throws -> String {
        let client = HTTPClient(options: options)
        let server = try TestServer(application: Application(async: { _, response in response.write(try await body(client)) }))
        return try server.get("/").bodyText
    }

    static func reason(_ client: HTTPClient, _ request: HTTPClientRequest) async -> String {
        do {
            let answer = try await client.send(request)
            return "\(answer.status.code) \(String(decoding: try await answer.collect(upTo: 1_000_000), as: UTF8.self))"
        } catch let error as HTTPClientError {
            return "\(error.reason) \(error.wasNotSent)"
        } catch {
            return "\(type(of: error))"
        }
    }

    static func url(_ server: TestServer) -> String { "http://\(server.running.addresses[0])" }

    /// What HTTPClientTests ask of HTTP/1.1: heads, bodies both ways, no content, all on one connection.
    @Test func requestsAndResponses() throws {
        var router = Router()
        router.get("/a%20b") { request, response in
            response.headers["x-connection"] = "\(request.connectionID) \(request.protocolVersion)"
            response.write(request.query!)
        }
        router.post("/up", streamingBody: true) { request, response in
            var count = 0
            for try await piece in try request.bodyStream { count += piece.count }
            response.headers["x-connection"] = "\(request.connectionID) \(request.protocolVersion)"
            response.write("\(count)")
        }
        router.get("/none") { request, response in
            response.headers["x-connection"] = "\(request.connectionID) \(request.protocolVersion)"
            response.status = .noContent
        }
        router.get("/down") { request, response in
            response.headers["x-connection"] = "\(request.connectionID) \(request.protocolVersion)"
            var left = 5_000_000
            response.stream { writer in
                let count = min(left, 60_000)
                writer.write([UInt8](repeating: 66, count: count))
                left -= count
                return left == 0 ? .end : .more
            }
        }
        let other = try TestServer(router: router)
        let url = Self.url(other)
        let result = try Self.asking { client in
            var (lines, connections): ([String], Set<String>) = ([], [])
            func note(_ answer: HTTPClientResponse) async throws {
                connections.insert(answer.header("X-Connection")!)
                var count = 0
                for try await piece in answer.body { count += piece.count }
                lines.append("\(answer.status.code) \(answer.version) \(answer.contentLength.map { "\($0)" } ?? "-") \(count)")
            }
            try await note(client.get(url + "/a%20b?c=d", headers: [("X-Own", "1")]))
            try await note(client.send(HTTPClientRequest(.head, url + "/a%20b?c=d")))
            try await note(client.get(url + "/none"))
            try await note(client.get(url + "/down"))
            try await note(client.post(url + "/up", body: [1, 2, 3]))
            for length in [nil, UInt64(3_000_000)] {
                let (stream, pieces) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
                for _ in 0..<30 { pieces.yield([UInt8](repeating: 67, count: 100_000)) }
                pieces.finish()
                try await note(client.send(HTTPClientRequest(.post, url + "/up", body: .stream(length: length, stream))))
            }
            return "\(lines) \(connections.count)"
        }
        #expect(result == #"["200 HTTP/2.0 3 3", "200 HTTP/2.0 3 0", "204 HTTP/2.0 - 0", "200 HTTP/2.0 - 5000000", "200 HTTP/2.0 1 1", "200 HTTP/2.0 7 7", "200 HTTP/2.0 7 7"] 1"#)
    }

    /// Twenty at once share one connection; when fewer are allowed than ask, the others wait for their turn or have other connections.
    @Test(arguments: [(128, 256, 1...1), (5, 1, 1...1), (5, 2, 1...2)]) func shared(_ streams: Int, _ connectionsMax: Int, _ expected: ClosedRange<Int>) throws {
        var limits = ServerOptions()
        limits.http2.streams = streams
        let other = try TestServer(options: limits, application: Application(async: { request, response in
            try await request.loop.sleep(for: .milliseconds(2))
            response.write("\(request.connectionID)")
        }))
        let url = Self.url(other)
        let result = try Self.asking(Self.options { $0.connectionsPerServerMax = connectionsMax }) { client in
            // The server's limit is known from here on.
            _ = try await client.get(url).collect(upTo: 100)
            let answers = await withTaskGroup(of: String.self) { group in
                for _ in 0..<20 { group.addTask { await Self.reason(client, HTTPClientRequest(.get, url)) } }
                return await group.reduce(into: [String]()) { $0.append($1) }
            }
            return "\(answers.filter { $0.hasPrefix("200 ") }.count) \(Set(answers).count)"
        }
        let parts = result.split(separator: " ").compactMap { Int($0) }
        try #require(parts.count == 2, "\(result)")
        #expect(parts[0] == 20 && expected.contains(parts[1]), "\(result)")
    }

    /// The same when nothing is known yet: what the server refuses is sent again.
    @Test func sharedFromTheBeginning() throws {
        var limits = ServerOptions()
        limits.http2.streams = 5
        let other = try TestServer(options: limits, application: Application(async: { request, response in
            try await request.loop.sleep(for: .milliseconds(2))
            response.write("\(request.connectionID)")
        }))
        let url = Self.url(other)
        let result = try Self.asking(Self.options { $0.connectionsPerServerMax = 1 }) { client in
            let answers = await withTaskGroup(of: String.self) { group in
                for _ in 0..<20 { group.addTask { await Self.reason(client, HTTPClientRequest(.post, url, body: .bytes([1]))) } }
                return await group.reduce(into: [String]()) { $0.append($1) }
            }
            return "\(answers.filter { $0.hasPrefix("200 ") }.count) \(Set(answers).count)"
        }
        #expect(result == "20 1")
    }

    /// Bodies that nobody reads hold up themselves and not the others.
    @Test func slowReaders() throws {
        let other = try TestServer { request, response in
            if request.path == "/endless" {
                response.stream { writer in
                    writer.write([UInt8](repeating: 65, count: 16_000))
                    return .more
                }
            } else {
                response.write("short \(request.connectionID)")
            }
        }
        let url = Self.url(other)
        let result = try Self.asking { client in
            var kept: [HTTPClientResponse] = []
            for _ in 0..<5 { kept.append(try await client.get(url + "/endless")) }
            try await ServerLoop.current?.sleep(for: .milliseconds(20))
            var answers: Set<String> = []
            for _ in 0..<20 { answers.insert(await Self.reason(client, HTTPClientRequest(.get, url))) }
            var counts = 0
            for answer in kept {
                var count = 0
                for try await piece in answer.body {
                    count += piece.count
                    if count > 500_000 { break }
                }
                counts += count > 500_000 ? 1 : 0
            }
            kept = []
            answers.insert(await Self.reason(client, HTTPClientRequest(.get, url)))
            return "\(answers.count) \(counts)"
        }
        #expect(result == "1 5")
    }

    @Test func limits() throws {
        let other = try TestServer { request, response in
            response.headers["x-long"] = String(repeating: "a", count: 300)
            response.write(String(repeating: "b", count: 20))
        }
        let url = Self.url(other)
        for (options, result) in [
            (Self.options(), "200 " + String(repeating: "b", count: 20)), (Self.options { $0.headerBytesMax = 200 }, "malformedResponse false"),
            (Self.options { $0.bodyBytesMax = 19 }, "malformedResponse"),
        ] {
            #expect(try Self.asking(options) { client in await Self.reason(client, HTTPClientRequest(.get, url)) }.hasPrefix(result))
        }
        let counting = try TestServer { request, response in response.write("\(request.connectionID)") }
        let address = Self.url(counting)
        let connections = try Self.asking(Self.options { $0.requestsPerConnectionMax = 2 }) { client in
            var connections: [String] = []
            for _ in 0..<4 { connections.append(await Self.reason(client, HTTPClientRequest(.get, address))) }
            return "\(connections[0] == connections[1]) \(connections[1] == connections[2]) \(connections[2] == connections[3])"
        }
        #expect(connections == "true false true")
    }

    /// The caller leaves: the server is told by RST_STREAM, and the connection goes on.
    @Test func cancelled() throws {
        let seen = Locked<[String]>([])
        let other = try TestServer(application: Application(async: { request, response in
            guard request.path == "/slow" else { return response.write("\(request.connectionID)") }
            do { try await request.loop.sleep(for: .seconds(60)) } catch { seen.withLock { $0.append("\(type(of: error))") } }
        }))
        let url = Self.url(other)
        let result = try Self.asking { client in
            let first = await Self.reason(client, HTTPClientRequest(.get, url))
            let task = Task(executorPreference: ServerLoop.current!.taskExecutor) { await Self.reason(client, HTTPClientRequest(.get, url + "/slow")) }
            try await ServerLoop.current?.sleep(for: .milliseconds(10))
            task.cancel()
            let cancelled = await task.value
            for _ in 0..<2000 where seen.withLock({ $0.isEmpty }) { try await ServerLoop.current?.sleep(for: .milliseconds(1)) }
            return "\(cancelled) \(await Self.reason(client, HTTPClientRequest(.get, url)) == first) \(seen.withLock { $0 })"
        }
        #expect(result == #"CancellationError true ["CancellationError"]"#)
    }

    // MARK: TLS

    /// What ALPN chooses decides: both offered, one of them, and servers that know only one.
    @Test func negotiated() throws {
        let identities = try Identities()
        try identities.make("a", for: "localhost")
        var options = ServerOptions()
        options.loops = .count(1)
        let files = TLSOptions.files(cert: identities("a.pem"), key: identities("a.key"))
        let both = try Server(listeners: [Listener("127.0.0.1:0", tls: files), Listener("127.0.0.1:0", tls: files, http2: .off)], options: options) { request, response in
            response.write("\(request.protocolVersion) \(request.connectionID)")
        }.start()
        defer { both.stop(within: .seconds(20)) }
        let ports = both.addresses.map { String($0.split(separator: ":").last ?? "") }
        let pem = try identities.read("a.pem")
        var results: [String] = []
        for protocols in [HTTPClientProtocols.automatic, .http1, .http2] {
            var wanted = HTTPClientOptions()
            wanted.tls.trust = .pem(pem)
            wanted.protocols = protocols
            results.append(
                try Self.asking(wanted) { client in
                    var lines: [String] = []
                    for port in ports {
                        let answers = await withTaskGroup(of: String.self) { group in
                            for _ in 0..<20 { group.addTask { await Self.reason(client, HTTPClientRequest(.get, "https://localhost:\(port)/")) } }
                            return await group.reduce(into: Set<String>()) { $0.insert($1) }
                        }
                        lines.append("\(Set(answers.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }).sorted()) \(answers.count == 1)")
                    }
                    return lines.joined(separator: " ")
                })
        }
        #expect(
            results == [
                #"["200 HTTP/2.0"] true ["200 HTTP/1.1"] false"#, #"["200 HTTP/1.1"] false ["200 HTTP/1.1"] false"#, #"["200 HTTP/2.0"] true ["tls true"] true"#,
            ])
    }

    /// nghttpd, when it is there: heads, bodies, many at once.
    @Test(.enabled(if: HTTP2ClientTests.hasNghttpd)) func nghttpd() throws {
        let identities = try Identities()
        try identities.make("a", for: "localhost")
        _ = try shell("mkdir \(identities("root")) && head -c 3000000 /dev/zero > \(identities("root/big")) && echo hello > \(identities("root/small"))")
        for secure in [false, true] {
            let port = Int.random(in: 20_000..<30_000)
            let started = try shell(
                "cd /; (PATH=$PATH:/usr/sbin nghttpd \(secure ? "" : "--no-tls") -a 127.0.0.1 -d \(identities("root")) --echo-upload --trailer 'x-sum: 1' \(port) \(secure ? "\(identities("a.key")) \(identities("a.pem"))" : "") >/dev/null 2>&1 & echo $!)")
            let process = try #require(pid_t(started.trimmedText))
            defer { kill(process, SIGTERM) }
            let url = "\(secure ? "https://localhost" : "http://127.0.0.1"):\(port)"
            let pem = try identities.read("a.pem")
            let options = Self.options { $0.tls.trust = .pem(pem) }
            let result = try Self.asking(options) { client in
                for _ in 0..<2000 {
                    if await Self.reason(client, HTTPClientRequest(.get, url + "/small")) == "200 hello\n" { break }
                    try await ServerLoop.current?.sleep(for: .milliseconds(5))
                }
                let big = try await client.get(url + "/big")
                var count = 0
                for try await piece in big.body { count += piece.count }
                let trailers = try await big.body.trailers().map { "\($0.name)=\($0.value)" }
                let posted = try await client.post(url + "/echo", body: [UInt8](repeating: 65, count: 300_000)).collect(upTo: 1 << 20).count
                let many = await withTaskGroup(of: String.self) { group in
                    for _ in 0..<50 { group.addTask { await Self.reason(client, HTTPClientRequest(.get, url + "/small")) } }
                    return await group.reduce(into: Set<String>()) { $0.insert($1) }
                }
                return "\(count) \(trailers) \(posted) \(many)"
            }
            #expect(result == #"3000000 ["x-sum=1"] 300000 ["200 hello\n"]"#)
        }
    }

    static var hasNghttpd: Bool { unsafe access("/usr/bin/nghttpd", X_OK) == 0 || access("/usr/sbin/nghttpd", X_OK) == 0 }
}

extension String {
    fileprivate var trimmedText: String { String(prefix { $0 != "\n" }) }
}
