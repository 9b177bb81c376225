// Events of the receiving side: what the server sends. See the diagram in ClientExchangeMachine.swift.

public import UringHTTP

extension ClientExchangeMachine {
    /// Event **received**: bytes came, whatever they are; report it once for each receive, before their meaning.
    ///
    /// - Returns: `close` between exchanges: nothing was asked, so they can only be an error report before a close, or the beginning of a
    ///   response that would be taken for the answer to the next request. Else `wait`.
    @inlinable package mutating func received(now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        switch receiving {
        case .idle: return closed(.close)
        case .head: progress = .responseBegan
        case .body(_, isPaused: false): receiving = .body(deadline: now.deadline(after: policy.bodyTimeoutNs), isPaused: false)
        case .done: closes = true
        case .body(_, isPaused: true), .tunnel, .closed: break
        }
        return .wait
    }

    /// Event **responseHead**: a whole head was parsed, interim or final.
    ///
    /// - Returns: `wait`: after an interim response parse the next head, after a final one read the body (which may be over at once:
    ///   `ResponseBodyReader` knows) and report `responseEnded`; `sendBody`; `stopSending`, which changes nothing about the response;
    ///   `tunnel`; `fail`.
    @inlinable package mutating func responseHead(_ head: ResponseHead, now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        guard case .head = receiving else {
            precondition(hasLeft, "BUG: a response head where none is due")
            return .wait
        }
        progress = .responseBegan
        if head.isInterim { return interimHead(head.status, now: now, policy) }
        if head.framing == .tunnel { return tunnelOpened() }
        receiving = .body(deadline: now.deadline(after: policy.bodyTimeoutNs), isPaused: false)
        // When ours is the last request anyway, the server's close says nothing about the rest of it.
        let refuses = !head.keepAlive && !closes && !head.status.isSuccess
        if !head.keepAlive { closes = true }
        switch sending {
        case .whole, .stopped, .none: return .wait
        case .body:
            // A server that keeps the connection, or has good news, reads the rest. An error before a close says that it will not (RFC 9112 9.5).
            guard refuses else { return .wait }
        case .expecting:
            // The head has announced a body: what comes next in its place would be taken for it.
            closes = true
        }
        sending = .stopped
        return .stopSending
    }

    /// Event **responseEnded**: the response's last byte, trailers included, was read.
    ///
    /// - Parameter hasMore: bytes are left behind it, which nobody asked for: the connection is not used again.
    /// - Returns: `reuse`; `close`; `wait` when the end of the request has to leave first.
    @inlinable package mutating func responseEnded(hasMore: Bool, now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        guard case .body = receiving else {
            precondition(hasLeft, "BUG: a response ended that had not begun")
            return .wait
        }
        if hasMore { closes = true }
        receiving = .done
        switch sending {
        case .whole: return pendingBytes == 0 || closes ? finish(now: now, policy) : .wait
        case .expecting, .body, .stopped, .none: return closed(.close)
        }
    }

    /// Event **bodyPaused**: the connection stops reading the response, because its consumer is behind. The body clock stops.
    @inlinable package mutating func bodyPaused() {
        if case .body = receiving { receiving = .body(deadline: .max, isPaused: true) }
    }

    /// Event **bodyResumed**: it reads again. The server gets a new pause.
    @inlinable package mutating func bodyResumed(now: UInt64, _ policy: ClientPolicy) {
        if case .body(_, isPaused: true) = receiving { receiving = .body(deadline: now.deadline(after: policy.bodyTimeoutNs), isPaused: false) }
    }

    // MARK: Transitions

    @inlinable mutating func interimHead(_ status: HTTPStatus, now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        if policy.interimResponsesMax != 0, interimResponses >= policy.interimResponsesMax { return failed(.tooManyInterimResponses) }
        interimResponses = min(interimResponses, .max - 1) &+ 1
        if case .expecting = sending, status.code == 100 {
            sending = .body
            return .sendBody
        }
        startResponseClock(now: now, policy)
        return .wait
    }

    @inlinable mutating func tunnelOpened() -> ClientStep {
        guard asksUpgrade, sending == .whole else { return failed(.unexpectedUpgrade) }
        sending = .none
        writeDeadline = .max
        pendingBytes = 0
        receiving = .tunnel
        return .tunnel
    }

    /// The exchange is complete and nothing is pending, or the connection ends anyway.
    @inlinable mutating func finish(now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        if closes { return closed(.close) }
        sending = .none
        receiving = .idle(deadline: now.deadline(after: policy.idleTimeoutNs))
        return .reuse
    }
}
