// SETTINGS (RFC 9113 6.5): what this side announces and what the other side has said. Plain values, no state of their own.

/// Identifiers of settings (RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1).
enum SettingID {
    static var headerTableSize: UInt16 { 0x1 }
    static var enablePush: UInt16 { 0x2 }
    static var maxConcurrentStreams: UInt16 { 0x3 }
    static var initialWindowSize: UInt16 { 0x4 }
    static var maxFrameSize: UInt16 { 0x5 }
    static var maxHeaderListSize: UInt16 { 0x6 }
    static var enableConnectProtocol: UInt16 { 0x8 }
    static var noRFC7540Priorities: UInt16 { 0x9 }
}

/// What this server announces to its clients. Values are clamped to what the engine and the protocol can hold.
@frozen @usableFromInline package struct HTTP2LocalSettings: Equatable, Sendable {
    /// Streams open at once; more are refused, which tells the client to try again. 128: RFC 9113 6.5.2 recommends at least 100.
    @usableFromInline package let maxConcurrentStreams: Int
    /// Bytes of one request body that may be under way. 64 KiB: with `connectionWindowBytes` the memory a client can fill.
    @usableFromInline package let streamWindowBytes: Int
    /// Bytes of all request bodies of a connection that may be under way. 256 KiB: four streams at full window.
    @usableFromInline package let connectionWindowBytes: Int
    /// The decompressor's dynamic table. 4096, the protocol's default: less would need the peer's consent first.
    @usableFromInline package let headerTableBytes: Int
    /// The largest frame accepted. 16384, the protocol's least: larger ones only delay what waits behind them.
    @usableFromInline package let frameBytesMax: Int
    /// Whether `:protocol` is accepted with CONNECT (RFC 8441). Off until something serves it.
    @usableFromInline package let extendedConnect: Bool

    /// The window and frame size before any SETTINGS (RFC 9113 6.9.2, 6.5.2).
    @inlinable package static var defaultWindowBytes: Int { 65_535 }
    @inlinable package static var defaultFrameBytes: Int { 16_384 }
    /// Streams are numbered by 16 bits in the engine's lists, and each costs memory.
    @inlinable package static var maxConcurrentStreamsMax: Int { 16_384 }

    @inlinable package init(
        maxConcurrentStreams: Int = 128, streamWindowBytes: Int = 65_536, connectionWindowBytes: Int = 262_144,
        headerTableBytes: Int = 4096, frameBytesMax: Int = 16_384, extendedConnect: Bool = false
    ) {
        self.maxConcurrentStreams = Swift.min(Swift.max(maxConcurrentStreams, 1), Self.maxConcurrentStreamsMax)
        self.streamWindowBytes = Swift.min(Swift.max(streamWindowBytes, 1), Int(Int32.max))
        self.connectionWindowBytes = Swift.min(Swift.max(connectionWindowBytes, Self.defaultWindowBytes), Int(Int32.max))
        self.headerTableBytes = Swift.min(Swift.max(headerTableBytes, 4096), 65_536)
        self.frameBytesMax = Swift.min(Swift.max(frameBytesMax, Self.defaultFrameBytes), (1 << 24) - 1)
        self.extendedConnect = extendedConnect
    }

    /// Most bytes `writePreface` writes.
    static var prefaceBytesMax: Int { FrameHeader.bytes + 7 * 6 + FrameHeader.bytes + 4 }

    /// The server's connection preface (RFC 9113 3.4) and the update that opens the connection's window; answers its length.
    func writePreface(to out: UnsafeMutablePointer<UInt8>, headerListBytesMax: Int) -> Int {
        // Caller's memory: room for `prefaceBytesMax`, for this call.
        var at = FrameHeader.bytes
        func put(_ id: UInt16, _ value: Int) {
            unsafe Wire.write16(id, to: out + at)
            unsafe Wire.write32(UInt32(truncatingIfNeeded: value), to: out + at + 2)
            at += 6
        }
        if headerTableBytes != 4096 { put(SettingID.headerTableSize, headerTableBytes) }
        put(SettingID.maxConcurrentStreams, maxConcurrentStreams)
        if streamWindowBytes != Self.defaultWindowBytes { put(SettingID.initialWindowSize, streamWindowBytes) }
        if frameBytesMax != Self.defaultFrameBytes { put(SettingID.maxFrameSize, frameBytesMax) }
        put(SettingID.maxHeaderListSize, headerListBytesMax)
        if extendedConnect { put(SettingID.enableConnectProtocol, 1) }
        put(SettingID.noRFC7540Priorities, 1)
        let header = FrameHeader(length: at - FrameHeader.bytes, type: FrameType.settings, flags: 0, streamID: 0)
        unsafe header.write(to: out)
        let grown = connectionWindowBytes - Self.defaultWindowBytes
        if grown > 0 {
            unsafe FrameHeader(length: 4, type: FrameType.windowUpdate, flags: 0, streamID: 0).write(to: out + at)
            unsafe Wire.write32(UInt32(truncatingIfNeeded: grown), to: out + at + FrameHeader.bytes)
            at += FrameHeader.bytes + 4
        }
        return at
    }
}

/// What the client has announced, as far as it matters to a server that pushes nothing.
struct HTTP2PeerSettings: Equatable {
    var headerTableBytes: UInt32 = 4096
    var initialWindowBytes: Int32 = Int32(HTTP2LocalSettings.defaultWindowBytes)
    var frameBytesMax: UInt32 = UInt32(HTTP2LocalSettings.defaultFrameBytes)
    /// Nil until the first SETTINGS frame is over; it must not change afterwards (RFC 9218 2.1).
    var ignoresOldPriorities: Bool?

    /// Takes in one parameter; answers the connection error it deserves, or nil.
    mutating func take(id: UInt16, value: UInt32) -> HTTP2ErrorCode? {
        switch id {
        case SettingID.headerTableSize: headerTableBytes = value
        case SettingID.enablePush, SettingID.enableConnectProtocol: guard value <= 1 else { return .protocolError }
        case SettingID.initialWindowSize:
            guard let window = Int32(exactly: value) else { return .flowControlError }
            initialWindowBytes = window
        case SettingID.maxFrameSize:
            guard value >= 16_384, value < 1 << 24 else { return .protocolError }
            frameBytesMax = value
        case SettingID.noRFC7540Priorities:
            guard value <= 1, ignoresOldPriorities == nil || ignoresOldPriorities == (value == 1) else { return .protocolError }
            ignoresOldPriorities = value == 1
        default:
            // How many streams this side may open, how large a list it may send (a hint), and extensions: nothing depends on them.
            break
        }
        return nil
    }
}
