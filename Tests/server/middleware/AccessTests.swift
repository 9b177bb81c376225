// CORS, passwords, bearer tokens and rate limits, over sockets.

import TestSupport
import Testing
import UringHTTP

@testable import UringServer

@Suite struct CORSTests {
    private static func server(_ options: CORSOptions) throws -> TestServer {
        var router = Router()
        router.use(try .cors(options))
        router.get("/") { _, response in response.write("hello") }
        router.get("/fails") { _, _ in throw HTTPError(.conflict) }
        router.get("/stream") { _, response in response.stream { _ in .end } }
        return try TestServer(router: router)
    }

    @Test func listed() throws {
        var options = CORSOptions(origins: .these(["https://app.example", "https://other.example:8443"]))
        options.allowsCredentials = true
        options.exposedHeaders = ["X-Total", "ETag"]
        let server = try Self.server(options)
        for path in ["/", "/fails", "/stream", "/none"] {
            for origin in ["https://app.example", "https://other.example:8443"] {
                let response = try server.get(path, "Origin: \(origin)")
                #expect(response.values("access-control-allow-origin") == [origin], "\(path)")
                #expect(response.values("access-control-allow-credentials") == ["true"])
                #expect(response.values("access-control-expose-headers") == ["X-Total, ETag"])
                #expect(response.values("vary") == ["origin"])
            }
            for origin in ["https://app.example.evil", "http://app.example", "null", "https://app.example:443"] {
                let response = try server.get(path, "Origin: \(origin)")
                #expect(response.value("access-control-allow-origin") == nil)
                #expect(response.value("access-control-allow-credentials") == nil)
                #expect(response.values("vary") == ["origin"])
            }
        }
        #expect(try server.get("/").values("vary") == ["origin"])
    }

    @Test func preflight() throws {
        var options = CORSOptions(origins: .these(["https://app.example"]))
        options.methods = ["GET", "PUT"]
        let server = try Self.server(options)
        let lines = ["Origin: https://app.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a, x-b"]
        let response = try server.request("OPTIONS", "/", lines)
        #expect(response.status == 204)
        #expect(response.value("access-control-allow-origin") == "https://app.example")
        #expect(response.value("access-control-allow-methods") == "GET, PUT")
        #expect(response.value("access-control-allow-headers") == "x-a, x-b")
        #expect(response.value("access-control-max-age") == "600")
        #expect(response.tokens("vary") == ["origin", "access-control-request-method", "access-control-request-headers"])
        let refused = try server.request("OPTIONS", "/", ["Origin: https://evil.example", lines[1]])
        #expect(refused.status == 204)
        #expect(refused.fields.allSatisfy { !$0.name.lowercased().hasPrefix("access-control") })
        // Not a preflight: the router's own answer, with its fields.
        let plain = try server.request("OPTIONS", "/", [lines[0]])
        #expect(plain.value("allow") == "GET, HEAD, OPTIONS")
        #expect(plain.value("access-control-allow-origin") == "https://app.example")
        let client = try FrameClient(server.endpoint)
        #expect(try client.ask(1, "OPTIONS", "/", [("origin", "https://app.example"), ("access-control-request-method", "PUT")]).status == 204)
    }

    @Test func anybody() throws {
        let server = try Self.server(CORSOptions(origins: .any))
        let response = try server.get("/", "Origin: https://whoever.example")
        #expect(response.values("access-control-allow-origin") == ["*"])
        #expect(response.value("vary") == nil)
        #expect(try server.get("/").value("access-control-allow-origin") == nil)
        var options = CORSOptions(origins: .any)
        options.allowsCredentials = true
        #expect(throws: ServerError.self) { try Middleware.cors(options) }
        options = CORSOptions(origins: .these(["a\r\nb"]))
        #expect(throws: ServerError.self) { try Middleware.cors(options) }
    }
}

@Suite struct AuthenticationTests {
    private static let user = RequestKey<UInt64>()

    private static func server() throws -> TestServer {
        var router = Router()
        router.group("/basic") { group in
            group.use(.basicAuthentication(realm: "the \"shop\"") { user, password, response in
                guard user == "ann", equalsInConstantTime(password.span, "pa:ss".utf8.span) else { return false }
                response[Self.user] = 1
                return true
            })
            group.get("/") { _, response in response.write("user \(response[Self.user] ?? 0)") }
        }
        router.group("/bearer") { group in
            group.use(.bearer(realm: "api") { token, response in token == "letmein" })
            group.get("/") { _, response in response.write("in") }
        }
        return try TestServer(router: router)
    }

    @Test func basic() throws {
        let server = try Self.server()
        // ann:pa:ss
        #expect(try server.get("/basic/", "Authorization: Basic YW5uOnBhOnNz").bodyText == "user 1")
        #expect(try server.get("/basic/", "Authorization: bAsIc   YW5uOnBhOnNz").bodyText == "user 1")
        for field in ["", "Basic", "Basic ", "Basic YW5u", "Basic YW5uOnBhOnN6", "Basic YW5uOnBhOnN", "Basic YW5uOnBhOn==", "Basic Y===", "Basic ====", "Basic YW5u@nBhOnNz", "Bearer YW5uOnBhOnNz",
            "Basic " + String(repeating: "YW5u", count: 2000)] {
            let response = try field.isEmpty ? server.get("/basic/") : server.get("/basic/", "Authorization: \(field)")
            #expect(response.status == 401, "\(field)")
            #expect(response.values("www-authenticate") == ["Basic realm=\"the shop\", charset=\"UTF-8\""])
            #expect(response.values("content-type") == ["application/problem+json"])
        }
        #expect(try server.get("/basic/", "Authorization: Basic YW5uOnBhOnNz", "Authorization: Basic YW5uOnBhOnNz").status == 401)
    }

