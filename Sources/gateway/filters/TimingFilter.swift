// TimingFilter: a route's Server-Timing field (W3C Server Timing): what a client's own tools show of a request's time here. Immutable, shared by all loops; the loops' threads.

internal import UringServer

/// `wait`: from the moment that the kernel delivered the turn's requests until this one's turn came. `app`: from then until the head of the response was there, upstreams included. Milliseconds.
final class TimingFilter: Sendable {
    /// The note of the step: when the request came, ns modulo 2^44 (4.8 h), and below that how long it had waited, µs up to a second.
    private static let waitBits: UInt64 = 20

    private let step = ResponseStep { response, note in
        let value = TimingFilter.value(note: note, now: MonotonicClock.now)
        response.headers.add(dynamicName: "server-timing", value)
    }

    /// Before what the other filters may answer. On a loop's thread. Reads the clock, as the step does: some 50 ns for a request.
    func register(_ response: inout Response) {
        response.beforeSending(step, note: Self.note(now: MonotonicClock.now, turn: response.monotonicNanoseconds))
    }

    static func note(now: UInt64, turn: UInt64) -> UInt64 {
        let waited = min((now > turn ? now - turn : 0) / 1000, (1 << waitBits) - 1)
        return now << waitBits | waited
    }

    static func value(note: UInt64, now: UInt64) -> String {
        let began = note >> waitBits
        let took = (now &- began) & ((1 << (64 - waitBits)) - 1)
        return "wait;dur=\(milliseconds(us: note & ((1 << waitBits) - 1))), app;dur=\(milliseconds(us: took / 1000))"
    }

    /// `1.234`.
    private static func milliseconds(us: UInt64) -> String {
        let rest = String(us % 1000)
        return "\(us / 1000).\(String(repeating: "0", count: 3 - rest.utf8.count))\(rest)"
    }
}
