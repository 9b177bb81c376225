// Compressed messages that arrive (RFC 7692 7.2.2). See WebSocketConnection.swift. The inflater is the loop's, lent for the message, or for the
// connection's life when the client may refer to earlier messages.

internal import CUringZ

/// zlib's state, lent by `WebSocketCompression`.
@safe struct ZState {
    var state: UnsafeMutablePointer<curing_z>?
    static var none: ZState { unsafe ZState(state: nil) }
}

extension WebSocketConnection {
    /// Inflates what is there of a frame, `present` bytes at `offset`, until they or the room are used up.
    @inline(never)
    mutating func inflate(_ input: UnsafeMutablePointer<UInt8>, from offset: Int, present: Int) -> WebSocketStep {
        guard let inflater = unsafe borrowInflater() else { return fail(.tryAgainLater, "no memory to inflate") }
        // Caller's memory: `offset + present` is within the input. The bytes in front of `clear` were unmasked by an earlier call.
        let fresh = present &- progress.clear
        if fresh > 0 { progress.mask = unsafe WebSocketMask.remove(progress.mask, from: input + offset + progress.clear, count: fresh) }
        // The loop's memory, which nobody else uses during this call.
        let room = unsafe compression!.pointee.room
        let roomBytes = unsafe compression!.pointee.roomBytes
        var run = unsafe Inflation(next: input + offset, left: present, place: room, space: roomBytes, marker: progress.marker)
        let outcome = unsafe run.run(inflater, isLast: present == progress.remaining && progress.isFinal, isEmpty: message.compressedBytes == 0)
        let left = unsafe run.left
        let filled = unsafe roomBytes &- run.space
        progress.remaining &-= present &- left
        progress.clear = left
        progress.marker = unsafe run.marker
        progress.isInflating = filled == roomBytes
        switch outcome {
        case .malformed: return fail(.invalidData, "compressed data is broken")
        case .noMemory: return fail(.internalError, "no memory to inflate")
        case .ended, .goesOn: return unsafe inflated(room, count: filled, used: offset &+ present &- left, ends: outcome == .ended)
        }
    }

    /// Passes on what was inflated.
    private mutating func inflated(_ room: UnsafePointer<UInt8>, count: Int, used: Int, ends: Bool) -> WebSocketStep {
        guard count <= limits.messageBytesMax &- message.bytes else { return fail(.messageTooBig, "message is too large") }
        message.bytes &+= count
        if message.kind == .text {
            // The loop's memory, filled just now.
            guard unsafe utf8.take(room, count: count), !ends || utf8.isComplete else { return fail(.invalidData, "text is not UTF-8") }
        }
        if count == 0, !ends { return used > 0 ? WebSocketStep(.nothing, used: used) : needMore }
        let part = WebSocketPart(message.kind, begins: !message.hasBegun, ends: ends, isInflated: true, offset: 0, count: count)
        passedOn(ends: ends)
        if ends {
            progress.isInflating = false
            if !deflate.clientTakesContextOver { giveBackInflater() }
        }
        return WebSocketStep(.data(part), used: used)
    }

    private mutating func borrowInflater() -> UnsafeMutablePointer<curing_z>? {
        if let state = unsafe inflater.state { return unsafe state }
        // The loop's compression, which outlives its connections.
        unsafe inflater.state = compression?.pointee.borrowInflater(windowBits: deflate.clientWindowBits)
        return unsafe inflater.state
    }

    mutating func giveBackInflater() {
        guard let state = unsafe inflater.state else { return }
        unsafe inflater.state = nil
        unsafe compression?.pointee.giveBackInflater(state)
    }
}

/// One run of the inflater: where it reads and writes.
@unsafe private struct Inflation {
    enum Outcome { case goesOn, ended, malformed, noMemory }

    var next: UnsafePointer<UInt8>?
    var left: Int
    var place: UnsafeMutablePointer<UInt8>?
    var space: Int
    var marker: UInt8

    init(next: UnsafePointer<UInt8>, left: Int, place: UnsafeMutablePointer<UInt8>, space: Int, marker: UInt8) {
        unsafe self.next = next
        unsafe self.left = left
        unsafe self.place = place
        unsafe self.space = space
        unsafe self.marker = marker
    }

    /// Reads everything there is, then the marker when this is the message's end; stops when the room is full.
    ///
    /// Every turn of the loop uses up input, marker or room, so it ends.
    mutating func run(_ z: UnsafeMutablePointer<curing_z>, isLast: Bool, isEmpty: Bool) -> Outcome {
        // A sender with nothing to say sends one byte (RFC 7692 7.2.3.6). No byte at all is no DEFLATE, and clear all the same.
        if isLast && isEmpty { return .ended }
        while unsafe space > 0 {
            let before = unsafe (left, space, marker)
            let isMarker = unsafe isLast && left == 0
            let result = unsafe isMarker ? inflateMarker(z) : curing_z_inflate(z, &next, &left, &place, &space)
            switch result {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END:
                // A block that says it is the last (7.2.3.4): what follows is another stream, which may refer to this one.
                guard unsafe curing_z_continue_inflate(z) == Z_OK else { return .malformed }
            case Z_MEM_ERROR: return .noMemory
            default: return .malformed
            }
            if unsafe isMarker && marker == 0 {
                // The marker ends a block, and everything in front of it has been written by then. Whoever stops within a block has sent
                // half a message. To be asked now: another call would forget it.
                return unsafe result == Z_STREAM_END || curing_z_at_block_border(z) ? .ended : .malformed
            }
            if unsafe before == (left, space, marker) { return .goesOn }
        }
        return .goesOn
    }

    private mutating func inflateMarker(_ z: UnsafeMutablePointer<curing_z>) -> CInt {
        let bytes: InlineArray<4, UInt8> = [0x00, 0x00, 0xff, 0xff]
        var count = unsafe Int(marker)
        // The array lives through the closure, and zlib does not keep the pointer.
        let result = unsafe bytes.span.withUnsafeBufferPointer { all in
            var from = unsafe all.baseAddress.map { unsafe $0 + 4 - count }
            return unsafe curing_z_inflate(z, &from, &count, &place, &space)
        }
        unsafe marker = UInt8(truncatingIfNeeded: count)
        return result
    }
}
