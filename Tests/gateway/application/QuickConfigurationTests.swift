// Configurations made from arguments.

import Testing
@testable import UringGateway

@Suite struct QuickConfigurationTests {
    private func respond(
        status: Int = 200, headers: [String] = [], body: String? = nil, json: String? = nil
    ) throws -> RespondConfiguration {
        let configuration = try QuickConfiguration.respond(
            status: status, headers: headers, body: body, json: json, listen: [.ipv4([127, 0, 0, 1], port: 80)], loops: .count(2))
        #expect(configuration.loops == .count(2))
        #expect(configuration.listeners.map(\.address.description) == ["127.0.0.1:80"])
        guard case .respond(let respond)? = configuration.routes.first?.action, configuration.routes.count == 1 else {
            throw GatewayError("no respond route")
        }
        #expect(configuration.routes[0].match == RouteMatchRule())
        return respond
    }

    @Test func contentTypes() throws {
        #expect(try respond().headers == [])
        #expect(try respond(body: "x").headers == [.init(name: "content-type", value: "text/plain; charset=utf-8")])
        #expect(try respond(body: "").headers == [.init(name: "content-type", value: "text/plain; charset=utf-8")])
        #expect(try respond(json: "{}").headers == [.init(name: "content-type", value: "application/json")])
        #expect(try respond(headers: ["Content-Type:  text/html "], body: "x").headers == [.init(name: "Content-Type", value: "text/html")])
        #expect(try respond(json: "{\"a\":1}").body == Array("{\"a\":1}".utf8))
    }

    @Test func proxies() throws {
        let clear = try QuickConfiguration.proxy(to: "http://a.example/x", listen: [.ipv4([127, 0, 0, 1], port: 80)], loops: .count(1))
        #expect(clear.upstreams[0].tls == nil && clear.upstreams[0].version == .http1)
        #expect(clear.upstreams[0].servers[0].address == .name("a.example", port: 80))
        let secure = try QuickConfiguration.proxy(to: "https://a.example", listen: [.ipv4([127, 0, 0, 1], port: 80)], loops: .count(1))
        #expect(secure.upstreams[0].tls?.verifies == true && secure.upstreams[0].version == .auto)
        #expect(secure.upstreams[0].servers[0].address == .name("a.example", port: 443))
        for url in ["ftp://a", "a.example", "https://a?b", "https://u@a"] {
            #expect(throws: GatewayError.self) { try QuickConfiguration.proxy(to: url, listen: [], loops: .count(1)) }
        }
    }

    @Test func refusals() {
        for (status, headers, body, json) in [
            (199, [], nil, nil), (600, [], nil, nil), (200, ["x"], nil, nil), (200, [": y"], nil, nil), (200, ["a b: c"], nil, nil),
            (200, ["connection: close"], nil, nil), (200, ["x: a\nb"], nil, nil), (304, [], "x", nil), (200, [], "x", "1"), (200, [], nil, "{"),
        ] as [(Int, [String], String?, String?)] {
            #expect(throws: GatewayError.self) { try respond(status: status, headers: headers, body: body, json: json) }
        }
    }

    @Test(arguments: [
        "{}", "[]", " {\"a\" : [1, -2.5e+3, true, false, null, \"\\u00e4\\n\"]} ", "0", "\"ä\"", "-0.1", "1E5", "[[[]]]",
    ])
    func goodJSON(text: String) { #expect(JSONSyntax.isValid(Array(text.utf8))) }

    @Test(arguments: [
        "", " ", "{", "}", "{a:1}", "{'a':1}", "[1,]", "{\"a\":1,}", "01", "1.", ".5", "+1", "1e", "tru", "nul", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\n\"",
        "[] []", "1 2", "[1 2]", "{\"a\" 1}", "NaN", "-", "\u{feff}{}",
    ])
    func badJSON(text: String) { #expect(!JSONSyntax.isValid(Array(text.utf8))) }

    @Test func deepJSONIsRefusedAndDoesNotOverflow() {
        let deep = { (depth: Int) in [UInt8](repeating: UInt8(ascii: "["), count: depth) + [UInt8](repeating: UInt8(ascii: "]"), count: depth) }
        #expect(JSONSyntax.isValid(deep(JSONSyntax.depthMax)))
        #expect(!JSONSyntax.isValid(deep(JSONSyntax.depthMax + 1)))
        #expect(!JSONSyntax.isValid(deep(1_000_000)))
        #expect(!JSONSyntax.isValid([0x22, 0xff, 0x22]))
    }
}
