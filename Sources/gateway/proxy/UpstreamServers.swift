// UpstreamServers: the servers of an upstream at one time: those of the configuration, where a host name stands for the addresses that it had when it was last looked up. Immutable but for
// what loops share of the servers' state; when addresses change, another one takes its place (`Upstream.adopt`), with what is known of the servers that stay.

internal import UringBase
internal import UringPolicy
internal import UringServer

/// A server as it is reached.
struct ReachedServer: Sendable, Equatable {
    let configured: UpstreamServer
    /// Where to connect. A name when it has not been looked up, or when it is not to be told apart by address.
    let address: UpstreamAddress
}

final class UpstreamServers: Sendable {
    /// In the order of the configuration, each address once.
    let list: [ReachedServer]
    /// What names were found to stand for, with ports.
    let known: [UpstreamAddress: [UpstreamAddress]]
    private let places: [UpstreamAddress: Int]
    let shared: SharedServers
    /// Which server a key belongs to; nil unless the upstream is balanced by hash.
    let table: RendezvousTable?
    let balancerServers: [BalancerServer]
    /// What stands in messages, `orders (127.0.0.1:9001)`; by server.
    let names: [String]
    /// Host and port of each server's address, as they stand in Host.
    let authorities: [[UInt8]]
    let counters: UpstreamCounters

    /// - Parameters:
    ///   - previous: of the same upstream, and of the same configuration, a moment ago.
    ///   - now: ns on the loops' clock.
    init(_ configuration: UpstreamConfiguration, loops: Int, known: [UpstreamAddress: [UpstreamAddress]] = [:], after previous: UpstreamServers? = nil, now: UInt64 = 0) {
        let list = Self.list(configuration, known)
        (self.list, self.known) = (list, known)
        places = Dictionary(list.enumerated().map { ($1.address, $0) }, uniquingKeysWith: { first, _ in first })
        names = list.map { server in
            server.address == server.configured.address
                ? "\(configuration.name) (\(server.address))" : "\(configuration.name) (\(server.configured.address) at \(server.address))"
        }
        authorities = list.map { Upstream.authority($0.configured.address, isSecure: configuration.tls != nil) }
        let identities = list.map { KeyHash().hash(Array("\($0.address)".utf8).span) }
        balancerServers = zip(list, identities).map { server, identity in
            BalancerServer(identity: identity, weight: UInt32(clamping: server.configured.weight), isBackup: server.configured.isBackup)
        }
        shared = SharedServers(count: list.count)
        if case .hash = configuration.balance {
            let primaries = balancerServers.filter { !$0.isBackup }
            table = RendezvousTable(primaries.map { RendezvousTable.Server(identity: $0.identity, weight: $0.weight) }, previous: previous?.table)
        } else {
            table = nil
        }
        counters = UpstreamCounters(
            loops: loops, servers: list.map { server in previous.flatMap { old in old.index(of: server.address).map { old.counters.cells(of: $0) } } }, own: previous?.counters.ownCells)
        guard let previous else { return }
        for (index, server) in list.enumerated() {
            if let old = previous.index(of: server.address) {
                shared.take(index, from: previous.shared, old)
            } else if configuration.slowStartNs > 0, previous.known[server.configured.address] != nil {
                // Not behind a name's first answer: there would be nobody whom it could be spared for.
                shared.begin(index, now: now)
            }
        }
    }

    /// The server at an address; nil when there is none.
    func index(of address: UpstreamAddress) -> Int? { places[address] }

    /// The same server, by the same name.
    func index(of server: ReachedServer) -> Int? { places[server.address].flatMap { list[$0] == server ? $0 : nil } }

    /// Where the configuration has more names than there may be servers, each name gets its share.
    static func addressesMax(_ configuration: UpstreamConfiguration) -> Int {
        min(Upstream.addressesPerNameMax, max(1, SharedServers.countMax / max(1, configuration.servers.count)))
    }

    private static func list(_ configuration: UpstreamConfiguration, _ known: [UpstreamAddress: [UpstreamAddress]]) -> [ReachedServer] {
        var seen: Set<UpstreamAddress> = []
        var list: [ReachedServer] = []
        for server in configuration.servers {
            for address in known[server.address] ?? [server.address] where seen.insert(address).inserted {
                list.append(ReachedServer(configured: server, address: address))
            }
        }
        return list
    }
}
