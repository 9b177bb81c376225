// Upstream: the servers of one `upstreams` entry at work. One object for all loops: what they share of the servers' state, and for each loop a `LoopUpstream` that only its
// thread touches. Made at start and on a reload; one whose configuration has not changed is taken over as it is, connections included.

internal import UringBase
internal import UringPolicy
package import UringServer

@safe
package final class Upstream: Sendable {
    package let configuration: UpstreamConfiguration
    /// The most addresses of a name that are used; beyond them names are lists of something else. A power of DNS: some 4 KiB of answer.
    static let addressesPerNameMax = 64

    let key: UpstreamKey
    /// Nil: nothing is ejected.
    let outlier: OutlierDetector?
    let retry: RetryPolicy
    /// Where events are told.
    let reporter: LogReporter?
    var log: OperationalLog? { reporter?.log }
    let watch = UpstreamWatch()
    /// Certificates and keys are loaded; nil: in clear.
    let tls: HTTPClientTLS?
    package let loops: Int
    /// By loop, made by the loop that first asks. Each place belongs to its loop's thread from start to end; the memory goes with this object, when no loop runs any more or
    /// every loop has retired its own (`retire`).
    nonisolated(unsafe) private let places: UnsafeMutablePointer<LoopUpstream?>
    private let current: Locked<UpstreamServers>
    let lookup: NameLookup

    /// As of now. A loop goes by those of its own part, which are the same a moment later (`adopt`).
    var servers: UpstreamServers { current.withLock { $0 } }

    /// - Parameters:
    ///   - previous: of the same name; what it knows of servers that are in both is taken over: who is ill is asked before it gets a request, who is new begins slowly.
    ///   - lookup: whom names of servers are looked up by.
    /// - Throws: `GatewayError` when a file of `tls` cannot be used.
    package init(
        _ configuration: UpstreamConfiguration, loops: Int, log reporter: LogReporter? = nil, after previous: Upstream? = nil, lookup: NameLookup = .system
    ) throws {
        self.configuration = configuration
        self.reporter = reporter
        self.lookup = lookup
        tls = try configuration.tls.map { try Self.clientTLS($0, label: "upstreams.\(configuration.name)") }
        self.loops = loops
        key = UpstreamKey(configuration.balance)
        outlier = configuration.outlier.map { OutlierDetector(OutlierSettings($0)) }
        retry = RetryPolicy(RetrySettings(configuration.retry))
        let names = Set(configuration.servers.map(\.address))
        let known = previous?.configuration.resolvesTo == configuration.resolvesTo ? previous?.servers.known.filter { names.contains($0.key) } : nil
        current = Locked(UpstreamServers(configuration, loops: loops, known: known ?? [:]))
        unsafe places = .allocate(capacity: loops)
        unsafe places.initialize(repeating: nil, count: loops)
        if let previous { inherit(from: previous) }
    }

    deinit {
        unsafe places.deinitialize(count: loops)
        unsafe places.deallocate()
    }

    /// Whether it can serve another configuration as it is. Files of `tls` may have changed under their names.
    func goesOn(as wanted: UpstreamConfiguration, loops: Int) throws -> Bool {
        guard configuration == wanted, self.loops == loops else { return false }
        guard let now = try wanted.tls.map({ try Self.clientTLS($0, label: "upstreams.\(wanted.name)") }) else { return true }
        return tls?.isSame(as: now) ?? false
    }

    private func inherit(from old: Upstream) {
        let (servers, before, now) = (servers, old.servers, MonotonicClock.now)
        for (index, server) in servers.list.enumerated() {
            if let known = before.index(of: server.address) {
                if configuration.health != nil, !before.shared.isHealthy(known) { servers.shared.setHealthy(index, false, now: now) }
            } else if configuration.slowStartNs > 0 {
                servers.shared.begin(index, now: now)
            }
        }
    }

    /// The loop's own part. On the thread of the response's loop.
    func onLoop(of response: borrowing Response) -> LoopUpstream {
        let index = response.loopIndex
        precondition(index < loops, "BUG: a loop that the gateway did not start")
        if let known = unsafe places[index] { return known }
        let made = LoopUpstream(self, servers, response)
        unsafe places[index] = made
        return made
    }

    /// A loop's connections to these servers; empty when it has asked none yet, or goes by others. On the loop's thread.
    func pools(of servers: UpstreamServers, loop index: Int) -> [UpstreamPoolFigures] {
        guard index < loops, let here = unsafe places[index], here.servers === servers else { return [] }
        return here.poolFigures
    }

    /// The upstream is no part of the configuration any more: the loop's idle connections go, and busy ones behind their exchange. Requests to servers that the successor does not
    /// have get `drain` to finish. On the loop's thread.
    func retire(loop index: Int, _ loop: ServerLoop, successor: Upstream?) {
        guard let here = unsafe places[index] else { return }
        here.retire()
        unsafe places[index] = nil
        let kept = Set(successor?.servers.list.map(\.address) ?? [])
        drain(here, Set(here.servers.list.indices.filter { !kept.contains(here.servers.list[$0].address) }), loop)
    }

    /// These servers are gone: their requests have `drain` to finish.
    private func drain(_ here: LoopUpstream, _ removed: Set<Int>, _ loop: ServerLoop) {
        guard configuration.drainNs > 0, !removed.isEmpty else { return }
        let retired = RetiredUpstream(here)
        // This object is held with it: the loop's part does not hold it.
        Task(executorPreference: loop.taskExecutor) { [self] in
            guard (try? await loop.sleep(for: .nanoseconds(Int64(clamping: configuration.drainNs)))) != nil else { return }
            let count = retired.here.cut(removed)
            if count > 0 { log?.warning("upstream \(configuration.name): \(count) requests to servers that were removed took longer than drain, and were cut off") }
        }
    }

    // MARK: addresses that change

    /// Puts other servers in the place of those of now, for loops to go over to (`adopt`). By one task alone; with `balance: hash` it takes milliseconds.
    /// - Returns: false when they are the same.
    func replace(known: [UpstreamAddress: [UpstreamAddress]], now: UInt64) -> Bool {
        let before = servers
        let next = UpstreamServers(configuration, loops: loops, known: known, after: before, now: now)
        guard next.list != before.list else { return false }
        next.counters.add(.addressChanges)
        current.withLock { $0 = next }
        return true
    }

    /// Goes over to the servers of now: connections to those that stay are kept, the others' go as at a reload. On the loop's thread.
    func adopt(loop index: Int, _ loop: ServerLoop) {
        guard let here = unsafe places[index] else { return }
        let servers = servers
        guard here.servers !== servers else { return }
        let made = LoopUpstream(self, servers, after: here)
        unsafe places[index] = made
        let removed = here.servers.list.indices.filter { servers.index(of: here.servers.list[$0]) == nil }
        here.retire(Set(removed), successor: made)
        drain(here, Set(removed), loop)
    }

    // MARK: connections

    /// What stands in Host for an address.
    static func authority(_ address: UpstreamAddress, isSecure: Bool) -> [UInt8] {
        // A server on a Unix socket has no name of its own; `localhost` is what others send (curl --unix-socket).
        guard let port = address.port else { return Array("localhost".utf8) }
        let text = "\(address)"
        return Array((port == (isSecure ? 443 : 80) ? String(text.dropLast("\(port)".count + 1)) : text).utf8)
    }

    /// Where to connect, and the name that TLS asks for and verifies when the configuration has none.
    func host(of server: ReachedServer) -> String { server.configured.address.host ?? "localhost" }

    /// Whether its connections may turn out to be of HTTP/2, on which nobody can ask for another protocol.
    var maySpeakHTTP2: Bool { configuration.version == .http2 || configuration.version == .auto && configuration.tls != nil }

    /// Connections, and requests that wait for one, of a loop and server: limits of the whole process, divided among them.
    func shares(of servers: UpstreamServers) -> (connections: Int, pending: Int) {
        let limits = configuration.connections
        let share = loops * servers.list.count
        return (limits.max == 0 ? 65_536 : max(1, (limits.max + share - 1) / share), limits.pendingMax == 0 ? 0 : max(1, (limits.pendingMax + share - 1) / share))
    }

    func clientOptions(_ server: ReachedServer, of servers: UpstreamServers) -> HTTPClientOptions {
        var options = HTTPClientOptions()
        let limits = configuration.connections
        (options.connectionsPerServerMax, options.pendingPerServerMax) = shares(of: servers)
        options.streamsPerConnectionMax = limits.streamsMax
        options.requestsPerConnectionMax = limits.requestsPerConnectionMax
        options.connectTimeout = .nanoseconds(Int64(clamping: limits.connectTimeoutNs))
        options.idleTimeout = .nanoseconds(Int64(clamping: limits.idleTimeoutNs))
        // The exchange watches the time to the response's head, for all attempts together.
        options.headTimeout = .zero
        options.bodyTimeout = .nanoseconds(Int64(clamping: configuration.timeouts.bodyNs))
        options.writeTimeout = .nanoseconds(Int64(clamping: configuration.timeouts.writeNs))
        options.connectsTo = server.address.connectsTo
        options.protocols = HTTPClientProtocols(configuration.version)
        if let tls { options.tls = tls }
        return options
    }
}

