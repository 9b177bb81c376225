// ResponseStream: content that an async handler writes while it is being sent. The loop takes what was written by a producer (Loop+Responses); all of this lives
// on its thread.

internal import UringBase
internal import UringHTTP

/// The content of a response under way, written by an async handler piece by piece.
///
///     router.get("/events") { request, response in
///         response.headers["content-type"] = "text/event-stream"
///         let stream = try response.startStream()
///         for number in 1...10 {
///             try await stream.write("data: \(number)\n\n")
///             try await request.loop.sleep(for: .seconds(1))
///         }
///     }
///
/// What is written leaves at the end of the loop's turn, at the latest when the handler next waits; there is nothing to flush. `write` waits while the client is behind: 64 KiB
/// and one piece are held at most, beside what the connection has queued. The content ends when the handler returns; a handler that throws cuts the connection (on HTTP/2 resets
/// the stream), for only that can tell a client that the content is not whole.
///
/// Where there is no content to send (HEAD, 204, 304) the handler is cancelled as soon as the head has left. Writing throws `CancellationError` when the client is
/// gone or nobody waits for the handler any more. Several tasks may write; pieces of up to 64 KiB stay whole.
public struct ResponseStream: Sendable {
    let source: AsyncStreamSource

    /// Sends bytes.
    public func write(_ bytes: [UInt8]) async throws {
        try await source.write(bytes)
    }
    /// Sends the text's UTF-8.
    public func write(_ text: String) async throws { try await source.write(text) }

    /// Adds a field behind the content (RFC 9110 section 6.5). Sent with chunked coding and on HTTP/2; not to HTTP/1.0 clients, nor where a length was announced.
    /// - Returns: false, and nothing is sent, when the name is no token or belongs to the framing, or the value contains CR, LF or NUL.
    @discardableResult
    public func addTrailer(_ name: String, _ value: String) async throws -> Bool {
        guard Trailers.mayBeSent(name, value) else { return false }
        try await source.addTrailer(name, value)
        return true
    }
}

extension Response {
    /// Sends status and fields as they are set now, and content as it is written from here on. For async handlers; elsewhere it throws an error that says so, as it does when
    /// called twice. What was written to the response before is dropped.
    /// - Parameter length: sent as Content-Length when known, and enforced; chunked coding otherwise (HTTP/1.0: until the close).
    public func startStream(length: UInt64? = nil) throws -> ResponseStream {
        guard let worker = unsafe context.pointee.worker?.takeUnretainedValue() else { throw AsyncUseError.notInAsyncHandler("Response.startStream") }
        guard try worker.executor.isHere() else { throw AsyncUseError.notOnItsLoop("Response.startStream") }
        guard worker.stream == nil else { throw AsyncUseError(description: "Response.startStream was called twice for one response") }
        let source = AsyncStreamSource(worker.executor)
        worker.stream = source
        if worker.phase == .cancelled { source.cancel() }
        unsafe state.pointee.body.count = 0
        stream(length: length) { writer in try source.produce(&writer) }
        worker.executor.note(.begun(worker))
        return ResponseStream(source: source)
    }
}

/// What was written and not taken by the connection.
@safe
final class AsyncStreamSource: @unchecked Sendable {
    private static let heldMax = 64 * 1024

    private let executor: LoopExecutor
    private var held = unsafe GrowingBytes(capacity: 1024)
    private var trailers: [(name: String, value: String)] = []
    private var hasEnded = false
    private var error: (any Error)?
    private var isCancelled = false
    private var writers = unsafe [UnsafeContinuation<Void, Never>]()
    /// The loop has been asked to call the producer.
    private var isNoted = false
    /// The head is on its way: the producer is the exchange's. Set by the loop.
    var hasBegun = false
    /// Whose content it is: the connection, on HTTP/2 the stream. Set when it has begun.
    var connection: Handle?

    init(_ executor: LoopExecutor) { self.executor = executor }
    deinit { unsafe held.destroy() }

    // MARK: the loop's side

    /// The producer of the exchange.
    func produce(_ writer: inout ResponseWriter) throws -> StreamStep {
        isNoted = false
        // Both are buffers of the loop's thread; the writer's is empty, and nothing is copied.
        let buffer = unsafe writer.buffer
        if unsafe held.count > 0 { unsafe swap(&held, &buffer.pointee) }
        resumeWriters()
        if let error { throw error }
        guard hasEnded else { return .wait(milliseconds: .max) }
        for field in trailers { writer.addTrailer(field.name, field.value) }
        return .end
    }

    /// The handler has returned.
    func end(_ error: (any Error)?) {
        (hasEnded, self.error) = (true, error)
        // Writers that have outlived the handler learn of it.
        resumeWriters()
        note()
    }

    /// Whatever is still written goes nowhere, unless it was ended: then it is on its way.
    func handlerReturned() { if !hasEnded { cancel() } }

    func cancel() {
        isCancelled = true
        unsafe held.count = 0
        resumeWriters()
    }

    private func resumeWriters() {
        guard unsafe !writers.isEmpty else { return }
        let waiting = unsafe writers
        unsafe writers.removeAll(keepingCapacity: true)
        // Resumed once: they have left the list.
        for unsafe writer in unsafe waiting { unsafe writer.resume() }
    }

    private func note() {
        guard !isNoted else { return }
        isNoted = true
        executor.note(.written(self))
    }

    // MARK: the handler's side

    /// Waits until there is room.
    private func room() async throws {
        while true {
            if isCancelled || hasEnded || Task.isCancelled { throw CancellationError() }
            if unsafe held.count < Self.heldMax { return }
            await withTaskCancellationHandler {
                // Resumed once, when it has left the list. Nothing has run on the loop since the looks above.
                unsafe await withUnsafeContinuation { unsafe writers.append($0) }
            } onCancel: {
                // All of them look again.
                executor.run { self.resumeWriters() }
            }
        }
    }

    func write(_ bytes: [UInt8]) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.write(bytes) } }
        var start = 0
        repeat {
            try await room()
            let count = min(bytes.count - start, Self.heldMax)
            unsafe bytes.withUnsafeBufferPointer { if count > 0 { unsafe held.append($0.baseAddress! + start, count) } }
            start += count
            note()
        } while start < bytes.count
    }

    func write(_ text: String) async throws {
        guard text.utf8.count <= Self.heldMax else { return try await write(Array(text.utf8)) }
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.write(text) } }
        try await room()
        unsafe held.append(text)
        note()
    }

    func addTrailer(_ name: String, _ value: String) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.addTrailer(name, value) } }
        if isCancelled || hasEnded { throw CancellationError() }
        trailers.append((name, value))
    }
}
