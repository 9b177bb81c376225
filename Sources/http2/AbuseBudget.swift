// Counting what a peer makes the engine do for nothing. Part of a connection, on its loop's thread; the clock is the caller's.

/// Kinds of work that bring nothing. Lanes of `AbuseBudget`'s vector.
enum AbuseKind: Int {
    case reset, settings, ping, emptyFrame, windowUpdate, priority, strayFrame, interim
}

/// One counter for each kind. Counts halve when a window has passed, so that a steady trickle is harmless and a burst is not; useful work
/// subtracts. One vector: paying back costs a request two instructions.
struct AbuseBudget {
    private(set) var counts = SIMD8<UInt16>()
    private let limits: SIMD8<UInt16>
    private var windowStart: UInt64

    init(limits: HTTP2Limits, now: UInt64) {
        self.limits = SIMD8(
            limits.resetsMax, limits.settingsMax, limits.pingsMax, limits.emptyFramesMax, limits.windowUpdatesMax, limits.prioritiesMax,
            limits.strayFramesMax, limits.interimsMax)
        windowStart = now
    }

    /// Counts one; false when the budget is spent.
    mutating func charge(_ kind: AbuseKind, now: UInt64) -> Bool {
        let window = HTTP2Limits.budgetWindowNanoseconds
        // A clock that stands still or goes back forgives nothing.
        let passed = now > windowStart ? (now &- windowStart) / window : 0
        if passed > 0 {
            counts = passed < 16 ? counts &>> UInt16(truncatingIfNeeded: passed) : SIMD8()
            windowStart &+= passed &* window
        }
        let lane = kind.rawValue
        guard counts[lane] < limits[lane] else { return false }
        counts[lane] &+= 1
        return true
    }

    /// A request was answered to its end. It pays for itself: the frames that peers send with one.
    @inline(__always) mutating func creditResponse() {
        pay(SIMD8(1, 1, 4, 2, 4, 4, 4, 4))
    }

    /// Content went one way or the other.
    @inline(__always) mutating func creditData() {
        pay(SIMD8(0, 0, 1, 1, 2, 1, 0, 0))
    }

    @inline(__always) private mutating func pay(_ amount: SIMD8<UInt16>) {
        counts &-= pointwiseMin(counts, amount)
    }
}
