// A WebSocket client of the tests, over a plain socket: masked frames out, frames in. Shares no code with the server.

import TestSupport
import Testing

/// A frame as a server sends it.
struct WireFrame: Equatable, CustomStringConvertible {
    var isFinal = true
    var isCompressed = false
    var opcode: UInt8
    var payload: [UInt8]

    var text: String { String(decoding: payload, as: UTF8.self) }
    /// Of a Close; 1005 without one.
    var closeCode: Int { payload.count < 2 ? 1005 : Int(payload[0]) << 8 | Int(payload[1]) }
    var description: String { "\(isFinal ? "" : "part of ")\(opcode)\(isCompressed ? " compressed" : ""): \(payload.count < 100 ? text : "\(payload.count) bytes")" }

    static func text(_ text: String) -> WireFrame { WireFrame(opcode: 1, payload: Array(text.utf8)) }

    /// As a client sends it.
    func masked(_ key: [UInt8]? = [0x37, 0xfa, 0x21, 0x3d], extraBits: UInt8 = 0) -> [UInt8] {
        var bytes = [(isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | extraBits | opcode]
        let mask: UInt8 = key == nil ? 0 : 0x80
        switch payload.count {
        case ..<126: bytes.append(mask | UInt8(payload.count))
        case ..<65_536: bytes += [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default:
            bytes.append(mask | 127)
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        guard let key else { return bytes + payload }
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
    }

    /// Reads the frame in front of `bytes`; nil when it is not whole.
    static func parse(_ bytes: inout [UInt8]) -> WireFrame? {
        guard bytes.count >= 2 else { return nil }
        var head = 2
        var length = Int(bytes[1])
        #expect(length < 128, "a server's frame with a mask")
        if length == 126 {
            (head, length) = (4, bytes.count < 4 ? Int.max : Int(bytes[2]) << 8 | Int(bytes[3]))
        } else if length == 127 {
            (head, length) = (10, bytes.count < 10 ? Int.max : bytes[2..<10].reduce(0) { $0 << 8 | Int($1) })
        }
        guard length != .max, bytes.count >= head + length else { return nil }
        let frame = WireFrame(
            isFinal: bytes[0] & 0x80 != 0, isCompressed: bytes[0] & 0x40 != 0, opcode: bytes[0] & 15, payload: Array(bytes[head..<head + length]))
        bytes.removeFirst(head + length)
        return frame
    }
}

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
