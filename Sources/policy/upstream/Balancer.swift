// Balancer: which server of an upstream gets a request. One value per loop and upstream, used on the loop's thread only; time, keys and random numbers come from the caller. What loops
// have in common is in SharedServers. Selection by method is in Balancer+Methods, the look at the servers' state in Balancer+Update.

internal import Synchronization

/// How a server is chosen among those that can be used.
package enum BalanceMethod: UInt8, Sendable, CaseIterable {
    /// In turn, by weight.
    case roundRobin
    /// The fewest active requests per weight; among equals in turn, by weight.
    case leastRequests
    /// The better of two that are drawn by weight (Mitzenmacher 2001): nearly as even as `leastRequests`, at a cost that does not depend on the number of servers. Loops that know nothing of
    /// each other do not run to the same server, as they would with `leastRequests`.
    case randomTwo
    /// Where the key belongs (`RendezvousTable`).
    case hash
}

/// A server, as the balancer wants it.
package struct BalancerServer: Sendable, Equatable {
    package static var weights: ClosedRange<UInt32> { 1...1000 }

    /// A hash of its address (`RendezvousTable.Server.identity`).
    package var identity: UInt64
    /// Within `weights`.
    package var weight: UInt32
    /// Most requests at once from this loop; 0: unbounded. A bound of the whole process is divided among its loops by whoever makes them.
    package var requestsMax: UInt32
    /// Used when no other can be.
    package var isBackup: Bool

    package init(identity: UInt64, weight: UInt32 = 1, requestsMax: UInt32 = 0, isBackup: Bool = false) {
        self.identity = identity
        self.weight = weight
        self.requestsMax = requestsMax
        self.isBackup = isBackup
    }
}

package struct BalancerSettings: Sendable, Equatable {
    package var method: BalanceMethod
    /// When fewer than this share of the servers that are no backups can be used, per cent, all of them are, for a few would be crushed by the load of all (Envoy's panic threshold); 0: never.
    package var panicThresholdPercent: UInt32 = 50
    package var slowStart = SlowStart.off
    /// `hash`: most active requests of a server, per cent of its share by weight of all active ones; where there are more, the key's next server is asked (Mirrokni, Thorup, Zadimoghaddam 2018).
    /// 125 is usual; 0: unbounded.
    package var hashBoundPercent: UInt32 = 0

    package init(method: BalanceMethod) { self.method = method }
}

/// What came of a selection.
package enum BalancerChoice: Sendable, Equatable {
    /// The server's index; the request counts as active until `release`.
    case server(Int)
    /// Servers are in use, and all that were not tried have as many requests as they may: waiting may help.
    case busy
    /// Every server in use was tried for this request.
    case tried
    /// No server can be used: unhealthy, ejected or draining.
    case unavailable
}

/// The servers that were tried for one request.
package struct TriedServers: Sendable {
    /// One more than a request may be repeated (`RetrySettings.attemptsMax`) would never be asked about.
    package static var countMax: Int { 8 }

    private var servers = InlineArray<8, UInt16>(repeating: 0)
    package private(set) var count = 0

    package init() {}

    /// Nothing happens when `countMax` are known already.
    package mutating func insert(_ server: Int) {
        guard count < Self.countMax, !contains(server) else { return }
        servers[count] = UInt16(server)
        count += 1
    }

    package func contains(_ server: Int) -> Bool {
        for place in 0..<count where servers[place] == UInt16(truncatingIfNeeded: server) { return true }
        return false
    }

    subscript(place: Int) -> Int { Int(servers[place]) }
}

