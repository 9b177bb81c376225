// Bytes in: frame headers, and which function each frame goes to. See HTTP2ClientConnection.swift.

extension HTTP2ClientConnection {
    /// Takes up the next event's worth of bytes. Call again with what was not used, until `needMore`.
    ///
    /// - Parameters:
    ///   - input: `count` bytes of the connection, contiguous with what `needMore` left; readable for this call.
    ///   - now: nanoseconds of a monotonic clock.
    ///   - head: memory for a response head; see `HTTP2ResponseHead`.
    package mutating func next(_ input: UnsafePointer<UInt8>, count: Int, now: UInt64, head: HTTP2ResponseHead) -> HTTP2ClientStep {
        // Caller's memory, as above: every read below is within `count`.
        self.now = now
        if case .failed(let code) = phase { return HTTP2ClientStep(.failed(code), used: 0) }
        if progress.isUnderWay { return continuePayload(from: 0, count: count) }
        guard count >= FrameHeader.bytes else { return needMore }
        let frame = unsafe FrameHeader(input)
        if phase == .settings, frame.type != FrameType.settings || frame.has(FrameFlags.ack) {
            return fail(.protocolError, "no SETTINGS in front: not a server of HTTP/2")
        }
        guard frame.length <= settings.frameBytesMax else { return fail(.frameSizeError, "frame is larger than announced") }
        if block.isOpen, frame.type != FrameType.continuation || frame.streamID != block.streamID {
            return fail(.protocolError, "header block is interrupted")
        }
        switch frame.type {
        case FrameType.headers: return unsafe headersFrame(frame, input, count: count, head: head)
        case FrameType.data: return unsafe dataFrame(frame, input, count: count)
        default: return unsafe controlFrame(frame, input, count: count, head: head)
        }
    }

    /// Any frame but HEADERS and DATA.
    @inline(never)
    private mutating func controlFrame(_ frame: FrameHeader, _ input: UnsafePointer<UInt8>, count: Int, head: HTTP2ResponseHead) -> HTTP2ClientStep {
        // Lengths are checked before the payload is waited for.
        let payload = unsafe input + FrameHeader.bytes
        let isWhole = count &- FrameHeader.bytes >= frame.length
        switch frame.type {
        case FrameType.continuation: return unsafe continuationFrame(frame, input, isWhole: isWhole, head: head)
        case FrameType.settings: return unsafe settingsFrame(frame, payload, isWhole: isWhole)
        case FrameType.ping: return unsafe pingFrame(frame, payload, isWhole: isWhole)
        case FrameType.windowUpdate: return unsafe windowUpdateFrame(frame, payload, isWhole: isWhole)
        case FrameType.resetStream: return unsafe resetFrame(frame, payload, isWhole: isWhole)
        case FrameType.goAway: return unsafe goAwayFrame(frame, payload, count: count)
        case FrameType.priority: return priorityFrame(frame, count: count)
        // ENABLE_PUSH is 0 from the first byte on (RFC 9113 8.4); RFC 9218 7.1 has only clients send PRIORITY_UPDATE.
        case FrameType.pushPromise: return fail(.protocolError, "PUSH_PROMISE though push is off")
        case FrameType.priorityUpdate: return fail(.protocolError, "PRIORITY_UPDATE from a server")
        default:
            // Extensions are ignored (RFC 9113 5.5), not for ever.
            guard budget.charge(.strayFrame, now: now) else { return failCalm("unknown frames") }
            return skip(frame, count: count, event: .nothing)
        }
    }

    /// Skips a frame, of which some of the payload may not have arrived.
    mutating func skip(_ frame: FrameHeader, count: Int, event: HTTP2ClientEvent) -> HTTP2ClientStep {
        let present = min(count &- FrameHeader.bytes, frame.length)
        progress.skip = Int32(truncatingIfNeeded: frame.length &- present)
        return HTTP2ClientStep(event, used: FrameHeader.bytes &+ present)
    }

    /// A frame that is used up as a whole.
    @inline(__always) func used(_ frame: FrameHeader, _ event: HTTP2ClientEvent = .nothing) -> HTTP2ClientStep {
        HTTP2ClientStep(event, used: FrameHeader.bytes &+ frame.length)
    }

    @inline(__always) var needMore: HTTP2ClientStep { HTTP2ClientStep(.needMore, used: 0) }

    /// Whether this side has opened the stream. What names another is an error of the connection (RFC 9113 5.1, idle; 5.1.1).
    @inline(__always) func isOurs(_ id: UInt32) -> Bool { id & 1 == 1 && id <= lastStreamID }

    /// HEADERS or DATA for a stream that has ended. Skipped when the server may have sent it before it knew, or else an error (RFC 9113 5.1).
    mutating func closedStream(_ id: UInt32, used: Int) -> HTTP2ClientStep {
        guard isTolerated(id) else { return fail(.streamClosed, "frame on a closed stream") }
        guard budget.charge(.strayFrame, now: now) else { return failCalm("frames on closed streams") }
        return HTTP2ClientStep(.nothing, used: used)
    }

    /// Whether frames of a closed stream may still be under way without fault: this side has reset it, as far as is remembered. A client that gives up many
    /// streams at once must not lose its connection for the oldest of them.
    func isTolerated(_ id: UInt32) -> Bool {
        if let last = lastProcessedID, id > last { return true }
        return id <= recentResets.forgotten || recentResets.contains(id)
    }
}
