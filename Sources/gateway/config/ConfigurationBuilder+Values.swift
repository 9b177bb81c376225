// From validated tables to the plain values of upstreams, proxies and the gateway, key by key. Judges nothing: ConfigurationBuilder+*.swift do.

extension UpstreamConfiguration {
    init(name: String, servers: [UpstreamServer], _ table: ConfigTable) {
        self.name = name
        self.servers = servers
        version = table.text("protocol").flatMap(UpstreamVersion.init) ?? .http1
        connections = UpstreamConnectionLimits(table.group("connections"))
        timeouts = UpstreamTimeouts(table.group("timeouts"))
        retry = RetryConfiguration(table.group("retry") ?? ConfigurationBuilder.retryDefaults)
        slowStartNs = table.number("slow-start")
        panicThreshold = table.percentage("panic-threshold")
        proxyProtocol = table.text("proxy-protocol").flatMap(ProxyProtocolVersion.init)
        let resolution = table.group("resolve")
        resolveNs = resolution?.number("interval") ?? 0
        resolvesTo = resolution?.text("addresses").flatMap(ResolvedAddresses.init) ?? .all
        drainNs = table.number("drain")
    }
}

extension UpstreamConnectionLimits {
    init(_ group: ConfigTable?) {
        guard let group else { preconditionFailure("BUG: an upstream's connections have no default") }
        max = group.integer("max")
        pendingMax = group.integer("max-pending")
        requestsPerConnectionMax = group.integer("max-requests-per-connection")
        streamsMax = group.integer("max-streams")
        connectTimeoutNs = group.number("connect-timeout")
        idleTimeoutNs = group.number("idle-timeout")
    }
}

extension UpstreamTimeouts {
    init(_ group: ConfigTable?) {
        guard let group else { preconditionFailure("BUG: an upstream's timeouts have no default") }
        responseNs = group.number("response")
        bodyNs = group.number("body")
        writeNs = group.number("write")
    }
}

extension UpstreamTLS {
    /// The files are up to the caller, who knows where relative paths start.
    init(_ table: ConfigTable) {
        verifies = table.boolean("verify")
        serverName = table.text("server-name")
        versionMin = table.text("min-version").flatMap(Version.init) ?? .tls12
    }
}

extension RetryConfiguration {
    init(_ table: ConfigTable) {
        attempts = table.integer("attempts")
        budget = table.percentage("budget")
        budgetPerSecondMin = table.integer("budget-min")
        reasons = table.texts("on").compactMap { try? Reason.parse($0).get() }
        backoffNs = table.number("backoff")
        backoffMaxNs = table.number("backoff-max")
        repeatsNonIdempotent = table.boolean("non-idempotent")
    }

    /// What a route says takes the place of what its upstream says.
    func overridden(_ table: ConfigTable?) -> RetryConfiguration {
        guard let table else { return self }
        var retry = self
        if let value = table.numberIfGiven("attempts") { retry.attempts = Int(clamping: value) }
        if table["budget"] != nil { retry.budget = table.percentage("budget") }
        if let value = table.numberIfGiven("budget-min") { retry.budgetPerSecondMin = Int(clamping: value) }
        if table["on"] != nil { retry.reasons = table.texts("on").compactMap { try? Reason.parse($0).get() } }
        if let value = table.numberIfGiven("backoff") { retry.backoffNs = value }
        if let value = table.numberIfGiven("backoff-max") { retry.backoffMaxNs = value }
        if table["non-idempotent"] != nil { retry.repeatsNonIdempotent = table.boolean("non-idempotent") }
        return retry
    }
}

extension HealthConfiguration {
    init(_ table: ConfigTable) {
        path = table.text("path") ?? "/"
        method = table.text("method") ?? "GET"
        host = table.text("host")
        intervalNs = table.number("interval")
        timeoutNs = table.number("timeout")
        unhealthyAfter = table.integer("unhealthy-after")
        healthyAfter = table.integer("healthy-after")
        status = table.texts("status").compactMap { try? StatusRange.parse($0).get() }
        port = table.numberIfGiven("port").map { UInt16(clamping: $0) }
    }
}

extension OutlierConfiguration {
    init(_ table: ConfigTable) {
        consecutive5xx = table.integer("consecutive-5xx")
        consecutiveFailures = table.integer("consecutive-failures")
        intervalNs = table.number("interval")
        ejectNs = table.number("eject")
        ejectMaxNs = table.number("eject-max")
        ejectedMax = table.percentage("max-ejected")
    }
}

extension AdaptiveConcurrencyConfiguration {
    init(_ table: ConfigTable) {
        initial = table.integer("initial")
        min = table.integer("min")
        max = table.integer("max")
        tolerance = table.percentage("tolerance")
        windowNs = table.number("window")
        queue = table.integer("queue")
    }
}

