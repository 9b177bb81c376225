// What the administration's pages say of a gateway, and reloads from its file. On threads that may wait: for loops, and for a reload under way.

internal import Glibc
internal import UringBase
internal import UringServer

extension Gateway {
    /// The figures of this moment. Waits for each loop's turn to end.
    package func figures() -> GatewayFigures {
        var figures = GatewayFigures()
        figures.loops = server.snapshots()
        let (meters, application) = (meters, current)
        let logs = application.logs
        let rows = Locked<[RouteRow]>([])
        let lines = Locked<[AccessLogCounters]>([])
        server.onEachLoop { loop in
            let copied = meters.rows(loop: loop)
            rows.withLock { $0 += copied }
            if let counters = logs?.counters(loop) { lines.withLock { $0.append(counters) } }
        }
        figures.routes = rows.withLock { $0 }.merged
        figures.accessLog = lines.withLock { $0 }
        figures.refusals = application.filters.refusals?.figures ?? []
        figures.spans = current.tracing?.spans.export.figures
        figures.process = .current()
        figures.stalls = reporter.stalls.all
        figures.upstreams = upstreamSnapshots(application)
        figures.redis = application.redis.map(\.figures)
        figures.uncounted = application.filters.uncounted
        figures.bans = bans.figures()
        figures.breakers = application.filters.breakerFigures
        figures.filters = application.filters.filterFigures
        figures.isSurging = application.filters.surge?.isSurging
        figures.backend = server.backend == .epoll ? "epoll" : "uring"
        figures.connectionsMax = server.connectionsMax
        figures.isReady = readiness.current == .serving
        figures.reloads = reloads.withLock { $0 }
        figures.keySources = current.filters.keySources.map(\.figures)
        let tracing = tracing
        (figures.tcpSource, figures.tcp) = (tracing.source, tracing.trace)
        figures.listeningPorts = Set(server.addresses.compactMap { $0.hasPrefix("unix:") ? nil : $0.split(separator: ":").last.flatMap { UInt16($0) } })
        figures.flight = reporter.flight.counts
        figures.flightEvents = server.flightEventsWritten
        figures.proxyRefusals = ListenerPreamble.Refusal.allCases.map { ($0.word, door.count($0)) }
        return figures
    }

    var versionPage: JSONValue {
        .object([
            "version": .string(GatewayVersion.current), "backend": .string(server.backend == .epoll ? "epoll" : "uring"),
            "backend-note": server.backendNote.map { .string($0) }, "loops": .integer(UInt64(server.plan.cores.count)), "pid": .integer(UInt64(getpid())),
            "build": .string(GatewayVersion.mode), "swift": .string(GatewayVersion.swift), "openssl": .string(GatewayVersion.openSSL), "liburing": .string(GatewayVersion.liburing),
        ])
    }

    /// Without secrets.
    var configurationPage: JSONValue { configuration.redacted }

    var upstreamsPage: JSONValue { .object(["upstreams": .array(upstreamSnapshots(current).map(\.page))]) }

    /// With each loop's connections. Waits for each loop's turn to end.
    private func upstreamSnapshots(_ application: GatewayApplication) -> [UpstreamSnapshot] {
        let upstreams = application.upstreams
        let lists = upstreams.map(\.servers)
        let pools = Locked(lists.map { $0.list.map { _ in UpstreamPoolFigures() } })
        server.onEachLoop { loop in
            for (number, upstream) in upstreams.enumerated() {
                let counts = upstream.pools(of: lists[number], loop: loop)
                pools.withLock { for (server, count) in counts.enumerated() { $0[number][server].add(count) } }
            }
        }
        return pools.withLock { pools in
            zip(upstreams, pools).map { upstream, pools in
                var snapshot = upstream.snapshot()
                // Other servers have come meanwhile: their connections are told the next time.
                guard snapshot.servers.count == pools.count else { return snapshot }
                for (server, count) in pools.enumerated() { snapshot.servers[server].pool = count }
                return snapshot
            }
        }
    }

    var bansPage: BansPage { BansPage(book: bans, watch: current.banWatch, now: Self.wallNs()) }

    // MARK: reload

    /// What a reload from the file would change.
    package func plan() -> ReloadOutcome {
        guard let source else { return .noFile }
        let result = source.load()
        guard let new = result.configuration else { return .problems(result) }
        let old = configuration
        return .planned(ConfigurationDiff(from: old, to: new), remarks: Self.remarks(from: old, to: new), result)
    }

    /// Reads the file again and goes over to what it says, all or nothing. Says so in the log.
    /// - Parameter loaded: told what was read, before anything is done with it.
    package func reload(_ loaded: (ConfigLoadResult) -> Void = { _ in }) -> ReloadOutcome {
        guard let source else {
            log.warning("there is no configuration file to read again")
            return .noFile
        }
        let outcome = reloading.withLock { _ in reload(from: source, loaded) }
        switch outcome {
        case .changed: log.notice("reloaded the configuration", .reload)
        case .problems(let result):
            let errors = result.diagnostics.count { $0.severity == .error }
            log.error("the configuration was not reloaded, the old one goes on: \(result.file) is not usable: \(errors == 1 ? "one error" : "\(errors) errors")", .reload)
        case .failed(let reason): log.error("the configuration was not reloaded, the old one goes on: \(reason)", .reload)
        case .planned, .noFile, .stopping: break
        }
        reloads.withLock { reloads in
            switch outcome {
            case .changed: (reloads.succeeded, reloads.wasLastGood, reloads.loadedNs) = (reloads.succeeded + 1, true, Self.wallNs())
            case .problems, .failed: (reloads.failed, reloads.wasLastGood) = (reloads.failed + 1, false)
            case .planned, .noFile, .stopping: break
            }
        }
        return outcome
    }

    private func reload(from source: ConfigurationSource, _ loaded: (ConfigLoadResult) -> Void) -> ReloadOutcome {
        guard readiness.current != .draining else { return .stopping }
        let result = source.load()
        loaded(result)
        guard let new = result.configuration else { return .problems(result) }
        let old = configuration
        do {
            let listening = try reload(new)
            return .changed(ConfigurationDiff(from: old, to: new), listening: listening, remarks: Self.remarks(from: old, to: new), result)
        } catch {
            return .failed("\(error)")
        }
    }

    static func wallNs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
    }
}
