// What the engine tells its caller. Plain values.

/// A piece of a message: all of a frame that lies whole in the input, or as much of a larger one as is there.
@frozen @usableFromInline package struct WebSocketPart: Equatable, Sendable {
    @usableFromInline package let kind: WebSocketMessageKind
    /// The first piece of its message.
    @usableFromInline package let begins: Bool
    /// The last one. It may have no bytes.
    @usableFromInline package let ends: Bool
    /// Where `offset` counts from: the engine's input, or `WebSocketCompression.room`, whose content is good until the next call of `next` on any
    /// connection of the loop.
    @usableFromInline package let isInflated: Bool
    @usableFromInline package let offset: Int32
    @usableFromInline package let count: Int32

    @inlinable @inline(__always)
    package init(_ kind: WebSocketMessageKind, begins: Bool, ends: Bool, isInflated: Bool, offset: Int, count: Int) {
        self.kind = kind
        self.begins = begins
        self.ends = ends
        self.isInflated = isInflated
        self.offset = Int32(truncatingIfNeeded: offset)
        self.count = Int32(truncatingIfNeeded: count)
    }
}

/// What one call of `WebSocketConnection.next` found. Offsets count from the front of its input, and the bytes there have no mask any more.
@frozen @usableFromInline package enum WebSocketEvent: Equatable, Sendable {
    /// The bytes are the beginning of a frame: keep them and call again with more.
    case needMore
    /// Bytes were used up that are nothing to the caller.
    case nothing
    case data(WebSocketPart)
    /// The pong that answers it is in the control output already.
    case ping(offset: Int32, count: Int32)
    case pong(offset: Int32, count: Int32)
    /// The client says that this is the end, and sends no more; `noStatus` when it gives no code. Our Close is in the control output, if it was not
    /// said before. When that has left, close.
    case close(WebSocketCloseCode, reasonOffset: Int32, reasonCount: Int32)
    /// A rule was broken: send what control output there is, and close. Every further call answers the same.
    case failed(WebSocketCloseCode)
}

/// An event and the bytes it used up.
@frozen @usableFromInline package struct WebSocketStep: Equatable, Sendable {
    @usableFromInline package let event: WebSocketEvent
    /// From the front of the input; 0 with `needMore` and `failed`.
    @usableFromInline package let used: Int

    @inlinable package init(_ event: WebSocketEvent, used: Int) {
        self.event = event
        self.used = used
    }
}
