// The part of `ConfigurationBuilder` for what stands between a route's match and its answer.

extension ConfigurationBuilder {
    mutating func filters(_ table: ConfigTable, _ name: String) -> RouteFilters {
        var filters = RouteFilters()
        filters.clientCertificate = table.group("client-cert").map { clientCertificate($0) }
        filters.basic = table.group("basic").flatMap { basic($0) }
        filters.apiKeys = table.group("api-keys").flatMap { apiKeys($0) }
        filters.jwt = table.group("jwt").flatMap { jwt($0) }
        filters.authRequest = table.group("auth-request").flatMap { authRequest($0) }
        filters.rateLimits = table.groups("rate-limit").compactMap { rateLimit($0, hasTokens: table.given["jwt"] != nil, "rate-limit") }
        filters.breaker = table.group("breaker").flatMap { breaker($0, name) }
        filters.cors = table.group("cors").map { cors($0) }
        filters.compression = table.group("compression").map(CompressionConfiguration.init)
        filters.responseHeaders = HeaderEdits(table.group("headers"))
        filters.deadlineNs = table.number("timeout")
        filters.writesAccessLog = table.text("access-log") != "off"
        filters.isDegradable = table.boolean("degradable")
        filters.tellsTiming = table.text("server-timing") == "on"
        checkCredentials(table)
        return filters
    }

    // MARK: who may

    private mutating func clientCertificate(_ table: ConfigTable) -> ClientCertificateConfiguration {
        let subjects = table.texts("subjects").compactMap { try? CertificateSubject.parse($0).get() }
        for subject in subjects where subject.isPrefix {
            guard let other = subject.unexpected, let item = table["subjects"] else { continue }
            diagnostics.lint(.subjectPrefix, item.position, "client-cert.subjects: `\(YAMLScalar.shown(subject.spelling))` takes `\(YAMLScalar.shown(other))` too")
        }
        return ClientCertificateConfiguration(subjects: subjects, forwardHeader: table.text("forward"))
    }

    private mutating func basic(_ table: ConfigTable) -> BasicConfiguration? {
        path(table, "file", "basic", isSecret: true).map {
            BasicConfiguration(file: $0, realm: table.text("realm") ?? "", forwardHeader: table.text("forward"))
        }
    }

    private mutating func apiKeys(_ table: ConfigTable) -> APIKeyConfiguration? {
        path(table, "file", "api-keys", isSecret: true).map {
            APIKeyConfiguration(header: (table.text("header") ?? "").lowercased(), file: $0, forwardHeader: table.text("forward"))
        }
    }

    private mutating func jwt(_ table: ConfigTable) -> JWTConfiguration? {
        guard let keys = jwtKeys(table) else { return nil }
        let algorithms = table.texts("algorithms")
        lintJWT(table, keys, algorithms)
        return JWTConfiguration(
            keys: keys, issuers: table.texts("issuer"), audiences: table.texts("audience"), algorithms: algorithms,
            clockSkewNs: table.number("clock-skew"),
            claims: table.members("claims").map { JWTConfiguration.Claim(name: $0.name, values: $0.item.texts) },
            forward: table.members("forward-claims").compactMap { member in
                member.item.texts.first.map { JWTConfiguration.Forward(claim: member.name, header: $0) }
            },
            forwardsToken: table.boolean("forward-token"), refreshNs: table.number("refresh"), refreshMinNs: table.number("refresh-min"),
            staleNs: table.number("stale"), fetchTimeoutNs: table.number("fetch-timeout"))
    }

    private mutating func jwtKeys(_ table: ConfigTable) -> JWTConfiguration.Keys? {
        if let secret = secret(table["secret"], "jwt.secret") { return .secret(secret) }
        guard let item = table["keys"], let text = table.text("keys") else { return nil }
        if text.hasPrefix("http:") || text.hasPrefix("https:") {
            guard let url = try? EndpointURL.parse(text).get() else { return nil }
            if !url.isSecure, !url.address.isPrivate {
                diagnostics.lint(.clearCredentials, item.position, "jwt.keys: whoever stands between here and \(url.address) can replace the keys, and with them make tokens; write https://")
            }
            return .url(url)
        }
        for key in ["refresh", "refresh-min", "stale", "fetch-timeout"] {
            if let position = table.given[key] { diagnostics.warning(position, "jwt: `\(key)` has no effect: `keys` is a file, which is read when the configuration is") }
        }
        return path(table, "keys", "jwt").map { .file($0) }
    }

