// A WebSocket client of the tests, over a plain socket: masked frames out, frames in. Shares no code with the server.

import TestSupport
import Testing

final class WebSocketClient {
    let raw: RawClient
    let answer: RawResponse
    private var input: [UInt8] = []

    static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    static func request(_ path: String = "/", _ lines: [String] = []) -> String {
        "GET \(path) HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: 13\r\n"
            + lines.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    /// Connects, and opens a WebSocket.
    convenience init(_ server: TestServer, _ path: String = "/", _ lines: String..., first: [UInt8] = []) throws {
        try self.init(try server.client(), path, lines, first: first)
    }

    init(_ client: RawClient, _ path: String = "/", _ lines: [String] = [], first: [UInt8] = []) throws {
        raw = client
        try raw.send(Array(Self.request(path, lines).utf8) + first)
        answer = try raw.readResponse()
        guard answer.status == 101 else { throw Refused(status: answer.status) }
        // The example of RFC 6455 section 1.3.
        #expect(answer.value("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(answer.tokens("connection") == ["upgrade"] && answer.tokens("upgrade") == ["websocket"])
        #expect(answer.value("content-length") == nil && answer.value("transfer-encoding") == nil)
    }

    struct Refused: Error { let status: Int }
    struct Ended: Error {}

    func send(_ frame: WireFrame) throws { try raw.send(frame.masked()) }
    func send(_ text: String) throws { try send(.text(text)) }

    func next() throws -> WireFrame {
        while true {
            if let frame = WireFrame.parse(&input) { return frame }
            let more = try raw.readAvailable()
            guard !more.isEmpty else { throw Ended() }
            input += more
        }
    }

    /// The text of the next message.
    func text() throws -> String {
        let frame = try next()
        #expect(frame.opcode == 1 && frame.isFinal)
        return frame.text
    }

    /// Says Close, and expects the same back and the end of the connection.
    func close(_ code: UInt16 = 1000) throws {
        try send(WireFrame(opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 255)]))
        let frame = try next()
        #expect(frame.opcode == 8 && frame.closeCode == Int(code))
        #expect(try raw.readToEnd().isEmpty)
    }

    /// Expects Close with this code, answers it, and the end of the connection.
    func expectClose(_ code: Int, _ location: SourceLocation = #_sourceLocation) throws {
        var frame = try next()
        while frame.opcode != 8 { frame = try next() }
        #expect(frame.closeCode == code, sourceLocation: location)
        try raw.send(WireFrame(opcode: 8, payload: Array(frame.payload.prefix(2))).masked())
        raw.finishSending()
        #expect(try raw.readToEnd().isEmpty, sourceLocation: location)
    }
}