/// A loop's part of an upstream that has retired, for a task of that loop, which alone touches it.
private final class RetiredUpstream: @unchecked Sendable {
    let here: LoopUpstream
    init(_ here: LoopUpstream) { self.here = here }
}

extension ListenAddress {
    /// Without brackets; nil for Unix sockets.
    var host: String? {
        switch self {
        case .ipv4, .ipv6:
            let text = "\(self)"
            let host = text[..<(text.lastIndex(of: ":") ?? text.endIndex)]
            return host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : String(host)
        case .name(let name, _): return name
        case .unix: return nil
        }
    }

    /// Where to connect, when no name has to be looked up.
    var connectsTo: String? {
        if case .name = self { return nil }
        return "\(self)"
    }
}

extension OutlierSettings {
    init(_ configuration: OutlierConfiguration) {
        self.init()
        consecutive5xx = UInt32(clamping: configuration.consecutive5xx)
        consecutiveGatewayFailures = UInt32(clamping: configuration.consecutiveFailures)
        intervalNs = configuration.intervalNs
        ejectNs = configuration.ejectNs
        ejectMaxNs = configuration.ejectMaxNs
        maxEjectedPercent = configuration.ejectedMax.hundredths / 100
    }
}

extension RetrySettings {
    init(_ configuration: RetryConfiguration) {
        self.init()
        attempts = min(UInt8(clamping: configuration.attempts), Self.attemptsMax)
        conditions = []
        statuses = StatusSet()
        for reason in configuration.reasons {
            switch reason {
            case .connectFailure: conditions.insert(.connectFailure)
            case .reset: conditions.insert(.reset)
            case .timeout: conditions.insert(.timeout)
            case .refusedStream: conditions.insert(.refused)
            case .status(let status): statuses.insert(status)
            }
        }
        repeatsUnsafe = configuration.repeatsNonIdempotent
        backoffBaseNs = configuration.backoffNs
        backoffMaxNs = configuration.backoffMaxNs
    }
}
