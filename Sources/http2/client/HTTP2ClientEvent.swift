// What the client's engine tells its caller. Plain values.

/// What one call of `HTTP2ClientConnection.next` found.
@frozen @usableFromInline package enum HTTP2ClientEvent: Equatable, Sendable {
    /// The bytes are the beginning of a frame: keep them and call again with more.
    case needMore
    /// A frame, or a part of one, was used up and is nothing to the caller.
    case nothing
    /// An interim response (1xx), whose head is in the caller's `HTTP2ResponseHead`. The final one is still to come.
    case interim(StreamSlot)
    /// The final response's head, in the caller's `HTTP2ResponseHead`. With `endStream` it is the whole response, and trailers as well where a
    /// protocol says so (gRPC "trailers-only").
    case response(StreamSlot, endStream: Bool)
    /// A piece of a body at `input[offset..<offset+count]`. `count` is 0 only where an empty frame ends the body.
    case data(StreamSlot, offset: Int32, count: Int32, endStream: Bool)
    /// The response ends with trailer fields: `response.fieldCount` of them in the caller's `HTTP2ResponseHead`.
    case trailers(StreamSlot)
    /// The stream ended otherwise than by the ends of request and response: drop what belongs to it. The slot is dead already.
    case ended(StreamSlot, HTTP2StreamEnd)
    /// A stream that is ready may be able to send: ask `nextSendable`.
    case windowOpened
    /// The server has said what it accepts: ask `streamsToSpare` and `nextSendable`, both may have changed.
    case settings
    /// The server takes no more streams: ask `nextUnprocessed` until it names none, and open new streams on another connection. Those that are left go on.
    case goAway(HTTP2ErrorCode)
    /// The connection is over: send what control output there is, close, and ask `nextLost` for what was under way. Every further call answers the same.
    case failed(HTTP2ErrorCode)
}

/// An event and the bytes it used up.
@frozen @usableFromInline package struct HTTP2ClientStep: Equatable, Sendable {
    @usableFromInline package let event: HTTP2ClientEvent
    /// From the front of the input; 0 with `needMore` and `failed`.
    @usableFromInline package let used: Int

    @inlinable package init(_ event: HTTP2ClientEvent, used: Int) {
        self.event = event
        self.used = used
    }
}

/// How far the server has come with a request that was not answered to its end: what decides whether it may be sent again.
@frozen @usableFromInline package enum HTTP2Processing: Equatable, Sendable {
    /// It has not acted on the request, and says so: it may be sent again, whatever its method (RFC 9113 8.7).
    case none
    /// It may have: only what is idempotent may be sent again (RFC 9110 9.2.2).
    case unknown
    /// It has: a part of the response, if only an interim one, has been handed out.
    case begun
}

/// The end of a stream that was not answered to its end, or was, while its request went on.
@frozen @usableFromInline package struct HTTP2StreamEnd: Equatable, Sendable {
    @frozen @usableFromInline package enum Cause: Equatable, Sendable {
        /// The server sent RST_STREAM with this code.
        case reset
        /// The response broke a rule (RFC 9113 8.1.1, 5.1, 6.9), and this side has sent RST_STREAM with this code.
        case malformed
        /// A field list of the response is larger than `HTTP2Limits` allow, and this side has sent RST_STREAM.
        case tooLarge
    }
    @usableFromInline package let cause: Cause
    @usableFromInline package let code: HTTP2ErrorCode
    @usableFromInline package let processing: HTTP2Processing
    /// The response had been handed out to its end: it stands. The server wants no more of the request (RFC 9113 8.1).
    @usableFromInline package let isAnswered: Bool

    @inlinable package init(_ cause: Cause, _ code: HTTP2ErrorCode, processing: HTTP2Processing, isAnswered: Bool = false) {
        self.cause = cause
        self.code = code
        self.processing = processing
        self.isAnswered = isAnswered
    }
}

/// A stream that was open when its connection ended.
@frozen @usableFromInline package struct HTTP2LostStream: Equatable, Sendable {
    /// Dead already.
    @usableFromInline package let slot: StreamSlot
    @usableFromInline package let processing: HTTP2Processing
    /// As in `HTTP2StreamEnd`.
    @usableFromInline package let isAnswered: Bool
}

/// What became of `HTTP2ClientConnection.open`.
@frozen @usableFromInline package enum HTTP2OpenOutcome: Equatable, Sendable {
    /// The request's head stands in the caller's memory and must leave in the order of these calls. The slot lives from here on.
    case opened(StreamSlot, bytes: Int)
    /// As many streams are open as may be: try again when one has ended, or on another connection.
    case noStream
    /// This connection opens no more streams: take another one (`isEnding`).
    case ending
    /// The server has said that it accepts no field list as large as this (SETTINGS_MAX_HEADER_LIST_SIZE).
    case fieldsTooLarge
    /// An extended CONNECT, and the server has not said that it knows those (RFC 8441 3); it still may while `hasServerSettings` is false.
    case protocolNotOffered
    /// Not a request that may be sent: method, authority or path is missing or not well-formed (RFC 9113 8.3.1).
    case malformed
}
