// The client's exchange machine: what an HTTP/1.1 connection to a server may do next, and what its end means for the request on it.
//
// It owns no bytes, socket or clock: the connection tells it what happened and when (`now`, monotonic nanoseconds), and it answers what
// to do (`ClientStep`). One value lives in each connection that is open; only the loop that owns the connection touches it. States are
// here, the events in ClientExchangeMachine+Sending, +Receiving, +Ending and +Timers.
//
// One exchange at a time (no pipelining: one slow or lost response would take others with it). Two sides run at once:
//
//   SENDING (the request)
//
//              requestStarted(whole)
//      ┌──────────────────────────────────────────────┐
//     none ── requestStarted(body) ──▶ body ── requestEnded ──▶ whole ── response complete, output sent ──▶ none
//      │                                ▲  └─ response complete ─▶ stopped (and closed)
//      └─ requestStarted(expecting) ─▶ expecting ── final response ─▶ stopped: the body is not sent, the connection not kept
//                                          └─ 100 (Continue), its timeout ─▶ body
//
//   RECEIVING (the response)
//
//     idle ── requestStarted ──▶ head ── final head ──▶ body ── responseEnded ──▶ done ── output sent ──▶ idle
//      ▲                         │  ▲ └─ 1xx ─┘                     └── all sent already ─────────────────▶ idle
//      │ kept                    └── 101 or CONNECT's 2xx ──▶ tunnel: another protocol has the connection
//      └─────── not kept ──▶ closed ◀── any: peerEnded, transportFailed, responseFault, timeout, cancel
//
// PROGRESS of the exchange, for whoever decides about another attempt (RFC 9110 9.2.2). It only ever rises:
//   nothingSent ── the kernel took a byte of the request ──▶ sent ── a byte of a response came ──▶ responseBegan
//
// Clocks. Each runs while only the server can move the exchange on:
//   write       while output is pending      head      from the last byte sent to the response head
//   body        within a body that is read   continue  while the body waits for 100
//   idle        between exchanges
// As in the keep-alive machine, states hold absolute deadlines (`.max`: off), and an entry in the timer wheel fires early rather than
// being moved (`deadlineToArm`, `timer`).

/// What the connection has to do after an event.
@frozen @usableFromInline
package enum ClientStep: Sendable, BitwiseCopyable, Equatable {
    /// Nothing: a further event will come.
    case wait
    /// Send the body: the server asked for it (100), or the time for asking is over.
    case sendBody
    /// The final response came before the request was wholly sent, and the server will not read the rest: stop its producer and queue no
    /// more. Go on with the response; the connection closes behind it.
    case stopSending
    /// The exchange is complete, the connection free for the next.
    case reuse
    /// Close the socket. When an exchange was under way it is complete; between exchanges nothing is lost. The machine is `closed`.
    case close
    /// Another protocol has the connection: hand over what is unread, and the output when it is sent.
    case tunnel
    /// Close the socket; the exchange has failed. The machine is `closed`.
    case fail(ClientFailure)
}

/// How far an exchange came.
@frozen @usableFromInline
package enum ClientProgress: UInt8, Sendable, BitwiseCopyable, Comparable {
    /// The kernel has taken no byte: the server cannot know of the request.
    case nothingSent
    /// Bytes may have reached the server, which may have acted on them.
    case sent
    /// Bytes of a response came, perhaps interim ones.
    case responseBegan

    @inlinable package static func < (a: ClientProgress, b: ClientProgress) -> Bool { a.rawValue < b.rawValue }

    /// Whether the request may be sent again without asking (RFC 9110 9.2.2).
    ///
    /// - Parameter canRepeatBody: no byte of the body has been taken from its producer, or all can be produced again.
    @inlinable package func mayRetry(isIdempotent: Bool, canRepeatBody: Bool) -> Bool {
        switch self {
        case .nothingSent: canRepeatBody
        case .sent: isIdempotent && canRepeatBody
        case .responseBegan: false
        }
    }
}

/// Which clock was met.
@frozen @usableFromInline
package enum ClientTimeout: UInt8, Sendable, BitwiseCopyable, CaseIterable { case write, head, body, `continue`, idle }

