// Ends of streams and of the connection: errors, resets, GOAWAY of either side, PING, and the control output (RFC 9113 5.4, 6.7, 6.8).
// See HTTP2ClientConnection.swift.

extension HTTP2ClientConnection {
    // MARK: control output

    /// Bytes that wait to be sent ahead of whatever is written next. What a server makes necessary and does not read is bounded by `controlBytesMax`, and
    /// more of it ends the connection.
    @inline(__always) package var controlCount: Int { control.count }

    /// Moves up to `capacity` bytes of control output to `out`; answers how many.
    package mutating func takeControl(into out: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        // Caller's memory: room for `capacity` bytes, for this call.
        let taken = unsafe control.take(into: out, capacity: capacity)
        prefaceRest = max(prefaceRest &- taken, 0)
        if owesUpdates { writeOwedUpdates() }
        return taken
    }

    /// What was written and read since it was asked last.
    package mutating func takeTally() -> HTTP2Tally {
        let taken = tally
        tally = HTTP2Tally()
        return taken
    }

    // MARK: errors

    /// A connection error (RFC 9113 5.4.1): GOAWAY is the last that is said. `text` is for whoever debugs the server.
    @inline(never)
    mutating func fail(_ code: HTTP2ErrorCode, _ text: StaticString) -> HTTP2ClientStep {
        if case .failed(let earlier) = phase { return HTTP2ClientStep(.failed(earlier), used: 0) }
        phase = .failed(code)
        sweep = 0
        // The reserve has room for it. A server opens no streams, so the last is 0.
        if control.appendGoAway(last: 0, code, text) { tally.failure = code }
        return HTTP2ClientStep(.failed(code), used: 0)
    }

    /// One of the budgets is spent; `what` there was too much of.
    @inline(never)
    mutating func failCalm(_ what: StaticString) -> HTTP2ClientStep { fail(.enhanceYourCalm, what) }

    /// The server makes us answer and does not read the answers.
    @inline(never)
    mutating func overflow() -> HTTP2ClientStep { fail(.enhanceYourCalm, "answers are not read") }

    /// A stream error (RFC 9113 5.4.2). It has cost a request of ours, so it needs no budget.
    @inline(never)
    mutating func breakStream(_ slot: StreamSlot, _ code: HTTP2ErrorCode, cause: HTTP2StreamEnd.Cause = .malformed, used: Int) -> HTTP2ClientStep {
        guard let stream = unsafe stream(slot) else { return HTTP2ClientStep(.nothing, used: used) }
        // The table's memory, before it changes. A server that speaks of a stream has seen it, whatever its GOAWAY said.
        let reached: HTTP2Processing = unsafe stream.pointee.answer.contains(.begun) ? .begun : .unknown
        let outcome = unsafe HTTP2StreamEnd(cause, code, processing: reached, isAnswered: stream.pointee.responseEnded)
        guard end(slot, code) else { return overflow() }
        return HTTP2ClientStep(.ended(slot, outcome), used: used)
    }

    /// Ends a stream with RST_STREAM; false when there is no room to say so.
    private mutating func end(_ slot: StreamSlot, _ code: HTTP2ErrorCode) -> Bool {
        let id = streamID(slot)
        recentResets.note(id)
        release(slot)
        if isFailed { return true }
        guard control.appendReset(id, code) else { return false }
        tally.resetsSent &+= 1
        return true
    }

    /// Takes a stream out of the table and every list; body bytes that the caller still holds are credited to the connection.
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

    // MARK: ends that the caller wants

    /// Gives a stream up with RST_STREAM; the slot is dead. CANCEL when the response is not wanted any more; NO_ERROR after a whole response whose request
    /// is not. What is still under way for it is skipped. Servers count resets: who gives up hundreds at once may lose the connection.
    package mutating func reset(_ slot: StreamSlot, _ code: HTTP2ErrorCode = .cancel) {
        guard isLive(slot) else { return }
        if !end(slot, code) { _ = overflow() }
    }

    /// Says that no more streams will be opened. Those that are open go on; when `activeStreams` is 0 the connection is to be closed.
    package mutating func drain() {
        guard !isDraining, !isFailed else { return }
        isDraining = true
        guard control.appendGoAway(last: 0, .noError, "") else {
            _ = overflow()
            return
        }
        tally.goAways &+= 1
    }

    // MARK: streams that end with their connection

    /// After the event `goAway`: the next stream that the server has not processed and never will; nil when there is none left. Its slot is dead, its
    /// request may be sent again on another connection, whatever its method. A request whose head had not left yet is among them; one that is being
    /// answered against the server's word is not, and goes on.
    package mutating func nextUnprocessed() -> StreamSlot? {
        guard let last = lastProcessedID, let streams = unsafe table.streams else { return nil }
        while sweep < table.capacity {
            let slot = StreamSlot(index: UInt16(truncatingIfNeeded: sweep))
            sweep &+= 1
            // The table's memory, below its capacity.
            let stream = unsafe streams[Int(slot.index)]
            guard stream.isLive, stream.id > last, !stream.answer.contains(.begun) else { continue }
            release(slot)
            return slot
        }
        return nil
    }

    /// After the event `failed`, or when the transport has ended (`transportEnded`): the next stream that was open; nil when there is none left.
    package mutating func nextLost() -> HTTP2LostStream? {
        guard isFailed, let streams = unsafe table.streams else { return nil }
        while sweep < table.capacity {
            let slot = StreamSlot(index: UInt16(truncatingIfNeeded: sweep))
            sweep &+= 1
            // The table's memory, below its capacity.
            let stream = unsafe streams[Int(slot.index)]
            guard stream.isLive else { continue }
            release(slot)
            return HTTP2LostStream(slot: slot, processing: processing(stream), isAnswered: stream.responseEnded)
        }
        return nil
    }

    /// The transport is gone: nothing can be sent or will come. Every further call of `next` answers `failed(noError)`; ask `nextLost`.
    package mutating func transportEnded() {
        guard !isFailed else { return }
        phase = .failed(.noError)
        sweep = 0
    }

    // MARK: is the server there? (RFC 9113 6.7)

    /// When the caller shall look at the server's silence; `.max` while nothing depends on it.
    ///
    /// - Parameter whileIdle: ask also when no stream is open, so that a connection kept for later is known to be alive.
    package func silenceDeadline(_ keepAlive: HTTP2KeepAlive, whileIdle: Bool = false) -> UInt64 {
        guard keepAlive.afterNs > 0, !isFailed, table.active > 0 || whileIdle else { return .max }
        return pings.deadline(keepAlive, heardAt: now)
    }

    /// Puts the question off for as long again: bytes of ours are on their way, and what they will show is not known yet.
    package mutating func postponePing(now: UInt64) { pings.lookedAt = now }

    /// Sends a PING to learn whether the server is there; one at a time.
    package mutating func ping(now: UInt64) {
        guard !isFailed, pings.sentAt == nil else { return }
        pings.number &+= 1
        guard control.appendPing(pings.number.bigEndian, isAcknowledgement: false) else { return }
        pings.sentAt = now
    }

    /// When the PING that has not been answered was sent.
    package var pingOutstandingSince: UInt64? { pings.sentAt }
}
