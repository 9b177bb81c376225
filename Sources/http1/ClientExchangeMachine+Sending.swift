// Events of the sending side: the request and the kernel that takes it. See the diagram in ClientExchangeMachine.swift.

extension ClientExchangeMachine {
    /// Event **requestStarted**: a request's head is about to be queued; allowed when `isIdle`.
    ///
    /// - Parameter asksUpgrade: the head has `Upgrade` and lists it in Connection, or the method is CONNECT.
    @inlinable package mutating func requestStarted(_ request: Request, asksUpgrade: Bool = false, now: UInt64, _ policy: ClientPolicy) {
        precondition(isIdle, "BUG: a request was started on a connection that is not free")
        closes = isLastRequest(policy)
        requests &+= 1
        progress = .nothingSent
        interimResponses = 0
        self.asksUpgrade = asksUpgrade
        receiving = .head(deadline: .max)
        switch request {
        case .whole: sending = .whole
        case .body: sending = .body
        // Its clock starts when the head has left.
        case .expecting: sending = .expecting(deadline: .max)
        }
    }

    /// Event **outputQueued**: `count` bytes (with TLS: of ciphertext) wait for the kernel.
    @inlinable package mutating func outputQueued(_ count: UInt64, now: UInt64, _ policy: ClientPolicy) {
        guard count > 0, !hasLeft else { return }
        if pendingBytes == 0 { writeDeadline = now.deadline(after: policy.writeTimeoutNs) }
        pendingBytes &+= count
    }

    /// Event **outputSent**: the kernel took `count` bytes.
    ///
    /// - Returns: `reuse` or `close` when that was what a complete exchange waited for, else `wait`.
    @inlinable package mutating func outputSent(_ count: UInt64, now: UInt64, _ policy: ClientPolicy) -> ClientStep {
        guard count > 0, !hasLeft else { return .wait }
        precondition(count <= pendingBytes, "BUG: more was sent than queued")
        pendingBytes &-= count
        if progress < .sent { progress = .sent }
        guard pendingBytes == 0 else {
            writeDeadline = now.deadline(after: policy.writeTimeoutNs)
            return .wait
        }
        writeDeadline = .max
        if receiving == .done { return finish(now: now, policy) }
        startResponseClock(now: now, policy)
        return .wait
    }

    /// Event **outputHeldBack**: what was handed over as sent waits for the server, which must take some of it within the write timeout. Ends with `outputFlows`, or with the next
    /// bytes that leave.
    @inlinable package mutating func outputHeldBack(now: UInt64, _ policy: ClientPolicy) {
        guard !hasLeft else { return }
        writeDeadline = now.deadline(after: policy.writeTimeoutNs)
    }

    /// Event **outputFlows**: there is room for more.
    @inlinable package mutating func outputFlows() {
        if pendingBytes == 0 { writeDeadline = .max }
    }

    /// The write timeout is over.
    @inlinable package func isWriteLate(now: UInt64) -> Bool { writeDeadline <= now }

    /// Event **requestEnded**: the last byte of the body is queued. Without effect when sending was stopped.
    @inlinable package mutating func requestEnded(now: UInt64, _ policy: ClientPolicy) {
        switch sending {
        case .body, .expecting:
            sending = .whole
            startResponseClock(now: now, policy)
        case .whole, .stopped: break
        case .none: precondition(hasLeft || isIdle, "BUG: a request ended that did not start")
        }
    }

    /// Whether a body piece may be queued: not while it waits for 100 (Continue), nor after `stopSending` or the end of the exchange.
    @inlinable package var maySendBody: Bool { sending == .body && !hasLeft }

    /// The clocks that run from the moment when all that is to be sent for now has left.
    @inlinable mutating func startResponseClock(now: UInt64, _ policy: ClientPolicy) {
        guard pendingBytes == 0, case .head = receiving else { return }
        switch sending {
        case .whole, .stopped: receiving = .head(deadline: now.deadline(after: policy.headTimeoutNs))
        case .expecting: sending = .expecting(deadline: now.deadline(after: policy.continueTimeoutNs))
        case .none, .body: break
        }
    }
}
