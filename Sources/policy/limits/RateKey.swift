// Who is limited, as a number: a hash of an address, a claim or a field, under a secret of the process. Values; the loops' threads, without allocation.

/// 128 bits that stand for a client under one policy.
@frozen @usableFromInline
package struct RateKey: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline package var high: UInt64
    @usableFromInline package var low: UInt64

    @inlinable package init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
}

/// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012), keyed by a secret of the process: who does not know the secret can neither find
/// two clients with one key nor fill one bucket of a table.
package struct RateKeyHasher: Sendable, BitwiseCopyable {
    private let first: UInt64
    private let second: UInt64

    /// - Parameter secret: random bits of the system, drawn once per process; the same for all loops, which share a table.
    package init(secret: (UInt64, UInt64)) { (first, second) = secret }

    package init() {
        var random = SystemRandomNumberGenerator()
        self.init(secret: (random.next(), random.next()))
    }

    /// - Parameter policy: a number of the policy, so that one table serves several.
    package func key(_ bytes: Span<UInt8>, policy: UInt64) -> RateKey {
        var state = RateSipState(first, second)
        state.absorb(policy)
        // SAFETY: bytes are bytes.
        let raw = unsafe bytes.bytes
        var at = 0
        while bytes.count &- at >= 8 {
            // SAFETY: any 8 bytes are an integer, and the call checks that they are within the span.
            unsafe state.absorb(UInt64(littleEndian: raw.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self)))
            at &+= 8
        }
        var last = UInt64(truncatingIfNeeded: bytes.count &+ 8) << 56
        var shift: UInt64 = 0
        while at < bytes.count {
            last |= UInt64(bytes[at]) &<< shift
            shift &+= 8
            at &+= 1
        }
        return state.finish(last)
    }

    /// The key of an address or a prefix: the same as that of its 16 bytes, without going through memory.
    package func key(_ address: IPAddress, policy: UInt64) -> RateKey {
        var state = RateSipState(first, second)
        state.absorb(policy)
        state.absorb(address.high.byteSwapped)
        state.absorb(address.low.byteSwapped)
        return state.finish(24 << 56)
    }
}

private struct RateSipState {
    var v0, v1, v2, v3: UInt64

    init(_ first: UInt64, _ second: UInt64) {
        v0 = first ^ 0x736f_6d65_7073_6575
        v1 = second ^ 0x646f_7261_6e64_6f6d ^ 0xee
        v2 = first ^ 0x6c79_6765_6e65_7261
        v3 = second ^ 0x7465_6462_7974_6573
    }

    @inline(__always)
    mutating func round() {
        v0 = v0 &+ v1
        v1 = Self.rotate(v1, 13) ^ v0
        v0 = Self.rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = Self.rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = Self.rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = Self.rotate(v1, 17) ^ v2
        v2 = Self.rotate(v2, 32)
    }

    @inline(__always)
    mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    mutating func finish(_ last: UInt64) -> RateKey {
        absorb(last)
        v2 ^= 0xee
        for _ in 0..<4 { round() }
        let low = v0 ^ v1 ^ v2 ^ v3
        v1 ^= 0xdd
        for _ in 0..<4 { round() }
        return RateKey(high: v0 ^ v1 ^ v2 ^ v3, low: low)
    }

    @inline(__always)
    static func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 { word &<< bits | word &>> (64 &- bits) }
}
