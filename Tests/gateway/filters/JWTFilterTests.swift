// Tokens of routes over the wire: who passes, what the refused are told, and what goes upstream.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct JWTFilterTests {
    private static let rules = "secret: \(FilterTokens.secret), issuer: \"https://i.example\", audience: orders, algorithms: [HS256]"

    private func responding(_ more: String = "") -> String {
        "routes: [{ name: orders, match: {}, jwt: { \(Self.rules)\(more) }, respond: { status: 200 } }]"
    }

    @Test func goodTokensPassAndOthersAreToldWhy() throws {
        let gateway = try RunningGateway(responding())
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 200)
        let missing = try gateway.ask()
        #expect(missing.status == 401 && missing.value("www-authenticate") == "Bearer")
        #expect(missing.bodyText == "{\"title\":\"Unauthorized\",\"status\":401,\"detail\":\"a token is needed\"}\n")
        #expect(try gateway.ask("/", "Authorization: Basic YTpi").value("www-authenticate") == "Bearer")
        for (token, reason) in [
            (FilterTokens.expired, "the token has expired"), (FilterTokens.otherAudience, "the token is for another audience"),
            (FilterTokens.otherIssuer, "the issuer is not accepted"), (FilterTokens.alice.dropLast(2) + "AA", "the signature is not good"), ("a.b", "the token is malformed"),
        ] as [(any StringProtocol, String)] {
            let refused = try gateway.ask("/", "Authorization: Bearer \(token)")
            #expect(refused.status == 401)
            #expect(refused.value("www-authenticate") == "Bearer error=\"invalid_token\", error_description=\"\(reason)\"")
        }
        let twice = try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)", "Authorization: Bearer \(FilterTokens.bob)")
        #expect(twice.status == 401)
    }

    @Test func claimsMustHaveOneOfTheValues() throws {
        let gateway = try RunningGateway(responding(", claims: { scope: [orders.write, orders.all] }"))
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 200)
        let refused = try gateway.ask("/", "Authorization: Bearer \(FilterTokens.bob)")
        #expect(refused.status == 403)
        #expect(refused.value("www-authenticate")?.hasPrefix("Bearer error=\"insufficient_scope\"") == true)
        let others = try RunningGateway(responding(", claims: { admin: \"true\", level: \"7\" }"))
        #expect(try others.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 200)
        #expect(try others.ask("/", "Authorization: Bearer \(FilterTokens.bob)").status == 403)
    }

    @Test func aClaimIsAClientOfARateLimit() throws {
        let gateway = try RunningGateway(
            "routes: [{ name: orders, match: {}, rate-limit: { key: jwt.sub, rate: 1/h, burst: 1 }, jwt: { \(Self.rules) }, respond: { status: 200 } }]")
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 200)
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.bob)").status == 200)
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 429)
        // Nobody's request costs somebody else's rate.
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.otherIssuer)").status == 401)
    }

    @Test func claimsGoUpstreamInPlaceOfWhatClientsSay() throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - name: orders
                match: {}
                jwt: { \(Self.rules), forward-claims: { sub: X-User-Id, admin: x-admin, level: x-level, nothing: x-nothing }, forward-token: false }
                proxy: { upstream: orders }
            """)
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)", "x-user-id: root", "X_User_ID: root", "x-nothing: 1", "x-other: 1").status == 200)
        let request = try #require(upstream.requests.first)
        #expect(request.values("x-user-id") == ["alice"] && request.values("x_user_id") == [])
        #expect(request.values("x-admin") == ["true"] && request.values("x-level") == ["7"])
        #expect(request.values("x-nothing") == [] && request.values("authorization") == [] && request.values("x-other") == ["1"])
        // A claim that would end its line goes nowhere.
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.evil)", "x-user-id: root").status == 200)
        #expect(upstream.requests.last?.values("x-user-id") == [] && upstream.requests.last?.values("x-admin") == [])
    }

    @Test func keysMayBeAFile() throws {
        let path = "/tmp/uring-filter-keys-\(getpid()).json"
        try writeFile(path, FilterTokens.keySet)
        defer { unsafe unlink(path) }
        let gateway = try RunningGateway("routes: [{ name: orders, match: {}, jwt: { keys: \(path), algorithms: [HS256] }, respond: { status: 200 } }]")
        #expect(try gateway.ask("/", "Authorization: Bearer \(FilterTokens.alice)").status == 200)
        let missing = try RunningGateway.configuration("routes: [{ name: orders, match: {}, jwt: { keys: /does/not/exist }, respond: { status: 200 } }]")
        #expect(throws: GatewayError.self) { try GatewayApplication(missing, loops: 1) }
    }
}
