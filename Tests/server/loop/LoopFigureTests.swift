// A loop's own figures (M11) and the report of a handler that holds it (M12), against a server in the process.

import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct LoopFigureTests {
    @Test func figuresCountWhatWasServed() throws {
        let server = try TestServer { request, response in
            if request.path == "/fail" { throw SomeError() }
            response.write("ok")
        }
        let client = try server.client()
        for _ in 0..<20 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).status == 200)
        }
        #expect(try server.get("/fail").status == 500)
        #expect(try server.exchange("GET / HTTP/1.1\r\n\r\n").status == 400)

        let loop = try #require(server.running.snapshots().first)
        #expect(loop.requests == 21)
        #expect(loop.handlerErrors == 1)
        #expect(loop.requestFaults == 1)
        #expect(loop.connectionsAccepted == 3)
        #expect(loop.connections >= 1 && loop.connections <= 3)
        #expect(loop.connectionsHighWater >= 1)
        // Every turn that found completions left one sample in each distribution; every request lies in one batch.
        #expect(loop.batchSize.sum == 21)
        #expect(loop.queueDepth.count == loop.batchSize.count && loop.lagNs.count == loop.batchSize.count)
        #expect(loop.queueDepth.count > 0 && loop.queueDepth.max >= 1)
        #expect(loop.queueDepth.buckets.reduce(0) { $0 + $1.count } == loop.queueDepth.count)
        #expect(loop.lagNs.p50 <= loop.lagNs.p99 && loop.lagNs.p99 <= loop.lagNs.p999)
        #expect(loop.queueDepth.slidingMeanThousandths >= 1000)
        #expect(loop.outputHighWater > 0)
    }

    @Test func aHandlerThatHoldsItsLoopIsReportedWithItsRouteAndDuration() throws {
        final class Stalls: ServerReporter {
            let seen = Locked<[LoopStall]>([])
            func stalled(_ stall: LoopStall) { seen.withLock { $0.append(stall) } }
            func handlerFailed(_ route: String, _ error: any Error) {}
            func fieldRefused(_ route: String) {}
            func lengthMismatch() {}
        }
        let stalls = Stalls()
        // Spins on the processor until the clock has moved: the loop is held for at least that long, however busy the machine is.
        var application = Application { request, response in
            if request.path == "/slow" {
                let end = ContinuousClock.now + .milliseconds(120)
                while ContinuousClock.now < end {}
            }
            response.write("done")
        }
        application.reporter = stalls
        var options = ServerOptions()
        options.loops = .count(1)
        options.stallThreshold = .milliseconds(100)
        let server = try Server(listen: ["127.0.0.1:0"], options: options, application: application).start()
        defer { server.stop(within: .seconds(20)) }
        let client = try RawClient(try #require(Endpoint(line: "listening on http://\(server.addresses[0])")))
        try client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try client.readFinalResponse(toHead: false)

        let loop = try #require(server.snapshots().first)
        #expect(loop.stalls == 1)
        let seen = stalls.seen.withLock { $0 }
        #expect(seen.map(\.route) == ["/slow"])
        #expect(seen.allSatisfy { $0.nanoseconds >= 100_000_000 && $0.loop == 0 })
    }

    /// Streams, and what both sides said about their ends, over connections that end in different ways.
    @Test func figuresOfHTTP2() throws {
        let server = try TestServer { _, response in response.write("ok") }
        let orderly = try FrameClient(server.endpoint)
        #expect(try orderly.ask(1).status == 200)
        // One under way and given up, one that broke a rule; frames for streams that are over count for nothing.
        try orderly.send(FrameClient.request(3, "POST", ends: false), FrameClient.reset(3), FrameClient.reset(3))
        try orderly.send(FrameClient.request(5, "POST", ends: false), HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: 5, HTTP2Frame.number(0)))
        #expect(try orderly.answer(5).resetCode == 1)
        try orderly.send(HTTP2Frame(HTTP2Frame.Kind.goAway, HTTP2Frame.number(0) + HTTP2Frame.number(0)))
        orderly.connection.finishSending()
        try orderly.readToEnd()
        let broken = try FrameClient(server.endpoint)
        try broken.send(FrameClient.data(0, [1]))
        #expect(try broken.readToGoAway()?.errorCode == 1)

        let loop = try #require(server.running.snapshots().first)
        #expect(loop.http2Connections == 2 && loop.http2Failures == 1 && loop.http2Streams == 3)
        #expect(loop.http2ResetsReceived == 1 && loop.http2ResetsSent == 1 && loop.http2GoAwaysReceived == 1)
        #expect(Dictionary(uniqueKeysWithValues: loop.http2GoAwaysSent.map { ($0.code, $0.count) }) == ["PROTOCOL_ERROR": 1])

        // A drain says NO_ERROR.
        let idle = try FrameClient(server.endpoint)
        #expect(try idle.ask(1).status == 200)
        server.running.stop(within: .seconds(20))
        try idle.readToEnd()
        let last = try #require(server.running.lastFigures.first)
        #expect(last.http2GoAwaysSent.contains { $0.code == "NO_ERROR" && $0.count >= 1 })
    }

    @Test func everyLoopAnswersForItself() throws {
        var options = ServerOptions()
        options.loops = .count(3)
        let server = try Server(listen: ["127.0.0.1:0"], options: options) { _, response in response.write("x") }.start()
        #expect(server.snapshots().map(\.loop) == [0, 1, 2])
        server.stop(within: .seconds(20))
        #expect(server.snapshots().isEmpty)
    }
}
