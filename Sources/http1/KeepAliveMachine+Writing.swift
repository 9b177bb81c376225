// Events of the writing side: handler, response, output. See the diagram in KeepAliveMachine.swift.

extension KeepAliveMachine {
    // MARK: The fast path: one call per request, one per batch

    /// Whether the response to the request about to be `exchanged` must announce a close. Changes nothing.
    ///
    /// - Parameters:
    ///   - clientKeepsAlive: as for `headParsed`.
    ///   - handlerCloses: the handler, or the framing of its response, ends the connection.
    @inlinable package func persistence(
        clientKeepsAlive: Bool, handlerCloses: Bool, _ policy: KeepAlivePolicy
    ) -> KeepAlivePersistence {
        if !clientKeepsAlive { return .closedByClient }
        return handlerCloses || isLast(request: requests &+ 1, policy) || !flags.isDisjoint(with: .closes) ? .closedByServer : .keepAlive
    }

    /// Event **exchanged**: a whole request without body was parsed, handled at once, and its response of
    /// `outputBytes` queued; allowed when `isBetweenExchanges`. Stands for headParsed, handlerStarted, responseHead,
    /// outputQueued and responseEnded.
    ///
    /// - Returns: `nextRequest`; `wait` when output must leave first; the closing steps after the last response.
    @inline(__always) @inlinable package mutating func exchanged(
        _ persistence: KeepAlivePersistence, outputBytes: UInt64, now: UInt64, _ policy: KeepAlivePolicy
    ) -> KeepAliveStep {
        precondition(isBetweenExchanges, "BUG: a request was exchanged while another is under way")
        requests &+= 1
        queue(outputBytes, now: now, policy)
        guard persistence == .keepAlive else {
            return closeWhenSent(lingers: persistence == .closedByServer, now: now, policy)
        }
        reading = .idle(deadline: now.deadline(after: policy.idleTimeoutNs))
        return hasRoom(policy) ? .nextRequest : .wait
    }

    /// Event **flushed**: the kernel took all output of the batch at once.
    @inline(__always) @inlinable package mutating func flushed(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        guard case .pending = output else { return .wait }
        // What a kept connection does nearly always, without a call.
        if case .none = writing, case .idle = reading {
            output = .drained
            reading = .idle(deadline: now.deadline(after: policy.idleTimeoutNs))
            return .nextRequest
        }
        return drained(now: now, policy)
    }

    // MARK: Handler and response

    /// Event **handlerStarted**: the handler has the request, whose body may still be on its way.
    @inlinable package mutating func handlerStarted(now: UInt64, _ policy: KeepAlivePolicy) {
        precondition(isWithoutResponse, "BUG: a handler started while a response is due")
        switch reading {
        case .expecting, .body, .paused, .done, .ended: break
        case .idle, .head: preconditionFailure("BUG: a handler started without a request")
        }
        writing = .handling(deadline: now.deadline(after: policy.handlerTimeoutNs))
    }

    /// Event **outputTimed**: whether the clocks of output run while a response is being written. Where they do not, whoever writes has clocks of its own; what is left of the output when the
    /// response is complete is watched as ever.
    @inlinable package mutating func outputTimed(_ isTimed: Bool) {
        if isTimed { flags.remove(.outputUntimed) } else { flags.insert(.outputUntimed) }
    }

    /// Event **handlerUntimed**: this request has no handler timeout (event streams, long polls).
    @inlinable package mutating func handlerUntimed() {
        switch writing {
        case .handling: writing = .handling(deadline: .max)
        case .responding: writing = .responding(deadline: .max)
        case .none, .answered, .closing, .lingering, .multiplexed, .upgraded, .closed:
            preconditionFailure("BUG: no handler runs")
        }
        flags.insert(.handlerUntimed)
    }

    /// Event **responseHead**: the final response head is about to be queued.
    ///
    /// - Parameters:
    ///   - handlerCloses: the handler, or the framing of its response, ends the connection.
    ///   - unreadBodyBytes: how much of the request body will stay unread by the handler; `.max` when unknown (chunked).
    /// - Returns: whether the head must carry `Connection: close`.
    @inlinable package mutating func responseHead(
        handlerCloses: Bool, unreadBodyBytes: UInt64, now: UInt64, _ policy: KeepAlivePolicy
    ) -> KeepAlivePersistence {
        guard case .handling = writing else { preconditionFailure("BUG: a response without a handler, or a second one") }
        writing = .responding(deadline: handlerDeadline(now: now, policy))
        if handlerCloses || !bodyCanEnd(unreadBodyBytes, policy) { flags.insert(.serverCloses) }
        if flags.contains(.clientCloses) { return .closedByClient }
        return flags.isDisjoint(with: .closes) ? .keepAlive : .closedByServer
    }

    /// Event **responseEnded**: all bytes of the response were queued.
    ///
    /// - Parameter unreadBodyBytes: how much of the request body is unread now; `.max` when unknown.
    /// - Returns: `nextRequest`; `discardBody`; `wait` when output must leave first; the closing steps.
    @inlinable package mutating func responseEnded(
        unreadBodyBytes: UInt64, now: UInt64, _ policy: KeepAlivePolicy
    ) -> KeepAliveStep {
        guard case .responding = writing else { preconditionFailure("BUG: the end of a response that was not begun") }
        if !bodyCanEnd(unreadBodyBytes, policy) { flags.insert(.serverCloses) }
        switch reading {
        case .done, .ended:
            return exchangeEnded(now: now, policy)
        case .expecting, .body, .paused:
            guard flags.isDisjoint(with: .closes) else { return exchangeEnded(now: now, policy) }
            writing = .answered
            readBody(now: now, policy)
            return .discardBody
        case .idle, .head:
            preconditionFailure("BUG: a response ended without a request")
        }
    }

