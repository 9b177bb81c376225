// PolicyRandom: the random numbers of policies (which of two servers, jitter, sampling). One value per loop, seeded by whoever makes it, so that a policy's decisions
// can be repeated in tests and in the simulation. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): every seed is good, 64 bits of state, some nanoseconds a number.
@frozen @usableFromInline
package struct PolicyRandom: RandomNumberGenerator, Sendable, BitwiseCopyable {
    @usableFromInline var state: UInt64

    @inlinable package init(seed: UInt64) { state = seed }

    @inlinable package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. The bias is below `bound` / 2⁶⁴ (Lemire's multiplication without its rejection).
    @inlinable package mutating func below(_ bound: UInt64) -> UInt64 { next().multipliedFullWidth(by: bound).high }
}
