// HEADERS and CONTINUATION: header blocks become responses and trailers (RFC 9113 6.2, 6.10, 8.1). See HTTP2ClientConnection.swift.

internal import UringHPACK
internal import UringHTTP

/// A header block of a server, and what its HEADERS frame said.
@unsafe private struct ResponseBlock {
    let bytes: UnsafePointer<UInt8>
    let count: Int
    let streamID: UInt32
    let endsStream: Bool
    /// Bytes of input that the last frame of the block takes.
    let used: Int
}

extension HTTP2ClientConnection {
    mutating func headersFrame(_ frame: FrameHeader, _ input: UnsafePointer<UInt8>, count: Int, head: HTTP2ResponseHead) -> HTTP2ClientStep {
        guard isOurs(frame.streamID) else { return fail(.protocolError, "HEADERS on a stream that was not opened") }
        guard count &- FrameHeader.bytes >= frame.length else { return needMore }
        // Caller's memory: the whole frame is readable.
        var at = FrameHeader.bytes
        var end = FrameHeader.bytes &+ frame.length
        if frame.has(FrameFlags.padded) {
            guard end > at else { return fail(.frameSizeError, "HEADERS without its pad length") }
            let padding = unsafe Int(input[at])
            at &+= 1
            guard padding <= end &- at else { return fail(.protocolError, "padding is longer than its frame") }
            end &-= padding
        }
        if frame.has(FrameFlags.priority) {
            // A server has no priorities to give; they are deprecated and without effect (RFC 9113 5.3.2).
            guard end &- at >= 5 else { return fail(.frameSizeError, "HEADERS without its priority") }
            at &+= 5
        }
        guard frame.has(FrameFlags.endHeaders) else { return unsafe beginBlock(frame, input + at, count: end &- at) }
        return unsafe headerBlock(
            ResponseBlock(
                bytes: input + at, count: end &- at, streamID: frame.streamID, endsStream: frame.has(FrameFlags.endStream),
                used: FrameHeader.bytes &+ frame.length),
            head)
    }

    /// A block that goes on in CONTINUATION frames is gathered.
    @inline(never)
    private mutating func beginBlock(_ frame: FrameHeader, _ fragment: UnsafePointer<UInt8>, count: Int) -> HTTP2ClientStep {
        if count == 0, !budget.charge(.emptyFrame, now: now) { return failCalm("empty frames") }
        // Caller's memory: the fragment is readable for this call.
        guard
            unsafe block.begin(
                fragment, count: count, streamID: frame.streamID, endsStream: frame.has(FrameFlags.endStream), dependsOnItself: false,
                bytesMax: limits.headerBlockBytesMax)
        else { return failCalm("header block is too long") }
        return used(frame)
    }

    /// `next` has checked that the frame continues the block under way, if there is one.
    @inline(never)
    mutating func continuationFrame(_ frame: FrameHeader, _ input: UnsafePointer<UInt8>, isWhole: Bool, head: HTTP2ResponseHead) -> HTTP2ClientStep {
        guard block.isOpen else { return fail(.protocolError, "CONTINUATION without HEADERS") }
        // What will be refused is refused before it is waited for.
        guard frame.length <= limits.headerBlockBytesMax &- block.count else { return failCalm("header block is too long") }
        guard isWhole else { return needMore }
        if frame.length == 0, !budget.charge(.emptyFrame, now: now) { return failCalm("empty frames") }
        // Caller's memory: the whole frame is readable.
        guard unsafe block.extend(input + FrameHeader.bytes, count: frame.length, limits: limits) else {
            return failCalm("too many CONTINUATION frames")
        }
        guard frame.has(FrameFlags.endHeaders) else { return used(frame) }
        // The bytes of an empty block are not read: anything readable will do.
        let whole = unsafe ResponseBlock(
            bytes: block.memory.map { unsafe UnsafePointer($0) } ?? input, count: block.count, streamID: block.streamID,
            endsStream: block.endsStream, used: FrameHeader.bytes &+ frame.length)
        let step = unsafe headerBlock(whole, head)
        block.close()
        return step
    }

    /// A whole block. Every one is decoded, also one that nobody wants: the table is shared by all streams (RFC 9113 4.3).
    private mutating func headerBlock(_ block: ResponseBlock, _ head: HTTP2ResponseHead) -> HTTP2ClientStep {
        var sink = unsafe head.sink(limits)
        let outcome = unsafe decoder.decode(block.bytes, count: block.count, into: &sink)
        if case .malformed = outcome { return fail(.compressionError, "header block cannot be decoded") }
        let (id, ends, used) = unsafe (block.streamID, block.endsStream, block.used)
        let slot = StreamSlot(index: table.find(id))
        guard let stream = unsafe stream(slot) else { return closedStream(id, used: used) }
        // Half-closed (remote): nothing more may come (RFC 9113 5.1). The table's memory, which does not change before the last use.
        if unsafe stream.pointee.responseEnded { return breakStream(slot, .streamClosed, used: used) }
        if outcome == .tooLarge { return breakStream(slot, .enhanceYourCalm, cause: .tooLarge, used: used) }
        if unsafe stream.pointee.answer.contains(.hasHead) {
            guard unsafe ends && stream.pointee.bodyRest <= 0 && !stream.pointee.answer.contains(.isTunnel), unsafe head.assembleTrailers(sink) else {
                return breakStream(slot, .protocolError, used: used)
            }
            endResponse(slot)
            return HTTP2ClientStep(.trailers(slot), used: used)
        }
        guard unsafe head.assemble(sink) else { return breakStream(slot, .protocolError, used: used) }
        let response = unsafe head.response.pointee
        if response.status.isInformational { return interim(slot, response.status, ends: ends, used: used) }
        guard unsafe Self.takeHead(&stream.pointee, response, ends: ends) else { return breakStream(slot, .protocolError, used: used) }
        if ends { endResponse(slot) }
        return HTTP2ClientStep(.response(slot, endStream: ends), used: used)
    }

    /// 1xx does not end a response, and 101 does not exist in HTTP/2 (RFC 9113 8.1, 8.6).
    @inline(never)
    private mutating func interim(_ slot: StreamSlot, _ status: HTTPStatus, ends: Bool, used: Int) -> HTTP2ClientStep {
        guard !ends, status != .switchingProtocols else { return breakStream(slot, .protocolError, used: used) }
        guard budget.charge(.interim, now: now) else { return failCalm("interim responses") }
        // The table's memory.
        if let stream = unsafe stream(slot) { unsafe stream.pointee.answer.insert(.begun) }
        return HTTP2ClientStep(.interim(slot), used: used)
    }

    /// Notes how much content will come; false when head and end contradict each other (RFC 9113 8.1.1).
    @inline(__always)
    private static func takeHead(_ stream: inout HTTP2Stream, _ response: HTTP2Response, ends: Bool) -> Bool {
        stream.answer.formUnion([.begun, .hasHead])
        if stream.answer.contains(.toConnect), response.status.isSuccess {
            // Content-Length means nothing there (RFC 9110 9.3.6).
            stream.answer.insert(.isTunnel)
        } else if stream.answer.contains(.toHead) || response.status.forbidsContent {
            // A length may be told of what does not come; DATA may still end the stream.
            stream.bodyRest = 0
        } else {
            stream.bodyRest = response.contentLength
        }
        return !ends || stream.bodyRest <= 0
    }
}
