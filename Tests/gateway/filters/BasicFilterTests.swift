// Users and passwords of routes over the wire: whatever answers stands behind a verification that the request has to wait for, bodies included.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct BasicFilterTests {
    /// `ann:pa:ss` and `bob:zwei`, made by `htpasswd -B -C 4` and `mkpasswd -m sha512crypt`.
    private static let users = """
        ann:$2y$04$936wplclw2us/UzeiXyJQO7kYitfK2XP5YcAGb8HmkclYXdahfnwm
        bob:$6$rounds=1000$saltsalt$wUVaoLn4Z0NM3/.W4xCENKifSGkLhPQ58DKima8OCEDjQ.gi.S8jITbSHWgefkes2DQKSRW28Npc89Ys0w8Pa0

        """
    private static let ann = "Authorization: Basic YW5uOnBhOnNz"
    private static let bob = "Authorization: Basic Ym9iOnp3ZWk="

    private func withUsers(_ body: (String) throws -> Void) throws {
        let path = "/tmp/uring-filter-users-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try writeFile(path, Self.users)
        defer { unsafe unlink(path) }
        try body(path)
    }

    @Test func rightOnesPassAndOthersAreChallenged() throws {
        try withUsers { path in
            let gateway = try RunningGateway(
                "routes: [{ name: a, match: {}, basic: { file: \(path), realm: staff }, headers: { set: { x-frame-options: DENY } }, respond: { status: 200, body: in } }]")
            // Verified, then remembered.
            for _ in 0..<2 {
                let good = try gateway.ask("/", Self.ann)
                #expect(good.status == 200 && good.bodyText == "in" && good.value("x-frame-options") == "DENY")
            }
            for wrong in ["Authorization: Basic YW5uOndyb25n", "Authorization: Basic !", "X-Nothing: 1"] {
                let refused = try gateway.ask("/", wrong)
                #expect(refused.status == 401 && refused.value("www-authenticate") == "Basic realm=\"staff\", charset=\"UTF-8\"")
                #expect(refused.value("x-frame-options") == "DENY")
            }
        }
    }

    /// The first request of each user waits, and is forwarded all the same.
    @Test func usersGoUpstreamFromTheFirstRequestOn() throws {
        try withUsers { path in
            let upstream = try RecordingServer { request, _ in [.answer(200, "got \(request.body.count)")] }
            let gateway = try RunningGateway(
                """
                upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
                routes: [{ name: orders, match: {}, basic: { file: \(path), forward: x-user }, proxy: { upstream: orders } }]
                """)
            let client = try RawClient(gateway.endpoint)
            for (user, name) in [(Self.ann, "ann"), (Self.ann, "ann"), (Self.bob, "bob")] {
                try client.send("GET /\(name) HTTP/1.1\r\nHost: a\r\nx-user: root\r\n\(user)\r\n\r\n")
                let response = try client.readResponse()
                #expect(response.status == 200 && response.bodyText == "got 0")
                #expect(upstream.requests.last?.values("x-user") == [name])
            }
            #expect(try gateway.ask("/", "Authorization: Basic YW5uOndyb25n").status == 401)
            #expect(upstream.requests.count == 3)
        }
    }

    /// Bodies that are whole, long and in pieces reach the upstream whole, whether the request waited or not.
    @Test(arguments: [10, 200_000], [true, false])
    func bodiesFollow(_ count: Int, _ isChunked: Bool) throws {
        try withUsers { path in
            let upstream = try RecordingServer { request, _ in [.answer(200, "ok")] }
            let gateway = try RunningGateway(
                """
                upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
                routes: [{ name: orders, match: {}, basic: { file: \(path) }, proxy: { upstream: orders } }]
                """)
            let body = String(repeating: "0123456789", count: count / 10)
            let client = try RawClient(gateway.endpoint)
            for round in 0..<2 {
                let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(count)"
                let content = isChunked ? "\(String(count, radix: 16))\r\n\(body)\r\n0\r\nx-sum: 7\r\n\r\n" : body
                try client.send("POST / HTTP/1.1\r\nHost: a\r\n\(Self.ann)\r\n\(framing)\r\n\r\n" + content)
                #expect(try client.readResponse().status == 200)
                let got = try #require(upstream.requests.last)
                #expect(upstream.requests.count == round + 1)
                if got.values("content-length") == ["\(count)"] { #expect(got.text == body) } else { #expect(got.body.count > count) }
            }
        }
    }

    /// Clients that leave while they are waited for leave nothing behind.
    @Test func clientsMayLeave() throws {
        try withUsers { path in
            let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
            let gateway = try RunningGateway(
                """
                upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
                routes: [{ name: orders, match: {}, basic: { file: \(path) }, proxy: { upstream: orders } }]
                """)
            for number in 0..<50 {
                let client = try RawClient(gateway.endpoint)
                // Other credentials each time, so that each is verified.
                try client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \(["YW5uOnBhOnNz", "YW5uOndyb25n"][number % 2])\r\n\r\n")
            }
            #expect(try gateway.ask("/", Self.bob).status == 200)
            for _ in 0..<4000 where gateway.gateway.upstreams[0].snapshot().servers.contains(where: { $0.active > 0 }) { usleep(1000) }
            #expect(gateway.gateway.upstreams[0].snapshot().servers.allSatisfy { $0.active == 0 })
        }
    }

    @Test func filesThatAreNoneAreRefused() throws {
        let missing = try RunningGateway.configuration("routes: [{ name: a, match: {}, basic: { file: /does/not/exist }, respond: {} }]")
        #expect(throws: GatewayError.self) { try GatewayApplication(missing, loops: 1) }
    }
}
