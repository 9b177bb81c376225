// RequestBodyStream: the body of a request as an async handler reads it, piece by piece. The pieces come from the loop (Loop+Bodies), and all of this lives on
// its thread.

internal import UringBase

/// The body of a request, read piece by piece by an async handler.
///
///     router.post("/upload", streamingBody: true) { request, response in
///         var bytes = 0
///         for try await piece in request.bodyStream { bytes += piece.count }
///         response.write("\(bytes) bytes\n")
///     }
///
/// The client is held back while the handler is behind: 128 KiB wait in memory for it at most, beside what the socket's buffers had already given when that was seen (on HTTP/2 one window of the stream). A piece has
/// 192 KiB at most. On a route that does not stream the body is there already, and comes as one piece.
///
/// One task reads at a time, and each piece is handed out once: a second iteration goes on where the first has stopped. Reading throws `CancellationError` when the client is gone
/// or the handler's time is up, and after the handler has returned.
public struct RequestBodyStream: AsyncSequence, Sendable {
    /// A piece of the body.
    public typealias Element = [UInt8]

    let source: AsyncBodySource
    /// Of a response's body: who ends the exchange when nobody can read it any more.
    var keeper: ClientBodyKeeper?

    /// Goes on where an iteration before it has stopped.
    public func makeAsyncIterator() -> Iterator { Iterator(source: source, keeper: keeper) }

    /// Reads the pieces.
    public struct Iterator: AsyncIteratorProtocol {
        let source: AsyncBodySource
        let keeper: ClientBodyKeeper?
        /// The next piece, never empty; nil behind the last.
        public mutating func next() async throws -> [UInt8]? { try await source.next() }
        /// The same for whoever runs on an actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? { try await source.next() }
    }

    /// The next piece, never empty; nil behind the last.
    public nonisolated(nonsending) func next() async throws -> [UInt8]? { try await source.next() }

    /// The whole rest of the body.
    /// - Parameter max: more than this many bytes throw an `HTTPError` that answers 413, and are not kept.
    public func collect(upTo max: Int) async throws -> [UInt8] {
        var whole: [UInt8] = []
        while let piece = try await source.next() {
            guard piece.count <= max - whole.count else { throw HTTPError(.contentTooLarge, "the body has more than \(max) bytes") }
            if whole.isEmpty { whole = piece } else { whole += piece }
        }
        return whole
    }

    /// The fields behind the body (RFC 9110 section 6.5), in order; empty until `next` has answered nil.
    public func trailers() async throws -> [(name: String, value: String)] { try await source.trailers() }
}

extension Request {
    /// The body, piece by piece. For async handlers; elsewhere it throws an error that says so.
    public var bodyStream: RequestBodyStream {
        get throws {
            guard let worker = unsafe context.pointee.worker?.takeUnretainedValue() else { throw AsyncUseError.notInAsyncHandler("Request.bodyStream") }
            if let source = worker.body { return RequestBodyStream(source: source) }
            guard try worker.executor.isHere() else { throw AsyncUseError.notOnItsLoop("Request.bodyStream") }
            let source = AsyncBodySource(worker.executor)
            // A route that streams has one already.
            if unsafe context.pointee.bodyCount > 0 { unsafe source.append(UnsafeBufferPointer(start: context.pointee.body, count: context.pointee.bodyCount)) }
            source.end(trailers)
            if worker.phase == .cancelled { source.cancel() }
            worker.body = source
            return RequestBodyStream(source: source)
        }
    }
}

/// Something of the async interface was used where there is no async handler.
public struct AsyncUseError: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description: String
    static func notInAsyncHandler(_ what: String) -> AsyncUseError {
        AsyncUseError(description: "\(what) belongs to async handlers: Server(listen:async:), Response.run, or a route with an async handler")
    }
    static func notOnItsLoop(_ what: String) -> AsyncUseError {
        AsyncUseError(description: "\(what) was called on another thread than the handler's loop: by code of an actor")
    }
}

/// What the loop has of a body and its handler has not taken.
@safe
final class AsyncBodySource: @unchecked Sendable {
    /// From here on the client is held back.
    private static let heldMax = 64 * 1024
    /// The same while somebody waits, who takes it all before this turn is over.
    private static let awaitedMax = 2 * heldMax

    private let executor: LoopExecutor
    /// One run of bytes, however small the pieces are that a client sends: the bound holds for the memory, too.
    private var held: [UInt8] = []
    private var fields: [(name: String, value: String)] = []
    private var hasEnded = false
    private var wasRead = false
    /// Why nothing more will come, although it was not all.
    private var failure: (any Error)?
    /// Who waits, and its number: a cancellation that comes late is not the next reader's.
    private var reader: (continuation: UnsafeContinuation<[UInt8]?, any Error>, number: UInt64)?
    private var readers: UInt64 = 0
    /// The client is held back.
    private var isPaused = false
    /// A receiver that is called by a task wants nothing for now (`BodyStep.pause`).
    private var resting: UnsafeContinuation<Void, Never>?
    /// Where to go on reading: the connection, on HTTP/2 the stream. Stale ones do nothing.
    var connection: Handle?
    /// Where to go on reading, for bodies of responses.
    var onResume: (() -> Void)?