    private mutating func lintJWT(_ table: ConfigTable, _ keys: JWTConfiguration.Keys, _ algorithms: [String]) {
        let position = table["keys"]?.position ?? table["secret"]?.position ?? table.position
        if algorithms.isEmpty, table.given["algorithms"] == nil {
            diagnostics.lint(.jwtAnyAlgorithm, position, "jwt: without `algorithms` the keys alone say which signatures are good; name those that the issuer uses, for example `algorithms: [RS256]`")
        }
        if table.given["audience"] == nil {
            diagnostics.lint(.jwtAnyAudience, position, "jwt: without `audience` a token that the issuer made for another service passes here")
        }
        guard case .secret(let secret) = keys else { return }
        if let item = table["algorithms"], let other = algorithms.first(where: { !$0.hasPrefix("HS") }) {
            diagnostics.error(item.position, "jwt.algorithms: `secret` is a key for HS256, HS384 and HS512; \(other) needs `keys`")
        }
        // RFC 7518 section 3.2: as long as the hash.
        let bytesMin = algorithms.contains("HS512") ? 64 : algorithms.contains("HS384") ? 48 : 32
        if secret.bytes.count < bytesMin {
            diagnostics.lint(.jwtShortSecret, position, "jwt.secret: it has \(secret.bytes.count) bytes; with fewer than \(bytesMin) random ones it can be found by trying, from one token")
        }
    }

    private mutating func authRequest(_ table: ConfigTable) -> AuthRequestConfiguration? {
        guard let upstream = table.text("upstream"), let path = table.text("path") else { return nil }
        checkUpstream(table["upstream"], "auth-request.upstream")
        let forwarded = authHeaders(table, "forward-headers")
        lintAuthRequest(table, upstream, forwarded)
        return AuthRequestConfiguration(
            upstream: upstream, path: path, method: table.text("method") ?? "GET", forwardHeaders: forwarded, copyHeaders: authHeaders(table, "copy-headers"),
            timeoutNs: table.number("timeout"), failsOpen: table.text("fail") == "open", cacheNs: table.number("cache"), cacheEntriesMax: Int(clamping: table.number("cache-entries")))
    }

    /// What stands in a question beside what clients send.
    private static let askedWith: Set<String> = ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"]

