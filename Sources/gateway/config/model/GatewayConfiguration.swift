// What concerns the gateway as a whole: address lists and bans, surge control, Redis, tracing, request ids, deadlines. Plain values.

package struct AddressConfiguration: Sendable, Equatable {
    /// `deny` wins. With `allow` not empty nobody else may connect.
    package var deny: [AddressPrefix] = []
    package var allow: [AddressPrefix] = []
    /// A prefix per line, denied; read again when it changes. Nil: none.
    package var file: String?
    /// Where bans are shared; the name below `redis`. Nil: nowhere.
    package var redis: String?
    package var bans: [BanRule] = []
}

/// Whoever does `reasons` `count` times within a time is turned away for another.
package struct BanRule: Sendable, Equatable {
    package enum Reason: Sendable, Hashable {
        case status(StatusRange)
        /// A request that a rate limit refused.
        case rateLimit
        /// A request that is not HTTP.
        case malformed
        /// A TLS handshake that failed.
        case handshake
    }

    package var name: String
    package var reasons: [Reason]
    package var count: Int
    package var withinNs: UInt64
    package var banNs: UInt64
    /// What is counted and banned as one.
    package var v4Bits: Int
    package var v6Bits: Int
    /// Each following ban is so many times as long, up to `longestNs`.
    package var growth: UInt64
    package var longestNs: UInt64
    /// Who has behaved for so long behind a ban begins anew.
    package var forgetNs: UInt64
}

package struct SurgeConfiguration: Sendable, Equatable {
    /// Growth of open connections: 200 % is three times as many.
    package var growth: Percentage
    package var withinNs: UInt64
    /// Fewer open connections are no surge.
    package var connectionsMin: Int
    /// How long growth must have ended before the measures end.
    package var holdNs: UInt64
    package var rateLimit: RateLimitConfiguration?
    /// Whether routes with `degradable: true` answer 503.
    package var degrades: Bool
}

package struct RedisConfiguration: Sendable, Equatable {
    package var name: String
    package var address: UpstreamAddress
    package var username: String?
    package var password: Secret?
    package var database: Int
    /// For connecting, and for each answer.
    package var timeoutNs: UInt64
    package var tls: UpstreamTLS?
    /// Before every key.
    package var prefix: String

    /// With a limit's name and a hash behind it a key is no longer than the client of Redis takes.
    package static let prefixBytesMax = 31
}

package struct TracingConfiguration: Sendable, Equatable {
    /// Of the collector, `/v1/traces` included.
    package var endpoint: EndpointURL
    /// Of the traces that begin here.
    package var sample: Percentage
    package var serviceName: String
    /// Spans that wait to be sent; more are dropped and counted.
    package var queue: Int
    package var batch: Int
    package var flushNs: UInt64
    package var timeoutNs: UInt64
    /// Of the export requests; values are not printed.
    package var headers: [SecretHeader]
    /// Whether traces that clients began are continued.
    package var trust: Trust
}

package struct SecretHeader: Sendable, Equatable {
    package var name: String
    package var value: Secret
}

/// From whom something about a request is believed.
package enum Trust: String, Sendable {
    case all
    /// Peers in `trusted-proxies`.
    case trusted
    case none
}

package struct RequestIdentifierConfiguration: Sendable, Equatable {
    package var header: String
    package var trust: Trust
    /// Whether responses carry it.
    package var responds: Bool
}

/// The remaining time of a request in a header, in milliseconds.
package struct DeadlineConfiguration: Sendable, Equatable {
    package var header: String
    package var trust: Trust
}

/// `http://` or `https://`, a host, a port and a path. Never with credentials.
package struct EndpointURL: Sendable, Hashable {
    package let isSecure: Bool
    /// The port is that of the scheme when the text has none.
    package let address: UpstreamAddress
    /// Begins with a slash; a query included.
    package let target: String
    package let text: String

    static let bytesMax = 2048

    package static func parse(_ text: String) -> Result<EndpointURL, TextProblem> {
        func failure(_ reason: String) -> Result<EndpointURL, TextProblem> { .failure(TextProblem(reason: reason)) }
        if text.utf8.count > bytesMax { return failure("longer than \(bytesMax) bytes") }
        let isSecure = text.hasPrefix("https://")
        guard isSecure || text.hasPrefix("http://") else { return failure("a URL begins with https:// or http://") }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"\"<>\\^`|{}#".utf8.contains($0) }) else {
            return failure("a character that has no place in this URL")
        }
        let rest = text.dropFirst(isSecure ? 8 : 7)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = String(rest[..<end])
        if authority.contains("@") { return failure("credentials have no place in a URL") }
        let hasPort = authority.contains(":") && !authority.hasSuffix("]")
        switch ListenAddress.parse(hasPort ? authority : authority + (isSecure ? ":443" : ":80")) {
        case .failure(let problem): return .failure(problem)
        case .success(let address):
            guard !authority.hasPrefix("unix:"), !address.hasPortZero else { return failure("the port is not a number from 1 to 65535") }
            let target = rest[end...].hasPrefix("/") ? String(rest[end...]) : "/" + rest[end...]
            return .success(EndpointURL(isSecure: isSecure, address: address, target: target, text: text))
        }
    }
}

/// A request and what must become of it, tried offline by `uringd check`.
package struct ExpectationConfiguration: Sendable, Equatable {
    package var method: String
    package var url: String
    package var headers: [HeaderField]
    /// Name of the route; nil: not asked.
    package var route: String?
    package var status: Int?
    package var responseHeaders: [HeaderField]
    package var position: SourcePosition
}
