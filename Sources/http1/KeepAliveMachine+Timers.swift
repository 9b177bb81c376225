// The clocks of a connection and what is done when one is met. See the diagram in KeepAliveMachine.swift.

/// Which clock was met.
@frozen @usableFromInline
package enum KeepAliveTimeout: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// No next request: closed without a word.
    case idle
    /// The request head is not complete: 408, or closed without a word when no byte of it came.
    case header
    /// No byte of the request body: 408, abort when the response has begun, close when it is complete.
    case body
    /// The request body is slower than the minimum rate; answered like `body`.
    case bodyRate
    /// The handler did not move: 503 when nothing was sent, else abort.
    case handler
    /// The peer takes no byte: abort.
    case write
    /// The peer takes bytes more slowly than the minimum rate: abort.
    case writeRate
    /// The peer did not end after our close: closed.
    case linger
}

/// The answer to a fired timer.
@frozen @usableFromInline
package enum KeepAliveTimerAnswer: Sendable, BitwiseCopyable, Equatable {
    /// No clock runs: no timer is needed until `deadlineToArm` asks for one.
    case unarmed
    /// Nothing is late: arm the timer for this time, ns.
    case rearm(at: UInt64)
    /// The clock was met; the step is one of `close`, `abort`, `respond`. The timer is not armed.
    case expired(KeepAliveTimeout, KeepAliveStep)
}

extension KeepAliveMachine {
    /// The earliest running deadline, ns; `.max` when no clock runs.
    @inlinable package var nextDeadline: UInt64 {
        earliestClock.deadline
    }

    /// When the timer must be armed anew because a deadline lies before it; nil nearly always.
    ///
    /// Ask once per connection at the end of a batch, not per event: what comes and goes within a batch (output that the
    /// kernel takes at once) then never touches the timer wheel.
    @inlinable package mutating func deadlineToArm() -> UInt64? {
        // What a kept connection does nearly always, without a call.
        if case .drained = output, case .none = writing, case .idle(let deadline) = reading, deadline >= armedAt { return nil }
        let deadline = nextDeadline
        guard deadline < armedAt else { return nil }
        armedAt = deadline
        return deadline
    }

    /// Event **timer**: the connection's timer fired.
    ///
    /// - Parameter acknowledged: bytes the peer acknowledged since accept (`tcpi_bytes_acked`), read now. Needed when
    ///   `wantsAcknowledged`, else nil.
    @inlinable package mutating func timer(
        now: UInt64, acknowledged: UInt64? = nil, _ policy: KeepAlivePolicy
    ) -> KeepAliveTimerAnswer {
        armedAt = .max
        if let acknowledged { credit(acknowledged, now: now, policy) }
        let (deadline, clock) = earliestClock
        guard deadline != .max else { return .unarmed }
        guard deadline <= now else {
            armedAt = deadline
            return .rearm(at: deadline)
        }
        return .expired(clock, expired(clock, now: now, policy))
    }

    /// Whether `timer` needs to know what the peer has acknowledged.
    @inlinable package func wantsAcknowledged(_ policy: KeepAlivePolicy) -> Bool {
        switch (output, policy.drainMeasure) {
        case (.pending, .peerAcknowledges): true
        case (.pending, .kernelAccepts), (.drained, _): false
        }
    }

    /// Acknowledgements count from the last time they were read, which may lie before the pending output: that errs in the peer's favour,
    /// once, and by no more than the pause it is allowed anyway.
    @inlinable mutating func credit(_ acknowledged: UInt64, now: UInt64, _ policy: KeepAlivePolicy) {
        guard case .pending(let bytes, _, let rateDeadline) = output, acknowledged > acknowledgedMark else { return }
        let later = policy.drainRateMin.earn(
            acknowledged &- acknowledgedMark, deadline: rateDeadline, now: now, pauseNs: policy.writeTimeoutNs)
        acknowledgedMark = acknowledged
        output = .pending(bytes: bytes, pauseDeadline: now.deadline(after: policy.writeTimeoutNs), rateDeadline: later)
    }

    @inlinable mutating func expired(
        _ clock: KeepAliveTimeout, now: UInt64, _ policy: KeepAlivePolicy
    ) -> KeepAliveStep {
        switch clock {
        case .idle:
            guard case .multiplexed = writing else { return closed(.close) }
            writing = .multiplexed(idle: .max, sinceSent: false)
            return .goAway
        case .linger:
            return closed(.close)
        case .header:
            if case .head(_, anyBytes: false) = reading { return closed(.close) }
            return fault(status: 408, now: now, policy)
        case .body, .bodyRate:
            return isAnswered ? closed(.close) : fault(status: 408, now: now, policy)
        case .handler:
            return fault(status: 503, now: now, policy)
        case .write, .writeRate:
            return closed(.abort)
        }
    }

    // MARK: Which clocks run

    @usableFromInline typealias Clock = (deadline: UInt64, clock: KeepAliveTimeout)

    @inlinable var earliestClock: Clock {
        switch output {
        case .drained:
            return exchangeClock(isDrained: true)
        case .pending(_, let pauseDeadline, let rateDeadline):
            if flags.contains(.outputUntimed), case .responding = writing { return exchangeClock(isDrained: false) }
            let peer = earlier((pauseDeadline, .write), (rateDeadline, .writeRate))
            return earlier(exchangeClock(isDrained: false), peer)
        }
    }

    /// The clock of the two sides, output apart.
    @inlinable func exchangeClock(isDrained: Bool) -> Clock {
        switch writing {
        case .none:
            return readingClock(isDrained: isDrained)
        case .handling(let deadline), .responding(let deadline):
            if case .body = reading { return readingClock(isDrained: isDrained) }
            return (isDrained ? deadline : .max, .handler)
        case .answered:
            // A peer that still takes the response may send the rest of its body afterwards.
            return isDrained ? readingClock(isDrained: true) : (.max, .body)
        case .lingering(let deadline, _):
            return (deadline, .linger)
        case .multiplexed(let idle, _):
            return (isDrained ? idle : .max, .idle)
        case .closing, .upgraded, .closed:
            return (.max, .linger)
        }
    }

    @inlinable func readingClock(isDrained: Bool) -> Clock {
        switch reading {
        case .idle(let deadline):
            return (isDrained ? deadline : .max, .idle)
        case .head(let deadline, _):
            return (deadline, .header)
        case .body(let pauseDeadline, let rateDeadline):
            return earlier((pauseDeadline, .body), (rateDeadline, .bodyRate))
        case .expecting, .paused, .done, .ended:
            return (.max, .idle)
        }
    }

    /// Of two clocks met at once the first is named.
    @inlinable func earlier(_ first: Clock, _ second: Clock) -> Clock {
        second.deadline < first.deadline ? second : first
    }
}
