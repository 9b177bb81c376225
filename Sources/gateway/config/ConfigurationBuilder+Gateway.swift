// The part of `ConfigurationBuilder` for the gateway as a whole, and what upstreams and routes mean together.

/// What parts of a configuration call each other by.
struct ConfigNames {
    /// Good or bad: a name whose upstream has a problem is not complained about where it is used.
    var allUpstreams: [String] = []
    var allRedis: [String] = []
    var usedUpstreams: Set<String> = []
    var usedRedis: Set<String> = []
    var breakers: [String: (policy: BreakerConfiguration.Policy, position: SourcePosition)] = [:]
    var fallbacks: [(route: String, target: String, position: SourcePosition)] = []
    private var upstreams: [String: UpstreamConfiguration] = [:]

    func upstream(_ name: String) -> UpstreamConfiguration? { upstreams[name] }
    mutating func set(_ all: [UpstreamConfiguration]) {
        upstreams = Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }
}

extension ConfigurationBuilder {
    mutating func gateway(_ configuration: inout Configuration, _ table: ConfigTable) {
        names.allUpstreams = table.members("upstreams").map(\.name)
        names.allRedis = table.members("redis").map(\.name)
        configuration.upstreams = upstreams(table)
        names.set(configuration.upstreams)
        configuration.redis = redis(table)
        configuration.trustedProxies = prefixes(table, "trusted-proxies", "trusted-proxies")
        lintTrust(table)
        configuration.addresses = addresses(table.group("addresses"))
        configuration.surge = table.group("surge").flatMap { surge($0) }
        configuration.tracing = table.group("tracing").flatMap { tracing($0) }
        configuration.requestID = table.group("request-id").map(RequestIdentifierConfiguration.init)
        configuration.deadline = DeadlineConfiguration(table.group("deadline"))
        configuration.hasSupervisor = table.boolean("supervisor")
        configuration.expectations = table.groups("expectations").compactMap { expectation($0) }
    }

    /// What nobody uses was probably meant for somebody.
    mutating func lintUnused(_ table: ConfigTable) {
        for member in table.members("upstreams") where !names.usedUpstreams.contains(member.name) {
            diagnostics.lint(.upstreamUnused, member.position, "upstreams: no route uses `\(member.name)`")
        }
        for member in table.members("redis") where !names.usedRedis.contains(member.name) {
            diagnostics.lint(.redisUnused, member.position, "redis: nothing uses `\(member.name)`")
        }
    }

    private mutating func redis(_ table: ConfigTable) -> [RedisConfiguration] {
        table.members("redis").compactMap { member in
            guard case .group(let group) = member.item.value else { return nil }
            let label = "redis.\(member.name)"
            let password = secret(group["password"], "\(label).password")
            if group.given["username"] != nil, group.given["password"] == nil, let item = group["username"] {
                diagnostics.error(item.position, "\(label): `username` needs `password`")
            }
            let tls = upstreamTLS(group, "\(label).tls")
            if let item = group["prefix"], let prefix = group.text("prefix"), prefix.utf8.count > RedisConfiguration.prefixBytesMax {
                diagnostics.error(item.position, "\(label).prefix: \(prefix.utf8.count) bytes; accepted: at most \(RedisConfiguration.prefixBytesMax), since it stands before every key")
            }
            guard let address = group.text("address").flatMap({ try? ListenAddress.parse($0).get() }) else { return nil }
            if password != nil, tls == nil, !address.isPrivate, let item = group["address"] {
                diagnostics.lint(.clearCredentials, item.position, "\(label): the password goes to \(address) in clear; `tls: on` hides it")
            }
            return RedisConfiguration(
                name: member.name, address: resolved(address), username: group.text("username"), password: password,
                database: group.integer("database"), timeoutNs: group.number("timeout"), tls: tls, prefix: group.text("prefix") ?? "")
        }
    }

    // MARK: Addresses

    private mutating func prefixes(_ table: ConfigTable, _ key: String, _ label: String) -> [AddressPrefix] {
        table.list(key).compactMap { item in
            guard case .text(let text) = item.value else { return nil }
            return try? AddressPrefix.parse(text).get()
        }
    }

