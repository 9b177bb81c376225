// What a route does with a request that it takes: its filters in their order, then its answer. Part of `RequestExplanation`.

struct RouteExplainer {
    let configuration: Configuration
    let route: RouteConfiguration
    let request: ExplainedRequest
    let path: String

    func explain(_ explanation: inout RequestExplanation) {
        var end: Int?
        for kind in RouteFilterKind.allCases {
            for (step, status) in steps(kind) {
                explanation.steps.append(step)
                if end == nil { end = status }
            }
        }
        explanation.limits = limits
        let filters = route.filters
        switch route.action {
        case .respond(let respond):
            explanation.answer = ["a fixed response, status \(respond.status), \(respond.body.count) bytes"]
            explanation.status = respond.status
            explanation.responseHeaders = respond.headers.map { HeaderField(name: $0.name, value: $0.value) }
        case .files(let files):
            explanation.answer = ["files below \(files.root)"]
            if let value = files.cacheControl { explanation.responseHeaders = [HeaderField(name: "cache-control", value: value)] }
        case .redirect(let redirect):
            explanation.answer = ["a redirect, status \(redirect.status), to \(location(redirect.target))"]
            explanation.status = redirect.status
            explanation.responseHeaders = [HeaderField(name: "location", value: location(redirect.target))]
        case .proxy(let proxy):
            explanation.upstream = UpstreamExplainer(configuration: configuration, filters: filters, request: request, path: path, match: route.match).preview(proxy)
            explanation.answer = ["the upstream \(proxy.upstream)"]
            explanation.responseHeaders = edited([], proxy.responseHeaders)
        }
        if let end {
            explanation.answer.insert("it ends at a filter with \(end); without that, next:", at: 0)
            explanation.status = end
            explanation.responseHeaders = []
        }
        explanation.responseHeaders = edited(explanation.responseHeaders, filters.responseHeaders)
        if let hsts = route.hsts, request.url.isSecure {
            explanation.responseHeaders.append(HeaderField(name: "strict-transport-security", value: hsts.fieldValue))
        }
    }

    private func edited(_ fields: [HeaderField], _ edits: HeaderEdits) -> [HeaderField] {
        let gone = Set(edits.remove + edits.set.map { $0.name.lowercased() })
        return fields.filter { !gone.contains($0.name.lowercased()) } + edits.set + edits.add
    }

    private func location(_ target: RedirectTemplate) -> String {
        target.parts.map { part in
            switch part {
            case .literal(let text): text
            case .host: request.hostName
            case .path: request.path
            case .query: request.query
            }
        }.joined()
    }

    private var limits: [String] {
        let time = ConfigurationBuilder.time
        func text(_ name: String, _ ns: UInt64) -> String { "\(name) \(ns == 0 ? "without limit" : time(ns))" }
        let all = configuration.timeouts
        var lines = [
            [text("header", all.headerNs), text("body", all.bodyNs), text("handler", all.handlerNs), text("write", all.writeNs), text("idle", all.idleNs)]
                .joined(separator: ", ")
        ]
        var bodyBytes = configuration.limits.bodyBytes
        if case .proxy(let proxy) = route.action { bodyBytes = proxy.bodyBytesMax ?? bodyBytes }
        lines.append(
            "header section \(ConfigUnit.size.format(UInt64(configuration.limits.headerBytes))), body \(bodyBytes == 0 ? "without limit" : ConfigUnit.size.format(bodyBytes))")
        let addresses = configuration.addresses
        if let file = addresses.file { lines.append("clients in \(file) are banned") }
        for rule in addresses.bans {
            lines.append("banned for \(time(rule.banNs)) by the rule \(rule.name): \(rule.count) of \(rule.reasons.map(\.spelling).joined(separator: ", ")) within \(time(rule.withinNs))")
        }
        if route.filters.deadlineNs > 0 { lines.append("the whole request \(time(route.filters.deadlineNs))") }
        return lines
    }

