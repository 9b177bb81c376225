import UringPolicy

/// A balancer in a box: `#expect` copies what it is called on.
final class BalancerHarness {
    let shared: SharedServers
    var balancer: Balancer
    var random = PolicyRandom(seed: 7)
    var now: UInt64 = 1_000_000_000

    init(_ method: BalanceMethod, _ servers: [BalancerServer], slotBits: Int = 12, areHealthy: Bool = true, configure: (inout BalancerSettings) -> Void = { _ in }) {
        var settings = BalancerSettings(method: method)
        configure(&settings)
        shared = SharedServers(count: servers.count, areHealthy: areHealthy)
        balancer = Balancer(servers, settings, shared: shared, table: Self.table(servers, method, slotBits), now: now)
    }

    static func table(_ servers: [BalancerServer], _ method: BalanceMethod, _ slotBits: Int) -> RendezvousTable? {
        let primaries = servers.filter { !$0.isBackup }
        guard method == .hash, !primaries.isEmpty else { return nil }
        return RendezvousTable(primaries.map { RendezvousTable.Server(identity: $0.identity, weight: $0.weight) }, slotBits: slotBits)
    }

    convenience init(_ method: BalanceMethod, weights: [UInt32], configure: (inout BalancerSettings) -> Void = { _ in }) {
        self.init(method, Self.servers(weights), configure: configure)
    }

    static func servers(_ weights: [UInt32]) -> [BalancerServer] {
        weights.enumerated().map { BalancerServer(identity: UInt64($0 + 1) &* 0x9e37_79b9_7f4a_7c15, weight: $1) }
    }

    func acquire(key: UInt64 = 0, tried: TriedServers = TriedServers()) -> BalancerChoice { balancer.acquire(now: now, key: key, tried: tried, random: &random) }

    func release(_ server: Int) { balancer.release(server) }

    var isPanicking: Bool { balancer.isPanicking }
    func active(_ server: Int) -> Int { balancer.activeRequests(server) }

    /// A request that ends at once; −1 when there is none.
    func pick(key: UInt64 = 0, tried: TriedServers = TriedServers()) -> Int {
        guard case .server(let server) = acquire(key: key, tried: tried) else { return -1 }
        release(server)
        return server
    }

    func counts(_ picks: Int, key: (Int) -> UInt64 = { _ in 0 }) -> [Int] {
        var counts = [Int](repeating: 0, count: shared.count)
        for index in 0..<picks {
            let server = pick(key: key(index))
            if server >= 0 { counts[server] += 1 }
        }
        return counts
    }
}

/// The seeds of a property test: fewer where SIMULATION_SHARE says so.
func policySeeds(_ count: Int) -> ClosedRange<UInt64> { 1...UInt64(max(count / simulationShare, 1)) }
