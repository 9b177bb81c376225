// UpstreamWatch: what happens to an upstream without a request: active health checks, the outlier detector's sweeps, names that are looked up (UpstreamNames). Tasks of one loop, begun when
// the gateway starts or a reload brings the upstream, ended when it retires or the gateway stops. What they find is told to all loops by SharedServers.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
package import UringServer

/// One upstream's tasks. Any thread.
final class UpstreamWatch: Sendable {
    private struct Tasks {
        /// nil: not started, or stopped.
        var loop: ServerLoop?
        var wasStarted = false
        var others: [Task<Void, Never>] = []
        /// By the address that is checked.
        var checks: [UpstreamAddress: Task<Void, Never>] = [:]
    }

    private let tasks = Locked(Tasks())
    /// One for all checks: what TLS needs is loaded once.
    private let client = UpstreamPool.makeClient()

    deinit { stop() }

    /// Does nothing when it has been started before.
    /// - Parameter number: of the loop that does it, among all.
    func start(_ upstream: Upstream, on number: Int, of loops: [ServerLoop]) {
        let loop = loops[number]
        let isFirst = tasks.withLock { tasks in
            guard !tasks.wasStarted else { return false }
            (tasks.loop, tasks.wasStarted) = (loop, true)
            if let outlier = upstream.outlier { tasks.others.append(Task(executorPreference: loop.taskExecutor) { await Self.sweep(upstream, outlier, loop) }) }
            if upstream.hasNames { tasks.others.append(Task(executorPreference: loop.taskExecutor) { await UpstreamNames(upstream).follow(on: loop, of: loops) }) }
            return true
        }
        if isFirst { follow(upstream) }
    }

    /// Servers of the upstream that are new are checked from now on, and those that are gone no more.
    func follow(_ upstream: Upstream) {
        guard let health = upstream.configuration.health else { return }
        let servers = upstream.servers
        tasks.withLock { tasks in
            guard let loop = tasks.loop else { return }
            for (address, task) in tasks.checks where servers.index(of: address) == nil {
                task.cancel()
                tasks.checks[address] = nil
            }
            for server in servers.list where tasks.checks[server.address] == nil {
                let client = client
                tasks.checks[server.address] = Task(executorPreference: loop.taskExecutor) { await Self.check(upstream, server, health, client, loop) }
            }
        }
    }

    func stop() {
        tasks.withLock { tasks in
            tasks.loop = nil
            for task in tasks.others { task.cancel() }
            for task in tasks.checks.values { task.cancel() }
            (tasks.others, tasks.checks) = ([], [:])
        }
    }

    /// Tells which servers have come back, and forgives old ejections.
    private static func sweep(_ upstream: Upstream, _ outlier: OutlierDetector, _ loop: ServerLoop) async {
        repeat {
            let servers = upstream.servers
            outlier.sweep(servers.shared, now: MonotonicClock.now) { upstream.note($0, servers) }
        } while (try? await loop.sleep(for: .nanoseconds(Int64(clamping: outlier.settings.intervalNs)))) != nil
    }

    // MARK: checks

    private static func check(_ upstream: Upstream, _ server: ReachedServer, _ health: HealthConfiguration, _ client: UInt64, _ loop: ServerLoop) async {
        guard let probe = try? probe(upstream, server, health, client, loop) else { return }
        var random = PolicyRandom(seed: MonotonicClock.now ^ UInt64(truncatingIfNeeded: server.address.hashValue) << 48)
        var settings = HealthSettings(health)
        // What another configuration found out (`Upstream.inherit`) is the case until a check says otherwise.
        let known = upstream.servers
        settings.initial = known.index(of: server).map { known.shared.isHealthy($0) } ?? true ? .healthy : .unhealthy
        var state = HealthState(settings, now: MonotonicClock.now, random: &random)
        checks: while !Task.isCancelled {
            let now = MonotonicClock.now
            switch state.step(now: now) {
            case .wait:
                let wait = state.nextEvent > now ? state.nextEvent - now : 0
                // The loop is over, or the upstream retires.
                guard (try? await loop.sleep(for: .nanoseconds(Int64(clamping: wait)))) != nil else { break checks }
            case .abandon: preconditionFailure("BUG: a check has outlived its time")
            case .check:
                let answer = await probe.ask(timeout: .nanoseconds(Int64(clamping: health.timeoutNs)))
                guard !Task.isCancelled else { break checks }
                let transition = state.finished(HealthResult(answer, health), now: MonotonicClock.now, random: &random)
                upstream.checked(server, answer, health, transition)
            }
        }
        // Where the loop is over, so are its connections.
        if ServerLoop.current != nil { probe.retire() }
    }

