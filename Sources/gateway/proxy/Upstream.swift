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
    let balancerServers: [BalancerServer]
    /// What stands in messages, `orders (127.0.0.1:9001)`; by server.
    let names: [String]
    let loops: Int
    /// By loop, made by the loop that first asks. Each place belongs to its loop's thread from start to end; the memory goes with this object, when no loop runs any more or
    /// every loop has retired its own (`retire`).
    nonisolated(unsafe) private let places: UnsafeMutablePointer<LoopUpstream?>

    package init(_ configuration: UpstreamConfiguration, loops: Int) {
        self.configuration = configuration
        self.loops = loops
        names = configuration.servers.map { "\(configuration.name) (\($0.address))" }
        let identities = configuration.servers.map { KeyHash.stable("\($0.address)") }
        balancerServers = zip(configuration.servers, identities).map { server, identity in
            BalancerServer(identity: identity, weight: UInt32(clamping: server.weight), isBackup: server.isBackup)
        }
        shared = SharedServers(count: configuration.servers.count)
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

    /// The loop's own part. On the thread of the response's loop.
    func onLoop(of response: borrowing Response) -> LoopUpstream {
        let index = response.loopIndex
        precondition(index < loops, "BUG: a loop that the gateway did not start")
        if let known = unsafe places[index] { return known }
        let made = LoopUpstream(self, response)
        unsafe places[index] = made
        return made
    }

    /// The upstream is no part of the configuration any more: the loop's idle connections go, and busy ones behind their exchange. On the loop's thread.
    package func retire(loop index: Int) {
        unsafe places[index]?.retire()
        unsafe places[index] = nil
    }
}
