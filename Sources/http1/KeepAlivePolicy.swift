// The numbers a keep-alive machine works with: timeouts, minimum data rates, limits.
//
// Owned by the loop (one value for all connections of a listener, replaced on reload) and lent to every event of
// `KeepAliveMachine`; it is never stored in a connection, so a connection costs no copy of it. Deadlines that already run
// keep the policy they began with; the next event of the connection uses the new one.

/// Timeouts, minimum rates and limits of HTTP/1.1 connections.
///
/// All times are nanoseconds, all sizes bytes; 0 switches a timeout, rate or limit off unless its line says otherwise.
@frozen @usableFromInline
package struct KeepAlivePolicy: Sendable, BitwiseCopyable, Equatable {
    /// From the first byte of a request head (a new connection: from accept) to its last. Default 10 s.
    @usableFromInline package var headerTimeoutNs: UInt64 = 10 * nanosecondsPerSecond
    /// The longest pause between two reads of a request body. Default 30 s.
    ///
    /// Like nginx's `client_body_timeout` it bounds each pause and not the whole body, whose length is the peer's
    /// business as long as it keeps `bodyRateMin`.
    @usableFromInline package var bodyTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// How long only the handler may be what the exchange waits for: up to the response head, and between two pieces of a
    /// streamed response. Default 30 s.
    @usableFromInline package var handlerTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// The longest pause in which the peer takes no byte of pending output. Default 30 s.
    @usableFromInline package var writeTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// How long a connection may wait for the first byte of its next request. Default 75 s, as nginx.
    @usableFromInline package var idleTimeoutNs: UInt64 = 75 * nanosecondsPerSecond

    /// Minimum rate of a request body, with its grace period. Default 240 B/s after 5 s, as Kestrel.
    @usableFromInline package var bodyRateMin = KeepAliveRate(bytesPerSecond: 240, graceNs: 5 * nanosecondsPerSecond)
    /// Minimum rate at which a peer takes a response, with its grace period. Default 240 B/s after 5 s, as Kestrel.
    @usableFromInline package var drainRateMin = KeepAliveRate(bytesPerSecond: 240, graceNs: 5 * nanosecondsPerSecond)
    /// Which bytes count as taken by the peer.
    @usableFromInline package var drainMeasure: KeepAliveDrainMeasure = .kernelAccepts

    /// Requests one connection may make. Default 0: unlimited.
    @usableFromInline package var requestsPerConnectionMax: UInt32 = 0
    /// Unsent output up to which a further pipelined request is handled; at least one response is always let through.
    /// Default 64 KiB: a peer that pipelines and does not read holds this much plus one response, and a batch of 16
    /// requests with 4 KiB answers still leaves in one send.
    @usableFromInline package var outputBytesMax: UInt64 = 64 * 1024
    /// The unread rest of a request body that is read and thrown away to keep the connection, when the handler answered
    /// without reading it. 0: never, the connection closes. Default 256 KiB, as Go's `net/http`: reading more costs more
    /// than a new connection.
    @usableFromInline package var unreadBodyBytesMax: UInt64 = 256 * 1024

    /// How long a closed connection still reads, so that the peer gets the last response instead of a reset
    /// (RFC 9112, 9.6). Default 5 s, as nginx; 0: no lingering, close at once.
    @usableFromInline package var lingerTimeoutNs: UInt64 = 5 * nanosecondsPerSecond
    /// How many bytes it reads meanwhile. Default 16 MiB: a body of 1.6 times the default body limit (10 MiB) can still be
    /// refused with an answer the peer sees. 0: close at the first byte.
    @usableFromInline package var lingerBytesMax: UInt64 = 16 * 1024 * 1024

    /// The contract's defaults.
    @inlinable package init() {}

    /// No timeout, rate or limit at all, and no lingering: for tests and trusted peers.
    package static var unlimited: KeepAlivePolicy {
        var policy = KeepAlivePolicy()
        policy.headerTimeoutNs = 0
        policy.bodyTimeoutNs = 0
        policy.handlerTimeoutNs = 0
        policy.writeTimeoutNs = 0
        policy.idleTimeoutNs = 0
        policy.bodyRateMin = .off
        policy.drainRateMin = .off
        policy.outputBytesMax = .max
        policy.unreadBodyBytesMax = .max
        policy.lingerTimeoutNs = 0
        return policy
    }
}

