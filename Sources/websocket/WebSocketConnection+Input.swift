// Bytes in: frame heads (RFC 6455 5.2), the rules they can break, and which function each frame goes to. See WebSocketConnection.swift.

extension WebSocketConnection {
    /// Takes up the next event's worth of bytes. Call again with what was not used, until `needMore`.
    ///
    /// - Parameters:
    ///   - input: `count` bytes of the connection, contiguous with what was not used before and unchanged since; readable and writable for this call.
    ///   - now: nanoseconds of a monotonic clock.
    package mutating func next(_ input: UnsafeMutablePointer<UInt8>, count: Int, now: UInt64) -> WebSocketStep {
        // Caller's memory, as above: every access below is within `count`.
        self.now = now
        if phase != .open, let step = ended(count) { return step }
        if progress.isUnderWay {
            let step = unsafe continuePayload(input, count: count)
            // Unless it turns out that the inflater had nothing more to say of a fragment: then its successor may be there.
            if progress.isUnderWay || step.event != .needMore { return step }
        }
        guard count >= 2 else { return needMore }
        let first = unsafe input[0]
        let second = unsafe input[1]
        // A server fails connections whose frames have no mask (5.1): scripts in a browser must not choose the bytes on the wire.
        guard second & 0x80 != 0 else { return fail(.protocolError, "frame without mask") }
        let opcode = first & 0x0f
        if opcode > 2 { return unsafe controlFrame(first, lengthCode: second & 0x7f, input, count: count) }
        if first & 0x70 != 0 || opcode == WebSocketOpcode.continuation || message.isOpen {
            if let step = refusal(first, opcode: opcode) { return step }
        }
        return unsafe dataFrame(first, lengthCode: Int(second & 0x7f), input, count: count)
    }

    /// What follows the end is not looked at (1.4). Nil while the client may send.
    @inline(never)
    private func ended(_ count: Int) -> WebSocketStep? {
        switch phase {
        case .open, .closing: nil
        case .closed: count > 0 ? WebSocketStep(.nothing, used: count) : needMore
        case .failed(let code): WebSocketStep(.failed(code), used: 0)
        }
    }

    /// Reserved bits and the order of fragments (5.2, 5.4; RFC 7692 6).
    @inline(never)
    private mutating func refusal(_ first: UInt8, opcode: UInt8) -> WebSocketStep? {
        if first & WebSocketBits.reserved != 0 { return fail(.protocolError, "reserved bit") }
        if first & WebSocketBits.compressed != 0 {
            guard deflate.isOn else { return fail(.protocolError, "reserved bit") }
            guard opcode != WebSocketOpcode.continuation else { return fail(.protocolError, "only a first frame says compression") }
        }
        if opcode == WebSocketOpcode.continuation {
            return message.isOpen ? nil : fail(.protocolError, "nothing to continue")
        }
        return message.isOpen ? fail(.protocolError, "message within a message") : nil
    }

    @inline(__always)
    private mutating func dataFrame(_ first: UInt8, lengthCode: Int, _ input: UnsafeMutablePointer<UInt8>, count: Int) -> WebSocketStep {
        var length = lengthCode
        var headBytes = 6
        if lengthCode > 125 {
            let bytes = lengthCode == 126 ? 2 : 8
            guard count >= 2 &+ bytes else { return needMore }
            guard let long = unsafe Self.longLength(input + 2, bytes: bytes) else { return fail(.protocolError, "length is not in its shortest form") }
            length = long
            headBytes &+= bytes
        }
        if let step = refusal(length: length, first: first) { return step }
        guard count >= headBytes else { return needMore }
        let present = min(count &- headBytes, length)
        if present < length, length <= limits.wholeFrameBytesMax { return needMore }

        let isFinal = first & WebSocketBits.final != 0
        if length == 0, !isFinal, !budget.charge(.emptyFrame, limits: limits, now: now) { return fail(.policyViolation, "empty frames") }
        guard begin(first, length: length) else { return fail(.policyViolation, "fragments") }
        progress.isFinal = isFinal
        progress.remaining = length
        progress.mask = unsafe UnsafeRawPointer(input + headBytes - 4).loadUnaligned(as: UInt32.self)
        if message.isCompressed {
            progress.marker = isFinal ? 4 : 0
            return unsafe inflate(input, from: headBytes, present: present)
        }
        return unsafe takePlain(input, from: headBytes, present: present)
    }

    /// The length of two or eight bytes; nil when a shorter form would do, or when its top bit is set (5.2).
    @inline(__always)
    private static func longLength(_ bytes: UnsafePointer<UInt8>, bytes width: Int) -> Int? {
        // Caller's memory: `width` bytes readable.
        if width == 2 {
            let length = unsafe Int(UnsafeRawPointer(bytes).loadUnaligned(as: UInt16.self).bigEndian)
            return length > 125 ? length : nil
        }
        let length = unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self).bigEndian
        return length > 0xffff ? Int(exactly: length) : nil
    }

    /// The limits on bytes, before any of them is waited for.
    @inline(__always)
    private mutating func refusal(length: Int, first: UInt8) -> WebSocketStep? {
        guard length <= limits.frameBytesMax else { return fail(.messageTooBig, "frame is too large") }
        let isCompressed = message.isOpen ? message.isCompressed : first & WebSocketBits.compressed != 0
        let before = message.isOpen ? (isCompressed ? message.compressedBytes : message.bytes) : 0
        // Neither is negative, and `before` is no more than its limit.
        guard length <= (isCompressed ? limits.compressedBytesMax : limits.messageBytesMax) &- before else {
            return fail(.messageTooBig, "message is too large")
        }
        return nil
    }

    /// Takes the frame into its message; false when it has too many.
    @inline(__always)
    private mutating func begin(_ first: UInt8, length: Int) -> Bool {
        if !message.isOpen {
            message = IncomingMessage()
            message.isOpen = true
            message.kind = first & 0x0f == 1 ? .text : .binary
            message.isCompressed = first & WebSocketBits.compressed != 0
            utf8 = UTF8Validator()
        }
        message.frames &+= 1
        if message.isCompressed { message.compressedBytes &+= length } else { message.bytes &+= length }
        return message.frames <= limits.fragmentsMax
    }

    @inline(__always) var needMore: WebSocketStep { WebSocketStep(.needMore, used: 0) }
}
