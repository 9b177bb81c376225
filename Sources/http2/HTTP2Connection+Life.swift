// Ends of streams and of the connection: errors, resets, drain, and the control output (RFC 9113 5.4, 6.8).
// See HTTP2Connection.swift.

/// Our PINGs that are under way, for both sides of a connection.
struct PingState {
    /// When the keep-alive PING was sent; nil when none is out.
    var sentAt: UInt64?
    /// When the peer's silence was last put up with.
    var lookedAt: UInt64 = 0
    /// Of the last keep-alive PING.
    var number: UInt64 = 0
    /// What the drain's PING carries; no keep-alive PING gets so far.
    static var drainNumber: UInt64 { .max }
}

extension HTTP2Connection {
    // MARK: control output

    /// Bytes that wait to be sent before anything else. Take them after each call when the connection can send: what a client makes
    /// necessary and does not read is bounded by `controlBytesMax`, and more of it ends the connection.
    @inline(__always) package var controlCount: Int { control.count }

    /// Moves up to `capacity` bytes of control output to `out`; answers how many.
    package mutating func takeControl(into out: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        // Caller's memory: room for `capacity` bytes, for this call.
        let taken = unsafe control.take(into: out, capacity: capacity)
        if owesUpdates { writeOwedUpdates() }
        return taken
    }

    /// What was written and read since it was asked last.
    package mutating func takeTally() -> HTTP2Tally {
        let taken = tally
        tally = HTTP2Tally()
        return taken
    }

    mutating func writeReset(_ id: UInt32, _ code: HTTP2ErrorCode) -> Bool {
        guard control.appendReset(id, code) else { return false }
        tally.resetsSent &+= 1
        return true
    }

    private mutating func writeGoAway(last: UInt32, _ code: HTTP2ErrorCode, _ text: StaticString) -> Bool {
        guard control.appendGoAway(last: last, code, text) else { return false }
        if code == .noError { tally.goAways &+= 1 } else { tally.failure = code }
        return true
    }

    // MARK: errors

    /// A connection error (RFC 9113 5.4.1): GOAWAY is the last that is said. `text` is for whoever debugs the client.
    @inline(never)
    mutating func fail(_ code: HTTP2ErrorCode, _ text: StaticString) -> HTTP2Step {
        if case .failed(let earlier) = phase { return HTTP2Step(.failed(earlier), used: 0) }
        phase = .failed(code)
        var last = lastStreamID
        if case .final(let announced) = goingAway { last = announced }
        // The reserve has room for it.
        _ = writeGoAway(last: last, code, text)
        return HTTP2Step(.failed(code), used: 0)
    }

    /// One of the budgets is spent; `what` there was too much of.
    @inline(never)
    mutating func failCalm(_ what: StaticString) -> HTTP2Step { fail(.enhanceYourCalm, what) }

    /// The client makes us answer and does not read the answers.
    @inline(never)
    mutating func overflow() -> HTTP2Step { fail(.enhanceYourCalm, "answers are not read") }

    /// A stream error on a stream that the server knows (RFC 9113 5.4.2). The client brought it about, so it counts like a reset of its own.
    @inline(never)
    mutating func breakStream(_ slot: StreamSlot, _ code: HTTP2ErrorCode, used: Int) -> HTTP2Step {
        let id = streamID(slot)
        guard budget.charge(.reset, now: now) else { return failCalm("broken streams") }
        recentResets.note(id)
        release(slot)
        guard writeReset(id, code) else { return overflow() }
        return HTTP2Step(.reset(slot, code), used: used)
    }

    /// Takes a stream out of the table and every list; body bytes that the server still holds are credited to the connection.
    mutating func release(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot) else { return }
        // The table's memory, before it changes.
        if unsafe stream.pointee.isReady { setReady(slot, false) }
        let held = unsafe stream.pointee.unconsumed
        if progress.slot == slot { progress.slot = .none }
        table.remove(slot.index)
        if held > 0 {
            receiveWindow.free(held)
            announceConnection()
        }
    }

    // MARK: drain

    /// Begins to end the connection without losing a request: GOAWAY with the highest number and a PING; when its acknowledgement comes, or at
    /// the second call, GOAWAY with the last stream that will be answered.
    package mutating func drain() {
        if case .failed = phase { return }
        switch goingAway {
        case .no:
            goingAway = .announced
            guard writeGoAway(last: FrameHeader.max31, .noError, ""), control.appendPing(PingState.drainNumber, isAcknowledgement: false) else {
                _ = overflow()
                return
            }
        case .announced: finishDrain()
        case .final: break
        }
    }

    /// Ends the connection when no stream is open: GOAWAY with the last that was answered, and nothing before it. The PING of `drain` would come
    /// for a client that knows the connection is over, which some take for an error.
    package mutating func drainAtOnce() {
        if case .failed = phase { return }
        if case .final = goingAway { return }
        finishDrain()
    }

    private mutating func finishDrain() {
        goingAway = .final(lastStreamID)
        if !writeGoAway(last: lastStreamID, .noError, "") { _ = overflow() }
    }

    /// Whether `drain` has been called.
    package var isDraining: Bool { goingAway != .no }

    /// Whether the last stream has been named and all streams have ended: nothing is left to do but to send what there is and to close.
    package var isDrained: Bool {
        guard case .final = goingAway else { return false }
        return table.active == 0
    }
}