    // MARK: Filters

    /// Each with the status that it answers with, when that is certain.
    private func steps(_ kind: RouteFilterKind) -> [(RequestExplanation.Step, Int?)] {
        let filters = route.filters
        switch kind {
        case .surge:
            guard filters.isDegradable, configuration.surge?.degrades == true else { return [] }
            return [step(kind, ["degradable"], "503 during a surge")]
        case .cors: return filters.cors.map { [cors($0)] } ?? []
        case .rateLimitByAddress: return filters.rateLimits.filter { !$0.key.isClaim }.map { step("rate-limit", rateSettings($0)) }
        case .clientCertificate:
            return filters.clientCertificate.map { [step(kind, ["subjects: \($0.subjects.map(\.spelling).joined(separator: ", "))"], request.url.isSecure ? nil : "403: it came in clear", request.url.isSecure ? nil : 403)] } ?? []
        case .basic:
            return filters.basic.map { [step(kind, ["file: \($0.file)", "realm: \($0.realm)"], credentials("Basic", "authorization"))] } ?? []
        case .apiKeys: return filters.apiKeys.map { [step(kind, ["header: \($0.header)", "file: \($0.file)"], credentials(nil, $0.header))] } ?? []
        case .jwt: return filters.jwt.map { [step(kind, jwtSettings($0), credentials("Bearer", "authorization"))] } ?? []
        case .authRequest:
            return filters.authRequest.map { [step(kind, authSettings($0), nil, nil)] } ?? []
        case .rateLimitByClaim: return filters.rateLimits.filter(\.key.isClaim).map { step("rate-limit", rateSettings($0)) }
        case .breaker: return filters.breaker.map { [step(kind, breakerSettings($0), nil, nil)] } ?? []
        case .compression:
            return filters.compression.map { [step(kind, ["\($0.codings.map(\.rawValue).joined(separator: ", ")) from \($0.bytesMin) bytes"], nil, nil)] } ?? []
        case .headers:
            let edits = filters.responseHeaders
            return (filters.tellsTiming ? [step("server-timing", ["wait, app"])] : []) + (edits.isEmpty ? [] : [step(kind, UpstreamExplainer.text(edits), nil, nil)])
        }
    }

    private typealias Result = (RequestExplanation.Step, Int?)

    private func step(_ kind: RouteFilterKind, _ settings: [String], _ verdict: String?, _ status: Int? = nil) -> Result {
        (RequestExplanation.Step(filter: kind.rawValue, settings: settings, verdict: verdict), status)
    }

    private func step(_ kind: RouteFilterKind, _ settings: [String], _ verdict: (String, Int?)) -> Result {
        (RequestExplanation.Step(filter: kind.rawValue, settings: settings, verdict: verdict.0), verdict.1)
    }

    private func step(_ name: String, _ settings: [String]) -> Result { (RequestExplanation.Step(filter: name, settings: settings, verdict: nil), nil) }

    /// Credentials can be missed offline, not verified.
    private func credentials(_ scheme: String?, _ header: String) -> (String, Int?) {
        guard let value = request.header(header) else { return ("401: the request has no \(header)", 401) }
        guard let scheme, value.split(separator: " ").first?.lowercased() != scheme.lowercased() else { return ("cannot be judged offline", nil) }
        return ("401: \(header) is not of the scheme \(scheme)", 401)
    }

    private func cors(_ cors: CORSConfiguration) -> Result {
        let settings = ["origins: \(cors.allowsAnyOrigin ? "*" : cors.origins.joined(separator: ", "))", "methods: \(cors.methods.joined(separator: ", "))"]
        guard let origin = request.header("origin") else { return step(.cors, settings, "no origin in the request: nothing to do") }
        let isAllowed = cors.allowsAnyOrigin || cors.origins.contains { Self.takes($0, origin) }
        if request.method == "OPTIONS", request.header("access-control-request-method") != nil {
            return step(.cors, settings, isAllowed ? "204: a preflight that is allowed" : "204: a preflight without permission", 204)
        }
        return step(.cors, settings, isAllowed ? "the origin may read the response" : "the origin may not read the response")
    }

