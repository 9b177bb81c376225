// The keep-alive machine: what an HTTP/1.1 server connection may do next, and how long it may take.
//
// It owns no bytes, socket or clock: the connection tells it what happened and when (`now`, monotonic nanoseconds), and
// it answers what to do (`KeepAliveStep`). One value lives in each connection; only the loop that owns the connection
// touches it. The states are here, the events in KeepAliveMachine+Reading, +Writing, +Closing and +Timers.
//
// Two sides run at once, as in RFC 9112, 9: a request may still be read while its response is written.
//
//   READING (what the peer sends)
//
//      opened                    headParsed(no body)
//         │      ┌───────────────────────────────────────────────────────────┐
//         ▼      │                                                           ▼
//       head ────┤ headParsed(body)          ┌─ bodyPaused ─▶ paused     ┌─▶ done ──┐
//         ▲      ├───────────────────▶ body ─┤                  │        │          │ responseEnded,
//         │      │                      ▲ ▲  └◀─ bodyResumed ───┘        │          │ connection kept
//         │      │ continueSent, bytes  │ └───────┐                      │          │
//         │      └───────▶ expecting ───┘         └── bodyEnded ─────────┘          │
//         │ firstBytes  (Expect: 100-continue)        (of body, paused, expecting)  │
//       idle ◀──────────────────────────────────────────────────────────────────────┘
//
//      any state ── peerHalfClosed, requestFault, last response complete ──▶ ended: nothing more is parsed
//      exchanged: idle or head ──▶ idle in one step, for a request without body answered at once
//
//   WRITING (what the peer is sent)
//
//             handlerStarted             responseHead                  responseEnded, body read
//       none ────────────────▶ handling ──────────────▶ responding ──────────────────────────────▶ none
//         ▲                       │                       │     └─ body unread ─▶ answered ── bodyEnded ─▶ none
//         │                       └── requestFault, ──────▶
//         └── requestFault ──────────── timeout           │ responseEnded, connection not kept
//                                   (an error response)   ▼
//                             output sent              closing
//              lingering ◀─────────────────────────────┘   │
//                  │ peer's end, byte or time limit        │ output sent, peer sends nothing more
//                  └──────────────────▶ closed ◀───────────┘
//
//      any state ── abort, or a timeout that leaves nothing to say ──▶ closed
//      responding (101, CONNECT) ── upgraded ──▶ upgraded: another protocol has the connection
//      none ── multiplexed ──▶ multiplexed: HTTP/2, whose streams have machines of their own; this one keeps output, idle time and end
//      multiplexed ── drain, idle ──▶ goAway … multiplexedEnded ──▶ closing
//
//   OUTPUT   drained ⇄ pending: bytes queued that the kernel has not taken. It outlives a response, so that the next
//   pipelined request is handled while earlier responses leave.
//
// Clocks. Each runs while only that party can move the connection on, and not while another does:
//   idle, header, body, bodyRate   the peer must send     idle only with output drained
//   handler                        the handler must act   not while the body is being read or output is pending
//   write, writeRate               the peer must take     while output is pending
//   linger                         the peer must end
// States hold absolute deadlines (`.max`: off). Keep-alive traffic only ever moves them later, so the connection's entry
// in the timer wheel stays where it is: it fires early, asks `timer`, and is told when to come back. Only when a
// deadline comes to lie before the entry (a slow head, unsent output) does `deadlineToArm` ask for an earlier one.

