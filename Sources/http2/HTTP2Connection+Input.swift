// Bytes in: the client's preface, frame headers, and which function each frame goes to. See HTTP2Connection.swift.

internal import UringHTTP

extension HTTP2Connection {
    /// Takes up the next event's worth of bytes. Call again with what was not used, until `needMore`.
    ///
    /// - Parameters:
    ///   - input: `count` bytes of the connection, contiguous with what `needMore` left; readable for this call.
    ///   - now: nanoseconds of a monotonic clock.
    ///   - head: memory for a request head; see `HTTP2Head`.
    package mutating func next(_ input: UnsafeMutablePointer<UInt8>, count: Int, now: UInt64, head: HTTP2Head) -> HTTP2Step {
        // Caller's memory, as above: every read below is within `count`.
        self.now = now
        if phase != .open, let step = unsafe begin(input, count: count) { return step }
        if progress.isUnderWay { return continuePayload(from: 0, count: count) }
        guard count >= FrameHeader.bytes else { return HTTP2Step(.needMore, used: 0) }
        let frame = unsafe FrameHeader(input)
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

    /// The beginning of a connection, and its end. Nil when a frame may be read.
    @inline(never)
    private mutating func begin(_ input: UnsafePointer<UInt8>, count: Int) -> HTTP2Step? {
        switch phase {
        case .open: return nil
        case .failed(let code): return HTTP2Step(.failed(code), used: 0)
        case .preface:
            let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            let length = preface.utf8CodeUnitCount
            // A literal lives as long as the program.
            for index in 0..<min(length, count) where unsafe input[index] != preface.utf8Start[index] {
                return fail(.protocolError, "no client preface")
            }
            guard count >= length else { return HTTP2Step(.needMore, used: 0) }
            phase = .settings
            return HTTP2Step(.nothing, used: length)
        case .settings:
            guard count >= FrameHeader.bytes else { return HTTP2Step(.needMore, used: 0) }
            let frame = unsafe FrameHeader(input)
            guard frame.type == FrameType.settings, !frame.has(FrameFlags.ack) else {
                return fail(.protocolError, "preface without SETTINGS")
            }
            // The frame itself opens the connection, when all of it is there.
            return nil
        }
    }

    /// Any frame but HEADERS and DATA.
    @inline(never)
    private mutating func controlFrame(
        _ frame: FrameHeader, _ input: UnsafeMutablePointer<UInt8>, count: Int, head: HTTP2Head
    ) -> HTTP2Step {
        // Lengths are checked before the payload is waited for.
        let payload = unsafe UnsafePointer(input) + FrameHeader.bytes
        let isWhole = count &- FrameHeader.bytes >= frame.length
        switch frame.type {
        case FrameType.continuation: return unsafe continuationFrame(frame, input, isWhole: isWhole, head: head)
        case FrameType.settings: return unsafe settingsFrame(frame, payload, isWhole: isWhole)
        case FrameType.ping: return unsafe pingFrame(frame, payload, isWhole: isWhole)
        case FrameType.windowUpdate: return unsafe windowUpdateFrame(frame, payload, isWhole: isWhole)
        case FrameType.resetStream: return unsafe resetFrame(frame, payload, isWhole: isWhole)
        case FrameType.priority: return unsafe priorityFrame(frame, payload, isWhole: isWhole)
        case FrameType.priorityUpdate: return unsafe priorityUpdateFrame(frame, payload, isWhole: isWhole)
        case FrameType.goAway: return goAwayFrame(frame, count: count)
        case FrameType.pushPromise: return fail(.protocolError, "PUSH_PROMISE from a client")
        default:
            // Extensions are ignored (RFC 9113 5.5), not for ever.
            guard budget.charge(.strayFrame, now: now) else { return failCalm("unknown frames") }
            return skip(frame, count: count, event: .nothing)
        }
    }

    /// Skips a frame, of which some of the payload may not have arrived.
    mutating func skip(_ frame: FrameHeader, count: Int, event: HTTP2Event) -> HTTP2Step {
        let present = min(count &- FrameHeader.bytes, frame.length)
        progress.skip = Int32(truncatingIfNeeded: frame.length &- present)
        return HTTP2Step(event, used: FrameHeader.bytes &+ present)
    }

    /// A frame that is used up as a whole.
    @inline(__always) func used(_ frame: FrameHeader, _ event: HTTP2Event = .nothing) -> HTTP2Step {
        HTTP2Step(event, used: FrameHeader.bytes &+ frame.length)
    }

    @inline(__always) var needMore: HTTP2Step { HTTP2Step(.needMore, used: 0) }
}
