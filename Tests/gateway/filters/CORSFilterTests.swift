// CORS by route, address lists, and routes without access log.

import Glibc
import TestSupport
import Testing
import UringServer

@testable import UringGateway

@Suite struct CORSFilterTests {
    private static let text = """
        routes:
          - name: api
            match: { path: /api, methods: [GET] }
            cors: { origins: ["https://app.example", "https://*.shop.example"], methods: [GET, PUT], expose-headers: [x-total], credentials: true, max-age: 10m }
            jwt: { secret: \(FilterTokens.secret) }
            respond: { status: 200 }
          - { name: open, match: { path: /open }, cors: { origins: ["*"] }, respond: { status: 200 } }
        """

    @Test func preflightsAreAnsweredWithoutCredentials() throws {
        let gateway = try RunningGateway(Self.text)
        let allowed = try gateway.ask(
            "/api", method: "OPTIONS", "Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-a, x-b")
        #expect(allowed.status == 204 && allowed.value("access-control-allow-origin") == "https://app.example")
        #expect(allowed.value("access-control-allow-methods") == "GET, PUT" && allowed.value("access-control-allow-headers") == "x-a, x-b")
        #expect(allowed.value("access-control-allow-credentials") == "true" && allowed.value("access-control-max-age") == "600")
        #expect(allowed.tokens("vary").contains("origin"))
        let other = try gateway.ask("/api", method: "OPTIONS", "Origin: https://other.example", "Access-Control-Request-Method: GET")
        #expect(other.status == 204 && other.value("access-control-allow-origin") == nil && other.value("access-control-allow-methods") == nil)
        // OPTIONS without a preflight's fields is no preflight.
        #expect(try gateway.ask("/api", method: "OPTIONS").value("allow") == "GET, HEAD, OPTIONS")
    }

    @Test(arguments: [
        ("https://app.example", true), ("https://a.shop.example", true), ("https://a.b.shop.example", true), ("https://.shop.example", false), ("https://shop.example", false),
        ("http://a.shop.example", false), ("https://evil.example/.shop.example", false), ("https://a@b.shop.example", false), ("https://a.shop.example.evil", false), ("null", false),
    ])
    func originsMayRead(_ origin: String, _ isAllowed: Bool) throws {
        let gateway = try RunningGateway(Self.text)
        let response = try gateway.ask("/api", "Origin: \(origin)", "Authorization: Bearer \(FilterTokens.alice)")
        #expect(response.status == 200 && response.value("access-control-allow-origin") == (isAllowed ? origin : nil))
        #expect(response.value("access-control-expose-headers") == (isAllowed ? "x-total" : nil))
        // Scripts may read why they were refused.
        let refused = try gateway.ask("/api", "Origin: \(origin)")
        #expect(refused.status == 401 && refused.value("access-control-allow-origin") == (isAllowed ? origin : nil))
    }

    @Test func anyOriginMayRead() throws {
        let gateway = try RunningGateway(Self.text)
        let response = try gateway.ask("/open", "Origin: https://a.example")
        #expect(response.value("access-control-allow-origin") == "*" && response.value("vary") == nil)
        #expect(try gateway.ask("/open").value("access-control-allow-origin") == nil)
    }
}

@Suite struct AddressGateFilterTests {
    private static let route = "routes: [{ name: a, match: {}, respond: { status: 200 } }]\n"

    @Test func whoIsDeniedCannotConnectUntilAReload() throws {
        let gateway = try RunningGateway(Self.route)
        #expect(try gateway.ask().status == 200)
        try gateway.reload(Self.route + "addresses: { deny: [127.0.0.0/8] }")
        #expect(throws: RawClientError.self) { try gateway.ask() }
        try gateway.reload(Self.route + "addresses: { allow: [127.0.0.1] }")
        #expect(try gateway.ask().status == 200)
        try gateway.reload(Self.route + "addresses: { allow: [192.0.2.0/24] }")
        #expect(throws: RawClientError.self) { try gateway.ask() }
        try gateway.reload(Self.route)
        #expect(try gateway.ask().status == 200)
    }

    @Test func denyWins() throws {
        #expect(AddressGate(AddressConfiguration()) == nil)
        let prefix = { (text: String) in try AddressPrefix.parse(text).get() }
        let gate = try #require(AddressGate(AddressConfiguration(deny: [prefix("10.1.0.0/16")], allow: [prefix("10.0.0.0/8"), prefix("2001:db8::/32")])))
        #expect(gate.admits(.ipv4(0x0a02_0001, port: 1)) && !gate.admits(.ipv4(0x0a01_0001, port: 1)) && !gate.admits(.ipv4(0x0b00_0001, port: 1)))
        // An address of IPv4 that comes by a socket of IPv6.
        #expect(gate.admits(.ipv6(high: 0, low: 0xffff_0a02_0001, port: 1)) && !gate.admits(.ipv6(high: 0, low: 0xffff_0a01_0001, port: 1)))
        #expect(gate.admits(.ipv6(high: 0x2001_0db8_0000_0000, low: 1, port: 1)) && !gate.admits(.ipv6(high: 0, low: 1, port: 1)) && gate.admits(.local))
    }
}

@Suite struct AccessLogFilterTests {
    @Test func routesMayBeOutOfTheLog() throws {
        let routes = try Routes([RouteConfiguration(name: "seen", action: .respond(RespondConfiguration())), Self.silent])
        #expect(routes.silencesSome && routes.silences(RouteName(registering: "silent")) && !routes.silences(RouteName(registering: "seen")) && !routes.silences(nil))
    }

    private static var silent: RouteConfiguration {
        var route = RouteConfiguration(name: "silent", action: .respond(RespondConfiguration()))
        route.filters.writesAccessLog = false
        return route
    }
}
