// The engine against libnghttp2 as client, in memory: bodies both ways, many streams, small windows. Nothing is lost, changed or complained of.

import Testing

@testable import UringHTTP2

/// A server on a harness: `/N` answers N bytes, and every request's body is kept.
private final class EchoServer {
    let harness: Harness
    var bodies: [UInt32: String] = [:]
    /// What is left to send.
    private var rest: [UInt32: [UInt8]] = [:]
    private var sizes: [UInt32: Int] = [:]
    private let pieceMax: Int

    init(_ settings: HTTP2LocalSettings, pieceMax: Int) {
        harness = Harness(settings: settings)
        self.pieceMax = pieceMax
    }

    static func body(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(97 + $0 % 26) } }

    /// Takes bytes, answers bytes.
    func work(_ input: [UInt8], piece: Int) -> [UInt8] {
        harness.receive(input, piece: piece)
        for event in harness.takeEvents() {
            let words = event.split(separator: " ").map(String.init)
            switch words[0] {
            case "request":
                sizes[UInt32(words[1])!] = Int(words[4].dropFirst())
                if words.last == "end" { answer(UInt32(words[1])!) }
            case "data":
                let id = UInt32(words[1])!
                let ends = event.hasSuffix(" end")
                let text = words.count > 2 && !(ends && words.count == 3) ? words[2] : ""
                bodies[id, default: ""] += text
                harness.consume(id, text.utf8.count)
                if ends { answer(id) }
            case "reset": rest[UInt32(words[1])!] = nil
            case "windowOpened": break
            default: Issue.record("unexpected \(event)")
            }
        }
        send()
        return harness.takeFrames().flatMap(\.bytes)
    }

    private func answer(_ id: UInt32) {
        let size = sizes[id] ?? 0
        harness.writeHead(id, fields: "Content-Type: text/plain\r\nX-Size: \(size)\r\n", length: UInt64(size), end: size == 0)
        guard size > 0 else { return }
        rest[id] = Self.body(size)
        harness.setReady(id)
    }

    private func send() {
        while let id = harness.nextSendable(), let bytes = rest[id] {
            let count = min(harness.window(id), bytes.count, pieceMax)
            let ends = count == bytes.count
            harness.writeData(id, Array(bytes[..<count]), end: ends)
            rest[id] = ends ? nil : Array(bytes[count...])
        }
    }
}

extension WireFrame {
    var bytes: [UInt8] { Client.frame(type, flags: flags, stream: stream, payload) }
}

@Suite struct InteropTests {
    struct Setting: Sendable, CustomTestStringConvertible {
        var clientWindow: UInt32
        var serverWindow: Int
        var tableBytes: UInt32
        var piece: Int
        var testDescription: String { "client \(clientWindow), server \(serverWindow), table \(tableBytes), pieces \(piece)" }
    }
    static let settings = [
        Setting(clientWindow: 65_535, serverWindow: 65_536, tableBytes: 4096, piece: .max),
        Setting(clientWindow: 100, serverWindow: 100, tableBytes: 0, piece: .max),
        Setting(clientWindow: 1_000_000, serverWindow: 1000, tableBytes: 65_536, piece: 13),
        Setting(clientWindow: 1, serverWindow: 1, tableBytes: 100, piece: 7),
        Setting(clientWindow: 5000, serverWindow: 70_000, tableBytes: 4096, piece: 1000),
    ]

    @Test(arguments: settings)
    func exchange(_ setting: Setting) {
        let server = EchoServer(HTTP2LocalSettings(maxConcurrentStreams: 30, streamWindowBytes: setting.serverWindow), pieceMax: 3000)
        let client = NGHTTP2Client(window: setting.clientWindow, tableBytes: setting.tableBytes)
        // Both sides' settings first: a client that knows no limit opens too many streams.
        client.receive(server.work(client.output(), piece: .max))
        client.receive(server.work(client.output(), piece: .max))
        var random = SeededRandom(state: 7)
        var expected: [(Int32, Int, [UInt8]?)] = []
        let sizeMax = setting.clientWindow < 10 ? 300 : 30_000
        for index in 0..<60 {
            let size = Int.random(in: 0...sizeMax, using: &random)
            let body = index % 3 == 0 ? EchoServer.body(Int.random(in: 0...sizeMax, using: &random)) : nil
            let fields = [("user-agent", "test"), ("x-index", "\(index)"), ("cookie", "a=1"), ("priority", "u=\(index % 8)\(index % 2 == 0 ? ", i" : "")")]
            let length = body.map { index % 2 == 0 ? [("content-length", "\($0.count)")] : [] } ?? []
            expected.append((client.request(body == nil ? "GET" : "POST", "/\(size)", fields: fields + length, body: body), size, body))
        }
        client.ping()
        for _ in 0..<100_000 {
            let request = client.output()
            let response = server.work(request, piece: setting.piece)
            client.receive(response)
            if unsafe server.harness.engine.pointee.brokenInvariant() != nil { break }
            if request.isEmpty && response.isEmpty { break }
        }
        #expect(unsafe server.harness.engine.pointee.brokenInvariant() == nil)
        #expect(client.complaints == [])
        #expect(server.harness.activeStreams == 0)
        for (stream, size, body) in expected {
            let response = client.responses[stream]
            #expect(response?.closedWith == 0)
            #expect(response?.body == EchoServer.body(size), "stream \(stream)")
            #expect(response?.fields == [":status: 200", "content-length: \(size)", "content-type: text/plain", "x-size: \(size)"])
            if let body { #expect(server.bodies[UInt32(stream)] == String(decoding: body, as: UTF8.self) || body.isEmpty) }
        }
    }
}
