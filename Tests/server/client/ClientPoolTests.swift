// The pool by callbacks, and requests by handles: what a proxy uses. On a loop's thread, over real sockets.

import Glibc
import Synchronization
import TestSupport
import Testing
import UringHTTP

@testable import UringServer

@Suite(.timeLimit(.minutes(3))) struct ClientPoolTests {
    /// Runs a test on a loop, with a pool to a server.
    private func onLoop(
        to url: String, _ options: HTTPClientOptions = HTTPClientOptions(), _ body: @escaping @Sendable (ClientPool, EventLog) async throws -> String
    ) throws -> String {
        let client = HTTPClient(options: options)
        let log = EventLog()
        let port = try #require(UInt16(url.split(separator: ":").last!.prefix { $0 != "/" }))
        let server = try TestServer(application: Application(async: { request, response in
            let pool = try client.pool(.http, "127.0.0.1", port, on: request.loop.executor)
            response.write(try await body(pool, log))
        }))
        return try server.get("/").bodyText
    }

    private func url(_ server: TestServer) -> String { "http://\(server.running.addresses[0])/" }

    private static func figures(_ pool: ClientPool) -> String { "open \(pool.openCount) idle \(pool.idleCount) connecting \(pool.connectingCount) pending \(pool.pendingCount)" }

    @Test func waitsInOrder() throws {
        let other = try TestServer { _, response in response.write("x") }
        var options = HTTPClientOptions()
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 3)
        let result = try onLoop(to: url(other), options) { pool, log in
            let waiters = ["a", "b", "c", "d", "e"].map { ProbeWaiter($0, log) }
            var tickets: [UInt64] = []
            for waiter in waiters { tickets.append(pool.acquire(waiter)) }
            log.add(Self.figures(pool))
            // Out of the middle; and nobody twice.
            log.add("\(pool.cancel(tickets[1])) \(pool.cancel(tickets[1])) \(pool.cancel(tickets[4]))")
            for waiter in [waiters[0], waiters[2], waiters[3]] {
                await waiter.answer()
                let consumer = ProbeConsumer()
                guard let connection = waiter.connection else { return "\(log.all)" }
                _ = connection.begin(consumer)
                await consumer.over()
            }
            log.add(Self.figures(pool))
            // Within the call, now that one is idle; given back, it is idle again.
            let quick = ProbeWaiter("f", log)
            log.add("\(pool.acquire(quick)) \(pool.idleCount)")
            quick.connection?.giveBack()
            log.add(Self.figures(pool))
            return log.all.joined(separator: "; ")
        }
        #expect(
            result == """
                e refused; open 0 idle 0 connecting 1 pending 4; true false false; a granted; c granted; d granted; open 1 idle 1 connecting 0 pending 0; f granted; 0 0; \
                open 1 idle 1 connecting 0 pending 0
                """)
    }

    @Test func refusedWhenItCannotBeConnected() throws {
        let result = try onLoop(to: "http://127.0.0.1:1/") { pool, log in
            let waiters = ["a", "b"].map { ProbeWaiter($0, log) }
            for waiter in waiters { pool.acquire(waiter) }
            for waiter in waiters { await waiter.answer() }
            return "\(log.all) \(waiters.map { "\($0.error!.reason) \($0.error!.wasNotSent)" }) \(Self.figures(pool))"
        }
        #expect(result == #"["a refused", "b refused"] ["connect(111) true", "connect(111) true"] open 0 idle 0 connecting 0 pending 0"#)
    }

    /// A task that is told of its loop's end asks for connections then: they go with the loop while they are being made, no others are begun, and whoever waits is refused.
    @Test(arguments: [1, 4]) func refusedWhenItsLoopEnds(_ connectionsMax: Int) throws {
        let other = try TestServer { _, response in response.write("x") }
        var options = HTTPClientOptions()
        options.connectionsPerServerMax = connectionsMax
        let log = EventLog()
        let result = try onLoop(to: url(other), options) { pool, _ in
            guard let loop = ServerLoop.current else { return "no loop" }
            Task(executorPreference: loop.taskExecutor) {
                try? await loop.sleep(for: .seconds(600))
                for name in ["a", "b"] { pool.acquire(ProbeWaiter(name, log)) }
                log.add(Self.figures(pool))
            }
            return Self.figures(pool)
        }
        #expect(result == "open 0 idle 0 connecting 0 pending 0")
        #expect(log.all == ["open 0 idle 0 connecting \(min(2, connectionsMax)) pending 2", "a refused", "b refused"])
    }

    /// Idle connections close, busy ones behind their exchange.
    @Test(arguments: [HTTPClientProtocols.http1, .http2]) func retires(_ protocols: HTTPClientProtocols) throws {
        let gate = Gate()
        let other = try TestServer(application: Application(async: { request, response in
            if request.path == "/slow" { await gate.wait() }
            response.write("x")
        }))
        var options = HTTPClientOptions()
        options.protocols = protocols
        let result = try onLoop(to: url(other), options) { pool, log in
            let (busy, idle) = (ProbeConsumer(), ProbeConsumer())
            _ = try await pool.acquire().begin(busy, .get, "/slow")
            _ = try await pool.acquire().begin(idle)
            await idle.over()
            log.add(Self.figures(pool))
            pool.retireAll()
            log.add(Self.figures(pool))
            gate.open()
            await busy.over()
            log.add("\(busy.events.last!) \(String(decoding: busy.bytes, as: UTF8.self))")
            log.add(Self.figures(pool))
            return log.all.joined(separator: "; ")
        }
        let open = protocols == .http1 ? "open 2 idle 1" : "open 1 idle 0"
        #expect(
            result == "\(open) connecting 0 pending 0; open 1 idle 0 connecting 0 pending 0; ended  x; open 0 idle 0 connecting 0 pending 0")
    }

    /// Bytes from anywhere, in pieces, with trailers behind; on HTTP/1.1 as chunks.
    @Test(arguments: [HTTPClientProtocols.http1, .http2]) func bodiesAndTrailers(_ protocols: HTTPClientProtocols) throws {
        let other = try TestServer { request, response in
            response.write("\(request.body.count) \(String(request.headers["te"]!)) \(String(request.headers["x-own"]!)) \(String(request.trailers["x-sum"]!)) \(request.trailers.count)")
        }
        var options = HTTPClientOptions()
        options.protocols = protocols
        let result = try onLoop(to: url(other), options) { pool, _ in
            let consumer = ProbeConsumer()
            let long = String(repeating: "v", count: 900)
            guard let handle = try await pool.acquire().begin(consumer, .post, "/", body: .chunked, fields: { fields in
                fields.add("X-Own", "mine")
                fields.add("X-Long", long)
            }) else { return "not started" }
            // More than a window, more than a piece of output.
            let piece = [UInt8](repeating: 7, count: 100_000)
            for _ in 0..<3 { handle.sendBody(piece) }
            handle.sendBody([])
            handle.endBody { fields in
                fields.add("X-Sum", "42")
                fields.add("Content-Length", "1")
                fields.add("X-More", long)
            }
            handle.endBody()
            await consumer.over()
            return "\(consumer.events) \(String(decoding: consumer.bytes, as: UTF8.self))"
        }
        let version = protocols == .http1 ? "HTTP/1.1" : "HTTP/2.0"
        #expect(result == #"["head 200 \#(version) 25 true", "ended "] 300000 trailers mine 42 2"#)
    }

    /// A body that is longer, or shorter, than its head said cuts the request off.
    @Test(arguments: [HTTPClientProtocols.http1, .http2]) func wrongLengths(_ protocols: HTTPClientProtocols) throws {
        let other = try TestServer { request, response in response.write("\(request.body.count)") }
        var options = HTTPClientOptions()
        options.protocols = protocols
        let result = try onLoop(to: url(other), options) { pool, _ in
            var results: [String] = []
            for count in [4, 6, 5] {
                let consumer = ProbeConsumer()
                let handle = try await pool.acquire().begin(consumer, .post, "/", body: .length(5))
                handle?.sendBody([UInt8](repeating: 7, count: count))
                handle?.endBody()
                await consumer.over()
                results.append(consumer.events.last!)
            }
            return "\(results)"
        }
        #expect(result == #"["failed invalidRequest sent", "failed invalidRequest sent", "ended "]"#)
    }

    /// Pieces that wait for the consumer, and an end that does.
    @Test(arguments: [HTTPClientProtocols.http1, .http2]) func pauses(_ protocols: HTTPClientProtocols) throws {
        let other = try TestServer { request, response in
            var left = 400_000
            response.stream { writer in
                let count = min(left, 30_000)
                writer.write([UInt8](repeating: 66, count: count))
                left -= count
                return left == 0 ? .end : .more
            }
        }
        var options = HTTPClientOptions()
        options.protocols = protocols
        let result = try onLoop(to: url(other), options) { pool, _ in
            let consumer = ProbeConsumer()
            consumer.pauses = true
            let handle = try await pool.acquire().begin(consumer)
            await consumer.headIsThere()
            var steps = 0
            while consumer.events.count < 2, steps < 10_000 {
                steps += 1
                consumer.isHeld = false
                handle?.resumeBody()
                try await ServerLoop.current?.sleep(for: .milliseconds(1))
            }
            return "\(consumer.bytes.count) \(consumer.events.last!) \(steps > 2)"
        }
        #expect(result == "400000 ended  true")
    }

    @Test func interimResponsesAndExpectations() throws {
        let peer = try ScriptedPeer(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", byByte: false, closes: false)
        let result = try onLoop(to: peer.url) { pool, _ in
            let consumer = ProbeConsumer()
            let handle = try await pool.acquire().begin(consumer, .put, "/", body: .length(2), expects: true)
            let early = handle?.sendBody(Array("ab".utf8)) ?? true
            await consumer.over()
            return "\(consumer.events) \(early) \(consumer.rooms > 0)"
        }
        #expect(result == #"["interim 103 Link=</a>", "interim 100 ", "head 200 HTTP/1.1 2 true", "ended "] false true"#)
    }

    /// 101: the connection is another protocol's, with what came behind the head.
    @Test func upgrades() throws {
        let peer = try ScriptedPeer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst", byByte: false, closes: false, requestsPerConnection: 2)
        let result = try onLoop(to: peer.url) { pool, log in
            let consumer = ProbeConsumer()
            consumer.tunnel = WrittenDown(log)
            _ = try await pool.acquire().begin(consumer, upgrades: true) { $0.add("Upgrade", "echo") }
            await consumer.over()
            let figures = Self.figures(pool)
            for _ in 0..<2000 where !log.all.contains("closed") && !log.all.contains("ended") { try await ServerLoop.current?.sleep(for: .milliseconds(1)) }
            return "\(consumer.events) \(figures) \(log.all)"
        }
        #expect(result == #"["upgraded 101"] open 0 idle 0 connecting 0 pending 0 ["opened", "got first", "got HTTP/1.1 101", "ended"]"#)
    }

    /// Nobody takes the connection: it is closed, and the loop does without.
    @Test func upgradesThatNobodyTakes() throws {
        let peer = try ScriptedPeer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst", byByte: false, closes: false)
        let result = try onLoop(to: peer.url) { pool, _ in
            let consumer = ProbeConsumer()
            _ = try await pool.acquire().begin(consumer, upgrades: true) { $0.add("Upgrade", "echo") }
            await consumer.over()
            return "\(consumer.events) \(Self.figures(pool))"
        }
        #expect(result == #"["upgraded 101"] open 0 idle 0 connecting 0 pending 0"#)
    }
}

/// Writes down what it gets; asks for more once, and ends with the other side.
private final class WrittenDown: Tunnel {
    let log: EventLog
    init(_ log: EventLog) { self.log = log }
    func opened(_ link: TunnelLink) { log.add("opened") }
    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        let text = unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
        log.add("got \(text.prefix { $0 != " " } == "HTTP/1.1" ? String(text.prefix(12)) : text)")
        if text == "first" {
            // The peer takes it for a second request, and says the same again.
            let request: StaticString = "again\r\n\r\n"
            if let out = unsafe link.reserve(request.utf8CodeUnitCount) {
                unsafe out.update(from: request.utf8Start, count: request.utf8CodeUnitCount)
                link.commit(request.utf8CodeUnitCount)
            }
        } else {
            log.add("ended")
            link.end()
        }
        return count
    }
    func roomAgain(_ link: TunnelLink) {}
    func inputEnded(_ link: TunnelLink) { link.end() }
    func timer(_ link: TunnelLink) {}
    func drain(_ link: TunnelLink) { link.abort() }
    func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
    func closed(_ link: TunnelLink) { log.add("closed") }
}
