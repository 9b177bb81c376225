// WebSockets of async handlers on streams of HTTP/2 (RFC 8441), over real sockets.

import TestSupport
import Testing

@testable import UringServer

@Suite struct AsyncWebSocketHTTP2Tests {
    typealias Stream = WebSocketHTTP2Tests.Stream

    @Test func messagesComeBack() throws {
        let log = EventLog()
        let server = try AsyncWebSocketTests.server(AsyncWebSocketTests.echo(log))
        let client = try FrameClient(server.endpoint)
        let streams = try [1, 3, 5].map { try Stream(client, $0) }
        for size in [0, 5, 125, 126, 16_000, 30_000] {
            for stream in streams {
                let frame = WireFrame(opcode: 2, payload: [UInt8](repeating: UInt8(size & 127), count: size))
                try stream.send(frame)
                #expect(try stream.next() == frame)
            }
        }
        for stream in streams { try stream.close() }
        log.wait { $0.all.filter { $0 == "end" }.count == 3 }
    }

    /// Nobody reads: the stream's window holds its client back, and others go on.
    @Test func unreadMessages() throws {
        let (gate, log) = (Gate(), EventLog())
        let server = try AsyncWebSocketTests.server { socket in
            await gate.wait()
            var bytes = 0
            for try await message in socket.messages { bytes += message.count }
            log.add("\(bytes)")
        }
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        // Within the window that every server opens with.
        let frame = WireFrame(opcode: 2, payload: [UInt8](repeating: 1, count: 1000))
        for _ in 0..<60 { try stream.send(frame) }
        #expect(try client.ask(3).status == 426)
        gate.open()
        try stream.close()
        log.wait { !$0.all.isEmpty }
        #expect(log.all == ["60000"])
    }

    /// A window that is shut makes `send` wait.
    @Test func sendWaits() throws {
        let log = EventLog()
        let server = try AsyncWebSocketTests.server { socket in
            for number in 0..<100 {
                try await socket.send([UInt8](repeating: UInt8(number), count: 10_000))
                log.add("sent")
            }
        }
        let client = try FrameClient(server.endpoint, settings: [(4, 10)])
        client.returnsWindow = false
        let stream = try Stream(client)
        while stream.answer.body.count < 10 { try #require(try client.next() != nil) }
        #expect(try client.ask(3).status == 426)
        #expect(log.all.count < 20)
        client.returnsWindow = true
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: 1, HTTP2Frame.number(1 << 20)))
        for number in 0..<100 { #expect(try stream.next().payload.first == UInt8(number)) }
        #expect(try stream.next().closeCode == 1000)
        try stream.send(WireFrame(opcode: 8, payload: [3, 232]), ends: true)
        #expect(try client.answer(1).hasEnded)
    }

    @Test func ends() throws {
        let log = EventLog()
        let server = try AsyncWebSocketTests.server(AsyncWebSocketTests.echo(log))
        let client = try FrameClient(server.endpoint)
        let lost = "closed 1006 false  cancelled true"
        // END_STREAM in place of a Close, a reset, the connection.
        var stream = try Stream(client)
        try stream.send([], ends: true)
        #expect(try client.answer(1).hasEnded)
        log.wait { $0.all == [lost] }
        stream = try Stream(client, 3)
        try client.send(FrameClient.reset(3))
        log.wait { $0.all == [lost, lost] }
        stream = try Stream(client, 5)
        client.connection.resetOnClose()
        client.connection.finishSending()
        log.wait { $0.all == [lost, lost, lost] }
        #expect(server.reports.all == [])
    }

    @Test func drain() throws {
        let log = EventLog()
        let server = try AsyncWebSocketTests.server(AsyncWebSocketTests.echo(log))
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        try stream.send(.text("a"))
        #expect(try stream.text() == "a")
        let running = server.running
        Detached.start { running.stop(within: .seconds(15)) }
        #expect(try stream.next().closeCode == 1001)
        try stream.send(WireFrame(opcode: 8, payload: [3, 233]), ends: true)
        log.wait { $0.all.count == 2 }
        #expect(log.all.last == "closed 1001 false the server is stopping cancelled true")
    }
}
