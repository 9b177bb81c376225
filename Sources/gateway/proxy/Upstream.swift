// Upstream: the servers of one `upstreams` entry at work. One object for all loops: what they share of the servers' state, and for each loop a `LoopUpstream` that only its
// thread touches. Made at start and on a reload; one whose configuration has not changed is taken over as it is, connections included.

internal import UringBase
internal import UringPolicy
internal import UringServer

@safe
package final class Upstream: Sendable {
    package let configuration: UpstreamConfiguration
    let shared: SharedServers
    /// Which server a key belongs to; nil unless the upstream is balanced by hash.
    let table: RendezvousTable?
    let key: UpstreamKey
    let balancerServers: [BalancerServer]
    /// What stands in messages, `orders (127.0.0.1:9001)`; by server.
    let names: [String]
    /// Host and port of each server's address, as they stand in Host.
    let authorities: [[UInt8]]
    /// Nil: nothing is ejected.
    let outlier: OutlierDetector?
    let retry: RetryPolicy
    let counters: UpstreamCounters
    /// Where events are told.
    let log: OperationalLog?
    let watch = UpstreamWatch()
    /// Certificates and keys are loaded; nil: in clear.
    let tls: HTTPClientTLS?
    package let loops: Int
    /// By loop, made by the loop that first asks. Each place belongs to its loop's thread from start to end; the memory goes with this object, when no loop runs any more or
    /// every loop has retired its own (`retire`).
    nonisolated(unsafe) private let places: UnsafeMutablePointer<LoopUpstream?>

    /// - Throws: `GatewayError` when a file of `tls` cannot be used.
    package init(_ configuration: UpstreamConfiguration, loops: Int, log: OperationalLog? = nil) throws {
        self.configuration = configuration
        self.log = log
        tls = try configuration.tls.map { try Self.clientTLS($0, label: "upstreams.\(configuration.name)") }
        self.loops = loops
        names = configuration.servers.map { "\(configuration.name) (\($0.address))" }
        authorities = configuration.servers.map { Self.authority($0.address, isSecure: configuration.tls != nil) }
        key = UpstreamKey(configuration.balance)
        outlier = configuration.outlier.map { OutlierDetector(OutlierSettings($0)) }
        retry = RetryPolicy(RetrySettings(configuration.retry))
        let identities = configuration.servers.map { KeyHash().hash(Array("\($0.address)".utf8).span) }
        balancerServers = zip(configuration.servers, identities).map { server, identity in
            BalancerServer(identity: identity, weight: UInt32(clamping: server.weight), isBackup: server.isBackup)
        }
        shared = SharedServers(count: configuration.servers.count)
        counters = UpstreamCounters(loops: loops, servers: configuration.servers.count)
        if case .hash = configuration.balance {
            let primaries = balancerServers.filter { !$0.isBackup }
            table = RendezvousTable(primaries.map { RendezvousTable.Server(identity: $0.identity, weight: $0.weight) })
        } else {
            table = nil
        }
        unsafe places = .allocate(capacity: loops)
        unsafe places.initialize(repeating: nil, count: loops)
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

    /// Takes over what is known of servers that another configuration has had: who is ill is asked before it gets a request; who is new begins slowly. Before it serves.
    func inherit(from old: Upstream) {
        for (index, server) in configuration.servers.enumerated() {
            if let known = old.configuration.servers.firstIndex(where: { $0.address == server.address }) {
                if configuration.health != nil, !old.shared.isHealthy(known) { setHealthy(index, false) }
            } else if configuration.slowStartNs > 0 {
                // A return begins the slow start.
                setHealthy(index, false)
                setHealthy(index, true)
            }
        }
    }

    /// The loop's own part. On the thread of the response's loop.
    func onLoop(of response: borrowing Response) -> LoopUpstream {
        let index = response.loopIndex
        precondition(index < loops, "BUG: a loop that the gateway did not start")
        if let known = unsafe places[index] { return known }
        let made = LoopUpstream(self, response)
        unsafe places[index] = made
        return made
    }

    /// The upstream is no part of the configuration any more: the loop's idle connections go, and busy ones behind their exchange. Requests to servers that the successor does not
    /// have get `drain` to finish. On the loop's thread.
    func retire(loop index: Int, _ loop: ServerLoop, successor: Upstream?) {
        guard let here = unsafe places[index] else { return }
        here.retire()
        unsafe places[index] = nil
        let kept = Set(successor?.configuration.servers.map(\.address) ?? [])
        let removed = Set(configuration.servers.indices.filter { !kept.contains(configuration.servers[$0].address) })
        guard configuration.drainNs > 0, !removed.isEmpty else { return }
        let retired = RetiredUpstream(here)
        // This object is held with it: the loop's part does not hold it.
        Task(executorPreference: loop.taskExecutor) { [self] in
            guard (try? await loop.sleep(for: .nanoseconds(Int64(clamping: configuration.drainNs)))) != nil else { return }
            let count = retired.here.cut(removed)
            if count > 0 { log?.warning("upstream \(configuration.name): \(count) requests to servers that were removed took longer than drain, and were cut off") }
        }
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
    func host(of server: UpstreamServer) -> String { server.address.host ?? "localhost" }

    /// Whether its connections may turn out to be of HTTP/2, on which nobody can ask for another protocol.
    var maySpeakHTTP2: Bool { configuration.version == .http2 || configuration.version == .auto && configuration.tls != nil }

    /// Limits of the whole process, divided among the loops.
    func clientOptions(_ server: UpstreamServer) -> HTTPClientOptions {
        var options = HTTPClientOptions()
        let limits = configuration.connections
        let share = loops * configuration.servers.count
        options.connectionsPerServerMax = limits.max == 0 ? 65_536 : max(1, (limits.max + share - 1) / share)
        options.pendingPerServerMax = limits.pendingMax == 0 ? 0 : max(1, (limits.pendingMax + share - 1) / share)
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