    /// In lower case, each once.
    private mutating func authHeaders(_ table: ConfigTable, _ key: String) -> [String] {
        let names = table.texts(key).map { $0.lowercased() }
        for name in names {
            guard let item = table[key] else { continue }
            if let problem = HeaderSyntax.nameProblem(name, .request) {
                diagnostics.error(item.position, "auth-request.\(key): `\(YAMLScalar.shown(name))`: \(name == "host" ? "the upstream's address is sent as the host" : problem)")
            } else if key == "forward-headers", Self.askedWith.contains(name) {
                diagnostics.error(item.position, "auth-request.\(key): `\(name)` is sent in any case, with what the gateway knows of the request")
            }
        }
        return names.uniqued
    }

    private mutating func lintAuthRequest(_ table: ConfigTable, _ upstream: String, _ forwarded: [String]) {
        if table.text("fail") == "open", let item = table["fail"] {
            diagnostics.lint(.authFailsOpen, item.position, "auth-request.fail: whoever can make the upstream `\(upstream)` slow or silent passes without being asked about")
        }
        if table.number("cache") == 0, let position = table.given["cache-entries"] {
            diagnostics.warning(position, "auth-request: `cache-entries` has no effect without `cache`")
        }
        guard let item = table["upstream"], let known = names.upstream(upstream), known.tls == nil, forwarded.contains(where: { $0 == "authorization" || $0 == "cookie" }),
            let server = known.servers.first(where: { !$0.address.isPrivate })
        else { return }
        diagnostics.lint(.clearCredentials, item.position, "auth-request.upstream: the credentials of clients go to \(server.address) in clear; `upstreams.\(upstream).tls: on` hides them")
    }

    /// Two filters that read the same header cannot both be satisfied.
    private mutating func checkCredentials(_ table: ConfigTable) {
        let usesAPIKey = table.group("api-keys")?.text("header")?.lowercased() == "authorization"
        let users = (table.given["basic"] != nil ? ["basic"] : []) + (table.given["jwt"] != nil ? ["jwt"] : []) + (usesAPIKey ? ["api-keys"] : [])
        guard users.count > 1, let position = table.given[users[1]] else { return }
        diagnostics.error(position, "`\(users[1])` and `\(users[0])` both read the header authorization; a request has one, so none would pass")
    }

    // MARK: how often

    mutating func rateLimit(_ table: ConfigTable, hasTokens: Bool, _ label: String) -> RateLimitConfiguration? {
        checkRedis(table["redis"], "\(label).redis")
        if table.given["redis"] == nil, let position = table.given["fail"] { diagnostics.warning(position, "\(label): `fail` has no effect without `redis`") }
        guard let limit = RateLimitConfiguration(table) else { return nil }
        if case .claim(let claim) = limit.key, !hasTokens, let item = table["key"] {
            diagnostics.error(item.position, "\(label).key: jwt.\(YAMLScalar.shown(claim)) needs a `jwt` filter, whose token has the claim")
        }
        return limit
    }

    // MARK: breakers

    /// What each group's routes say together: found before the routes are built, since any of them may say it.
    mutating func breakerGroups(_ routes: [ConfigTable]) {
        for route in routes {
            guard let table = route.group("breaker"), let name = table.text("group"), hasPolicy(table) else { continue }
            let policy = BreakerConfiguration.Policy(table)
            guard let first = names.breakers[name] else {
                names.breakers[name] = (policy, table.position)
                continue
            }
            guard first.policy != policy, let item = table["group"] else { continue }
            diagnostics.error(
                item.position,
                "breaker.group: `\(name)` trips differently in \(place(first.position, from: item.position)); one route says when, the others give the name alone")
        }
    }

    private func hasPolicy(_ table: ConfigTable) -> Bool { BreakerConfiguration.Policy.keys.contains { table.given[$0] != nil } }

    private mutating func breaker(_ table: ConfigTable, _ route: String) -> BreakerConfiguration? {
        let group = table.text("group")
        let isElsewhere = group.map { names.breakers[$0] != nil } ?? false && !hasPolicy(table)
        if !isElsewhere, !BreakerConfiguration.Policy.triggers.contains(where: { table.given[$0] != nil }) {
            diagnostics.error(table.position, "breaker: nothing says when it trips; accepted: `error-rate`, `latency-p95` or `consecutive-failures`")
        }
        let policy = group.flatMap { names.breakers[$0]?.policy } ?? BreakerConfiguration.Policy(table)
        return BreakerConfiguration(group: group ?? route, policy: policy, answer: breakerAnswer(table.group("answer"), route))
    }

    private mutating func breakerAnswer(_ table: ConfigTable?, _ route: String) -> BreakerConfiguration.Answer {
        guard let table else { return .respond(RespondConfiguration(status: 503)) }
        if let target = table.text("fallback-route"), let item = table["fallback-route"] {
            names.fallbacks.append((route, target, item.position))
            return .route(target)
        }
        var respond = RespondConfiguration(status: Int(clamping: table.numberIfGiven("status") ?? 503))
        content(&respond, table)
        return .respond(respond)
    }

    /// After all routes are known.
    mutating func checkFallbacks(_ routes: [ConfigTable]) {
        let known = routes.compactMap { $0.text("name") }
        for (route, target, position) in names.fallbacks {
            if target == route {
                diagnostics.error(position, "breaker.answer: `\(target)` is the route itself")
            } else if !known.contains(target) {
                diagnostics.error(position, "breaker.answer: there is no route `\(target)`\(Self.guess(target, known, "routes"))")
            }
        }
    }

    private mutating func cors(_ table: ConfigTable) -> CORSConfiguration {
        let cors = CORSConfiguration(table)
        if cors.allowsAnyOrigin, cors.allowsCredentials, let item = table["credentials"] {
            diagnostics.lint(.corsAnyOrigin, item.position, "cors: with `origins: [\"*\"]` any page that a user visits reads here with the user's cookies; name the origins")
        }
        return cors
    }
}

extension CertificateSubject {
    /// What a prefix takes besides what was meant, as an example; nil where it ends at a boundary.
    fileprivate var unexpected: String? {
        switch kind {
        // Hosts are told apart by their ends.
        case .dns: return text.isEmpty ? nil : "\(kind.rawValue)\(text)\(text.hasSuffix(".") ? "" : ".")attacker.example"
        case .email: return text.isEmpty ? nil : "\(kind.rawValue)\(text)\(text.contains("@") ? ".attacker.example" : "@attacker.example")"
        // Behind `//` and a name, another name may go on: `spiffe://mesh*` is not below `mesh`.
        case .uri:
            guard let authority = text.firstRange(of: "://"), !text[authority.upperBound...].isEmpty, !text[authority.upperBound...].contains("/") else { return nil }
            return "\(kind.rawValue)\(text).attacker.example/"
        case .commonName: return nil
        }
    }
}

extension ConfigItem {
    /// A text, or the texts of a list.
    var texts: [String] {
        switch value {
        case .text(let text): [text]
        case .list(let items): items.flatMap(\.texts)
        case .number, .boolean, .loops, .group, .headers, .map, .secret, .json: []
        }
    }
}
