// HTTPClient: requests of async handlers to other servers, on the loop's own ring. Any thread may hold one; what it does is done on the loop that asks.

internal import Glibc
internal import Synchronization
public import UringHTTP
internal import UringHTTP1
internal import UringRing

/// Requests to other servers, from tasks of the server's loops.
///
///     let client = HTTPClient()
///     router.get("/price") { request, response in
///         let answer = try await client.get("http://127.0.0.1:9000/price")
///         response.write(try await answer.collect(upTo: 10_000))
///     }
///
/// Connections are the loop's own: kept alive, shared by everything that the loop asks of the same server with this client, never by two loops. No other thread is involved.
/// A request that finds its kept connection closed by the server is sent once more, if nothing of it can have been acted upon (RFC 9110 section 9.2.2).
public final class HTTPClient: Sendable {
    /// As given.
    public let options: HTTPClientOptions
    /// No other client of the process has it.
    private let number: UInt64
    private static let clients = Atomic<UInt64>(0)

    /// A client without connections yet.
    public init(options: HTTPClientOptions = HTTPClientOptions()) {
        self.options = options
        number = Self.nextNumber()
    }

    /// No other client of the process has it.
    static func nextNumber() -> UInt64 { clients.add(1, ordering: .relaxed).newValue }

    /// Sends a GET request; see `send(_:on:)`.
    /// - Parameters:
    ///   - url: `http://host[:port]/path?query`, or `https://`.
    ///   - headers: fields beside the client's own.
    public func get(_ url: String, headers: [(String, String)] = []) async throws -> HTTPClientResponse {
        try await send(HTTPClientRequest(.get, url, headers: headers))
    }

    /// Sends a POST request with a body of known length; see `send(_:on:)`.
    /// - Parameters:
    ///   - url: `http://host[:port]/path?query`, or `https://`.
    ///   - headers: fields beside the client's own; `Content-Type` is not guessed.
    ///   - body: the content, whole.
    public func post(_ url: String, headers: [(String, String)] = [], body: [UInt8]) async throws -> HTTPClientResponse {
        try await send(HTTPClientRequest(.post, url, headers: headers, body: .bytes(body)))
    }

    /// Sends a request and waits for the head of its response.
    /// - Parameters:
    ///   - request: what is sent.
    ///   - loop: whose connections are used; nil: the loop that the caller runs on.
    /// - Throws: `HTTPClientError`; `CancellationError`; `AsyncUseError` outside of the server's loops.
    public func send(_ request: HTTPClientRequest, on loop: ServerLoop? = nil) async throws -> HTTPClientResponse {
        guard let executor = loop?.executor ?? LoopExecutor.current else {
            throw AsyncUseError(description: "HTTPClient.send belongs to tasks of the server's loops: say on which one (on:)")
        }
        guard try executor.isHere() else {
            return try await withTaskExecutorPreference(executor) { try await self.send(request, on: ServerLoop(executor: executor)) }
        }
        let prepared = try PreparedRequest(request)
        let pool = try pool(prepared.url.scheme, prepared.url.host, prepared.url.port, on: executor)
        var repeats = 0
        while true {
            try Task.checkCancellation()
            let connection = try await pool.acquire()
            let exchange = ClientExchange(executor, prepared)
            // It has gone between being handed out and now: nothing was sent.
            guard try exchange.start(on: connection) else { continue }
            do {
                return try await exchange.response()
            } catch let failure as ClientExchangeFailure {
                // What a server has not looked at (HTTP/2) is asked again more often than what may have been acted on.
                guard repeats < (failure.progress == .nothingSent ? Self.repeatsMax : 1),
                    failure.mayRepeat(isIdempotent: request.method.isIdempotent, canRepeatBody: prepared.canRepeatBody)
                else { throw HTTPClientError(failure) }
                repeats += 1
            }
        }
    }

    /// How often a request is sent again that a server has refused unseen.
    private static let repeatsMax = 3
}

extension HTTPClient {
    /// A loop's connections to a server, for those who ask by callbacks. On the loop's thread.
    /// - Parameter host: a name or address, which TLS verifies.
    /// - Throws: `CancellationError` when the loop is over.
    func pool(_ scheme: HTTPURL.Scheme, _ host: String, _ port: UInt16, on executor: LoopExecutor) throws -> ClientPool {
        try executor.makeClients().pool(ClientPool.Key(client: number, scheme: scheme, host: host, port: port), options)
    }
}

/// What an `HTTPClient` is to send.
public struct HTTPClientRequest: Sendable {
    /// What follows the head.
    public enum Body: Sendable {
        /// Nothing. POST, PUT and PATCH announce a length of 0.
        case none
        /// These bytes, with their length.
        case bytes([UInt8])
        /// In pieces, as they come, while the server takes them; length: when known, else chunked coding. A stream can be sent once: such a request is never repeated.
        case stream(length: UInt64?, AsyncThrowingStream<[UInt8], any Error>)
    }

    /// Any but `.other`.
    public var method: HTTPMethod
    /// `http://host[:port]/path?query`, or `https://`.
    public var url: String
    /// `Host`, the framing and `Connection` are the client's own.
    public var headers: [(String, String)]
    /// Default: none.
    public var body: Body

    /// A request; what is wrong with it is found when it is sent.
    public init(_ method: HTTPMethod, _ url: String, headers: [(String, String)] = [], body: Body = .none) {
        (self.method, self.url, self.headers, self.body) = (method, url, headers, body)
    }
}
