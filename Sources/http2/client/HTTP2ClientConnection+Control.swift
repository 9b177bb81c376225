// The frames that are about the connection: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, PRIORITY, GOAWAY (RFC 9113 6). Each function gets the header and
// whether the payload is all there. See HTTP2ClientConnection.swift.

internal import UringHPACK

extension HTTP2ClientConnection {
    // MARK: SETTINGS (6.5)

    mutating func settingsFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2ClientStep {
        guard frame.streamID == 0 else { return fail(.protocolError, "SETTINGS on a stream") }
        if frame.has(FrameFlags.ack) {
            guard frame.length == 0 else { return fail(.frameSizeError, "acknowledgement with settings") }
            return settingsAcknowledged(frame)
        }
        guard frame.length % 6 == 0 else { return fail(.frameSizeError, "SETTINGS of a length that is no multiple of 6") }
        guard isWhole else { return needMore }
        guard budget.charge(.settings, now: now) else { return failCalm("SETTINGS") }
        let oldWindow = peer.common.initialWindowBytes
        // The first frame says it all: without the setting there is no limit (RFC 9113 6.5.2).
        if phase == .settings { peer.streamsMax = .max }
        var at = 0
        while at < frame.length {
            // Caller's memory: the payload is whole.
            let (id, value) = unsafe (Wire.read16(payload + at), Wire.read32(payload + at + 2))
            if let code = peer.take(id: id, value: value) { return fail(code, "setting has a value that it cannot have") }
            // Each counts: the smallest in between has to be told too (RFC 7541 4.2).
            if id == SettingID.headerTableSize { encoder.setPeerTableBytesMax(Int(value)) }
            at &+= 6
        }
        if peer.common.ignoresOldPriorities == nil { peer.common.ignoresOldPriorities = false }
        if phase == .settings { phase = .open }
        guard shiftSendWindows(by: Int64(peer.common.initialWindowBytes) - Int64(oldWindow)) else {
            return fail(.flowControlError, "initial window makes a stream's window too large")
        }
        guard control.appendSettingsAcknowledgement() else { return overflow() }
        return used(frame, .settings)
    }

    /// From here on the server keeps to our settings.
    private mutating func settingsAcknowledged(_ frame: FrameHeader) -> HTTP2ClientStep {
        guard !settingsInForce else {
            guard budget.charge(.strayFrame, now: now) else { return failCalm("acknowledgements") }
            return used(frame)
        }
        settingsInForce = true
        let window = Int32(truncatingIfNeeded: settings.streamWindowBytes)
        shiftReceiveWindows(by: window &- streamWindow)
        streamWindow = window
        return used(frame)
    }

    // MARK: PING (6.7)

    mutating func pingFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2ClientStep {
        guard frame.length == 8 else { return fail(.frameSizeError, "PING is not of 8 bytes") }
        guard frame.streamID == 0 else { return fail(.protocolError, "PING on a stream") }
        guard isWhole else { return needMore }
        // Caller's memory: eight bytes.
        let opaque = unsafe UnsafeRawPointer(payload).loadUnaligned(as: UInt64.self)
        if frame.has(FrameFlags.ack) {
            guard pings.isAnswered(by: opaque) || budget.charge(.strayFrame, now: now) else { return failCalm("acknowledgements") }
            return used(frame)
        }
        guard budget.charge(.ping, now: now) else { return failCalm("PING") }
        guard control.appendPing(opaque, isAcknowledgement: true) else { return overflow() }
        return used(frame)
    }

    // MARK: WINDOW_UPDATE (6.9)

