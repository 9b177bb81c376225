// Upstreams, proxies, filters and the rest of the gateway: what the values become, for every key.

import Testing

@testable import UringGateway

@Suite struct ConfigGatewayTests {
    private let example = try? good(GatewayExample.text)

    private func route(_ name: String) throws -> RouteConfiguration { try #require(example?.routes.first { $0.name == name }) }

    @Test func upstreamsReachTheirFields() throws {
        let upstream = try #require(example?.upstream("orders"))
        #expect(upstream.servers.map(\.address.description) == ["127.0.0.1:9001", "b.internal:9002", "unix:backup.sock"])
        #expect(upstream.servers.map(\.weight) == [1, 2, 1])
        #expect(upstream.servers.map(\.isBackup) == [false, false, true])
        #expect(upstream.balance == .leastRequests && upstream.version == .auto && upstream.resolveNs == 10_000_000_000 && upstream.resolvesTo == .all)
        let tls = try #require(upstream.tls)
        #expect([tls.authorities, tls.certificate, tls.key, tls.serverName] == ["ca.pem", "c.pem", "c.key", "orders.internal"])
        #expect(tls.verifies && tls.versionMin == .tls13)
        #expect(
            upstream.connections
                == UpstreamConnectionLimits(
                    max: 1000, pendingMax: 200, requestsPerConnectionMax: 100, streamsMax: 50, connectTimeoutNs: 1_000_000_000,
                    idleTimeoutNs: 4_000_000_000))
        #expect(upstream.timeouts == UpstreamTimeouts(responseNs: 11_000_000_000, bodyNs: 12_000_000_000, writeNs: 13_000_000_000))
        #expect(
            upstream.retry
                == RetryConfiguration(
                    attempts: 2, budget: Percentage(percent: 20), budgetPerSecondMin: 3, reasons: [.connectFailure, .status(502), .status(503)],
                    backoffNs: 10_000_000, backoffMaxNs: 1_000_000_000, repeatsNonIdempotent: false))
        let health = try #require(upstream.health)
        #expect(health.path == "/healthz" && health.host == "orders.internal" && health.port == 9000 && health.method == "GET")
        #expect(health.intervalNs == 2_000_000_000 && health.timeoutNs == 1_000_000_000 && health.unhealthyAfter == 3 && health.healthyAfter == 2)
        #expect(health.status == [StatusRange(first: 200, last: 200), StatusRange(first: 204, last: 204)])
        #expect(
            upstream.outlier
                == OutlierConfiguration(
                    consecutive5xx: 5, consecutiveFailures: 3, intervalNs: 30_000_000_000, ejectNs: 60_000_000_000, ejectMaxNs: 300_000_000_000,
                    ejectedMax: Percentage(percent: 50)))
        #expect(upstream.slowStartNs == 30_000_000_000 && upstream.panicThreshold == Percentage(percent: 30) && upstream.drainNs == 10_000_000_000)
        #expect(
            upstream.adaptiveConcurrency
                == AdaptiveConcurrencyConfiguration(
                    initial: 20, min: 5, max: 200, tolerance: Percentage(percent: 150), windowNs: 1_000_000_000, queue: 7))
        let next = try #require(example?.upstream("next"))
        #expect(next.balance == .hash(.cookie("Session")) && next.proxyProtocol == .v2 && next.tls?.verifies == true && next.tls?.authorities == nil)
    }

    @Test func aShortUpstreamHasTheTablesDefaults() throws {
        let servers = [UpstreamServer(address: .ipv4([127, 0, 0, 1], port: 9004))]
        #expect(example?.upstream("auth") == UpstreamConfiguration(name: "auth", servers: servers))
        let upstream = UpstreamConfiguration(name: "auth", servers: servers)
        #expect(upstream.balance == .roundRobin && upstream.version == .http1 && upstream.tls == nil && upstream.health == nil && upstream.outlier == nil)
        #expect(upstream.retry.reasons == [.connectFailure, .refusedStream] && upstream.retry.attempts == 1)
        #expect(upstream.connections.max == 1000 && upstream.connections.pendingMax == 200)
    }

    @Test func proxiesReachTheirFields() throws {
        guard case .proxy(let proxy) = try route("orders").action else { return #expect(Bool(false), "no proxy") }
        #expect(proxy.upstream == "orders" && proxy.responseTimeoutNs == 5_000_000_000 && proxy.host == .name("orders.internal:8080"))
        #expect(proxy.path == .prefix(strip: "/v1", add: "/internal"))
        #expect(proxy.requestHeaders == HeaderEdits(remove: ["cookie"], set: [HeaderField(name: "x-gateway", value: "uringd")]))
        #expect(proxy.responseHeaders == HeaderEdits(add: [HeaderField(name: "vary", value: "origin")]))
        // What the route does not say is as in the upstream.
        #expect(proxy.retry.attempts == 0 && proxy.retry.budgetPerSecondMin == 3 && proxy.retry.reasons == [.connectFailure, .status(502), .status(503)])
        #expect(proxy.mirror == MirrorConfiguration(upstream: "next", share: Percentage(hundredths: 50)))
        #expect(proxy.forwarded == .both && proxy.requestBufferBytes == 65_536 && !proxy.webSocket && proxy.bodyBytesMax == 1 << 20)
        guard case .proxy(let users) = try route("users").action else { return #expect(Bool(false), "no proxy") }
        #expect(users.path == .template(PathTemplate(parts: [.literal("/u/"), .capture("id")])))
        let pattern = try PathPattern.parse("/users/{id}").get()
        #expect(try PathTemplate.parse("/u/{id}").get().bound(to: pattern) == [.literal("/u/"), .segment(1)])
        #expect(try PathTemplate.parse("/u/{rest}").get().bound(to: pattern) == nil)
        #expect(try PathTemplate.parse("{path}/{rest}").get().bound(to: PathPattern.parse("/a/*").get()) == [.path, .literal("/"), .rest(after: 1)])
        var plain = ProxyConfiguration(upstream: "auth")
        plain.host = .upstream
        plain.path = .template(PathTemplate(parts: [.literal("/s/"), .rest]))
        #expect(try route("staff").action == .proxy(plain))
    }

    @Test func filtersReachTheirFields() throws {
        let orders = try route("orders").filters
        let jwt = try #require(orders.jwt)
        #expect(jwt.keys == .file("jwks.json") && jwt.issuers == ["https://issuer.example"] && jwt.audiences == ["orders"])
        #expect(jwt.algorithms == ["RS256", "ES256"] && jwt.clockSkewNs == 60_000_000_000 && !jwt.forwardsToken)
        #expect(jwt.claims == [JWTConfiguration.Claim(name: "scope", values: ["orders.read", "orders.write"])])
        #expect(jwt.forward == [JWTConfiguration.Forward(claim: "sub", header: "x-user-id")])
        let limit = try #require(orders.rateLimits.first)
        #expect(limit.key == .claim("sub") && limit.rate == RequestRate(count: 100, perNs: 1_000_000_000) && limit.burst == 200)
        #expect(limit.redis == "main" && !limit.failsOpen && limit.status == 429 && limit.writesHeaders)
        let breaker = try #require(orders.breaker)
        #expect(breaker.group == "orders" && breaker.answer == .route("health"))
        #expect(breaker.policy.errorRate == Percentage(percent: 5) && breaker.policy.windowNs == 120_000_000_000)
        #expect(breaker.policy.latencyP95Ns == 800_000_000 && breaker.policy.periods == 3 && breaker.policy.consecutiveFailures == 0)
        #expect(orders.cors?.origins == ["https://app.example.com", "https://*.example.org"] && orders.cors?.allowsCredentials == true)
        #expect(
            orders.compression
                == CompressionConfiguration(codings: [.gzip], bytesMin: 256, types: ["application/x-ours"], compressesProxied: true))
        #expect(orders.deadlineNs == 20_000_000_000 && orders.isDegradable && !orders.writesAccessLog)
        #expect(orders.responseHeaders == HeaderEdits(remove: ["server"], set: [HeaderField(name: "x-frame-options", value: "DENY")]))
        let users = try route("users").filters
        #expect(users.basic == BasicConfiguration(file: "users.htpasswd", realm: "staff", forwardHeader: "x-user"))
        #expect(users.authRequest?.forwardHeaders == ["authorization", "cookie"] && users.authRequest?.copyHeaders == ["x-role"])
        #expect(users.rateLimits.map(\.key) == [.address(v4Bits: 24, v6Bits: 64), .header("x-tenant")])
        #expect(users.rateLimits.map(\.burst) == [600, 1000] && users.rateLimits[1].isDryRun && users.rateLimits[1].status == 503)
        let staff = try route("staff").filters
        #expect(
            staff.clientCertificate?.subjects
                == [CertificateSubject(kind: .uri, text: "spiffe://mesh/", isPrefix: true), CertificateSubject(kind: .commonName, text: "admin", isPrefix: false)])
        #expect(staff.apiKeys == APIKeyConfiguration(header: "x-key", file: "keys.txt", forwardHeader: nil))
        #expect(try route("site").filters == RouteFilters())
    }

    @Test func theGatewayReachesItsFields() throws {
        let all = try #require(example)
        #expect(all.trustedProxies.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(all.addresses.deny.map(\.description) == ["192.0.2.0/24"] && all.addresses.redis == "main")
        let rule = try #require(all.addresses.bans.first)
        #expect(rule.reasons == [.status(StatusRange(first: 401, last: 401)), .status(StatusRange(first: 403, last: 404)), .rateLimit])
        #expect(rule.count == 20 && rule.withinNs == 60_000_000_000 && rule.banNs == 600_000_000_000 && rule.v4Bits == 24 && rule.v6Bits == 64)
        let redis = try #require(all.redis("main"))
        #expect(redis.username == "u" && redis.password?.bytes.count == 64 && redis.database == 1 && redis.timeoutNs == 50_000_000 && redis.tls == nil)
        #expect(all.surge?.growth == Percentage(percent: 200) && all.surge?.rateLimit?.rate.count == 10 && all.surge?.degrades == true)
        #expect(all.tracing?.endpoint.target == "/v1/traces" && all.tracing?.sample == Percentage(percent: 10) && all.tracing?.headers.count == 1)
        #expect(all.requestID == RequestIdentifierConfiguration(header: "x-correlation-id", trust: .none, responds: true))
        #expect(all.deadline == DeadlineConfiguration(header: "x-left-ms", trust: .all) && all.hasSupervisor)
        #expect(all.admin?.tokens.count == 1 && all.accessLog?.sample == Percentage(percent: 50) && !all.listeners[0].expectsProxyProtocol)
        #expect(all.expectations.count == 2)
    }

    /// Keys whose feature is not there yet are refused, not ignored.
    @Test func unwiredKeysAreRefused() {
        var options = ConfigLoadOptions.test
        options.unwired = ["surge", "upstreams", "upstreams.NAME.health", "routes[].proxy.mirror", "listen[].proxy-protocol"]
        let text = """
            listen: [{ address: 127.0.0.1:1, proxy-protocol: true }]
            upstreams: { a: { servers: ["127.0.0.1:2"], health: { path: / } } }
            routes: [{ name: a, match: {}, proxy: { upstream: a, mirror: { upstream: a } } }]
            surge: { connections-growth: 200%, within: 1m, then: {} }
            """
        let lines = ConfigLoader.load(bytes: Array(text.utf8), file: "t", directory: "", options).render().split(separator: "\n").map(String.init)
        #expect(
            lines.filter { !$0.contains("warning") } == [
                "t:1:34: the key `proxy-protocol` in `listen[0]` is not supported by this version yet; remove it",
                "t:2:1: the key `upstreams` is not supported by this version yet; remove it",
                "t:2:45: the key `health` in `upstreams.a` is not supported by this version yet; remove it",
                "t:3:54: the key `mirror` in `routes[0].proxy` is not supported by this version yet; remove it",
                "t:4:1: the key `surge` is not supported by this version yet; remove it",
            ])
    }

    @Test func secretsAreNotPrinted() throws {
        let text = """
            listen: [{ address: 127.0.0.1:8080 }]
            admin: { address: 127.0.0.1:9901, tokens: [0123456789abcdef-plain, "${TOKEN}"] }
            upstreams: { a: { servers: ["${HOST}:80"] } }
            routes:
              - { name: a, match: {}, respond: { headers: { x-key: "${TOKEN}", authorization: plain-too }, json: { a: "${TOKEN}" } } }
              - { name: b, match: { path: /b }, proxy: { upstream: a } }
            lint: { allow: [secret-in-file, route-unreachable] }
            """
        let options = ConfigLoadOptions.test(["TOKEN": "from-the-environment", "HOST": "10.1.1.1"])
        let result = ConfigLoader.load(bytes: Array(text.utf8), file: "t", directory: "", options)
        #expect(result.render() == "")
        let configuration = try #require(result.configuration)
        #expect(configuration.admin?.tokens.map { String(decoding: $0.bytes, as: UTF8.self) } == ["0123456789abcdef-plain", "from-the-environment"])
        let shown = configuration.redacted.prettyText
        var dumped = ""
        dump(configuration.admin, to: &dumped)
        for secret in ["plain", "from-the-environment", "10.1.1.1"] {
            #expect(!shown.contains(secret) && !"\(configuration.admin as Any)".contains(secret) && !dumped.contains(secret), "\(secret)")
        }
        #expect(shown.contains("${TOKEN}") && shown.contains("[redacted]") && shown.contains("${HOST}:80"))
        // Defaults are there, and the text is JSON.
        #expect(shown.contains("\"connect-timeout\": \"1s\"") && JSONSyntax.isValid(Array(shown.utf8)))
    }
}
