// RetryBudget: how many requests of a loop may be repeats. One value per loop and upstream; sans-I/O.

/// A share of the requests of the last seconds, and some more so that a quiet upstream has retries at all.
///
/// In any window, `retries ≤ percent · requests + reserve`: retries multiply the load of a failing upstream by 1 + percent and no more, whatever requests take. So Finagle's budget, but by counting instead of expiring
/// tokens. Budgets of several loops add up to one of the same share; who makes them divides the reserve. Rejected: a share of the requests that are active now (Envoy): where requests fail at once, few are active,
/// and its least number of retries at once, three, becomes thousands a second.
package struct RetryBudget: Sendable {
    /// The window has ten parts, so a request counts for 9 to 10 tenths of it.
    private static var parts: Int { 10 }
    package static var defaultWindowNs: UInt64 { 10_000_000_000 }

    /// Retries per 100 requests, 0 to 1000.
    package let percent: UInt32
    /// Retries per window that need no requests.
    package let reserve: UInt32
    private let partNs: UInt64
    private var requests = InlineArray<10, UInt32>(repeating: 0)
    private var retries = InlineArray<10, UInt32>(repeating: 0)
    private var part: UInt64 = 0
    package private(set) var requestsInWindow: UInt64 = 0
    package private(set) var retriesInWindow: UInt64 = 0
    /// Retries that were asked for and not granted, since the beginning.
    package private(set) var refused: UInt64 = 0

    package init(percent: UInt32 = 20, reserve: UInt32 = 10, windowNs: UInt64 = defaultWindowNs) {
        precondition(percent <= 1000, "BUG: a retry budget is at most 1000 %")
        precondition(windowNs >= UInt64(Self.parts), "BUG: the window of a retry budget has ten parts")
        self.percent = percent
        self.reserve = reserve
        partNs = windowNs / UInt64(Self.parts)
    }

    /// A request came, not a repeat.
    package mutating func request(now: UInt64) {
        advance(now)
        guard requests[place] < .max else { return }
        requests[place] &+= 1
        requestsInWindow &+= 1
    }

    /// Takes one retry from the budget; false when none is left.
    package mutating func takeRetry(now: UInt64) -> Bool {
        advance(now)
        guard (retriesInWindow + 1) * 100 <= requestsInWindow * UInt64(percent) + UInt64(reserve) * 100, retries[place] < .max else {
            refused &+= 1
            return false
        }
        retries[place] &+= 1
        retriesInWindow &+= 1
        return true
    }

    private var place: Int { Int(truncatingIfNeeded: part % UInt64(Self.parts)) }

    /// Forgets the parts that lie behind the window. A clock that stands still, or went back, changes nothing.
    private mutating func advance(_ now: UInt64) {
        let present = now / partNs
        guard present > part else { return }
        for _ in 0..<min(present - part, UInt64(Self.parts)) {
            part &+= 1
            requestsInWindow &-= UInt64(requests[place])
            retriesInWindow &-= UInt64(retries[place])
            (requests[place], retries[place]) = (0, 0)
        }
        // All parts are empty when more were skipped.
        part = present
    }
}
