// The frames that go into the control output, for both sides of a connection. Each answers whether there was room. Loop's thread.

extension ControlOutput {
    mutating func appendReset(_ id: UInt32, _ code: HTTP2ErrorCode) -> Bool {
        guard let out = unsafe append(FrameHeader.bytes &+ 4) else { return false }
        // Just appended, as in the others.
        unsafe FrameHeader(length: 4, type: FrameType.resetStream, flags: 0, streamID: id).write(to: out)
        unsafe Wire.write32(code.rawValue, to: out + FrameHeader.bytes)
        return true
    }

    mutating func appendSettingsAcknowledgement() -> Bool {
        guard let out = unsafe append(FrameHeader.bytes) else { return false }
        unsafe FrameHeader(length: 0, type: FrameType.settings, flags: FrameFlags.ack, streamID: 0).write(to: out)
        return true
    }

    /// `opaque` in the byte order in which it was read.
    mutating func appendPing(_ opaque: UInt64, isAcknowledgement: Bool) -> Bool {
        guard let out = unsafe append(FrameHeader.bytes &+ 8) else { return false }
        unsafe FrameHeader(length: 8, type: FrameType.ping, flags: isAcknowledgement ? FrameFlags.ack : 0, streamID: 0).write(to: out)
        unsafe UnsafeMutableRawPointer(out + FrameHeader.bytes).storeBytes(of: opaque, as: UInt64.self)
        return true
    }

    /// From the reserve if need be: it is the last word. `text` is for whoever debugs the peer.
    mutating func appendGoAway(last: UInt32, _ code: HTTP2ErrorCode, _ text: StaticString) -> Bool {
        let length = 8 &+ text.utf8CodeUnitCount
        guard let out = unsafe append(FrameHeader.bytes &+ length, usesReserve: true) else { return false }
        // A literal lives as long as the program.
        unsafe FrameHeader(length: length, type: FrameType.goAway, flags: 0, streamID: 0).write(to: out)
        unsafe Wire.write32(last, to: out + FrameHeader.bytes)
        unsafe Wire.write32(code.rawValue, to: out + FrameHeader.bytes + 4)
        unsafe (out + FrameHeader.bytes + 8).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        return true
    }

    /// A WINDOW_UPDATE without its increment; answers where that goes, valid until the next call.
    mutating func appendWindowUpdate(_ id: UInt32) -> UnsafeMutablePointer<UInt8>? {
        guard let out = unsafe append(FrameHeader.bytes &+ 4) else { return nil }
        unsafe FrameHeader(length: 4, type: FrameType.windowUpdate, flags: 0, streamID: id).write(to: out)
        return unsafe out + FrameHeader.bytes
    }
}
