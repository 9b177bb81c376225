// `proxy.body-bytes`: a limit of a route's own for request bodies, below and above the server's, whether the length is announced or not, and on either protocol.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct BodyLimitTests {
    private func gateway(_ upstream: RecordingServer) throws -> RunningGateway {
        try RunningGateway(
            """
            limits: { body-bytes: 4KiB }
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - { name: small, match: { path: /small }, proxy: { upstream: orders, body-bytes: 1000 } }
              - { name: large, match: { path: /large }, proxy: { upstream: orders, body-bytes: 20KB } }
              - { name: endless, match: { path: /endless }, proxy: { upstream: orders, body-bytes: 0 } }
              - { name: other, match: { path: /other }, proxy: { upstream: orders } }
            """)
    }

    private func body(_ count: Int) -> String { String(repeating: "x", count: count) }

    @Test(arguments: [("/small", 1000), ("/large", 20_000), ("/other", 4096)]) func announcedOnesAreRefusedBeforeAnythingIsSent(_ path: String, _ limit: Int) throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try gateway(upstream)
        let client = try RawClient(gateway.endpoint)
        try client.send("POST \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: \(limit)\r\n\r\n\(body(limit))")
        #expect(try client.readResponse().status == 200)
        #expect(upstream.requests.count == 1 && upstream.requests[0].body.count == limit)
        // Not even the invitation to send it.
        try client.send("POST \(path) HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: \(limit + 1)\r\n\r\n")
        #expect(try client.readResponse().status == 413)
        #expect(upstream.requests.count == 1)
    }

    @Test(arguments: [("/small", 1000), ("/large", 20_000), ("/other", 4096)]) func othersAreCut(_ path: String, _ limit: Int) throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try gateway(upstream)
        let client = try RawClient(gateway.endpoint)
        let head = "POST \(path) HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        let half = limit / 2
        func chunk(_ count: Int) -> String { "\(String(count, radix: 16))\r\n\(body(count))\r\n" }
        try client.send(head + chunk(half) + chunk(limit - half) + "0\r\n\r\n")
        #expect(try client.readResponse().status == 200)
        #expect(upstream.requests.count == 1)
        try client.send(head + chunk(half) + chunk(limit - half) + chunk(1) + "0\r\n\r\n")
        #expect(try client.readResponse().status == 413)
        // A part may have gone on; no request has become whole of it.
        #expect(upstream.requests.count == 1)
    }

    @Test func zeroIsNoLimit() throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try gateway(upstream)
        let client = try RawClient(gateway.endpoint)
        try client.send("POST /endless HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n\(body(200_000))")
        #expect(try client.readResponse().status == 200)
        #expect(upstream.requests.last?.body.count == 200_000)
    }

    /// Calls of gRPC are streams without an end, where they are streams.
    @Test func callsHaveTheirRoutesLimitAlone() throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try RunningGateway(
            """
            limits: { body-bytes: 4KiB }
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - { name: small, match: { path: /small }, proxy: { upstream: orders, body-bytes: 10KB } }
              - { name: fixed, match: { path: /fixed }, respond: { status: 200 } }
              - { name: other, match: {}, proxy: { upstream: orders } }
            """)
        func post(_ path: String, _ send: String) throws -> String {
            try shell(
                "head -c 20000 /dev/zero | curl -s --max-time 20 --http2-prior-knowledge -X POST -H 'content-type: application/grpc' \(send) -o /dev/null -w '%{http_code}' http://\(gateway.endpoint)\(path)")
        }
        for send in ["-T -", "--data-binary @-"] {
            #expect(try post("/other", send) == "200")
            #expect(try post("/small", send) != "200")
            #expect(try post("/fixed", send) != "200")
        }
        #expect(upstream.requests.count == 2)
    }

    /// curl sends no length with `-T -`.
    @Test(arguments: [("/small", 1000), ("/large", 20_000), ("/other", 4096)], [true, false]) func onHTTP2(_ route: (path: String, limit: Int), _ isAnnounced: Bool) throws {
        let (path, limit) = route
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try gateway(upstream)
        func post(_ count: Int) throws -> String {
            let send = isAnnounced ? "--data-binary @-" : "-T -"
            return try shell(
                "head -c \(count) /dev/zero | tr '\\0' x | curl -s --max-time 20 --http2-prior-knowledge -X POST \(send) -o /dev/null -w '%{http_code}' http://\(gateway.endpoint)\(path)")
        }
        #expect(try post(limit) == "200")
        #expect(upstream.requests.count == 1)
        // curl does not tell the answer when its stream is reset while it still sends.
        #expect(try post(limit + 1) != "200")
        #expect(try post(limit + 70_000) != "200")
        #expect(upstream.requests.count == 1)
    }
}
