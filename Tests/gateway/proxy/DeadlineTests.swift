// How the time of a request travels: from its client, by `deadline`, capped by the route; to the server, as what is left. What is over is not sent, and what nobody waits for stops.

import Glibc
import TestSupport
import Testing
import UringServer

@testable import UringGateway

@Suite struct DeadlineTests {
    private func text(_ port: UInt16, _ deadline: String = "{}", route: String = "", upstream: String = "") -> String {
        """
        trusted-proxies: [127.0.0.0/8]
        deadline: \(deadline)
        upstreams: { orders: { servers: ["127.0.0.1:\(port)"]\(upstream) } }
        routes: [{ name: orders, match: {}, \(route)proxy: { upstream: orders } }]
        """
    }

    private func number(_ request: RecordedRequest, _ name: String = "x-timeout-ms") throws -> Int {
        let values = request.values(name)
        try #require(values.count == 1, "\(values)")
        return try #require(Int(values[0]))
    }

    @Test func whatIsLeftOfTheRoutesTimeTravels() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let gateway = try RunningGateway(text(server.port, route: "timeout: 5s, "))
        #expect(try gateway.ask().status == 200)
        #expect((1...5000).contains(try number(server.requests[0])))
        // Shorter, not longer.
        #expect(try gateway.ask("/", "X-Timeout-Ms: 2000").status == 200)
        #expect((1...2000).contains(try number(server.requests[1])))
        #expect(try gateway.ask("/", "X-Timeout-Ms: 60000").status == 200)
        #expect((2001...5000).contains(try number(server.requests[2])))
        // Twice: the shorter. What cannot be read says nothing.
        #expect(try gateway.ask("/", "X-Timeout-Ms: 3000", "x-timeout-ms: 1000").status == 200)
        #expect((1...1000).contains(try number(server.requests[3])))
        for wrong in ["0", "-1", "1.5", "5s", "9999999999999999"] {
            #expect(try gateway.ask("/", "X-Timeout-Ms: \(wrong)").status == 200)
            #expect((2001...5000).contains(try number(server.requests[server.requests.count - 1])))
        }
    }

    /// Without a limit of the route's the client's travels alone; without either nothing does.
    @Test func theFieldIsTheConfigurations() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let gateway = try RunningGateway(text(server.port, "{ header: X-Envoy-Expected-Rq-Timeout-Ms }"))
        #expect(try gateway.ask("/", "x-envoy-expected-rq-timeout-ms: 700", "x-timeout-ms: 5").status == 200)
        #expect((1...700).contains(try number(server.requests[0], "x-envoy-expected-rq-timeout-ms")))
        #expect(server.requests[0].values("x-timeout-ms") == ["5"])
        #expect(try gateway.ask().status == 200)
        #expect(server.requests[1].values("x-envoy-expected-rq-timeout-ms") == [])
    }

    /// What strangers say is neither heeded nor passed on.
    @Test func strangersSetNoTime() throws {
        let server = try RecordingServer { _, _ in [.pause(milliseconds: 20), .answer(200, "x")] }
        let gateway = try RunningGateway(text(server.port, "{ trust: none }"))
        #expect(try gateway.ask("/", "X-Timeout-Ms: 1").status == 200)
        #expect(server.requests[0].values("x-timeout-ms") == [])
    }

    /// The client's own time is over while its server thinks: 504, and the server is not to blame.
    @Test func aClientsTimeIsNoFaultOfTheServer() throws {
        let server = try RecordingServer { _, _ in [.hang] }
        let gateway = try RunningGateway(text(server.port, upstream: ", outlier: { consecutive-5xx: 1, max-ejected: 100% }"))
        for _ in 0..<2 { #expect(try gateway.ask("/", "X-Timeout-Ms: 20").status == 504) }
        let figures = gateway.gateway.upstreams[0].snapshot()
        #expect(figures.servers[0].failures.allSatisfy { $0 == 0 } && figures.servers[0].cancelled == 2 && !figures.servers[0].isEjected)
        #expect(figures.expired == 0)
        #expect(eventually { server.ended == 2 })
    }

    /// One connection, which is taken: the next request waits for it until its time is over, and is never sent.
    @Test func whoWaitsForAConnectionIsNotSent() throws {
        let server = try RecordingServer { _, _ in [.hang] }
        let gateway = try RunningGateway(text(server.port, upstream: ", connections: { max: 1 }"))
        let first = try RawClient(gateway.endpoint)
        try first.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { server.requests.count == 1 })
        #expect(try gateway.ask("/second", "X-Timeout-Ms: 30").status == 504)
        #expect(try gateway.ask("/third", "X-Timeout-Ms: 30").status == 504)
        #expect(server.requests.map(\.line) == ["GET /first HTTP/1.1"])
        let figures = gateway.gateway.upstreams[0].snapshot()
        #expect(figures.expired == 2)
        #expect(figures.servers[0].failures.allSatisfy { $0 == 0 })
        first.resetOnClose()
    }

    /// A verification takes longer than the request may.
    @Test func whoWaitsInAFilterIsNotSent() throws {
        let path = "/tmp/uring-deadline-users-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        // `zwei`, 300,000 rounds: a tenth of a second and more.
        try writeFile(path, "bob:$6$rounds=300000$saltsalt$HXIAGBTXPOxkSRCvbZogGpPRxLsQr..Q3cDzKUVIScDiaYVfneTcnN1zIWxPL68O8uhZV0E7SqeTiQnSJctUM/\n")
        defer { unsafe unlink(path) }
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let gateway = try RunningGateway(text(server.port, route: "basic: { file: \(path) }, "))
        #expect(try gateway.ask("/", "Authorization: Basic Ym9iOnp3ZWk=", "X-Timeout-Ms: 1").status == 504)
        #expect(server.requests.isEmpty && gateway.gateway.upstreams[0].snapshot().expired == 1)
        // Verified by now.
        #expect(try gateway.ask("/", "Authorization: Basic Ym9iOnp3ZWk=", "X-Timeout-Ms: 5000").status == 200)
    }

    @Test func workStopsWhenTheClientLeavesOverHTTP1() throws {
        let server = try RecordingServer { _, _ in [.hang] }
        let gateway = try RunningGateway(text(server.port))
        do {
            let client = try RawClient(gateway.endpoint)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(eventually { server.requests.count == 1 })
            client.resetOnClose()
        }
        // The server sees its connection end: HTTP/1.1 has no other way to say so.
        #expect(eventually { server.ended == 1 })
        #expect(gateway.gateway.upstreams[0].snapshot().servers[0].cancelled == 1)
    }

    /// Over HTTP/2 the stream is reset, and its connection goes on; the next gateway stops in turn.
    @Test func workStopsWhenTheClientLeavesOverHTTP2() throws {
        let server = try RecordingServer { request, _ in request.line.contains("/hang") ? [.hang] : [.answer(200, "x")] }
        let inner = try RunningGateway(text(server.port))
        let outer = try RunningGateway(text(try #require(inner.endpoint.port), upstream: ", protocol: h2"))
        #expect(try outer.ask().status == 200)
        do {
            let client = try FrameClient(outer.endpoint)
            try client.send(FrameClient.request(1, "GET", "/hang"))
            #expect(eventually { server.requests.count == 2 })
            try client.send(FrameClient.reset(1))
            #expect(eventually { inner.gateway.upstreams[0].snapshot().servers[0].cancelled == 1 })
        }
        let loop = try #require(inner.gateway.server.snapshots().first)
        #expect(loop.http2ResetsReceived == 1 && loop.http2Connections == 1)
        #expect(try outer.ask().status == 200)
        #expect(try #require(inner.gateway.server.snapshots().first).http2Connections == 1)
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<4000 {
            if condition() { return true }
            usleep(1000)
        }
        return false
    }
}