    private mutating func lintTrust(_ table: ConfigTable) {
        for item in table.list("trusted-proxies") {
            guard case .text(let text) = item.value, let prefix = try? AddressPrefix.parse(text).get(), prefix.isEverything else { continue }
            diagnostics.lint(.trustsEverybody, item.position, "trusted-proxies: \(prefix) lets every client say which address it has, and so walk around bans and limits")
        }
        guard table.list("trusted-proxies").isEmpty else { return }
        for listener in table.groups("listen") where listener.boolean("proxy-protocol") {
            // Who may write to a Unix socket is up to its permissions.
            guard let item = listener["proxy-protocol"], let text = listener.text("address"), !text.hasPrefix("unix:"), !text.hasPrefix("/") else { continue }
            diagnostics.lint(
                .trustsEverybody, item.position, "listen.proxy-protocol: without `trusted-proxies` whoever connects says which address it has, and so walks around bans and limits")
        }
    }

    private mutating func addresses(_ table: ConfigTable?) -> AddressConfiguration {
        guard let table else { return AddressConfiguration() }
        var addresses = AddressConfiguration()
        addresses.deny = prefixes(table, "deny", "addresses.deny")
        addresses.allow = prefixes(table, "allow", "addresses.allow")
        addresses.file = path(table, "file", "addresses")
        if let path = addresses.file, let item = table["file"], files.fileJudgement(path).problem == nil {
            for problem in files.addressFile(path) { diagnostics.error(item.position, "addresses.file: \(problem)") }
        }
        addresses.redis = table.text("redis")
        checkRedis(table["redis"], "addresses.redis")
        addresses.bans = table.groups("ban").compactMap { banRule($0) }
        var seen: Set<String> = []
        for rule in table.groups("ban") {
            guard let name = rule.text("name"), !seen.insert(name).inserted, let item = rule["name"] else { continue }
            diagnostics.error(item.position, "addresses.ban: the name `\(name)` appears twice")
        }
        for item in table.list("allow") {
            guard case .text(let text) = item.value, let prefix = try? AddressPrefix.parse(text).get(),
                let denied = addresses.deny.first(where: { $0.covers(prefix) })
            else { continue }
            diagnostics.warning(item.position, "addresses.allow: \(prefix) has no effect: `deny` has \(denied)")
        }
        return addresses
    }

    private mutating func banRule(_ table: ConfigTable) -> BanRule? {
        guard let rule = BanRule(table) else { return nil }
        if let item = table["longest"], table.given["longest"] != nil, rule.longestNs < rule.banNs {
            diagnostics.error(item.position, "addresses.ban: `longest` is shorter than `for`, which has \(ConfigUnit.duration.format(rule.banNs))")
        }
        if rule.growth == 1 {
            for key in ["longest", "forget-after"] {
                if let position = table.given[key] { diagnostics.warning(position, "addresses.ban: `\(key)` has no effect: with `growth: 1` every ban is as long as `for`") }
            }
        }
        for reason in rule.reasons {
            guard case .status(let range) = reason, range.first < 400, let item = table["on"] else { continue }
            diagnostics.lint(.bansForSuccess, item.position, "addresses.ban: the rule \(rule.name) counts status \(range.first), which well-behaved clients get too")
        }
        return rule
    }

    private mutating func surge(_ table: ConfigTable) -> SurgeConfiguration? {
        guard let growth = table.numberIfGiven("connections-growth"), let within = table.numberIfGiven("within"), let then = table.group("then")
        else { return nil }
        let limit = then.group("rate-limit").flatMap { rateLimit($0, hasTokens: false, "surge.then.rate-limit") }
        if let item = then.group("rate-limit")?["redis"] {
            diagnostics.error(item.position, "surge.then.rate-limit: `redis` has no place here: what holds during a surge is counted in this process")
        }
        if limit == nil, !then.boolean("degrade"), then.given["rate-limit"] == nil {
            diagnostics.error(then.position, "surge.then: nothing is done; accepted: `rate-limit` or `degrade: true`")
        }
        return SurgeConfiguration(
            growth: Percentage(hundredths: UInt32(clamping: growth)), withinNs: within, connectionsMin: table.integer("minimum-connections"),
            holdNs: table.number("hold"), rateLimit: limit, degrades: then.boolean("degrade"))
    }

