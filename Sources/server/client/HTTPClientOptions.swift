// HTTPClientOptions: how a client of ours connects, waits and limits. Plain values; any thread.

internal import Glibc
public import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
package import UringTLS

/// Limits and times of an `HTTPClient`. Each is per loop and server, where a server is scheme, host and port.
public struct HTTPClientOptions: Sendable {
    /// What is spoken. Default: over TLS what the server chooses, HTTP/2 before HTTP/1.1; in clear HTTP/1.1.
    public var protocols = HTTPClientProtocols.automatic
    /// How long making a connection may take, each address of a name by itself. 1 ms and up; default 10 s.
    public var connectTimeout = Duration.seconds(10)
    /// From the last byte of a request to the last of the response's head. `.zero`: no limit. Default 30 s.
    public var headTimeout = Duration.seconds(30)
    /// The longest pause within a body, either way. `.zero`: no limit. Default 30 s.
    public var bodyTimeout = Duration.seconds(30)
    /// The longest time in which the server takes no byte of a request; nil: as `bodyTimeout`. Zero switches it off.
    public var writeTimeout: Duration?
    /// HTTP/2: how long a server with requests under way may be silent before it is asked by PING whether it is there (RFC 9113 section 6.7). `.zero`: never. Default 60 s.
    public var pingAfter = Duration.seconds(60)
    /// How long it may be silent after that before its connection is given up. Default 20 s.
    public var pingTimeout = Duration.seconds(20)
    /// How long an unused connection is kept. Default 4 s: servers close theirs after 5 s and more, and who closes first never meets a connection that is gone.
    public var idleTimeout = Duration.seconds(4)
    /// Connections at the same time. Default 256. One of HTTP/2 has as many requests at a time as its server and `streamsPerConnectionMax` allow; another is made when that is not enough.
    public var connectionsPerServerMax = 256
    /// Requests at the same time on one connection of HTTP/2, of which the server may allow fewer. 1 to 1000; default 128.
    public var streamsPerConnectionMax = 128
    /// Requests that wait for a connection when there are as many as there may be; further ones fail at once. Default 1024.
    public var pendingPerServerMax = 1024
    /// Requests on one connection; 0: any number. Default 0.
    public var requestsPerConnectionMax = 0
    /// The head of a response, bytes. Default 64 KiB.
    public var headerBytesMax = 64 * 1024
    /// The body of a response, bytes, coding removed. Default: unlimited, for bodies are read in pieces; `HTTPClientResponse.collect` has a limit of its own.
    public var bodyBytesMax = UInt64(Int64.max)
    /// Whom https servers must be vouched for by. Default: the authorities of the system.
    public var tls = HTTPClientTLS()
    /// Connects here, whatever the URL says: `HOST:PORT`, `[V6]:PORT` or `unix:PATH`. nil: where the URL says.
    public var connectsTo: String?

    /// The defaults.
    public init() {}

    var connectTimeoutNs: UInt64 { max(1_000_000, connectTimeout.nanosecondsClamped) }

    var policy: ClientPolicy {
        var policy = ClientPolicy()
        policy.headTimeoutNs = headTimeout.nanosecondsClamped
        (policy.bodyTimeoutNs, policy.writeTimeoutNs) = (bodyTimeout.nanosecondsClamped, (writeTimeout ?? bodyTimeout).nanosecondsClamped)
        policy.idleTimeoutNs = idleTimeout.nanosecondsClamped
        policy.requestsPerConnectionMax = UInt32(clamping: requestsPerConnectionMax)
        return policy
    }

    var http2KeepAlive: HTTP2KeepAlive {
        var keepAlive = HTTP2KeepAlive()
        (keepAlive.afterNs, keepAlive.timeoutNs) = (pingAfter.nanosecondsClamped, pingTimeout.nanosecondsClamped)
        return keepAlive
    }

    var parserLimits: ParserLimits { ParserLimits(headerBytesMax: headerBytesMax, fieldCountMax: LoopClients.fieldsMax) }
}

/// Which versions of HTTP a client speaks.
public enum HTTPClientProtocols: Sendable, Hashable {
    /// Over TLS HTTP/2 where the server has it, else HTTP/1.1 (ALPN). In clear HTTP/1.1.
    case automatic
    /// HTTP/1.1 alone.
    case http1
    /// HTTP/2 alone: over TLS a server that does not choose it is an error (`.tls`); in clear it is taken to know it (RFC 9113 section 3.3).
    case http2