/// Chooses servers, and counts this loop's active requests of each.
///
/// No allocation per decision; what each costs is in docs/ARCHITECTURE.md, "Policies".
package struct Balancer: ~Copyable {
    /// Servers that are asked together: first those that are no backups, then the backups.
    struct Tier {
        /// A multiple of eight.
        var lanes: Range<Int>
        var servers: Int
        /// Sum of the weights of those that can be chosen, in hundredths.
        var total: Int32 = 0
        /// In use: not unhealthy, ejected or draining, or taken in a panic.
        var live = 0
        /// `live`, not at their bound and not hidden.
        var selectable = 0
    }

    /// The lag of what cannot be chosen: below all lags, and far from an overflow.
    static var hiddenLag: Int32 { .min / 2 }
    /// The load of what cannot be chosen: the bits of infinity. Loads are floats that are not negative, which compare like their bits.
    static var hiddenLoad: Int32 { Int32(bitPattern: Float.infinity.bitPattern) }
    /// Beyond it lags are cut, so that no history of exclusions overflows: half the distance to `hiddenLag`.
    static var lagMax: Int32 { 1 << 29 }

    let settings: BalancerSettings
    let servers: [BalancerServer]
    let shared: SharedServers
    let table: RendezvousTable?

    // By lane. A server's lane is `lane[server]`, for those that are no backups come first.
    var lanes: [UInt16]
    var serverOf: [UInt16]
    /// Smooth round-robin: how far the server is behind what it should have got, times the sum of weights.
    var lag: Lanes
    /// What `lag` grows by each time: the weight, or 0 for what cannot be chosen.
    var step: Lanes
    /// Active requests by weight, as the bits of a float.
    var load: Lanes
    /// `lag` of what is hidden.
    var savedLag: Lanes
    /// The weight in hundredths after slow start; 0: not live.
    var weight: Lanes
    var active: Lanes
    var alias: AliasTable
    var primary: Tier
    var backup: Tier
    /// Active requests of this loop at all servers.
    package private(set) var activeTotal = 0
    /// Too few servers are healthy: all are used.
    package internal(set) var isPanicking = false

    /// The state that the lanes are made of, and until when it holds.
    var seenEpoch: UInt64 = 0
    var validUntil: UInt64 = 0

    /// - Parameters:
    ///   - servers: at most `SharedServers.countMax`, as many as `shared` has.
    ///   - table: of the servers that are no backups, in their order; demanded by `hash`, unused otherwise.
    package init(_ servers: [BalancerServer], _ settings: BalancerSettings, shared: SharedServers, table: RendezvousTable? = nil, now: UInt64) {
        precondition(servers.count == shared.count, "BUG: the servers of the loop are not the shared ones")
        precondition(servers.allSatisfy { BalancerServer.weights.contains($0.weight) }, "BUG: weights are 1 to 1000")
        precondition(settings.panicThresholdPercent <= 100 && (settings.hashBoundPercent == 0 || settings.hashBoundPercent >= 100), "BUG: shares out of range")
        let primaries = servers.indices.filter { !servers[$0].isBackup }
        let backups = servers.indices.filter { servers[$0].isBackup }
        precondition(settings.method != .hash || table != nil || primaries.isEmpty, "BUG: a balancer by hash needs a table")
        self.settings = settings
        self.servers = servers
        self.shared = shared
        self.table = table
        let middle = Lanes.padded(primaries.count)
        let count = middle + Lanes.padded(backups.count)
        primary = Tier(lanes: 0..<middle, servers: primaries.count)
        backup = Tier(lanes: middle..<count, servers: backups.count)
        var lanes = [UInt16](repeating: 0, count: servers.count)
        var serverOf = [UInt16](repeating: 0, count: count)
        for (place, server) in primaries.enumerated() { (lanes[server], serverOf[place]) = (UInt16(place), UInt16(server)) }
        for (place, server) in backups.enumerated() { (lanes[server], serverOf[middle + place]) = (UInt16(middle + place), UInt16(server)) }
        self.lanes = lanes
        self.serverOf = serverOf
        lag = Lanes(count: count, repeating: Self.hiddenLag)
        step = Lanes(count: count, repeating: 0)
        load = Lanes(count: count, repeating: Self.hiddenLoad)
        savedLag = Lanes(count: count, repeating: 0)
        weight = Lanes(count: count, repeating: 0)
        active = Lanes(count: count, repeating: 0)
        alias = AliasTable(capacity: settings.method == .randomTwo ? primaries.count : 0)
        update(now: now)
    }

    // MARK: Choosing

    /// Chooses a server, whose request is active from now on.
    ///
    /// - Parameters:
    ///   - now: monotonic ns, as for the detectors that feed `shared`.
    ///   - key: what `hash` goes by (`KeyHash`); unused otherwise.
    ///   - tried: servers that are not to be asked again.
    package mutating func acquire(now: UInt64, key: UInt64 = 0, tried: borrowing TriedServers = TriedServers(), random: inout PolicyRandom) -> BalancerChoice {
        if shared.epoch.load(ordering: .acquiring) != seenEpoch || now >= validUntil { update(now: now) }
        var hidden: UInt64 = 0
        if tried.count > 0 { hidden = hide(tried) }
        let lane = select(key: key, random: &random)
        let choice = lane >= 0 ? take(lane) : emptyHanded(tried)
        if hidden != 0 { show(tried, hidden) }
        return choice
    }

    /// The request that `acquire` gave this server to has ended.
    package mutating func release(_ server: Int) {
        let lane = Int(lanes[server])
        precondition(active[lane] > 0, "BUG: more requests ended than began")
        let wasFull = isFull(lane)
        active[lane] &-= 1
        activeTotal &-= 1
        if wasFull && !isFull(lane) && weight[lane] > 0 { show(lane) } else if step[lane] > 0 { load[lane] = loadNow(lane) }
    }

    /// Active requests of this loop at a server.
    package func activeRequests(_ server: Int) -> Int { Int(active[Int(lanes[server])]) }

    /// Whether the server is in use, as of the last decision.
    package func isLive(_ server: Int) -> Bool { weight[Int(lanes[server])] > 0 }

    /// The lane chosen by the settings' method, or −1.
    private mutating func select(key: UInt64, random: inout PolicyRandom) -> Int {
        if primary.selectable > 0 {
            switch settings.method {
            case .roundRobin: return nextInTurn(primary)
            case .leastRequests: return leastLoaded(primary)
            case .randomTwo: return betterOfTwo(&random)
            case .hash: return byHash(key)
            }
        }
        guard backup.selectable > 0 else { return -1 }
        // Backups are few: no tables are kept for them.
        switch settings.method {
        case .roundRobin: return nextInTurn(backup)
        case .leastRequests, .randomTwo: return leastLoaded(backup)
        case .hash: return firstToArrive(backup, key)
        }
    }

    private mutating func take(_ lane: Int) -> BalancerChoice {
        active[lane] &+= 1
        activeTotal &+= 1
        if isFull(lane) { hide(lane) } else { load[lane] = loadNow(lane) }
        return .server(Int(serverOf[lane]))
    }

    private func emptyHanded(_ tried: borrowing TriedServers) -> BalancerChoice {
        var left = primary.live + backup.live
        guard left > 0 else { return .unavailable }
        for place in 0..<tried.count where weight[Int(lanes[tried[place]])] > 0 { left -= 1 }
        return left > 0 ? .busy : .tried
    }

    // MARK: What can be chosen

    func isFull(_ lane: Int) -> Bool {
        let max = servers[Int(serverOf[lane])].requestsMax
        return max > 0 && UInt32(bitPattern: active[lane]) >= max
    }

    func loadNow(_ lane: Int) -> Int32 { Int32(bitPattern: (Float(active[lane]) / Float(weight[lane])).bitPattern) }

    /// Takes a live server out of the choice: its part of the sum goes, its lag is kept.
    mutating func hide(_ lane: Int) {
        withTier(of: lane, selectable: -1, total: 0 &- step[lane])
        savedLag[lane] = lag[lane]
        lag[lane] = Self.hiddenLag
        step[lane] = 0
        load[lane] = Self.hiddenLoad
    }

    /// The reverse of `hide`.
    mutating func show(_ lane: Int) {
        lag[lane] = savedLag[lane]
        step[lane] = weight[lane]
        load[lane] = loadNow(lane)
        withTier(of: lane, selectable: 1, total: step[lane])
    }

    private mutating func withTier(of lane: Int, selectable: Int, total: Int32) {
        if lane < primary.lanes.upperBound {
            primary.selectable &+= selectable
            primary.total &+= total
        } else {
            backup.selectable &+= selectable
            backup.total &+= total
        }
    }

    /// Hides what was tried; which of them, by their place.
    private mutating func hide(_ tried: borrowing TriedServers) -> UInt64 {
        var hidden: UInt64 = 0
        for place in 0..<tried.count where tried[place] < servers.count {
            let lane = Int(lanes[tried[place]])
            guard step[lane] > 0 else { continue }
            hide(lane)
            hidden |= 1 << UInt64(place)
        }
        return hidden
    }

    private mutating func show(_ tried: borrowing TriedServers, _ hidden: UInt64) {
        for place in 0..<tried.count where hidden & 1 << UInt64(place) != 0 { show(Int(lanes[tried[place]])) }
    }
}
