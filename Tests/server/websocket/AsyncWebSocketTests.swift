// WebSockets of async handlers over real sockets: messages, where they run, back-pressure both ways, and how they end. The same on HTTP/2 and over TLS: AsyncWebSocketHTTP2Tests,
// WebSocketPeerTests, and under faults AsyncWebSocketSimulationTests.

import Glibc
import Synchronization
import TestSupport
import Testing

@testable import UringServer

@Suite struct AsyncWebSocketTests {
    static func server(options: WebSocketOptions = WebSocketOptions(), _ handler: @escaping AsyncWebSocketHandler) throws -> TestServer {
        var router = Router()
        router.webSocket("/", options: options, name: "socket", handler)
        return try TestServer(router: router)
    }

    /// Sends every message back, and tells the log how it went.
    static func echo(_ log: EventLog = EventLog()) -> AsyncWebSocketHandler {
        { socket in
            log.add(socket.handle)
            do {
                for try await message in socket.messages {
                    log.add("\(message.kind) \(message.count)")
                    try await socket.send(message)
                }
                log.add("end")
            } catch {
                log.add("\(name(error)) cancelled \(Task.isCancelled)")
                throw error
            }
        }
    }

    static func name(_ error: any Error) -> String {
        if let closed = error as? WebSocketClosed { "closed \(closed.code.rawValue) \(closed.isClean) \(closed.reason)" } else { "\(type(of: error))" }
    }

    // MARK: messages

