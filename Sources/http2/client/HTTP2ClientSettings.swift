// SETTINGS as a client says and hears them (RFC 9113 6.5). Plain values, no state of their own.

/// What a client announces, and how many streams it opens by its own choice. Values are clamped to what the engine and the protocol can hold.
@frozen @usableFromInline package struct HTTP2ClientSettings: Equatable, Sendable {
    /// Streams open at once, however many more the server allows. 128, as many as servers commonly do.
    @usableFromInline package let streamsMax: Int
    /// Bytes of one response body that may be under way. 64 KiB: with `connectionWindowBytes` the memory a server can fill.
    @usableFromInline package let streamWindowBytes: Int
    /// Bytes of all response bodies of a connection that may be under way. 1 MiB: a body that its receiver is slow to take must not hold up
    /// fifteen others. Without this the protocol's 64 KiB hold up all of them.
    @usableFromInline package let connectionWindowBytes: Int
    /// The decompressor's dynamic table. 4096, the protocol's default.
    @usableFromInline package let headerTableBytes: Int
    /// The largest frame accepted. 16384, the protocol's least: larger ones only delay what waits behind them.
    @usableFromInline package let frameBytesMax: Int

    /// Streams opened before the server has named its limit. 100: fewer should no server allow (RFC 9113 6.5.2), and what is too much is refused.
    @inlinable package static var streamsBeforeSettingsMax: Int { 100 }

    @inlinable package init(
        streamsMax: Int = 128, streamWindowBytes: Int = 65_536, connectionWindowBytes: Int = 1_048_576, headerTableBytes: Int = 4096,
        frameBytesMax: Int = 16_384
    ) {
        self.streamsMax = Swift.min(Swift.max(streamsMax, 1), HTTP2LocalSettings.maxConcurrentStreamsMax)
        self.streamWindowBytes = Swift.min(Swift.max(streamWindowBytes, 1), Int(Int32.max))
        self.connectionWindowBytes = Swift.min(Swift.max(connectionWindowBytes, HTTP2LocalSettings.defaultWindowBytes), Int(Int32.max))
        self.headerTableBytes = Swift.min(Swift.max(headerTableBytes, 4096), 65_536)
        self.frameBytesMax = Swift.min(Swift.max(frameBytesMax, HTTP2LocalSettings.defaultFrameBytes), (1 << 24) - 1)
    }

    static var preface: StaticString { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }
    /// Most bytes `writePreface` writes.
    static var prefaceBytesMax: Int { preface.utf8CodeUnitCount + FrameHeader.bytes + 6 * 6 + FrameHeader.bytes + 4 }

    /// The client's connection preface (RFC 9113 3.4) and the update that opens the connection's window; answers its length.
    func writePreface(to out: UnsafeMutablePointer<UInt8>, headerListBytesMax: Int) -> Int {
        // Caller's memory: room for `prefaceBytesMax`, for this call. A literal lives as long as the program.
        let first = Self.preface.utf8CodeUnitCount
        unsafe out.update(from: Self.preface.utf8Start, count: first)
        var at = first + FrameHeader.bytes
        func put(_ id: UInt16, _ value: Int) {
            unsafe Wire.write16(id, to: out + at)
            unsafe Wire.write32(UInt32(truncatingIfNeeded: value), to: out + at + 2)
            at += 6
        }
        if headerTableBytes != 4096 { put(SettingID.headerTableSize, headerTableBytes) }
        put(SettingID.enablePush, 0)
        if streamWindowBytes != HTTP2LocalSettings.defaultWindowBytes { put(SettingID.initialWindowSize, streamWindowBytes) }
        if frameBytesMax != HTTP2LocalSettings.defaultFrameBytes { put(SettingID.maxFrameSize, frameBytesMax) }
        put(SettingID.maxHeaderListSize, headerListBytesMax)
        put(SettingID.noRFC7540Priorities, 1)
        let length = at - first - FrameHeader.bytes
        unsafe FrameHeader(length: length, type: FrameType.settings, flags: 0, streamID: 0).write(to: out + first)
        let grown = connectionWindowBytes - HTTP2LocalSettings.defaultWindowBytes
        if grown > 0 {
            unsafe FrameHeader(length: 4, type: FrameType.windowUpdate, flags: 0, streamID: 0).write(to: out + at)
            unsafe Wire.write32(UInt32(truncatingIfNeeded: grown), to: out + at + FrameHeader.bytes)
            at += FrameHeader.bytes + 4
        }
        return at
    }
}

/// What the server has announced.
struct HTTP2ServerSettings: Equatable {
    /// What both sides may say.
    var common = HTTP2PeerSettings()
    /// Streams that may be open at once.
    var streamsMax = UInt32(HTTP2ClientSettings.streamsBeforeSettingsMax)
    /// Bytes of a request's field list; without the setting there is no limit.
    var headerListBytesMax = UInt32.max
    /// Extended CONNECT (RFC 8441 3).
    var knowsConnectProtocol = false

    /// Takes in one parameter; answers the connection error it deserves, or nil.
    mutating func take(id: UInt16, value: UInt32) -> HTTP2ErrorCode? {
        switch id {
        case SettingID.maxConcurrentStreams: streamsMax = value
        case SettingID.maxHeaderListSize: headerListBytesMax = value
        case SettingID.enablePush:
            // A server may only say that it does not push (RFC 9113 6.5.2).
            guard value == 0 else { return .protocolError }
        case SettingID.enableConnectProtocol:
            guard value <= 1, value == 1 || !knowsConnectProtocol else { return .protocolError }
            knowsConnectProtocol = value == 1
        default: return common.take(id: id, value: value)
        }
        return nil
    }
}
