// Our client against our server, in memory, with random schedules: bytes of both ways arrive in random pieces, bodies go both ways through small windows,
// either side resets, the server drains. Nothing is lost or changed, windows of both sides agree in the end, and what the client is told was not processed
// was not. Seeds are fixed; a failure names its seed.

import Testing

@testable import UringHTTP2

/// What an exchange is to be; the server reads it from the path.
private struct Exchange {
    /// How the server answers.
    enum Kind: String, CaseIterable {
        /// Behind the request's end.
        case after
        /// At once, while the request goes on.
        case both
        /// At once and without the rest of the request.
        case early
        /// Not, but by RST_STREAM.
        case reset
    }
    var kind: Kind
    var size: Int
    var body: [UInt8]?
    var trailers: String?
    var answerTrailers: Bool
    var interim: Bool
    var givenUp = false

    var path: String { "/\(kind.rawValue)-\(size)-\(answerTrailers ? "t" : "")-\(interim ? "i" : "")" }
}

/// A server on its engine that does what paths say.
private final class PathServer {
    let harness: Harness
    /// Requests that were handed out, with their bodies so far.
    var bodies: [UInt32: String] = [:]
    var trailers: [UInt32: String] = [:]
    var whole: Set<UInt32> = []
    private var rest: [UInt32: [UInt8]] = [:]
    private var kinds: [UInt32: Exchange.Kind] = [:]
    private var trailing: Set<UInt32> = []
    private var unconsumed: [UInt32: Int] = [:]
    var failed = false
    private let pieceMax: Int

    init(_ settings: HTTP2LocalSettings, pieceMax: Int) {
        harness = Harness(settings: settings)
        self.pieceMax = pieceMax
    }

    func receive(_ bytes: [UInt8]) {
        harness.receive(bytes)
        for event in harness.takeEvents() {
            let words = event.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            let id = words.count > 1 ? UInt32(words[1]) ?? 0 : 0
            switch words[0] {
            case "request":
                bodies[id] = ""
                begin(id, words[4].dropFirst().split(separator: "-", omittingEmptySubsequences: false).map(String.init))
                if event.hasSuffix(" end") { end(id) }
            case "data":
                bodies[id]? += words[2]
                unconsumed[id, default: 0] += words[2].utf8.count
                if event.hasSuffix(" end") { end(id) }
            case "trailers":
                trailers[id] = words[2...].joined(separator: " ")
                end(id)
            case "reset": drop(id)
            case "failed": failed = true
            default: break
            }
        }
    }

    private func begin(_ id: UInt32, _ words: [String]) {
        let kind = Exchange.Kind(rawValue: words[0])!
        kinds[id] = kind
        rest[id] = EchoClient.body(Int(words[1])!)
        if words[2] == "t" { trailing.insert(id) }
        if words[3] == "i" { harness.writeInterim(id, status: 103) }
        switch kind {
        case .after: break
        case .both: head(id)
        case .early: head(id)
        case .reset:
            harness.reset(id, .internalError)
            drop(id)
        }
    }

    private func end(_ id: UInt32) {
        whole.insert(id)
        if kinds[id] == .after, rest[id] != nil { head(id) }
    }

    private func head(_ id: UInt32) {
        let ends = rest[id]!.isEmpty && !trailing.contains(id)
        harness.writeHead(id, fields: "X-Id: \(id % 3)\r\n", end: ends)
        if ends { answered(id) } else { harness.setReady(id) }
    }

    private func answered(_ id: UInt32) {
        rest[id] = nil
        if kinds[id] == .early { harness.stopReading(id) }
    }
    private func drop(_ id: UInt32) {
        rest[id] = nil
        unconsumed[id] = nil
    }

    /// Takes some of the bodies, or all that there is.
    func consume(_ random: inout SeededRandom, all: Bool) {
        for (id, count) in unconsumed.sorted(by: { $0.key < $1.key }) where count > 0 {
            let taken = all ? count : Int.random(in: 0...count, using: &random)
            harness.consume(id, taken)
            unconsumed[id] = count - taken
        }
    }