extension ProxyConfiguration {
    init(upstream: String, _ table: ConfigTable, retry: RetryConfiguration) {
        self.upstream = upstream
        self.retry = retry
        responseTimeoutNs = table.numberIfGiven("timeout")
        host = table.text("host").map(HostRewrite.init) ?? .preserve
        let headers = table.group("headers")
        requestHeaders = HeaderEdits(headers?.group("request"))
        responseHeaders = HeaderEdits(headers?.group("response"))
        forwarded = table.text("forwarded").flatMap(ForwardedFields.init) ?? .xForwarded
        requestBufferBytes = table.numberIfGiven("request-buffering") ?? 0
        webSocket = table.boolean("websocket")
        bodyBytesMax = table.numberIfGiven("body-bytes")
    }
}

extension HostRewrite {
    init(_ text: String) {
        switch text {
        case "preserve": self = .preserve
        case "upstream": self = .upstream
        default: self = .name(text.lowercased())
        }
    }
}

extension HeaderEdits {
    init(_ table: ConfigTable?) {
        guard let table else { return }
        remove = table.texts("remove").map { $0.lowercased() }
        set = table.headers("set")
        add = table.headers("add")
    }
}

extension RateLimitConfiguration {
    init?(_ table: ConfigTable) {
        guard let key = table.text("key").flatMap({ try? Key.parse($0).get() }),
            let rate = table.text("rate").flatMap({ try? RequestRate.parse($0).get() })
        else { return nil }
        self.key = key
        self.rate = rate
        burst = table.numberIfGiven("burst") ?? rate.count
        redis = table.text("redis")
        failsOpen = table.text("fail") != "closed"
        status = table.integer("status")
        writesHeaders = table.boolean("headers")
        isDryRun = table.boolean("dry-run")
    }
}

extension BreakerConfiguration.Policy {
    init(_ table: ConfigTable) {
        errorRate = table["error-rate"].map { _ in table.percentage("error-rate") }
        windowNs = table.number("over")
        latencyP95Ns = table.numberIfGiven("latency-p95")
        periods = table.integer("periods")
        periodNs = table.number("period")
        consecutiveFailures = Int(clamping: table.numberIfGiven("consecutive-failures") ?? 0)
        minimumRequests = table.integer("minimum-requests")
        openNs = table.number("open-for")
        halfOpenRequests = table.integer("half-open-requests")
        isDryRun = table.boolean("dry-run")
    }

    static let keys = [
        "error-rate", "over", "latency-p95", "periods", "period", "consecutive-failures", "minimum-requests", "open-for", "half-open-requests", "dry-run",
    ]
    /// Without one of them it never trips.
    static let triggers = ["error-rate", "latency-p95", "consecutive-failures"]
}

extension CORSConfiguration {
    init(_ table: ConfigTable) {
        let origins = table.texts("origins")
        allowsAnyOrigin = origins.contains("*")
        self.origins = allowsAnyOrigin ? [] : origins
        methods = table.texts("methods")
        headers = table.texts("headers").map { $0.lowercased() }
        exposeHeaders = table.texts("expose-headers")
        allowsCredentials = table.boolean("credentials")
        maxAgeSeconds = table.number("max-age") / 1_000_000_000
    }
}

extension CompressionConfiguration {
    init(_ table: ConfigTable) {
        codings = table.texts("algorithms").compactMap(Coding.init)
        bytesMin = table.number("min-bytes")
        types = table.texts("types").map { $0.lowercased() }
        compressesProxied = table.boolean("proxied")
    }
}

extension BanRule {
    init?(_ table: ConfigTable) {
        guard let name = table.text("name"), let count = table.numberIfGiven("count"), let within = table.numberIfGiven("within"),
            let time = table.numberIfGiven("for")
        else { return nil }
        self.name = name
        self.count = Int(clamping: count)
        withinNs = within
        banNs = time
        reasons = table.texts("on").compactMap { try? Reason.parse($0).get() }
        v4Bits = table.integer("prefix")
        v6Bits = table.integer("prefix-v6")
        growth = UInt64(table.integer("growth"))
        longestNs = table.given["longest"] == nil ? max(time, table.number("longest")) : table.number("longest")
        forgetNs = table.number("forget-after")
    }
}

extension RequestIdentifierConfiguration {
    init(_ table: ConfigTable) {
        header = table.text("header") ?? ""
        trust = table.text("trust").flatMap(Trust.init) ?? .trusted
        responds = table.boolean("respond")
    }
}

extension DeadlineConfiguration {
    init(_ table: ConfigTable?) {
        guard let table else { preconditionFailure("BUG: `deadline` has no default") }
        header = table.text("header") ?? ""
        trust = table.text("trust").flatMap(Trust.init) ?? .trusted
    }
}
