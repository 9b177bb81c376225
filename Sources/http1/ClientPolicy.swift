// The numbers a client exchange machine works with. Owned by the loop (one value for all connections to an upstream) and lent to every
// event; never stored in a connection. Deadlines that already run keep the policy they began with.

/// Timeouts and limits of HTTP/1.1 client connections. Times are nanoseconds; 0 switches a timeout or limit off.
@frozen @usableFromInline
package struct ClientPolicy: Sendable, BitwiseCopyable, Equatable {
    /// The longest pause in which the server takes no byte of a request. Default 30 s.
    @usableFromInline package var writeTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// From the last byte of the request to the last of the response head; each interim response begins it anew. Default 30 s, less than
    /// the 60 s of nginx's `proxy_read_timeout`, and as long as a handler of ours may take.
    @usableFromInline package var headTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// The longest pause within a response body. Default 30 s.
    @usableFromInline package var bodyTimeoutNs: UInt64 = 30 * nanosecondsPerSecond
    /// How long a body waits for 100 (Continue) before it is sent without (RFC 9110 10.1.1: not indefinitely). Default 1 s, as curl and Go.
    @usableFromInline package var continueTimeoutNs: UInt64 = nanosecondsPerSecond
    /// How long an unused connection is kept. Default 4 s: servers close after 5 s and more (Node's default is the shortest of the usual
    /// ones), and who closes first meets no stale connection.
    @usableFromInline package var idleTimeoutNs: UInt64 = 4 * nanosecondsPerSecond
    /// Requests on one connection; the last says `Connection: close`. Default 0: unlimited.
    @usableFromInline package var requestsPerConnectionMax: UInt32 = 0
    /// Interim responses (1xx) of one exchange. Default 16: progress of a slow request each second or two; without a limit they would
    /// hold an exchange for ever.
    @usableFromInline package var interimResponsesMax: UInt8 = 16

    @inlinable package init() {}
}
