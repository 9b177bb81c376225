// The clocks of a client connection and what is done when one is met. See the diagram in ClientExchangeMachine.swift.

/// The answer to a fired timer.
@frozen @usableFromInline
package enum ClientTimerAnswer: Sendable, BitwiseCopyable, Equatable {
    /// No clock runs: no timer is needed until `deadlineToArm` asks for one.
    case unarmed
    /// Nothing is late: arm the timer for this time, ns.
    case rearm(at: UInt64)
    /// The clock was met; the step is `fail`, `close` (idle) or `sendBody` (continue). The timer is not armed.
    case expired(ClientTimeout, ClientStep)
}

extension ClientExchangeMachine {
    /// The earliest running deadline, ns; `.max` when no clock runs.
    @inlinable package var nextDeadline: UInt64 { earliestClock.deadline }

    /// When the timer must be armed anew because a deadline lies before it; nil nearly always. Ask at the end of a batch.
    @inlinable package mutating func deadlineToArm() -> UInt64? {
        let deadline = nextDeadline
        guard deadline < armedAt else { return nil }
        armedAt = deadline
        return deadline
    }

    /// Event **timer**: the connection's timer fired.
    @inlinable package mutating func timer(now: UInt64, _ policy: ClientPolicy) -> ClientTimerAnswer {
        armedAt = .max
        let (deadline, clock) = earliestClock
        guard deadline != .max else { return .unarmed }
        guard deadline <= now else {
            armedAt = deadline
            return .rearm(at: deadline)
        }
        switch clock {
        case .idle: return .expired(clock, closed(.close))
        case .continue:
            sending = .body
            return .expired(clock, .sendBody)
        case .write, .head, .body: return .expired(clock, failed(.timeout(clock)))
        }
    }

    @inlinable var earliestClock: (deadline: UInt64, clock: ClientTimeout) {
        var earliest = (deadline: writeDeadline, clock: ClientTimeout.write)
        switch receiving {
        case .idle(let deadline): if deadline < earliest.deadline { earliest = (deadline, .idle) }
        case .head(let deadline): if deadline < earliest.deadline { earliest = (deadline, .head) }
        case .body(let deadline, _): if deadline < earliest.deadline { earliest = (deadline, .body) }
        case .done, .tunnel, .closed: break
        }
        if case .expecting(let deadline) = sending, deadline < earliest.deadline { earliest = (deadline, .continue) }
        return earliest
    }
}