/// Which bytes count as taken by the peer for the write timeout and the minimum drain rate.
@frozen @usableFromInline
package enum KeepAliveDrainMeasure: UInt8, Sendable, BitwiseCopyable {
    /// Bytes the kernel accepted into the socket, as reported through `outputSent`. One send operation that covers much
    /// (`MSG_WAITALL`) reports late: keep such sends small, or measure acknowledgements.
    case kernelAccepts
    /// Bytes the peer acknowledged (`tcpi_bytes_acked` of `TCP_INFO`, tcp(7)), read only when a deadline is met and
    /// handed to `timer(now:acknowledged:_:)`. Exact whatever the size of the send, and free while nothing is late.
    case peerAcknowledges
}

/// A minimum data rate with the time after which it is enforced.
///
/// It is a budget of time: `graceNs` to begin with, and every byte earns the time it may take at this rate. The peer is too slow
/// when the budget is used up. What a burst earns is capped (see `earn`), so that megabytes sent at once do not buy hours of silence.
@frozen @usableFromInline
package struct KeepAliveRate: Sendable, BitwiseCopyable, Equatable {
    /// Time one byte earns, ns; 0 when the rate is off. Kept instead of the rate because each read needs this one.
    @usableFromInline package let nanosecondsPerByte: UInt64
    /// Time before the rate is enforced, ns.
    @usableFromInline package let graceNs: UInt64

    /// - Parameters:
    ///   - bytesPerSecond: 0 switches the rate off; rates above 1 GB/s count as 1 GB/s.
    ///   - graceNs: nanoseconds.
    @inlinable package init(bytesPerSecond: UInt64, graceNs: UInt64) {
        nanosecondsPerByte = bytesPerSecond == 0 ? 0 : max(1, nanosecondsPerSecond / bytesPerSecond)
        self.graceNs = graceNs
    }

    /// No minimum.
    package static var off: KeepAliveRate { KeepAliveRate(bytesPerSecond: 0, graceNs: 0) }

    /// The deadline of a transfer that begins now.
    @inlinable package func begin(now: UInt64) -> UInt64 {
        nanosecondsPerByte == 0 ? .max : now.advancedSaturating(by: graceNs)
    }

    /// The deadline after `bytes` more have moved.
    ///
    /// It never lies further ahead than the grace period or `pauseNs`, the pause that the transfer's own timeout allows:
    /// whichever is longer. With that timeout off (0) there is no cap, and the rate is the mean over the whole transfer.
    @inlinable package func earn(_ bytes: UInt64, deadline: UInt64, now: UInt64, pauseNs: UInt64) -> UInt64 {
        guard nanosecondsPerByte != 0 else { return .max }
        let (earned, overflow) = bytes.multipliedReportingOverflow(by: nanosecondsPerByte)
        let later = overflow ? UInt64.max : deadline.advancedSaturating(by: earned)
        return pauseNs == 0 ? later : min(later, now.advancedSaturating(by: max(graceNs, pauseNs)))
    }
}

/// Nanoseconds in a second.
@usableFromInline let nanosecondsPerSecond: UInt64 = 1_000_000_000

extension UInt64 {
    /// A time `interval` later, or `.max` (never) when that is beyond the clock.
    @inlinable func advancedSaturating(by interval: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(interval)
        return overflow ? .max : sum
    }

    /// The deadline of a timeout that begins now; a timeout of 0 is off and never met.
    @inlinable func deadline(after timeout: UInt64) -> UInt64 {
        timeout == 0 ? .max : advancedSaturating(by: timeout)
    }
}