    @Test func bearer() throws {
        let server = try Self.server()
        #expect(try server.get("/bearer/", "Authorization: Bearer letmein").bodyText == "in")
        #expect(try server.get("/bearer/", "Authorization: Bearer letmei").values("www-authenticate") == ["Bearer realm=\"api\", error=\"invalid_token\""])
        #expect(try server.get("/bearer/").values("www-authenticate") == ["Bearer realm=\"api\""])
    }

    @Test func constantTime() {
        func same(_ given: [UInt8], _ expected: [UInt8]) -> Bool { equalsInConstantTime(given.span, expected.span) }
        #expect(same([1, 2, 3], [1, 2, 3]))
        for wrong in [[], [1], [1, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3, 1], [1, 2, 3, 1, 2, 3]] as [[UInt8]] { #expect(!same(wrong, [1, 2, 3])) }
        #expect(same([], []))
    }
}

@Suite struct RateLimitTests {
    private static let second: UInt64 = 1_000_000_000

    /// Ten a second, three at once, on a clock of the test's own.
    @Test func paces() {
        let table = RateTable(interval: Self.second / 10, burst: 3, clients: 100)
        var now = 5 * Self.second
        func admit(_ client: UInt64) -> (Bool, left: UInt64) {
            let verdict = table.admit(client, now)
            return (verdict.isAdmitted, verdict.note >> 32)
        }
        for left in [2, 1, 0] as [UInt64] { #expect(admit(1) == (true, left)) }
        #expect(admit(1) == (false, 0))
        #expect(admit(2) == (true, 2))
        now += Self.second / 10
        #expect(admit(1) == (true, 0))
        #expect(admit(1) == (false, 0))
        now += Self.second
        for left in [2, 1, 0] as [UInt64] { #expect(admit(1) == (true, left)) }
        #expect(admit(1) == (false, 0))
    }

    /// The long run: exactly the rate, and what was refused costs nothing.
    @Test func longRun() {
        let table = RateTable(interval: Self.second / 100, burst: 1, clients: 100)
        var admitted = 0
        for step in 0..<100_000 where table.admit(9, UInt64(step) * 100_000).isAdmitted { admitted += 1 }
        #expect(admitted == 1000)
    }

    /// More clients than there is room for: those who owe are remembered before those who do not.
    @Test func forgetsTheQuiet() {
        let table = RateTable(interval: Self.second, burst: 2, clients: 4)
        for client in 1...4 as ClosedRange<UInt64> { _ = table.admit(client, Self.second) }
        for _ in 0..<2 { _ = table.admit(4, 2 * Self.second) }
        for client in 10...12 as ClosedRange<UInt64> { #expect(table.admit(client, 2 * Self.second).isAdmitted) }
        #expect(!table.admit(4, 2 * Self.second).isAdmitted)
    }

    @Test func overSockets() throws {
        var router = Router()
        var options = RateLimitOptions(requests: 3, per: .seconds(3600))
        options.name = "per-client"
        router.use(.rateLimit(options))
        router.get("/") { _, response in response.write("hello") }
        router.get("/stream") { _, response in response.stream { _ in .end } }
        let server = try TestServer(router: router)
        for (path, left) in [("/", 2), ("/stream", 1), ("/none", 0)] {
            let response = try server.get(path)
            #expect(response.status == (path == "/none" ? 404 : 200))
            #expect(response.values("ratelimit-policy") == ["\"per-client\";q=3;w=3600"])
            #expect(response.value("ratelimit")?.hasPrefix("\"per-client\";r=\(left);t=") == true)
        }
        let refused = try server.get("/")
        #expect(refused.status == 429)
        let seconds = try #require(refused.value("retry-after").flatMap { Int($0) })
        #expect((1...1200).contains(seconds))
        #expect(refused.value("ratelimit")?.hasPrefix("\"per-client\";r=0;t=") == true)
        let client = try FrameClient(server.endpoint)
        #expect(try client.ask(1).status == 429)
    }

    @Test func byKey() throws {
        var router = Router()
        router.use(.rateLimit(RateLimitOptions(requests: 1, per: .seconds(3600))) { request, _ in request.headers["x-key"]?.decimal })
        router.get("/") { _, response in response.write("hello") }
        let server = try TestServer(unix: true, router: router)
        #expect(try server.get("/", "X-Key: 1").status == 200)
        #expect(try server.get("/", "X-Key: 1").status == 429)
        #expect(try server.get("/", "X-Key: 2").status == 200)
        for _ in 0..<3 { #expect(try server.get("/").status == 200) }
    }
}
