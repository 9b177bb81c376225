// The part of `ConfigurationBuilder` for upstreams and for what a route with `proxy` does.

extension ConfigurationBuilder {
    static let upstreamDefaults = ConfigValidator.defaults(of: ConfigSchema.upstream)
    static let proxyDefaults = ConfigValidator.defaults(of: ConfigSchema.proxy)
    static let retryDefaults = ConfigValidator.defaults(of: ConfigSchema.retry)

    mutating func upstreams(_ table: ConfigTable) -> [UpstreamConfiguration] {
        table.members("upstreams").compactMap { member in
            guard case .group(let group) = member.item.value else { return nil }
            return upstream(member.name, group)
        }
    }

    private mutating func upstream(_ name: String, _ table: ConfigTable) -> UpstreamConfiguration? {
        var upstream = UpstreamConfiguration(name: name, servers: servers(table, name), table)
        upstream.balance = balance(table)
        upstream.tls = upstreamTLS(table, "upstreams.\(name).tls")
        upstream.outlier = table.group("outlier").map(OutlierConfiguration.init)
        if let outlier = upstream.outlier, outlier.ejectMaxNs < outlier.ejectNs, let item = table.group("outlier")?["eject-max"] {
            diagnostics.error(item.position, "upstreams.\(name).outlier: eject-max (\(Self.time(outlier.ejectMaxNs))) is shorter than eject (\(Self.time(outlier.ejectNs)))")
        }
        upstream.health = table.group("health").map { health($0, name) }
        upstream.adaptiveConcurrency = table.group("adaptive-concurrency").map { adaptiveConcurrency($0, name) }
        checkRetry(table.group("retry"), upstream.retry, "upstreams.\(name).retry")
        lintTimeouts(table.group("timeouts"), ["response", "body", "write"], "upstreams.\(name).timeouts")
        if upstream.version == .http2, upstream.proxyProtocol != nil, let position = table.given["proxy-protocol"] {
            diagnostics.error(position, "upstreams.\(name): `proxy-protocol` gives each client a connection of its own, which `protocol: h2` shares; remove one of them")
        }
        if let position = table.given["resolve"], !upstream.servers.isEmpty, !upstream.servers.contains(where: { $0.address.isName }) {
            diagnostics.warning(position, "upstreams.\(name): `resolve` has no effect: no server is given by a host name")
        }
        return upstream.servers.isEmpty ? nil : upstream
    }

    private mutating func servers(_ table: ConfigTable, _ name: String) -> [UpstreamServer] {
        var seen: [UpstreamAddress: SourcePosition] = [:]
        let servers = table.groups("servers").compactMap { entry -> UpstreamServer? in
            guard let item = entry["address"], let address = address(entry) else { return nil }
            if let first = seen.updateValue(item.position, forKey: address) {
                diagnostics.error(item.position, "upstreams.\(name).servers: \(address) appears twice; first in \(place(first, from: item.position))")
            }
            return UpstreamServer(address: address, weight: entry.integer("weight"), isBackup: entry.boolean("backup"))
        }
        if !servers.isEmpty, servers.allSatisfy(\.isBackup), let item = table["servers"] {
            diagnostics.error(item.position, "upstreams.\(name).servers: all of them are backups; one at least has to serve")
        }
        return servers
    }

    private mutating func balance(_ table: ConfigTable) -> BalanceConfiguration {
        let key = table.group("hash")?.text("key").flatMap { try? BalanceConfiguration.Key.parse($0).get() }
        let name = table.text("balance")
        if name != "hash", let position = table.given["hash"] { diagnostics.warning(position, "`hash` has no effect: `balance` is \(name ?? "")") }
        switch name {
        case "least-requests": return .leastRequests
        case "random-two": return .randomTwo
        case "hash":
            if key == nil, table.given["hash"] == nil, let item = table["balance"] {
                diagnostics.error(item.position, "`balance: hash` needs `hash`, which says what it goes by; for example `hash: { key: address }`")
            }
            return .hash(key ?? .address)
        default: return .roundRobin
        }
    }