    /// Event **upgraded**: a 101 response, or a 2xx to CONNECT, has left; another protocol has the connection.
    @inlinable package mutating func upgraded() {
        guard case .responding = writing else { preconditionFailure("BUG: an upgrade without a response") }
        reading = .ended
        writing = .upgraded
        output = .drained
    }

    // MARK: Output

    /// Event **outputQueued**: `count` bytes of responses wait to be sent.
    @inlinable package mutating func outputQueued(_ count: UInt64, now: UInt64, _ policy: KeepAlivePolicy) {
        switch writing {
        case .none, .handling, .responding, .multiplexed: queue(count, now: now, policy)
        case .answered, .closing, .lingering, .upgraded, .closed:
            preconditionFailure("BUG: output after the end of the response")
        }
    }

    /// Event **outputGrew**: pending output became `count` bytes longer on its way out, by encryption, or the transport has something to say
    /// of its own (a handshake, an alert). Allowed at any time; a closed connection takes no notice.
    @inlinable package mutating func outputGrew(_ count: UInt64, now: UInt64, _ policy: KeepAlivePolicy) {
        if !isClosed { queue(count, now: now, policy) }
    }

    /// Event **outputSent**: the kernel took `count` bytes of the pending output.
    ///
    /// - Returns: `resumeHandler` or `nextRequest` when there is room again; after the last byte of the last response `linger` or
    ///   `close`; else `wait`. Late completions of a closed connection are ignored.
    @inlinable package mutating func outputSent(_ count: UInt64, now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        guard case .pending(let bytes, _, let rateDeadline) = output else {
            precondition(count == 0 || hasLeft, "BUG: more was sent than queued")
            return .wait
        }
        precondition(count <= bytes, "BUG: more was sent than queued")
        guard count < bytes else { return drained(now: now, policy) }
        guard count > 0 else { return .wait }
        let hadRoom = hasRoom(policy)
        output = .pending(
            bytes: bytes &- count, pauseDeadline: now.deadline(after: policy.writeTimeoutNs), rateDeadline: rateDeadline)
        return !hadRoom && hasRoom(policy) ? roomAgain : .wait
    }

    @inline(__always) @inlinable mutating func queue(_ count: UInt64, now: UInt64, _ policy: KeepAlivePolicy) {
        guard count > 0 else { return }
        switch output {
        case .drained:
            output = .pending(
                bytes: count, pauseDeadline: now.deadline(after: policy.writeTimeoutNs),
                rateDeadline: earnAtQueueing(count, deadline: policy.drainRateMin.begin(now: now), now: now, policy))
        case .pending(let bytes, let pauseDeadline, let rateDeadline):
            output = .pending(
                bytes: bytes.advancedSaturating(by: count), pauseDeadline: pauseDeadline,
                rateDeadline: earnAtQueueing(count, deadline: rateDeadline, now: now, policy))
        }
    }

    /// What the kernel accepts is seen in lumps as large as a send, so there the time that bytes may take is granted
    /// when they are queued (as Kestrel does); acknowledgements are seen exactly, so there it is earned in `timer`.
    @inline(__always) @inlinable func earnAtQueueing(
        _ count: UInt64, deadline: UInt64, now: UInt64, _ policy: KeepAlivePolicy
    ) -> UInt64 {
        switch policy.drainMeasure {
        case .kernelAccepts: policy.drainRateMin.earn(count, deadline: deadline, now: now, pauseNs: 0)
        case .peerAcknowledges: deadline
        }
    }

    /// All output has left: whoever waited for that has its clock begin now.
    @inlinable mutating func drained(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        output = .drained
        switch writing {
        case .none:
            if case .idle = reading { reading = .idle(deadline: now.deadline(after: policy.idleTimeoutNs)) }
        case .handling, .responding:
            restartHandlerClock(now: now, policy)
        case .answered:
            readBody(now: now, policy)
        case .closing(let lingers):
            return allSent(lingers: lingers, now: now, policy)
        case .multiplexed(_, let sinceSent):
            if sinceSent { writing = .multiplexed(idle: idleDeadline(now: now, policy), sinceSent: false) }
        case .lingering, .upgraded, .closed:
            break
        }
        return roomAgain
    }

    @inlinable var roomAgain: KeepAliveStep {
        switch writing {
        case .none: isBetweenExchanges ? .nextRequest : .wait
        case .responding, .multiplexed: .resumeHandler
        case .handling, .answered, .closing, .lingering, .upgraded, .closed: .wait
        }
    }

    // MARK: The handler's clock

    @inlinable func handlerDeadline(now: UInt64, _ policy: KeepAlivePolicy) -> UInt64 {
        flags.contains(.handlerUntimed) ? .max : now.deadline(after: policy.handlerTimeoutNs)
    }

    /// The peer has done its part: from here the exchange waits for the handler.
    @inlinable mutating func restartHandlerClock(now: UInt64, _ policy: KeepAlivePolicy) {
        switch writing {
        case .handling: writing = .handling(deadline: handlerDeadline(now: now, policy))
        case .responding: writing = .responding(deadline: handlerDeadline(now: now, policy))
        case .none, .answered, .closing, .lingering, .multiplexed, .upgraded, .closed: break
        }
    }
}
