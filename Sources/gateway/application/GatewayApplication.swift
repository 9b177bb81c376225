// GatewayApplication: a configuration as what the server's loops call. Made at start and on each reload, on the thread that does so;
// everything it holds is immutable or belongs to one loop, and lives until the last loop has gone over to its successor.

internal import UringHTTP
package import UringServer

package struct GatewayApplication: Sendable {
    package let routes: Routes
    /// In the order of the configuration.
    package let upstreams: [Upstream]
    let filters: FilterParts
    /// Those of the configuration that something uses.
    let redis: [RedisServer]
    /// nil: bans are this process's alone.
    let sharedBans: SharedBans?
    /// nil: everybody may connect.
    private let gate: AddressGate?
    /// nil: nobody can be banned at run time.
    private let banGate: BanGate?
    /// nil: no rule bans anybody.
    let banWatch: BanWatch?
    /// As it was when this was made; nil: there is none.
    let addressFile: AddressFile?
    /// nil: no access log.
    package let logs: AccessLogs?
    /// nil: nobody can ask for them.
    private let meters: RouteMeters?
    /// nil: traces pass through.
    let tracing: TraceForwarding?
    /// nil: requests have no id.
    private let identity: RequestIdentity?

    /// - Throws: what cannot be opened: a directory of `files`, the access log.
    /// - Parameters:
    ///   - previous: what goes on with the same connections where its configuration is the same.
    ///   - lookup: whom names of upstreams' servers are looked up by.
    ///   - meters: where requests are counted, if there is an administration that can be asked.
    ///   - bans: who is turned away at run time; its owner hands it `addressFile` when this takes effect.
    init(
        _ configuration: Configuration, loops: Int, previous: GatewayApplication? = nil, meters: RouteMeters? = nil, log: LogReporter? = nil, lookup: NameLookup = .system,
        bans: BanBook? = nil
    ) throws {
        self.meters = configuration.admin == nil ? nil : meters
        upstreams = try configuration.upstreams.map { wanted in
            let old = previous?.upstreams.first { $0.configuration.name == wanted.name }
            if let old, try old.goesOn(as: wanted, loops: loops) { return old }
            return try Upstream(wanted, loops: loops, log: log, after: old, lookup: lookup)
        }
        gate = AddressGate(configuration.addresses)
        let (addresses, clients) = (configuration.addresses, ClientAddresses(trusted: configuration.trustedProxies))
        addressFile = try addresses.file.map { path in
            do throws(AddressFileError) { return try AddressFile.read(path, now: Gateway.wallNs()) } catch { throw GatewayError("addresses.file: \(error)") }
        }
        banWatch = try bans.flatMap { try BanWatch(addresses.bans, $0, clients, previous: previous?.banWatch) }
        // Without any of these there is nobody who could ban.
        let canBan = configuration.admin != nil || addresses.file != nil || addresses.redis != nil || !addresses.bans.isEmpty
        banGate = canBan ? bans.map { BanGate($0, clients) } : nil
        let used = Set(configuration.routes.flatMap { $0.filters.rateLimits.compactMap(\.redis) } + [addresses.redis].compactMap { $0 })
        let servers = try configuration.redis.filter { used.contains($0.name) }.map { wanted in
            if let old = previous?.redis.first(where: { $0.configuration.name == wanted.name }), try old.goesOn(as: wanted, loops: loops) { return old }
            return try RedisServer(wanted, loops: loops, log: log)
        }
        redis = servers
        sharedBans = bans.flatMap { book in
            addresses.redis.flatMap { name in servers.first { $0.configuration.name == name } }.map { server in
                if let old = previous?.sharedBans, old.server === server { return old }
                return SharedBans(server, book, log: log)
            }
        }
        filters = try FilterParts(configuration, loops: loops, previous: previous?.filters, log: log, clients: clients, bans: banWatch, redis: servers)
        let trusted = TrustedProxies(configuration.trustedProxies)
        identity = configuration.requestID.map { RequestIdentity($0, trusted: trusted, loops: loops) }
        tracing = configuration.tracing.map { wanted in
            let known = previous?.tracing?.spans.export
            let export = known.flatMap { $0.configuration == wanted ? $0 : nil } ?? SpanExport(wanted, loops: loops, counters: known?.counters, log: log?.log)
            return TraceForwarding(wanted, RequestSpans(export, routes: configuration.routes, trusted: trusted), trusted: trusted, loops: loops)
        }
        routes = try Routes(configuration.routes, ProxyParts(upstreams, trusted, identity, tracing, configuration.deadline), filters)
        logs = try configuration.accessLog.map { log throws in
            do throws(TextProblem) { return try AccessLogs(log, loops: loops) } catch { throw GatewayError(error.reason) }
        }
    }

    /// Nothing to flush, and so no reason to wake a loop.
    private static let never = UInt64(86_400 * 365) * 1_000_000_000

    /// What the loops get.
    package func application(reporter: any ServerReporter) -> Application {
        let routes = routes
        var application = Application { request, response in routes.respond(to: request, &response) }
        let tracing = tracing
        if identity != nil || tracing != nil {
            let identity = identity
            application.handler = { request, response in
                identity?.begin(request, response)
                tracing?.begin(request, response)
                routes.respond(to: request, &response)
            }
        }
        if routes.hasProxies { application.wantsStream = { request in routes.wantsStream(request) } }
        if routes.hasProxies { application.bodyLimit = { request in routes.bodyLimit(request) } }
        if let banGate {
            let gate = gate
            // Written out: a closure that calls another counts a reference.
            application.handler = { request, response in if !banGate.turnsAway(request, &response) { routes.respond(to: request, &response) } }
            if identity != nil || tracing != nil {
                let identity = identity
                application.handler = { request, response in
                    if banGate.turnsAway(request, &response) { return }
                    identity?.begin(request, response)
                    tracing?.begin(request, response)
                    routes.respond(to: request, &response)
                }
            }
            application.admits = { peer, loop in gate?.admits(peer) != false && banGate.admits(peer, loop: loop) }
        } else if let gate {
            application.admits = { peer, _ in gate.admits(peer) }
        }
        let (logs, meters, identity, silencesSome) = (logs, meters, identity, routes.silencesSome)
        if let meters {
            application.observe = { request, record in
                meters.record(record)
                if record.trace.isKept { tracing?.spans.ended(request, record) }
                if silencesSome, routes.silences(record.route) { return }
                logs?.record(request, record, identity)
            }
        } else if let logs {
            application.observe = { request, record in
                if record.trace.isKept { tracing?.spans.ended(request, record) }
                if silencesSome, routes.silences(record.route) { return }
                logs.record(request, record, identity)
            }
        } else if let tracing {
            application.observe = { request, record in if record.trace.isKept { tracing.spans.ended(request, record) } }
        }
        if let banWatch {
            let inner = application.observe
            application.observe = { request, record in
                banWatch.observe(request, record)
                inner?(request, record)
            }
        }
        let export = tracing?.spans.export
        application.flush = { loop in
            logs?.flush(loop)
            export?.queues[loop].seal()
        }
        application.flushInterval = .nanoseconds(Int64(clamping: min(logs?.flushNs ?? Self.never, export?.configuration.flushNs ?? Self.never)))
        application.reporter = reporter
        return application
    }
}

/// Why something could not be done, in a sentence for an operator.
package struct GatewayError: Error, CustomStringConvertible, Sendable {
    package let description: String
    package init(_ description: String) { self.description = description }
}