    private mutating func tracing(_ table: ConfigTable) -> TracingConfiguration? {
        let headers = table.members("headers").compactMap { member in
            secret(member.item, "tracing.headers.\(member.name)").map { SecretHeader(name: member.name, value: $0) }
        }
        guard let endpoint = table.text("endpoint").flatMap({ try? EndpointURL.parse($0).get() }) else { return nil }
        if !headers.isEmpty, !endpoint.isSecure, !endpoint.address.isPrivate, let item = table["endpoint"] {
            diagnostics.lint(.clearCredentials, item.position, "tracing.headers go to \(endpoint.address) in clear; write https://")
        }
        if table.integer("batch") > table.integer("queue"), let item = table["batch"] {
            diagnostics.warning(item.position, "tracing: `batch` is larger than `queue`, which bounds it")
        }
        return TracingConfiguration(
            endpoint: endpoint, sample: table.percentage("sample"), serviceName: table.text("service-name") ?? "", queue: table.integer("queue"),
            batch: table.integer("batch"), flushNs: table.number("flush"), timeoutNs: table.number("timeout"), headers: headers,
            trust: table.text("trust").flatMap(Trust.init) ?? .all)
    }

    private mutating func expectation(_ table: ConfigTable) -> ExpectationConfiguration? {
        guard let request = table.text("request").flatMap({ try? RequestLine.parse($0).get() }) else { return nil }
        if ["route", "status", "response"].allSatisfy({ table.given[$0] == nil }) {
            diagnostics.error(table.position, "expectations: nothing is expected; accepted: `route`, `status` or `response`")
        }
        return ExpectationConfiguration(
            method: request.method, url: request.url.text, headers: table.headers("headers"), route: table.text("route"),
            status: table.numberIfGiven("status").map { Int(clamping: $0) }, responseHeaders: table.headers("response"), position: table.position)
    }

    // MARK: Files and secrets

    /// The path of a file that must be there.
    mutating func path(_ table: ConfigTable, _ key: String, _ label: String, isSecret: Bool = false) -> String? {
        guard let item = table[key], let text = table.text(key) else { return nil }
        let path = resolve(text)
        let judgement = files.fileJudgement(path)
        if let problem = judgement.problem { diagnostics.error(item.position, "\(label).\(key): \(problem)") }
        if isSecret, judgement.isReadableByOthers { warnReadable(path, item.position, "\(label).\(key)") }
        return path
    }

    mutating func secret(_ item: ConfigItem?, _ label: String) -> Secret? {
        guard let item, case .secret(let source) = item.value else { return nil }
        switch source {
        case .text(let text):
            // What came from the environment does not stand in the file.
            if item.node?.isSubstituted != true {
                diagnostics.lint(.secretInFile, item.position, "\(label): a secret stands in the configuration; `{ file: PATH }` or `${NAME}` keep it apart")
            }
            return Secret(bytes: Array(text.utf8))
        case .file(let text):
            let path = resolve(text)
            let judgement = files.fileJudgement(path)
            if judgement.isReadableByOthers { warnReadable(path, item.position, label) }
            switch files.secret(path) {
            case .failure(let problem):
                diagnostics.error(item.position, "\(label): \(problem.reason)")
                return nil
            case .success(let bytes):
                if bytes.isEmpty { diagnostics.error(item.position, "\(label): `\(path)` is empty") }
                return Secret(bytes: bytes)
            }
        }
    }

    private mutating func warnReadable(_ path: String, _ position: SourcePosition, _ label: String) {
        diagnostics.lint(.secretReadable, position, "\(label): everybody on this machine can read `\(path)`; chmod o= takes that away")
    }

    func resolved(_ address: UpstreamAddress) -> UpstreamAddress {
        guard case .unix(let path) = address else { return address }
        return .unix(path: resolve(path))
    }

    /// Where another place is, seen from one.
    func place(_ place: SourcePosition, from here: SourcePosition) -> String {
        place.file == here.file ? "line \(place.line)" : "\(fileNames.indices.contains(place.file) ? fileNames[place.file] : "another file"), line \(place.line)"
    }
}

extension ListenAddress {
    /// Reached without the internet as far as one can tell: a name may be anywhere, but names without a dot are of this network.
    var isPrivate: Bool {
        switch self {
        case .ipv4(let bytes, _), .ipv6(let bytes, _, _): AddressPrefix.privatePrefixes.contains { $0.contains(bytes) }
        case .name(let name, _): !name.contains(".") || [".internal", ".local", ".localhost", ".svc", ".cluster.local", ".test"].contains { name.hasSuffix($0) }
        case .unix: true
        }
    }
}
