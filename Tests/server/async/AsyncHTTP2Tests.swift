// Async handlers on HTTP/2: requests side by side, bodies with trailers, content written piece by piece, resets while a handler waits.

import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct AsyncHTTP2Tests {
    private static func server(_ build: (inout Router) -> Void) throws -> TestServer {
        var router = Router()
        build(&router)
        return try TestServer(application: Application(router: router))
    }

    /// A handler that waits holds up nobody else on its connection.
    @Test func sideBySide() throws {
        let gate = Gate()
        let server = try Self.server { router in
            router.get("/slow") { request, response in
                let path = request.path
                await gate.wait()
                response.write(path)
            }
            router.get("/fast") { request, response in
                await Task.yield()
                response.write(request.path)
            }
        }
        let client = try FrameClient(server.endpoint)
        try client.send(FrameClient.request(1, "GET", "/slow"))
        #expect(try client.ask(3, "GET", "/fast").bodyText == "/fast")
        gate.open()
        #expect(try client.answer(1).bodyText == "/slow")
    }

    @Test func bodiesAndTrailers() throws {
        let server = try Self.server { router in
            router.post("/", streamingBody: true) { request, response in
                let body = try request.bodyStream
                let stream = try response.startStream()
                // Behind: what comes meanwhile waits, its trailers too.
                try await request.loop.sleep(for: .milliseconds(20))
                var count = 0
                for try await piece in body { count += piece.count }
                try await stream.write("\(count) \(try await body.trailers())")
                try await stream.addTrailer("x-sum", "\(count)")
            }
        }
        let client = try FrameClient(server.endpoint)
        try client.send(FrameClient.request(1, "POST", "/", ends: false))
        for _ in 0..<6 { try client.send(FrameClient.data(1, [UInt8](repeating: 1, count: 10_000))) }
        try client.send(HTTP2Frame(1, flags: 5, stream: 1, FrameClient.block([("x-trailer", "seen")])))
        #expect(try client.answer(1).bodyText == #"60000 [(name: "x-trailer", value: "seen")]"#)
    }

    @Test func resetWhileItWaits() throws {
        let seen = Locked<[String]>([])
        let server = try Self.server { router in
            router.get("/wait") { request, response in
                do { try await request.loop.sleep(for: .seconds(60)) } catch { seen.withLock { $0.append("wait \(type(of: error))") } }
            }
            router.get("/write") { request, response in
                let stream = try response.startStream()
                do {
                    while true { try await stream.write([UInt8](repeating: 1, count: 50_000)) }
                } catch { seen.withLock { $0.append("write \(type(of: error))") } }
            }
            router.post("/read", streamingBody: true) { request, response in
                do { while try await request.bodyStream.next() != nil {} } catch { seen.withLock { $0.append("read \(type(of: error))") } }
            }
            router.get("/nothing") { _, _ in }
        }
        let client = try FrameClient(server.endpoint)
        try client.send(FrameClient.request(1, "GET", "/wait"), FrameClient.request(3, "GET", "/write"), FrameClient.request(5, "POST", "/read", ends: false))
        #expect(try client.ask(7, "GET", "/nothing").status == 200)
        try client.send(FrameClient.reset(1), FrameClient.reset(3), FrameClient.reset(5))
        var stream: UInt32 = 9
        let deadline = ContinuousClock.now + .seconds(20)
        while seen.withLock({ $0.count < 3 }), ContinuousClock.now < deadline {
            #expect(try client.ask(stream, "GET", "/nothing").status == 200)
            stream += 2
        }
        #expect(seen.withLock { $0.sorted() } == ["read CancellationError", "wait CancellationError", "write CancellationError"])
    }
}