    @Test func messagesComeBack() throws {
        let log = EventLog()
        let server = try Self.server(Self.echo(log))
        let client = try WebSocketClient(server)
        var expected: [String] = []
        for size in [0, 1, 15, 16, 125, 126, 1000, 16_370, 65_535, 65_536, 300_000, 3] {
            for opcode in [1, 2] as [UInt8] {
                let frame = WireFrame(opcode: opcode, payload: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) & 0x7f })
                try client.send(frame)
                #expect(try client.next() == frame)
                expected.append("\(opcode == 1 ? "text" : "binary") \(size)")
            }
        }
        try client.close()
        log.wait { $0.all.count == expected.count + 1 }
        #expect(log.all == expected + ["end"])
        #expect(server.reports.all == [])
    }

    @Test(arguments: [1, 16, 1000]) func manyAtOnce(unread: Int) throws {
        var options = WebSocketOptions()
        options.limits.unreadMessages = unread
        let server = try Self.server(options: options, Self.echo())
        let client = try WebSocketClient(server, first: WireFrame.text("with the request").masked())
        #expect(try client.text() == "with the request")
        try client.raw.send((0..<2000).flatMap { WireFrame.text("number \($0)").masked() })
        for number in 0..<2000 { #expect(try client.text() == "number \(number)") }
        try client.close(1001)
    }

    /// Before and after everything that is awaited: one thread, that of the loop.
    @Test func staysOnItsLoop() throws {
        actor Other {
            func ask(_ socket: AsyncWebSocket) async throws { try await socket.send("from an actor") }
        }
        let log = EventLog()
        let server = try Self.server { socket in
            let thread = pthread_self()
            var places: [String] = []
            func note(_ place: String) { places.append(pthread_self() == thread ? place : "\(place) elsewhere") }
            note(ServerLoop.current == nil ? "begin nowhere" : "begin")
            _ = try await socket.next()
            note("next")
            for try await message in socket.messages where message == .text("two") { break }
            note("iteration")
            try await socket.send("text")
            note("send")
            try await socket.ping()
            note("ping")
            // More than there is room for: it waits.
            for _ in 0..<100 { try await socket.send([UInt8](repeating: 1, count: 100_000)) }
            note("room")
            try await Other().ask(socket)
            note("actor")
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await socket.send("from a child")
                    return pthread_self() == thread
                }
                group.addTask {
                    _ = try await socket.next()
                    return pthread_self() == thread
                }
                for try await isHere in group { note(isHere ? "child" : "child elsewhere") }
            }
            try await socket.loop.sleep(for: .microseconds(100))
            note("sleep")
            await socket.close(.normal)
            note("close")
            socket.handle.send("too late")
            #expect(try await socket.next() == nil)
            note("end")
            places.forEach { log.add($0) }
        }
        let client = try WebSocketClient(server)
        try client.send("one")
        try client.send("two")
        #expect(try client.text() == "text")
        var frame = try client.next()
        #expect(frame.opcode == 9)
        while frame != .text("from a child") { frame = try client.next() }
        try client.send("three")
        try client.expectClose(1000)
        log.wait { $0.all.count == 12 }
        #expect(log.all == ["begin", "next", "iteration", "send", "ping", "room", "actor", "child", "child", "sleep", "close", "end"])
    }

    /// A task group that reads and writes at once.
    @Test func bothDirectionsAtOnce() throws {
        final class Sum: Sendable { let value = Atomic<Int>(0) }
        let server = try Self.server { socket in
            let sum = Sum()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for try await message in socket.messages { sum.value.add(message.count, ordering: .relaxed) }
                }
                group.addTask {
                    for number in 0..<500 {
                        try await socket.send("number \(number)")
                        if number % 50 == 0 { try await socket.loop.sleep(for: .microseconds(50)) }
                    }
                    while sum.value.load(ordering: .relaxed) < 300_000 { try await socket.loop.sleep(for: .microseconds(200)) }
                    await socket.close(WebSocket.CloseCode(rawValue: 4000), reason: "\(sum.value.load(ordering: .relaxed))")
                }
                try await group.waitForAll()
            }
        }
        let client = try WebSocketClient(server)
        for _ in 0..<300 { try client.send(WireFrame(opcode: 2, payload: [UInt8](repeating: 1, count: 1000))) }
        for number in 0..<500 { #expect(try client.text() == "number \(number)") }
        let close = try client.next()
        #expect(close.closeCode == 4000 && close.payload.dropFirst(2).elementsEqual("300000".utf8))
        try client.send(WireFrame(opcode: 8, payload: Array(close.payload.prefix(2))))
        #expect(try client.raw.readToEnd().isEmpty)
        #expect(server.reports.all == [])
    }

    /// From a sync handler, with what its request says, and from an async one.
    @Test(arguments: ["/sync/x", "/async/x"]) func fromHandlers(path: String) throws {
        var options = WebSocketOptions()
        options.protocols = ["v2"]
        var router = Router()
        router.get("/sync/{room}") { [options] request, response in
            let room = String(request.parameter("room")!)
            response.webSocket(options) { socket in try await socket.send("\(room) \(socket.chosenProtocol ?? "none")") }
            response.headers["x-more"] = "yes"
        }
        router.get("/async/{room}") { [options] request, response in
            try await request.loop.sleep(for: .microseconds(10))
            let room = String(request.parameter("room")!)
            response.webSocket(options) { socket in try await socket.send("\(room) \(socket.chosenProtocol ?? "none")") }
            response.headers["x-more"] = "yes"
        }
        let server = try TestServer(router: router)
        let client = try WebSocketClient(server, path, "Sec-WebSocket-Protocol: v1, v2")
        #expect(client.answer.value("x-more") == "yes")
        #expect(try client.text() == "x v2")
        try client.expectClose(1000)
        #expect(try server.get(path).status == 426)
    }

    // MARK: back-pressure

    /// Nobody reads: the client is held back, keeps its connection beyond PING's patience, and nothing is lost.
    @Test func unreadMessages() throws {
        let (gate, log) = (Gate(), EventLog())
        var options = WebSocketOptions()
        options.pingInterval = .milliseconds(5)
        options.pingTimeout = .milliseconds(5)
        options.idleTimeout = .milliseconds(20)
        let server = try Self.server(options: options) { socket in
            await gate.wait()
            var bytes = 0
            for try await message in socket.messages { bytes += message.count }
            log.add("\(bytes)")
        }
        let client = try WebSocketClient(server)
        let bytes = WireFrame(opcode: 2, payload: [UInt8](repeating: 3, count: 10_000)).masked()
        var whole = 0
        // Beyond any socket buffers.
        var sent = bytes.count
        while whole < 10_000, sent == bytes.count {
            sent = try client.raw.sendUntilHeldBack(bytes, patienceMs: 60)
            if sent == bytes.count { whole += 1 }
        }
        #expect(whole > 0 && whole < 10_000)
        gate.open()
        try client.raw.send(bytes.dropFirst(sent) + WireFrame(opcode: 8, payload: [3, 232]).masked())
        log.wait { !$0.all.isEmpty }
        #expect(log.all == ["\((whole + 1) * 10_000)"])
    }

    /// A client that does not read: `send` waits, and the server holds no more than there is room for.
    @Test func sendWaits() throws {
        let log = EventLog()
        let server = try Self.server { socket in
            for _ in 0..<2000 {
                try await socket.send([UInt8](repeating: 5, count: 10_000))
                log.add("sent")
            }
        }
        let client = try WebSocketClient(server)
        // It has come to a stop: nothing more is sent however long one looks.
        var seen = -1
        while log.all.count != seen || seen == 0 {
            seen = log.all.count
            usleep(20_000)
        }
        #expect(seen < 2000)
        for _ in 0..<2000 { #expect(try client.next().payload.count == 10_000) }
        try client.expectClose(1000)
    }

    // MARK: ends

    @Test(arguments: [(1000, "end"), (1001, "end"), (0, "end"), (1002, "closed 1002 true bye"), (4321, "closed 4321 true bye")])
    func clientCloses(code: Int, expected: String) throws {
        let log = EventLog()
        let server = try Self.server(Self.echo(log))
        let client = try WebSocketClient(server)
        try client.send(WireFrame(opcode: 8, payload: code == 0 ? [] : [UInt8(code >> 8), UInt8(code & 255)] + Array("bye".utf8)))
        #expect(try client.next().opcode == 8)
        #expect(try client.raw.readToEnd().isEmpty)
        log.wait { !$0.all.isEmpty }
        #expect(log.all == [expected == "end" ? "end" : "\(expected) cancelled false"])
        #expect(server.reports.all == [])
    }

    /// What was sent before the Close is read before its end, however late.
    @Test func messagesBeforeTheEnd() throws {
        let (gate, log) = (Gate(), EventLog())
        let server = try Self.server { socket in
            _ = try await socket.next()
            await gate.wait()
            do { while let message = try await socket.next() { log.add("\(message.count)") } } catch { log.add(Self.name(error)) }
            do { try await socket.send("a") } catch { log.add(Self.name(error)) }
        }
        let client = try WebSocketClient(server)
        try client.raw.send((1...4).flatMap { WireFrame(opcode: 2, payload: [UInt8](repeating: 0, count: $0)).masked() } + WireFrame(opcode: 8, payload: [16, 1]).masked())
        #expect(try client.next().closeCode == 4097)
        #expect(try client.raw.readToEnd().isEmpty)
        gate.open()
        log.wait { $0.all.count == 5 }
        #expect(log.all == ["2", "3", "4", "closed 4097 true ", "closed 4097 true "])
    }

    @Test func clientVanishes() throws {
        let log = EventLog()
        let server = try Self.server(Self.echo(log))
        do {
            let client = try WebSocketClient(server)
            client.raw.finishSending()
            #expect(try client.raw.readToEnd().isEmpty)
        }
        log.wait { $0.all == ["closed 1006 false  cancelled true"] }
        do {
            let client = try WebSocketClient(server)
            try client.send("a")
            #expect(try client.text() == "a")
            client.raw.resetOnClose()
        }
        log.wait { $0.all.count == 3 }
        #expect(log.all.last == "closed 1006 false  cancelled true")
        #expect(server.reports.all == [])
    }

    /// Handlers that wait for something else are cancelled when the connection is lost, and those that never read also by a Close.
    @Test(arguments: [false, true]) func cancelled(byClose: Bool) throws {
        let log = EventLog()
        let server = try Self.server { socket in
            log.add("in")
            do { try await socket.loop.sleep(for: .seconds(1000)) } catch {
                log.add(Self.name(error))
                throw error
            }
        }
        do {
            let client = try WebSocketClient(server)
            log.wait { $0.all == ["in"] }
            if byClose { try client.close() } else { client.raw.resetOnClose() }
        }
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["in", "CancellationError"])
        #expect(server.reports.all == [])
    }

    /// Somebody who has unread messages and is gone is found out by what he is sent.
    @Test func gonePausedClient() throws {
        let log = EventLog()
        var options = WebSocketOptions()
        options.limits.unreadMessages = 1
        options.pingInterval = .milliseconds(5)
        options.pingTimeout = .milliseconds(5)
        let server = try Self.server(options: options) { socket in
            log.add("in")
            do { try await socket.loop.sleep(for: .seconds(1000)) } catch { log.add(Self.name(error)) }
        }
        do {
            let client = try WebSocketClient(server)
            try client.send("unread")
            log.wait { $0.all == ["in"] }
            client.raw.resetOnClose()
        }
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["in", "CancellationError"])
    }

    @Test func handlerThrows() throws {
        let server = try Self.server { socket in
            _ = try await socket.next()
            throw SomeError()
        }
        let client = try WebSocketClient(server)
        try client.raw.send(WireFrame.text("a").masked() + WireFrame.text("b").masked())
        try client.expectClose(1011)
        #expect(server.reports.all == ["failed socket: SomeError()"])
    }

    /// What outlives the handler learns that it is over.
    @Test func outlivedByItsTasks() throws {
        let log = EventLog()
        let server = try Self.server { socket in
            Task(executorPreference: socket.loop.taskExecutor) {
                do { _ = try await socket.next() } catch { log.add(Self.name(error)) }
                do { try await socket.send("a") } catch { log.add(Self.name(error)) }
            }
            try await socket.loop.sleep(for: .milliseconds(1))
        }
        let client = try WebSocketClient(server)
        try client.expectClose(1000)
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["CancellationError", "CancellationError"])
    }

    @Test func twoReaders() throws {
        let log = EventLog()
        let server = try Self.server { socket in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask { do { _ = try await socket.next() } catch { log.add(Self.name(error)) } }
                }
            }
        }
        let client = try WebSocketClient(server)
        try client.send("a")
        try client.expectClose(1000)
        #expect(log.all == ["AsyncUseError"])
    }

    /// A reader that is cancelled takes nothing with it.
    @Test func cancelledReader() throws {
        let server = try Self.server { socket in
            let child = Task(executorPreference: socket.loop.taskExecutor) { try await socket.next() }
            try await socket.loop.sleep(for: .microseconds(100))
            child.cancel()
            do { _ = try await child.value } catch { try await socket.send(Self.name(error)) }
            if let message = try await socket.next() { try await socket.send(message) }
        }
        let client = try WebSocketClient(server)
        #expect(try client.text() == "CancellationError")
        try client.send("mine")
        #expect(try client.text() == "mine")
        try client.expectClose(1000)
    }

    @Test(arguments: WebSocketTests.offences) func brokenRules(offence: WebSocketTests.Offence) throws {
        var options = WebSocketOptions()
        options.limits.frameBytes = 65_536
        options.limits.messageBytes = 100_000
        options.limits.fragments = 10
        let log = EventLog()
        let server = try Self.server(options: options, Self.echo(log))
        let client = try WebSocketClient(server)
        try client.send("first")
        #expect(try client.text() == "first")
        try client.raw.send(offence.bytes)
        try client.expectClose(offence.code)
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["text 5", "closed \(offence.code) false  cancelled true"])
    }

    @Test(arguments: [false, true]) func drain(reads: Bool) throws {
        let log = EventLog()
        let server = try Self.server { socket in
            log.add("in")
            do {
                if reads { while let message = try await socket.next() { log.add("\(message.count)") } }
                try await socket.loop.sleep(for: .seconds(1000))
            } catch {
                log.add("\(Self.name(error)) \(Task.isCancelled)")
                do { try await socket.send("late") } catch { log.add(Self.name(error)) }
            }
        }
        let client = try WebSocketClient(server)
        // Held back when nobody reads: the answer to Close comes through all the same.
        for _ in 0..<40 { try client.send("a") }
        log.wait { $0.all.count == (reads ? 41 : 1) }
        let running = server.running
        Detached.start {
            running.stop(within: .seconds(15))
            log.add("stopped")
        }
        try client.expectClose(1001)
        log.wait { $0.all.last == "stopped" }
        let stop = "closed 1001 false the server is stopping"
        #expect(log.all.suffix(3) == [reads ? "\(stop) true" : "CancellationError true", stop, "stopped"])
        #expect(server.reports.all == [])
    }

    /// A handler that takes no notice goes on when its server is gone.
    @Test func outlivesItsServer() async throws {
        let (gate, log) = (Gate(), EventLog())
        do {
            let server = try Self.server { socket in
                log.add("in")
                await gate.wait()
                do { _ = try await socket.next() } catch { log.add(Self.name(error)) }
                do { try await socket.send("a") } catch { log.add(Self.name(error)) }
                await socket.close()
                socket.handle.send("a")
                log.add("out")
            }
            let client = try WebSocketClient(server)
            log.wait { $0.all.count == 1 }
            server.running.stop(within: .milliseconds(20))
            withExtendedLifetime(client) {}
        }
        gate.open()
        // In the global pool, whose threads the tests beside this one may block for long: this one must not.
        let deadline = ContinuousClock.now + .seconds(300)
        while log.all.count < 4, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
        #expect(log.all == ["in", "CancellationError", "CancellationError", "out"])
    }

    // MARK: handles

    /// What others send is dealt with as the options say, and comes between what the handler sends.
    @Test func handles() throws {
        let log = EventLog()
        let server = try Self.server(Self.echo(log))
        let client = try WebSocketClient(server)
        log.wait { $0.sockets.count == 1 }
        log.sockets[0].send("from elsewhere")
        #expect(try client.text() == "from elsewhere")
        try client.send("a")
        #expect(try client.text() == "a")
        log.sockets[0].close(WebSocket.CloseCode(rawValue: 4000), reason: "by hand")
        try client.expectClose(4000)
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["text 1", "closed 4000 true  cancelled false"])
    }
}
