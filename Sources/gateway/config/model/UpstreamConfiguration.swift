// An upstream: servers that answer for us, and how they are chosen, reached, watched and spared. Plain values, made by the loader, read by
// every loop. Times in nanoseconds; 0 is off where the option table says so.

package struct UpstreamConfiguration: Sendable, Equatable {
    /// The key below `upstreams`.
    package var name: String
    /// In the order of the file, not empty; each address once.
    package var servers: [UpstreamServer]
    package var balance: BalanceConfiguration = .roundRobin
    package var version: UpstreamVersion = .http1
    /// Nil: in clear.
    package var tls: UpstreamTLS?
    package var connections: UpstreamConnectionLimits
    package var timeouts: UpstreamTimeouts
    package var retry: RetryConfiguration
    /// Nil: no active checks.
    package var health: HealthConfiguration?
    /// Nil: nothing is ejected.
    package var outlier: OutlierConfiguration?
    /// How long a server that comes back is spared; 0: not at all.
    package var slowStartNs: UInt64
    /// Below this share of servers that are well, all are used; zero: never.
    package var panicThreshold: Percentage
    /// Nil: no header.
    package var proxyProtocol: ProxyProtocolVersion?
    /// Nil: only `connections` bounds the requests.
    package var adaptiveConcurrency: AdaptiveConcurrencyConfiguration?
    /// How often host names are looked up again; 0: never after the first answer.
    package var resolveNs: UInt64
    package var resolvesTo: ResolvedAddresses
    /// How long requests to a server that a reload removed may take; 0: as long as they take.
    package var drainNs: UInt64

    /// An upstream with the table's defaults.
    package init(name: String, servers: [UpstreamServer]) {
        self.init(name: name, servers: servers, ConfigurationBuilder.upstreamDefaults)
    }
}

/// `HOST:PORT`, `[V6]:PORT` or `unix:PATH`; the port is not 0.
package typealias UpstreamAddress = ListenAddress

/// Which addresses of a host name are servers.
package enum ResolvedAddresses: String, Sendable {
    /// Those of the first one's family; a name that stands for this machine alone stays one server.
    case all
    case ipv4
    case ipv6
    case both
    case first
}

package struct UpstreamServer: Sendable, Equatable {
    package var address: UpstreamAddress
    /// 1 to 1000.
    package var weight: Int
    /// Used only while none of the others is well.
    package var isBackup: Bool

    package init(address: UpstreamAddress, weight: Int = 1, isBackup: Bool = false) {
        self.address = address
        self.weight = weight
        self.isBackup = isBackup
    }
}

package enum BalanceConfiguration: Sendable, Equatable {
    package enum Key: Sendable, Equatable {
        case address
        /// In lower case.
        case header(String)
        case cookie(String)
        case path
    }

    case roundRobin
    case leastRequests
    case randomTwo
    case hash(Key)
}

package enum UpstreamVersion: String, Sendable {
    case http1 = "http/1.1"
    /// By ALPN over TLS, by prior knowledge in clear.
    case http2 = "h2"
    /// By ALPN over TLS, HTTP/1.1 in clear.
    case auto
}

package struct UpstreamTLS: Sendable, Equatable {
    package enum Version: String, Sendable { case tls12 = "1.2", tls13 = "1.3" }

    /// PEM file with the authorities; nil: the system's.
    package var authorities: String?
    package var verifies: Bool
    /// For SNI and verification; nil: the host name of the server's address, none for an IP address or Unix socket.
    package var serverName: String?
    /// Both or none.
    package var certificate: String?
    package var key: String?
    package var versionMin: Version
}

package struct UpstreamConnectionLimits: Sendable, Equatable {
    /// Open connections to all servers of the upstream, of all loops together; 0: no limit.
    package var max: Int
    /// Requests that wait for a connection, of all loops together; 0: none waits.
    package var pendingMax: Int
    /// 0: no limit.
    package var requestsPerConnectionMax: Int
    /// Requests at once on an HTTP/2 connection.
    package var streamsMax: Int
    /// TCP and TLS handshakes.
    package var connectTimeoutNs: UInt64
    package var idleTimeoutNs: UInt64
}

package struct UpstreamTimeouts: Sendable, Equatable {
    /// From the end of the request to the response's header section.
    package var responseNs: UInt64
    /// The longest pause between two pieces of the response's body.
    package var bodyNs: UInt64
    /// The longest time in which the server takes no byte.
    package var writeNs: UInt64
}

package struct RetryConfiguration: Sendable, Equatable {
    package enum Reason: Sendable, Hashable {
        /// No connection: nothing was sent.
        case connectFailure
        /// The connection ended before a response began.
        case reset
        case timeout
        /// HTTP/2 says that nothing was done (RFC 9113 section 8.7).
        case refusedStream
        case status(UInt16)
    }

    /// Besides the first; 0: never again.
    package var attempts: Int
    /// Retries as a share of the requests; more are not made.
    package var budget: Percentage
    /// Retries per second that the budget always allows.
    package var budgetPerSecondMin: Int
    package var reasons: [Reason]
    /// The wait before the first retry is random up to this and doubles with each; 0: none.
    package var backoffNs: UInt64
    package var backoffMaxNs: UInt64
    /// Whether methods that are not idempotent (RFC 9110 section 9.2.2) are repeated after bytes reached the server.
    package var repeatsNonIdempotent: Bool
}

package struct HealthConfiguration: Sendable, Equatable {
    package var path: String
    package var method: String
    /// The value of Host; nil: the server's address.
    package var host: String?
    package var intervalNs: UInt64
    package var timeoutNs: UInt64
    package var unhealthyAfter: Int
    package var healthyAfter: Int
    package var status: [StatusRange]
    /// Nil: that of the server.
    package var port: UInt16?
}

package struct OutlierConfiguration: Sendable, Equatable {
    /// Responses with 5xx in a row; 0: they do not count.
    package var consecutive5xx: Int
    /// Failures without a response in a row; 0: they do not count.
    package var consecutiveFailures: Int
    package var intervalNs: UInt64
    package var ejectNs: UInt64
    /// Each further ejection lasts `ejectNs` longer, up to this.
    package var ejectMaxNs: UInt64
    package var ejectedMax: Percentage
}

package enum ProxyProtocolVersion: String, Sendable { case v1, v2 }

package struct AdaptiveConcurrencyConfiguration: Sendable, Equatable {
    package var initial: Int
    package var min: Int
    package var max: Int
    /// The limit falls when latency exceeds this share of the best seen lately; above 100 %.
    package var tolerance: Percentage
    package var windowNs: UInt64
    /// Requests that wait while the limit is reached; others get 503.
    package var queue: Int
}
