import Testing

@testable import UringPolicy

@Suite("Consistent hashing")
struct HashTests {
    private static func servers(_ count: Int, weight: (Int) -> UInt32 = { _ in 1 }) -> [RendezvousTable.Server] {
        (0..<count).map { RendezvousTable.Server(identity: mixed(UInt64($0) &+ 77), weight: weight($0)) }
    }

    private static func owners(_ table: RendezvousTable, _ servers: [RendezvousTable.Server], bits: Int) -> [UInt64] {
        (0..<UInt64(1) << UInt64(bits)).map { servers[table.owner($0 << UInt64(64 - bits))].identity }
    }

    /// Outside of `#expect`: spans of temporaries within one break the compiler (Swift 6.3).
    private static func hash(_ bytes: [UInt8], _ hash: KeyHash) -> UInt64 { hash.hash(bytes.span) }

    @Test("of keys is SipHash")
    func sipHash() {
        // The authors' example: key 00…0f, message 00…0e, SipHash-2-4.
        let message = [UInt8](0..<15)
        let reference = SipState(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908).hash(message.span, rounds: 2, finalRounds: 4)
        #expect(reference == 0xa129_ca61_49be_45e5)
        // What Python 3.11 makes of bytes with the key 0 (PYTHONHASHSEED=0), SipHash-1-3.
        let python: [(String, UInt64)] = [
            ("a", 0x4074_48d2_b89b_1813), ("uring", 0x9557_5af8_c47d_ac17), ("0123456", 0x810a_af7a_cf67_0379), ("01234567", 0xda3d_cedf_84ea_6cc6),
            ("0123456789abcdef", 0x1d42_b30f_7e06_0c24), ("The quick brown fox", 0x975e_4107_1456_8333),
        ]
        let hash = KeyHash(key0: 0, key1: 0)
        for (text, value) in python { #expect(Self.hash(Array(text.utf8), hash) == value) }
        let number: UInt64 = 0x0123_4567_89ab_cdef
        #expect(KeyHash().hash(number) == Self.hash((0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }, KeyHash()))
        #expect(KeyHash(key0: 1).hash(number) != KeyHash(key0: 2).hash(number))
    }

    @Test("takes logarithms")
    func logarithm() {
        #expect(abs(RendezvousTable.negativeLog2(1 << 63) - 1) < 1e-6)
        #expect(abs(RendezvousTable.negativeLog2(1 << 40) - 24) < 1e-6)
        #expect(RendezvousTable.negativeLog2(0) <= 64)
        #expect(abs(RendezvousTable.negativeLog2(0xC000_0000_0000_0000) - 0.415_037_499) < 1e-5)
        var last = Double.infinity
        for step in 1...4096 as ClosedRange<UInt64> {
            let value = RendezvousTable.negativeLog2(step << 52 &- 1)
            #expect(value <= last)
            last = value
        }
    }

    @Test("gives shares by weight")
    func shares() {
        let servers = Self.servers(10) { UInt32($0 + 1) }
        let table = RendezvousTable(servers)
        var counts = [Int](repeating: 0, count: 10)
        for slot in 0..<65_536 as Range<UInt64> { counts[table.owner(slot << 48)] += 1 }
        for index in 0..<10 {
            let share = 65_536.0 * Double(index + 1) / 55
            #expect(abs(Double(counts[index]) - share) < 5 * share.squareRoot(), "\(counts)")
        }
    }

    @Test("moves nothing but the keys of what goes, and those that what comes wins")
    func disruption() {
        let bits = 13
        let servers = Self.servers(12) { [1, 1, 3, 10][$0 % 4] }
        let before = Self.owners(RendezvousTable(servers, slotBits: bits), servers, bits: bits)
        for gone in servers.indices {
            var rest = servers
            let identity = rest.remove(at: gone).identity
            let after = Self.owners(RendezvousTable(rest, slotBits: bits), rest, bits: bits)
            #expect(zip(before, after).allSatisfy { $0 == identity ? $1 != identity : $0 == $1 })
        }
        var more = servers
        more.insert(RendezvousTable.Server(identity: 4711, weight: 5), at: 3)
        let after = Self.owners(RendezvousTable(more, slotBits: bits), more, bits: bits)
        #expect(zip(before, after).allSatisfy { $0 == $1 || $1 == 4711 })
        // Its share: 5 of 50.
        let moved = zip(before, after).count { $0 != $1 }
        #expect(moved > 8192 / 10 * 8 / 10 && moved < 8192 / 10 * 12 / 10, "\(moved)")
    }

    @Test("depends neither on the order of servers nor on the table before", arguments: policySeeds(8))
    func derivation(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        var servers = Self.servers(6) { _ in UInt32(1 + random.below(4)) }
        var table = RendezvousTable(servers, slotBits: 10)
        for step in 0..<8 {
            if servers.count > 2 && random.below(2) == 0 { servers.remove(at: Int(random.below(UInt64(servers.count)))) }
            if random.below(2) == 0 { servers[0].weight = UInt32(1 + random.below(8)) }
            if random.below(2) == 0 { servers.append(RendezvousTable.Server(identity: mixed(seed &* 100 &+ UInt64(step)), weight: UInt32(1 + random.below(8)))) }
            servers.shuffle(using: &random)
            table = RendezvousTable(servers, slotBits: 10, previous: table)
            let fresh = RendezvousTable(servers, slotBits: 10)
            #expect((0..<1024 as Range<UInt64>).allSatisfy { table.owner($0 << 54) == fresh.owner($0 << 54) })
        }
    }

    @Test("sends the keys of servers that stay where they went, whoever is ejected or tried")
    func exclusion() {
        let harness = BalancerHarness(.hash, weights: [1, 2, 3, 4, 5, 6])
        let keys = (0..<2000).map { mixed(UInt64($0)) }
        let before = keys.map { harness.pick(key: $0) }
        harness.shared.setHealthy(4, false, now: harness.now)
        let without = keys.map { harness.pick(key: $0) }
        #expect(zip(before, without).allSatisfy { $0 == 4 ? $1 != 4 : $0 == $1 })
        // By weight to the others.
        let taken = (0..<6).map { server in zip(before, without).count { $0 == 4 && $1 == server } }
        #expect(taken[5] > taken[0], "\(taken)")
        harness.shared.setHealthy(4, true, now: harness.now)
        #expect(keys.map { harness.pick(key: $0) } == before)
        var tried = TriedServers()
        tried.insert(4)
        #expect(keys.map { harness.pick(key: $0, tried: tried) } == without)
    }

    @Test("bounds what one key can do to its server")
    func bound() {
        let harness = BalancerHarness(.hash, weights: [1, 1, 1, 1]) { $0.hashBoundPercent = 125 }
        for _ in 0..<1000 { _ = harness.acquire(key: 42) }
        for server in 0..<4 { #expect(harness.active(server) <= 313) }
        let unbounded = BalancerHarness(.hash, weights: [1, 1, 1, 1])
        for _ in 0..<1000 { _ = unbounded.acquire(key: 42) }
        #expect((0..<4).contains { unbounded.active($0) == 1000 })
    }
}
