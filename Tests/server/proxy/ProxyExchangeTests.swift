// Proxied exchanges on real sockets: what reaches the other server, what comes back, and every way in which either side ends early.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP

@testable import UringServer

/// One server, tried as often as `attemptsMax` says; notes what it is told.
final class TestDirector: ProxyDirector {
    let pools: [UpstreamPool]
    let attemptsMax: Int
    let log: Locked<[String]>
    private var free: [ProxyExchange] = []
    private var chosen = 0

    init(_ response: borrowing Response, _ ports: [UInt16], attemptsMax: Int, _ options: HTTPClientOptions) {
        pools = ports.map { UpstreamPool(on: response, isSecure: false, host: "127.0.0.1", port: $0, options) }
        self.attemptsMax = attemptsMax
        log = Locked([])
    }

    func note(_ text: String) { log.withLock { $0.append(text) } }
    func take(_ response: borrowing Response) -> ProxyExchange { free.popLast() ?? ProxyExchange(on: response) }
    func choose(_ exchange: ProxyExchange) -> ProxyDecision {
        let server = (exchange.attempts) % pools.count
        note("choose \(server)")
        return .to(ProxyChoice(pools[server], server: server))
    }
    func attempted(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, nanoseconds: UInt64) { note("\(outcome)") }
    func released(_ exchange: ProxyExchange, server: Int) { note("released \(server)") }
    func retry(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, _ progress: ProxyProgress) -> UInt64? {
        if case .status(let status) = outcome, status.code < 500 { return nil }
        guard progress == .nothingSent || exchange.request.method.isIdempotent, exchange.attempts < attemptsMax else { return nil }
        // The first repeat at once, others after a while.
        return exchange.now + (exchange.attempts > 1 ? 5_000_000 : 0)
    }
    func finished(_ exchange: ProxyExchange) {
        note("finished")
        free.append(exchange)
    }
    func edit(_ exchange: ProxyExchange, _ response: inout Response) {}
}

/// A proxy to servers at some ports of the loopback.
final class TestProxy: Sendable {
    let server: TestServer
    private let directors: Directors

    private final class Directors: Sendable {
        let made = Locked<[ObjectIdentifier: TestDirectorBox]>([:])
    }
    /// The one loop of the test's server alone touches it; the test reads its log.
    final class TestDirectorBox: @unchecked Sendable {
        let director: TestDirector
        init(_ director: TestDirector) { self.director = director }
    }

    var log: [String] { directors.made.withLock { $0.values.first?.director.log.withLock { $0 } ?? [] } }

    init(to ports: [UInt16], attemptsMax: Int = 1, timeoutNs: UInt64 = .max, streams: Bool = false, clients: HTTPClientOptions = HTTPClientOptions()) throws {
        let directors = Directors()
        self.directors = directors
        let key = ObjectIdentifier(directors)
        var application = Application { request, response in
            let known = directors.made.withLock { $0[key] }
            let box = known ?? TestDirectorBox(TestDirector(response, ports, attemptsMax: attemptsMax, clients))
            if known == nil { directors.made.withLock { $0[key] = box } }
            let exchange = box.director.take(response)
            exchange.request.begin(request)
            exchange.request.copyFields(of: request, upgrades: true) { _, _ in false }
            exchange.forward(response, by: box.director, timeoutNs: timeoutNs, attemptTimeoutNs: .max)
        }
        if streams { application.wantsStream = { _ in true } }
        server = try TestServer(application: application)
    }
}