    mutating func upstreamTLS(_ outer: ConfigTable, _ label: String) -> UpstreamTLS? {
        if outer.text(ofWord: "tls") == "on" { return .standard }
        guard let table = outer.groupUnlessWord("tls") else { return nil }
        var tls = UpstreamTLS(table)
        tls.authorities = path(table, "ca", label)
        tls.certificate = path(table, "cert", label)
        tls.key = path(table, "key", label, isSecret: true)
        for (one, other) in [("cert", "key"), ("key", "cert")] where table.given[other] == nil {
            if let position = table.given[one] { diagnostics.error(position, "\(label): `\(one)` needs `\(other)`") }
        }
        if !tls.verifies, let item = table["verify"] {
            diagnostics.lint(.tlsUnverified, item.position, "\(label): without verification anybody between here and the server can read and change what is sent; `ca` names an authority of your own")
            for key in ["ca"] {
                if let position = table.given[key] { diagnostics.warning(position, "\(label): `\(key)` has no effect: `verify` is false") }
            }
        }
        return tls
    }

    private mutating func health(_ table: ConfigTable, _ name: String) -> HealthConfiguration {
        let health = HealthConfiguration(table)
        if health.timeoutNs > health.intervalNs, let item = table["timeout"] {
            diagnostics.warning(item.position, "upstreams.\(name).health: `timeout` is longer than `interval`; the next check waits for it")
        }
        return health
    }

    private mutating func adaptiveConcurrency(_ table: ConfigTable, _ name: String) -> AdaptiveConcurrencyConfiguration {
        let limit = AdaptiveConcurrencyConfiguration(table)
        if limit.min > limit.max || !(limit.min...max(limit.min, limit.max)).contains(limit.initial) {
            diagnostics.error(
                table.position,
                "upstreams.\(name).adaptive-concurrency: min (\(limit.min)), initial (\(limit.initial)) and max (\(limit.max)) are not in this order")
        }
        return limit
    }

    private mutating func checkRetry(_ table: ConfigTable?, _ retry: RetryConfiguration, _ label: String) {
        guard let table else { return }
        if retry.backoffMaxNs < retry.backoffNs, let item = table["backoff-max"] ?? table["backoff"] {
            diagnostics.error(item.position, "\(label): backoff-max (\(Self.time(retry.backoffMaxNs))) is shorter than backoff (\(Self.time(retry.backoffNs)))")
        }
        if retry.repeatsNonIdempotent, retry.attempts > 0, let item = table["non-idempotent"], !item.isDefault {
            diagnostics.lint(.retryNonIdempotent, item.position, "\(label): a POST that is sent again may be done twice; servers need to recognise repeats")
        }
    }

    // MARK: proxy

    mutating func proxy(_ table: ConfigTable, _ match: RouteMatchRule) -> ProxyConfiguration? {
        guard let upstream = table.text("upstream") else { return nil }
        let base = names.upstream(upstream)?.retry ?? RetryConfiguration(Self.retryDefaults)
        checkUpstream(table["upstream"], "proxy.upstream")
        var proxy = ProxyConfiguration(upstream: upstream, table, retry: base.overridden(table.group("retry")))
        checkRetry(table.group("retry"), proxy.retry, "proxy.retry")
        proxy.path = table.groupUnlessWord("path").flatMap { pathRewrite($0, match) }
        proxy.mirror = table.group("mirror").flatMap { mirror($0, upstream) }
        if case .text? = table["host"]?.value, case .upstream = proxy.host, names.upstream(upstream)?.servers.contains(where: \.address.isUnix) == true,
            let item = table["host"], !item.isDefault
        {
            diagnostics.error(item.position, "proxy.host: `upstream` has a Unix socket among its servers, which has no host name; write a name")
        }
        if proxy.bodyBytesMax == 0, let item = table["body-bytes"] {
            diagnostics.lint(.bodyUnlimited, item.position, "proxy.body-bytes: one client may send as much as it likes")
        }
        lintTimeouts(table, ["timeout"], "proxy")
        return proxy
    }

