// UpstreamSnapshot: what an upstream is doing, for /upstreams and /metrics. A plain value, put together on whichever thread asks.

internal import UringPolicy
package import UringServer

package struct UpstreamSnapshot: Sendable, Equatable {
    /// The key below `upstreams`.
    package var name: String
    /// In the order of the configuration.
    package var servers: [Server]
    /// Attempts after a request's first. Counters are since the upstream was made: at start, or by the reload that changed it.
    package var retries: UInt64 = 0
    /// Retries that were wanted and that the budget did not allow.
    package var retriesOverBudget: UInt64 = 0
    /// Requests that were answered 503 because no server was available.
    package var unavailable: UInt64 = 0
    /// Requests that were answered 503 because each server had as many as it may.
    package var busy: UInt64 = 0
    /// Requests that were answered 504 because their time was over before they were sent.
    package var expired: UInt64 = 0
    /// Questions after addresses of names.
    package var lookups: UInt64 = 0
    package var failedLookups: UInt64 = 0
    /// Answers by which there were other servers than before.
    package var addressChanges: UInt64 = 0

    package struct Server: Sendable, Equatable {
        /// As in the configuration, or one of those of the name that stands there.
        package var address: String
        /// That name, with its port; nil when there is none, or when it has not been looked up.
        package var name: String?
        package var weight: Int
        package var isBackup: Bool
        /// By active checks; true without any.
        package var isHealthy: Bool
        package var isDraining: Bool
        package var isEjected: Bool
        /// How long it stays ejected, ns; 0 when it is not.
        package var ejectedForNs: UInt64
        /// Attempts under way.
        package var active: UInt64 = 0
        /// Of all loops together. Zero where no loop was asked.
        package var pool = UpstreamPoolFigures()
        /// Attempts that were begun.
        package var requests: UInt64 = 0
        /// Response heads that came, by the first digit of the status: `responses[0]` of 1xx to `responses[4]` of 5xx.
        package var responses = [UInt64](repeating: 0, count: 5)
        /// In the order of `ProxyFailure.allCases`.
        package var failures = [UInt64](repeating: 0, count: ProxyFailure.allCases.count)
        /// Attempts whose client left before a response head.
        package var cancelled: UInt64 = 0
        /// Of all response heads together: from the beginning of the attempt, ns.
        package var headNs: UInt64 = 0
        /// By the outlier detector.
        package var ejections: UInt64 = 0
        /// Ejections that did not happen because too many servers were out already.
        package var spared: UInt64 = 0
        /// Active checks that have ended.
        package var checks: UInt64 = 0
        package var failedChecks: UInt64 = 0
        /// Changes between healthy and unhealthy.
        package var healthTransitions: UInt64 = 0

        package func failures(_ failure: ProxyFailure) -> UInt64 { failures[ProxyFailure.allCases.firstIndex(of: failure) ?? 0] }
    }
}

/// Connections to a server.
package struct UpstreamPoolFigures: Sendable, Equatable {
    /// That stand, idle ones among them.
    package var open = 0
    /// On which nothing is under way.
    package var idle = 0
    /// That are being made.
    package var connecting = 0
    /// Requests that wait for one.
    package var waiting = 0

    mutating func add(_ other: UpstreamPoolFigures) {
        (open, idle, connecting, waiting) = (open + other.open, idle + other.idle, connecting + other.connecting, waiting + other.waiting)
    }

    mutating func add(_ pool: UpstreamPool) {
        add(UpstreamPoolFigures(open: pool.openCount, idle: pool.idleCount, connecting: pool.connectingCount, waiting: pool.pendingCount))
    }
}

extension Upstream {
    /// The upstream's figures now. Any thread; sums over loops are not of one moment.
    package func snapshot() -> UpstreamSnapshot { snapshot(now: MonotonicClock.now) }

    /// - Parameter now: ns on the loops' clock.
    func snapshot(now: UInt64) -> UpstreamSnapshot {
        let servers = servers
        let counters = servers.counters
        var snapshot = UpstreamSnapshot(name: configuration.name, servers: servers.list.indices.map { servers.snapshot($0, now: now) })
        snapshot.retries = counters.sum(.retries)
        snapshot.retriesOverBudget = counters.sum(.retriesOverBudget)
        snapshot.unavailable = counters.sum(.unavailable)
        snapshot.busy = counters.sum(.busy)
        snapshot.expired = counters.sum(.expired)
        snapshot.lookups = counters.event(.lookups)
        snapshot.failedLookups = counters.event(.failedLookups)
        snapshot.addressChanges = counters.event(.addressChanges)
        return snapshot
    }
}

extension UpstreamServers {
    fileprivate func snapshot(_ index: Int, now: UInt64) -> UpstreamSnapshot.Server {
        let known = list[index]
        let ejectedFor = shared.ejectedFor(index, now: now)
        var server = UpstreamSnapshot.Server(
            address: "\(known.address)", name: known.address == known.configured.address ? nil : "\(known.configured.address)", weight: known.configured.weight,
            isBackup: known.configured.isBackup, isHealthy: shared.isHealthy(index), isDraining: shared.isDraining(index), isEjected: ejectedFor > 0,
            ejectedForNs: ejectedFor)
        server.requests = counters.sum(.requests, server: index)
        // Its two halves are read one after the other, so it may seem to be below 0.
        let ended = counters.sum(.ended, server: index)
        server.active = server.requests > ended ? server.requests - ended : 0
        for place in server.responses.indices { server.responses[place] = counters.sum(.responses, plus: place, server: index) }
        for place in server.failures.indices { server.failures[place] = counters.sum(.failures, plus: place, server: index) }
        server.cancelled = counters.sum(.cancelled, server: index)
        server.headNs = counters.sum(.headNs, server: index)
        server.ejections = counters.event(.ejections, server: index)
        server.spared = counters.event(.spared, server: index)
        server.checks = counters.event(.checks, server: index)
        server.failedChecks = counters.event(.failedChecks, server: index)
        server.healthTransitions = counters.event(.healthTransitions, server: index)
        return server
    }
}
