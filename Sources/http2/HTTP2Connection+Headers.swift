// HEADERS and CONTINUATION: header blocks become requests and trailers (RFC 9113 6.2, 6.10, 8.1). See HTTP2Connection.swift.

internal import UringHPACK
internal import UringHTTP

/// A header block and what its HEADERS frame said.
@unsafe struct WholeBlock {
    let bytes: UnsafePointer<UInt8>
    let count: Int
    let streamID: UInt32
    let endsStream: Bool
    let dependsOnItself: Bool
    /// Bytes of input that the last frame of the block takes.
    let used: Int
}

extension HTTP2Connection {
    mutating func headersFrame(_ frame: FrameHeader, _ input: UnsafeMutablePointer<UInt8>, count: Int, head: HTTP2Head) -> HTTP2Step {
        // Caller's memory: the whole frame is readable, which is asked first.
        guard frame.streamID & 1 == 1 else { return fail(.protocolError, "HEADERS on a stream that clients do not have") }
        guard count &- FrameHeader.bytes >= frame.length else { return needMore }
        var at = FrameHeader.bytes
        var end = FrameHeader.bytes &+ frame.length
        var dependsOnItself = false
        if frame.flags & (FrameFlags.padded | FrameFlags.priority) != 0 {
            if frame.has(FrameFlags.padded) {
                guard end > at else { return fail(.frameSizeError, "HEADERS without its pad length") }
                let padding = unsafe Int(input[at])
                at &+= 1
                guard padding <= end &- at else { return fail(.protocolError, "padding is longer than its frame") }
                end &-= padding
            }
            if frame.has(FrameFlags.priority) {
                guard end &- at >= 5 else { return fail(.frameSizeError, "HEADERS without its priority") }
                dependsOnItself = unsafe Wire.read32(input + at) & FrameHeader.max31 == frame.streamID
                at &+= 5
            }
        }
        guard frame.has(FrameFlags.endHeaders) else {
            return unsafe beginBlock(frame, input + at, count: end &- at, dependsOnItself: dependsOnItself)
        }
        let block = unsafe WholeBlock(
            bytes: input + at, count: end &- at, streamID: frame.streamID, endsStream: frame.has(FrameFlags.endStream),
            dependsOnItself: dependsOnItself, used: FrameHeader.bytes &+ frame.length)
        return unsafe headerBlock(block, head)
    }

    /// A block that goes on in CONTINUATION frames is gathered.
    @inline(never)
    private mutating func beginBlock(_ frame: FrameHeader, _ fragment: UnsafePointer<UInt8>, count: Int, dependsOnItself: Bool) -> HTTP2Step {
        if count == 0, !budget.charge(.emptyFrame, now: now) { return failCalm("empty frames") }
        guard
            unsafe block.begin(
                fragment, count: count, streamID: frame.streamID, endsStream: frame.has(FrameFlags.endStream),
                dependsOnItself: dependsOnItself, bytesMax: limits.headerBlockBytesMax)
        else { return failCalm("header block is too long") }
        return used(frame)
    }

    /// `next` has checked that the frame continues the block under way, if there is one.
    @inline(never)
    mutating func continuationFrame(_ frame: FrameHeader, _ input: UnsafeMutablePointer<UInt8>, isWhole: Bool, head: HTTP2Head) -> HTTP2Step {
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
        // The bytes after an empty block are those of the frame header: anything readable will do.
        let whole = unsafe WholeBlock(
            bytes: UnsafePointer(block.memory ?? input), count: block.count, streamID: block.streamID,
            endsStream: block.endsStream, dependsOnItself: block.dependsOnItself, used: FrameHeader.bytes &+ frame.length)
        let step = unsafe headerBlock(whole, head)
        block.close()
        return step
    }

    /// A whole block: of a new stream, of one that is open, or of one that is gone.
    @inline(__always)
    private mutating func headerBlock(_ block: WholeBlock, _ head: HTTP2Head) -> HTTP2Step {
        var sink = unsafe HPACKFieldSink(
            text: head.text, textCapacity: head.textCapacity, slots: head.slots,
            slotCapacity: min(head.slotCapacity, HTTP2Head.slots(limits: limits)) &- HTTP2Head.pseudoSlots,
            listBytesMax: limits.headerListBytesMax)
        // Every block is decoded, also one that nobody wants: the table is shared by all streams (RFC 9113 4.3).
        let outcome = unsafe decoder.decode(block.bytes, count: block.count, into: &sink)
        if case .malformed = outcome { return fail(.compressionError, "header block cannot be decoded") }
        guard unsafe block.streamID > lastStreamID else { return unsafe laterBlock(block, outcome, sink, head) }
        return unsafe newStream(block, outcome, &sink, head)
    }

    // MARK: requests

