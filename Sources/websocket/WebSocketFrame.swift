// The frame layer (RFC 6455 5.2): opcodes, and the two to ten bytes in front of a server's frame. Plain values and caller's memory; no
// state, any thread.

/// What a message holds.
@frozen @usableFromInline package enum WebSocketMessageKind: UInt8, Sendable {
    /// UTF-8.
    case text = 1
    case binary = 2
}

enum WebSocketOpcode {
    @inline(__always) static var continuation: UInt8 { 0x0 }
    @inline(__always) static var close: UInt8 { 0x8 }
    @inline(__always) static var ping: UInt8 { 0x9 }
    @inline(__always) static var pong: UInt8 { 0xa }
}

/// The first byte's bits.
enum WebSocketBits {
    @inline(__always) static var final: UInt8 { 0x80 }
    /// RSV1: a compressed message (RFC 7692 6).
    @inline(__always) static var compressed: UInt8 { 0x40 }
    @inline(__always) static var reserved: UInt8 { 0x30 }
}

/// Sizes of frames.
@frozen @usableFromInline package enum WebSocketFrame {
    /// In front of a frame of ours: two bytes, and eight of length.
    @inlinable package static var headBytesMax: Int { 10 }
    /// In front of a client's: four more, the mask.
    @inlinable package static var maskedHeadBytesMax: Int { 14 }
    /// The payload of a control frame (5.5).
    @inlinable package static var controlPayloadBytesMax: Int { 125 }

    /// Bytes in front of a payload of so many.
    @inlinable @inline(__always) package static func headBytes(_ count: Int) -> Int { count < 126 ? 2 : count < 65_536 ? 4 : 10 }

    /// Writes the head of a frame without mask, in the shortest form; answers its length. `out` has room for `headBytes(count)`, `count` is not negative.
    @inline(__always)
    static func writeHead(_ first: UInt8, count: Int, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for the head, for this call.
        unsafe out[0] = first
        if count < 126 {
            unsafe out[1] = UInt8(truncatingIfNeeded: count)
            return 2
        }
        if count < 65_536 {
            unsafe out[1] = 126
            unsafe UnsafeMutableRawPointer(out + 2).storeBytes(of: UInt16(truncatingIfNeeded: count).bigEndian, as: UInt16.self)
            return 4
        }
        unsafe out[1] = 127
        unsafe UnsafeMutableRawPointer(out + 2).storeBytes(of: UInt64(truncatingIfNeeded: count).bigEndian, as: UInt64.self)
        return 10
    }
}
