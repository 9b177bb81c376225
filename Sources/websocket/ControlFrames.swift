// Control frames of ours that wait to be sent. Part of a connection, on its loop's thread. A fixed place: a client cannot make it grow.

/// At most one PING, and one PONG or Close. A PONG answers the newest PING alone (RFC 6455 5.5.3 allows it), and a Close takes the place of a PONG
/// that has not left: who is told that this is the end does not need it.
struct ControlFrames {
    enum Kind: UInt8 { case none, pong, close }

    private(set) var kind = Kind.none
    private var payloadCount: UInt8 = 0
    /// Payload of the PONG or the Close.
    private var payload = InlineArray<125, UInt8>(repeating: 0)
    /// Payload of the PING, big-endian.
    private var ping: UInt64?

    /// A frame's two bytes and its payload, twice.
    static var bytesMax: Int { 2 &+ 8 &+ 2 &+ WebSocketFrame.controlPayloadBytesMax }

    @inline(__always) var count: Int {
        (kind == .none ? 0 : 2 &+ Int(payloadCount)) &+ (ping == nil ? 0 : 10)
    }

    /// `count` is at most 125.
    mutating func setPong(_ bytes: UnsafePointer<UInt8>, count: Int) {
        guard kind != .close else { return }
        kind = .pong
        unsafe setPayload(from: 0, bytes, count: count)
        payloadCount = UInt8(truncatingIfNeeded: count)
    }

    mutating func setPing(_ number: UInt64) { ping = number }

    /// `noStatus` is a Close without a payload; `count` is at most 123.
    mutating func setClose(_ code: WebSocketCloseCode, reason: UnsafePointer<UInt8>?, count: Int) {
        kind = .close
        payloadCount = 0
        guard code != .noStatus else { return }
        payload[0] = UInt8(truncatingIfNeeded: code.rawValue &>> 8)
        payload[1] = UInt8(truncatingIfNeeded: code.rawValue)
        if let reason = unsafe reason { unsafe setPayload(from: 2, reason, count: count) }
        payloadCount = UInt8(truncatingIfNeeded: 2 &+ count)
    }

    private mutating func setPayload(from start: Int, _ bytes: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `count` bytes readable for this call.
        for index in 0..<count { payload[start &+ index] = unsafe bytes[index] }
    }

    /// Moves whole frames, as far as they fit, to `out`; answers how many bytes.
    mutating func take(into out: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        // Caller's memory: room for `capacity` bytes, for this call.
        var at = 0
        if let number = ping, capacity >= 10 {
            at = unsafe WebSocketFrame.writeHead(WebSocketBits.final | WebSocketOpcode.ping, count: 8, to: out)
            unsafe UnsafeMutableRawPointer(out + at).storeBytes(of: number, as: UInt64.self)
            at &+= 8
            ping = nil
        }
        let length = Int(payloadCount)
        guard kind != .none, capacity &- at >= 2 &+ length else { return at }
        let opcode = kind == .pong ? WebSocketOpcode.pong : WebSocketOpcode.close
        at &+= unsafe WebSocketFrame.writeHead(WebSocketBits.final | opcode, count: length, to: out + at)
        for index in 0..<length { unsafe out[at &+ index] = payload[index] }
        kind = .none
        payloadCount = 0
        return at &+ length
    }
}
