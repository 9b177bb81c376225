// WebSockets over HTTP/2 (RFC 8441) through the gateway: the client asks by an extended CONNECT, the server by GET with Upgrade.

import Glibc
import TestSupport
import Testing
import UringServer
import UringWebSocket

@testable import UringGateway

@Suite struct ExtendedConnectTests {
    private func ask(_ stream: UInt32 = 1, _ fields: [(String, String)] = [], protocol name: String = "websocket") -> HTTP2Frame {
        FrameClient.request(stream, "CONNECT", "/chat?room=1", [(":protocol", name), ("origin", "http://a")] + fields, ends: false)
    }

    /// The 101 that answers a request's key.
    private static func accept(_ request: RecordedRequest, _ fields: String = "") -> String {
        let key = Array((request.values("sec-websocket-key").first ?? "").utf8)
        guard key.count == 24 else { return "HTTP/1.1 400 no key\r\nContent-Length: 0\r\n\r\n" }
        var text = [UInt8](repeating: 0, count: WebSocketHandshake.acceptBytes)
        guard unsafe key.withUnsafeBufferPointer({ key in unsafe text.withUnsafeMutableBufferPointer { unsafe WebSocketHandshake.writeAccept(key.baseAddress!, to: $0.baseAddress!) } })
        else { return "" }
        return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(String(decoding: text, as: UTF8.self))\r\n\(fields)\r\n"
    }

    private func gateway(_ server: RecordingServer, webSocket: Bool = true) throws -> TestGateway {
        try TestGateway(UpstreamConfiguration(ports: [server.port])) { $0.webSocket = webSocket }
    }

    @Test func bytesGoToAndFro() throws {
        let server = try RecordingServer { request, _ in [.send(Self.accept(request, "Sec-WebSocket-Protocol: chat\r\n")), .echo] }
        let gateway = try gateway(server)
        let client = try FrameClient(gateway.endpoint)
        try client.send(ask(1, [("sec-websocket-protocol", "chat"), ("sec-websocket-version", "13"), ("sec-websocket-key", "bm90IHRoZSBvbmUgc2VudA==")]))
        while client.answers[1]?.status == nil { #expect(try client.next() != nil) }
        #expect(client.answers[1]?.status == 200)
        #expect(client.answers[1]?.has("sec-websocket-protocol", "chat") == true)
        #expect(client.settings[8] == 1)
        // Nothing of HTTP/1.1's handshake.
        let block = String(decoding: client.answers[1]?.headBlock ?? [], as: UTF8.self)
        for name in ["sec-websocket-accept", "upgrade", "connection"] { #expect(!block.contains(name)) }
        for word in ["hello", "again"] {
            let before = client.answers[1]?.body.count ?? 0
            try client.send(FrameClient.data(1, Array(word.utf8)))
            while (client.answers[1]?.body.count ?? 0) < before + 5 { #expect(try client.next() != nil) }
        }
        #expect(client.answers[1]?.bodyText == "helloagain")
        // The client's end is the server's, and the server's the client's.
        try client.send(FrameClient.data(1, [], ends: true))
        let answer = try client.answer(1)
        #expect(answer.hasEnded)
        let request = server.requests[0]
        #expect(request.line == "GET /chat?room=1 HTTP/1.1")
        #expect(request.values("upgrade") == ["websocket"])
        #expect(request.values("connection").map { $0.lowercased() } == ["upgrade"])
        #expect(request.values("sec-websocket-version") == ["13"])
        #expect(request.values("sec-websocket-key").count == 1)
        #expect(request.values("sec-websocket-key") != ["bm90IHRoZSBvbmUgc2VudA=="])
        #expect(request.values("host") == ["a"])
        #expect(request.values("content-length").isEmpty && request.values("transfer-encoding").isEmpty)
    }

    @Test func theServersEndIsTheClients() throws {
        let server = try RecordingServer { request, _ in [.send(Self.accept(request) + "bye"), .close] }
        let gateway = try gateway(server)
        let client = try FrameClient(gateway.endpoint)
        try client.send(ask())
        let answer = try client.answer(1)
        #expect(answer.status == 200)
        #expect(answer.bodyText == "bye")
        #expect(answer.hasEnded && answer.resetCode == nil)
        // The connection goes on.
        try client.send(ask(3))
        #expect(try client.answer(3).bodyText == "bye")
        #expect(gateway.eventually { $0.snapshot.servers[0].active == 0 })
    }

    @Test func aClientThatResetsEndsTheServersConnection() throws {
        let server = try RecordingServer { request, _ in [.send(Self.accept(request)), .echo] }
        let gateway = try gateway(server)
        let client = try FrameClient(gateway.endpoint)
        try client.send(ask())
        while client.answers[1]?.status == nil { #expect(try client.next() != nil) }
        try client.send(FrameClient.reset(1))
        #expect(gateway.eventually { $0.snapshot.servers[0].active == 0 })
        try client.synchronise()
        #expect(client.goAways.isEmpty)
    }

    @Test func whatTheServerRefusesIsRefused() throws {
        let server = try RecordingServer { request, _ in
            switch request.values("x-want").first {
            case "403": [.answer(403, "no")]
            // No switch, though it says OK.
            case "200": [.answer(200, "what?")]
            case "wrong": [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), .hang]
            default: [.answer(500)]
            }
        }
        let gateway = try gateway(server)
        let client = try FrameClient(gateway.endpoint)
        var stream: UInt32 = 1
        for (want, status) in [("403", 403), ("200", 502), ("wrong", 502)] {
            try client.send(ask(stream, [("x-want", want)]))
            let answer = try client.answer(stream)
            #expect(answer.status == status, "\(want)")
            stream += 2
        }
    }

    @Test func whereNoWebSocketsPassTheAnswerIs501() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let without = try gateway(server, webSocket: false)
        let client = try FrameClient(without.endpoint)
        try client.send(ask())
        #expect(try client.answer(1).status == 501)
        let gateway = try gateway(server)
        let other = try FrameClient(gateway.endpoint)
        try other.send(ask(1, protocol: "connect-udp"))
        #expect(try other.answer(1).status == 501)
        #expect(server.requests.isEmpty)
    }
}
