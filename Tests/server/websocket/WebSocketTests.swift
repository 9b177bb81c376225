// WebSockets of a server, on HTTP/1.1, over real sockets.

import Glibc
import TestSupport
import Testing

import UringBase
@testable import UringServer

/// What a handler was told, for a test to read from another thread.
final class EventLog: Sendable {
    private let lines = Locked<[String]>([])
    private let handles = Locked<[WebSocketHandle]>([])
    var all: [String] { lines.withLock { $0 } }
    var sockets: [WebSocketHandle] { handles.withLock { $0 } }

    func add(_ line: String) { lines.withLock { $0.append(line) } }
    func add(_ handle: WebSocketHandle) { handles.withLock { $0.append(handle) } }

    func note(_ event: WebSocket.Event) {
        switch event {
        case .opened: add("opened")
        case .message(let message): add("\(message.kind) \(message.bytes.count)")
        case .writable: add("writable")
        case .closed(let close): add("closed \(close.code.rawValue) \(close.isClean ? "clean" : "lost") \(String(close.reason))")
        }
    }

    /// Waits until the condition is met: the server's thread is another one.
    func wait(_ location: SourceLocation = #_sourceLocation, _ condition: (EventLog) -> Bool) {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        let end = time.tv_sec + 20
        while !condition(self), time.tv_sec < end {
            sched_yield()
            unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        }
        if !condition(self) { Issue.record("waited in vain: \(all)", sourceLocation: location) }
    }
}

@Suite struct WebSocketTests {
    /// Sends every message back, and tells the log.
    static func echo(unix: Bool = false, _ options: WebSocketOptions = WebSocketOptions(), log: EventLog = EventLog(), server: ServerOptions = ServerOptions()) throws -> TestServer {
        var router = Router()
        router.get("/") { request, response in
            response.webSocket(options) { socket, event in
                log.note(event)
                if case .opened = event { log.add(socket.handle) }
                if case .message(let message) = event { socket.send(message) }
            }
        }
        return try TestServer(unix: unix, options: server, router: router)
    }

    // MARK: messages

