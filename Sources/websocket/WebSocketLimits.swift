// What a client may ask of a WebSocket. Each limit bounds memory or work that costs the client less than the server.

/// Limits on a connection beyond what the protocol itself fixes.
@frozen @usableFromInline package struct WebSocketLimits: Equatable, Sendable {
    /// A frame's payload as it is sent: 1009 beyond. 16 MiB: what test suites and browsers send in one piece; the engine keeps none of it.
    @usableFromInline package var frameBytesMax = 16 << 20
    /// A message, after inflation: 1009 beyond. 16 MiB. This is what stops a message that inflates a thousandfold.
    @usableFromInline package var messageBytesMax = 16 << 20
    /// Frames of one message: 1008 beyond. 65,536: 4 MiB in pieces of 64 bytes.
    @usableFromInline package var fragmentsMax: UInt32 = 65_536
    /// Frames whose payload is no larger are waited for (`needMore`), so that a small message is always one piece; larger ones are passed on as they
    /// arrive. With their head they fit a chunk of 16 KiB, where a connection keeps what is not whole. 0: everything is passed on at once.
    @usableFromInline package var wholeFrameBytesMax = 16_384 - 14

    /// PING frames within a window: 1008 beyond. 200: each has to be answered, and clients send one in half a minute; messages pay back.
    @usableFromInline package var pingsMax: UInt16 = 200
    /// PONG frames within a window that answer no PING of ours (RFC 6455 5.5.3 allows them): 1008 beyond. 200.
    @usableFromInline package var pongsMax: UInt16 = 200
    /// Frames within a window that carry nothing and end nothing: 1008 beyond. 100.
    @usableFromInline package var emptyFramesMax: UInt16 = 100

    /// Counts halve each time this passes, as for HTTP/2. 10 s.
    @inlinable package static var budgetWindowNanoseconds: UInt64 { 10_000_000_000 }

    @inlinable package init() {}

    /// A message as it is sent. Compressed bytes may be a little more than the content; empty blocks may not be many.
    var compressedBytesMax: Int {
        let (most, overflow) = messageBytesMax.addingReportingOverflow((messageBytesMax &>> 8) &+ 64)
        return overflow ? .max : most
    }
}
