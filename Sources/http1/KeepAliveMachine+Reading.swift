// Events of the reading side: what the peer sends. See the diagram in KeepAliveMachine.swift.

extension KeepAliveMachine {
    /// Event **firstBytes**: bytes are held that are not a whole request head.
    ///
    /// Starts the header clock, on a new connection only notes that there are bytes. May be repeated. Where no head is
    /// due (a request is still being answered, or nothing more is parsed) it changes nothing: the bytes wait or are discarded.
    @inlinable package mutating func firstBytes(now: UInt64, _ policy: KeepAlivePolicy) {
        switch reading {
        case .idle:
            reading = .head(deadline: now.deadline(after: policy.headerTimeoutNs), anyBytes: true)
        case .head(let deadline, anyBytes: false):
            reading = .head(deadline: deadline, anyBytes: true)
        case .head(_, anyBytes: true), .expecting, .body, .paused, .done, .ended:
            break
        }
    }

    /// Event **established**: the handshake below HTTP is complete; the time for the first request begins now.
    @inlinable package mutating func established(now: UInt64, _ policy: KeepAlivePolicy) {
        guard case .head(_, let anyBytes) = reading else { return }
        reading = .head(deadline: now.deadline(after: policy.headerTimeoutNs), anyBytes: anyBytes)
    }

    /// Event **headParsed**: a whole request head was read; allowed when `isBetweenExchanges`.
    ///
    /// - Parameters:
    ///   - hasBody: a body follows (`Content-Length` above 0, or chunked).
    ///   - clientKeepsAlive: HTTP/1.1 without `Connection: close`, or HTTP/1.0 with `keep-alive`.
    ///   - expectsContinue: `Expect: 100-continue` was sent; without a body it means nothing.
    @inlinable package mutating func headParsed(
        hasBody: Bool, clientKeepsAlive: Bool, expectsContinue: Bool, now: UInt64, _ policy: KeepAlivePolicy
    ) {
        precondition(isBetweenExchanges, "BUG: a request head was parsed while another request is under way")
        requests &+= 1
        flags.remove(.handlerUntimed)
        if !clientKeepsAlive { flags.insert(.clientCloses) }
        if isLast(request: requests, policy) { flags.insert(.serverCloses) }
        if !hasBody {
            reading = .done
        } else if expectsContinue {
            reading = .expecting
        } else {
            readBody(now: now, policy)
        }
    }

    /// Event **continueSent**: `100 (Continue)` was queued, the peer's turn to send the body begins.
    @inlinable package mutating func continueSent(now: UInt64, _ policy: KeepAlivePolicy) {
        switch reading {
        case .expecting: readBody(now: now, policy)
        case .body, .paused, .done, .ended: break  // the client did not wait, or is gone
        case .idle, .head: preconditionFailure("BUG: 100 (Continue) sent without a request")
        }
    }

    /// Event **bodyBytes**: `count` bytes of the request body arrived, framing included.
    @inlinable package mutating func bodyBytes(_ count: UInt64, now: UInt64, _ policy: KeepAlivePolicy) {
        switch reading {
        case .expecting:
            readBody(now: now, policy)
            bodyBytes(count, now: now, policy)
        case .body(_, let rateDeadline):
            let later = policy.bodyRateMin.earn(
                count, deadline: rateDeadline, now: now, pauseNs: policy.bodyTimeoutNs)
            reading = .body(pauseDeadline: now.deadline(after: policy.bodyTimeoutNs), rateDeadline: later)
        case .paused, .ended:
            break  // in flight when reading stopped
        case .idle, .head, .done:
            preconditionFailure("BUG: body bytes of a request that has none left")
        }
    }

    /// Event **bodyPaused**: the server stops reading the body, because its consumer is behind. The body clocks stop.
    /// Without effect while the rest of a body is discarded: nobody is behind.
    @inlinable package mutating func bodyPaused(now: UInt64, _ policy: KeepAlivePolicy) {
        switch reading {
        case .body:
            guard !isAnswered else { return }
            reading = .paused
            restartHandlerClock(now: now, policy)
        case .expecting, .paused, .done, .ended: break
        case .idle, .head: preconditionFailure("BUG: body paused without a request")
        }
    }

    /// Event **bodyResumed**: the server reads the body again. The peer gets a new pause and a new grace period.
    @inlinable package mutating func bodyResumed(now: UInt64, _ policy: KeepAlivePolicy) {
        switch reading {
        case .paused: readBody(now: now, policy)
        case .expecting, .body, .done, .ended: break
        case .idle, .head: preconditionFailure("BUG: body resumed without a request")
        }
    }

    /// Event **bodyEnded**: the request body was read to its end, trailers included.
    ///
    /// - Returns: `nextRequest` (or `wait` for room, or the closing steps) when the response is complete already, else `wait`.
    @inlinable package mutating func bodyEnded(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        switch reading {
        case .expecting, .body, .paused:
            reading = .done
            if isAnswered { return exchangeEnded(now: now, policy) }
            restartHandlerClock(now: now, policy)
            return .wait
        case .ended:
            return .wait
        case .idle, .head, .done:
            preconditionFailure("BUG: the end of a body that was not being read")
        }
    }

    /// Event **peerHalfClosed**: the peer will send nothing more (end of file).
    ///
    /// Report it when every byte before it was given to the parser: pipelined requests that wait for their turn are still
    /// answered to a peer that has half-closed.
    ///
    /// - Returns: `wait` when a complete request is still to be answered or output to be sent, `respond` to a cut
    ///   request, `close` when there is nothing left to do, `abort` when a response cannot be completed.
    @inlinable package mutating func peerHalfClosed(now: UInt64, _ policy: KeepAlivePolicy) -> KeepAliveStep {
        guard !hasLeft else { return .wait }
        flags.insert(.peerEnded)
        switch reading {
        case .idle, .head(_, anyBytes: false):
            return closeWhenSent(lingers: false, now: now, policy)
        case .head(_, anyBytes: true):
            return fault(status: 400, now: now, policy)
        case .expecting, .body, .paused:
            return isAnswered ? closeWhenSent(lingers: false, now: now, policy) : fault(status: 400, now: now, policy)
        case .done:
            reading = .ended
            return .wait
        case .ended:
            return peerEndedWhileClosing()
        }
    }

    @inlinable mutating func peerEndedWhileClosing() -> KeepAliveStep {
        switch writing {
        case .closing:
            writing = .closing(lingers: false)
            return .wait
        case .lingering:
            return closed(.close)
        case .none, .handling, .responding, .answered, .multiplexed, .upgraded, .closed:
            return .wait
        }
    }

    @inlinable mutating func readBody(now: UInt64, _ policy: KeepAlivePolicy) {
        reading = .body(
            pauseDeadline: now.deadline(after: policy.bodyTimeoutNs), rateDeadline: policy.bodyRateMin.begin(now: now))
    }
}
