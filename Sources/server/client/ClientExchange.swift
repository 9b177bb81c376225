// ClientExchange: one request of a task and its response. Joins the task, which waits for the head and reads the body, with the connection. The loop's thread.

internal import UringBase
public import UringHTTP
internal import UringHTTP1

/// The response of another server: its head, and the body as it comes.
///
/// The body must be read to its end, or the response dropped; a connection with a body that nobody reads is closed.
public struct HTTPClientResponse: Sendable {
    /// The final one: interim responses (1xx) are read and left out.
    public let status: HTTPStatus
    /// What the server speaks.
    public let version: HTTPVersion
    /// In the order they came, names as they were sent.
    public let headers: [(name: String, value: String)]
    /// What the server announced; nil when it did not.
    public let contentLength: UInt64?
    /// The body, piece by piece, chunked coding removed. The server is held back while nobody reads.
    public let body: RequestBodyStream

    init(_ head: ClientExchange.Head, _ body: AsyncBodySource, _ keeper: ClientBodyKeeper) {
        (status, version, headers, contentLength) = (head.status, head.version, head.headers, head.contentLength)
        self.body = RequestBodyStream(source: body, keeper: keeper)
    }

    /// The value of the first field of that name, compared without case; nil when there is none.
    public func header(_ name: String) -> String? {
        let wanted = name.lowercased()
        return headers.first { $0.name.lowercased() == wanted }?.value
    }

    /// The whole rest of the body.
    /// - Parameter max: more than this many bytes throw an `HTTPError` that answers 413, and are not kept.
    public func collect(upTo max: Int) async throws -> [UInt8] { try await body.collect(upTo: max) }
}

/// Tells an exchange that nobody can read its body any more.
final class ClientBodyKeeper: Sendable {
    private let exchange: ClientExchange
    init(_ exchange: ClientExchange) { self.exchange = exchange }
    deinit { exchange.abandon() }
}

@safe
final class ClientExchange: ClientConsumer, @unchecked Sendable {
    struct Head {
        let status: HTTPStatus
        let version: HTTPVersion
        let headers: [(name: String, value: String)]
        let contentLength: UInt64?
    }

    private let executor: LoopExecutor
    private let request: PreparedRequest
    private let source: AsyncBodySource
    private var handle: ClientRequestHandle?
    private var head: Result<Head, any Error>?
    private var waiter: UnsafeContinuation<Result<Head, any Error>, Never>?
    private var writer: Task<Void, Never>?
    /// The task that sends the body waits for room.
    private var room: UnsafeContinuation<Void, Never>?
    private var isOver = false

    init(_ executor: LoopExecutor, _ request: PreparedRequest) {
        (self.executor, self.request) = (executor, request)
        source = AsyncBodySource(executor)
        source.onResume = { [weak self] in self?.handle?.resumeBody() }
    }

    // MARK: the task's side

    /// False when the connection is gone: nothing was sent.
    func start(on connection: ClientConnection) throws -> Bool {
        switch request.start(self, on: connection) {
        case .gone: return false
        case .refused(let error): throw error
        case .started(let handle): self.handle = handle
        }
        if let stream = request.stream {
            writer = Task(executorPreference: executor) { [self] in await send(stream) }
        } else if !request.content.isEmpty {
            handle?.sendBody(request.content, isLast: true)
        }
        return true
    }

    func response() async throws -> HTTPClientResponse {
        let result = await withTaskCancellationHandler {
            // Resumed once: here, or by `answer`, which takes it.
            unsafe await withUnsafeContinuation { waiter in
                if let head { unsafe waiter.resume(returning: head) } else { unsafe self.waiter = unsafe waiter }
            }
        } onCancel: {
            executor.run { [self] in cancel(CancellationError()) }
        }
        return HTTPClientResponse(try result.get(), source, ClientBodyKeeper(self))
    }

    /// Sends the body of the request, as the connection takes it.
    private func send(_ stream: AsyncThrowingStream<[UInt8], any Error>) async {
        do {
            for try await piece in stream {
                if Task.isCancelled || isOver { return }
                if handle?.sendBody(piece) ?? false { continue }
                if Task.isCancelled || isOver { return }
                // Resumed once: by `maySend` or the end, which take it.
                unsafe await withUnsafeContinuation { unsafe room = $0 }
            }
            if !Task.isCancelled, !isOver { handle?.endBody() }
        } catch {
            // Only a cut connection can tell the server that the request is not whole.
            cancel(error)
        }
    }

    private func answer(_ result: Result<Head, any Error>) {
        guard head == nil else { return }
        head = result
        guard let waiter = unsafe waiter else { return }
        unsafe self.waiter = nil
        unsafe waiter.resume(returning: result)
    }

    private func end() {
        isOver = true
        handle = nil
        writer?.cancel()
        writer = nil
        maySend()
    }

    private func cancel(_ error: any Error) {
        guard !isOver else { return }
        let handle = self.handle
        end()
        handle?.cancel()
        answer(.failure(error))
        source.fail(error)
    }

    /// Nobody has the response any more. Any thread.
    func abandon() {
        executor.run { [self] in cancel(CancellationError()) }
    }

    // MARK: the connection's side

    func head(_ head: ClientResponseHead, _ fields: RequestHeaders) {
        answer(.success(Head(status: head.status, version: head.version, headers: Array(fields), contentLength: head.contentLength)))
    }

    func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool { unsafe source.takePart(bytes, count) }

    func ended(_ trailers: RequestHeaders) {
        source.end(trailers)
        end()
    }

    func failed(_ failure: ClientExchangeFailure) {
        end()
        answer(.failure(failure))
        source.fail(HTTPClientError(failure))
    }

    func maySend() {
        guard let room = unsafe room else { return }
        unsafe self.room = nil
        unsafe room.resume()
    }

    func stopSending() {
        writer?.cancel()
        maySend()
    }
}
