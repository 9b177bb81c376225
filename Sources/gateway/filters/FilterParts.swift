// FilterParts: what filters are made of, and what of them outlives a reload: tables of rates. Made when an application is, on the thread that does so; the loops share what is in it
// through the filters.

internal import UringPolicy
internal import UringServerCompression

package struct FilterParts: Sendable {
    private let limits: [SharedLimit]
    private let breakers: [SharedBreaker]
    /// Of filters that say why.
    private let counts: [FilterCounts]
    /// Of all routes: what a loop holds for compression does not grow with their number.
    private let compressors = SharedCompressors()
    /// One for each URL that keys come from.
    let keySources: [KeySource]
    /// Nil: nothing is done about surges.
    let surge: SurgeControl?
    /// Names of all routes, in order.
    private let routes: [String]
    let clients: ClientAddresses
    private let redis: [RedisServer]
    /// Nil: nobody is banned for what filters refuse.
    private let bans: BanWatch?
    private let log: LogReporter?
    /// Nil: nobody counts.
    let refusals: RefusalCounters?

    /// - Parameter previous: what goes on counting where its configuration is the same.
    init(_ configuration: Configuration, loops: Int, previous: FilterParts? = nil, log: LogReporter? = nil, clients: ClientAddresses? = nil, bans: BanWatch? = nil, redis: [RedisServer] = []) throws {
        self.clients = clients ?? ClientAddresses(trusted: configuration.trustedProxies)
        (self.bans, self.redis) = (bans, redis)
        routes = configuration.routes.map(\.name)
        self.log = log
        refusals = previous?.refusals ?? RefusalCounters(loops: loops)
        limits = try configuration.routes.flatMap { route in
            try route.filters.rateLimits.enumerated().map { index, wanted in
                try previous?.limits.first { $0.isFor(route.name, index) && $0.configuration == wanted } ?? SharedLimit(wanted, route: route.name, index: index)
            }
        }
        var sources: [KeySource] = []
        for wanted in configuration.routes.compactMap({ $0.filters.jwt.flatMap(KeySource.Settings.init) }) where !sources.contains(where: { $0.settings == wanted }) {
            let same = previous?.keySources.first { $0.settings == wanted }
            sources.append(same ?? KeySource(wanted, from: previous?.keySources.first { $0.settings.url == wanted.url }, log: log))
        }
        keySources = sources
        surge = try configuration.surge.map { wanted in
            if let known = previous?.surge, known.configuration == wanted { return known }
            return try SurgeControl(wanted, log: log)
        }
        var breakers: [SharedBreaker] = []
        for wanted in configuration.routes.compactMap(\.filters.breaker) where !breakers.contains(where: { $0.group == wanted.group }) {
            let known = previous?.breakers.first { $0.group == wanted.group && $0.policy == wanted.policy && $0.loops == loops }
            breakers.append(known ?? SharedBreaker(wanted, loops: loops, log: log))
        }
        self.breakers = breakers
        counts = configuration.routes.flatMap { route in
            Self.counted(route.filters).map { kind, results in
                let known = previous?.counts.first { $0.route == route.name && $0.filter == kind && $0.loops == loops }
                return known ?? FilterCounts(route.name, kind, results: results, loops: loops, log: log)
            }
        }
    }

    /// The filters that count what they decide, with the words for it.
    private static func counted(_ filters: RouteFilters) -> [(RouteFilterKind, [String])] {
        var counted: [(RouteFilterKind, [String])] = []
        if filters.clientCertificate != nil { counted.append((.clientCertificate, ClientCertificateFilter.results)) }
        if filters.authRequest != nil { counted.append((.authRequest, AuthRequestFilter.results)) }
        if filters.compression != nil { counted.append((.compression, CompressionFilter.results)) }
        return counted
    }

    private func counter(_ route: RouteConfiguration, _ kind: RouteFilterKind) throws -> FilterCounts {
        guard let found = counts.first(where: { $0.route == route.name && $0.filter == kind }) else {
            throw GatewayError("BUG: nothing counts what \(kind.rawValue) of the route \(route.name) decides")
        }
        return found
    }

    /// What filters decided. Any thread.
    var filterFigures: [FilterFigure] { counts.map(\.figure) }

    /// What the breakers are doing. Any thread.
    var breakerFigures: [BreakerFigure] { breakers.map { BreakerFigure(group: $0.group, state: $0.breaker.state, isDryRun: $0.policy.isDryRun) } }

    /// Requests that limits in Redis did not count. Any thread.
    var uncounted: [(route: String, admitted: UInt64, refused: UInt64)] {
        limits.filter { $0.configuration.redis != nil }.map { ($0.name, $0.uncounted(admitted: true), $0.uncounted(admitted: false)) }
    }

    /// No filters: routes of tests and of quick commands.
    package init() {
        (limits, breakers, counts, keySources, surge, routes, clients, redis, bans, log, refusals) = ([], [], [], [], nil, [], ClientAddresses(trusted: []), [], nil, nil, nil)
    }

    /// Nil: the route has none, and a request of it costs nothing here.
    func chain(_ route: RouteConfiguration, _ proxies: ProxyParts) throws -> FilterChain? {
        var (steps, removed): ([FilterChain.Step], [String]) = ([], [])
        var breaker: BreakerFilter?
        let filters = route.filters
        // First of all, so that whatever answers is edited, and compressed as it is behind the edits: what comes first is done last.
        if let configuration = filters.compression, route.isCompressible(configuration) {
            let filter = CompressionFilter(configuration, compressors, try counter(route, .compression))
            steps.append(unsafe .compression(.passRetained(filter)))
        }
        if !filters.responseHeaders.isEmpty { steps.append(unsafe .headers(.passRetained(HeaderFilter(filters.responseHeaders)))) }
        // Its step runs before that of the edits, which may take the field away.
        if filters.tellsTiming { steps.append(unsafe .timing(.passRetained(TimingFilter()))) }
        do {
            for kind in RouteFilterKind.allCases {
                switch kind {
                case .rateLimitByAddress: steps += rateLimits(route) { if case .claim = $0 { false } else { true } }
                case .rateLimitByClaim: steps += rateLimits(route) { if case .claim = $0 { true } else { false } }
                case .clientCertificate:
                    guard let configuration = filters.clientCertificate else { continue }
                    let filter = ClientCertificateFilter(configuration, try counter(route, kind))
                    removed += filter.removed
                    steps.append(unsafe .clientCertificate(.passRetained(filter)))
                case .apiKeys:
                    guard let configuration = filters.apiKeys else { continue }
                    let filter = try APIKeyFilter(configuration, route: route.name)
                    removed += filter.removed
                    steps.append(unsafe .apiKeys(.passRetained(filter)))
                case .basic:
                    guard let configuration = filters.basic else { continue }
                    let filter = try BasicFilter(configuration, route: route.name)
                    removed += filter.removed
                    steps.append(unsafe .basic(.passRetained(filter)))
                case .jwt:
                    guard let configuration = filters.jwt else { continue }
                    let filter = try JWTFilter(configuration, route: route.name, source(configuration), log)
                    removed += filter.removed
                    steps.append(unsafe .jwt(.passRetained(filter)))
                case .breaker:
                    guard let configuration = filters.breaker, let shared = breakers.first(where: { $0.group == configuration.group }) else { continue }
                    let filter = try BreakerFilter(configuration, shared, routes: routes)
                    breaker = filter
                    steps.append(unsafe .breaker(.passRetained(filter)))
                case .cors: if let configuration = filters.cors { steps.append(unsafe .cors(.passRetained(CORSFilter(configuration)))) }
                case .surge:
                    guard let surge, let filter = SurgeFilter(surge, isDegradable: filters.isDegradable, clients, bans, log) else { continue }
                    steps.append(unsafe .surge(.passRetained(filter)))
                case .authRequest:
                    guard let configuration = filters.authRequest else { continue }
                    let upstream = try proxies.upstream(configuration.upstream, of: route)
                    let filter = AuthRequestFilter(configuration, upstream, clients, proxies.trusted, try counter(route, kind))
                    removed += filter.removed
                    steps.append(unsafe .authRequest(.passRetained(filter)))
                case .headers, .compression: break
                }
            }
        } catch {
            for step in steps { FilterChain.release(step) }
            throw error
        }
        return steps.isEmpty ? nil : FilterChain(steps, removed: removed, breaker: breaker, refusals: refusals)
    }

    private func source(_ jwt: JWTConfiguration) -> KeySource? {
        KeySource.Settings(jwt).flatMap { wanted in keySources.first { $0.settings == wanted } }
    }

    private func rateLimits(_ route: RouteConfiguration, _ isWanted: (RateLimitConfiguration.Key) -> Bool) -> [FilterChain.Step] {
        limits.filter { $0.route == route.name && isWanted($0.configuration.key) }.map { limit in
            let server = limit.configuration.redis.flatMap { name in redis.first { $0.configuration.name == name } }
            return unsafe .rateLimit(.passRetained(RateLimitFilter(limit, clients, bans, log, server)))
        }
    }
}

extension RouteConfiguration {
    /// Whether something that the route sends may be compressed.
    fileprivate func isCompressible(_ compression: CompressionConfiguration) -> Bool {
        switch action {
        case .respond, .files: true
        case .redirect: false
        case .proxy: compression.compressesProxied
        }
    }
}
