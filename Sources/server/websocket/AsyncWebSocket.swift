// AsyncWebSocket: a WebSocket as an async handler has it: messages as a sequence, `send` that waits for room. Any task may hold one; what it does is done on its loop
// (AsyncWebSocketSource).

/// Called once for each WebSocket, on its connection's loop, before and after every `await`. When it returns the socket closes with 1000, when it throws with 1011.
///
/// The task is cancelled when the connection is lost or a rule was broken, when the server stops, and when the client has said Close to a handler that never reads. What it throws is
/// reported, unless it says no more than that: `WebSocketClosed`, and `CancellationError` of a cancelled task.
public typealias AsyncWebSocketHandler = nonisolated(nonsending) @Sendable (AsyncWebSocket) async throws -> Void

/// An open WebSocket (RFC 6455) in an async handler.
///
///     router.webSocket("/echo") { socket in
///         for try await message in socket.messages { try await socket.send(message) }
///     }
///
/// Memory is bounded both ways: a client whose messages are not read is held back (TCP, on HTTP/2 the stream's window) once `WebSocketOptions.Limits.unreadMessages` or 64 KiB wait, and `send`
/// waits while the client is behind with what it is sent. Several tasks may send, and each message stays whole; one reads at a time. When the handler has returned everything here throws.
public struct AsyncWebSocket: Sendable {
    let source: AsyncWebSocketSource

    /// A message (RFC 6455 section 5.6), owned.
    public enum Message: Sendable, Hashable {
        /// Text, which was sent as UTF-8.
        case text(String)
        /// Any bytes.
        case binary([UInt8])

        /// Text or binary.
        public var kind: WebSocket.Kind {
            switch self {
            case .text: .text
            case .binary: .binary
            }
        }
        /// How many bytes it has on the wire, uncompressed.
        public var count: Int {
            switch self {
            case .text(let text): text.utf8.count
            case .binary(let bytes): bytes.count
            }
        }
        /// The content; of text its UTF-8, copied.
        public var bytes: [UInt8] {
            switch self {
            case .text(let text): Array(text.utf8)
            case .binary(let bytes): bytes
            }
        }
    }

    /// The client's messages, in order. Each is handed out once: a second iteration goes on where the first has stopped.
    public var messages: Messages { Messages(source: source) }

    /// The next message, as `messages` would give it; nil behind the last.
    public nonisolated(nonsending) func next() async throws -> Message? { try await source.next() }

    /// Sends text. Waits while the client is behind: until less than 64 KiB are queued.
    /// - Throws: `WebSocketClosed` when somebody has said Close or the connection is lost; `CancellationError` when the task is cancelled.
    public nonisolated(nonsending) func send(_ text: String) async throws { try await source.send(text) }
    /// Sends bytes, as `send` of text. With `.text` they must be UTF-8; nobody looks.
    public nonisolated(nonsending) func send(_ bytes: [UInt8], as kind: WebSocket.Kind = .binary) async throws { try await source.send(bytes, kind) }
    /// Sends a message, as `send` of text.
    public nonisolated(nonsending) func send(_ message: Message) async throws {
        switch message {
        case .text(let text): try await source.send(text)
        case .binary(let bytes): try await source.send(bytes, .binary)
        }
    }

    /// Asks the client to answer; without effect while it has not answered the last time. It need not be asked for keeping the connection: `WebSocketOptions.pingInterval` does.
    /// A client that does not answer within `pingTimeout` is taken for gone.
    public func ping() async throws { try await source.ping() }

    /// Says Close, and does not wait for the answer: what the client has sent before it knew still comes from `messages`, which then ends. Does nothing when it was said before.
    /// - Parameters:
    ///   - code: one that may be sent (RFC 6455 section 7.4); others count as `.internalError`.
    ///   - reason: 123 bytes of it are sent at most.
    public func close(_ code: WebSocket.CloseCode = .normal, reason: String = "") async { await source.close(code, reason) }

    /// The subprotocol that was agreed upon; nil when there is none.
    public var chosenProtocol: String? { source.chosenProtocol }
    /// Names this socket for the rest of the program. What it sends does not wait: a slow client is dealt with as `WebSocketOptions.Limits.slowClients` says.
    public var handle: WebSocketHandle { source.handle }
    /// The loop that serves this socket.
    public var loop: ServerLoop { ServerLoop(executor: source.executor) }

    /// The messages of a client: ends when it has closed with 1000, 1001 (the page was left) or without a code, or has answered a Close of the handler.
    ///
    /// Otherwise it throws `WebSocketClosed` with the code: that of the client, or that of the rule that was broken, 1006 when the connection was lost, 1001 when the server stops. Messages that had
    /// come whole before come first. A task that is cancelled by its own program gets `CancellationError`.
    public struct Messages: AsyncSequence, Sendable {
        /// A message.
        public typealias Element = Message
        let source: AsyncWebSocketSource

        /// Goes on where an iteration before it has stopped.
        public func makeAsyncIterator() -> Iterator { Iterator(source: source) }

        /// Reads the messages.
        public struct Iterator: AsyncIteratorProtocol {
            let source: AsyncWebSocketSource
            /// The next message; nil behind the last.
            public mutating func next() async throws -> Message? { try await source.next() }
            /// The same for whoever runs on an actor.
            public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Message? { try await source.next() }
        }
    }
}

/// A WebSocket that has ended, as an async handler learns of it.
public struct WebSocketClosed: Error, CustomStringConvertible, Sendable, Hashable {
    /// The status code; see `CloseCode.noStatus` and `.abnormal` for those that nobody has sent.
    public let code: WebSocket.CloseCode
    /// What the client gave with its code; mostly empty.
    public let reason: String
    /// Both sides have said Close. False: a rule was broken, the connection was lost, or the client has not answered yet.
    public let isClean: Bool
    /// The sentence.
    public var description: String {
        "the WebSocket is closed: \(code.rawValue)\(reason.isEmpty ? "" : " (\(reason))")\(isClean ? "" : ", without the client's word")"
    }
}
