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
/// The client is held back while the handler is behind: 64 KiB and what one read from the socket brought wait in memory at most. On a route that does not stream the body is
/// there already, and comes as one piece.
///
/// One task reads at a time, and each piece is handed out once: a second iteration goes on where the first has stopped. Reading throws `CancellationError` when the client is gone
/// or the handler's time is up, and after the handler has returned.
public struct RequestBodyStream: AsyncSequence, Sendable {
    public typealias Element = [UInt8]

    let source: AsyncBodySource

    public func makeAsyncIterator() -> Iterator { Iterator(source: source) }

    public struct Iterator: AsyncIteratorProtocol {
        let source: AsyncBodySource
        /// The next piece, never empty; nil behind the last.
        public mutating func next() async throws -> [UInt8]? { try await source.next() }
    }

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
            let source = AsyncBodySource(worker.executor)
            if unsafe context.pointee.bodyCount > 0 {
                source.append(unsafe Array(UnsafeBufferPointer(start: context.pointee.body, count: context.pointee.bodyCount)))
            }
            source.end(Array(trailers))
            worker.body = source
            return RequestBodyStream(source: source)
        }
    }
}

/// Something of the async interface was used where there is no async handler.
public struct AsyncUseError: Error, CustomStringConvertible, Sendable {
    public let description: String
    static func notInAsyncHandler(_ what: String) -> AsyncUseError {
        AsyncUseError(description: "\(what) belongs to async handlers: Server(listen:async:), Response.run, or a route with an async handler")
    }
}

/// What the loop has of a body and its handler has not taken.
@safe
final class AsyncBodySource: @unchecked Sendable {
    /// From here on the client is held back.
    private static let heldMax = 64 * 1024

    private let executor: LoopExecutor
    private var pieces: [[UInt8]] = []
    /// Index of the first piece that was not taken.
    private var first = 0
    private var held = 0
    private var fields: [(name: String, value: String)] = []
    private var hasEnded = false
    private var isCancelled = false
    private var reader: UnsafeContinuation<[UInt8]?, any Error>?
    /// The client is held back.
    private var isPaused = false
    /// Where to go on reading: the connection, on HTTP/2 the stream. Stale ones do nothing.
    var connection: Handle?

    init(_ executor: LoopExecutor) { self.executor = executor }

    // MARK: the loop's side

    /// Takes a piece. True when the client is to be held back until `AsyncOutcome.body` of this source comes.
    func take(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool, _ trailers: RequestHeaders) -> Bool {
        if count > 0 { append(unsafe Array(UnsafeBufferPointer(start: bytes, count: count))) }
        if isLast { end(Array(trailers)) }
        isPaused = !isLast && held >= Self.heldMax
        return isPaused
    }

    fileprivate func append(_ piece: [UInt8]) {
        if let reader = unsafe reader {
            unsafe self.reader = nil
            return unsafe reader.resume(returning: piece)
        }
        pieces.append(piece)
        held += piece.count
    }

    fileprivate func end(_ trailers: [(name: String, value: String)]) {
        (hasEnded, fields) = (true, trailers)
        // Taken once: nil here and now, so it is resumed once.
        if let reader = unsafe reader {
            unsafe self.reader = nil
            unsafe reader.resume(returning: nil)
        }
    }

    /// Nothing more will come: the client has gone, or nobody waits for the handler.
    func cancel() {
        isCancelled = true
        (pieces, first, held) = ([], 0, 0)
        cancelReader()
    }

    private func cancelReader() {
        guard let reader = unsafe reader else { return }
        unsafe self.reader = nil
        unsafe reader.resume(throwing: CancellationError())
    }

    // MARK: the handler's side

    func next() async throws -> [UInt8]? {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.next() } }
        if first < pieces.count { return takePiece() }
        if Task.isCancelled { throw CancellationError() }
        return try await withTaskCancellationHandler {
            // Resumed once: here, or by whoever takes it out of `reader`.
            try unsafe await withUnsafeThrowingContinuation { unsafe answer($0) }
        } onCancel: {
            executor.run { self.cancelReader() }
        }
    }

    /// Answers a reader, now or when there is something.
    private func answer(_ reader: UnsafeContinuation<[UInt8]?, any Error>) {
        if first < pieces.count {
            unsafe reader.resume(returning: takePiece())
        } else if isCancelled {
            unsafe reader.resume(throwing: CancellationError())
        } else if hasEnded {
            unsafe reader.resume(returning: nil)
        } else if unsafe self.reader != nil {
            unsafe reader.resume(throwing: AsyncUseError(description: "two tasks read one request body at the same time"))
        } else {
            unsafe self.reader = unsafe reader
        }
    }

    private func takePiece() -> [UInt8] {
        let piece = pieces[first]
        first += 1
        held -= piece.count
        if first == pieces.count {
            pieces.removeAll(keepingCapacity: true)
            first = 0
        } else {
            pieces[first - 1] = []
        }
        if isPaused, held < Self.heldMax / 2 {
            isPaused = false
            executor.note(.body(self))
        }
        return piece
    }

    func trailers() async throws -> [(name: String, value: String)] {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.trailers() } }
        return first == pieces.count ? fields : []
    }
}

extension Array where Element == (name: String, value: String) {
    fileprivate init(_ headers: RequestHeaders) {
        self = []
        for index in 0..<headers.count { append((String(headers.name(at: index)), String(headers.value(at: index)))) }
    }
}