    private static func probe(_ upstream: Upstream, _ server: ReachedServer, _ health: HealthConfiguration, _ client: UInt64, _ loop: ServerLoop) throws -> UpstreamProbe {
        var options = upstream.clientOptions(server, of: upstream.servers)
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 1)
        options.connectTimeout = .nanoseconds(Int64(clamping: health.timeoutNs))
        let address = health.port.map { server.address.with(port: $0) } ?? server.address
        let named = health.port.map { server.configured.address.with(port: $0) } ?? server.configured.address
        options.connectsTo = address.connectsTo
        let pool = try UpstreamPool(
            on: loop, isSecure: upstream.configuration.tls != nil, host: upstream.host(of: server), port: address.port ?? 0, client: client, options)
        let authority = health.host.map { Array($0.utf8) } ?? Upstream.authority(named, isSecure: upstream.configuration.tls != nil)
        let method: HTTPMethod = health.method == "HEAD" ? .head : health.method == "OPTIONS" ? .options : .get
        return UpstreamProbe(
            ProbeRequest(method, target: Array(health.path.utf8), authority: authority, fields: [("user-agent", "uringd-health-check")]), pool, on: loop)
    }
}

extension Upstream {
    /// Begins its health checks and sweeps, unless they are under way. Any thread.
    package func startWatching(on number: Int, of loops: [ServerLoop]) { watch.start(self, on: number, of: loops) }
    /// Ends them, for good.
    package func stopWatching() { watch.stop() }

    fileprivate func checked(_ checked: ReachedServer, _ answer: UpstreamProbe.Answer, _ health: HealthConfiguration, _ transition: HealthTransition?) {
        let servers = servers
        // It is none any more.
        guard let server = servers.index(of: checked) else { return }
        let (counters, names) = (servers.counters, servers.names)
        counters.add(.checks, server: server)
        if HealthResult(answer, health) != .success { counters.add(.failedChecks, server: server) }
        guard let transition else { return }
        counters.add(.healthTransitions, server: server)
        switch transition {
        case .becameHealthy(let count):
            servers.shared.setHealthy(server, true, now: MonotonicClock.now)
            log?.notice("upstream \(names[server]) is healthy again: \(count) good \(count == 1 ? "check" : "checks in a row")", .health)
        case .becameUnhealthy(let count, _):
            servers.shared.setHealthy(server, false, now: MonotonicClock.now)
            log?.warning("upstream \(names[server]) is unhealthy and gets no requests: \(count) failed \(count == 1 ? "check" : "checks in a row"), the last: \(Self.reason(answer))", .health)
        }
    }

    private static func reason(_ answer: UpstreamProbe.Answer) -> String {
        switch answer {
        case .success(let status): "status \(status.code)"
        case .failure(let error): error.description
        }
    }
}

extension HealthResult {
    init(_ answer: UpstreamProbe.Answer, _ health: HealthConfiguration) {
        switch answer {
        case .success(let status): self = health.status.contains { $0.contains(status.code) } ? .success : .wrongStatus
        case .failure(let error):
            self =
                switch error.reason {
                case .tls: .tlsFailure
                case .timeout: .timeout
                case .connect, .resolve, .overloaded: .connectFailure
                case .closed, .malformedResponse, .invalidRequest: .reset
                }
        }
    }
}

extension HealthSettings {
    init(_ health: HealthConfiguration) {
        self.init()
        (intervalNs, timeoutNs) = (health.intervalNs, health.timeoutNs)
        (unhealthyAfter, healthyAfter) = (UInt32(clamping: health.unhealthyAfter), UInt32(clamping: health.healthyAfter))
    }
}

extension ListenAddress {
    /// The same host; a Unix socket has no ports.
    func with(port: UInt16) -> ListenAddress {
        switch self {
        case .ipv4(let bytes, _): .ipv4(bytes, port: port)
        case .ipv6(let bytes, let zone, _): .ipv6(bytes, zone: zone, port: port)
        case .name(let name, _): .name(name, port: port)
        case .unix: self
        }
    }
}