/// Why an exchange failed, and what that means for another attempt.
@frozen @usableFromInline
package struct ClientFailure: Error, Sendable, BitwiseCopyable, Equatable {
    @frozen @usableFromInline
    package enum Reason: Sendable, BitwiseCopyable, Equatable {
        /// The server closed before the response head was complete. On a kept connection without progress beyond `sent` it was stale: the
        /// server had closed before the request came (RFC 9112 9.3.1).
        case closed
        /// The connection ended within the body.
        case truncated
        /// Reset, I/O error, or an end that TLS did not announce.
        case transport
        case malformed(ResponseFault)
        case timeout(ClientTimeout)
        /// 101 that was not asked for, or before the request was whole.
        case unexpectedUpgrade
        case tooManyInterimResponses
    }

    @usableFromInline package let reason: Reason
    @usableFromInline package let progress: ClientProgress
    /// It was not the connection's first request.
    @usableFromInline package let isReused: Bool

    @inlinable package init(_ reason: Reason, progress: ClientProgress, isReused: Bool) {
        self.reason = reason
        self.progress = progress
        self.isReused = isReused
    }
}

/// The state of one HTTP/1.1 client connection.
///
/// A violated precondition (text begins with `BUG:`) is a fault of the connection's code. Nothing a server sends, and no order in which
/// it sends it, can violate one.
@frozen @usableFromInline
package struct ClientExchangeMachine: Sendable, BitwiseCopyable {
    @frozen @usableFromInline
    package enum Sending: Sendable, BitwiseCopyable, Equatable {
        /// No request is under way.
        case none
        /// The head is queued, the body waits for 100 (Continue).
        case expecting(deadline: UInt64)
        /// The head is queued, the body is being produced.
        case body
        /// The whole request is queued.
        case whole
        /// The rest of the body is not sent.
        case stopped
    }

    @frozen @usableFromInline
    package enum Receiving: Sendable, BitwiseCopyable, Equatable {
        /// Between exchanges.
        case idle(deadline: UInt64)
        /// Waiting for a response head or within it.
        case head(deadline: UInt64)
        /// Within a response body; its clock is off while its consumer is behind.
        case body(deadline: UInt64, isPaused: Bool)
        /// The response is complete, output is pending.
        case done
        /// Another protocol has the connection; no clock of ours runs.
        case tunnel
        /// Terminal.
        case closed
    }

    /// How a request is sent.
    @frozen @usableFromInline
    package enum Request: UInt8, Sendable, BitwiseCopyable {
        /// Head and body, if any, are queued at once.
        case whole
        /// The body follows in pieces; `requestEnded` behind the last.
        case body
        /// The same, and the head says `Expect: 100-continue`.
        case expecting
    }

    /// When the connection's entry in the timer wheel fires; `.max`: there is none.
    @usableFromInline package internal(set) var armedAt: UInt64 = .max
    /// Bytes queued that the kernel has not taken, and when it must have taken one.
    @usableFromInline package internal(set) var pendingBytes: UInt64 = 0
    @usableFromInline package internal(set) var writeDeadline: UInt64 = .max
    @usableFromInline package internal(set) var sending: Sending = .none
    @usableFromInline package internal(set) var receiving: Receiving
    /// Requests started so far. Wraps after 2³² on a connection without limit.
    @usableFromInline package internal(set) var requests: UInt32 = 0
    @usableFromInline package internal(set) var progress: ClientProgress = .nothingSent
    @usableFromInline package internal(set) var interimResponses: UInt8 = 0
    /// The connection is not used again: the server said so, ours was the last request, or it is retired.
    @usableFromInline package internal(set) var closes = false
    /// The request asks for another protocol.
    @usableFromInline package internal(set) var asksUpgrade = false

    /// Event **connected**: the connection is established, below TLS too, and may take its first request.
    @inlinable package init(connectedAt now: UInt64, _ policy: ClientPolicy) {
        receiving = .idle(deadline: now.deadline(after: policy.idleTimeoutNs))
    }

    /// A request may start.
    @inlinable package var isIdle: Bool {
        if case .idle = receiving { true } else { false }
    }

    /// Terminal: every event answers `wait` or is a bug.
    @inlinable package var isClosed: Bool { receiving == .closed }

    /// Closed, or handed over to another protocol.
    @inlinable var hasLeft: Bool { receiving == .closed || receiving == .tunnel }

    /// Whether the request that starts next is the last, and its head must say so. Changes nothing.
    @inlinable package func isLastRequest(_ policy: ClientPolicy) -> Bool {
        closes || policy.requestsPerConnectionMax != 0 && requests &+ 1 >= policy.requestsPerConnectionMax
    }
}
