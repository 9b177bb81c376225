// WebSockets on streams of HTTP/2 (RFC 8441), over real sockets.

import TestSupport
import Testing

@testable import UringServer

@Suite struct WebSocketHTTP2Tests {
    /// A WebSocket on one stream of a connection that others may share.
    final class Stream {
        let client: FrameClient
        let number: UInt32
        private var taken = 0
        private var input: [UInt8] = []

        init(_ client: FrameClient, _ number: UInt32 = 1, path: String = "/", _ fields: [(String, String)] = []) throws {
            (self.client, self.number) = (client, number)
            try client.send(Self.request(number, path: path, fields))
            while client.answers[number]?.status == nil { try #require(try client.next() != nil) }
        }

        static func request(_ number: UInt32, path: String = "/", _ fields: [(String, String)] = [], ends: Bool = false, version: String = "13") -> HTTP2Frame {
            let head: [(String, String)] = [
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "example.com"),
                ("sec-websocket-version", version),
            ]
            let flags = HTTP2Frame.Flag.endHeaders | (ends ? HTTP2Frame.Flag.endStream : 0)
            return HTTP2Frame(HTTP2Frame.Kind.headers, flags: flags, stream: number, FrameClient.block(head + fields))
        }

        var answer: HTTP2Answer { client.answers[number] ?? HTTP2Answer() }

        func send(_ frame: WireFrame, ends: Bool = false) throws { try send(frame.masked(), ends: ends) }
        /// In DATA frames of the size that every server takes.
        func send(_ bytes: [UInt8], ends: Bool = false) throws {
            var rest = bytes[...]
            repeat {
                let piece = Array(rest.prefix(16_384))
                rest = rest.dropFirst(piece.count)
                try client.send(FrameClient.data(number, piece, ends: ends && rest.isEmpty))
            } while !rest.isEmpty
        }

        func next() throws -> WireFrame {
            while true {
                input += answer.body.dropFirst(taken)
                taken = answer.body.count
                if let frame = WireFrame.parse(&input) { return frame }
                try #require(!answer.hasEnded && answer.resetCode == nil, "the stream has ended")
                try #require(try client.next() != nil, "the connection has ended")
            }
        }
        func text() throws -> String { try next().text }

