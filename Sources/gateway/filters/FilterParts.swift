// FilterParts: what filters are made of, and what of them outlives a reload: tables of rates. Made when an application is, on the thread that does so; the loops share what is in it
// through the filters.

internal import UringPolicy

package struct FilterParts: Sendable {
    private let limits: [SharedLimit]
    private let breakers: [SharedBreaker]
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

    /// - Parameter previous: what goes on counting where its configuration is the same.
    init(_ configuration: Configuration, loops: Int, previous: FilterParts? = nil, log: LogReporter? = nil, clients: ClientAddresses? = nil, bans: BanWatch? = nil, redis: [RedisServer] = []) throws {
        self.clients = clients ?? ClientAddresses(trusted: configuration.trustedProxies)
        (self.bans, self.redis) = (bans, redis)
        routes = configuration.routes.map(\.name)
        self.log = log
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
    }

    /// What the breakers are doing. Any thread.
    var breakerFigures: [BreakerFigure] { breakers.map { BreakerFigure(group: $0.group, state: $0.breaker.state, isDryRun: $0.policy.isDryRun) } }

    /// Requests that limits in Redis did not count. Any thread.
    var uncounted: [(route: String, admitted: UInt64, refused: UInt64)] {
        limits.filter { $0.configuration.redis != nil }.map { ($0.name, $0.uncounted(admitted: true), $0.uncounted(admitted: false)) }
    }

    /// No filters: routes of tests and of quick commands.
    package init() {
        (limits, breakers, keySources, surge, routes, clients, redis, bans, log) = ([], [], [], nil, [], ClientAddresses(trusted: []), [], nil, nil)
    }

    /// Nil: the route has none, and a request of it costs nothing here.
    func chain(_ route: RouteConfiguration) throws -> FilterChain? {
        var (steps, removed): ([FilterChain.Step], [String]) = ([], [])
        var breaker: BreakerFilter?
        let filters = route.filters
        // First of all, so that whatever answers is edited.
        if !filters.responseHeaders.isEmpty { steps.append(unsafe .headers(.passRetained(HeaderFilter(filters.responseHeaders)))) }
        do {
            for kind in RouteFilterKind.allCases {
                switch kind {
                case .rateLimitByAddress: steps += rateLimits(route) { if case .claim = $0 { false } else { true } }
                case .rateLimitByClaim: steps += rateLimits(route) { if case .claim = $0 { true } else { false } }
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
                case .headers, .clientCertificate, .authRequest, .compression: break
                }
            }
        } catch {
            for step in steps { FilterChain.release(step) }
            throw error
        }
        return steps.isEmpty ? nil : FilterChain(steps, removed: removed, breaker: breaker)
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
