// ProxySpan: what is kept of a proxied request that is traced, for the spans of its attempts. Numbers of the gateway's; the loop's thread.

package struct ProxySpan: Sendable {
    package let high: UInt64
    package let low: UInt64
    /// The request's own span.
    package let parent: UInt64
    package let flags: UInt8
    /// Where the number of the attempt's span stands in the fields that are forwarded.
    package let place: Int
    package let isKept: Bool
    /// Of the attempt under way; not 0.
    package private(set) var number: UInt64 = 0
    /// ns since 1970.
    package private(set) var start: UInt64 = 0
    package private(set) var isOpen = false
    /// From 1.
    package private(set) var attempt = 0
    /// 0: none came.
    package private(set) var status: UInt16 = 0
    package private(set) var failure: ProxyFailure?

    /// Of a request that is not traced.
    package init() { (high, low, parent, flags, place, isKept) = (0, 0, 0, 0, 0, false) }

    package init(_ trace: ExchangeTrace, place: Int) {
        (high, low, parent, flags, self.place, isKept) = (trace.high, trace.low, trace.span, trace.flags, place, true)
    }

    package mutating func begin(_ number: UInt64, at time: UInt64) {
        (self.number, start, isOpen, attempt, status, failure) = (number, time, true, attempt + 1, 0, nil)
    }

    package mutating func note(_ outcome: ProxyOutcome) {
        switch outcome {
        case .status(let status): self.status = status.code
        case .failed(let failure): self.failure = failure
        case .cancelled: break
        }
    }

    package mutating func close() { isOpen = false }
}