    init(_ executor: LoopExecutor) { self.executor = executor }

    // MARK: the loop's side

    /// Takes a piece. True when the client is to be held back until `AsyncOutcome.body` of this source comes.
    func take(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool, _ trailers: RequestHeaders) -> Bool {
        if count > 0 { unsafe append(UnsafeBufferPointer(start: bytes, count: count)) }
        if isLast { end(trailers) }
        isPaused = !isLast && isFull
        return isPaused
    }

    /// The same for a part that is not the last.
    func takePart(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        unsafe append(UnsafeBufferPointer(start: bytes, count: count))
        isPaused = isFull
        return isPaused
    }

    private var isFull: Bool { unsafe held.count >= (reader == nil ? Self.heldMax : Self.awaitedMax) }

    /// The fields behind a body whose end has not been delivered.
    func keep(_ trailers: RequestHeaders) { fields = Array(trailers) }

    fileprivate func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        // Once for all that a turn brings: a reader costs more than the bytes of one receive.
        if held.isEmpty, unsafe reader != nil { executor.noteReadable(self) }
        unsafe held.append(contentsOf: bytes)
    }

    /// Who waits takes what has come. Told by the executor that `append` has told.
    func wakeReader() {
        guard !held.isEmpty, let continuation = unsafe takeReader() else { return }
        unsafe continuation.resume(returning: takePiece())
    }

    func end(_ trailers: RequestHeaders) {
        hasEnded = true
        if trailers.count > 0 { keep(trailers) }
        if held.isEmpty { unsafe takeReader()?.resume(returning: nil) }
    }

    /// Nothing more will come: the client has gone, or nobody waits for the handler, or it has returned.
    func cancel() {
        held = []
        failure = CancellationError()
        unsafe takeReader()?.resume(throwing: CancellationError())
        endRest()
    }

    /// `ExchangeHandle.resume` was called, or there is nothing to wait for any more.
    func endRest() {
        guard let continuation = unsafe resting else { return }
        unsafe resting = nil
        unsafe continuation.resume()
    }

    /// Nothing more will come. What is there can still be read.
    func fail(_ error: any Error) {
        guard !hasEnded, failure == nil else { return }
        failure = error
        if held.isEmpty { unsafe takeReader()?.resume(throwing: error) }
    }

    private func cancelReader(_ number: UInt64) {
        guard let waiting = unsafe reader, unsafe waiting.number == number else { return }
        unsafe takeReader()?.resume(throwing: CancellationError())
    }

    /// Whoever takes it resumes it, once.
    private func takeReader() -> UnsafeContinuation<[UInt8]?, any Error>? {
        guard let waiting = unsafe reader else { return nil }
        unsafe reader = nil
        return unsafe waiting.continuation
    }

    // MARK: the handler's side

    nonisolated(nonsending) func next() async throws -> [UInt8]? {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { @concurrent in try await self.next() } }
        if !held.isEmpty { return takePiece() }
        if let failure { throw failure }
        if Task.isCancelled { throw CancellationError() }
        if hasEnded { return nil }
        guard unsafe reader == nil else { throw AsyncUseError(description: "two tasks read one request body at the same time") }
        readers &+= 1
        let number = readers
        // Nothing has run on the loop since the looks above.
        return try await withTaskCancellationHandler {
            try unsafe await withUnsafeThrowingContinuation { unsafe reader = unsafe ($0, number) }
        } onCancel: {
            executor.run { self.cancelReader(number) }
        }
    }

    /// Waits for `endRest`. What comes meanwhile is held, and then the client held back.
    func waitForResume() async throws {
        if failure != nil { throw CancellationError() }
        // Resumed once: whoever does takes it. A handler that is cancelled has its body cancelled.
        unsafe await withUnsafeContinuation { unsafe resting = $0 }
        if failure is CancellationError { throw CancellationError() }
    }

    /// Somebody else goes on in the handler's place, and gets what has come.
    /// - Returns: nil when the handler has taken some of it: then it is not whole any more.
    func handOver() -> (bytes: [UInt8], hasEnded: Bool, fields: [(name: String, value: String)])? {
        guard !wasRead, failure == nil else { return nil }
        defer { held = [] }
        return (held, hasEnded, fields)
    }

    private func takePiece() -> [UInt8] {
        wasRead = true
        let piece = held
        held = []
        if isPaused {
            isPaused = false
            executor.note(.body(self))
        }
        return piece
    }

    func trailers() async throws -> [(name: String, value: String)] {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.trailers() } }
        return hasEnded && held.isEmpty ? fields : []
    }
}

extension Array where Element == (name: String, value: String) {
    init(_ headers: RequestHeaders) {
        self = []
        for index in 0..<headers.count { append((String(headers.name(at: index)), String(headers.value(at: index)))) }
    }
}
