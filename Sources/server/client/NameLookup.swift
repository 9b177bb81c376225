// NameLookup: the process's resolver (NameResolver) for who decides about servers without connecting to them: a name's addresses, asked for anew. Any thread.

internal import UringRing

package struct NameLookup: Sendable {
    private let resolver: NameResolver

    /// The system's, on the threads that connections' own questions use too, and with the answers kept for these.
    package static let system = NameLookup(.shared)

    private init(_ resolver: NameResolver) { self.resolver = resolver }

    /// Answers of somebody else's, on threads of its own; for tests.
    /// - Parameter source: may block.
    package init(source: @escaping @Sendable (String) -> Result<[RequestPeer], ResolutionFailure>) {
        resolver = NameResolver(source: { name in source(name).map { peers in peers.compactMap { SocketAddress(named: $0) } } })
    }

    /// All addresses of a name, in the order in which the system would try them, without ports. Suspends the task for as long as the system's resolver takes: seconds, when it is down.
    package func ask(_ host: String) async -> Result<[RequestPeer], ResolutionFailure> { await resolver.ask(host).map { $0.compactMap { RequestPeer(named: $0) } } }
}

extension SocketAddress {
    fileprivate init?(named peer: RequestPeer) {
        switch peer {
        case .local: return nil
        case .ipv4(let number, let port): self.init(ipv4: number, port: port)
        case .ipv6(let high, let low, let port): self.init(ipv6High: high, low: low, port: port)
        }
    }
}

extension RequestPeer {
    fileprivate init?(named address: SocketAddress) {
        switch address.family {
        case .ipv4: self = .ipv4(UInt32(truncatingIfNeeded: address.low), port: 0)
        case .ipv6: self = .ipv6(high: address.high, low: address.low, port: 0)
        case .unix: return nil
        }
    }
}
