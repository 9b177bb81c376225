// PING, PONG and Close (RFC 6455 5.5), both ways, and what is said when a rule is broken. See WebSocketConnection.swift.

extension WebSocketConnection {
    // MARK: control output

    /// Bytes that wait to be sent between two frames. Never more than `controlBytesMax`.
    @inline(__always) package var controlCount: Int { control.count }

    /// Room that takes all there can be.
    package static var controlBytesMax: Int { ControlFrames.bytesMax }

    /// Moves whole frames of control output, as far as they fit, to `out`; answers how many bytes. Not while a frame's payload is still to be written.
    package mutating func takeControl(into out: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        // Caller's memory: room for `capacity` bytes, for this call.
        unsafe control.take(into: out, capacity: capacity)
    }

    // MARK: input

    /// A frame that is no data: whole in the input or waited for, for it has at most 131 bytes.
    @inline(never)
    mutating func controlFrame(_ first: UInt8, lengthCode: UInt8, _ input: UnsafeMutablePointer<UInt8>, count: Int) -> WebSocketStep {
        // Caller's memory: `count` bytes readable and writable.
        let opcode = first & 0x0f
        guard first & 0x70 == 0 else { return fail(.protocolError, "reserved bit") }
        guard opcode >= WebSocketOpcode.close, opcode <= WebSocketOpcode.pong else { return fail(.protocolError, "reserved opcode") }
        guard first & WebSocketBits.final != 0 else { return fail(.protocolError, "control frame in fragments") }
        let length = Int(lengthCode)
        guard length <= WebSocketFrame.controlPayloadBytesMax else { return fail(.protocolError, "control frame is too long") }
        // A Close has a code or nothing.
        if opcode == WebSocketOpcode.close, length == 1 { return fail(.protocolError, "close code of one byte") }
        guard count >= 6 &+ length else { return needMore }
        let payload = unsafe input + 6
        _ = unsafe WebSocketMask.remove(UnsafeRawPointer(input + 2).loadUnaligned(as: UInt32.self), from: payload, count: length)
        switch opcode {
        case WebSocketOpcode.ping: return unsafe pingFrame(payload, count: length)
        case WebSocketOpcode.pong: return unsafe pongFrame(payload, count: length)
        default: return unsafe closeFrame(payload, count: length)
        }
    }

    private mutating func pingFrame(_ payload: UnsafePointer<UInt8>, count: Int) -> WebSocketStep {
        guard budget.charge(.ping, limits: limits, now: now) else { return fail(.policyViolation, "pings") }
        // Behind our Close nothing is said.
        if phase == .open { unsafe control.setPong(payload, count: count) }
        return WebSocketStep(.ping(offset: 6, count: Int32(truncatingIfNeeded: count)), used: 6 &+ count)
    }

    private mutating func pongFrame(_ payload: UnsafePointer<UInt8>, count: Int) -> WebSocketStep {
        if unsafe !pings.isAnswer(payload, count: count) {
            guard budget.charge(.pong, limits: limits, now: now) else { return fail(.policyViolation, "pongs") }
        }
        return WebSocketStep(.pong(offset: 6, count: Int32(truncatingIfNeeded: count)), used: 6 &+ count)
    }

    private mutating func closeFrame(_ payload: UnsafePointer<UInt8>, count: Int) -> WebSocketStep {
        var code = WebSocketCloseCode.noStatus
        var reasonCount = 0
        if count >= 2 {
            code = unsafe WebSocketCloseCode(rawValue: UInt16(payload[0]) &<< 8 | UInt16(payload[1]))
            reasonCount = count &- 2
            guard code.mayBeSent else { return fail(.protocolError, "close code that may not be sent") }
            var reason = UTF8Validator()
            guard unsafe reason.take(payload + 2, count: reasonCount), reason.isComplete else { return fail(.invalidData, "reason is not UTF-8") }
        }
        // Who is answered gets its own code back (5.5.1).
        if phase == .open { unsafe sayClose(code, reason: nil, count: 0) }
        phase = .closed
        forgetMessages()
        // Without a code there is nothing behind the head, and the offset stays within the input.
        let event = WebSocketEvent.close(code, reasonOffset: count >= 2 ? 8 : 6, reasonCount: Int32(truncatingIfNeeded: reasonCount))
        return WebSocketStep(event, used: 6 &+ count)
    }

    // MARK: ends

    /// Says Close; messages cannot be sent any more, and still arrive until the client's Close does. Does nothing when it was said before.
    /// `code` is one that may be sent, or `noStatus`. Of `reason`, UTF-8, no more than 123 bytes are sent.
    package mutating func close(_ code: WebSocketCloseCode, reason: UnsafePointer<UInt8>? = nil, count: Int = 0, now: UInt64) {
        // Caller's memory: `count` bytes readable for this call.
        precondition(code.mayBeSent || code == .noStatus, "BUG: close code that may not be sent")
        guard phase == .open else { return }
        self.now = max(self.now, now)
        var kept = min(max(count, 0), WebSocketFrame.controlPayloadBytesMax &- 2)
        if let reason = unsafe reason, kept < count {
            // Not within a character.
            while kept > 0, unsafe reason[kept] & 0xc0 == 0x80 { kept &-= 1 }
        }
        unsafe sayClose(code, reason: reason, count: unsafe reason == nil ? 0 : kept)
        phase = .closing
    }

    /// The connection was lost, or the caller ends it without a word: what is lent is given back.
    package mutating func abandon() {
        phase = .failed(.abnormal)
        forgetMessages()
    }

    private mutating func sayClose(_ code: WebSocketCloseCode, reason: UnsafePointer<UInt8>?, count: Int) {
        unsafe control.setClose(code, reason: reason, count: count)
        closeSaidAt = now
    }

    /// Fails the connection (7.1.7). `text` is for whoever debugs the client.
    @inline(never)
    mutating func fail(_ code: WebSocketCloseCode, _ text: StaticString) -> WebSocketStep {
        // A literal lives as long as the program; all are short. Close is said once.
        if phase == .open { unsafe sayClose(code, reason: text.utf8Start, count: text.utf8CodeUnitCount) }
        phase = .failed(code)
        forgetMessages()
        return WebSocketStep(.failed(code), used: 0)
    }

    /// Nothing more is taken in, so nothing is held for it.
    private mutating func forgetMessages() {
        progress = FrameProgress()
        message = IncomingMessage()
        outgoing = .none
        giveBackInflater()
        giveBackDeflater()
    }
}
