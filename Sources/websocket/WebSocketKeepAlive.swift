// Whether a client that is silent is still there, asked by PING (RFC 6455 5.5.2), and how long the end may take. See WebSocketConnection.swift; the
// caller has the clock.

/// When a silent client is asked, and how long it may take to answer.
@frozen @usableFromInline package struct WebSocketKeepAlive: Equatable, Sendable {
    /// Silence after which the client is asked; ns, 0 = never. 30 s: below the minute after which common proxies and address translators forget a
    /// connection that says nothing.
    @usableFromInline package var afterNs: UInt64 = 30_000_000_000
    /// Silence after the question that means it is gone; ns. 20 s: several retransmissions on a bad mobile network.
    @usableFromInline package var timeoutNs: UInt64 = 20_000_000_000
    /// How long a client may take to answer our Close, and to read it; ns. 5 s: what it has sent before may be on its way.
    @usableFromInline package var closeNs: UInt64 = 5_000_000_000

    @inlinable package init() {}
}

/// Our PINGs that are under way.
struct WebSocketPings {
    /// When the PING was sent; nil when none is out.
    var sentAt: UInt64?
    /// When the client's silence was last put up with.
    var lookedAt: UInt64 = 0
    /// Of the last PING.
    private var number: UInt64 = 0

    /// A number that no PING under way has, as it stands in the frame.
    mutating func next() -> UInt64 {
        number &+= 1
        return number.bigEndian
    }

    /// Takes in a PONG; false when nothing of ours is under way that it could mean.
    mutating func isAnswer(_ payload: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `count` bytes readable for this call.
        guard sentAt != nil, count == 8, unsafe UnsafeRawPointer(payload).loadUnaligned(as: UInt64.self) == number.bigEndian else { return false }
        sentAt = nil
        return true
    }
}

extension WebSocketConnection {
    /// When the caller shall look at the client's silence; `.max` while nothing depends on it.
    package func silenceDeadline(_ keepAlive: WebSocketKeepAlive) -> UInt64 {
        guard keepAlive.afterNs > 0, phase == .open else { return .max }
        // Whatever it sends shows that it is there, a PONG or anything else.
        let heard = max(now, pings.lookedAt)
        let limit = pings.sentAt == nil ? keepAlive.afterNs : keepAlive.timeoutNs
        return Self.later(max(heard, pings.sentAt ?? 0), limit)
    }

    /// When the connection ends in any case: our Close was said, and the client has not answered it or not read it. `.max` while nobody has said Close.
    package func closeDeadline(_ keepAlive: WebSocketKeepAlive) -> UInt64 {
        phase == .open ? .max : Self.later(closeSaidAt, keepAlive.closeNs)
    }

    private static func later(_ time: UInt64, _ delay: UInt64) -> UInt64 {
        let (deadline, overflow) = time.addingReportingOverflow(delay)
        return overflow ? .max : deadline
    }

    /// Puts the question off for as long again: bytes of ours are on their way, and what they will show is not known yet.
    package mutating func postponePing(now: UInt64) { pings.lookedAt = now }

    /// Sends a PING to learn whether the client is there; one at a time.
    package mutating func ping(now: UInt64) {
        guard phase == .open, pings.sentAt == nil else { return }
        control.setPing(pings.next())
        pings.sentAt = now
    }

    /// Sends a PING although the last one was not answered: the answer cannot come in now.
    package mutating func pingAgain(now: UInt64) {
        pings.sentAt = nil
        ping(now: now)
    }

    /// When the PING that has not been answered was sent.
    package var pingOutstandingSince: UInt64? { pings.sentAt }
}
