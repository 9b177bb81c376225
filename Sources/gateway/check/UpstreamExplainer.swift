// What a route with `proxy` sends to its upstream: target, host, added and removed fields. Part of `RequestExplanation`; the proxy itself
// does the same from the same values.

struct UpstreamExplainer {
    let configuration: Configuration
    let filters: RouteFilters
    let request: ExplainedRequest
    /// Normalised.
    let path: String
    let match: RouteMatchRule

    func preview(_ proxy: ProxyConfiguration) -> UpstreamPreview {
        let upstream = configuration.upstream(proxy.upstream)
        return UpstreamPreview(
            name: proxy.upstream, servers: upstream?.servers.map(Self.text) ?? [],
            settings: upstream.map { settings($0, proxy) } ?? [], method: request.method,
            target: rewritten(proxy.path) + request.query, host: host(proxy.host, upstream), addedHeaders: added(proxy), removedHeaders: removed(proxy))
    }

    private static func text(_ server: UpstreamServer) -> String {
        "\(server.address)\(server.weight == 1 ? "" : ", weight \(server.weight)")\(server.isBackup ? ", backup" : "")"
    }

    // MARK: The request

    func rewritten(_ rewrite: PathRewrite?) -> String {
        switch rewrite {
        case nil:
            let bytes = Array(request.path.utf8)
            return RoutePath.isNormal(bytes.span) ? request.path : String(decoding: RoutePath.encoded(Array(path.utf8)), as: UTF8.self)
        case .prefix(let strip, let add):
            // Whole segments: /v1 is not a prefix of /v10.
            let isBelow = !strip.isEmpty && path.hasPrefix(strip) && (path.utf8.count == strip.utf8.count || path.dropFirst(strip.count).hasPrefix("/"))
            let rest = isBelow ? String(path.dropFirst(strip.count)) : path
            return add + rest == "" ? "/" : add + rest
        case .template(let template):
            let captures = match.paths.lazy.compactMap { $0.captures(of: path) }.first ?? [:]
            return template.parts.map { part in
                switch part {
                case .literal(let text): text
                case .path: path
                case .rest: captures["rest"] ?? ""
                case .capture(let name): captures[name] ?? ""
                }
            }.joined()
        }
    }

    private func host(_ rewrite: HostRewrite, _ upstream: UpstreamConfiguration?) -> String {
        switch rewrite {
        case .preserve: return request.authority
        case .name(let name): return name
        case .upstream:
            guard let upstream, let address = upstream.servers.first?.address else { return "" }
            let standard = upstream.tls == nil ? ":80" : ":443"
            let text = address.description
            return text.hasSuffix(standard) ? String(text.dropLast(standard.utf8.count)) : text
        }
    }

    private func added(_ proxy: ProxyConfiguration) -> [HeaderField] {
        var fields: [HeaderField] = []
        let scheme = request.url.isSecure ? "https" : "http"
        if proxy.forwarded.writesXForwarded {
            fields += [("x-forwarded-for", "CLIENT"), ("x-forwarded-proto", scheme), ("x-forwarded-host", request.authority)].map { HeaderField(name: $0.0, value: $0.1) }
        }
        if proxy.forwarded.writesForwarded { fields.append(HeaderField(name: "forwarded", value: "for=CLIENT;host=\"\(request.authority)\";proto=\(scheme)")) }
        if let id = configuration.requestID { fields.append(HeaderField(name: id.header, value: "ID")) }
        if configuration.tracing != nil { fields.append(HeaderField(name: "traceparent", value: "00-TRACE-SPAN-FLAGS")) }
        if filters.deadlineNs > 0 { fields.append(HeaderField(name: configuration.deadline.header, value: "up to \(filters.deadlineNs / 1_000_000)")) }
        if let header = filters.clientCertificate?.forwardHeader { fields.append(HeaderField(name: header, value: "SUBJECT")) }
        if let header = filters.basic?.forwardHeader { fields.append(HeaderField(name: header, value: "USER")) }
        if let header = filters.apiKeys?.forwardHeader { fields.append(HeaderField(name: header, value: "KEY'S NAME")) }
        for forward in filters.jwt?.forward ?? [] { fields.append(HeaderField(name: forward.header, value: "jwt.\(forward.claim)")) }
        for header in filters.authRequest?.copyHeaders ?? [] { fields.append(HeaderField(name: header, value: "from \(filters.authRequest?.upstream ?? "")")) }
        return fields + (proxy.requestHeaders.set + proxy.requestHeaders.add).map {
            HeaderField(name: $0.name, value: HeaderSyntax.isSensitive($0.name) ? Secret.placeholder : $0.value)
        }
    }

