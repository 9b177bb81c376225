// What a client's parser says about a response: plain numbers, no pointers, in the caller's storage.

/// How the end of a response's body is found (RFC 9112 6.3, in the order of its rules).
@frozen @usableFromInline package enum ResponseBodyFraming: Equatable, Sendable, BitwiseCopyable {
    /// The head is all: a response to HEAD, 1xx, 204, 304.
    case none
    /// This many bytes, at most `Int64.max`. 0 when the server says so.
    case length(UInt64)
    case chunked
    /// The body ends when the server closes: neither length nor chunks. A connection that is lost looks the same, so its end proves nothing.
    case untilClose
    /// No body and no further response: what follows belongs to another protocol (101, or 2xx to CONNECT).
    case tunnel
}

/// The head of one response. Offsets count from the first byte that was given to the parser, so they stay true when the
/// bytes are moved as a whole.
@frozen @usableFromInline package struct ResponseHead: Equatable, Sendable, BitwiseCopyable {
    @usableFromInline package var status = HTTPStatus(200)
    /// 0 or 1. A higher minor version is handled as 1 (RFC 9110 2.5).
    @usableFromInline package var minorVersion: UInt8 = 1

    /// The server's reason phrase, which means nothing (RFC 9112 4); may be empty.
    @usableFromInline package var reasonOffset = 0
    @usableFromInline package var reasonLength = 0

    /// How many slots of the caller's field storage are filled.
    @usableFromInline package var fieldCount = 0
    /// Bytes of the head, the empty line at its end included: the body, or after an interim response the next head, starts here.
    @usableFromInline package var headLength = 0

    @usableFromInline package var framing: ResponseBodyFraming = .none
    /// What Content-Length says, also where no body follows (HEAD, 304: the length that GET would have had); nil without that field.
    @usableFromInline package var contentLength: UInt64?
    /// Whether the connection may be used again behind this response (RFC 9112 9.3). False where the end of the body is the end of the
    /// connection, for a tunnel, and where the head contradicts itself about a body that must not be there.
    @usableFromInline package var keepAlive = true

    @inlinable package init() {}

    /// 1xx but 101: another head follows, of the same exchange (RFC 9110 15.2).
    @inlinable package var isInterim: Bool { status.isInformational && status.code != 101 }
}
