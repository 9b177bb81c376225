// How a response's end is made known (RFC 9112 6.3): decided from status, method and version alone. No state; loop's thread.

public import UringHTTP

/// What the head says about the body.
@frozen @usableFromInline package enum ResponseFraming: Equatable, Sendable {
    /// Neither Content-Length nor Transfer-Encoding: the status or method says that there is no body.
    case none
    case length(UInt64)
    case chunked
    /// The body ends with the connection: length unknown and an HTTP/1.0 client, who does not know chunks.
    case untilClose
}

/// The outcome of `ResponseFraming.plan`.
@frozen @usableFromInline package struct ResponsePlan: Equatable, Sendable {
    @usableFromInline package var framing: ResponseFraming
    /// False when the body's bytes must not be sent, whatever `framing` says: HEAD, and statuses without content.
    @usableFromInline package var sendsBody: Bool
    /// Whether the connection must close behind this response.
    @usableFromInline package var mustClose: Bool

    package init(framing: ResponseFraming, sendsBody: Bool, mustClose: Bool) {
        self.framing = framing
        self.sendsBody = sendsBody
        self.mustClose = mustClose
    }
}

extension ResponseFraming {
    /// Whether no body follows the head: 1xx, 204, 304, any response to HEAD, and 2xx to CONNECT, whose connection becomes a
    /// tunnel (RFC 9110 6.4.1, RFC 9112 6.3).
    @inlinable package static func forbidsBody(status: HTTPStatus, method: HTTPMethod) -> Bool {
        status.forbidsContent || method == .head || (method == .connect && status.isSuccess)
    }

    /// Whether Content-Length must not stand in the head: 1xx, 204 and 2xx to CONNECT (RFC 9110 8.6). In 304 and in
    /// responses to HEAD it tells the length that GET would have had.
    @inlinable package static func forbidsContentLength(status: HTTPStatus, method: HTTPMethod) -> Bool {
        status.code < 200 || status.code == 204 || (method == .connect && status.isSuccess)
    }

    /// How to send a response.
    ///
    /// - Parameters:
    ///   - length: bytes of the body as GET would get it; nil when not known in advance.
    ///   - minorVersion: of the request; 0 rules out chunks.
    package static func plan(status: HTTPStatus, method: HTTPMethod, minorVersion: UInt8, length: UInt64?) -> ResponsePlan {
        if forbidsBody(status: status, method: method) {
            // A 304 whose length nobody knows says nothing; 0 would be a claim about the stored response.
            let isLengthTold = length != nil && !forbidsContentLength(status: status, method: method)
            return ResponsePlan(framing: isLengthTold ? .length(length ?? 0) : .none, sendsBody: false, mustClose: false)
        }
        // 205 has no content, and says so (RFC 9110 15.3.6).
        if status.code == 205 { return ResponsePlan(framing: .length(0), sendsBody: false, mustClose: false) }
        if let length { return ResponsePlan(framing: .length(length), sendsBody: true, mustClose: false) }
        if minorVersion > 0 { return ResponsePlan(framing: .chunked, sendsBody: true, mustClose: false) }
        return ResponsePlan(framing: .untilClose, sendsBody: true, mustClose: true)
    }
}
