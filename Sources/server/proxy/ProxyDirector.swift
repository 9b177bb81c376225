// ProxyDirector: who decides for a proxied request where it goes and what its outcome means. The gateway's business; the exchange (ProxyExchange) only carries out. The loop's
// thread.

package import UringHTTP

/// Why an attempt failed.
package enum ProxyFailure: UInt8, Sendable, CaseIterable {
    /// The server could not be reached: refused, unreachable, name without address, TLS handshake.
    case connect
    /// It took too long to connect.
    case connectTimeout
    /// As many requests wait for its connections as may.
    case overloaded
    /// The connection was closed or reset before a response head came.
    case reset
    /// No response head in time.
    case timeout
    /// What came is no HTTP response.
    case malformed
    /// The response's body broke off; its head was sent to the client already.
    case truncated

    /// A word for logs and metrics.
    package var word: StaticString {
        switch self {
        case .connect: "connect-failure"
        case .connectTimeout: "connect-timeout"
        case .overloaded: "overloaded"
        case .reset: "reset"
        case .timeout: "timeout"
        case .malformed: "malformed-response"
        case .truncated: "truncated-response"
        }
    }

    /// What the client is told when there is no further attempt (RFC 9110 section 15.6).
    package var status: HTTPStatus {
        switch self {
        case .connect, .reset, .malformed, .truncated: .badGateway
        case .connectTimeout, .timeout: .gatewayTimeout
        case .overloaded: .serviceUnavailable
        }
    }
}

/// How far an attempt came.
package enum ProxyProgress: UInt8, Sendable {
    /// The server cannot know of the request, or says that it has not looked at it.
    case nothingSent
    /// It may have acted on it.
    case sent
    /// A response began, of which the client has seen nothing.
    case responseBegan
}

/// What an attempt came to.
package enum ProxyOutcome: Sendable, Equatable {
    /// A response head came.
    case status(HTTPStatus)
    case failed(ProxyFailure)
    /// The client left, or nobody wants the response any more.
    case cancelled
}

/// An attempt's server, by the director's own numbering.
package struct ProxyChoice {
    let pool: ClientPool
    package let server: Int
    package init(_ pool: UpstreamPool, server: Int) { (self.pool, self.server) = (pool.pool, server) }
}

package enum ProxyDecision {
    case to(ProxyChoice)
    /// There is none: answer this.
    case answer(HTTPStatus, reason: StaticString)
}

/// One per loop and upstream. All calls on its loop's thread.
package protocol ProxyDirector: AnyObject {
    /// Chooses a server for the next attempt.
    func choose(_ exchange: ProxyExchange) -> ProxyDecision
    /// An attempt has its outcome: a response's head, or why there is none. `nanoseconds` since the attempt began.
    func attempted(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, nanoseconds: UInt64)
    /// The attempt's server is done with: its response has ended, or nothing more will come of it.
    func released(_ exchange: ProxyExchange, server: Int)
    /// The request of an exchange that has to be over some time (`ProxyExchange.abortsAt`) is about to be sent: for what is to be said of that time.
    func starts(_ exchange: ProxyExchange)
    /// Its time was over before it was sent: it is answered 504.
    func expired(_ exchange: ProxyExchange)
    /// Whether to try again: because there was no response, or because another server may do better than this status. The exchange itself has seen to it that it may: nothing of the request is lost, and nothing has gone to the client.
    /// - Returns: when, ns on the loop's clock; nil: not at all.
    func retry(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, _ progress: ProxyProgress) -> UInt64?
    /// The exchange is over and may be used for another.
    func finished(_ exchange: ProxyExchange)
    /// Edits the response before it goes to the client: its status and fields are there.
    func edit(_ exchange: ProxyExchange, _ response: inout Response)
}

extension ProxyDirector {
    package func starts(_ exchange: ProxyExchange) {}
    package func expired(_ exchange: ProxyExchange) {}
}