        func close(_ code: UInt16 = 1000) throws {
            try send(WireFrame(opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 255)]), ends: true)
            var frame = try next()
            while frame.opcode != 8 { frame = try next() }
            #expect(frame.closeCode == Int(code))
            #expect(try client.answer(number).hasEnded)
        }
    }

    @Test func messagesComeBack() throws {
        let log = EventLog()
        let server = try WebSocketTests.echo(log: log)
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        #expect(stream.answer.status == 200 && !stream.answer.hasEnded)
        #expect(client.settings[8] == 1)
        for size in [0, 5, 125, 126, 1000, 16_000, 16_384, 30_000, 60_000] {
            let frame = WireFrame(opcode: 2, payload: [UInt8](repeating: UInt8(size & 127), count: size))
            try stream.send(frame)
            #expect(try stream.next() == frame)
        }
        try stream.close(4999)
        #expect(log.all.last == "closed 4999 clean ")
        // The connection goes on, with requests and other sockets.
        let plain = try client.ask(3)
        #expect(plain.status == 426)
        let second = try Stream(client, 5)
        let third = try Stream(client, 7)
        try third.send(.text("third"))
        try second.send(.text("second"))
        #expect(try second.text() == "second")
        #expect(try third.text() == "third")
        try third.close()
        try second.close()
    }

    /// More than the windows, in both directions; and a server's window that is smaller than a frame.
    @Test(arguments: [1000, 65_536]) func windows(windowBytes: Int) throws {
        var options = ServerOptions()
        options.http2.streamWindowBytes = windowBytes
        let server = try WebSocketTests.echo(server: options)
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        let frame = WireFrame(opcode: 2, payload: (0..<12_000).map { UInt8(truncatingIfNeeded: $0) })
        for _ in 0..<10 {
            var rest = frame.masked()[...]
            while !rest.isEmpty {
                // As much as any window takes; by then the server has opened it again.
                let piece = Array(rest.prefix(500))
                rest = rest.dropFirst(500)
                try stream.send(piece)
                try client.synchronise()
            }
            #expect(try stream.next() == frame)
        }
        try stream.close()
    }

    /// A client whose window is shut holds its own stream up, and no other.
    @Test func closedWindow() throws {
        let server = try WebSocketTests.echo()
        let client = try FrameClient(server.endpoint, settings: [(4, 10)])
        let stream = try Stream(client)
        client.returnsWindow = false
        try stream.send(.text("more than ten bytes"))
        while stream.answer.body.count < 10 { try #require(try client.next() != nil) }
        #expect(try client.ask(3, "OPTIONS").status == 204)
        #expect(stream.answer.body.count == 10)
        client.returnsWindow = true
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: 1, HTTP2Frame.number(1000)))
        #expect(try stream.text() == "more than ten bytes")
        try stream.close()
    }

    @Test func refusals() throws {
        let server = try WebSocketTests.echo()
        let client = try FrameClient(server.endpoint)
        try client.send(Stream.request(1, path: "/none"), Stream.request(3, version: "8"), Stream.request(5, [("origin", "https://evil.example")]))
        #expect(try client.answer(1).status == 404)
        #expect(try client.answer(3).status == 426)
        #expect(try client.answer(5).status == 403)
        // A plain CONNECT asks for a tunnel that nobody makes.
        try client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: 4, stream: 7, FrameClient.block([(":method", "CONNECT"), (":authority", "a:1")])))
        #expect(try client.answer(7).status == 405 || client.answer(7).status == 404)
    }

    @Test func switchedOff() throws {
        var options = ServerOptions()
        options.http2.webSockets = false
        let server = try WebSocketTests.echo(server: options)
        let client = try FrameClient(server.endpoint)
        try client.synchronise()
        #expect(client.settings[8] == nil)
        try client.send(Stream.request(1))
        #expect(try client.answer(1).resetCode == 1)
    }

    @Test(arguments: WebSocketTests.offences) func brokenRules(offence: WebSocketTests.Offence) throws {
        var options = WebSocketOptions()
        options.limits.frameBytes = 65_536
        options.limits.messageBytes = 100_000
        options.limits.fragments = 10
        let log = EventLog()
        let server = try WebSocketTests.echo(options, log: log)
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        try stream.send(offence.bytes)
        var frame = try stream.next()
        while frame.opcode != 8 { frame = try stream.next() }
        #expect(frame.closeCode == offence.code)
        #expect(try client.answer(1).hasEnded)
        #expect(log.all.last == "closed \(offence.code) lost ")
        #expect(try client.ask(3).status == 426)
    }

    @Test func ends() throws {
        let log = EventLog()
        let server = try WebSocketTests.echo(log: log)
        let client = try FrameClient(server.endpoint)
        // END_STREAM in place of a Close.
        var stream = try Stream(client)
        try stream.send([], ends: true)
        #expect(try client.answer(1).hasEnded)
        log.wait { $0.all.last == "closed 1006 lost " }
        // A reset.
        stream = try Stream(client, 3)
        try client.send(FrameClient.reset(3))
        log.wait { $0.all.filter { $0 == "closed 1006 lost " }.count == 2 }
        // A request that is over before it has begun.
        try client.send(Stream.request(5, ends: true))
        #expect(try client.answer(5).hasEnded)
        log.wait { $0.all.filter { $0 == "closed 1006 lost " }.count == 3 }
        // Trailers.
        stream = try Stream(client, 7)
        try client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: 5, stream: 7, FrameClient.block([("x", "y")])))
        #expect(try client.answer(7).hasEnded)
        log.wait { $0.all.filter { $0 == "closed 1006 lost " }.count == 4 }
        // The connection.
        stream = try Stream(client, 9)
        client.connection.resetOnClose()
        client.connection.finishSending()
        log.wait { $0.all.filter { $0 == "closed 1006 lost " }.count == 5 }
    }

    @Test func drain() throws {
        let log = EventLog()
        let server = try WebSocketTests.echo(log: log)
        let client = try FrameClient(server.endpoint)
        let stream = try Stream(client)
        let stopped = EventLog()
        let running = server.running
        Detached.start {
            running.stop(within: .seconds(15))
            stopped.add("stopped")
        }
        var frame = try stream.next()
        while frame.opcode != 8 { frame = try stream.next() }
        #expect(frame.closeCode == 1001)
        try stream.send(WireFrame(opcode: 8, payload: [3, 233]), ends: true)
        try client.readToEnd()
        stopped.wait { !$0.all.isEmpty }
        #expect(log.all == ["opened", "closed 1001 clean "])
    }
}