/// What the connection has to do after an event.
@frozen @usableFromInline
package enum KeepAliveStep: Sendable, BitwiseCopyable, Equatable {
    /// Nothing: a further event will come.
    case wait
    /// The next request may be parsed, if bytes of it are there; if they are not all there, report `firstBytes`.
    case nextRequest
    /// Read the rest of the request body and throw it away, reporting `bodyBytes` and `bodyEnded`.
    case discardBody
    /// There is room for output again: a handler that waited for it may go on.
    case resumeHandler
    /// Detach the handler if one runs, queue a whole response with this status and `Connection: close`, report it by
    /// `outputQueued` and `responseEnded`.
    case respond(status: UInt16)
    /// Shut the sending side down, then read and throw away, reporting `discarded` and `peerHalfClosed`.
    case linger
    /// HTTP/2: tell the peer to open no more streams; report `multiplexedEnded` when none is left.
    case goAway
    /// Close the socket. The machine is `closed`.
    case close
    /// Close the socket with a reset, so that the peer cannot take a cut response for a whole one; detach the handler.
    /// The machine is `closed`.
    case abort
}

/// Whether the connection stays open after a response, and who ends it.
@frozen @usableFromInline
package enum KeepAlivePersistence: UInt8, Sendable, BitwiseCopyable {
    case keepAlive
    /// The client asked, or speaks HTTP/1.0 without keep-alive: it will send nothing more.
    case closedByClient
    /// Limit, drain, handler, unread body or fault: the client may be sending its next request already.
    case closedByServer

    /// The response must carry `Connection: close` (RFC 9112, 9.6).
    @inlinable package var mustSayClose: Bool { self != .keepAlive }
}

