// DATA: bodies, handed out in pieces as they arrive, and the flow control that bounds them (RFC 9113 6.1, 6.9). See HTTP2ClientConnection.swift.

extension HTTP2ClientConnection {
    /// The header of a DATA frame, its pad length, and what there is of the payload. All that the frame can do wrong is known here, before any
    /// of it is handed out.
    mutating func dataFrame(_ frame: FrameHeader, _ input: UnsafePointer<UInt8>, count: Int) -> HTTP2ClientStep {
        guard isOurs(frame.streamID) else { return fail(.protocolError, "DATA on a stream that was not opened") }
        var from = FrameHeader.bytes
        var padding = 0
        if frame.has(FrameFlags.padded) {
            guard frame.length > 0 else { return fail(.frameSizeError, "DATA without its pad length") }
            guard count > from else { return needMore }
            // Caller's memory: the tenth byte is there.
            padding = unsafe Int(input[from])
            from &+= 1
            guard padding < frame.length else { return fail(.protocolError, "padding is longer than its frame") }
        }
        // Lengths are below 2^24.
        let length = Int32(truncatingIfNeeded: frame.length)
        guard receiveWindow.take(length) else { return fail(.flowControlError, "connection window is exceeded") }
        let overhead = Int32(truncatingIfNeeded: padding &+ from &- FrameHeader.bytes)
        let content = length &- overhead
        receiveWindow.free(overhead)
        progress.data = content
        progress.padding = Int32(truncatingIfNeeded: padding)
        progress.endsStream = frame.has(FrameFlags.endStream)
        let slot = StreamSlot(index: table.find(frame.streamID))
        guard let stream = unsafe stream(slot) else { return discard(frame, from: from, count: count) }
        // The table's memory, which does not change before the last use.
        if let code = unsafe Self.faultOfData(&stream.pointee, length: length, content: content, endsStream: progress.endsStream) {
            return discard(frame, from: from, count: count, breaking: slot, code)
        }
        progress.slot = slot
        if overhead > 0 {
            unsafe stream.pointee.receive.free(overhead)
            announceStream(slot)
            announceConnection()
        }
        return content > 0 ? continuePayload(from: from, count: count) : emptyData(slot, from: from, count: count)
    }

    /// Charges a frame to its stream; the stream error it deserves, or nil.
    @inline(__always)
    private static func faultOfData(_ stream: inout HTTP2Stream, length: Int32, content: Int32, endsStream: Bool) -> HTTP2ErrorCode? {
        if stream.responseEnded { return .streamClosed }
        guard stream.receive.take(length) else { return .flowControlError }
        // A response begins with its head (RFC 9113 8.1).
        guard stream.answer.contains(.hasHead) else { return .protocolError }
        guard stream.bodyRest >= 0 else { return nil }
        // Content-Length has to be met exactly (RFC 9113 8.1.1).
        guard Int64(content) <= stream.bodyRest else { return .protocolError }
        stream.bodyRest &-= Int64(content)
        return endsStream && stream.bodyRest > 0 ? .protocolError : nil
    }

    /// A frame without content: it may end the body; otherwise it is noise.
    private mutating func emptyData(_ slot: StreamSlot, from: Int, count: Int) -> HTTP2ClientStep {
        let used = from &+ skipPadding(count &- from)
        if progress.endsStream {
            endResponse(slot)
            return HTTP2ClientStep(.data(slot, offset: Int32(truncatingIfNeeded: from), count: 0, endStream: true), used: used)
        }
        guard budget.charge(.emptyFrame, now: now) else { return failCalm("empty frames") }
        return HTTP2ClientStep(.nothing, used: used)
    }

    /// DATA that nobody wants: of a stream that is gone, or that this frame ends by its fault. The connection's window takes it in.
    @inline(never)
    private mutating func discard(
        _ frame: FrameHeader, from: Int, count: Int, breaking slot: StreamSlot = .none, _ code: HTTP2ErrorCode = .noError
    ) -> HTTP2ClientStep {
        progress.slot = .none
        if slot != .none {
            let step = breakStream(slot, code, used: 0)
            guard case .ended = step.event else { return step }
            return HTTP2ClientStep(step.event, used: continuePayload(from: from, count: count).used)
        }
        // What is under way for streams that were given up is bounded by their windows; frames of nothing are not.
        if !isTolerated(frame.streamID) || progress.data == 0 {
            let step = closedStream(frame.streamID, used: 0)
            guard case .nothing = step.event else { return step }
        }
        return continuePayload(from: from, count: count)
    }

    /// Goes on with a frame whose payload is used up as it arrives.
    mutating func continuePayload(from: Int, count: Int) -> HTTP2ClientStep {
        let available = count &- from
        guard progress.data > 0 else {
            let used = from &+ skipPadding(available)
            return HTTP2ClientStep(used > 0 ? .nothing : .needMore, used: used)
        }
        let piece = Int32(truncatingIfNeeded: min(Int(progress.data), available))
        guard piece > 0 else { return HTTP2ClientStep(from > 0 ? .nothing : .needMore, used: from) }
        progress.data &-= piece
        var used = from &+ Int(piece)
        if progress.data == 0 { used &+= skipPadding(count &- used) }
        let slot = progress.slot
        guard let stream = unsafe stream(slot) else {
            receiveWindow.free(piece)
            announceConnection()
            return HTTP2ClientStep(.nothing, used: used)
        }
        // The table's memory, not changed in between.
        unsafe stream.pointee.unconsumed &+= piece
        budget.creditData()
        let ends = progress.data == 0 && progress.endsStream
        if ends { endResponse(slot) }
        return HTTP2ClientStep(.data(slot, offset: Int32(truncatingIfNeeded: from), count: piece, endStream: ends), used: used)
    }

    /// Skips what is there of padding, or of a frame of no interest; answers how much.
    private mutating func skipPadding(_ available: Int) -> Int {
        let rest = progress.padding &+ progress.skip
        let skipped = Int32(truncatingIfNeeded: min(Int(rest), available))
        let ofPadding = min(skipped, progress.padding)
        progress.padding &-= ofPadding
        progress.skip &-= skipped &- ofPadding
        return Int(skipped)
    }
}
