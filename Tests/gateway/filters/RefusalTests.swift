// What filters refuse, counted by filter and reason; and the connections of upstreams, as /metrics and /upstreams tell them.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct RefusalTests {
    @Test func refusalsAreCountedByFilterAndReason() throws {
        let path = "/tmp/uring-refusals-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        // `ann:pa:ss`.
        try writeFile(path, "ann:$2y$04$936wplclw2us/UzeiXyJQO7kYitfK2XP5YcAGb8HmkclYXdahfnwm\n")
        try writeFile(path + ".keys", "somebody:a-key-that-nobody-has-here\n")
        defer { for ending in ["", ".keys"] { unsafe unlink(path + ending) } }
        let served = try AdminGateway(
            """
            routes:
              - { name: users, match: { path: /users }, basic: { file: \(path) }, respond: { body: in } }
              - { name: keys, match: { path: /keys }, api-keys: { file: \(path).keys }, respond: { body: in } }
              - { name: few, match: { path: /few }, rate-limit: { key: "header:x-who", rate: 1/h, burst: 1, status: 503 }, respond: { body: in } }
              - { name: tokens, match: { path: /tokens }, jwt: { secret: "0123456789abcdef0123456789abcdef", algorithms: [HS256] }, respond: { body: in } }
            """)
        #expect(try served.get("/users", "Authorization: Basic YW5uOnBhOnNz\r\n").status == 200)
        // One that waits for its verification, one that has nothing to verify.
        #expect(try served.get("/users", "Authorization: Basic YW5uOndyb25n\r\n").status == 401)
        #expect(try served.get("/users").status == 401)
        #expect(try served.get("/keys").status == 401)
        #expect(try (0..<3).map { _ in try served.get("/few", "x-who: a\r\n").status } == [200, 503, 503])
        #expect(try served.get("/tokens", "Authorization: Bearer x.y.z\r\n").status == 401)
        #expect(try served.get("/nothing").status == 404)
        let page = try served.ask("/metrics").bodyText
        for (filter, reason, count) in [("basic", "unauthorized", 2), ("api-keys", "unauthorized", 1), ("rate-limit", "limited", 2), ("jwt", "unauthorized", 1)] {
            #expect(served.sample("uringd_filter_refusals_total{filter=\"\(filter)\",reason=\"\(reason)\"}", in: page) == Double(count), "\(filter)")
        }
        #expect(page.split(separator: "\n").count { $0.hasPrefix("uringd_filter_refusals_total{") } == 4)
    }

    @Test func reasonsAreFewWhateverTheStatus() {
        let counters = RefusalCounters(loops: 2)
        for status in [401, 403, 404, 429, 503, 599] as [UInt16] {
            for kind in RouteFilterKind.allCases { counters.count(kind, status: status, loop: Int(status) & 1) }
        }
        // Beyond the loops that there are.
        counters.count(.jwt, status: 401, loop: 2)
        let figures = counters.figures
        #expect(figures.filter { $0.filter == "jwt" } == [
            RefusalFigure(filter: "jwt", reason: "unauthorized", count: 1), RefusalFigure(filter: "jwt", reason: "forbidden", count: 1),
            RefusalFigure(filter: "jwt", reason: "unavailable", count: 1), RefusalFigure(filter: "jwt", reason: "other", count: 3),
        ])
        #expect(figures.filter { $0.filter == "rate-limit" } == [RefusalFigure(filter: "rate-limit", reason: "limited", count: 12)])
        #expect(figures.filter { $0.filter == "breaker" } == [RefusalFigure(filter: "breaker", reason: "open", count: 6)])
    }

    /// One connection, which is taken, and two requests that wait for it.
    @Test func connectionsOfUpstreamsAreTold() throws {
        let server = try RecordingServer { request, _ in request.line.contains("/hang") ? [.hang] : [.answer(200, "x")] }
        let served = try AdminGateway(
            """
            upstreams: { app: { servers: [{ address: "127.0.0.1:\(server.port)" }], connections: { max: 1 } } }
            routes: [{ name: all, match: {}, proxy: { upstream: app } }]
            """)
        let name = "upstream=\"app\",server=\"127.0.0.1:\(server.port)\""
        // Requests of one connection are of one loop.
        let client = try FrameClient(served.main)
        #expect(try client.ask(1).status == 200)
        var page = try served.ask("/metrics").bodyText
        #expect(served.sample("uringd_upstream_connections{\(name)}", in: page) == 1 && served.sample("uringd_upstream_connections_idle{\(name)}", in: page) == 1)
        try client.send(FrameClient.request(3, "GET", "/hang"), FrameClient.request(5, "GET", "/hang"), FrameClient.request(7, "GET", "/hang"))
        for _ in 0..<4000 where served.sample("uringd_upstream_requests_pending{\(name)}", in: page) != 2 {
            usleep(1000)
            page = try served.ask("/metrics").bodyText
        }
        #expect(served.sample("uringd_upstream_requests_pending{\(name)}", in: page) == 2)
        #expect(served.sample("uringd_upstream_connections{\(name)}", in: page) == 1 && served.sample("uringd_upstream_connections_idle{\(name)}", in: page) == 0)
        let upstreams = try served.ask("/upstreams").bodyText.filter { !" \n".contains($0) }
        #expect(upstreams.contains(#""connections":{"open":1,"idle":0,"pending":0},"pending":2"#), "\(upstreams)")
        // Its requests go with it.
        withExtendedLifetime(client) {}
    }
}
