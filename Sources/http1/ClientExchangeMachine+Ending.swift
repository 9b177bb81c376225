// How a connection ends, and what that means for the exchange on it. See the diagram in ClientExchangeMachine.swift.

extension ClientExchangeMachine {
    /// Event **peerEnded**: the server's side has ended in order (TLS: close_notify was read).
    ///
    /// - Parameter body: `ResponseBodyReader.endOfConnection` within a body; of no meaning elsewhere.
    /// - Returns: `close` between exchanges, and when the response is complete or ends with the connection; `fail`; `wait` in a tunnel.
    @inlinable package mutating func peerEnded(_ body: ResponseBodyEnd) -> ClientStep {
        switch receiving {
        case .idle, .done: closed(.close)
        case .head: failed(.closed)
        case .body: body == .truncated ? failed(.truncated) : closed(.close)
        case .tunnel, .closed: .wait
        }
    }

    /// Event **transportFailed**: reset, broken pipe, I/O error, a TLS failure, or an end without close_notify. A body that ends with the
    /// connection is cut by it: an attacker can make such an end (RFC 9112 9.8).
    @inlinable package mutating func transportFailed() -> ClientStep {
        switch receiving {
        case .idle, .done: closed(.close)
        case .head, .body: failed(.transport)
        case .tunnel, .closed: .wait
        }
    }

    /// Event **sendFailed**: the kernel takes no more (broken pipe, reset), but what the server has sent may still be read: an error response
    /// before a close (RFC 9112 9.5). Queue no more; the end comes with `peerEnded`, `transportFailed` or the response.
    ///
    /// - Returns: `stopSending` within a request, `close` between exchanges and when only the rest of a request was missing, else `wait`.
    @inlinable package mutating func sendFailed(now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        switch receiving {
        case .idle, .done: return closed(.close)
        case .tunnel, .closed: return .wait
        case .head, .body: break
        }
        closes = true
        pendingBytes = 0
        writeDeadline = .max
        sending = .stopped
        startResponseClock(now: now, policy)
        return .stopSending
    }

    /// Event **responseFault**: the response cannot be read.
    @inlinable package mutating func responseFault(_ fault: ResponseFault) -> ClientStep { hasLeft ? .wait : failed(.malformed(fault)) }

    /// Event **retire**: the connection takes no further request: its pool is being emptied, or is too full.
    ///
    /// - Returns: `close` between exchanges, else `wait`: it closes behind the response.
    @inlinable package mutating func retire() -> ClientStep {
        if isIdle { return closed(.close) }
        closes = true
        return .wait
    }

    /// Event **cancel**: nobody wants the response any more. May be repeated.
    ///
    /// - Returns: `close`; `wait` between exchanges, in a tunnel and after the end.
    @inlinable package mutating func cancel() -> ClientStep { hasLeft || isIdle ? .wait : closed(.close) }

    // MARK: Transitions

    @inlinable mutating func failed(_ reason: ClientFailure.Reason) -> ClientStep {
        closed(.fail(ClientFailure(reason, progress: progress, isReused: requests > 1)))
    }

    @inlinable mutating func closed(_ step: ClientStep) -> ClientStep {
        sending = .none
        receiving = .closed
        pendingBytes = 0
        writeDeadline = .max
        return step
    }
}