    private func removed(_ proxy: ProxyConfiguration) -> [String] {
        proxy.requestHeaders.remove + (filters.jwt.map { $0.forwardsToken ? [] : ["authorization"] } ?? [])
    }

    static func text(_ edits: HeaderEdits) -> [String] {
        (edits.remove.isEmpty ? [] : ["remove \(edits.remove.joined(separator: ", "))"]) + edits.set.map { "set \($0.name): \(shown($0))" }
            + edits.add.map { "add \($0.name): \(shown($0))" }
    }

    private static func shown(_ field: HeaderField) -> String { HeaderSyntax.isSensitive(field.name) ? Secret.placeholder : field.value }

    // MARK: The upstream

    private func settings(_ upstream: UpstreamConfiguration, _ proxy: ProxyConfiguration) -> [String] {
        let time = ConfigurationBuilder.time
        let limits = upstream.connections
        let response = proxy.responseTimeoutNs ?? upstream.timeouts.responseNs
        var lines = [
            "balance: \(balance(upstream.balance)), protocol: \(upstream.version.rawValue), \(tls(upstream.tls))",
            "connections: \(limits.max == 0 ? "any number" : "\(limits.max)"), waiting \(limits.pendingMax), connect \(time(limits.connectTimeoutNs))",
            "timeouts: response \(response == 0 ? "without limit" : time(response)), body \(time(upstream.timeouts.bodyNs)), write \(time(upstream.timeouts.writeNs))",
            "retry: \(retry(proxy.retry))",
        ]
        if upstream.servers.contains(where: \.address.isName) { lines.append("names: \(names(upstream))") }
        if let health = upstream.health { lines.append("health: \(health.method) \(health.path) every \(time(health.intervalNs))") }
        if upstream.outlier != nil { lines.append("outliers are ejected") }
        if let mirror = proxy.mirror { lines.append("mirrored to \(mirror.upstream), \(ConfigUnit.percent.format(UInt64(mirror.share.hundredths)))") }
        return lines
    }

    private func names(_ upstream: UpstreamConfiguration) -> String {
        let which =
            switch upstream.resolvesTo {
            case .all: "every address of the preferred family is a server"
            case .ipv4: "every IPv4 address is a server"
            case .ipv6: "every IPv6 address is a server"
            case .both: "every address is a server"
            case .first: "the first address is the server"
            }
        return "\(which), looked up \(upstream.resolveNs == 0 ? "once" : "every \(ConfigurationBuilder.time(upstream.resolveNs))")"
    }

    private func balance(_ balance: BalanceConfiguration) -> String {
        switch balance {
        case .roundRobin: "round-robin"
        case .leastRequests: "least-requests"
        case .randomTwo: "random-two"
        case .hash(.address): "hash of the address"
        case .hash(.path): "hash of the path"
        case .hash(.header(let name)): "hash of the header \(name)"
        case .hash(.cookie(let name)): "hash of the cookie \(name)"
        }
    }

    private func tls(_ tls: UpstreamTLS?) -> String {
        guard let tls else { return "in clear" }
        return tls.verifies ? "TLS, verified" : "TLS, not verified"
    }

    private func retry(_ retry: RetryConfiguration) -> String {
        if retry.attempts == 0 { return "never" }
        let isSafe = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(request.method)
        let once = "up to \(retry.attempts) on \(retry.reasons.map(\.spelling).joined(separator: ", ")), at most \(ConfigUnit.percent.format(UInt64(retry.budget.hundredths))) of requests"
        return isSafe || retry.repeatsNonIdempotent ? once : once + "; \(request.method) only while nothing of it was sent"
    }
}

extension RetryConfiguration.Reason {
    var spelling: String {
        switch self {
        case .connectFailure: "connect-failure"
        case .refusedStream: "refused-stream"
        case .reset: "reset"
        case .timeout: "timeout"
        case .status(let status): "\(status)"
        }
    }
}
