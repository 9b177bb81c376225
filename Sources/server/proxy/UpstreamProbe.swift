// UpstreamProbe: one request to a server of an upstream that is not a client's: an active health check, or a question about a client's request. Tells a task what came of it. The loop's thread.

internal import Glibc
package import UringHTTP
internal import UringHTTP1

/// What is asked.
package struct ProbeRequest: Sendable {
    /// GET, HEAD or OPTIONS; POST with content of 0 bytes.
    package var method: HTTPMethod
    /// Path and query.
    package var target: [UInt8]
    /// What stands in Host.
    package var authority: [UInt8]
    package var fields: [(name: String, value: String)]
    /// Behind these, as bytes that came of a client's request. One that cannot be sent fails the request.
    package var lines: [(name: [UInt8], value: [UInt8])] = []

    package init(_ method: HTTPMethod, target: [UInt8], authority: [UInt8], fields: [(name: String, value: String)] = []) {
        (self.method, self.target, self.authority, self.fields) = (method, target, authority, fields)
    }
}

/// The response to it, as far as somebody wants it.
package struct ProbeResponse: Sendable {
    package let status: HTTPStatus
    package fileprivate(set) var fields: [(name: [UInt8], value: [UInt8])] = []
    package fileprivate(set) var content: [UInt8] = []
    /// The content was longer, and nothing of it is kept.
    package fileprivate(set) var isTooLong = false
}

/// Asks a server again and again, one request at a time. Its loop's thread alone touches it.
@safe
package final class UpstreamProbe: ClientConsumer, ClientWaiter, @unchecked Sendable {
    package typealias Answer = Result<HTTPStatus, HTTPClientError>

    private let loop: ServerLoop
    private let pool: ClientPool
    private let request: ProbeRequest
    private var continuation: UnsafeContinuation<Answer, Never>?
    private var handle: ClientRequestHandle?
    private var ticket: UInt64 = 0
    /// Bytes of the content that are kept, and fields; nil: neither.
    private let contentBytesMax: Int?
    /// To the last request, when it was answered.
    package private(set) var response: ProbeResponse?
    /// The kept connection had been closed by the server, and another is tried.
    private var wasStale = false
    /// Which request it is: a timer that comes late belongs to an earlier one.
    private var number = 0

    /// - Parameters:
    ///   - pool: of the same loop. A probe that is to `retire` has its own.
    ///   - contentBytesMax: so much of the response's content is kept in `response`, with its fields; nil: its status alone.
    package init(_ request: ProbeRequest, _ pool: UpstreamPool, on loop: ServerLoop, contentBytesMax: Int? = nil) {
        (self.request, self.pool, self.loop, self.contentBytesMax) = (request, pool.pool, loop, contentBytesMax)
    }

    /// Sends the request and waits for the whole response, until the task is cancelled. By a task of the loop; once that is over, never again.
    package func ask(timeout: Duration) async -> Answer {
        number += 1
        (response, wasStale) = (nil, false)
        let asked = number
        let timer = Task(executorPreference: loop.taskExecutor) { [self] in
            // Cancelled: answered in time, or the loop is over, which ends the exchange by itself.
            guard (try? await loop.sleep(for: timeout)) != nil, asked == number else { return }
            end(HTTPClientError(.timeout, "no complete answer within \(timeout)", wasNotSent: false))
        }
        let result = await withTaskCancellationHandler {
            // Resumed once: by `answer`, which takes it.
            unsafe await withUnsafeContinuation { continuation in
                unsafe self.continuation = unsafe continuation
                join()
            }
        } onCancel: {
            loop.executor.run { [self] in if asked == number { end(HTTPClientError(.closed, "nobody wants the answer any more")) } }
        }
        timer.cancel()
        return result
    }

    private func join() {
        ticket = 0
        let ticket = pool.acquire(self)
        if handle == nil, unsafe continuation != nil { self.ticket = ticket }
    }

    private func end(_ error: HTTPClientError) {
        if ticket != 0 { pool.cancel(ticket) }
        handle?.cancel()
        answer(.failure(error))
    }

    private func answer(_ answer: Answer) {
        (handle, ticket) = (nil, 0)
        guard let continuation = unsafe continuation else { return }
        unsafe self.continuation = nil
        unsafe continuation.resume(returning: answer)
    }

    /// No more requests: the connection goes.
    package func retire() { pool.retireAll() }

    // MARK: ClientWaiter

    package func granted(_ connection: ClientConnection) {
        ticket = 0
        guard unsafe continuation != nil, let name = unsafe RequestEncoder.name(of: request.method) else { return connection.giveBack() }
        // SAFETY: the request's texts are its own arrays, readable during the call.
        let started = unsafe request.target.withUnsafeBufferPointer { target in
            unsafe request.authority.withUnsafeBufferPointer { authority in
                let head = unsafe ClientRequestHead(method: name, target: target, authority: authority, body: request.method == .post ? .length(0) : .none)
                return unsafe connection.start(self, head) { writer in
                    for (name, value) in request.fields { writer.add(name, value) }
                    for (name, value) in request.lines {
                        unsafe name.withUnsafeBufferPointer { name in unsafe value.withUnsafeBufferPointer { value in unsafe writer.add(name, value) } }
                    }
                }
            }
        }
        switch started {
        case .started(let handle): self.handle = handle
        case .gone: retry(HTTPClientError(.closed, "the server closed its connections"))
        case .refused(let error): answer(.failure(error))
        }
    }

    package func refused(_ error: HTTPClientError) { answer(.failure(error)) }

    /// Once, for a connection that had been kept: that it is gone says nothing about the server.
    private func retry(_ error: HTTPClientError) {
        guard !wasStale else { return answer(.failure(error)) }
        wasStale = true
        handle = nil
        join()
    }

    // MARK: ClientConsumer

    package func head(_ head: ClientResponseHead, _ fields: RequestHeaders) {
        var response = ProbeResponse(status: head.status)
        if contentBytesMax != nil {
            for index in 0..<fields.count { response.fields.append(([UInt8](fields.name(at: index)), [UInt8](fields.value(at: index)))) }
        }
        self.response = response
    }

    package func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard let contentBytesMax, response?.isTooLong == false else { return false }
        if count > contentBytesMax - (response?.content.count ?? 0) {
            response?.isTooLong = true
            response?.content = []
        } else {
            unsafe response?.content.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
        }
        return false
    }

    package func ended(_ trailers: RequestHeaders) {
        answer((response?.status).map { .success($0) } ?? .failure(HTTPClientError(.malformedResponse, "the response has no head", wasNotSent: false)))
    }

    package func failed(_ failure: ClientExchangeFailure) {
        if failure.mayRepeat(isIdempotent: true, canRepeatBody: true) { retry(HTTPClientError(failure)) } else { answer(.failure(HTTPClientError(failure))) }
    }

    package func maySend() {}
    package func stopSending() {}
}
