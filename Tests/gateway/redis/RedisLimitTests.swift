// Rate limits that a fleet counts in Redis (`rate-limit.redis`), against redis-server, and what becomes of them while it fails.

import Glibc
import TestSupport
import Testing
import UringBase

@testable import UringGateway

/// A gateway with one route by a limit of three requests, whose client is what X-Forwarded-For says.
final class LimitedGateway {
    private final class Lines: Sendable { let all = Locked<[String]>([]) }

    let gateway: Gateway
    let endpoint: Endpoint
    let admin: Endpoint
    private let lines: Lines

    var log: [String] { lines.all.withLock { $0 } }

    init(redis: String, limit: String = "key: address, rate: 3/h", more: String = "", loops: Int = 1, routes: String? = nil) throws {
        let lines = Lines()
        self.lines = lines
        let configuration = Self.text(redis: redis, limit: limit, more: more, loops: loops, routes: routes)
        var options = ConfigLoadOptions()
        options.unwired = []
        let result = ConfigLoader.load(bytes: Array(configuration.utf8), file: "test.yaml", directory: "/tmp/", options)
        gateway = try Gateway(try #require(result.configuration, "\(result.render())"), log: OperationalLog(level: .info) { line in lines.all.withLock { $0.append(line) } })
        let endpoints = gateway.listening.compactMap { Endpoint(line: $0) }
        (endpoint, admin) = (endpoints[0], endpoints[1])
    }

    static func text(redis: String, limit: String, more: String = "", loops: Int = 1, routes: String? = nil) -> String {
        """
        listen: [{ address: "127.0.0.1:0" }]
        loops: \(loops)
        admin: { address: "127.0.0.1:0" }
        trusted-proxies: [127.0.0.0/8]
        redis: { main: { \(redis) } }
        \(more)
        routes:
        \(routes ?? "  - { name: orders, match: {}, rate-limit: { redis: main, \(limit) }, respond: { status: 200, body: in } }")
        """
    }

    deinit { gateway.stop() }

    func ask(_ client: String = "192.0.2.1", _ fields: String..., path: String = "/") throws -> RawResponse {
        let connection = try RawClient(endpoint)
        try connection.send("GET \(path) HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \(client)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n")
        return try connection.readResponse()
    }

    func metric(_ name: String) throws -> Double? {
        for line in try AdminGateway.ask(admin, "/metrics").bodyText.split(separator: "\n") where line.hasPrefix(name + " ") { return Double(line.dropFirst(name.count + 1)) }
        return nil
    }

    func failures(_ reason: String) throws -> Double { try metric("uringd_redis_failures_total{server=\"main\",reason=\"\(reason)\"}") ?? -1 }
}

@Suite("Limits in Redis", .enabled(if: RedisProcess.isInstalled, RedisProcess.skipped)) struct RedisLimitTests {
    private func address(_ port: UInt16, _ more: String = "") -> String { "address: \"127.0.0.1:\(port)\", timeout: 1s\(more)" }

    @Test("hold over all instances and loops, and tell of themselves")
    func fleet() throws {
        let redis = try RedisProcess()
        let (one, two) = (try LimitedGateway(redis: address(redis.port), loops: 2), try LimitedGateway(redis: address(redis.port), loops: 2))
        let first = try one.ask()
        #expect(first.status == 200 && first.bodyText == "in")
        #expect(first.value("ratelimit-policy") == "\"orders\";q=3;w=3600" && first.value("ratelimit") == "\"orders\";r=2;t=1200")
        #expect(try two.ask().value("ratelimit") == "\"orders\";r=1;t=2400")
        #expect(try one.ask().value("ratelimit") == "\"orders\";r=0;t=3600")
        for gateway in [one, two, one, two] {
            let refused = try gateway.ask()
            #expect(refused.status == 429 && refused.value("ratelimit")?.hasPrefix("\"orders\";r=0") == true)
            #expect((refused.value("retry-after").flatMap { Int($0) }.map { (1190...1200).contains($0) }) == true)
        }
        #expect(try two.ask("192.0.2.2").status == 200)
        // Of IPv6 the /64 is one.
        for last in 1...3 { #expect(try one.ask("2001:db8::\(last)").status == 200) }
        #expect(try two.ask("2001:db8::4").status == 429)
        #expect(try redis.keys == ["uringd:rate:orders:192.0.2.1", "uringd:rate:orders:192.0.2.2", "uringd:rate:orders:2001:db8::/64"])
        // A restart of Redis, as far as its scripts go: the script is sent once more.
        #expect(try redis.command("SCRIPT FLUSH").hasPrefix("+OK"))
        #expect(try one.ask("192.0.2.3").value("ratelimit") == "\"orders\";r=2;t=1200")
        #expect(try comesSoon { try one.metric("uringd_redis_connected_loops{server=\"main\"}") == 2 })
        #expect(try one.metric("uringd_redis_requests_total{server=\"main\"}") ?? 0 >= 8)
        #expect(try one.failures("unconnected") == 0 && one.failures("refused") == 0)
        #expect(try AdminGateway.ask(one.admin, "/readyz").bodyText == "ok\nredis main: connected\n")
        #expect(one.log.contains { $0 == "redis main: connected to 127.0.0.1:\(redis.port)" })
    }

    @Test("take claims and headers, of which Redis sees a hash alone")
    func keys() throws {
        let redis = try RedisProcess()
        let secret = try ScratchFile(FilterTokens.secret)
        let gateway = try LimitedGateway(
            redis: address(redis.port, ", prefix: \"edge:\""),
            routes: """
                  - { name: keyed, match: { path: /keyed }, rate-limit: [{ redis: main, key: "header:x-key", rate: 1/h, burst: 2 }, { key: address, rate: 1000/s }], respond: { body: in } }
                  - { name: a.route.with.a.name.that.is.longer.than.a.key.should.be, match: { path: /claimed }, jwt: { secret: { file: \(secret.path) }, algorithms: [HS256], audience: orders }, rate-limit: { redis: main, key: jwt.sub, rate: 1/h }, respond: { body: in } }
                """)
        for status in [200, 200, 429] { #expect(try gateway.ask("192.0.2.1", "X-Key: a-secret", path: "/keyed").status == status) }
        for status in [200, 200, 429] { #expect(try gateway.ask("192.0.2.1", path: "/keyed").status == status) }
        #expect(try gateway.ask("192.0.2.1", "X-Key:", path: "/keyed").status == 200)
        for status in [200, 429] { #expect(try gateway.ask("192.0.2.1", "Authorization: Bearer \(FilterTokens.alice)", path: "/claimed").status == status) }
        #expect(try gateway.ask("192.0.2.1", "Authorization: Bearer \(FilterTokens.bob)", path: "/claimed").status == 200)
        #expect(try gateway.ask("192.0.2.1", path: "/claimed").status == 401)
        let keys = try redis.keys
        #expect(keys.count == 5 && keys.allSatisfy { $0.hasPrefix("edge:rate:") && !$0.contains("secret") && !$0.contains("alice") })
        // SHA-256 of the value: the same on every instance.
        #expect(keys.contains("edge:rate:keyed:-") && keys.contains("edge:rate:keyed:e3b0c44298fc1c149afbf4c8996fb924"))
    }

    @Test("let requests through or refuse them while Redis is down, and count again when it is back")
    func killed() throws {
        let redis = try RedisProcess()
        let gateway = try LimitedGateway(
            redis: address(redis.port),
            routes: """
                  - { name: open, match: { path: /open }, rate-limit: { redis: main, key: address, rate: 1/h }, respond: { body: in } }
                  - { name: closed, match: { path: /closed }, rate-limit: { redis: main, key: address, rate: 1/h, fail: closed }, respond: { body: in } }
                """)
        #expect(try gateway.ask(path: "/open").status == 200)
        #expect(try gateway.ask(path: "/open").status == 429)
        try redis.kill()
        #expect(try comesSoon { try gateway.ask(path: "/open").status == 200 })
        let passed = try gateway.ask(path: "/open")
        #expect(passed.status == 200 && passed.value("ratelimit") == nil)
        let refused = try gateway.ask(path: "/closed")
        #expect(refused.status == 503 && refused.value("retry-after") == "1" && refused.bodyText.contains("cannot be found out"))
        #expect(try gateway.metric("uringd_redis_connected_loops{server=\"main\"}") == 0)
        #expect(try gateway.metric("uringd_rate_limit_uncounted_total{limit=\"closed\",verdict=\"refused\"}") == 1)
        #expect(try gateway.metric("uringd_rate_limit_uncounted_total{limit=\"open\",verdict=\"admitted\"}") ?? 0 >= 2)
        #expect(try gateway.failures("unconnected") + gateway.failures("disconnected") >= 3)
        let ready = try AdminGateway.ask(gateway.admin, "/readyz")
        #expect(ready.status == 200 && ready.bodyText == "ok\nredis main: down\n")
        #expect(gateway.log.contains { $0.hasPrefix("redis main: lost a connection to 127.0.0.1:\(redis.port): ") && $0.contains("0 of 1 loops are connected; again in") })
        try redis.start()
        #expect(try comesSoon { try gateway.ask("192.0.2.9", path: "/closed").status != 503 })
        #expect(try gateway.ask("192.0.2.9", path: "/closed").status == 429)
    }

    @Test("wait no longer than the timeout for one that hangs, and give its connection up")
    func hung() throws {
        let redis = try RedisProcess()
        let gateway = try LimitedGateway(redis: "address: \"127.0.0.1:\(redis.port)\", timeout: 20ms", limit: "key: address, rate: 1/h, fail: closed")
        #expect(try comesSoon { try gateway.ask("192.0.2.1").status == 429 })
        redis.send(SIGSTOP)
        for _ in 0..<20 { #expect(try gateway.ask("192.0.2.2").status == 503) }
        #expect(try gateway.failures("timeout") >= 16)
        #expect(gateway.log.contains { $0.contains("has not answered within 20ms") })
        #expect(try gateway.metric("uringd_redis_connects_total{server=\"main\"}") ?? 0 >= 1)
        redis.send(SIGCONT)
        #expect(try comesSoon { try gateway.ask("192.0.2.3").status != 503 })
    }

    @Test("are refused by one that asks for another login, and say so")
    func logins() throws {
        let redis = try RedisProcess(["--requirepass", "opensesame"])
        let (right, wrong) = (try ScratchFile("opensesame\n"), try ScratchFile("open-sesame\n"))
        let known = try LimitedGateway(redis: address(redis.port, ", password: { file: \(right.path) }, database: 3"))
        for status in [200, 200, 200, 429] { #expect(try known.ask().status == status) }
        #expect(try redis.command("AUTH opensesame\r\nSELECT 3\r\nKEYS *").contains("uringd:rate:orders:192.0.2.1"))
        let unknown = try LimitedGateway(redis: address(redis.port, ", password: { file: \(wrong.path) }"), limit: "key: address, rate: 3/h, fail: closed")
        #expect(try unknown.ask().status == 503)
        #expect(comesSoon { unknown.log.contains { $0.contains("it refuses the login: WRONGPASS") } })
        #expect(unknown.log.allSatisfy { !$0.contains("sesame") })
        let without = try LimitedGateway(redis: address(redis.port), limit: "key: address, rate: 3/h, fail: closed")
        #expect(try without.ask().status == 503)
        #expect(try without.failures("refused") >= 1)
        #expect(without.log.contains { $0.contains("answered NOAUTH") })
    }

    @Test("take whatever else answers for no Redis", arguments: [
        ("-LOADING Redis is loading the dataset in memory\r\n", "answered LOADING", "refused"), ("HTTP/1.1 400 Bad Request\r\n\r\n", "is not Redis's protocol", "disconnected"),
        ("+OK\r\n", "an answer that is none", "unexpected"), ("*4\r\n:1\r\n:2\r\n:3\r\n$1\r\n0\r\n", "an answer that is none", "unexpected"),
    ])
    func strangers(answer: String, line: String, trouble: String) throws {
        let stranger = try FalseRedis(answer)
        let gateway = try LimitedGateway(redis: address(stranger.port), limit: "key: address, rate: 3/h, fail: closed")
        #expect(try gateway.ask().status == 503)
        #expect(try gateway.failures(trouble) >= 1)
        #expect(comesSoon { gateway.log.contains { $0.contains(line) } }, "\(gateway.log)")
    }

    @Test("go over TLS, and over a Unix socket")
    func transports() throws {
        let directory = TLSDirectory()
        let (cert, key) = (directory.write("c.pem", TLSFixtures.certificate), directory.write("k.pem", TLSFixtures.key))
        let secure = try RedisProcess(tls: (cert, key))
        let trusting = try LimitedGateway(redis: address(secure.port, ", tls: { ca: \(cert), server-name: localhost }"))
        for status in [200, 200, 200, 429] { #expect(try trusting.ask().status == status) }
        let strict = try LimitedGateway(redis: address(secure.port, ", tls: { ca: \(cert), server-name: elsewhere.example }"), limit: "key: address, rate: 3/h, fail: closed")
        #expect(try strict.ask().status == 503)
        #expect(comesSoon { strict.log.contains { $0.contains("TLS") } }, "\(strict.log)")

        let path = "/tmp/uringd-redis-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        let local = try RedisProcess(["--unixsocket", path])
        defer { unsafe unlink(path) }
        let gateway = try LimitedGateway(redis: "address: \"unix:\(path)\"")
        for status in [200, 200, 200, 429] { #expect(try gateway.ask().status == status) }
        #expect(try local.keys.count == 1)
    }

    @Test("keep their connection over a reload, and let go of it when nothing uses it")
    func reloads() throws {
        let redis = try RedisProcess()
        let gateway = try LimitedGateway(redis: address(redis.port))
        #expect(try gateway.ask().status == 200)
        func reload(_ limit: String) throws {
            let text = LimitedGateway.text(redis: address(redis.port), limit: limit).replacing("redis: main, redis: none,", with: "")
            _ = try gateway.gateway.reload(try #require(load(text).configuration, "\(load(text).render())"))
        }
        try reload("key: address, rate: 4/h")
        #expect(try gateway.ask().status == 200)
        #expect(try gateway.metric("uringd_redis_connects_total{server=\"main\"}") == 1)
        func clients() throws -> Int { try redis.command("CLIENT LIST").split(separator: "\n").filter { $0.contains("cmd=eval") }.count }
        #expect(try clients() == 1)
        try reload("redis: none, key: address, rate: 4/h")
        #expect(try gateway.ask().status == 200)
        #expect(try comesSoon { try clients() == 0 })
        #expect(try gateway.metric("uringd_redis_connects_total{server=\"main\"}") == nil)
    }

    @Test("many at once are answered each, in the order of the pipeline")
    func pipelined() throws {
        let redis = try RedisProcess()
        let gateway = try LimitedGateway(redis: address(redis.port), limit: "key: address, rate: 40/h")
        // On one connection HTTP/1.1 waits for each; many connections do not.
        let clients = try (0..<60).map { _ in try RawClient(gateway.endpoint) }
        for client in clients { try client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n") }
        let statuses = try clients.map { try $0.readResponse().status }
        #expect(statuses.filter { $0 == 200 }.count == 40 && statuses.filter { $0 == 429 }.count == 20)
    }

    @Test("are refused in the configuration where they cannot be")
    func configuration() {
        let long = String(repeating: "x", count: 32)
        #expect(messages(withBase("redis: { a: { address: \"127.0.0.1:1\", prefix: \(long) } }")).contains { $0.contains("redis.a.prefix: 32 bytes; accepted: at most 31") })
        #expect(
            messages(withBase("redis: { a: { address: \"127.0.0.1:1\" } }\nsurge: { connections-growth: 200%, within: 1m, then: { rate-limit: { key: address, rate: 1/s, redis: a } } }")).contains {
                $0.contains("surge.then.rate-limit: `redis` has no place here")
            })
    }
}
