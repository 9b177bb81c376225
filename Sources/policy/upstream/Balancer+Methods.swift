// Balancer+Methods: the four ways to choose. Each looks at one tier, of which at least one server can be chosen, and returns its lane.

extension Balancer {
    // MARK: In turn

    /// Smooth weighted round-robin, as in nginx: each server's lag grows by its weight, the furthest behind is chosen and pays the sum of weights.
    ///
    /// The lags sum up to what they were and measure what each server is owed, so that a server of weight w comes at intervals of about sum / w: 5, 1, 1 gives `aabacaa`. Rejected: Envoy's queue by
    /// deadline (O(log n), but a server of weight 10 among ten of weight 1 gets half of its turns in a row: it looks at when a turn ends, not at when it may begin). All lanes
    /// take part in two passes that compile to vectors, so that 1000 servers cost no more than a tree with its branches.
    mutating func nextInTurn(_ tier: Tier) -> Int {
        let most = lag.advance(tier.lanes, by: step)
        return pay(lag.first(tier.lanes, most), tier.total)
    }

    private mutating func pay(_ lane: Int, _ sum: Int32) -> Int {
        lag[lane] = max(lag[lane] &- sum, -Self.lagMax)
        return lane
    }

    // MARK: Least requests

    /// The fewest active requests per weight. Those with equally few are taken in turn by weight, as in nginx's `least_conn`: at low load all are idle, and always to take the first, or the
    /// heaviest, would leave others without any request.
    mutating func leastLoaded(_ tier: Tier) -> Int {
        let least = load.least(tier.lanes)
        let (most, sum) = lag.advance(tier.lanes, by: step, where: load, are: least, most: Self.lagMax)
        return pay(lag.first(tier.lanes, most, where: load, are: least), sum)
    }

    // MARK: Two at random

    /// Draws with what is hidden, again and again: where most of the servers are, looking at all is cheaper.
    private static var drawsMax: Int { 8 }

    mutating func betterOfTwo(_ random: inout PolicyRandom) -> Int {
        guard let first = drawSelectable(&random, not: -1) else { return leastLoaded(primary) }
        guard primary.selectable > 1, let second = drawSelectable(&random, not: first) else { return first }
        return load[second] < load[first] ? second : first
    }

    private func drawSelectable(_ random: inout PolicyRandom, not other: Int) -> Int? {
        for _ in 0..<Self.drawsMax {
            let lane = alias.draw(&random)
            if lane != other && step[lane] > 0 { return lane }
        }
        return nil
    }

    // MARK: By hash

    /// Slots looked at for a key before all servers are: with half of the weight unusable, one key in 2¹⁶ needs more.
    private static var probesMax: UInt64 { 16 }

    /// The key's owner; where it cannot be chosen, the owners of further hashes of the key. Keys of the servers that can be chosen never move because of one that cannot.
    mutating func byHash(_ key: UInt64) -> Int {
        guard let table else { return firstToArrive(primary, key) }
        var hash = mixed(key)
        for _ in 0..<Self.probesMax {
            // The table's servers are those of the tier, in order: the owner is the lane.
            let lane = table.owner(hash)
            if accepts(lane, hash) { return lane }
            hash = mixed(hash)
        }
        return firstToArrive(primary, key)
    }

    private func accepts(_ lane: Int, _ hash: UInt64) -> Bool {
        let now = step[lane]
        guard now > 0 else { return false }
        // In slow start it takes the keys whose hash is low, more and more of them: no key goes to and fro. The low bits have chosen no slot.
        let full = UInt64(servers[Int(serverOf[lane])].weight) * 100
        if UInt64(UInt32(bitPattern: now)) < full && (hash & 0xFFFF) * full >= UInt64(UInt32(bitPattern: now)) << 16 { return false }
        guard settings.hashBoundPercent > 0 else { return true }
        return !isBeyondBound(lane)
    }