@Suite("A proxied exchange")
struct ProxyExchangeTests {
    @Test("writes the request anew, and the response")
    func forwards() throws {
        let upstream = try RecordingServer { _, _ in [.answer(201, "made", "X-Thing: 1", "Connection: x-hop", "X-Hop: no", "Server: them", "Keep-Alive: timeout=1")] }
        let proxy = try TestProxy(to: [upstream.port])
        let answer = try proxy.server.exchange(
            "POST /a/b?c=d HTTP/1.1\r\nHost: example.com:80\r\nX-One: 1\r\nConnection: keep-alive, X-Two\r\nX-Two: 2\r\nTE: trailers\r\nProxy-Authorization: x\r\nCookie: a=1\r\nCookie: b=2\r\nContent-Length: 3\r\n\r\nabc")
        #expect(answer.status == 201)
        #expect(answer.body == Array("made".utf8))
        #expect(answer.value("x-thing") == "1")
        #expect(answer.values("x-hop").isEmpty)
        #expect(answer.values("keep-alive").isEmpty)
        #expect(answer.values("server") == ["them"])
        #expect(answer.values("date").count == 1)
        let request = try #require(upstream.requests.first)
        #expect(request.line == "POST /a/b?c=d HTTP/1.1")
        #expect(request.values("host") == ["example.com:80"])
        #expect(request.values("x-one") == ["1"])
        #expect(request.values("x-two").isEmpty)
        #expect(request.values("connection") == ["TE"])
        #expect(request.values("te") == ["trailers"])
        #expect(request.values("proxy-authorization").isEmpty)
        #expect(request.values("cookie") == ["a=1; b=2"])
        #expect(request.values("content-length") == ["3"])
        #expect(request.text == "abc")
        #expect(proxy.log == ["choose 0", "status(201 Created)", "released 0", "finished"])
    }

