// How a connection ends: faults, drain, lingering close, abort. See the diagram in KeepAliveMachine.swift.

extension KeepAliveMachine {
    /// Event **requestFault**: the request cannot be served (malformed, too large, unsupported) and is answered by `status`.
    ///
    /// - Returns: `respond(status)`; `abort` when a response has begun and cannot be completed; the closing steps when the
    ///   response is complete and only the rest of the body was bad; `wait` when the connection is closing already.
    @inlinable package mutating func requestFault(
        status: UInt16, now: UInt64, _ policy: KeepAlivePolicy
    ) -> KeepAliveStep {
        fault(status: status, now: now, policy)
    }

    /// Event **drain**: the server is stopping. May be repeated.
    ///
    /// An idle connection closes at once, or lingers when it still takes a response; an active one completes its response, announcing
    /// the close if the head has not left yet. A new connection that has not sent a byte may do so within the linger timeout (none when
    /// that is 0): unlike an idle one its client has had no answer, and many clients do not repeat the first request of a connection.
    ///
    /// - Parameter sparesIdle: an idle connection may send one more request, which is answered with the close announced: its client may have sent it already, and many do not repeat
    ///   what they sent into a close. Its idle timeout runs on.
    @inlinable package mutating func drain(now: UInt64, _ policy: KeepAlivePolicy, sparesIdle: Bool = false) -> KeepAliveStep {
        guard !hasLeft else { return .wait }
        flags.insert(.serverCloses)
        if case .multiplexed = writing { return .goAway }
        switch reading {
        case .idle where sparesIdle: return .wait
        case .idle:
            // A peer that still takes responses knows nothing of the end and may be pipelining: without lingering it would lose them.
            return closeWhenSent(lingers: output != .drained, now: now, policy)
        case .head(let deadline, anyBytes: false):
            guard policy.lingerTimeoutNs > 0 else { return closeWhenSent(lingers: false, now: now, policy) }
            let sooner = min(deadline, now.advancedSaturating(by: policy.lingerTimeoutNs))
            reading = .head(deadline: sooner, anyBytes: false)
            return .wait
        case .head(_, anyBytes: true), .expecting, .body, .paused, .done, .ended:
            return .wait
        }
    }

    /// Event **discarded**: `count` bytes arrived that nobody will parse, after the last request or a fault.
    ///
    /// - Returns: `close` when a lingering connection has read enough of them, else `wait`.
    @inlinable package mutating func discarded(_ count: UInt64) -> KeepAliveStep {
        switch writing {
        case .lingering(let deadline, let bytesLeft):
            guard count <= bytesLeft else { return closed(.close) }
            writing = .lingering(deadline: deadline, bytesLeft: bytesLeft &- count)
            return .wait
        case .none, .handling, .responding, .answered, .closing, .multiplexed, .upgraded, .closed:
            return .wait
        }
    }

    /// Event **transportFailed**: the peer cannot be understood below HTTP (a handshake that failed), and was told so if it could be. What is
    /// queued leaves, then the connection closes as after a response.
    @inlinable package mutating func transportFailed(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        switch writing {
        case .none, .handling, .responding, .answered, .multiplexed: closeWhenSent(lingers: true, now: now, policy)
        case .closing, .lingering, .upgraded, .closed: .wait
        }
    }

    /// Event **abort**: the transport failed (reset, broken pipe, I/O error), the handler failed after its response began, or
    /// the upgraded protocol ended. May be repeated.
    ///
    /// - Returns: `abort`; `wait` when the connection is closed already.
    @inlinable package mutating func abort() -> KeepAliveStep {
        isClosed ? .wait : closed(.abort)
    }

    /// Event **closeNow**: whoever speaks on it is done with the connection, and nothing is pending that matters. May be repeated.
    ///
    /// - Returns: `close`; `wait` when the connection is closed already.
    @inlinable package mutating func closeNow() -> KeepAliveStep {
        isClosed ? .wait : closed(.close)
    }

    // MARK: Transitions

    @inlinable mutating func fault(status: UInt16, now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        switch writing {
        case .none, .handling:
            flags.insert(.serverCloses)
            reading = .ended
            // The connection queues the error response in the same turn: no handler to wait for.
            writing = .responding(deadline: .max)
            return .respond(status: status)
        case .responding, .multiplexed:
            return closed(.abort)
        case .answered:
            return closeWhenSent(lingers: true, now: now, policy)
        case .closing, .lingering, .upgraded, .closed:
            return .wait
        }
    }

    /// The response is complete, and the request is as far as it will be read.
    @inlinable mutating func exchangeEnded(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        if case .done = reading {
            guard flags.isDisjoint(with: .closes) else {
                return closeWhenSent(lingers: !flags.contains(.clientCloses), now: now, policy)
            }
            reading = .idle(deadline: now.deadline(after: policy.idleTimeoutNs))
            writing = .none
            return hasRoom(policy) ? .nextRequest : .wait
        }
        return closeWhenSent(lingers: true, now: now, policy)
    }

    /// Closes once the output is sent: at once when it is. `lingers`: the peer may be sending something still, which would make the
    /// kernel answer a close with a reset and the peer lose the response (RFC 9112, 9.6).
    @inlinable mutating func closeWhenSent(lingers: Bool, now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        let lingers = lingers && policy.lingerTimeoutNs > 0 && !flags.contains(.peerEnded)
        reading = .ended
        writing = .closing(lingers: lingers)
        switch output {
        case .drained: return allSent(lingers: lingers, now: now, policy)
        case .pending: return .wait
        }
    }

    @inlinable mutating func allSent(lingers: Bool, now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        guard lingers else { return closed(.close) }
        writing = .lingering(
            deadline: now.deadline(after: policy.lingerTimeoutNs), bytesLeft: policy.lingerBytesMax)
        return .linger
    }

    @inlinable mutating func closed(_ step: KeepAliveStep) -> KeepAliveStep {
        reading = .ended
        writing = .closed
        output = .drained
        return step
    }

    /// Whether the request body can be read to its end at a fair price when the handler leaves `unread` bytes of it.
    @inlinable func bodyCanEnd(_ unread: UInt64, _ policy: KeepAlivePolicy) -> Bool {
        switch reading {
        case .done, .ended: true
        case .body, .paused: unread <= policy.unreadBodyBytesMax
        // Without 100 (Continue) the client may send the body or not: the next bytes cannot be told apart (RFC 9110, 10.1.1).
        case .expecting: false
        case .idle, .head: preconditionFailure("BUG: a response without a request")
        }
    }

    @inlinable func isLast(request: UInt32, _ policy: KeepAlivePolicy) -> Bool {
        policy.requestsPerConnectionMax != 0 && request >= policy.requestsPerConnectionMax
    }
}