    /// For ALPN, in the order of preference.
    var names: [String] {
        switch self {
        case .automatic: ["h2", "http/1.1"]
        case .http1: ["http/1.1"]
        case .http2: ["h2"]
        }
    }
}

/// TLS of an `HTTPClient`: versions 1.2 and 1.3; sessions are resumed.
///
/// What is read for it, such as the system's authorities, is read when a loop makes its first connection.
public struct HTTPClientTLS: Sendable {
    /// Who vouches for servers.
    public enum Trust: Sendable {
        /// The authorities of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        case system
        /// These certificates alone, PEM: authorities, or the server's own.
        case pem([UInt8])
        /// Nobody: safe from those who listen, not from those who answer. For tests.
        case unverified
    }
    /// Default: `.system`.
    public var trust = Trust.system
    /// The oldest version that is spoken. Default: 1.2.
    public var minVersion = TLSOptions.Version.tls12
    /// A DNS name or IP address that is asked for (SNI, RFC 6066 section 3) and that the certificate must name. nil, the default: the URL's host.
    public var serverName: String?
    /// Loaded already, for all loops: takes the place of `trust` and `minVersion`.
    package var prepared: TLSClientConfiguration?
    /// Whether versions of HTTP are offered by ALPN. No for what is not HTTP.
    package var offersProtocols = true

    /// The default.
    public init() {}

    func configuration(_ protocols: HTTPClientProtocols) throws(TLSLoadError) -> TLSClientConfiguration {
        if var prepared {
            prepared.applicationProtocols = offersProtocols ? protocols.names : []
            return prepared
        }
        let known: TLSClientConfiguration.Trust =
            switch trust {
            case .system: .system
            case .pem(let bytes): .authorities(try TLSAuthorities.load(pem: bytes, name: "HTTPClientTLS.trust"))
            case .unverified: .unverified
            }
        var configuration = TLSClientConfiguration(trust: known)
        configuration.applicationProtocols = offersProtocols ? protocols.names : []
        configuration.minimumVersion = minVersion == .tls13 ? .tls13 : .tls12
        return configuration
    }
}

/// Why a request of an `HTTPClient` failed.
public struct HTTPClientError: Error, CustomStringConvertible, Sendable {
    /// What happened.
    public enum Reason: Sendable, Equatable {
        /// The URL, method or a field cannot be sent as it is.
        case invalidRequest
        /// The host's name has no address.
        case resolve
        /// No connection could be made; as in errno.
        case connect(Int32)
        /// The server's certificate or handshake.
        case tls
        /// More requests wait than may.
        case overloaded
        /// The server closed before its response was there, or in the middle of it.
        case closed
        /// A time limit was met.
        case timeout
        /// What the server sent is no HTTP, or more than the limits.
        case malformedResponse
    }
    /// For programs.
    public let reason: Reason
    /// For people: a sentence that names the server or the limit.
    public let description: String
    /// The server cannot have acted on the request: it may be sent again, whatever it asks for.
    public let wasNotSent: Bool

    init(_ reason: Reason, _ description: String, wasNotSent: Bool = true) { (self.reason, self.description, self.wasNotSent) = (reason, description, wasNotSent) }
}

/// Left to itself it answers as a gateway does (RFC 9110 section 15.6): 502, or 504 when the server took too long, 503 when too much waits. What exactly was wrong is told to the
/// server's reporter and not to the client, whom names of servers behind this one do not concern.
extension HTTPClientError: ResponseError {
    /// 500 for a request that cannot be sent, which is a fault of the handler's.
    public var status: HTTPStatus {
        switch reason {
        case .invalidRequest: .internalServerError
        case .overloaded: .serviceUnavailable
        case .timeout, .connect(ETIMEDOUT): .gatewayTimeout
        case .resolve, .connect, .tls, .closed, .malformedResponse: .badGateway
        }
    }

    /// What the client is told.
    public var message: String {
        switch reason {
        case .invalidRequest: ""
        case .overloaded: "too many requests wait for a server behind this one"
        case .timeout, .connect(ETIMEDOUT): "a server behind this one took too long"
        case .resolve, .connect, .tls: "a server behind this one cannot be reached"
        case .closed, .malformedResponse: "a server behind this one gave no valid response"
        }
    }
}