    @Test("keeps connections to the server, and clients'")
    func keepsAlive() throws {
        let upstream = try RecordingServer { request, _ in [.answer(200, request.line)] }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        for number in 0..<20 {
            try client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse().body == Array("GET /\(number) HTTP/1.1".utf8))
        }
        #expect(upstream.connections == 1)
        // Pipelined ones are answered in their order.
        try client.send((0..<5).map { "GET /p\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for number in 0..<5 { #expect(try client.readFinalResponse().body == Array("GET /p\(number) HTTP/1.1".utf8)) }
    }

    @Test("sends HEAD's length, 204, 304 and empty answers as they are")
    func withoutContent() throws {
        let upstream = try RecordingServer { request, _ in
            switch request.line {
            case "HEAD / HTTP/1.1": [.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")]
            case "HEAD /chunked HTTP/1.1": [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
            case "GET /204 HTTP/1.1": [.send("HTTP/1.1 204 None\r\n\r\n")]
            case "GET /304 HTTP/1.1": [.send("HTTP/1.1 304 Same\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n")]
            default: [.answer(200)]
            }
        }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        try client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: true).value("content-length") == "1000")
        try client.send("HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: true).values("content-length").isEmpty)
        for (path, status) in [("/204", 204), ("/304", 304), ("/", 200)] {
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try client.readFinalResponse()
            #expect(answer.status == status)
            #expect(answer.body.isEmpty)
        }
        #expect(upstream.connections == 1)
    }

    @Test("hands content on as it comes: counted, chunked with trailers, until the close", arguments: [false, true])
    func content(byByte: Bool) throws {
        let piece = String(repeating: "0123456789", count: 200)
        @Sendable func acts(_ text: String) -> [ServerAct] { byByte ? text.utf8.map { .sendBytes([$0]) } : [.send(text)] }
        let upstream = try RecordingServer { request, _ in
            switch request.line {
            case "GET /counted HTTP/1.1": acts("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n\(piece)")
            case "GET /chunked HTTP/1.1": acts("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n\(piece)\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n")
            default: acts("HTTP/1.1 200 OK\r\n\r\n\(piece)") + [.close]
            }
        }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        try client.send("GET /counted HTTP/1.1\r\nHost: a\r\n\r\n")
        let counted = try client.readFinalResponse()
        #expect(counted.body == Array(piece.utf8))
        #expect(counted.value("content-length") == "2000")
        try client.send("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n")
        let chunked = try client.readFinalResponse()
        #expect(chunked.body == Array((piece + "abc").utf8))
        #expect(chunked.trailers.first { $0.name.lowercased() == "x-sum" }?.value == "9")
        try client.send("GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse().body == Array(piece.utf8))
        // The client's connection has nothing to do with the server's.
        try client.send("GET /counted HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse().status == 200)
    }

    @Test("large bodies pass both ways with either side held back", arguments: [false, true])
    func large(streams: Bool) throws {
        let size = 3 << 20
        let upstream = try RecordingServer { request, _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n"), .sendBytes(request.body)]
        }
        let proxy = try TestProxy(to: [upstream.port], streams: streams)
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let client = try proxy.server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
        try client.send(body)
        let answer = try client.readFinalResponse()
        #expect(answer.body == body)
        #expect(upstream.requests.first?.values("content-length") == ["\(size)"])
        // The connection goes on, and so does the server's.
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse().status == 200)
        #expect(upstream.connections == 1)
    }

    @Test("content of every size about what is held back at once, one after the other")
    func sizes() throws {
        let upstream = try RecordingServer { request, _ in
            let count = Int(request.line.split(separator: " ")[1].dropFirst()) ?? 0
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n"), .sendBytes([UInt8](repeating: 7, count: count))]
        }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        for size in [1, 8191, 8192, 32_768, 32_769, 65_535, 65_536, 65_537, 70_000, 131_072, 1 << 20] {
            try client.send("GET /\(size) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse().body.count == size)
        }
        #expect(upstream.connections == 1)
    }

    @Test("streamed bodies go on as they come, chunked ones chunked")
    func streamed() throws {
        let upstream = try RecordingServer { request, _ in [.answer(200, request.text)] }
        let proxy = try TestProxy(to: [upstream.port], streams: true)
        let client = try proxy.server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        usleep(20_000)
        try client.send("2\r\nde\r\n0\r\n\r\n")
        let answer = try client.readFinalResponse()
        #expect(answer.status == 200)
        let text = try #require(upstream.requests.first).text
        #expect(text.hasSuffix("0\r\n\r\n"))
        #expect(text.contains("abc") && text.contains("de"))
        #expect(upstream.requests.first?.values("transfer-encoding") == ["chunked"])
    }

    @Test("what a server does wrong is told with the status that fits", arguments: [
        ("refused", 502), ("closed", 502), ("reset", 502), ("garbage", 502), ("hung", 504), ("half a head", 502),
    ])
    func failures(what: String, status: Int) throws {
        let upstream = try RecordingServer { _, _ in
            switch what {
            case "closed": [.close]
            case "reset": [.reset]
            case "garbage": [.send("220 mail.example.com ESMTP\r\n\r\n")]
            case "half a head": [.send("HTTP/1.1 200 OK\r\nContent-Le"), .close]
            default: [.hang]
            }
        }
        if what == "refused" { upstream.stop() }
        let proxy = try TestProxy(to: [upstream.port], timeoutNs: what == "hung" ? 50_000_000 : .max)
        let answer = try proxy.server.get("/")
        #expect(answer.status == status)
        #expect(answer.value("content-type") == "application/problem+json")
        #expect(proxy.log.filter { $0 == "released 0" }.count == 1, "\(proxy.log)")
        #expect(proxy.log.last == "finished")
        // The proxy goes on.
        #expect(try proxy.server.get("/").status == status)
    }

    @Test("a body that breaks off breaks the client's off", arguments: [ServerAct.close, .reset])
    func truncated(end: ServerAct) throws {
        let upstream = try RecordingServer { _, _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc"), .pause(milliseconds: 20), end] }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(throws: (any Error).self) { try client.readFinalResponse() }
    }

    @Test("a client that leaves takes its request along")
    func cancelled() throws {
        let upstream = try RecordingServer { _, _ in [.hang] }
        let proxy = try TestProxy(to: [upstream.port])
        do {
            let client = try proxy.server.client()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            while upstream.requests.isEmpty { usleep(1000) }
            client.resetOnClose()
        }
        var patience = 2000
        while proxy.log.last != "finished", patience > 0 {
            usleep(1000)
            patience -= 1
        }
        #expect(proxy.log == ["choose 0", "cancelled", "released 0", "finished"])
    }

    @Test("another server is tried when the director says so")
    func retries() throws {
        let dead = try RecordingServer { _, _ in [] }
        dead.stop()
        let failing = try RecordingServer { _, _ in [.answer(503, "busy")] }
        let good = try RecordingServer { request, _ in [.answer(200, request.text)] }
        let proxy = try TestProxy(to: [dead.port, failing.port, good.port], attemptsMax: 3)
        let answer = try proxy.server.exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz")
        #expect(answer.status == 200)
        #expect(answer.body == Array("xyz".utf8))
        #expect(failing.requests.count == 1)
    }

    @Test("what may have been acted upon is not sent twice")
    func unsafeMethods() throws {
        let first = try RecordingServer { _, _ in [.reset] }
        let second = try RecordingServer { _, _ in [.answer()] }
        let proxy = try TestProxy(to: [first.port, second.port], attemptsMax: 2)
        #expect(try proxy.server.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").status == 502)
        #expect(second.requests.isEmpty)
        #expect(try proxy.server.get("/").status == 200)
    }

    @Test("a kept connection that its server has closed costs nobody an answer")
    func stale() throws {
        let upstream = try RecordingServer { _, _ in [.answer(), .close] }
        let proxy = try TestProxy(to: [upstream.port])
        for _ in 0..<5 {
            #expect(try proxy.server.get("/").status == 200)
            usleep(3000)
        }
        #expect(upstream.connections == 5)
    }

    @Test("WebSockets pass, other protocols do not")
    func upgrades() throws {
        let upstream = try RecordingServer { request, _ in
            request.values("upgrade") == ["websocket"]
                ? [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst"), .echo] : [.answer(200, "plain")]
        }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        let head = "Host: a\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"
        try client.send("GET /chat HTTP/1.1\r\n\(head)Upgrade: websocket\r\n\r\n")
        let answer = try client.readResponseHead()
        #expect(answer.status == 101)
        #expect(answer.value("upgrade") == "websocket")
        #expect(answer.tokens("connection") == ["upgrade"])
        #expect(answer.value("sec-websocket-accept") == "x")
        #expect(try client.readSome(5) == Array("first".utf8))
        // In pieces that the sockets' buffers hold, or both ends would wait for the other to read.
        for round in 0..<10 {
            let piece = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 >> 4 &+ round) }
            try client.send(piece)
            #expect(try client.readSome(piece.count) == piece)
        }
        client.finishSending()
        #expect(try client.readToEnd().isEmpty)
        // h2c is not asked for, and so not switched to.
        let other = try proxy.server.client()
        try other.send("GET / HTTP/1.1\r\n\(head)Upgrade: h2c\r\n\r\n")
        #expect(try other.readFinalResponse().status == 200)
        #expect(upstream.requests.last?.values("upgrade") == [])
        #expect(upstream.requests.last?.values("connection") == [])
    }

    @Test("a WebSocket whose server breaks off is broken off")
    func brokenUpgrade() throws {
        let upstream = try RecordingServer { _, _ in
            [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), .pause(milliseconds: 20), .reset]
        }
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        try client.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        #expect(try client.readResponseHead().status == 101)
        #expect(throws: (any Error).self) {
            if try client.readToEnd().isEmpty { throw RawClientError.system(call: "closed", errno: 0) }
        }
    }

    @Test("over HTTP/2 too")
    func http2() throws {
        let upstream = try RecordingServer { request, _ in
            request.line.contains("chunked")
                ? [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n")] : [.answer(200, "\(request.line) \(request.text)")]
        }
        let proxy = try TestProxy(to: [upstream.port], streams: true)
        let client = try FrameClient(proxy.server.endpoint)
        let answer = try client.ask(1, "GET", "/x", [("cookie", "a=1"), ("cookie", "b=2"), ("x-y", "z")])
        #expect(answer.status == 200)
        #expect(answer.body == Array("GET /x HTTP/1.1 ".utf8))
        #expect(upstream.requests.first?.values("cookie") == ["a=1; b=2"])
        #expect(upstream.requests.first?.values("host").count == 1)
        let chunked = try client.ask(3, "GET", "/chunked")
        #expect(chunked.body == Array("abc".utf8))
    }
}
