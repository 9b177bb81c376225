// HTTP/2: what of a connection's life is not its streams'. See the diagram in KeepAliveMachine.swift.

extension KeepAliveMachine {
    /// Event **multiplexed**: the connection speaks HTTP/2; allowed when `isBetweenExchanges`. Requests and responses are its streams', each of
    /// which has a machine of its own; here remain the output that all share, the idle clock and the end.
    ///
    /// The header timeout is the time for the first stream: as on HTTP/1.1, a peer that connects and asks nothing is gone after it.
    @inlinable package mutating func multiplexed(now: UInt64, _ policy: KeepAlivePolicy) {
        precondition(isBetweenExchanges, "BUG: HTTP/2 began within a request")
        reading = .done
        writing = .multiplexed(idle: now.deadline(after: policy.headerTimeoutNs), sinceSent: false)
    }

    /// Event **streamsChanged**: whether there are streams; report it with each request, and when the last has ended.
    ///
    /// The idle time begins when the last response has left. Output of the connection itself (answers to PING and SETTINGS) is not a reason to
    /// begin it anew, or a client that asks nothing could stay for ever.
    @inlinable package mutating func streamsChanged(any: Bool, now: UInt64, _ policy: KeepAlivePolicy) {
        guard case .multiplexed(let idle, _) = writing else { return }
        if any {
            writing = .multiplexed(idle: .max, sinceSent: false)
        } else if idle == .max {
            writing = .multiplexed(idle: idleDeadline(now: now, policy), sinceSent: output != .drained)
        }
    }

    /// Event **goAwaySaid**: the peer was told that the connection ends. What it still has to say before that (the answer to a PING, the end of what
    /// was on its way) takes a round trip: without streams it has the linger time for it and not the idle time, or a peer that says nothing more
    /// would hold up a drain for as long as that.
    @inlinable package mutating func goAwaySaid(now: UInt64, _ policy: KeepAlivePolicy) {
        guard case .multiplexed(let idle, let sinceSent) = writing else { return }
        flags.insert(.serverCloses)
        if idle != .max { writing = .multiplexed(idle: min(idle, idleDeadline(now: now, policy)), sinceSent: sinceSent) }
    }

    /// When a connection without streams ends that becomes idle now.
    @inlinable func idleDeadline(now: UInt64, _ policy: KeepAlivePolicy) -> UInt64 {
        let isShort = flags.contains(.serverCloses) && policy.lingerTimeoutNs > 0
        return now.deadline(after: isShort ? policy.lingerTimeoutNs : policy.idleTimeoutNs)
    }

    /// Event **multiplexedEnded**: the peer was told to open no more streams, and none is left.
    ///
    /// - Returns: `wait` when output must leave first; the closing steps.
    @inlinable package mutating func multiplexedEnded(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        guard case .multiplexed = writing else { return .wait }
        return closeWhenSent(lingers: true, now: now, policy)
    }

    /// Whether the connection speaks HTTP/2.
    @inlinable package var isMultiplexed: Bool {
        if case .multiplexed = writing { true } else { false }
    }
}