    private mutating func pathRewrite(_ table: ConfigTable, _ match: RouteMatchRule) -> PathRewrite? {
        guard let item = table["replace"], let template = table.text("replace").flatMap({ try? PathTemplate.parse($0).get() }) else {
            let strip = table.text("strip-prefix") ?? ""
            let add = table.text("prefix") ?? ""
            if strip.isEmpty, add.isEmpty, table.given.isEmpty {
                diagnostics.error(table.position, "proxy.path: nothing says how it is changed; accepted: `strip-prefix`, `prefix` or `replace`")
            }
            return .prefix(strip: strip, add: add)
        }
        for part in template.parts {
            let (name, isKnown): (String, (PathPattern) -> Bool)
            switch part {
            case .literal, .path: continue
            case .rest: (name, isKnown) = ("rest", { $0.hasTail })
            case .capture(let text): (name, isKnown) = (text, { $0.parameters[text] != nil })
            }
            if !match.paths.isEmpty, match.paths.allSatisfy(isKnown) { continue }
            let known = match.paths.first.map { $0.parameters.keys.sorted() + ($0.hasTail ? ["rest"] : []) } ?? []
            let guess = NearMiss.find(name, in: known + ["path"]).map { ", did you mean `{\($0)}`?" } ?? ""
            diagnostics.error(
                item.position,
                "proxy.path.replace: `{\(YAMLScalar.shown(name))}` is not in every path of the route's `match`\(guess)")
        }
        return .template(template)
    }

    private mutating func mirror(_ table: ConfigTable, _ upstream: String) -> MirrorConfiguration? {
        guard let target = table.text("upstream"), let item = table["upstream"] else { return nil }
        checkUpstream(item, "proxy.mirror.upstream")
        if target == upstream { diagnostics.warning(item.position, "proxy.mirror.upstream: it is the upstream itself, which gets every request twice") }
        return MirrorConfiguration(upstream: target, share: table.percentage("share"))
    }

    /// Notes the use of an upstream, or that there is none of the name.
    mutating func checkUpstream(_ item: ConfigItem?, _ label: String) {
        guard let item, case .text(let name) = item.value else { return }
        names.usedUpstreams.insert(name)
        guard !names.allUpstreams.contains(name) else { return }
        diagnostics.error(item.position, "\(label): there is no upstream `\(name)`\(Self.guess(name, names.allUpstreams, "upstreams"))")
    }

    mutating func checkRedis(_ item: ConfigItem?, _ label: String) {
        guard let item, case .text(let name) = item.value else { return }
        names.usedRedis.insert(name)
        guard !names.allRedis.contains(name) else { return }
        diagnostics.error(item.position, "\(label): there is no server `\(name)` below `redis`\(Self.guess(name, names.allRedis, "redis"))")
    }

    static func guess(_ name: String, _ known: [String], _ key: String) -> String {
        if let near = NearMiss.find(name, in: known) { return ", did you mean `\(near)`?" }
        if known.isEmpty { return "; `\(key)` has none" }
        let shown = known.prefix(10).map { "`\($0)`" }.joined(separator: ", ")
        return "; there \(known.count == 1 ? "is" : "are") \(shown)\(known.count > 10 ? "…" : "")"
    }

    /// Timeouts that the file switches off: one that hangs holds what it has for ever.
    mutating func lintTimeouts(_ table: ConfigTable?, _ keys: [String], _ label: String) {
        for key in keys {
            guard let item = table?[key], !item.isDefault, case .number(0) = item.value else { continue }
            diagnostics.lint(.noTimeout, item.position, "\(label).\(key): without a timeout a peer that hangs is waited for without end")
        }
    }

    static func time(_ ns: UInt64) -> String { ConfigUnit.duration.format(ns) }
}

extension ConfigTable {
    /// The word that stands in place of a mapping.
    func text(ofWord key: String) -> String? {
        guard case .text(let word)? = items[key]?.value else { return nil }
        return word
    }
}

extension OutlierConfiguration {
    /// `outlier: {}`.
    static var standard: OutlierConfiguration { OutlierConfiguration(ConfigValidator.defaults(of: ConfigSchema.outlier)) }
}

extension UpstreamTLS {
    /// `tls: on`.
    static var standard: UpstreamTLS { UpstreamTLS(ConfigValidator.defaults(of: ConfigSchema.upstreamTLS)) }
}
