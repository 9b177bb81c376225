// RendezvousTable: which server a key belongs to. Made once per configuration, before loops use it; constant, and shared by all of them.

/// Weighted rendezvous hashing (Thaler, Ravishankar 1998; weights by Schindelhauer, Schomaker 2005), worked out beforehand for 2¹⁶ slots that keys fall into.
///
/// Each slot belongs to the server that wins a race for it: server i arrives after an exponential time of rate weightᵢ, drawn from a hash of slot and identity. So a slot changes hands only when
/// its owner goes or loses weight, or when another comes or gains weight and wins it: the least that can move does. Shares are exact up to the chance of the slots: ±1.2 % (one standard deviation)
/// with 10 servers, ±4 % with 100, ±12 % with 1000 (a ketama ring of 160 points: ±8 % always).
///
/// Rejected: a ketama ring (a search of 17 steps among 100,000 points, and points by the thousand for weights); Maglev's table (shares within 1 %, but 1 to 3 % of the keys of servers that stay move
/// whenever one comes or goes); rendezvous without a table (n hashes per decision).
package final class RendezvousTable: Sendable {
    package struct Server: Sendable, Equatable {
        /// A hash of its address: what it is known by, whatever its place in the list.
        package var identity: UInt64
        /// 1 to 1000.
        package var weight: UInt32

        package init(identity: UInt64, weight: UInt32) {
            self.identity = identity
            self.weight = weight
        }
    }

    package static var defaultSlotBits: Int { 16 }

    private let slots: [UInt16]
    private let slotBits: Int
    private let servers: [Server]

    /// - Parameters:
    ///   - servers: at least one; their index is what `owner` returns. Identities differ.
    ///   - previous: the table of the configuration before: slots are looked at again only where servers came or went. The result is the same without it. From nothing, 2¹⁶ slots take about
    ///     0.1 ms for each server, on whichever thread reads the configuration.
    package init(_ servers: [Server], slotBits: Int = defaultSlotBits, previous: RendezvousTable? = nil) {
        precondition(!servers.isEmpty && servers.count <= SharedServers.countMax, "BUG: a hash table has 1 to 4096 servers")
        precondition((1...20).contains(slotBits), "BUG: 2 to 2^20 slots")
        self.servers = servers
        self.slotBits = slotBits
        let race = Race(servers)
        let kept = previous.flatMap { $0.slotBits == slotBits ? Kept($0.servers, servers) : nil }
        var slots = [UInt16](repeating: 0, count: 1 << slotBits)
        for slot in 0..<slots.count {
            if let kept, let previous, let owner = kept.index[Int(previous.slots[slot])] {
                slots[slot] = UInt16(kept.added.winner(of: slot, against: owner, servers[owner]))
            } else {
                slots[slot] = UInt16(race.winner(of: slot))
            }
        }
        self.slots = slots
    }

    /// The server that `key`, a hash, belongs to.
    package func owner(_ key: UInt64) -> Int { Int(slots[Int(truncatingIfNeeded: key >> UInt64(64 &- slotBits))]) }

    /// The time at which a server arrives at what `seed` is a hash of: the least wins.
    static func arrival(_ seed: UInt64, _ server: Server) -> Double { negativeLog2(draw(seed, server.identity)) / Double(server.weight) }

    private static func draw(_ seed: UInt64, _ identity: UInt64) -> UInt64 { mixed(identity ^ seed) }

    private static func seed(_ slot: Int) -> UInt64 { mixed(UInt64(slot)) }

    /// −log₂ of a fraction of 2⁶⁴, up to 10⁻⁶: the same on every machine, since it is made of IEEE operations only.
    static func negativeLog2(_ value: UInt64) -> Double {
        let value = value | 1
        let zeros = value.leadingZeroBitCount
        // In [1, 2); log₂ by the series of the area hyperbolic tangent, whose argument is at most 1/3.
        let mantissa = Double(value << UInt64(zeros)) * 0x1p-63
        let s = (mantissa - 1) / (mantissa + 1)
        let q = s * s
        let log = 2.885_390_081_777_926_8 * s * (1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q / 9))))
        return Double(zeros + 1) - log
    }

    /// Some servers, in the order of their weights: among equal ones the greatest draw arrives first, and no logarithm is needed.
    private struct Race {
        private let order: [(server: Server, index: Int)]

        init(_ servers: [Server]) {
            // By identity where weights are equal: ties do not depend on the order of the list.
            order = servers.enumerated().map { (server: $1, index: $0) }.sorted { ($0.server.weight, $0.server.identity) < ($1.server.weight, $1.server.identity) }
        }

        init(_ servers: [Server], only wanted: [Int]) {
            order = wanted.map { (server: servers[$0], index: $0) }.sorted { ($0.server.weight, $0.server.identity) < ($1.server.weight, $1.server.identity) }
        }

        func winner(of slot: Int) -> Int { first(slot, best: (-1, .infinity)) }

        func winner(of slot: Int, against owner: Int, _ server: Server) -> Int { first(slot, best: (owner, arrival(seed(slot), server))) }

        private func first(_ slot: Int, best: (index: Int, time: Double)) -> Int {
            let seed = seed(slot)
            var best = best
            var position = 0
            while position < order.count {
                let weight = order[position].server.weight
                var greatest: UInt64 = 0
                var index = order[position].index
                while position < order.count, order[position].server.weight == weight {
                    let value = draw(seed, order[position].server.identity)
                    if value > greatest { (greatest, index) = (value, order[position].index) }
                    position += 1
                }
                let time = negativeLog2(greatest) / Double(weight)
                if time < best.time { best = (index, time) }
            }
            return best.index
        }
    }

    /// Which servers of an earlier table are still what they were.
    private struct Kept {
        /// By the earlier index the present one; nil: gone, or of another weight.
        var index: [Int?]
        var added: Race

        init(_ earlier: [Server], _ present: [Server]) {
            let places = [UInt64: Int](present.enumerated().map { ($1.identity, $0) }, uniquingKeysWith: { first, _ in first })
            index = earlier.map { server in places[server.identity].flatMap { present[$0] == server ? $0 : nil } }
            let same = Set(index.compactMap(\.self))
            added = Race(present, only: present.indices.filter { !same.contains($0) })
        }
    }
}
