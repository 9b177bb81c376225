// The client's engine against libnghttp2 as server, in memory: bodies both ways, trailers, many streams, small windows, drains. Nothing is lost, changed or
// complained of.

import CNGHTTP2
import Testing

@testable import UringHTTP2

/// A client that sends bodies as windows allow and keeps what it gets.
final class EchoClient {
    struct Response: Equatable {
        var interims: [String] = []
        var head = ""
        var body = ""
        var trailers: String?
        var ended = false
        /// From `ended` events, "unprocessed", "lost".
        var end: String?
    }
    let harness: ClientHarness
    var responses: [UInt32: Response] = [:]
    private var rest: [UInt32: [UInt8]] = [:]
    private var trailers: [UInt32: String] = [:]
    private let pieceMax: Int
    var failed = false
    /// What is consumed of each piece of data at once; the rest never, when less than everything.
    var consumes = true

    init(_ settings: HTTP2ClientSettings = HTTP2ClientSettings(), pieceMax: Int = 3000) {
        harness = ClientHarness(settings: settings)
        self.pieceMax = pieceMax
    }

    static func body(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(97 + $0 % 26) } }

    @discardableResult
    func request(_ method: String, _ path: String, fields: String = "", body: [UInt8]? = nil, length: Bool = false, trailers: String? = nil) -> UInt32 {
        let open = body != nil || trailers != nil
        let id = harness.open(method, path, fields: fields, length: length ? UInt64(body?.count ?? 0) : nil, end: !open)
        guard id != 0 else { return 0 }
        responses[id] = Response()
        if open {
            rest[id] = body ?? []
            self.trailers[id] = trailers
            harness.setReady(id)
        }
        return id
    }

    func receive(_ bytes: [UInt8], piece: Int = .max) {
        harness.receive(bytes, piece: piece)
        for event in harness.takeEvents() { take(event) }
    }

    private func take(_ event: String) {
        let words = event.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        let id = words.count > 1 ? UInt32(words[1]) ?? 0 : 0
        switch words[0] {
        case "interim": responses[id]?.interims.append(words[2])
        case "response":
            responses[id]?.ended = words[2].hasSuffix(" end")
            responses[id]?.head = words[2].hasSuffix(" end") ? String(words[2].dropLast(4)) : words[2]
        case "data":
            let ends = words[2].hasSuffix(" end")
            let text = ends ? String(words[2].dropLast(4)) : words[2]
            responses[id]?.body += text
            if ends { responses[id]?.ended = true }
            if consumes { harness.consume(id, text.utf8.count) }
        case "trailers":
            responses[id]?.trailers = words[2]
            responses[id]?.ended = true
        case "ended":
            responses[id]?.end = words[2]
            rest[id] = nil
        case "unprocessed":
            for word in event.split(separator: " ").dropFirst() {
                responses[UInt32(word)!]?.end = "unprocessed"
                rest[UInt32(word)!] = nil
            }
        case "failed": failed = true
        default: break
        }
    }

    /// What there is to send: control output, bodies, ends.
    func output() -> [UInt8] {
        // Ends that need no window.
        for (id, bytes) in rest.sorted(by: { $0.key < $1.key }) where bytes.isEmpty { finish(id) }
        while let id = harness.nextSendable(), let bytes = rest[id] {
            let count = min(harness.window(id), bytes.count, pieceMax)
            let ends = count == bytes.count
            harness.writeData(id, Array(bytes[..<count]), end: ends && trailers[id] == nil)
            rest[id] = ends ? nil : Array(bytes[count...])
            if ends, let lines = trailers.removeValue(forKey: id) { harness.writeTrailers(id, lines) }
        }
        return harness.takeBytes()
    }

    private func finish(_ id: UInt32) {
        rest[id] = nil
        if let lines = trailers.removeValue(forKey: id) { harness.writeTrailers(id, lines) } else { harness.writeData(id, [], end: true) }
    }

    func giveUp(_ id: UInt32) {
        harness.reset(id)
        rest[id] = nil
        responses[id]?.end = "given up"
    }
    var uploading: Int { rest.count }
}

