// Tunnels without a protocol: bytes both ways, pauses, half-closed ends, on HTTP/1.1 and on streams of HTTP/2.

import TestSupport
import Testing

@testable import UringServer

/// Sends back what it gets, three bytes at a time, and pauses for a moment at each "p".
private final class EchoTunnel: Tunnel {
    let log: EventLog
    init(_ log: EventLog) { self.log = log }

    func opened(_ link: TunnelLink) { write("hello ", link) }

    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        var used = 0
        // What is less than three stays for the next call.
        while count - used >= 3, link.isOpen {
            if unsafe bytes[used] == UInt8(ascii: "p") {
                unsafe bytes[used] = UInt8(ascii: "P")
                link.pause()
                link.wake(at: link.now + 1_000_000)
                return used
            }
            guard link.hasRoom else { return used }
            guard let out = unsafe link.reserve(3) else { return used }
            unsafe out.update(from: bytes + used, count: 3)
            link.commit(3)
            used += 3
        }
        return used
    }

    func timer(_ link: TunnelLink) {
        log.add("resumed")
        link.resume()
    }
    func inputEnded(_ link: TunnelLink) {
        write("bye", link)
        log.add("input ended")
        link.end()
    }
    func drain(_ link: TunnelLink) { link.abort() }
    func roomAgain(_ link: TunnelLink) {}
    func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
    func closed(_ link: TunnelLink) { log.add("closed") }

    private func write(_ text: String, _ link: TunnelLink) {
        var text = text
        text.withUTF8 { bytes in
            guard let out = unsafe link.reserve(bytes.count) else { return }
            unsafe out.update(from: bytes.baseAddress!, count: bytes.count)
            link.commit(bytes.count)
        }
    }
}

@Suite struct TunnelTests {
    private func server(_ log: EventLog) throws -> TestServer {
        try TestServer { request, response in
            if let wanted = request.connectProtocol { log.add("asks for \(String(wanted))") }
            response.status = request.method == .connect ? .ok : .switchingProtocols
            response.headers["x-tunnel"] = "yes"
            response.beginTunnel(EchoTunnel(log))
        }
    }

    private let head = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"

    @Test func connect() throws {
        let log = EventLog()
        let server = try server(log)
        let client = try server.client()
        try client.send(head + "abc")
        let answer = try client.readResponseHead()
        #expect(answer.status == 200 && answer.value("x-tunnel") == "yes" && answer.value("content-length") == nil)
        #expect(String(decoding: try client.readSome(9), as: UTF8.self) == "hello abc")
        try client.send("defpausedxy")
        #expect(String(decoding: try client.readSome(9), as: UTF8.self) == "defPaused")
        client.finishSending()
        // Two bytes were no unit.
        #expect(String(decoding: try client.readToEnd(), as: UTF8.self) == "bye")
        #expect(log.all == ["resumed", "input ended"])
    }

    @Test func upgrade() throws {
        let log = EventLog()
        let server = try server(log)
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        #expect(try client.readResponse().status == 101)
        let bytes = (0..<1_000_002).map { UInt8(truncatingIfNeeded: $0 % 31) }
        var back: [UInt8] = []
        // More than fits anywhere, so that both directions are held back.
        for start in stride(from: 0, to: bytes.count, by: 50_001) {
            try client.send(bytes[start..<min(start + 50_001, bytes.count)])
            back += try client.readSome(min(50_001, bytes.count - start))
        }
        back += try client.readSome(6)
        #expect(back.prefix(6).elementsEqual("hello ".utf8) && back.dropFirst(6).elementsEqual(bytes))
        client.resetOnClose()
    }

    @Test func onAStream() throws {
        let log = EventLog()
        let server = try server(log)
        let client = try FrameClient(server.endpoint)
        let fields = [(":method", "CONNECT"), (":protocol", "echo"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
        try client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: 4, stream: 1, FrameClient.block(fields)), FrameClient.data(1, Array("abcpau".utf8)))
        try client.send(FrameClient.data(1, Array("sedx".utf8), ends: true))
        #expect(try client.answer(1).bodyText == "hello abcPausedbye")
        // Plain CONNECT.
        try client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: 4, stream: 3, FrameClient.block([(":method", "CONNECT"), (":authority", "a:1")])))
        try client.send(FrameClient.data(3, Array("123".utf8), ends: true))
        #expect(try client.answer(3).bodyText == "hello 123bye")
        #expect(log.all == ["asks for echo", "resumed", "input ended", "input ended"])
    }

    /// The loop ends it: told once, and nothing is held.
    @Test func cutOff() throws {
        let log = EventLog()
        let server = try server(log)
        let client = try server.client()
        try client.send(head)
        #expect(String(decoding: try client.readSome(15), as: UTF8.self) == "HTTP/1.1 200 OK")
        server.running.stop(within: .seconds(10))
        #expect(log.all == ["closed"])
    }

    /// No tunnel without a request for it, nor to HTTP/1.0.
    @Test func unasked() throws {
        let server = try TestServer { request, response in
            response.status = .ok
            response.beginTunnel(EchoTunnel(EventLog()))
        }
        #expect(try server.get("/").status == 500)
        let client = try FrameClient(server.endpoint)
        #expect(try client.ask(1).status == 500)
        let old = try server.client()
        try old.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try old.readResponse().status == 500)
    }
}
