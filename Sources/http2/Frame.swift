// The frame layer (RFC 9113 4): the nine bytes in front of every frame, types, flags, and the sizes that types fix.
// Plain values and caller's memory; no state, any thread.

/// Frame types by number (RFC 9113 6, RFC 9218 7.1). Other numbers are extensions that are skipped.
enum FrameType {
    @inline(__always) static var data: UInt8 { 0x0 }
    @inline(__always) static var headers: UInt8 { 0x1 }
    @inline(__always) static var priority: UInt8 { 0x2 }
    @inline(__always) static var resetStream: UInt8 { 0x3 }
    @inline(__always) static var settings: UInt8 { 0x4 }
    @inline(__always) static var pushPromise: UInt8 { 0x5 }
    @inline(__always) static var ping: UInt8 { 0x6 }
    @inline(__always) static var goAway: UInt8 { 0x7 }
    @inline(__always) static var windowUpdate: UInt8 { 0x8 }
    @inline(__always) static var continuation: UInt8 { 0x9 }
    @inline(__always) static var priorityUpdate: UInt8 { 0x10 }
}

enum FrameFlags {
    @inline(__always) static var endStream: UInt8 { 0x1 }
    @inline(__always) static var ack: UInt8 { 0x1 }
    @inline(__always) static var endHeaders: UInt8 { 0x4 }
    @inline(__always) static var padded: UInt8 { 0x8 }
    @inline(__always) static var priority: UInt8 { 0x20 }
}

/// The header of one frame. The reserved bit of the stream identifier is ignored when read (RFC 9113 4.1).
@frozen @usableFromInline package struct FrameHeader: Equatable, Sendable {
    @usableFromInline package var length: Int
    @usableFromInline package var type: UInt8
    @usableFromInline package var flags: UInt8
    @usableFromInline package var streamID: UInt32

    @inlinable package static var bytes: Int { 9 }
    /// The most that a stream identifier or a window may be.
    @inlinable package static var max31: UInt32 { 0x7fff_ffff }

    @inlinable package init(length: Int, type: UInt8, flags: UInt8, streamID: UInt32) {
        self.length = length
        self.type = type
        self.flags = flags
        self.streamID = streamID
    }

    /// Reads nine bytes.
    @inlinable @inline(__always)
    package init(_ bytes: UnsafePointer<UInt8>) {
        // Caller's memory: nine bytes readable, for this call.
        let front = unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self).bigEndian
        let last = unsafe UInt32(bytes[8])
        length = Int(truncatingIfNeeded: front &>> 40)
        type = UInt8(truncatingIfNeeded: front &>> 32)
        flags = UInt8(truncatingIfNeeded: front &>> 24)
        streamID = ((UInt32(truncatingIfNeeded: front) &<< 8) | last) & 0x7fff_ffff
    }

    /// Writes nine bytes; `length` is below 2^24 and `streamID` below 2^31.
    @inlinable @inline(__always)
    package func write(to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for nine bytes, for this call.
        let front = (UInt64(truncatingIfNeeded: length) &<< 40) | (UInt64(type) &<< 32) | (UInt64(flags) &<< 24) | UInt64(streamID &>> 8)
        unsafe UnsafeMutableRawPointer(out).storeBytes(of: front.bigEndian, as: UInt64.self)
        unsafe out[8] = UInt8(truncatingIfNeeded: streamID)
    }

    @inline(__always) func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
}

/// Numbers in network byte order.
enum Wire {
    @inline(__always) static func read16(_ bytes: UnsafePointer<UInt8>) -> UInt16 {
        // Caller's memory: two bytes readable.
        unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt16.self).bigEndian
    }

    @inline(__always) static func read32(_ bytes: UnsafePointer<UInt8>) -> UInt32 {
        // Caller's memory: four bytes readable.
        unsafe UnsafeRawPointer(bytes).loadUnaligned(as: UInt32.self).bigEndian
    }

    @inline(__always) static func write16(_ value: UInt16, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for two bytes.
        unsafe UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, as: UInt16.self)
    }

    @inline(__always) static func write32(_ value: UInt32, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for four bytes.
        unsafe UnsafeMutableRawPointer(out).storeBytes(of: value.bigEndian, as: UInt32.self)
    }
}