@Suite struct ClientInteropTests {
    struct Setting: Sendable, CustomTestStringConvertible {
        var serverWindow: UInt32
        var clientWindow: Int
        var tableBytes: UInt32
        var piece: Int
        var testDescription: String { "server \(serverWindow), client \(clientWindow), table \(tableBytes), pieces \(piece)" }
    }
    static let settings = [
        Setting(serverWindow: 65_535, clientWindow: 65_536, tableBytes: 4096, piece: .max),
        Setting(serverWindow: 100, clientWindow: 100, tableBytes: 0, piece: .max),
        Setting(serverWindow: 1_000_000, clientWindow: 1000, tableBytes: 65_536, piece: 13),
        Setting(serverWindow: 1, clientWindow: 1, tableBytes: 100, piece: 7),
        Setting(serverWindow: 5000, clientWindow: 70_000, tableBytes: 4096, piece: 1000),
    ]

    /// Until neither has anything to say.
    private func exchange(_ client: EchoClient, _ server: NGHTTP2Server, piece: Int = .max) {
        for _ in 0..<100_000 {
            let request = client.output()
            server.receive(request)
            let response = server.output()
            client.receive(response, piece: piece)
            if client.harness.broken != nil { break }
            if request.isEmpty && response.isEmpty { break }
        }
        #expect(client.harness.broken == nil)
    }

    @Test(arguments: settings)
    func exchange(_ setting: Setting) {
        let client = EchoClient(HTTP2ClientSettings(streamWindowBytes: setting.clientWindow, connectionWindowBytes: 65_535))
        let server = NGHTTP2Server(window: setting.serverWindow, streamsMax: 20, tableBytes: setting.tableBytes)
        var random = SeededRandom(state: 7)
        let sizeMax = setting.serverWindow < 10 ? 300 : 30_000
        server.answer = { _, request in
            let path = request.fields.first { $0.hasPrefix(":path: /") }.map { String($0.dropFirst(8)) } ?? ""
            let size = Int(path.split(separator: "-")[0]) ?? 0
            var answer = ServedAnswer()
            answer.body = EchoClient.body(size)
            answer.fields = [("content-type", "text/plain"), ("x-size", "\(size)")]
            if path.hasSuffix("-t") { answer.trailers = [("grpc-status", "0")] }
            if path.hasSuffix("-i") { answer.interim = 103 }
            if size % 2 == 0 { answer.fields.append(("content-length", "\(size)")) }
            return answer
        }
        var waiting = (0..<60).map { index -> (Int, [UInt8]?, String, String?) in
            let size = Int.random(in: 0...sizeMax, using: &random)
            let body = index % 3 == 0 ? EchoClient.body(Int.random(in: 0...sizeMax, using: &random)) : nil
            return (size, body, ["", "-t", "-i"][index % 3], index % 5 == 0 && body != nil ? "x-sum: \(index)\r\n" : nil)
        }
        var expected: [(UInt32, Int, [UInt8]?, String, String?)] = []
        // A client that does not know the limit yet opens too many.
        exchange(client, server, piece: setting.piece)
        for _ in 0..<200 where !waiting.isEmpty {
            // As many as the server allows, and no more.
            while let next = waiting.first, client.harness.spare > 0 {
                let (size, body, kind, trailers) = next
                let id = client.request(
                    body == nil ? "GET" : "POST", "/\(size)\(kind)", fields: "User-Agent: test\r\nX-Index: \(waiting.count)\r\nAuthorization: Bearer secret\r\n",
                    body: body, length: waiting.count % 2 == 0, trailers: trailers)
                #expect(id != 0)
                expected.append((id, size, body, kind, trailers))
                waiting.removeFirst()
            }
            exchange(client, server, piece: setting.piece)
        }
        #expect(waiting.isEmpty)
        #expect(server.complaints == [])
        #expect(client.harness.activeStreams == 0)
        for (stream, size, body, kind, trailers) in expected {
            let response = client.responses[stream]
            let length = size % 2 == 0 ? " length=\(size)" : ""
            let field = size % 2 == 0 ? ", content-length: \(size)" : ""
            #expect(response?.head == "200\(length) [content-type: text/plain, x-size: \(size)\(field)]")
            #expect(response?.body == String(decoding: EchoClient.body(size), as: UTF8.self), "stream \(stream)")
            #expect(response?.trailers == (kind == "-t" ? "[grpc-status: 0]" : nil))
            #expect(response?.interims == (kind == "-i" ? ["103"] : []))
            #expect(response?.ended == true && response?.end == nil)
            let seen = server.requests[Int32(stream)]
            #expect(seen?.body == body ?? [])
            #expect(seen?.trailers == (trailers.map { [String($0.dropLast())] } ?? []))
            #expect(seen?.closedWith == 0)
        }
        let one = server.requests[Int32(expected[1].0)]?.fields
        #expect(one?.prefix(4) == [":method: GET", ":scheme: https", ":authority: example.com", ":path: /\(expected[1].1)-t"])
    }

