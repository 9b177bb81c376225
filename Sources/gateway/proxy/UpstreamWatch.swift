// UpstreamWatch: what happens to an upstream without a request: active health checks, and the outlier detector's sweeps. Tasks of one loop, begun when the gateway starts or
// a reload brings the upstream, ended when it retires or the gateway stops. What they find is told to all loops by SharedServers.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
package import UringServer

/// One upstream's tasks. Any thread.
final class UpstreamWatch: Sendable {
    private let task = Locked<Task<Void, Never>?>(nil)

    deinit { stop() }

    /// Does nothing when it has been started before.
    func start(_ upstream: Upstream, on loop: ServerLoop) {
        guard upstream.configuration.health != nil || upstream.outlier != nil else { return }
        task.withLock { task in
            guard task == nil else { return }
            task = Task(executorPreference: loop.taskExecutor) { await Self.run(upstream, loop) }
        }
    }

    func stop() { task.withLock { $0?.cancel() } }

    private static func run(_ upstream: Upstream, _ loop: ServerLoop) async {
        await withDiscardingTaskGroup { group in
            if let health = upstream.configuration.health {
                // One for all: what TLS needs is loaded once.
                let client = UpstreamPool.makeClient()
                for server in upstream.configuration.servers.indices { group.addTask { await check(upstream, server, health, client, loop) } }
            }
            if let outlier = upstream.outlier { group.addTask { await sweep(upstream, outlier, loop) } }
        }
    }

    /// Tells which servers have come back, and forgives old ejections.
    private static func sweep(_ upstream: Upstream, _ outlier: OutlierDetector, _ loop: ServerLoop) async {
        repeat {
            outlier.sweep(upstream.shared, now: MonotonicClock.now) { upstream.note($0) }
        } while (try? await loop.sleep(for: .nanoseconds(Int64(clamping: outlier.settings.intervalNs)))) != nil
    }

    // MARK: checks

    private static func check(_ upstream: Upstream, _ server: Int, _ health: HealthConfiguration, _ client: UInt64, _ loop: ServerLoop) async {
        guard let probe = try? probe(upstream, server, health, client, loop) else { return }
        var random = PolicyRandom(seed: MonotonicClock.now ^ UInt64(server) << 48)
        var settings = HealthSettings(health)
        // What another configuration found out (`Upstream.inherit`) is the case until a check says otherwise.
        settings.initial = upstream.shared.isHealthy(server) ? .healthy : .unhealthy
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

    private static func probe(_ upstream: Upstream, _ server: Int, _ health: HealthConfiguration, _ client: UInt64, _ loop: ServerLoop) throws -> UpstreamProbe {
        let known = upstream.configuration.servers[server]
        var options = upstream.clientOptions(known)
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 1)
        options.connectTimeout = .nanoseconds(Int64(clamping: health.timeoutNs))
        let address = health.port.map { known.address.with(port: $0) } ?? known.address
        options.connectsTo = address.connectsTo
        let pool = try UpstreamPool(
            on: loop, isSecure: upstream.configuration.tls != nil, host: upstream.host(of: known), port: address.port ?? 0, client: client, options)
        let authority = health.host.map { Array($0.utf8) } ?? Upstream.authority(address, isSecure: upstream.configuration.tls != nil)
        let method: HTTPMethod = health.method == "HEAD" ? .head : health.method == "OPTIONS" ? .options : .get
        return UpstreamProbe(
            ProbeRequest(method, target: Array(health.path.utf8), authority: authority, fields: [("user-agent", "uringd-health-check")]), pool, on: loop)
    }
}

extension Upstream {
    /// Begins its health checks and sweeps, unless they are under way. Any thread.
    package func startWatching(on loop: ServerLoop) { watch.start(self, on: loop) }
    /// Ends them, for good.
    package func stopWatching() { watch.stop() }

    func setHealthy(_ server: Int, _ isHealthy: Bool) { shared.setHealthy(server, isHealthy, now: MonotonicClock.now) }

    fileprivate func checked(_ server: Int, _ answer: UpstreamProbe.Answer, _ health: HealthConfiguration, _ transition: HealthTransition?) {
        counters.add(.checks, server: server)
        if HealthResult(answer, health) != .success { counters.add(.failedChecks, server: server) }
        guard let transition else { return }
        counters.add(.healthTransitions, server: server)
        switch transition {
        case .becameHealthy(let count):
            setHealthy(server, true)
            log?.notice("upstream \(names[server]) is healthy again: \(count) good \(count == 1 ? "check" : "checks in a row")", .health)
        case .becameUnhealthy(let count, _):
            setHealthy(server, false)
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
