// AddressLimiter: how many connections each peer address has, over all loops. The only state that loops share; touched when a connection
// opens and closes, never by a request.

internal import Synchronization
internal import UringRing

/// Counts connections per address in a count-min sketch of atomic counters: fixed memory, no lock, no allocation.
///
/// An address owns one counter in each of two rows, chosen by differently seeded hashes; its count is the smaller of the two. It is never
/// too low; it is too high only when other addresses share both counters, which with 10,000 addresses open happens to one in 50.
/// Seeds are random, so that nobody can choose addresses that collide with somebody else's.
@safe
final class AddressLimiter: Sendable {
    private static let rowBits = 16
    private static let rowCount = 1 << rowBits

    // Freed in deinit; loops hold a reference for as long as they run.
    nonisolated(unsafe) private let counters: UnsafeMutablePointer<Atomic<UInt32>>
    private let seeds: (UInt64, UInt64)
    private let limitNow: Atomic<UInt32>

    /// Connections of one address; 0 = unlimited, and nothing is counted. A reload may change it: connections that are open stay.
    var limit: UInt32 {
        get { limitNow.load(ordering: .relaxed) }
        set { limitNow.store(newValue, ordering: .relaxed) }
    }

    init(limit: UInt32) {
        limitNow = Atomic(limit)
        var random = SystemRandomNumberGenerator()
        seeds = (random.next(), random.next())
        unsafe counters = .allocate(capacity: Self.rowCount * 2)
        for index in 0..<Self.rowCount * 2 { unsafe (counters + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe counters.deinitialize(count: Self.rowCount * 2)
        unsafe counters.deallocate()
    }

    /// Which counters an address has: kept by its connection until `leave`.
    struct Ticket {
        fileprivate let first: UInt32
        fileprivate let second: UInt32
    }

    /// nil: the address has `limit` connections already.
    func enter(_ address: SocketAddress) -> Ticket? {
        let ticket = Ticket(first: slot(address, seeds.0), second: slot(address, seeds.1) + UInt32(Self.rowCount))
        let first = unsafe counters[Int(ticket.first)].wrappingAdd(1, ordering: .relaxed).newValue
        let second = unsafe counters[Int(ticket.second)].wrappingAdd(1, ordering: .relaxed).newValue
        if min(first, second) <= limit { return ticket }
        leave(ticket)
        return nil
    }

    func leave(_ ticket: Ticket) {
        unsafe counters[Int(ticket.first)].wrappingSubtract(1, ordering: .relaxed)
        unsafe counters[Int(ticket.second)].wrappingSubtract(1, ordering: .relaxed)
    }

    /// An IPv6 peer has at least a /64 to itself: its low half does not count.
    private func slot(_ address: SocketAddress, _ seed: UInt64) -> UInt32 {
        let key = address.family == .ipv6 && !address.isMappedIPv4 ? address.high : address.low
        // SplitMix64's finaliser: every input bit reaches every output bit.
        var z = (key ^ seed) &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return UInt32(truncatingIfNeeded: (z ^ (z >> 31)) >> (64 - UInt64(Self.rowBits)))
    }
}

extension SocketAddress {
    /// `::ffff:a.b.c.d`, as an IPv6 listener shows IPv4 peers.
    var isMappedIPv4: Bool { family == .ipv6 && high == 0 && low >> 32 == 0xFFFF }

    /// Limits per address do not apply: a proxy on this machine speaks for many clients, and nobody else can come from here.
    var isLocal: Bool {
        switch family {
        case .unix: true
        case .ipv4: low >> 24 == 127
        case .ipv6: high == 0 && (low == 1 || (isMappedIPv4 && (low & 0xFFFF_FFFF) >> 24 == 127))
        }
    }
}
