// KeyHash: what clients are known by (an address, a header's value, a cookie) as 64 bits, for consistent hashing. A value that every loop copies; sans-I/O.

/// SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012; one round per word and three at the end, as in Rust, Ruby and Python). Without the key nobody can
/// choose values that fall together; a hash without key (XXH64, FNV) would let a client of the gateway aim all its keys at one server.
///
/// Gateways of one fleet that shall send a client to the same server need the same key; whoever keeps the default is safe against accidents, not against intent.
package struct KeyHash: Sendable, BitwiseCopyable {
    private let key0: UInt64
    private let key1: UInt64

    /// - Parameters: 128 bits of secret. The default is the same in every process: fleets agree without being told.
    package init(key0: UInt64 = 0x7572_696e_672d_7365, key1: UInt64 = 0x7276_6572_2068_6173) {
        self.key0 = key0
        self.key1 = key1
    }

    /// The hash of `bytes`: some 15 ns, and about 0.6 ns for each byte more.
    package func hash(_ bytes: Span<UInt8>) -> UInt64 { SipState(key0, key1).hash(bytes, rounds: 1, finalRounds: 3) }

    /// The hash of what is a number already, such as an IPv4 address.
    package func hash(_ value: UInt64) -> UInt64 {
        var state = SipState(key0, key1)
        state.absorb(value, rounds: 1)
        state.absorb(8 << 56, rounds: 1)
        return state.finish(rounds: 3)
    }
}

/// The state of SipHash-c-d; the rounds are parameters so that the tests can compare with the published vectors of SipHash-2-4.
struct SipState {
    private var v0, v1, v2, v3: UInt64

    init(_ key0: UInt64, _ key1: UInt64) {
        v0 = key0 ^ 0x736f_6d65_7073_6575
        v1 = key1 ^ 0x646f_7261_6e64_6f6d
        v2 = key0 ^ 0x6c79_6765_6e65_7261
        v3 = key1 ^ 0x7465_6462_7974_6573
    }

    @inline(__always) consuming func hash(_ bytes: Span<UInt8>, rounds: Int, finalRounds: Int) -> UInt64 {
        let whole = bytes.count & ~7
        var index = 0
        while index < whole {
            absorb(Self.word(bytes, index, 8), rounds: rounds)
            index &+= 8
        }
        absorb(Self.word(bytes, whole, bytes.count & 7) | UInt64(truncatingIfNeeded: bytes.count) << 56, rounds: rounds)
        return finish(rounds: finalRounds)
    }

    @inline(__always) mutating func absorb(_ word: UInt64, rounds: Int) {
        v3 ^= word
        for _ in 0..<rounds { round() }
        v0 ^= word
    }

    @inline(__always) mutating func finish(rounds: Int) -> UInt64 {
        v2 ^= 0xff
        for _ in 0..<rounds { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    /// Up to eight bytes, little-endian.
    @inline(__always) private static func word(_ bytes: Span<UInt8>, _ start: Int, _ count: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in 0..<count { word |= UInt64(bytes[start &+ index]) << UInt64(8 &* index) }
        return word
    }

    @inline(__always) private mutating func round() {
        v0 &+= v1
        v2 &+= v3
        v1 = Self.rotate(v1, 13) ^ v0
        v3 = Self.rotate(v3, 16) ^ v2
        v0 = Self.rotate(v0, 32)
        v2 &+= v1
        v0 &+= v3
        v1 = Self.rotate(v1, 17) ^ v2
        v3 = Self.rotate(v3, 21) ^ v0
        v2 = Self.rotate(v2, 32)
    }

    @inline(__always) private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 &- count) }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
@inline(__always) func mixed(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
}
