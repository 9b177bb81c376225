// How a request came, in the terms of routes and the access log: the one place that asks the server library. The loop's thread.

package import UringServer

extension Request {
    /// Whether it came over TLS.
    package var cameOverTLS: Bool { false }

    /// For the access log.
    package var versionNumbers: (major: UInt8, minor: UInt8) { (major: 1, minor: UInt8(clamping: minorVersion)) }
}

extension AccessLogTLS {
    /// Of the connection that a request came on.
    @_lifetime(borrow request)
    static func of(_ request: borrowing Request) -> AccessLogTLS { AccessLogTLS() }
}