/// The state of one HTTP/1.1 server connection.
///
/// A violated precondition (text begins with `BUG:`) is a fault of the connection's code. Nothing a peer sends, and no
/// order in which it sends it, can violate one.
@frozen @usableFromInline
package struct KeepAliveMachine: Sendable, BitwiseCopyable {
    @frozen @usableFromInline
    package enum Reading: Sendable, BitwiseCopyable, Equatable {
        /// Between requests, no byte of the next.
        case idle(deadline: UInt64)
        /// Within a request head. `anyBytes` is false on a new connection that has not sent a byte.
        case head(deadline: UInt64, anyBytes: Bool)
        /// The client waits for `100 (Continue)` before it sends the body (RFC 9110, 10.1.1).
        case expecting
        /// Within a request body.
        case body(pauseDeadline: UInt64, rateDeadline: UInt64)
        /// Within a request body that the server does not read at the moment: back-pressure from the handler.
        case paused
        /// The request was read to its end; its response is not complete.
        case done
        /// Nothing more is parsed on this connection. With `none`, `handling` or `responding` on the writing side
        /// the request is complete and the peer has half-closed, or an error is being answered.
        case ended
    }

    @frozen @usableFromInline
    package enum Writing: Sendable, BitwiseCopyable, Equatable {
        /// No response is due yet.
        case none
        /// The handler runs, no byte of the response is queued.
        case handling(deadline: UInt64)
        /// The response head is queued, the body is not complete.
        case responding(deadline: UInt64)
        /// The response is complete, the request body is not: its rest is being thrown away.
        case answered
        /// The last response is complete but not sent. `lingers`: the peer may still be sending.
        case closing(lingers: Bool)
        /// All is sent and the sending side shut down: reading until the peer ends.
        case lingering(deadline: UInt64, bytesLeft: UInt64)
        /// HTTP/2: exchanges are the streams' business, each with a machine of its own. `idle` is when a connection without streams ends; `.max`
        /// while there are any. `sinceSent`: it begins anew when what is queued, which has the last response, has left.
        case multiplexed(idle: UInt64, sinceSent: Bool)
        /// Another protocol has the connection; no clock of ours runs.
        case upgraded
        /// Terminal.
        case closed
    }

    @frozen @usableFromInline
    package enum Output: Sendable, BitwiseCopyable, Equatable {
        case drained
        case pending(bytes: UInt64, pauseDeadline: UInt64, rateDeadline: UInt64)
    }

    /// Reasons why no further request will be answered on this connection, and an exemption.
    @frozen @usableFromInline
    package struct Flags: OptionSet, Sendable, BitwiseCopyable {
        @usableFromInline package let rawValue: UInt8
        @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The client asked for the close.
        @inlinable package static var clientCloses: Flags { Flags(rawValue: 1) }
        /// The server decided to close.
        @inlinable package static var serverCloses: Flags { Flags(rawValue: 2) }
        /// The peer has half-closed: it will send nothing more.
        @inlinable package static var peerEnded: Flags { Flags(rawValue: 4) }
        /// The handler of this request has no timeout.
        @inlinable package static var handlerUntimed: Flags { Flags(rawValue: 8) }
        /// Whoever writes the response watches the time in which the peer takes nothing.
        @inlinable package static var outputUntimed: Flags { Flags(rawValue: 16) }
        /// Any of the reasons to close.
        @inlinable package static var closes: Flags { Flags(rawValue: 7) }
    }

    /// When the connection's entry in the timer wheel fires; `.max`: there is none.
    @usableFromInline package internal(set) var armedAt: UInt64
    /// `acknowledged` at the last `timer` call that had it.
    @usableFromInline package internal(set) var acknowledgedMark: UInt64
    @usableFromInline package internal(set) var output: Output
    @usableFromInline package internal(set) var flags: Flags
    /// Requests parsed so far on this connection. Wraps after 2³² on a connection without limit.
    @usableFromInline package internal(set) var requests: UInt32
    @usableFromInline package internal(set) var reading: Reading
    @usableFromInline package internal(set) var writing: Writing

    /// Event **opened**: a connection was accepted. The header timeout runs from here, so a peer that connects and
    /// says nothing is gone after it. For one connection object the machine is made anew at each accept.
    @inlinable package init(openedAt now: UInt64, _ policy: KeepAlivePolicy) {
        armedAt = .max
        acknowledgedMark = 0
        output = .drained
        flags = []
        requests = 0
        reading = .head(deadline: now.deadline(after: policy.headerTimeoutNs), anyBytes: false)
        writing = .none
    }

    /// Terminal: every event answers `wait` or is a bug.
    @inlinable package var isClosed: Bool {
        if case .closed = writing { true } else { false }
    }

    /// Closed, or handed over to another protocol.
    @inlinable var hasLeft: Bool {
        if case .upgraded = writing { true } else { isClosed }
    }

    @inlinable var isWithoutResponse: Bool {
        if case .none = writing { true } else { false }
    }

    @inlinable var isAnswered: Bool {
        if case .answered = writing { true } else { false }
    }

    /// Bytes queued that the kernel has not taken.
    @inlinable package var pendingBytes: UInt64 {
        switch output {
        case .drained: 0
        case .pending(let bytes, _, _): bytes
        }
    }

    /// There is room for output: a pipelined request may be handled, a streaming handler may write.
    @inlinable package func hasRoom(_ policy: KeepAlivePolicy) -> Bool {
        switch output {
        case .drained: true
        case .pending(let bytes, _, _): bytes < policy.outputBytesMax
        }
    }

    /// Between requests, or within a head: a complete request may now begin.
    @inlinable package var isBetweenExchanges: Bool {
        switch (reading, writing) {
        case (.idle, .none), (.head, .none): true
        case (.expecting, _), (.body, _), (.paused, _), (.done, _), (.ended, _): false
        case (_, .handling), (_, .responding), (_, .answered), (_, .closing), (_, .lingering), (_, .multiplexed), (_, .upgraded), (_, .closed): false
        }
    }

    /// Whether the next pipelined request may be handled now.
    @inlinable package func mayHandleNext(_ policy: KeepAlivePolicy) -> Bool {
        isBetweenExchanges && hasRoom(policy)
    }

    /// The step that follows when all output is sent: `close` or `linger` when the last response is complete, else
    /// `wait`. Lets the connection link send, shutdown and close into one submission.
    @inlinable package var stepWhenSent: KeepAliveStep {
        switch writing {
        case .closing(let lingers): lingers ? .linger : .close
        case .none, .handling, .responding, .answered, .lingering, .multiplexed, .upgraded, .closed: .wait
        }
    }
}
