// External authorisation over the wire: what is asked, what comes of each answer, and of none.

import Glibc
import TestSupport
import Testing
import UringBase
import UringTLS

@testable import UringGateway

@Suite struct AuthRequestFilterTests {
    private func lines(_ auth: [UInt16], _ upstream: UInt16, _ more: String = "", _ route: String = "", _ upstreamMore: String = "") -> String {
        """
        trusted-proxies: [127.0.0.2/32]
        upstreams:
          auth: { servers: [\(auth.map { "\"127.0.0.1:\($0)\"" }.joined(separator: ", "))]\(upstreamMore), outlier: { consecutive-5xx: 10000, consecutive-failures: 10000 } }
          orders: { servers: ["127.0.0.1:\(upstream)"] }
        routes:
          - { name: orders, match: {}, auth-request: { upstream: auth, path: "/check?a=b", copy-headers: [X-User, X-Role]\(more) }, \(route)headers: { set: { x-frame-options: DENY } }, proxy: { upstream: orders } }
        """
    }

    @Test(arguments: ["GET", "HEAD", "POST"]) func aGoodAnswerLetsItThrough(_ method: String) throws {
        let auth = try RecordingServer { _, _ in [.send("HTTP/1.1 204 No Content\r\nX-User: ann\r\nx-role: a\r\nX-Role: b\r\nX-Other: c\r\n\r\n")] }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port, ", method: \(method), forward-headers: [authorization, cookie, x-tenant]"))
        for number in 1...2 {
            let response = try gateway.ask("/a/%2e%2e/v1//orders?x=1&y", method: "PUT", "Authorization: Bearer t", "Cookie: a=1", "Cookie: b=2", "X-Tenant: t1", "X-Tenant: t2", "X-User: root", "x_role: root", "X-Forwarded-Uri: /free",
                "X-Forwarded-For: 9.9.9.9", "Content-Length: 0")
            #expect(response.status == 200 && response.bodyText == "in" && response.value("x-frame-options") == "DENY")
            let asked = try #require(auth.requests.last)
            #expect(auth.requests.count == number && upstream.requests.count == number)
            #expect(asked.line == "\(method) /check?a=b HTTP/1.1" && asked.body.isEmpty)
            #expect(asked.values("content-length") == (method == "POST" ? ["0"] : []))
            #expect(asked.values("x-forwarded-method") == ["PUT"] && asked.values("x-forwarded-host") == ["a.example"] && asked.values("x-forwarded-proto") == ["http"])
            // As the route saw it and the upstream gets it.
            #expect(asked.values("x-forwarded-uri") == ["/v1/orders?x=1&y"] && asked.values("x-forwarded-for") == ["127.0.0.1"])
            #expect(asked.values("authorization") == ["Bearer t"] && asked.values("cookie") == ["a=1; b=2"] && asked.values("x-tenant") == ["t1", "t2"] && asked.values("x-user") == [])
            #expect(asked.values("host") == ["127.0.0.1:\(auth.port)"])
            let got = try #require(upstream.requests.last)
            #expect(got.line == "PUT /v1/orders?x=1&y HTTP/1.1")
            #expect(got.values("x-user") == ["ann"] && got.values("x-role") == ["a", "b"] && got.values("x_role") == [] && got.values("x-other") == [])
        }
        // Over a kept connection.
        #expect(auth.connections == 1)
        #expect(gateway.count("orders", "auth-request", "allowed") == 2)
        for _ in 0..<4000 where gateway.gateway.upstreams[0].snapshot().servers.contains(where: { $0.active > 0 }) { usleep(1000) }
        #expect(gateway.gateway.upstreams[0].snapshot().servers.allSatisfy { $0.active == 0 })
    }

    @Test func aRefusalGoesToTheClient() throws {
        let auth = try RecordingServer { request, _ in
            let uri = request.values("x-forwarded-uri").first ?? ""
            if uri == "/login" { return [.answer(302, "", "Location: /sign-in?from=x", "Set-Cookie: a=b", "Set-Cookie: c=d", "X-Secret: 1")] }
            if uri == "/long" { return [.answer(403, String(repeating: "a", count: 70_000), "Content-Type: text/html")] }
            return [.answer(401, "who are you?", "WWW-Authenticate: Basic realm=\"x\"", "Content-Type: text/plain", "X-Secret: 1", "Server: auth")]
        }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port))
        let refused = try gateway.ask("/")
        #expect(refused.status == 401 && refused.bodyText == "who are you?" && refused.value("www-authenticate") == "Basic realm=\"x\"" && refused.value("content-type") == "text/plain")
        #expect(refused.value("x-secret") == nil && refused.value("server") == nil && refused.value("x-frame-options") == "DENY")
        let login = try gateway.ask("/login")
        #expect(login.status == 302 && login.value("location") == "/sign-in?from=x" && login.values("set-cookie") == ["a=b", "c=d"] && login.value("x-secret") == nil)
        let long = try gateway.ask("/long")
        #expect(long.status == 403 && long.value("content-type") == "application/problem+json" && long.body.count < 1000)
        #expect(upstream.requests.isEmpty)
        #expect(gateway.count("orders", "auth-request", "denied") == 3)
        let call = try gateway.ask("/", method: "POST", "Content-Type: application/grpc", "Content-Length: 0")
        #expect(call.status == 200 && call.value("grpc-status") == "16")
    }

    /// 5xx, no HTTP, a connection that ends, silence, nobody there.
    @Test(arguments: ["500", "malformed", "close", "silence", "refused", "304"], [true, false]) func withoutAnAnswer(_ kind: String, _ failsOpen: Bool) throws {
        let auth = try RecordingServer { _, _ in
            switch kind {
            case "500": [.answer(500, "", "X-User: root")]
            case "304": [.send("HTTP/1.1 304 Not Modified\r\nX-User: root\r\n\r\n")]
            case "malformed": [.send("no http\r\n\r\n"), .close]
            case "close": [.close]
            default: [.hang]
            }
        }
        if kind == "refused" { auth.stop() }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port, ", timeout: 50ms, fail: \(failsOpen ? "open" : "closed")"))
        let response = try gateway.ask("/", "X-User: root")
        #expect(response.status == (failsOpen ? 200 : 503))
        #expect(upstream.requests.count == (failsOpen ? 1 : 0))
        if failsOpen { #expect(upstream.requests.last?.values("x-user") == []) }
        #expect(gateway.count("orders", "auth-request", failsOpen ? "failed_open" : "failed_closed") == 1)
        #expect(gateway.log.contains { $0.contains("auth-request of the route orders: the upstream auth does not say whether requests may pass") })
    }

    /// A server that cannot be reached is passed over: the question was not sent.
    @Test func anotherServerIsAsked() throws {
        let gone = try RecordingServer.freePort()
        let auth = try RecordingServer { _, _ in [.answer(200)] }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([gone, auth.port], upstream.port))
        for _ in 0..<4 { #expect(try gateway.ask("/").status == 200) }
        #expect(auth.requests.count == 4)
    }

    /// A value that would end its line cannot come over HTTP/1.1, whose parser refuses it.
    @Test(arguments: ["X-User: a\rInjected: b", "X-User: a\u{0}b"]) func answersThatWouldInject(_ field: String) throws {
        let auth = try RecordingServer { _, _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\(field)\r\n\r\n")] }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port))
        #expect(try gateway.ask("/").status == 503)
        #expect(upstream.requests.isEmpty)
    }

    /// Remembered by all that is asked with, for as long as the answer allows.
    @Test func goodAnswersAreRemembered() throws {
        let auth = try RecordingServer { request, number in
            if request.values("authorization") == ["bad"] { return [.answer(401)] }
            let control = request.values("x-forwarded-uri").first == "/no-store" ? "Cache-Control: private, no-store" : "X-A: b"
            return [.answer(200, "", "X-User: u\(number)", control)]
        }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port, ", cache: 1h, cache-entries: 4"))
        func ask(_ path: String, _ token: String, _ user: String, _ questions: Int) throws {
            #expect(try gateway.ask(path, "Authorization: \(token)", "X-User: root").status == 200)
            #expect(upstream.requests.last?.values("x-user") == [user], "\(path) \(token)")
            #expect(auth.requests.count == questions, "\(path) \(token)")
        }
        try ask("/", "a", "u0", 1)
        try ask("/", "a", "u0", 1)
        try ask("/", "b", "u1", 2)
        try ask("/x", "a", "u2", 3)
        try ask("/", "a", "u0", 3)
        #expect(gateway.count("orders", "auth-request", "cached") == 2)
        try ask("/no-store", "a", "u3", 4)
        try ask("/no-store", "a", "u4", 5)
        for _ in 0..<2 { #expect(try gateway.ask("/", "Authorization: bad").status == 401) }
        #expect(auth.requests.count == 7)
        // Others have taken the place.
        for number in 0..<6 { #expect(try gateway.ask("/many\(number)", "Authorization: a").status == 200) }
        #expect(auth.requests.count == 13)
        try ask("/", "a", "u13", 14)
    }

    @Test func theCacheIsBounded() throws {
        let digest = try #require(KeyedDigest())
        func code(_ number: Int) throws -> KeyedDigest.Code {
            let bytes = Array("\(number)".utf8)
            return try #require(unsafe bytes.withUnsafeBufferPointer { unsafe digest.code($0) })
        }
        let cache = AuthAnswerCache(entriesMax: 10)
        for number in 0..<1000 {
            cache.add(try code(number), [UInt8(number & 0xff)], until: 100)
            #expect(cache.count <= 10)
            #expect(cache.find(try code(number), now: 99) == [UInt8(number & 0xff)])
            #expect(cache.find(try code(number), now: 100) == nil)
        }
        func lifetime(_ control: String) -> UInt64? { AuthAnswerCache.lifetime(5_000_000_000, [(Array("Cache-Control".utf8), Array(control.utf8))]) }
        #expect(lifetime("max-age=2") == 2_000_000_000 && lifetime("private, MAX-AGE=60") == 5_000_000_000 && lifetime("max-age=0") == nil && lifetime("No-Cache") == nil && lifetime("a, no-store") == nil)
        #expect(lifetime("max-age=99999999999999999999") == 5_000_000_000 && lifetime("max-age=18446744073709551615") == 5_000_000_000 && lifetime("") == 5_000_000_000)
    }

    /// Bodies reach the upstream whole behind the wait, and clients that leave while they wait leave nothing behind.
    @Test func bodiesFollowAndClientsMayLeave() throws {
        let auth = try RecordingServer { request, _ in request.values("x-forwarded-uri").first == "/slow" ? [.hang] : [.answer(200)] }
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port, ", timeout: 60s"))
        let client = try RawClient(gateway.endpoint)
        for count in [10, 200_000] {
            let body = String(repeating: "0123456789", count: count / 10)
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n" + body)
            #expect(try client.readResponse().status == 200)
            #expect(upstream.requests.last?.text == body)
        }
        for _ in 0..<10 {
            let leaving = try RawClient(gateway.endpoint)
            leaving.resetOnClose()
            try leaving.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in 0..<4000 where gateway.gateway.upstreams[0].snapshot().servers[0].active == 0 { usleep(1000) }
        }
        for _ in 0..<4000 where gateway.gateway.upstreams[0].snapshot().servers.contains(where: { $0.active > 0 }) { usleep(1000) }
        #expect(gateway.gateway.upstreams[0].snapshot().servers.allSatisfy { $0.active == 0 })
        #expect(gateway.count("orders", "auth-request", "failed_closed") == 0)
    }

    /// Behind another filter that waits, and in front of limits, which count once.
    @Test func betweenOtherFilters() throws {
        let users = "/tmp/uring-auth-users-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try writeFile(users, "ann:$2y$04$936wplclw2us/UzeiXyJQO7kYitfK2XP5YcAGb8HmkclYXdahfnwm\n")
        defer { unsafe unlink(users) }
        let auth = try RecordingServer { _, _ in [.answer(200, "", "X-User: ann")] }
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(lines([auth.port], upstream.port, ", forward-headers: []", "basic: { file: \(users), forward: x-basic }, rate-limit: { key: \"header:x-k\", rate: 2/h }, "))
        for number in 1...3 {
            let response = try gateway.ask("/", "Authorization: Basic YW5uOnBhOnNz", "X-K: 1")
            #expect(response.status == (number < 3 ? 200 : 429))
            #expect(auth.requests.count == min(number, 2))
        }
        #expect(upstream.requests.count == 2 && upstream.requests.allSatisfy { $0.values("x-user") == ["ann"] && $0.values("x-basic") == ["ann"] })
        #expect(auth.requests.allSatisfy { $0.values("authorization") == [] })
    }

    @Test func changesOfTheConfiguration() throws {
        func problems(_ auth: String, _ servers: String = "127.0.0.1:1") -> [String] {
            load(
                """
                loops: 1
                listen: [{ address: "127.0.0.1:0" }]
                upstreams: { auth: { servers: ["\(servers)"] } }
                routes: [{ name: a, match: {}, auth-request: { upstream: auth, path: /, \(auth) }, respond: {} }]
                """
            ).diagnostics.map { "\($0.message)" }
        }
        #expect(problems("timeout: 1s").isEmpty)
        #expect(problems("fail: open").contains { $0.contains("passes without being asked about") })
        #expect(problems("cache-entries: 5").contains { $0.contains("`cache-entries` has no effect without `cache`") })
        #expect(problems("copy-headers: [Content-Length]").contains { $0.lowercased().contains("content-length") })
        #expect(problems("forward-headers: [Host]").contains { $0.contains("the upstream's address is sent as the host") })
        #expect(problems("forward-headers: [X-Forwarded-Uri]").contains { $0.contains("is sent in any case") })
        #expect(problems("timeout: 1s", "203.0.113.7:80").contains { $0.contains("go to 203.0.113.7:80 in clear") })
    }
}
