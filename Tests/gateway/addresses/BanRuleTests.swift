// Rules that ban (`addresses.ban`), over the wire and by themselves.

import TestSupport
import Testing
import UringPolicy

@testable import UringGateway

@Suite("Bans by rule") struct BanRuleTests {
    private static let base = "trusted-proxies: [127.0.0.0/8]\n"

    private func from(_ address: String) -> String { "X-Forwarded-For: \(address)\r\n" }

    @Test("come with the last offence over all loops, and end")
    func statuses() throws {
        let served = try AdminGateway(Self.base + "addresses: { ban: [{ name: guessing, on: [\"404\", 5xx], count: 5, within: 1h, for: 10m, prefix: 24 }] }")
        // One address and its neighbour are one; answers of other kinds do not count.
        for round in 0..<4 {
            #expect(try served.get("/nothing", from("203.0.113.\(round)")).status == 404)
            #expect(try served.get("/hello", from("203.0.113.7")).status == 200)
        }
        #expect(try served.metric("uringd_bans{source=\"rule\"}") == 0)
        #expect(try served.get("/nothing", from("203.0.113.9")).status == 404)
        #expect(try comesSoon { try served.get("/hello", from("203.0.113.200")).status == 403 })
        #expect(try served.get("/hello", from("203.0.114.1")).status == 200)
        let list = try served.ask("/bans").bodyText
        #expect(list.contains("\"prefix\": \"203.0.113.0/24\"") && list.contains("\"reason\": \"rule guessing: 5 of 404, 5xx within 1h\"") && list.contains("\"seconds-left\": 59"))
        #expect(try served.metric("uringd_bans_made_total{source=\"rule\"}") == 1)
        #expect(try served.lift("203.0.113.0/24").status == 200)
        #expect(try served.get("/hello", from("203.0.113.200")).status == 200)
    }

    @Test("count refusals of rate limits, and never ban a trusted proxy")
    func rateLimits() throws {
        let served = try AdminGateway(
            Self.base + "addresses: { ban: [{ name: hammering, on: [rate-limit], count: 3, within: 1m, for: 1h }] }\n"
                + "routes: [{ name: hello, match: { path: /hello }, rate-limit: { key: address, rate: 1/h, burst: 2 }, respond: { body: hello } }]")
        let statuses = try (0..<5).map { _ in try served.get("/hello", from("2001:db8::1")).status }
        #expect(statuses == [200, 200, 429, 429, 429])
        #expect(try comesSoon { try served.get("/nothing", from("2001:db8::2")).status == 403 })
        #expect(try served.get("/nothing", from("2001:db8:0:1::")).status == 404)
        for _ in 0..<8 { _ = try served.get("/hello") }
        #expect(try served.get("/nothing").status == 404)
        #expect(try served.metric("uringd_bans_made_total{source=\"rule\"}") == 1)
    }

    @Test("count what is not HTTP")
    func malformed() throws {
        let served = try AdminGateway("addresses: { ban: [{ name: noise, on: [malformed], count: 3, within: 1m, for: 1h }] }")
        for _ in 0..<3 {
            let client = try RawClient(served.main)
            try client.send("nonsense\r\n\r\n")
            #expect(try client.readResponse().status == 400)
        }
        #expect(comesSoon { served.isRefused })
    }

    @Test("count failed handshakes")
    func handshakes() throws {
        let directory = TLSDirectory()
        let (cert, key) = (directory.write("c.pem", TLSFixtures.certificate), directory.write("k.pem", TLSFixtures.key, mode: 0o600))
        let gateway = try RunningGateway(
            "loops: 2\nlisten: [{ address: \"127.0.0.1:0\", tls: { certificates: [{ cert: \(cert), key: \(key) }] } }]\n"
                + "addresses: { ban: [{ name: scanning, on: [handshake], count: 2, within: 1m, for: 1h }] }\nroutes: [{ name: a, match: {}, respond: {} }]", isWhole: true)
        for _ in 0..<2 {
            let client = try RawClient(gateway.endpoint)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try? client.readToEnd()
        }
        #expect(
            comesSoon {
                guard let client = try? RawClient(gateway.endpoint) else { return true }
                try? client.send("x")
                return (try? client.readToEnd()) == nil
            })
        #expect(gateway.gateway.bans.figures().made.first { $0.source == "rule" }?.count == 1)
    }

    @Test("grow, and are forgotten")
    func growth() throws {
        let second: UInt64 = 1_000_000_000
        let rule = BanRule(
            name: "r", reasons: [.malformed], count: 2, withinNs: second, banNs: 10 * second, v4Bits: 32, v6Bits: 64, growth: 3, longestNs: 60 * second, forgetNs: 100 * second)
        let watched = try WatchedRule(rule)
        let address = try #require(IPAddress("192.0.2.1"))
        var now: UInt64 = 1000 * second
        for (strike, length) in [10, 30, 60, 60].enumerated() {
            #expect(watched.count(address, now: now) == nil)
            let ban = watched.count(address, now: now)
            #expect(ban?.lengthNs == UInt64(length) * second && ban?.strike == UInt32(strike + 1) && ban?.prefix == Prefix(address))
            #expect(watched.count(address, now: now) == nil, "banned already")
            now += UInt64(length) * second + second
        }
        now += 100 * second
        #expect(watched.count(address, now: now) == nil)
        #expect(watched.count(address, now: now)?.lengthNs == 10 * second)
        // Those that come slowly enough wear off.
        for step in 1...50 { #expect(watched.count(try #require(IPAddress("192.0.2.2")), now: now + UInt64(step) * second) == nil) }
    }

    @Test("are refused where they make no sense")
    func configuration() {
        func lines(_ rule: String) -> [String] { messages(withBase("addresses: { ban: [{ name: a, count: 2, within: 1m, \(rule) }] }")) }
        #expect(lines("for: 1h, on: [\"401\"], growth: 2, longest: 1m").contains { $0.hasPrefix("1:") && $0.contains("`longest` is shorter than `for`, which has 1h") })
        #expect(lines("for: 1h, on: [\"401\"], longest: 2h").contains { $0.contains("`longest` has no effect") })
        #expect(lines("for: 1h, on: [2xx]").contains { $0.contains("which well-behaved clients get too") && $0.contains("bans-for-success") })
        #expect(lines("for: 2d, on: [\"401\"], growth: 2").allSatisfy { !$0.contains("longest") })
        #expect(throws: GatewayError.self) {
            try WatchedRule(BanRule(name: "r", reasons: [.malformed], count: 1_000_000, withinNs: 1_000_000, banNs: 1, v4Bits: 32, v6Bits: 64, growth: 1, longestNs: 1, forgetNs: 1))
        }
    }
}
