// ProxyParts: what routes with `proxy` are made of: the upstreams by name, and whom to believe about clients. Made when an application is; plain values.

internal import UringPolicy
internal import UringServer

package struct ProxyParts {
    private let upstreams: [Upstream]
    let trusted: TrustedProxies
    private let identity: RequestIdentity?
    private let tracing: TraceForwarding?
    private let deadline: DeadlineConfiguration?

    package init(_ upstreams: [Upstream] = [], trusted: [AddressPrefix] = []) {
        self.init(upstreams, TrustedProxies(trusted))
    }

    init(
        _ upstreams: [Upstream], _ trusted: TrustedProxies, _ identity: RequestIdentity? = nil, _ tracing: TraceForwarding? = nil, _ deadline: DeadlineConfiguration? = nil
    ) {
        (self.upstreams, self.trusted, self.identity, self.tracing, self.deadline) = (upstreams, trusted, identity, tracing, deadline)
    }

    func upstream(_ name: String, of route: RouteConfiguration) throws -> Upstream {
        guard let upstream = upstreams.first(where: { $0.configuration.name == name }) else {
            throw GatewayError("the route \(route.name) needs the upstream \(name), which does not exist")
        }
        return upstream
    }

    func route(_ route: RouteConfiguration, _ proxy: ProxyConfiguration, _ breaker: BreakerFilter?) throws -> ProxyRoute {
        ProxyRoute(
            proxy, try upstream(proxy.upstream, of: route), trusted: trusted, identity, tracing, breaker: breaker, patterns: route.match.paths, wholeTimeoutNs: route.filters.deadlineNs,
            deadline: deadline)
    }
}

/// Peers that are believed about the clients behind them. Few prefixes: they are tried one after the other.
struct TrustedProxies: Sendable {
    private struct Prefix: Sendable {
        let address: IPAddress
        let length: Int
    }

    private let prefixes: [Prefix]
    /// The same, for walks along chains of proxies.
    private let set: PrefixSet
    /// Peers on Unix sockets are on this machine, put there by its administrator.
    private let trustsLocal: Bool

    init(_ prefixes: [AddressPrefix]) {
        self.prefixes = prefixes.map { prefix in
            if prefix.isIPv4 {
                let number = prefix.bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                return Prefix(address: IPAddress(ipv4: number), length: prefix.bits + 96)
            }
            let high = prefix.bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = prefix.bytes[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Prefix(address: IPAddress(high: high, low: low), length: prefix.bits)
        }
        set = PrefixSet(self.prefixes.map { UringPolicy.Prefix($0.address, length: $0.length) })
        trustsLocal = !prefixes.isEmpty
    }

    func contains(_ peer: RequestPeer) -> Bool {
        guard !prefixes.isEmpty else { return false }
        guard let address = peer.address else { return trustsLocal }
        return contains(address)
    }

    /// Whom the request came from: the peer, or whom peers that are believed say it is for. nil: somebody on this machine.
    func client(of request: borrowing Request) -> IPAddress? {
        guard let peer = request.peer.address else { return nil }
        guard contains(peer) else { return peer }
        var walk = ForwardedWalk(peer: peer, trusted: set)
        walk.take(request, trusted: set)
        return walk.client
    }

    func contains(_ address: IPAddress) -> Bool { prefixes.contains { address.masked($0.length) == $0.address } }
}

extension RequestPeer {
    /// Nil for Unix sockets.
    var address: IPAddress? {
        switch self {
        case .local: nil
        case .ipv4(let number, _): IPAddress(ipv4: number)
        case .ipv6(let high, let low, _): IPAddress(high: high, low: low)
        }
    }
}
