// How a request came, in the terms of routes and the access log: the one place that asks the server library. The loop's thread.

package import UringServer

extension Request {
    /// Whether it came over TLS.
    package var cameOverTLS: Bool { isSecure }

    /// For the access log.
    package var versionNumbers: (major: UInt8, minor: UInt8) {
        switch protocolVersion {
        case .http10: (major: 1, minor: 0)
        case .http11: (major: 1, minor: 1)
        case .http2: (major: 2, minor: 0)
        }
    }
}

extension AccessLogTLS {
    /// Of the connection that a request came on.
    @_lifetime(borrow request)
    static func of(_ request: borrowing Request) -> AccessLogTLS {
        guard let tls = request.tls else { return AccessLogTLS() }
        return AccessLogTLS(
            version: tls.version.span, cipher: tls.cipher.span, serverName: tls.serverName.span, clientSubject: tls.clientSubject.span)
    }
}