    @inline(__always)
    private mutating func newStream(
        _ block: WholeBlock, _ outcome: HPACKDecodeOutcome, _ sink: inout HPACKFieldSink, _ head: HTTP2Head
    ) -> HTTP2Step {
        let id = unsafe block.streamID
        let distance = (id &- lastStreamID &+ 1) &>> 1
        openedHistory = distance < 64 ? (openedHistory &<< UInt64(distance)) | 1 : 1
        lastStreamID = id
        if case .final = goingAway {
            // It was sent before the client knew; it may try again elsewhere (RFC 9113 6.8).
            guard budget.charge(.strayFrame, now: now) else { return failCalm("streams after GOAWAY") }
            return unsafe HTTP2Step(.nothing, used: block.used)
        }
        guard table.active < settings.maxConcurrentStreams else {
            // Before our settings arrive a client cannot know the limit.
            let isAbuse = settingsInForce || id > 2 * HTTP2Limits.streamsBeforeSettingsMax
            return unsafe refuse(id, .refusedStream, isAbuse: isAbuse, used: block.used)
        }
        if outcome == .tooLarge {
            let slot = unsafe open(id, AssembledRequest(), endsStream: block.endsStream)
            return unsafe HTTP2Step(.headTooLarge(slot, endStream: block.endsStream), used: block.used)
        }
        let endsStream = unsafe block.endsStream
        guard let request = unsafe head.assemble(&sink, endStream: endsStream, extendedConnect: settings.extendedConnect),
            unsafe !block.dependsOnItself
        else { return unsafe refuse(id, .protocolError, isAbuse: true, used: block.used) }
        let slot = open(id, request, endsStream: endsStream)
        return unsafe HTTP2Step(.request(slot, endStream: endsStream), used: block.used)
    }

    @inline(__always)
    private mutating func open(_ id: UInt32, _ request: AssembledRequest, endsStream: Bool) -> StreamSlot {
        let index = table.insert(id)
        // The table's memory: there is a stream.
        let stream = unsafe table.streams! + Int(index)
        unsafe stream.pointee.send = SendWindow(peer.initialWindowBytes)
        unsafe stream.pointee.receive = ReceiveWindow(streamWindow)
        unsafe stream.pointee.bodyRest = request.contentLength
        unsafe stream.pointee.requestEnded = endsStream
        unsafe stream.pointee.priority = request.priority
        // What was said of the stream by itself is newer than the field (RFC 9218 7).
        if !earlyPriorities.isEmpty, let early = earlyPriorities.take(for: id) { unsafe stream.pointee.priority = early }
        return StreamSlot(index: index)
    }

    /// Answers a request that does not become one with RST_STREAM.
    @inline(never)
    private mutating func refuse(_ id: UInt32, _ code: HTTP2ErrorCode, isAbuse: Bool, used: Int) -> HTTP2Step {
        if isAbuse, !budget.charge(.reset, now: now) { return failCalm("refused streams") }
        recentResets.note(id)
        guard writeReset(id, code) else { return overflow() }
        return HTTP2Step(.nothing, used: used)
    }

    // MARK: blocks on streams that have opened before

    @inline(never)
    private mutating func laterBlock(
        _ block: WholeBlock, _ outcome: HPACKDecodeOutcome, _ sink: HPACKFieldSink, _ head: HTTP2Head
    ) -> HTTP2Step {
        let id = unsafe block.streamID
        let used = unsafe block.used
        let slot = StreamSlot(index: table.find(id))
        guard let stream = unsafe stream(slot) else { return closedStream(id, used: used) }
        // Half-closed (remote): nothing more may come (RFC 9113 5.1).
        if unsafe stream.pointee.requestEnded { return breakStream(slot, .streamClosed, used: used) }
        if outcome == .tooLarge { return breakStream(slot, .enhanceYourCalm, used: used) }
        guard unsafe block.endsStream && !block.dependsOnItself && stream.pointee.bodyRest <= 0, unsafe head.assembleTrailers(sink) else {
            return breakStream(slot, .protocolError, used: used)
        }
        endRequest(slot)
        return HTTP2Step(.trailers(slot), used: used)
    }

    /// HEADERS or DATA for a stream that was, or was passed over. Skipped when it may have been sent before the client knew.
    mutating func closedStream(_ id: UInt32, used: Int) -> HTTP2Step {
        if isTolerated(id) {
            guard budget.charge(.strayFrame, now: now) else { return failCalm("frames on closed streams") }
            return HTTP2Step(.nothing, used: used)
        }
        return wasOpened(id) ? fail(.streamClosed, "frame on a closed stream") : fail(.protocolError, "stream identifier is too low")
    }

    /// Whether frames of a closed stream may still be under way without fault.
    func isTolerated(_ id: UInt32) -> Bool {
        if case .final(let last) = goingAway, id > last { return true }
        return recentResets.contains(id)
    }

    /// Whether a stream at or below `lastStreamID` was opened rather than passed over, as far back as is remembered.
    private func wasOpened(_ id: UInt32) -> Bool {
        let distance = (lastStreamID &- id) &>> 1
        return distance >= 64 || openedHistory &>> UInt64(distance) & 1 == 1
    }
}