    func output() -> [UInt8] {
        for (id, bytes) in rest.sorted(by: { $0.key < $1.key }) where bytes.isEmpty && trailing.contains(id) && kinds[id] != .after { finish(id) }
        while let id = harness.nextSendable(), let bytes = rest[id] {
            let count = min(harness.window(id), bytes.count, pieceMax)
            let ends = count == bytes.count && !trailing.contains(id)
            if count > 0 || ends { harness.writeData(id, Array(bytes[..<count]), end: ends) }
            rest[id] = Array(bytes[count...])
            guard count == bytes.count else { continue }
            if ends { answered(id) } else { finish(id) }
        }
        harness.drain()
        return harness.takeFrames().flatMap(\.bytes)
    }

    private func finish(_ id: UInt32) {
        harness.writeTrailers(id, "grpc-status: 0\r\n")
        answered(id)
    }
}

@Suite struct ClientServerPairTests {
    @Test(arguments: 0..<400)
    func randomSchedules(seed: Int) {
        var random = SeededRandom(state: UInt64(seed) &+ 1000)
        let windows = [1, 10, 300, 5000, 65_535, 200_000]
        let serverSettings = HTTP2LocalSettings(
            maxConcurrentStreams: Int.random(in: 1...30, using: &random), streamWindowBytes: windows.randomElement(using: &random)!,
            connectionWindowBytes: Int.random(in: 65_535...200_000, using: &random))
        let clientSettings = HTTP2ClientSettings(
            streamsMax: Int.random(in: 1...40, using: &random), streamWindowBytes: windows.randomElement(using: &random)!,
            connectionWindowBytes: Int.random(in: 65_535...200_000, using: &random))
        let client = EchoClient(clientSettings, pieceMax: Int.random(in: 1...5000, using: &random))
        client.consumes = false
        let server = PathServer(serverSettings, pieceMax: Int.random(in: 1...5000, using: &random))
        let sizeMax = min(serverSettings.streamWindowBytes, clientSettings.streamWindowBytes) < 100 ? 200 : 8000
        let drains = seed % 4 == 0
        var exchanges: [UInt32: Exchange] = [:]
        var toServer: [UInt8] = []
        var toClient: [UInt8] = []
        var consumed: [UInt32: Int] = [:]

        func check(_ step: Int) -> Bool {
            if let broken = client.harness.broken { Issue.record("seed \(seed), step \(step), client: \(broken)") }
            if let broken = unsafe server.harness.engine.pointee.brokenInvariant() { Issue.record("seed \(seed), step \(step), server: \(broken)") }
            if client.failed || server.failed { Issue.record("seed \(seed), step \(step): failed, client \(client.failed), server \(server.failed)") }
            return client.harness.broken == nil && !client.failed && !server.failed
        }
        func consume(all: Bool) {
            for (id, response) in client.responses.sorted(by: { $0.key < $1.key }) {
                let held = response.body.utf8.count - consumed[id, default: 0]
                guard held > 0 else { continue }
                let taken = all ? held : Int.random(in: 0...held, using: &random)
                client.harness.consume(id, taken)
                consumed[id, default: 0] += taken
            }
        }
        func move(_ bytes: inout [UInt8], all: Bool) -> [UInt8] {
            let count = all ? bytes.count : Int.random(in: 0...bytes.count, using: &random)
            defer { bytes.removeFirst(count) }
            return Array(bytes[..<count])
        }

        for step in 0..<150 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...3:
                guard client.harness.spare > 0 else { break }
                var exchange = Exchange(
                    kind: Exchange.Kind.allCases[[0, 0, 0, 1, 1, 2, 3][Int.random(in: 0..<7, using: &random)]], size: Int.random(in: 0...sizeMax, using: &random),
                    answerTrailers: Bool.random(using: &random), interim: Int.random(in: 0..<4, using: &random) == 0)
                if Bool.random(using: &random) { exchange.body = EchoClient.body(Int.random(in: 0...sizeMax, using: &random)) }
                if exchange.body != nil, Bool.random(using: &random) { exchange.trailers = "x-sum: \(step % 3)\r\n" }
                let id = client.request(
                    exchange.body == nil ? "GET" : "POST", exchange.path, fields: "X-Step: \(step % 5)\r\n", body: exchange.body,
                    length: Bool.random(using: &random), trailers: exchange.trailers)
                #expect(id != 0, "seed \(seed), step \(step)")
                exchanges[id] = exchange
            case 4: toServer += client.output()
            case 5: toClient += server.output()
            case 6: server.receive(move(&toServer, all: false))
            case 7: client.receive(move(&toClient, all: false))
            case 8: server.consume(&random, all: false)
            case 9: consume(all: false)
            case 10:
                guard Int.random(in: 0..<3, using: &random) == 0, let id = exchanges.keys.sorted().randomElement(using: &random), client.harness.slotOfStream[id] != nil
                else { break }
                client.giveUp(id)
                exchanges[id]?.givenUp = true
            default:
                if drains, Int.random(in: 0..<12, using: &random) == 0 { unsafe server.harness.engine.pointee.drain() }
                unsafe client.harness.engine.pointee.ping(now: 1)
            }
            guard check(step) else { return }
        }
        // To the end.
        for step in 150..<20_000 {
            consume(all: true)
            server.consume(&random, all: true)
            toServer += client.output()
            toClient += server.output()
            if toServer.isEmpty && toClient.isEmpty { break }
            server.receive(move(&toServer, all: Bool.random(using: &random)))
            client.receive(move(&toClient, all: Bool.random(using: &random)))
            guard check(step) else { return }
        }
        #expect(client.harness.activeStreams == 0 && server.harness.activeStreams == 0, "seed \(seed)")
        unsafe compareWindows(client.harness.engine, server.harness.engine, seed)
        for (id, exchange) in exchanges { judge(id, exchange, client.responses[id]!, server, seed) }
    }

    /// With nothing under way, what one may send is what the other lets it.
    private func compareWindows(_ client: UnsafeMutablePointer<HTTP2ClientConnection>, _ server: UnsafeMutablePointer<HTTP2Connection>, _ seed: Int) {
        #expect(unsafe client.pointee.sendWindow.bytes == server.pointee.receiveWindow.bytes, "seed \(seed)")
        #expect(unsafe server.pointee.sendWindow.bytes == client.pointee.receiveWindow.bytes, "seed \(seed)")
    }

    private func judge(_ id: UInt32, _ exchange: Exchange, _ response: EchoClient.Response, _ server: PathServer, _ seed: Int) {
        let place: Comment = "seed \(seed), stream \(id), \(exchange.path): \(response.end ?? "whole")"
        let expected = String(decoding: EchoClient.body(exchange.size), as: UTF8.self)
        #expect(expected.hasPrefix(response.body), place)
        if let seen = server.bodies[id] { #expect(String(decoding: exchange.body ?? [], as: UTF8.self).hasPrefix(seen), place) }
        if exchange.givenUp { return }
        switch response.end {
        case nil: #expect(exchange.kind != .reset && response.ended, place)
        case "unprocessed"?, "reset REFUSED_STREAM none"?:
            #expect(server.bodies[id] == nil && response.head.isEmpty, place)
            return
        case "reset NO_ERROR begun answered"?: #expect(exchange.kind == .early && response.ended, place)
        case "reset INTERNAL_ERROR unknown"?, "reset INTERNAL_ERROR begun"?:
            #expect(exchange.kind == .reset, place)
            return
        default: Issue.record(place)
        }
        #expect(response.body == expected, place)
        #expect(response.head == "200 [x-id: \(id % 3)]", place)
        #expect(response.trailers == (exchange.answerTrailers ? "[grpc-status: 0]" : nil), place)
        if exchange.interim { #expect(response.interims == ["103"], place) }
        if response.end == nil, server.whole.contains(id) {
            #expect(server.bodies[id] == String(decoding: exchange.body ?? [], as: UTF8.self), place)
            #expect(server.trailers[id] == exchange.trailers.map { "[\($0.dropLast())]" }, place)
        }
    }
}
