// WebSocket: what a handler sees of an open WebSocket, and what it is told. A view for one call, on the loop's thread.

/// Called with every event of one WebSocket, on its connection's loop: it must not wait. What it throws closes the socket (1011) and is reported.
///
/// A handler belongs to one socket: what it captures is that socket's state, and is given back when the socket has closed.
public typealias WebSocketHandler = (WebSocket, WebSocket.Event) throws -> Void

/// An open WebSocket (RFC 6455), during a call of its handler. Keeping it past the call does not compile; `handle` can be kept, and used from
/// any thread.
@safe
public struct WebSocket: ~Escapable {
    // The loop holds the session during the handler's call, which bounds this view.
    let session: Unmanaged<WebSocketSession>
    let link: TunnelLink

    @_lifetime(immortal)
    init(_ session: WebSocketSession, _ link: TunnelLink) {
        unsafe self.session = .passUnretained(session)
        self.link = link
    }

    /// What happens to a WebSocket.
    public enum Event: ~Escapable {
        /// The handshake is answered; first of all events.
        case opened
        /// A whole message has arrived.
        case message(Message)
        /// After a `send` that was refused: there is room again.
        case writable
        /// The end; last of all events, exactly once. Nothing can be sent.
        case closed(Close)
    }

    /// What a message is (RFC 6455 section 5.6).
    public enum Kind: UInt8, Sendable {
        /// UTF-8.
        case text = 1
        /// Any bytes.
        case binary = 2
    }

    /// A message of the client. Valid during the call it is passed to.
    public struct Message: ~Escapable {
        /// Text or binary.
        public let kind: Kind
        /// The content, where it arrived. Of text it is known to be UTF-8.
        public let bytes: ByteView

        @_lifetime(copy bytes)
        init(_ kind: Kind, _ bytes: ByteView) { (self.kind, self.bytes) = (kind, bytes) }

        /// A copy of the content as text.
        public var text: String { String(bytes) }
    }

    /// Why a WebSocket has ended.
    public struct Close: ~Escapable {
        /// The status code; see `CloseCode.noStatus` and `.abnormal` for those that nobody has sent.
        public let code: CloseCode
        /// UTF-8 that the client gave with its code; mostly empty.
        public let reason: ByteView
        /// Both sides have said Close. False: a rule was broken, or the connection was lost.
        public let isClean: Bool

        @_lifetime(copy reason)
        init(_ code: CloseCode, _ reason: ByteView, isClean: Bool) { (self.code, self.reason, self.isClean) = (code, reason, isClean) }
    }

    /// A status code (RFC 6455 section 7.4). 3000 to 3999 belong to libraries, 4000 to 4999 to applications.
    public struct CloseCode: RawRepresentable, Hashable, Sendable {
        /// As on the wire.
        public let rawValue: UInt16
        /// A code by its number.
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// 1000: the purpose is fulfilled.
        public static let normal = CloseCode(rawValue: 1000)
        /// 1001: the server stops, or the page is left.
        public static let goingAway = CloseCode(rawValue: 1001)
        /// 1002: a rule of the protocol was broken.
        public static let protocolError = CloseCode(rawValue: 1002)
        /// 1003: a kind of message that is not taken.
        public static let unsupportedData = CloseCode(rawValue: 1003)
        /// Never sent: the client's Close had no code.
        public static let noStatus = CloseCode(rawValue: 1005)
        /// Never sent: there was no Close.
        public static let abnormal = CloseCode(rawValue: 1006)
        /// 1007: text that is not UTF-8, or content that makes no sense.
        public static let invalidData = CloseCode(rawValue: 1007)
        /// 1008: not allowed, or too much.
        public static let policyViolation = CloseCode(rawValue: 1008)
        /// 1009: a message beyond a limit.
        public static let messageTooBig = CloseCode(rawValue: 1009)
        /// 1011: the server failed.
        public static let internalError = CloseCode(rawValue: 1011)
        /// 1012: connect again.
        public static let serviceRestart = CloseCode(rawValue: 1012)
        /// 1013: too busy.
        public static let tryAgainLater = CloseCode(rawValue: 1013)
    }

    /// What became of a message that was to be sent.
    public enum Sent: Sendable {
        /// It is in the output.
        case queued
        /// The client has more waiting than `WebSocketOptions.Limits.queuedBytes`; the message was dropped.
        case refused
        /// The socket is closing.
        case closed
    }

    /// Whether messages can be sent: nobody has said Close.
    public var isOpen: Bool { unsafe session._withUnsafeGuaranteedRef { $0.isOpen(link) } }

    /// Bytes that wait to be sent.
    public var queuedBytes: Int { Int(clamping: link.pendingBytes) }

    /// The subprotocol that was agreed upon; nil when there is none.
    public var chosenProtocol: String? { unsafe session._withUnsafeGuaranteedRef { $0.chosenProtocol } }

    /// Names this socket for the rest of the program: other threads, other sockets' handlers.
    public var handle: WebSocketHandle { WebSocketHandle(exchange: link.handle) }

    /// Sends text.
    @discardableResult
    public func send(_ text: String) -> Sent {
        // A span borrows the string. SAFETY: readable during this call; its bytes are copied.
        unsafe text.utf8.span.withUnsafeBufferPointer { unsafe send(.text, $0) }
    }

    /// Sends bytes. With `.text` they must be UTF-8; nobody looks.
    @discardableResult
    public func send(_ bytes: Span<UInt8>, as kind: Kind = .binary) -> Sent {
        // SAFETY: readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBufferPointer { unsafe send(kind, $0) }
    }

    /// Sends bytes of a request or message.
    @discardableResult
    public func send(_ bytes: ByteView, as kind: Kind = .binary) -> Sent { send(bytes.span, as: kind) }

    /// Sends bytes. With `.text` they must be UTF-8; nobody looks.
    @discardableResult
    public func send(_ bytes: [UInt8], as kind: Kind = .binary) -> Sent { send(bytes.span, as: kind) }

    /// Sends a message back as it came.
    @discardableResult
    public func send(_ message: Message) -> Sent { send(message.bytes.span, as: message.kind) }

    private func send(_ kind: Kind, _ bytes: UnsafeBufferPointer<UInt8>) -> Sent {
        unsafe session._withUnsafeGuaranteedRef { unsafe $0.send(kind, bytes, link) }
    }

    /// Says Close. What the client has sent before it knew still arrives; then comes `.closed`, at the latest after `closeTimeout`.
    /// - Parameters:
    ///   - code: one that may be sent (section 7.4); others count as `.internalError`.
    ///   - reason: 123 bytes of it are sent at most.
    public func close(_ code: CloseCode = .normal, reason: String = "") {
        unsafe session._withUnsafeGuaranteedRef { $0.close(code, reason, link) }
    }
}