    @Test func methodsAndTargets() {
        let client = EchoClient()
        let server = NGHTTP2Server(connectProtocol: true)
        exchange(client, server)
        for _ in 0..<3 {
            client.request("HEAD", "/")
            client.request("OPTIONS", "*")
            client.request("PURGE", "/index.html")
            client.request("PUT", "/a/b?c=d", fields: "TE: gzip\r\nConnection: close\r\nX-A: b\r\nte: trailers\r\n", body: [], length: true)
        }
        client.harness.open("CONNECT", "", authority: "h:443", end: false)
        client.harness.open("CONNECT", "/chat", connectProtocol: "websocket", end: false)
        exchange(client, server)
        #expect(server.complaints == [])
        let seen = server.requests.sorted { $0.key < $1.key }.map(\.value.fields)
        let base = ":scheme: https, :authority: example.com, :path: "
        for round in 0..<3 {
            let lines = seen[4 * round..<4 * round + 4].map { $0.joined(separator: ", ") }
            #expect(lines == [
                ":method: HEAD, \(base)/", ":method: OPTIONS, \(base)*", ":method: PURGE, \(base)/index.html",
                ":method: PUT, \(base)/a/b?c=d, content-length: 0, x-a: b, te: trailers",
            ])
        }
        #expect(seen[12] == [":method: CONNECT", ":authority: h:443"])
        #expect(seen[13] == [":method: CONNECT", ":scheme: https", ":authority: example.com", ":path: /chat", ":protocol: websocket"])
    }

    @Test func drainOfTheServer() {
        let client = EchoClient()
        let server = NGHTTP2Server()
        server.answer = { _, _ in nil }
        let ids = (0..<6).map { _ in client.request("GET", "/") }
        exchange(client, server)
        server.shutdownNotice()
        exchange(client, server)
        #expect(client.harness.isEnding && client.harness.activeStreams == 6)
        server.goAway(5)
        exchange(client, server)
        #expect(client.responses.filter { $0.value.end == "unprocessed" }.map(\.key).sorted() == [7, 9, 11])
        for id in [1, 3, 5] as [Int32] { server.respond(id, ServedAnswer(body: EchoClient.body(10))) }
        exchange(client, server)
        #expect(client.harness.activeStreams == 0 && client.harness.broken == nil)
        #expect(ids[..<3].allSatisfy { client.responses[$0]?.body.count == 10 })
        #expect(client.harness.tryOpen() == .ending)
    }

    @Test func resetsOfBothSides() {
        let client = EchoClient(HTTP2ClientSettings(streamWindowBytes: 1000, connectionWindowBytes: 65_535))
        client.consumes = false
        let server = NGHTTP2Server()
        server.answer = { id, _ in id == 3 ? nil : ServedAnswer(body: EchoClient.body(50_000)) }
        for _ in 0..<4 { client.request("GET", "/") }
        exchange(client, server)
        #expect(client.responses[1]?.body.count == 1000, "back-pressure")
        client.giveUp(1)
        server.reset(3, 7)
        server.reset(5, 2)
        exchange(client, server)
        #expect(server.requests[1]?.closedWith == 8)
        #expect(client.responses[3]?.end == "reset REFUSED_STREAM none")
        #expect(client.responses[5]?.end == "reset INTERNAL_ERROR begun")
        client.harness.consume(7, 1000)
        exchange(client, server)
        #expect(client.responses[7]?.body.count == 2000)
        #expect(server.complaints == [] && client.harness.activeStreams == 1)
    }

    /// The server lowers and raises what it allows while requests are under way.
    @Test func settingsChange() {
        let client = EchoClient()
        let server = NGHTTP2Server()
        for (index, id) in [NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, NGHTTP2_SETTINGS_MAX_FRAME_SIZE].enumerated() {
            for value in [[0, 4096, 100, 4096], [0, 10, 100_000, 65_535], [20_000, 16_384, 1_000_000]][index] as [UInt32] {
                for round in 0..<3 { client.request("POST", "/x", fields: "X-A: \(round % 2)\r\n", body: EchoClient.body(500)) }
                server.settings(id, value)
                exchange(client, server)
            }
        }
        server.settings(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65_535)
        exchange(client, server)
        #expect(server.complaints == [])
        #expect(client.harness.activeStreams == 0)
        #expect(server.requests.values.allSatisfy { $0.body.count == 500 && $0.closedWith == 0 })
    }
}