    private static func takes(_ pattern: String, _ origin: String) -> Bool {
        guard let star = pattern.firstRange(of: "://*.") else { return pattern == origin }
        let scheme = pattern[..<star.lowerBound] + "://"
        let end = "." + pattern[star.upperBound...]
        return origin.hasPrefix(scheme) && origin.hasSuffix(end) && origin.utf8.count > scheme.utf8.count + end.utf8.count
    }

    private func rateSettings(_ limit: RateLimitConfiguration) -> [String] {
        var settings = ["key: \(limit.key.spelling)", "rate: \(limit.rate), burst \(limit.burst)", "beyond: \(limit.status)"]
        if let redis = limit.redis { settings.append("counted in redis \(redis), fails \(limit.failsOpen ? "open" : "closed")") }
        if limit.isDryRun { settings.append("dry run") }
        return settings
    }

    private func jwtSettings(_ jwt: JWTConfiguration) -> [String] {
        let keys =
            switch jwt.keys {
            case .file(let path): "keys: \(path)"
            case .url(let url): "keys: \(url.text), every \(ConfigurationBuilder.time(jwt.refreshNs))"
            case .secret: "keys: a secret"
            }
        func line(_ name: String, _ values: [String]) -> String { "\(name): \(values.isEmpty ? "any" : values.joined(separator: ", "))" }
        return [keys, line("issuer", jwt.issuers), line("audience", jwt.audiences), line("algorithms", jwt.algorithms)]
            + jwt.claims.map { "claim \($0.name): \($0.values.joinedWithOr)" }
    }

    private func authSettings(_ auth: AuthRequestConfiguration) -> [String] {
        let time = ConfigurationBuilder.time
        var settings = ["\(auth.method) \(auth.path) at the upstream \(auth.upstream)", "timeout: \(time(auth.timeoutNs))", "fails \(auth.failsOpen ? "open" : "closed")"]
        if auth.cacheNs > 0 { settings.append("remembers a good answer for \(time(auth.cacheNs))") }
        return settings
    }

    private func breakerSettings(_ breaker: BreakerConfiguration) -> [String] {
        let policy = breaker.policy
        let time = ConfigurationBuilder.time
        var settings = ["group: \(breaker.group)"]
        if let rate = policy.errorRate { settings.append("error rate: \(ConfigUnit.percent.format(UInt64(rate.hundredths))) over \(time(policy.windowNs))") }
        if let latency = policy.latencyP95Ns { settings.append("p95: \(time(latency)) for \(policy.periods) periods of \(time(policy.periodNs))") }
        if policy.consecutiveFailures > 0 { settings.append("failures in a row: \(policy.consecutiveFailures)") }
        settings.append("open for \(time(policy.openNs)), then \(policy.halfOpenRequests) tries")
        switch breaker.answer {
        case .respond(let respond): settings.append("answer: \(respond.status)")
        case .route(let name): settings.append("answer: the route \(name)")
        }
        if policy.isDryRun { settings.append("dry run") }
        return settings
    }
}

extension RateLimitConfiguration.Key {
    var isClaim: Bool {
        if case .claim = self { true } else { false }
    }

    /// As the configuration has it.
    var spelling: String {
        switch self {
        case .address(let v4, let v6): v4 == 32 && v6 == Self.v6BitsStandard ? "address" : "address/\(v4)/\(v6)"
        case .claim(let name): "jwt.\(name)"
        case .header(let name): "header:\(name)"
        }
    }
}

extension CertificateSubject {
    var spelling: String { kind.rawValue + text + (isPrefix ? "*" : "") }
}
