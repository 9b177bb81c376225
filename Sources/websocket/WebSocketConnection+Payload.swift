// Payload of messages as it arrives. See WebSocketConnection.swift; compressed messages: +Inflation.

extension WebSocketConnection {
    /// More of a frame whose head was used up before.
    @inline(never)
    mutating func continuePayload(_ input: UnsafeMutablePointer<UInt8>, count: Int) -> WebSocketStep {
        // Caller's memory: `count` bytes readable and writable.
        let present = min(count, progress.remaining)
        if message.isCompressed { return unsafe inflate(input, from: 0, present: present) }
        guard present > 0 else { return needMore }
        return unsafe takePlain(input, from: 0, present: present)
    }

    /// Passes on `present` bytes of the frame, which lie at `offset`.
    @inline(__always)
    mutating func takePlain(_ input: UnsafeMutablePointer<UInt8>, from offset: Int, present: Int) -> WebSocketStep {
        // Caller's memory: `offset + present` is within the input. A part's numbers have 32 bits.
        let count = min(present, Int(Int32.max) &- WebSocketFrame.maskedHeadBytesMax)
        let bytes = unsafe input + offset
        progress.mask = unsafe WebSocketMask.remove(progress.mask, from: bytes, count: count)
        progress.remaining &-= count
        let ends = progress.remaining == 0 && progress.isFinal
        if message.kind == .text {
            guard unsafe utf8.take(bytes, count: count), !ends || utf8.isComplete else { return fail(.invalidData, "text is not UTF-8") }
        }
        if count == 0, !ends { return WebSocketStep(.nothing, used: offset) }
        let part = WebSocketPart(message.kind, begins: !message.hasBegun, ends: ends, isInflated: false, offset: offset, count: count)
        passedOn(ends: ends)
        return WebSocketStep(.data(part), used: offset &+ count)
    }

    @inline(__always)
    mutating func passedOn(ends: Bool) {
        message.hasBegun = true
        guard ends else { return }
        message.isOpen = false
        if message.bytes > 0 { budget.creditMessage() }
    }
}
