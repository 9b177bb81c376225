// Async handlers that read bodies and write content piece by piece: order, back-pressure, ends, and what becomes of those whose client goes.

import Glibc
import Synchronization
import TestSupport
import Testing
import UringBase
import UringHTTP
import UringServer

@Suite struct AsyncStreamTests {
    private static func server(_ options: ServerOptions = ServerOptions(), _ build: (inout Router) -> Void) throws -> TestServer {
        var router = Router()
        build(&router)
        return try TestServer(options: options, application: Application(router: router))
    }

    // MARK: request bodies

    @Test func readsABodyInPieces() throws {
        let server = try Self.server { router in
            router.post("/up", streamingBody: true) { request, response in
                var (bytes, pieces, sum) = (0, 0, UInt64(0))
                for try await piece in try request.bodyStream {
                    bytes += piece.count
                    pieces += 1
                    for byte in piece { sum &+= UInt64(byte) }
                }
                response.write("\(bytes) \(sum) \(pieces > 1)")
            }
        }
        let client = try server.client()
        let body = [UInt8](repeating: 7, count: 300_000)
        for _ in 0..<2 {
            try client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
            try client.send(body)
            #expect(try client.readResponse().bodyText == "300000 2100000 true")
        }
    }

    /// A body that comes faster than receive buffers are large, with its length and in chunks, on a connection that makes further requests: every byte in its place, and the next
    /// request, which comes with the end of the body, too.
    @Test func readsALargeBody() throws {
        let server = try Self.server { router in
            router.post("/up", streamingBody: true) { request, response in
                var (bytes, hash, largest) = (0, UInt64(0), 0)
                for try await piece in try request.bodyStream {
                    bytes += piece.count
                    largest = max(largest, piece.count)
                    for byte in piece { hash = hash &* 31 &+ UInt64(byte) }
                }
                response.write("\(bytes) \(hash) \(largest)")
            }
            router.get("/next") { _, response in response.write("next") }
        }
        let client = try server.client()
        let body = (0..<1_500_000).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 9) }
        let hash = body.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }
        let next = Array("GET /next HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        for round in 0..<4 {
            let isChunked = round % 2 == 1
            let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(body.count)"
            try client.send("POST /up HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
            var text = body
            if isChunked {
                text = []
                for start in stride(from: 0, to: body.count, by: 100_000) {
                    let part = body[start..<min(body.count, start + 100_000)]
                    text += Array("\(String(part.count, radix: 16))\r\n".utf8) + part + Array("\r\n".utf8)
                }
                text += Array("0\r\n\r\n".utf8)
            }
            try client.send(text + next)
            let said = try client.readResponse().bodyText.split(separator: " ")
            #expect(said.prefix(2) == ["\(body.count)", "\(hash)"], "\(said)")
            #expect(said.last.flatMap { Int($0) } ?? .max <= 192 * 1024, "\(said)")
            #expect(try client.readResponse().bodyText == "next")
        }
    }

    /// What a receiver has not taken when it paused comes in pieces of bounded size, too.
    @Test(arguments: ["Content-Length: 3000000", "Transfer-Encoding: chunked"]) func piecesAreBounded(_ framing: String) throws {
        let server = try Self.server { router in
            router.post("/up", streamingBody: true) { request, response in
                var (bytes, largest, sum) = (0, 0, UInt64(0))
                let exchange = response.exchange
                response.receiveBody { part, response in
                    bytes += part.bytes.count
                    largest = max(largest, part.bytes.count)
                    for index in 0..<part.bytes.count { sum = sum &* 31 &+ UInt64(part.bytes[index]) }
                    if part.isLast { response.write("\(bytes) \(sum) \(largest <= 65536)") }
                    exchange.resume()
                    return .pause
                }
            }
        }
        let client = try server.client()
        let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 9) }
        let sum = body.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }
        let isChunked = framing.hasSuffix("chunked")
        let text = isChunked ? Array("\(String(body.count, radix: 16))\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8) : body
        for _ in 0..<3 {
            try client.send("POST /up HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
            try client.send(text)
            #expect(try client.readResponse().bodyText == "\(body.count) \(sum) true")
        }
    }

    @Test func readsChunksAndTrailers() throws {
        let server = try Self.server { router in
            router.put("/up", streamingBody: true) { request, response in
                let body = try request.bodyStream
                let text = try await body.collect(upTo: 100)
                response.write("\(String(decoding: text, as: UTF8.self)) \(try await body.trailers())")
            }
        }
        let client = try server.client()
        try client.send("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        try client.send("6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n")
        #expect(try client.readResponse().bodyText == #"hello world [(name: "X-Sum", value: "11")]"#)
        // The limit of `collect` is the handler's answer.
        try client.send("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n")
        try client.send([UInt8](repeating: 65, count: 101))
        #expect(try client.readResponse().status == 413)
    }

    /// On a route that does not stream, the same code gets the body at once.
    @Test func readsABodyThatIsThere() throws {
        let server = try Self.server { router in
            router.post("/") { request, response in
                var pieces: [String] = []
                for try await piece in try request.bodyStream { pieces.append(String(decoding: piece, as: UTF8.self)) }
                response.write(pieces.joined(separator: "|"))
            }
        }
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole")
        #expect(try client.readResponse().bodyText == "whole")
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(try client.readResponse().bodyText == "")
    }

    /// A handler that does not read holds its client back: what the server takes is bounded.
    @Test func holdsTheClientBack() throws {
        let gate = Gate()
        var options = ServerOptions()
        options.limits.bodyBytes = 100_000_000
        let server = try Self.server(options) { router in
            router.post("/up", streamingBody: true) { request, response in
                await gate.wait()
                var bytes = 0
                for try await piece in try request.bodyStream { bytes += piece.count }
                response.write("\(bytes)")
            }
            router.get("/open") { _, _ in gate.open() }
        }
        let client = try server.client()
        let total = 40_000_000
        try client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(total)\r\n\r\n")
        var sent = try client.sendUntilHeldBack([UInt8](repeating: 1, count: total), patienceMs: 300)
        #expect(sent < total / 2)
        _ = try server.get("/open")
        while sent < total {
            let count = min(1 << 20, total - sent)
            try client.send([UInt8](repeating: 1, count: count))
            sent += count
        }
        #expect(try client.readResponse().bodyText == "\(total)")
    }

    /// What the handler leaves of a body is thrown away; the connection goes on.
    @Test func leavesTheRestOfABody() throws {
        let server = try Self.server { router in
            router.post("/some", streamingBody: true) { request, response in
                for try await piece in try request.bodyStream {
                    response.write("\(piece.count > 0)")
                    return
                }
            }
            router.post("/none", streamingBody: true) { _, response in
                try await Task.sleep(for: .milliseconds(1))
                response.write("none")
            }
        }
        let client = try server.client()
        for (path, answer) in [("/some", "true"), ("/none", "none"), ("/some", "true")] {
            try client.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
            try client.send([UInt8](repeating: 65, count: 20000))
            #expect(try client.readResponse().bodyText == answer)
        }
    }

    @Test func expectContinue() throws {
        let server = try Self.server { router in
            router.post("/", streamingBody: true) { request, response in
                response.write(try await request.bodyStream.collect(upTo: 10))
            }
        }
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        try client.send("ok")
        #expect(try client.readResponse().bodyText == "ok")
    }

    /// The client goes in the middle of its body.
    @Test func bodyOfAClientThatGoes() throws {
        let seen = Locked<[String]>([])
        let server = try Self.server { router in
            router.post("/up", streamingBody: true) { request, _ in
                do {
                    for try await _ in try request.bodyStream {}
                    seen.withLock { $0.append("whole") }
                } catch {
                    seen.withLock { $0.append("\(type(of: error))") }
                    throw error
                }
            }
        }
        do {
            let client = try server.client()
            try client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nnot all")
            _ = try server.get("/")
            client.resetOnClose()
        }
        try eventually(server) { seen.withLock { !$0.isEmpty } }
        #expect(seen.withLock { $0 } == ["CancellationError"])
    }

    // MARK: content

    @Test func writesAStream() throws {
        let server = try Self.server { router in
            router.get("/count/{n}") { request, response in
                let count = Int(String(request.parameter("n")!)) ?? 0
                response.headers["x-kind"] = "stream"
                let stream = try response.startStream()
                for number in 0..<count {
                    try await stream.write("\(number),")
                    if number % 3 == 0 { try await request.loop.sleep(for: .milliseconds(1)) }
                }
                try await stream.addTrailer("x-count", "\(count)")
            }
        }
        let client = try server.client()
        for count in [0, 1, 2, 10, 50] {
            try client.send("GET /count/\(count) HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.bodyText == (0..<count).map { "\($0)," }.joined())
            #expect(response.values("x-kind") == ["stream"] && response.values("transfer-encoding") == ["chunked"])
            #expect(response.trailers.map(\.value) == ["\(count)"])
        }
    }

    /// The head and what was written are sent while the handler waits.
    @Test func sendsWhileTheHandlerWaits() throws {
        let gate = Gate()
        let server = try Self.server { router in
            router.get("/") { _, response in
                let stream = try response.startStream()
                try await stream.write("first")
                await gate.wait()
                try await stream.write("second")
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let text = try client.read(until: "first")
        #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
        gate.open()
        let rest = try client.read(until: "0\r\n\r\n")
        #expect(rest.contains("second"))
    }

    /// More than memory for it: the handler waits for its client.
    @Test func waitsForTheClient() throws {
        let written = Atomic<Int>(0)
        let piece = [UInt8](repeating: 65, count: 100_000)
        let server = try Self.server { router in
            router.get("/") { _, response in
                let stream = try response.startStream(length: 40_000_000)
                for _ in 0..<400 {
                    try await stream.write(piece)
                    written.add(piece.count, ordering: .relaxed)
                }
            }
            router.get("/nothing") { _, _ in }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        // The server has had its turns when this many others were answered.
        for _ in 0..<50 { _ = try server.get("/nothing") }
        #expect(written.load(ordering: .relaxed) < 20_000_000)
        #expect(try client.readResponse().body.count == 40_000_000)
        #expect(written.load(ordering: .relaxed) == 40_000_000)
    }

    /// HEAD has no content: its handler is told, and the connection goes on.
    @Test func headHasNoContent() throws {
        let seen = Locked<[String]>([])
        let server = try Self.server { router in
            router.get("/") { request, response in
                let stream = try response.startStream()
                do {
                    while true {
                        try await stream.write("more")
                        try await request.loop.sleep(for: .milliseconds(1))
                    }
                } catch {
                    seen.withLock { $0.append("\(type(of: error))") }
                }
            }
            router.get("/nothing") { _, _ in }
        }
        let client = try server.client()
        try client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse(toHead: true).status == 200)
        #expect(try client.readResponse().status == 200)
        try eventually(server) { seen.withLock { !$0.isEmpty } }
        #expect(seen.withLock { $0 } == ["CancellationError"])
    }

    private struct Failure: Error {}

    /// An error before the head is a 500; behind it only a cut connection can tell.
    @Test func errors() throws {
        let server = try Self.server { router in
            router.get("/before") { request, response in
                _ = try response.startStream()
                throw Failure()
            }
            router.get("/after") { request, response in
                let stream = try response.startStream()
                try await stream.write("some")
                try await request.loop.sleep(for: .milliseconds(1))
                throw Failure()
            }
        }
        let client = try server.client()
        try client.send("GET /before HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 500)
        try client.send("GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try client.read(until: "some")
        #expect(throws: (any Error).self) { _ = try client.read(until: "0\r\n\r\n") }
    }

    /// Both directions at once: what is read comes back before the client has sent the next.
    @Test func echoesWhileReading() throws {
        let server = try Self.server { router in
            router.post("/echo", streamingBody: true) { request, response in
                let stream = try response.startStream()
                for try await piece in try request.bodyStream { try await stream.write(piece) }
            }
        }
        let client = try server.client()
        for _ in 0..<2 {
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for word in ["alpha", "beta5", "gamma"] {
                try client.send("5\r\n\(word)\r\n")
                _ = try client.read(until: word)
            }
            try client.send("0\r\n\r\n")
            _ = try client.read(until: "0\r\n\r\n")
        }
    }

    /// What is for async handlers only says so elsewhere.
    @Test func belongsToAsyncHandlers() throws {
        let server = try Self.server { router in
            router.get("/stream") { (_: borrowing Request, response: inout Response) throws in
                do { _ = try response.startStream() } catch { response.write("\(error)") }
            }
            router.get("/body") { (request: borrowing Request, response: inout Response) throws in
                do { _ = try request.bodyStream } catch { response.write("\(error)") }
            }
        }
        #expect(try server.get("/stream").bodyText.hasPrefix("Response.startStream belongs to async handlers"))
        #expect(try server.get("/body").bodyText.hasPrefix("Request.bodyStream belongs to async handlers"))
    }

    /// Asks the server until something has become true there.
    private func eventually(_ server: TestServer, _ condition: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition(), ContinuousClock.now < deadline { _ = try server.get("/nothing") }
    }
}

extension RawClient {
    /// Everything up to and with this text.
    func read(until end: String) throws -> String {
        var bytes: [UInt8] = []
        while !String(decoding: bytes, as: UTF8.self).hasSuffix(end) { bytes += try readSome(1) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Lets async code wait for a test.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Locked(State())

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
