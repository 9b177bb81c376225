// The frames that are about the connection: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, priorities, GOAWAY (RFC 9113 6, RFC 9218 7).
// Each function gets the header and whether the payload is all there. See HTTP2Connection.swift.

internal import UringHPACK

extension HTTP2Connection {
    // MARK: SETTINGS (6.5)

    mutating func settingsFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.streamID == 0 else { return fail(.protocolError, "SETTINGS on a stream") }
        if frame.has(FrameFlags.ack) {
            guard frame.length == 0 else { return fail(.frameSizeError, "acknowledgement with settings") }
            return settingsAcknowledged(frame)
        }
        guard frame.length % 6 == 0 else { return fail(.frameSizeError, "SETTINGS of a length that is no multiple of 6") }
        guard isWhole else { return needMore }
        guard budget.charge(.settings, now: now) else { return failCalm("SETTINGS") }
        let old = peer
        var at = 0
        while at < frame.length {
            // Caller's memory: the payload is whole.
            if let code = unsafe peer.take(id: Wire.read16(payload + at), value: Wire.read32(payload + at + 2)) {
                return fail(code, "setting has a value that it cannot have")
            }
            at &+= 6
        }
        if peer.ignoresOldPriorities == nil { peer.ignoresOldPriorities = false }
        if phase == .settings { phase = .open }
        if peer.headerTableBytes != old.headerTableBytes { encoder.setPeerTableBytesMax(Int(peer.headerTableBytes)) }
        guard shiftSendWindows(by: Int64(peer.initialWindowBytes) - Int64(old.initialWindowBytes)) else {
            return fail(.flowControlError, "initial window makes a stream's window too large")
        }
        guard control.appendSettingsAcknowledgement() else { return overflow() }
        return used(frame, readyCount > 0 && peer.initialWindowBytes > old.initialWindowBytes ? .windowOpened : .nothing)
    }

    /// From here on the client keeps to our settings.
    private mutating func settingsAcknowledged(_ frame: FrameHeader) -> HTTP2Step {
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

    mutating func pingFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.length == 8 else { return fail(.frameSizeError, "PING is not of 8 bytes") }
        guard frame.streamID == 0 else { return fail(.protocolError, "PING on a stream") }
        guard isWhole else { return needMore }
        // Caller's memory: eight bytes.
        let opaque = unsafe UnsafeRawPointer(payload).loadUnaligned(as: UInt64.self)
        if frame.has(FrameFlags.ack) {
            guard pingAcknowledged(opaque) || budget.charge(.strayFrame, now: now) else { return failCalm("acknowledgements") }
            return phase == .open ? used(frame) : overflow()
        }
        guard budget.charge(.ping, now: now) else { return failCalm("PING") }
        guard control.appendPing(opaque, isAcknowledgement: true) else { return overflow() }
        return used(frame)
    }

    // MARK: WINDOW_UPDATE (6.9)

    mutating func windowUpdateFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.length == 4 else { return fail(.frameSizeError, "WINDOW_UPDATE is not of 4 bytes") }
        guard isKnown(frame.streamID) else { return fail(.protocolError, "WINDOW_UPDATE on an idle stream") }
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

    mutating func resetFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.length == 4 else { return fail(.frameSizeError, "RST_STREAM is not of 4 bytes") }
        guard frame.streamID != 0, isKnown(frame.streamID) else { return fail(.protocolError, "RST_STREAM on an idle stream") }
        guard isWhole else { return needMore }
        let slot = StreamSlot(index: table.find(frame.streamID))
        guard isLive(slot) else {
            guard budget.charge(.strayFrame, now: now) else { return failCalm("frames on closed streams") }
            return used(frame)
        }
        guard budget.charge(.reset, now: now) else { return failCalm("reset streams") }
        tally.resetsReceived &+= 1
        release(slot)
        // Caller's memory: four bytes.
        return unsafe used(frame, .reset(slot, HTTP2ErrorCode(rawValue: Wire.read32(payload))))
    }

    // MARK: priorities (6.3; RFC 9218 7.1)

    /// The old scheme's tree is not built (RFC 9113 5.3.2); its frames are only checked.
    mutating func priorityFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.streamID != 0 else { return fail(.protocolError, "PRIORITY on the connection") }
        guard frame.length == 5 else { return breakFrame(frame, isWhole: isWhole, .frameSizeError, "PRIORITY is not of 5 bytes") }
        guard isWhole else { return needMore }
        guard budget.charge(.priority, now: now) else { return failCalm("PRIORITY") }
        // Caller's memory: five bytes.
        guard unsafe Wire.read32(payload) & FrameHeader.max31 != frame.streamID else {
            return breakFrame(frame, isWhole: true, .protocolError, "stream depends on itself")
        }
        return used(frame)
    }

    /// A stream error where there is a stream, or else one of the connection: an idle stream cannot be reset.
    private mutating func breakFrame(
        _ frame: FrameHeader, isWhole: Bool, _ code: HTTP2ErrorCode, _ text: StaticString
    ) -> HTTP2Step {
        let slot = StreamSlot(index: table.find(frame.streamID))
        guard isLive(slot) else { return fail(code, text) }
        guard isWhole else { return needMore }
        return breakStream(slot, code, used: FrameHeader.bytes &+ frame.length)
    }

    mutating func priorityUpdateFrame(_ frame: FrameHeader, _ payload: UnsafePointer<UInt8>, isWhole: Bool) -> HTTP2Step {
        guard frame.streamID == 0 else { return fail(.protocolError, "PRIORITY_UPDATE on a stream") }
        guard frame.length >= 4 else { return fail(.frameSizeError, "PRIORITY_UPDATE is shorter than 4 bytes") }
        guard isWhole else { return needMore }
        guard budget.charge(.priority, now: now) else { return failCalm("PRIORITY_UPDATE") }
        // Caller's memory: the payload is whole.
        let id = unsafe Wire.read32(payload) & FrameHeader.max31
        guard id & 1 == 1 else { return fail(.protocolError, "PRIORITY_UPDATE for a stream that clients do not have") }
        let priority = unsafe StreamPriority(payload + 4, count: frame.length &- 4)
        if id > lastStreamID {
            earlyPriorities.put(priority, for: id)
        } else {
            setPriority(priority, of: StreamSlot(index: table.find(id)))
        }
        return used(frame)
    }

    // MARK: GOAWAY (6.8)

    mutating func goAwayFrame(_ frame: FrameHeader, count: Int) -> HTTP2Step {
        guard frame.streamID == 0 else { return fail(.protocolError, "GOAWAY on a stream") }
        guard frame.length >= 8 else { return fail(.frameSizeError, "GOAWAY is shorter than 8 bytes") }
        guard budget.charge(.strayFrame, now: now) else { return failCalm("GOAWAY") }
        // Which of our streams it has seen does not matter: a server opens none. Nor does the text.
        return skip(frame, count: count, event: .goAwayReceived)
    }

    /// Whether a stream is open or has been, or is the connection itself.
    private func isKnown(_ id: UInt32) -> Bool { id == 0 || (id & 1 == 1 && id <= lastStreamID) }
}
