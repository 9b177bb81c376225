// What the engine tells its caller. Plain values.

/// What one call of `HTTP2Connection.next` found.
@frozen @usableFromInline package enum HTTP2Event: Equatable, Sendable {
    /// The bytes are the beginning of a frame: keep them and call again with more.
    case needMore
    /// A frame, or a part of one, was used up and is nothing to the caller.
    case nothing
    /// A request; its head is in the caller's `HTTP2Head`. The slot lives from here on.
    case request(StreamSlot, endStream: Bool)
    /// A piece of a body at `input[offset..<offset+count]`. `count` is 0 only where an empty frame ends the body.
    case data(StreamSlot, offset: Int32, count: Int32, endStream: Bool)
    /// The request ends with trailer fields: `request.fieldCount` of them in the caller's `HTTP2Head`, where nothing else is set.
    case trailers(StreamSlot)
    /// A request whose field list is larger than the limit; nothing of it is known. Answer 431. The slot lives from here on.
    case headTooLarge(StreamSlot, endStream: Bool)
    /// The stream is gone, by the client's RST_STREAM or because it broke a rule: drop what belongs to it. The slot is dead already.
    case reset(StreamSlot, HTTP2ErrorCode)
    /// A stream that is ready may be able to send: ask `nextSendable`.
    case windowOpened
    /// The client opens no more streams of value; those that are open go on.
    case goAwayReceived
    /// The connection is over: send what control output there is, and close. Every further call answers the same.
    case failed(HTTP2ErrorCode)
}

/// An event and the bytes it used up.
@frozen @usableFromInline package struct HTTP2Step: Equatable, Sendable {
    @usableFromInline package let event: HTTP2Event
    /// From the front of the input; 0 with `needMore` and `failed`.
    @usableFromInline package let used: Int

    @inlinable package init(_ event: HTTP2Event, used: Int) {
        self.event = event
        self.used = used
    }
}