    @Test func messagesComeBack() throws {
        let log = EventLog()
        let server = try Self.echo(log: log)
        let client = try WebSocketClient(server)
        var expected = ["opened"]
        for size in [0, 1, 125, 126, 127, 1000, 16_369, 16_370, 16_371, 20_000, 65_535, 65_536, 300_000, 3] {
            for opcode in [1, 2] as [UInt8] {
                let frame = WireFrame(opcode: opcode, payload: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) & 0x7f })
                try client.send(frame)
                #expect(try client.next() == frame)
                expected.append("\(opcode == 1 ? "text" : "binary") \(size)")
            }
        }
        try client.close()
        #expect(log.all == expected + ["closed 1000 clean "])
    }

    @Test func manyAtOnce() throws {
        let server = try Self.echo()
        let client = try WebSocketClient(server, first: WireFrame.text("with the request").masked())
        #expect(try client.text() == "with the request")
        try client.raw.send((0..<2000).flatMap { WireFrame.text("number \($0)").masked() })
        for number in 0..<2000 { #expect(try client.text() == "number \(number)") }
        try client.close(4321)
    }

    @Test func fragmentsAndPings() throws {
        let server = try Self.echo()
        let client = try WebSocketClient(server)
        try client.send(WireFrame(isFinal: false, opcode: 1, payload: Array("grün ".utf8.prefix(3))))
        try client.send(WireFrame(opcode: 9, payload: [1, 2]))
        try client.send(WireFrame(isFinal: false, opcode: 0, payload: Array("grün ".utf8.dropFirst(3))))
        try client.send(WireFrame(isFinal: false, opcode: 0, payload: []))
        try client.send(WireFrame(opcode: 0, payload: [UInt8](repeating: 65, count: 70_000)))
        #expect(try client.next() == WireFrame(opcode: 10, payload: [1, 2]))
        #expect(try client.text() == "grün " + String(repeating: "A", count: 70_000))
        try client.close()
    }

    /// The request, a message, a PING and the Close, cut at every byte.
    @Test func cutAtEveryByte() throws {
        let server = try Self.echo(unix: true)
        let bytes = Array(WebSocketClient.request().utf8) + WireFrame.text("héllo").masked() + WireFrame(opcode: 9, payload: [7]).masked()
            + WireFrame(opcode: 8, payload: [3, 232]).masked()
        for cut in 1..<bytes.count {
            let client = try server.client()
            try client.send(bytes[..<cut])
            try client.waitUntilTaken()
            try client.send(bytes[cut...])
            #expect(try client.readResponse().status == 101)
            var rest = try client.readToEnd()
            #expect(WireFrame.parse(&rest) == .text("héllo"))
            #expect(WireFrame.parse(&rest) == WireFrame(opcode: 10, payload: [7]))
            #expect(WireFrame.parse(&rest)?.closeCode == 1000)
            #expect(rest.isEmpty)
        }
    }

    // MARK: handshake

    @Test func subprotocols() throws {
        var options = WebSocketOptions()
        options.protocols = ["v1.chat", "v2.chat"]
        let chosen = EventLog()
        var router = Router()
        router.get("/") { [options] request, response in
            response.webSocket(options) { socket, event in
                if case .opened = event { chosen.add(socket.chosenProtocol ?? "none") }
            }
            response.headers["x-more"] = "yes"
        }
        let server = try TestServer(router: router)
        let client = try WebSocketClient(server, "/", "Sec-WebSocket-Protocol: v3.chat, v2.chat", "Sec-WebSocket-Protocol: v1.chat")
        #expect(client.answer.value("sec-websocket-protocol") == "v2.chat")
        #expect(client.answer.value("x-more") == "yes")
        let other = try WebSocketClient(server, "/", "Sec-WebSocket-Protocol: v3.chat")
        #expect(other.answer.value("sec-websocket-protocol") == nil)
        chosen.wait { $0.all.count == 2 }
        #expect(chosen.all == ["v2.chat", "none"])
    }

    @Test func refusals() throws {
        let server = try Self.echo()
        let good = WebSocketClient.request()
        func status(_ request: String) throws -> RawResponse { try server.exchange(request) }
        let plain = try status("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        #expect(plain.status == 426 && plain.value("upgrade") == "websocket" && plain.tokens("connection").contains("upgrade"))
        let version = try status(good.replacing("Version: 13", with: "Version: 8"))
        #expect(version.status == 426 && version.value("sec-websocket-version") == "13")
        #expect(try status(good.replacing(WebSocketClient.key, with: "short")).status == 400)
        #expect(try status(good.replacing("\r\n\r\n", with: "\r\nContent-Length: 1\r\n\r\nx")).status == 400)
        #expect(try status(good.replacing("\r\n\r\n", with: "\r\nOrigin: https://evil.example\r\n\r\n")).status == 403)
        #expect(try status(good.replacing("\r\n\r\n", with: "\r\nSec-WebSocket-Extensions: ;;\r\n\r\n")).status == 400)
        #expect(throws: WebSocketClient.Refused.self) { try WebSocketClient(server, "/", "Origin: null") }
        _ = try WebSocketClient(server, "/", "Origin: http://EXAMPLE.com:80")
    }

    @Test(arguments: [
        ("https://example.com", "example.com", true), ("https://example.com", "Example.COM:443", true), ("https://example.com:443", "example.com", true),
        ("http://example.com", "example.com:80", true), ("http://example.com:8080", "example.com:8080", true), ("http://[::1]:3000", "[::1]:3000", true),
        ("http://example.com", "example.com:443", false), ("https://example.com:8443", "example.com", false), ("https://evil.example", "example.com", false),
        ("https://example.com.evil.example", "example.com", false), ("null", "example.com", false), ("", "example.com", false), ("https://", "", false), ("https:", "", false),
    ])
    func sameHost(origin: String, host: String, allowed: Bool) {
        let (origin, host) = (Array(origin.utf8), Array(host.utf8))
        unsafe origin.withUnsafeBufferPointer { origin in
            unsafe host.withUnsafeBufferPointer { host in
                let answer = unsafe WebSocketOptions.Origins.sameHost.allow(origin, authority: host)
                #expect(answer == allowed)
                #expect(unsafe WebSocketOptions.Origins.any.allow(origin, authority: host))
                #expect(unsafe WebSocketOptions.Origins.sameHost.allow(nil, authority: host))
                let listed = unsafe WebSocketOptions.Origins.only(["https://a.example", "https://EXAMPLE.com"]).allow(origin, authority: host)
                let isListed = unsafe String(decoding: origin, as: UTF8.self) == "https://example.com"
                #expect(listed == isListed)
            }
        }
    }

    /// A tunnel where the request has asked for none is an error of the program.
    @Test func switchingUnasked() throws {
        let server = try TestServer { request, response in
            response.webSocket { _, _ in }
            response.status = .ok
        }
        let answer = try server.exchange(WebSocketClient.request())
        #expect(answer.status == 500)
    }

    // MARK: rules

    struct Offence: Sendable, CustomStringConvertible {
        let name: String
        let bytes: [UInt8]
        let code: Int
        var description: String { name }
        init(_ name: String, _ bytes: [UInt8], _ code: Int) { (self.name, self.bytes, self.code) = (name, bytes, code) }
    }

    static let offences: [Offence] = [
        Offence("no mask", WireFrame.text("a").masked(nil), 1002),
        Offence("reserved bit", WireFrame.text("a").masked(extraBits: 0x20), 1002),
        Offence("compressed without agreement", WireFrame(isCompressed: true, opcode: 1, payload: [65]).masked(), 1002),
        Offence("reserved opcode", WireFrame(opcode: 3, payload: []).masked(), 1002),
        Offence("reserved control opcode", WireFrame(opcode: 11, payload: []).masked(), 1002),
        Offence("nothing to continue", WireFrame(opcode: 0, payload: [65]).masked(), 1002),
        Offence("message within a message", WireFrame(isFinal: false, opcode: 1, payload: [65]).masked() + WireFrame.text("b").masked(), 1002),
        Offence("long PING", WireFrame(opcode: 9, payload: [UInt8](repeating: 0, count: 126)).masked(), 1002),
        Offence("PING in fragments", WireFrame(isFinal: false, opcode: 9, payload: []).masked(), 1002),
        Offence("length not in its shortest form", [0x81, 0xfe, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0], 1002),
        Offence("Close of one byte", WireFrame(opcode: 8, payload: [3]).masked(), 1002),
        Offence("Close with 1005", WireFrame(opcode: 8, payload: [3, 237]).masked(), 1002),
        Offence("no UTF-8", WireFrame(opcode: 1, payload: [0xc0, 0xaf]).masked(), 1007),
        Offence("UTF-8 that is cut", WireFrame(opcode: 1, payload: [0xe2, 0x82]).masked(), 1007),
        Offence("reason that is no UTF-8", WireFrame(opcode: 8, payload: [3, 232, 0xff]).masked(), 1007),
        Offence("large frame", [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4], 1009),
        Offence("large message", (0..<3).flatMap { WireFrame(isFinal: $0 == 2, opcode: $0 == 0 ? 2 : 0, payload: [UInt8](repeating: 0, count: 40_000)).masked() }, 1009),
        Offence("many fragments", (0..<11).flatMap { WireFrame(isFinal: false, opcode: $0 == 0 ? 2 : 0, payload: [0]).masked() }, 1008),
        Offence("many PINGs", (0..<201).flatMap { _ in WireFrame(opcode: 9, payload: []).masked() }, 1008),
    ]

    @Test(arguments: offences) func brokenRules(offence: Offence) throws {
        var options = WebSocketOptions()
        options.limits.frameBytes = 65_536
        options.limits.messageBytes = 100_000
        options.limits.fragments = 10
        let log = EventLog()
        let server = try Self.echo(options, log: log)
        let client = try WebSocketClient(server)
        try client.send("first")
        #expect(try client.text() == "first")
        try client.raw.send(offence.bytes)
        try client.expectClose(offence.code)
        #expect(log.all.last == "closed \(offence.code) lost ")
        #expect(log.all.filter { $0.hasPrefix("closed") }.count == 1)
    }

    // MARK: ends

    @Test func serverCloses() throws {
        let log = EventLog()
        let server = try TestServer { request, response in
            response.webSocket { socket, event in
                log.note(event)
                guard case .message = event else { return }
                socket.send("last")
                socket.close(WebSocket.CloseCode(rawValue: 4001), reason: "enough")
                log.add("\(socket.isOpen) \(socket.send("late"))")
            }
        }
        let client = try WebSocketClient(server)
        try client.send("a")
        #expect(try client.text() == "last")
        let close = try client.next()
        #expect(close.closeCode == 4001 && close.payload.dropFirst(2).elementsEqual("enough".utf8))
        try client.send(WireFrame(opcode: 8, payload: [15, 161] + Array("bye".utf8)))
        #expect(try client.raw.readToEnd().isEmpty)
        #expect(log.all == ["opened", "text 1", "false closed", "closed 4001 clean bye"])
    }

    @Test func clientVanishes() throws {
        let log = EventLog()
        let server = try Self.echo(log: log)
        do {
            let client = try WebSocketClient(server)
            client.raw.finishSending()
            // Nothing is said to who has left without a word (RFC 6455 section 7.1.1: the server may just close).
            #expect(try client.raw.readToEnd().isEmpty)
        }
        log.wait { $0.all.last == "closed 1006 lost " }
        do {
            let client = try WebSocketClient(server)
            client.raw.resetOnClose()
        }
        log.wait { $0.all.filter { $0 == "closed 1006 lost " }.count == 2 }
    }

    @Test func handlerThrows() throws {
        let log = EventLog()
        let server = try TestServer { request, response in
            response.setRoute("sad")
            response.webSocket { socket, event in
                log.note(event)
                if case .message = event { throw SomeError() }
            }
        }
        let client = try WebSocketClient(server)
        try client.raw.send(WireFrame.text("a").masked() + WireFrame.text("b").masked())
        try client.expectClose(1011)
        #expect(server.reports.all == ["failed sad: SomeError()"])
        #expect(log.all == ["opened", "text 1", "closed 1011 clean "])
    }

    @Test func drain() throws {
        let log = EventLog()
        let server = try Self.echo(log: log)
        let client = try WebSocketClient(server)
        try client.send("a")
        #expect(try client.text() == "a")
        let stopped = EventLog()
        let running = server.running
        Detached.start {
            running.stop(within: .seconds(15))
            stopped.add("stopped")
        }
        try client.expectClose(1001)
        stopped.wait { !$0.all.isEmpty }
        #expect(log.all == ["opened", "text 1", "closed 1001 clean "])
    }

    // MARK: slow clients

    @Test func slowClientIsClosed() throws {
        var options = WebSocketOptions()
        options.limits.queuedBytes = 100_000
        let log = EventLog()
        let server = try Self.echo(options, log: log)
        let client = try WebSocketClient(server)
        log.wait { $0.sockets.count == 1 }
        let piece = String(repeating: "x", count: 50_000)
        // Beyond any socket buffer.
        for _ in 0..<400 { log.sockets[0].send(piece) }
        var count = 0
        var frame = try client.next()
        while frame.opcode == 1 {
            #expect(frame.payload.count == 50_000)
            count += 1
            frame = try client.next()
        }
        #expect(frame.closeCode == 1008 && count < 400)
        try client.send(WireFrame(opcode: 8, payload: Array(frame.payload.prefix(2))))
        #expect(try client.raw.readToEnd().isEmpty)
        #expect(log.all == ["opened", "closed 1008 clean "])
    }

    @Test func slowClientMissesMessages() throws {
        var options = WebSocketOptions()
        options.limits.queuedBytes = 100_000
        options.limits.slowClients = .refuse
        let log = EventLog()
        let server = try TestServer { [options] request, response in
            response.webSocket(options) { socket, event in
                switch event {
                case .opened, .closed: log.note(event)
                case .message:
                    let piece = [UInt8](repeating: 120, count: 50_000)
                    var sent = 0
                    while socket.send(piece) == .queued { sent += 1 }
                    log.add("\(sent) sent")
                case .writable: socket.send("again")
                }
            }
        }
        let client = try WebSocketClient(server)
        try client.send("go")
        var frame = try client.next()
        while frame.opcode == 2 { frame = try client.next() }
        #expect(frame == .text("again"))
        try client.close()
        #expect(log.all == ["opened", "1 sent", "closed 1000 clean "])
    }

    /// A client that sends and does not read is held back, and nothing is lost.
    @Test func backPressure() throws {
        let server = try Self.echo()
        let client = try WebSocketClient(server)
        let frame = WireFrame(opcode: 2, payload: [UInt8](repeating: 3, count: 10_000))
        let bytes = frame.masked()
        var whole = 0
        // Beyond any socket buffers.
        while whole < 10_000, try client.raw.sendUntilHeldBack(bytes, patienceMs: 300) == bytes.count { whole += 1 }
        #expect(whole < 10_000)
        for _ in 0..<whole { #expect(try client.next() == frame) }
    }

    // MARK: handles

    @Test func broadcastOverTwoLoops() throws {
        let log = EventLog()
        var options = ServerOptions()
        options.loops = .count(2)
        options.deferAccept = false
        var router = Router()
        router.get("/") { request, response in
            response.webSocket { socket, event in
                if case .opened = event { log.add(socket.handle) }
                if case .message(let message) = event { WebSocketHandle.send(message.text, to: log.sockets) }
            }
        }
        let running = try Server(listen: ["127.0.0.1:0"], options: options, router: router).start()
        defer { running.stop(within: .seconds(20)) }
        let endpoint = try #require(Endpoint(line: "listening on http://\(running.addresses[0])"))
        var clients: [WebSocketClient] = []
        // The kernel chooses the loop.
        repeat {
            clients.append(try WebSocketClient(try RawClient(endpoint)))
            log.wait { $0.sockets.count == clients.count }
        } while Set(log.sockets.map { ObjectIdentifier($0.exchange.port) }).count < 2 && clients.count < 200
        for round in 0..<5 {
            try clients[round % clients.count].send("round \(round)")
            for client in clients { #expect(try client.text() == "round \(round)") }
        }
        // Those that are gone are passed over.
        try clients[0].close()
        try clients[1].send("after")
        for client in clients.dropFirst() { #expect(try client.text() == "after") }
        log.sockets[1].close(WebSocket.CloseCode(rawValue: 4000), reason: "by hand")
        try clients[1].expectClose(4000)
        #expect(Set(log.sockets).count == clients.count)
    }
}
