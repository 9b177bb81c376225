// What those who send requests to servers implement: `ClientWaiter`, who waits for a connection, and `ClientConsumer`, who hears of a response. The same for HTTP/1.1 and
// HTTP/2. All calls come on the loop's thread, within its turn.
//
//   ClientPool.acquire(waiter) ─▶ granted(connection) ─▶ connection.start(consumer, head) ─▶ ClientRequestHandle ─▶ sendBody, endBody, resumeBody, cancel
//                              └▶ refused(error)                                        └─▶ interim* ─▶ head ─▶ body* ─▶ ended, or failed at any time

package import UringHTTP
package import UringHTTP1
package import UringHTTP2

/// Who waits for a connection. Exactly one of its functions is called, once, perhaps within `ClientPool.acquire`; none after `ClientPool.cancel`.
package protocol ClientWaiter: AnyObject {
    /// The connection takes one request of the waiter's: call `start`, now or in this turn, or give it back (`giveBack`).
    func granted(_ connection: ClientConnection)
    func refused(_ error: HTTPClientError)
}

/// The head of a final response.
package struct ClientResponseHead {
    package let status: HTTPStatus
    package let version: HTTPVersion
    /// What the server announced, also where no body follows (HEAD, 304); nil when it did not.
    package let contentLength: UInt64?
    /// The head is all: `ended` comes next.
    package let hasBody: Bool
}

/// Who hears of a response. The last call is `ended`, `failed` or `upgraded`; what the exchange's handle is told afterwards does nothing.
/// Within any of these calls the handle may be used, other requests may be started, and `ClientPool` be asked.
package protocol ClientConsumer: AnyObject {
    /// An interim response: 1xx but 101; 100 too. Views are good for this call.
    func interim(_ status: HTTPStatus, _ fields: RequestHeaders)
    /// The final response's head. Views are good for this call.
    func head(_ head: ClientResponseHead, _ fields: RequestHeaders)
    /// Bytes of its body, good for this call. True: hold the server back, and let none come until `ClientRequestHandle.resumeBody`.
    func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool
    /// The response is complete. Views are good for this call.
    func ended(_ trailers: RequestHeaders)
    func failed(_ failure: ClientExchangeFailure)
    /// The body of the request may be sent: after 100 (Continue), or anew after there was no room.
    func maySend()
    /// The server does not want the rest of the request. The response goes on.
    func stopSending()
    /// The server has switched protocols, as the request asked for (HTTP/1.1: 101, or 2xx to CONNECT). The connection has left its pool. Hand it to whoever goes on with it
    /// in this call (`TunnelLink.handOver`): bytes behind the head come to that tunnel. Otherwise it is closed.
    func upgraded(_ head: ClientResponseHead, _ fields: RequestHeaders, _ link: TunnelLink)
}

extension ClientConsumer {
    package func interim(_ status: HTTPStatus, _ fields: RequestHeaders) {}
    package func upgraded(_ head: ClientResponseHead, _ fields: RequestHeaders, _ link: TunnelLink) {}
}

/// Why an exchange failed, and what that means for another attempt.
package struct ClientExchangeFailure: Error {
    package enum Reason {
        /// The server closed before the response's head was complete.
        case closed
        /// The connection ended within the response.
        case truncated
        /// Reset, I/O error, or an end that TLS did not announce.
        case transport
        /// The response cannot be read.
        case malformed(StaticString)
        case timeout(ClientTimeout)
        case unexpectedUpgrade
        case tooManyInterimResponses
        /// The request's body is not as long as its head said.
        case bodyLength
        /// HTTP/2: the server has ended the stream.
        case reset(HTTP2ErrorCode)
        /// HTTP/2: the connection has failed, by the server's word or ours.
        case connection(HTTP2ErrorCode)
    }

    package let reason: Reason
    package let progress: ClientProgress
    /// It was not the connection's first request.
    package let isReused: Bool

    package init(_ reason: Reason, progress: ClientProgress, isReused: Bool) { (self.reason, self.progress, self.isReused) = (reason, progress, isReused) }

    init(_ failure: ClientFailure) {
        let reason: Reason =
            switch failure.reason {
            case .closed: .closed
            case .truncated: .truncated
            case .transport: .transport
            case .malformed(let fault): .malformed(fault.reason)
            case .timeout(let clock): .timeout(clock)
            case .unexpectedUpgrade: .unexpectedUpgrade
            case .tooManyInterimResponses: .tooManyInterimResponses
            }
        self.init(reason, progress: failure.progress, isReused: failure.isReused)
    }

    /// Whether the request may be sent again at once, on another connection: the server has not acted on it, or the kept connection was gone, as far as can be seen, and it does no
    /// harm to act twice (RFC 9110 section 9.2.2). Not after a server was slow or sent nonsense, which another attempt would meet again.
    package func mayRepeat(isIdempotent: Bool, canRepeatBody: Bool) -> Bool {
        if progress == .nothingSent, canRepeatBody { return true }
        guard isReused, progress.mayRetry(isIdempotent: isIdempotent, canRepeatBody: canRepeatBody) else { return false }
        return switch reason {
        case .closed, .transport: true
        case .truncated, .malformed, .timeout, .unexpectedUpgrade, .tooManyInterimResponses, .bodyLength, .reset, .connection: false
        }
    }
}

extension HTTPClientError {
    package init(_ failure: ClientExchangeFailure) {
        let wasNotSent = failure.progress == .nothingSent
        switch failure.reason {
        case .closed: self.init(.closed, "the server closed the connection before its response was there", wasNotSent: wasNotSent)
        case .truncated: self.init(.closed, "the server closed the connection within its response", wasNotSent: false)
        case .transport: self.init(.closed, "the connection to the server broke", wasNotSent: wasNotSent)
        case .malformed(let what): self.init(.malformedResponse, "the server's response: \(what)", wasNotSent: false)
        case .timeout(let clock): self.init(.timeout, "the server took too long (\(clock))", wasNotSent: wasNotSent)
        case .unexpectedUpgrade: self.init(.malformedResponse, "the server switched protocols without being asked", wasNotSent: false)
        case .tooManyInterimResponses: self.init(.malformedResponse, "too many interim responses", wasNotSent: false)
        case .bodyLength: self.init(.invalidRequest, "the request's body is not as long as was announced", wasNotSent: false)
        case .reset(let code): self.init(.closed, "the server gave the request up (\(code))", wasNotSent: wasNotSent)
        case .connection(.noError): self.init(.closed, "the server takes no more requests on this connection", wasNotSent: wasNotSent)
        case .connection(let code): self.init(.closed, "the connection to the server failed (\(code))", wasNotSent: wasNotSent)
        }
    }
}
