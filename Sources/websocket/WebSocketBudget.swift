// Counting what a client makes the engine do for nothing. Part of a connection, on its loop's thread; the clock is the caller's.

/// Kinds of work that bring nothing. Lanes of `WebSocketBudget`'s vector.
enum WebSocketAbuse: Int {
    case ping, pong, emptyFrame
}

/// One counter for each kind. Counts halve when a window has passed, and messages pay back, as in HTTP/2's `AbuseBudget`.
struct WebSocketBudget {
    private(set) var counts = SIMD4<UInt16>()
    private var windowStart: UInt64

    init(now: UInt64) { windowStart = now }

    /// Counts one; false when the budget is spent.
    mutating func charge(_ kind: WebSocketAbuse, limits: WebSocketLimits, now: UInt64) -> Bool {
        let window = WebSocketLimits.budgetWindowNanoseconds
        // A clock that stands still or goes back forgives nothing.
        let passed = now > windowStart ? (now &- windowStart) / window : 0
        if passed > 0 {
            counts = passed < 16 ? counts &>> UInt16(truncatingIfNeeded: passed) : SIMD4()
            windowStart &+= passed &* window
        }
        let most =
            switch kind {
            case .ping: limits.pingsMax
            case .pong: limits.pongsMax
            case .emptyFrame: limits.emptyFramesMax
            }
        guard counts[kind.rawValue] < most else { return false }
        counts[kind.rawValue] &+= 1
        return true
    }

    /// A message with content has arrived.
    @inline(__always) mutating func creditMessage() {
        counts &-= pointwiseMin(counts, SIMD4(1, 1, 1, 0))
    }
}
