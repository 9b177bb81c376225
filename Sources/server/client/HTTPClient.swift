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
        number = Self.clients.add(1, ordering: .relaxed).newValue
    }

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
        let pool = try executor.makeClients().pool(ClientPool.Key(client: number, scheme: prepared.url.scheme, host: prepared.url.host, port: prepared.url.port), options)
        var mayTryAgain = true
        while true {
            try Task.checkCancellation()
            let connection = try await pool.acquire()
            let exchange = ClientExchange(executor, prepared)
            // It has gone between being handed out and now: nothing was sent.
            guard exchange.start(on: connection) else { continue }
            do {
                return try await exchange.response()
            } catch let failure as ClientFailure {
                guard mayTryAgain, failure.isStale, failure.progress.mayRetry(isIdempotent: request.method.isIdempotent, canRepeatBody: prepared.canRepeatBody) else {
                    throw HTTPClientError(failure)
                }
                mayTryAgain = false
            }
        }
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

/// A request as it goes to the wire.
struct PreparedRequest {
    let url: HTTPURL
    let method: HTTPMethod
    let head: [UInt8]
    let content: [UInt8]
    let stream: AsyncThrowingStream<[UInt8], any Error>?
    let isChunked: Bool
    var canRepeatBody: Bool { stream == nil }

    init(_ request: HTTPClientRequest) throws {
        switch HTTPURL.parse(request.url) {
        case .success(let parsed): url = parsed
        case .failure(let error): throw HTTPClientError(.invalidRequest, "the URL \(request.url): \(error)")
        }
        method = request.method
        var length: UInt64?
        var hasBody = true
        switch request.body {
        case .none: (content, stream, hasBody) = ([], nil, false)
        case .bytes(let bytes): (content, stream, length) = (bytes, nil, UInt64(bytes.count))
        case .stream(let known, let pieces): (content, stream, length) = ([], pieces, known)
        }
        let framing = RequestEncoder.framing(method: method, hasBody: hasBody, bodyLength: length)
        isChunked = framing == .chunked
        head = try Self.encode(request, url, framing)
    }

    private static func encode(_ request: HTTPClientRequest, _ url: HTTPURL, _ framing: BodyFraming) throws -> [UInt8] {
        guard let name = unsafe RequestEncoder.name(of: request.method) else { throw HTTPClientError(.invalidRequest, "an extension method needs a name") }
        var (target, authority) = (url.target, url.authority)
        var room = name.count + target.utf8.count + authority.utf8.count + RequestEncoder.headBytesBeside + 2
        for (name, value) in request.headers { room += name.utf8.count + value.utf8.count + 4 }
        var fault: RequestEncodeFault?
        let head = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let out = buffer.baseAddress else { return }
            func take(_ outcome: RequestEncodeOutcome) {
                switch outcome {
                case .written(let bytes): count += bytes
                case .noRoom: preconditionFailure("BUG: a request head is longer than was reckoned")
                case .invalid(let found): fault = fault ?? found
                }
            }
            target.withUTF8 { target in
                authority.withUTF8 { authority in
                    unsafe take(
                        RequestEncoder.encodeHead(
                            into: out, capacity: room, method: name, target: target, authority: authority, framing: framing, expectsContinue: false, connection: []))
                }
            }
            for (name, value) in request.headers where fault == nil {
                var (name, value) = (name, value)
                name.withUTF8 { name in
                    value.withUTF8 { value in unsafe take(RequestEncoder.writeField(name: name, value: value, into: out + count, capacity: room - count)) }
                }
            }
            if fault == nil { unsafe count += ResponseEncoder.endHead(out + count) }
        }
        if let fault { throw HTTPClientError(.invalidRequest, "\(fault.reason)") }
        return head
    }
}

extension ClientFailure {
    /// The kept connection was gone, as far as can be seen: not a server that is slow or sends nonsense, which another attempt would meet again.
    fileprivate var isStale: Bool {
        guard isReused else { return false }
        return switch reason {
        case .closed, .transport: true
        case .truncated, .malformed, .timeout, .unexpectedUpgrade, .tooManyInterimResponses: false
        }
    }
}

extension HTTPClientError {
    init(_ failure: ClientFailure) {
        let wasNotSent = failure.progress == .nothingSent
        switch failure.reason {
        case .closed: self.init(.closed, "the server closed the connection before its response was there", wasNotSent: wasNotSent)
        case .truncated: self.init(.closed, "the server closed the connection within its response", wasNotSent: false)
        case .transport: self.init(.closed, "the connection to the server broke", wasNotSent: wasNotSent)
        case .malformed(let fault): self.init(.malformedResponse, "the server's response: \(fault.reason)", wasNotSent: false)
        case .timeout(let clock): self.init(.timeout, "the server took too long (\(clock))", wasNotSent: wasNotSent)
        case .unexpectedUpgrade: self.init(.malformedResponse, "the server switched protocols without being asked", wasNotSent: false)
        case .tooManyInterimResponses: self.init(.malformedResponse, "too many interim responses", wasNotSent: false)
        }
    }
}
