// Bans of a fleet (`addresses.redis`): two gateways and a redis-server.

import Glibc
import TestSupport
import Testing
import UringPolicy

@testable import UringGateway

@Suite("Bans in Redis", .enabled(if: RedisProcess.isInstalled, RedisProcess.skipped)) struct SharedBansTests {
    private func gateway(_ redis: RedisProcess, _ more: String = "") throws -> LimitedGateway {
        try LimitedGateway(
            redis: "address: \"127.0.0.1:\(redis.port)\", timeout: 1s", more: "addresses: { redis: main\(more) }", routes: "  - { name: a, match: { path: /a }, respond: { body: in } }")
    }

    private func ask(_ gateway: LimitedGateway, _ method: String, _ body: String = "", _ query: String = "") throws -> RawResponse {
        let client = try RawClient(gateway.admin)
        try client.send("\(method) /bans\(query) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        return try client.readResponse()
    }

    private func isBanned(_ gateway: LimitedGateway, _ client: String) throws -> Bool { try gateway.ask(client, path: "/a").status == 403 }

    @Test("are met everywhere, with their reason and their end, until somebody lifts them")
    func shared() throws {
        let redis = try RedisProcess()
        let (one, two) = (try gateway(redis), try gateway(redis))
        #expect(try ask(one, "POST", "[{\"prefix\": \"203.0.113.0/24\", \"for\": \"1h\", \"reason\": \"a flood\"}, {\"prefix\": \"2001:db8::/32\"}]").status == 201)
        #expect(try isBanned(one, "203.0.113.9"))
        // The one that was sent last.
        #expect(try comesSoon { try isBanned(two, "2001:db8::1") })
        #expect(try isBanned(two, "203.0.113.9") && !isBanned(two, "203.0.114.9"))
        let list = try ask(two, "GET").bodyText
        #expect(list.contains("\"reason\": \"a flood\"") && list.contains("\"source\": \"redis\"") && list.contains("\"count\": 2") && list.contains("\"until\": null"))
        #expect(list.contains("\"seconds-left\": 35") || list.contains("\"seconds-left\": 3600"))
        // Whoever comes later has them too.
        let three = try gateway(redis)
        #expect(try comesSoon { try isBanned(three, "203.0.113.9") })
        // One that did not ban it lifts it, for all.
        #expect(try ask(two, "DELETE", "", "?prefix=203.0.113.0/24").status == 200)
        #expect(try !isBanned(two, "203.0.113.9"))
        #expect(try comesSoon { try !isBanned(one, "203.0.113.9") && !isBanned(three, "203.0.113.9") })
        #expect(try isBanned(one, "2001:db8::1"))
        #expect(try comesSoon { try one.metric("uringd_bans{source=\"redis\"}") == 1 })
    }

    @Test("of rules are shared, and end by Redis's time")
    func rules() throws {
        let redis = try RedisProcess()
        let (one, two) = (try gateway(redis, ", ban: [{ name: guessing, on: [\"404\"], count: 2, within: 1m, for: 1h }]"), try gateway(redis))
        for _ in 0..<2 { _ = try one.ask("203.0.113.9", path: "/nothing") }
        #expect(try comesSoon { try isBanned(two, "203.0.113.9") })
        #expect(try ask(two, "GET").bodyText.contains("rule guessing: 2 of 404 within 1m"))
        // Its end, as Redis has it, is moved to the past.
        #expect(try redis.command("ZADD uringd:bans 1 203.0.113.9\r\nINCR uringd:bans:version").hasPrefix(":0"))
        #expect(try comesSoon { try !isBanned(one, "203.0.113.9") && !isBanned(two, "203.0.113.9") })
        #expect(try redis.command("ZCARD uringd:bans").hasPrefix(":0"))
    }

    @Test("hold on while Redis is away, and are shared when it is back")
    func outage() throws {
        let redis = try RedisProcess()
        let (one, two) = (try gateway(redis), try gateway(redis))
        #expect(try ask(one, "POST", "{\"prefix\": \"203.0.113.1\"}").status == 201)
        #expect(try comesSoon { try isBanned(two, "203.0.113.1") })
        try redis.kill()
        #expect(try ask(one, "POST", "{\"prefix\": \"203.0.113.2\"}").status == 201)
        #expect(try isBanned(one, "203.0.113.2") && isBanned(two, "203.0.113.1") && !isBanned(two, "203.0.113.2"))
        #expect(try ask(one, "GET").bodyText.contains("\"source\": \"admin\""))
        try redis.start()
        #expect(try comesSoon { try isBanned(two, "203.0.113.2") })
    }

    @Test("many are read page by page, and what is no ban is passed over")
    func pages() throws {
        let redis = try RedisProcess()
        let gateway = try gateway(redis)
        for block in 0..<3 {
            let bans = (0..<60).map { "{\"prefix\": \"198.51.\(block).\($0)\", \"for\": \"2h\", \"reason\": \"\(String(repeating: "r", count: 200))\"}" }.joined(separator: ",")
            #expect(try ask(gateway, "POST", "[\(bans)]").status == 201)
        }
        #expect(try redis.command("ZADD uringd:bans +inf nonsense\r\nINCR uringd:bans:version").hasPrefix(":1"))
        let other = try self.gateway(redis)
        #expect(try comesSoon { try other.metric("uringd_bans{source=\"redis\"}") == 180 })
        // What is counted is met when its snapshot is made.
        #expect(try comesSoon { try isBanned(other, "198.51.2.59") })
    }

    @Test("pages are read whatever they are")
    func parsing() {
        func page(_ text: String) -> RedisBanPage? { RedisBanPage(Array(text.utf8).span, now: 1_000_000_000) }
        for text in ["", "x", "-1", "123456789012345678901", "\n", " 1"] { #expect(page(text) == nil, "\(text)") }
        let read = page("7\n60 192.0.2.0/24 a reason\n-1 ::1 \n0 192.0.2.1 over\n5 nobody x\n5 192.0.2.1\nx 192.0.2.1 y\n18446744073709551615 192.0.2.2 z\n9223372036854775807 192.0.2.3 long")
        #expect(read?.version == "7" && read?.lines == 8)
        #expect(read?.entries.map { "\($0.prefix) \($0.until) \($0.reason)" } == ["192.0.2.0/24 61000000000 a reason", "::1 18446744073709551615 ", "192.0.2.3 18446744073709551614 long"])
    }
}
