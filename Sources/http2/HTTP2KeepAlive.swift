// Whether a peer that is silent is still there, asked by PING (RFC 9113 6.7): the server's side, and what HTTP2ClientConnection has in common
// with it. See HTTP2Connection.swift; the caller has the clock.

/// When a silent peer is asked, and how long it may take to answer.
@frozen @usableFromInline package struct HTTP2KeepAlive: Equatable, Sendable {
    /// Silence, while streams are open, after which the peer is asked; ns, 0 = never. 60 s: a stream that is quiet on purpose (events, gRPC)
    /// has no other clock, and TCP says nothing of a client that has lost its power or its network.
    @usableFromInline package var afterNs: UInt64 = 60_000_000_000
    /// Silence after the question that means it is gone; ns. 20 s: several retransmissions on a bad mobile network.
    @usableFromInline package var timeoutNs: UInt64 = 20_000_000_000

    @inlinable package init() {}
}

extension HTTP2Connection {
    /// When the caller shall look at the client's silence; `.max` while nothing depends on it: no stream is open.
    package func silenceDeadline(_ keepAlive: HTTP2KeepAlive) -> UInt64 {
        guard keepAlive.afterNs > 0, phase == .open, table.active > 0 else { return .max }
        return pings.deadline(keepAlive, heardAt: now)
    }

    /// Puts the question off for as long again: bytes of ours are on their way, and what they will show is not known yet.
    package mutating func postponePing(now: UInt64) { pings.lookedAt = now }

    /// Sends a PING to learn whether the client is there; one at a time.
    package mutating func ping(now: UInt64) {
        guard phase == .open, pings.sentAt == nil else { return }
        pings.number &+= 1
        guard control.appendPing(pings.number.bigEndian, isAcknowledgement: false) else { return }
        pings.sentAt = now
    }

    /// When the PING that has not been answered was sent.
    package var pingOutstandingSince: UInt64? { pings.sentAt }

    /// Takes in an acknowledgement; false when nothing of ours is under way that it could mean.
    mutating func pingAcknowledged(_ opaque: UInt64) -> Bool {
        if opaque == PingState.drainNumber, goingAway == .announced {
            drainAtOnce()
            return true
        }
        return pings.isAnswered(by: opaque)
    }
}

extension PingState {
    /// When to look at the peer's silence. Whatever it sends shows that it is there, the acknowledgement or anything else.
    func deadline(_ keepAlive: HTTP2KeepAlive, heardAt: UInt64) -> UInt64 {
        let heard = max(heardAt, lookedAt)
        let limit = sentAt == nil ? keepAlive.afterNs : keepAlive.timeoutNs
        let (deadline, overflow) = max(heard, sentAt ?? 0).addingReportingOverflow(limit)
        return overflow ? .max : deadline
    }

    /// Takes in an acknowledgement; false when no keep-alive PING is under way that it could mean.
    mutating func isAnswered(by opaque: UInt64) -> Bool {
        guard sentAt != nil, opaque == number.bigEndian else { return false }
        sentAt = nil
        return true
    }
}