    /// Whether one more request would take the server above its bound: ⌈percent · (all + 1) · weight / sum of weights⌉.
    private func isBeyondBound(_ lane: Int) -> Bool {
        let share = UInt64(activeTotal + 1) * UInt64(settings.hashBoundPercent) * UInt64(UInt32(bitPattern: weight[lane]))
        let whole = 100 * UInt64(UInt32(bitPattern: primary.total))
        return UInt64(active[lane]) >= (share + whole - 1) / whole
    }

    /// Rendezvous over the servers that can be chosen: the same order as the table's, and O(n).
    func firstToArrive(_ tier: Tier, _ key: UInt64) -> Int {
        var best = -1
        var least = Double.infinity
        for lane in tier.lanes where step[lane] > 0 {
            let server = servers[Int(serverOf[lane])]
            let time = RendezvousTable.arrival(mixed(key), RendezvousTable.Server(identity: server.identity, weight: server.weight))
            if time < least { (best, least) = (lane, time) }
        }
        return best
    }
}

/// Draws lanes by weight in constant time (Walker's alias method, built as Vose 1991 says). Owned by a Balancer; made anew when weights change.
struct AliasTable: ~Copyable {
    /// Of each column: the lane, another lane, and the share of the first in 2³².
    private var lane: Lanes
    private var other: Lanes
    private var share: Lanes
    private var columns = 0
    /// Work of `rebuild`: the columns below and above their share, two stacks that grow towards each other.
    private var pending: Lanes
    private var rest: [UInt64]

    init(capacity: Int) {
        let count = Lanes.padded(capacity)
        lane = Lanes(count: count, repeating: 0)
        other = Lanes(count: count, repeating: 0)
        share = Lanes(count: count, repeating: 0)
        pending = Lanes(count: count, repeating: 0)
        rest = [UInt64](repeating: 0, count: count)
    }

    /// A lane of `weights` that has one, with probability by weight.
    func draw(_ random: inout PolicyRandom) -> Int {
        let number = random.next()
        // The upper half chooses the column, the lower half within it.
        let column = Int(truncatingIfNeeded: ((number >> 32) &* UInt64(columns)) >> 32)
        let isFirst = UInt32(truncatingIfNeeded: number) <= UInt32(bitPattern: share[column])
        return Int(isFirst ? lane[column] : other[column])
    }

    /// - Parameters:
    ///   - weights: of the lanes below `count`; 0: not drawn.
    ///   - total: their sum, not 0.
    mutating func rebuild(_ weights: borrowing Lanes, count: Int, total: UInt64) {
        columns = 0
        for index in 0..<count where weights[index] > 0 {
            lane[columns] = Int32(index)
            other[columns] = Int32(index)
            rest[columns] = UInt64(weights[index])
            columns += 1
        }
        // Scaled by the number of columns, a mean weight fills one column: `total`.
        for column in 0..<columns { rest[column] *= UInt64(columns) }
        var low = 0
        var high = columns
        for column in 0..<columns {
            if rest[column] < total { (pending[low], low) = (Int32(column), low + 1) } else { (high, pending[high - 1]) = (high - 1, Int32(column)) }
        }
        while low > 0 && high < columns {
            let poor = Int(pending[low - 1])
            let rich = Int(pending[high])
            share[poor] = Self.part(rest[poor], total)
            other[poor] = lane[rich]
            rest[rich] -= total - rest[poor]
            low -= 1
            if rest[rich] < total { (pending[low], low, high) = (Int32(rich), low + 1, high + 1) }
        }
        // What is left is full.
        while low > 0 { (share[Int(pending[low - 1])], low) = (-1, low - 1) }
        while high < columns { (share[Int(pending[high])], high) = (-1, high + 1) }
    }

    private static func part(_ value: UInt64, _ whole: UInt64) -> Int32 { Int32(truncatingIfNeeded: min((value << 32) / whole, 0xFFFF_FFFF)) }
}