    mutating func windowUpdateFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2ClientStep {
        guard frame.length == 4 else { return fail(.frameSizeError, "WINDOW_UPDATE is not of 4 bytes") }
        guard frame.streamID == 0 || isOurs(frame.streamID) else { return fail(.protocolError, "WINDOW_UPDATE on an idle stream") }
        guard isWhole else { return needMore }
        // Caller's memory: four bytes.
        let increment = unsafe Wire.read32(payload) & FrameHeader.max31
        if increment < HTTP2Limits.smallWindowUpdateBytes, !budget.charge(.windowUpdate, now: now) { return failCalm("WINDOW_UPDATE") }
        guard frame.streamID != 0 else {
            guard increment > 0 else { return fail(.protocolError, "WINDOW_UPDATE of nothing") }
            guard sendWindow.change(by: Int32(truncatingIfNeeded: increment)) else {
                return fail(.flowControlError, "connection window is beyond 2^31-1")
            }
            return used(frame, readyCount > 0 ? .windowOpened : .nothing)
        }
        let slot = StreamSlot(index: table.find(frame.streamID))
        // For a stream that has ended it came too late, and may.
        guard let stream = unsafe stream(slot) else { return used(frame) }
        guard increment > 0 else { return breakStream(slot, .protocolError, used: FrameHeader.bytes &+ 4) }
        // The table's memory, not changed in between.
        guard unsafe stream.pointee.send.change(by: Int32(truncatingIfNeeded: increment)) else {
            return breakStream(slot, .flowControlError, used: FrameHeader.bytes &+ 4)
        }
        requeue(slot)
        return unsafe used(frame, stream.pointee.isReady ? .windowOpened : .nothing)
    }

    // MARK: RST_STREAM (6.4)

    /// Resets of open streams cost a request of ours each, so they need no budget; those of streams that are gone do.
    mutating func resetFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2ClientStep {
        guard frame.length == 4 else { return fail(.frameSizeError, "RST_STREAM is not of 4 bytes") }
        guard isOurs(frame.streamID) else { return fail(.protocolError, "RST_STREAM on an idle stream") }
        guard isWhole else { return needMore }
        let slot = StreamSlot(index: table.find(frame.streamID))
        guard let stream = unsafe stream(slot) else {
            guard budget.charge(.strayFrame, now: now) else { return failCalm("frames on closed streams") }
            return used(frame)
        }
        // Caller's memory: four bytes. The table's memory, before it changes.
        let code = unsafe HTTP2ErrorCode(rawValue: Wire.read32(payload))
        var reached = unsafe processing(stream.pointee)
        // "Prior to any processing" (RFC 9113 7). A server that has begun to answer cannot mean it.
        if code == .refusedStream, reached == .unknown { reached = .none }
        let end = unsafe HTTP2StreamEnd(.reset, code, processing: reached, isAnswered: stream.pointee.responseEnded)
        tally.resetsReceived &+= 1
        release(slot)
        return used(frame, .ended(slot, end))
    }

    // MARK: PRIORITY (6.3)

    /// Servers have no use for it; it is only checked (RFC 9113 5.3.2).
    mutating func priorityFrame(_ frame: FrameHeader, count: Int) -> HTTP2ClientStep {
        guard frame.streamID != 0 else { return fail(.protocolError, "PRIORITY on the connection") }
        // A stream error by the RFC, for a frame that no server has reason to send: the connection is not worth keeping.
        guard frame.length == 5 else { return fail(.frameSizeError, "PRIORITY is not of 5 bytes") }
        guard budget.charge(.priority, now: now) else { return failCalm("PRIORITY") }
        return skip(frame, count: count, event: .nothing)
    }

    // MARK: GOAWAY (6.8)

    mutating func goAwayFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, count: Int) -> HTTP2ClientStep {
        guard frame.streamID == 0 else { return fail(.protocolError, "GOAWAY on a stream") }
        guard frame.length >= 8 else { return fail(.frameSizeError, "GOAWAY is shorter than 8 bytes") }
        // The text behind the numbers is skipped as it comes.
        guard count &- FrameHeader.bytes >= 8 else { return needMore }
        guard budget.charge(.strayFrame, now: now) else { return failCalm("GOAWAY") }
        // Caller's memory: eight bytes.
        let last = unsafe Wire.read32(payload) & FrameHeader.max31
        let code = unsafe HTTP2ErrorCode(rawValue: Wire.read32(payload + 4))
        // Who was told that a stream was not processed has sent it again elsewhere.
        if let earlier = lastProcessedID, last > earlier { return fail(.protocolError, "GOAWAY takes back what it said") }
        lastProcessedID = last
        sweep = 0
        return skip(frame, count: count, event: .goAway(code))
    }
}
