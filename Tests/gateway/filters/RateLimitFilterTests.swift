// Rate limits of routes over the wire: who counts as one, what the refused are told, and what a reload keeps.

import TestSupport
import Testing

@testable import UringGateway

@Suite struct RateLimitFilterTests {
    private func route(_ limit: String, name: String = "orders") -> String {
        "routes: [{ name: \(name), match: {}, rate-limit: \(limit), respond: { status: 200, body: \"ok\" } }]"
    }

    @Test func theRefusedAreToldWhenToComeAgain() throws {
        let gateway = try RunningGateway(route("{ key: address, rate: 1/h, burst: 2 }"))
        let first = try gateway.ask()
        #expect(first.status == 200 && first.bodyText == "ok")
        #expect(first.value("ratelimit-policy") == "\"orders\";q=2;w=7200")
        #expect(first.value("ratelimit") == "\"orders\";r=1;t=3600")
        #expect(try gateway.ask().value("ratelimit")?.contains(";r=0;") == true)
        let refused = try gateway.ask()
        #expect(refused.status == 429 && refused.value("content-type") == "application/problem+json")
        #expect(refused.bodyText == "{\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"too many requests\"}\n")
        #expect(refused.value("retry-after") == "3600")
        #expect(refused.value("ratelimit")?.contains(";r=0;") == true)
    }

    @Test func eachHeaderValueIsAClient() throws {
        let gateway = try RunningGateway(route("{ key: \"header:X-Tenant\", rate: 1/h, burst: 1, status: 503, headers: false }"))
        #expect(try gateway.ask("/", "x-tenant: a").status == 200)
        #expect(try gateway.ask("/", "x-tenant: b").status == 200)
        let refused = try gateway.ask("/", "X-TENANT: a")
        #expect(refused.status == 503 && refused.value("ratelimit") == nil && refused.value("retry-after") == "3600")
        // Those without the header are one client, which is not the one with an empty value.
        #expect(try gateway.ask().status == 200)
        #expect(try gateway.ask().status == 503)
        #expect(try gateway.ask("/", "x-tenant:").status == 200)
    }

    @Test func addressesCountByPrefixAndThroughTrustedProxies() throws {
        let limit = route("{ key: address/24, rate: 1/h, burst: 1 }")
        let gateway = try RunningGateway("trusted-proxies: [127.0.0.0/8]\n" + limit)
        #expect(try gateway.ask("/", "x-forwarded-for: 192.0.2.1").status == 200)
        #expect(try gateway.ask("/", "x-forwarded-for: 192.0.2.200").status == 429)
        #expect(try gateway.ask("/", "x-forwarded-for: 198.51.100.7, 127.0.0.2").status == 200)
        #expect(try gateway.ask("/", "forwarded: for=203.0.113.5").status == 200)
        // Nobody is trusted: what clients say does not count.
        let strict = try RunningGateway(limit)
        #expect(try strict.ask("/", "x-forwarded-for: 192.0.2.1").status == 200)
        #expect(try strict.ask("/", "x-forwarded-for: 198.51.100.1").status == 429)
    }

    @Test func aDryRunLetsPass() throws {
        let gateway = try RunningGateway(route("{ key: address, rate: 1/h, burst: 1, dry-run: true }"))
        for _ in 0..<3 { #expect(try gateway.ask().status == 200) }
    }

    @Test func allOfAListHold() throws {
        let gateway = try RunningGateway(route("[{ key: address, rate: 1000/s }, { key: \"header:x-user\", rate: 1/h, burst: 1 }]"))
        let first = try gateway.ask("/", "x-user: a")
        #expect(first.status == 200 && first.values("ratelimit").count == 2)
        #expect(first.values("ratelimit-policy").contains { $0.hasPrefix("\"orders-2\"") })
        #expect(try gateway.ask("/", "x-user: a").status == 429)
        #expect(try gateway.ask("/", "x-user: b").status == 200)
    }

    @Test func aReloadKeepsTheCountsOfALimitThatIsTheSame() throws {
        let same = route("{ key: address, rate: 1/h, burst: 1 }")
        let gateway = try RunningGateway(same)
        #expect(try gateway.ask().status == 200)
        try gateway.reload(same)
        #expect(try gateway.ask().status == 429)
        try gateway.reload(route("{ key: address, rate: 1/h, burst: 2 }"))
        #expect(try gateway.ask().status == 200)
    }

    @Test func aBurstThatNeverComesBackIsRefused() throws {
        let configuration = try RunningGateway.configuration(route("{ key: address, rate: 1/d, burst: 10000000 }"))
        #expect(throws: GatewayError.self) { try FilterParts(configuration, loops: 1) }
    }
}
