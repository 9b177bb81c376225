// What the parser says about a request: plain numbers, no pointers, in the caller's storage.

/// How the end of a request's body is found (RFC 9112 6.3).
@frozen @usableFromInline package enum BodyFraming: Equatable, Sendable {
    case none
    /// This many bytes, at most `Int64.max`. 0 when the client says so.
    case length(UInt64)
    case chunked
}

/// The head of one request. Offsets count from the first byte that was given to the parser, so they stay true when the
/// bytes are moved as a whole.
@frozen @usableFromInline package struct RequestHead: Equatable, Sendable {
    @usableFromInline package var method: HTTPMethod = .get
    /// Empty lines before the request line are skipped, so this is not always 0.
    @usableFromInline package var methodOffset = 0
    @usableFromInline package var methodLength = 0
    /// 0 or 1. A higher minor version is handled as 1 (RFC 9110 2.5).
    @usableFromInline package var minorVersion: UInt8 = 1

    @usableFromInline package var targetForm: TargetForm = .origin
    @usableFromInline package var targetOffset = 0
    @usableFromInline package var targetLength = 0
    @usableFromInline package var pathOffset = 0
    /// 0 for authority-form, and for an absolute-form without a path, which means "/".
    @usableFromInline package var pathLength = 0
    @usableFromInline package var queryOffset = 0
    /// -1 when the target has no "?".
    @usableFromInline package var queryLength = -1
    /// The effective host and port: the target's if it has one, else those of the Host field (RFC 9112 3.3).
    @usableFromInline package var authorityOffset = 0
    /// 0 when there is none, which only an HTTP/1.0 request may leave out.
    @usableFromInline package var authorityLength = 0

    /// How many slots of the caller's field storage are filled.
    @usableFromInline package var fieldCount = 0
    /// Bytes of the head, empty lines in front and the empty line at the end included: the body starts here. On HTTP/2 the length of the decoded text.
    @usableFromInline package var headLength = 0

    @usableFromInline package var framing: BodyFraming = .none
    /// Whether the client wants the connection to stay (RFC 9112 9.3).
    @usableFromInline package var keepAlive = true
    /// Whether the client waits for "100 Continue" before it sends the body. Never true without a body or in HTTP/1.0.
    @usableFromInline package var expectContinue = false
    /// Upgrade is present and Connection lists it; never true in HTTP/1.0 (RFC 9110 7.8).
    @usableFromInline package var upgrade = false

    /// What an extended CONNECT asks for, the value of `:protocol` (RFC 8441 4), such as `websocket`. HTTP/2 only.
    @usableFromInline package var connectProtocolOffset: UInt32 = 0
    /// 0 when the request is none.
    @usableFromInline package var connectProtocolLength: UInt32 = 0

    @inlinable package init() {}
}
