// What stands between a route's match and its answer: who may, how often, and what is done about a failing upstream. Plain values; nil or
// empty: the route does not have the filter. `RouteFilterKind.order` is the order in which they act.

package struct RouteFilters: Sendable, Equatable {
    package var clientCertificate: ClientCertificateConfiguration?
    package var basic: BasicConfiguration?
    package var apiKeys: APIKeyConfiguration?
    package var jwt: JWTConfiguration?
    package var authRequest: AuthRequestConfiguration?
    package var rateLimits: [RateLimitConfiguration] = []
    package var breaker: BreakerConfiguration?
    package var cors: CORSConfiguration?
    package var compression: CompressionConfiguration?
    /// On the response, whatever answers.
    package var responseHeaders = HeaderEdits()
    /// From the request's head to the end of its response; 0: no limit.
    package var deadlineNs: UInt64 = 0
    package var writesAccessLog = true
    /// Whether surge control may refuse the route.
    package var isDegradable = false
    /// Whether responses have Server-Timing.
    package var tellsTiming = false

    package init() {}
}

/// The order in which a request passes the filters of its route.
package enum RouteFilterKind: String, Sendable, CaseIterable {
    // What costs least and lets fewest pass comes first; a preflight carries no credentials (Fetch 3.2.2), so CORS comes before who may.
    case surge, cors, rateLimitByAddress = "rate-limit (address, header)", clientCertificate = "client-cert", basic, apiKeys = "api-keys", jwt
    case authRequest = "auth-request", rateLimitByClaim = "rate-limit (claim)", breaker
    // On the response: compressed is what the edits leave.
    case headers, compression
}

package struct ClientCertificateConfiguration: Sendable, Equatable {
    /// One of them must fit.
    package var subjects: [CertificateSubject]
    /// Request header that carries the subject upstream; nil: none.
    package var forwardHeader: String?
}

/// `CN=orders`, `DNS:orders.internal`, `URI:spiffe://mesh/orders`, `EMAIL:…`; a `*` at the end takes any rest.
package struct CertificateSubject: Sendable, Hashable {
    package enum Kind: String, Sendable { case commonName = "CN=", dns = "DNS:", uri = "URI:", email = "EMAIL:" }

    package let kind: Kind
    /// Without the star.
    package let text: String
    package let isPrefix: Bool
}

package struct BasicConfiguration: Sendable, Equatable {
    /// Lines of `user:hash`.
    package var file: String
    package var realm: String
    /// Request header that carries the user upstream; nil: none.
    package var forwardHeader: String?
}

package struct APIKeyConfiguration: Sendable, Equatable {
    /// In lower case.
    package var header: String
    /// Lines of `name:key`.
    package var file: String
    /// Request header that carries the key's name upstream; nil: none.
    package var forwardHeader: String?
}

package struct JWTConfiguration: Sendable, Equatable {
    package enum Keys: Sendable, Equatable {
        /// A JWKS file.
        case file(String)
        /// `https://…` or `http://…` of a JWKS document.
        case url(EndpointURL)
        /// One key for HS256, HS384 or HS512.
        case secret(Secret)
    }

    package struct Claim: Sendable, Equatable {
        package var name: String
        /// One of them must be the value, or in it when it is a list or words between spaces (`scope`).
        package var values: [String]
    }

    package struct Forward: Sendable, Equatable {
        package var claim: String
        package var header: String
    }

    package var keys: Keys
    /// Empty: any.
    package var issuers: [String]
    /// Empty: any.
    package var audiences: [String]
    /// `RS256` and so on; empty: what the keys are for.
    package var algorithms: [String]
    package var clockSkewNs: UInt64
    package var claims: [Claim]
    package var forward: [Forward]
    /// Whether the Authorization field goes on to the upstream.
    package var forwardsToken: Bool
    /// For keys from a URL: how often they are fetched, how soon again for an unknown key, how long the old ones serve while the source is down.
    package var refreshNs: UInt64
    package var refreshMinNs: UInt64
    package var staleNs: UInt64
    package var fetchTimeoutNs: UInt64
}

package struct AuthRequestConfiguration: Sendable, Equatable {
    package var upstream: String
    package var path: String
    package var method: String
    /// Fields of the request that go along, in lower case.
    package var forwardHeaders: [String]
    /// Fields of a 2xx answer that are set on the request to the upstream, in lower case.
    package var copyHeaders: [String]
    package var timeoutNs: UInt64
    /// Whether requests pass that nobody answers for.
    package var failsOpen: Bool
    /// 0: nothing is remembered.
    package var cacheNs: UInt64
    package var cacheEntriesMax: Int
}

package struct RateLimitConfiguration: Sendable, Equatable {
    package enum Key: Sendable, Hashable {
        /// Lengths of the prefixes that count as one client.
        case address(v4Bits: Int, v6Bits: Int)
        /// Needs `jwt` on the route; requests whose token lacks the claim count as one.
        case claim(String)
        /// In lower case; requests without it count as one.
        case header(String)
    }

    package var key: Key
    package var rate: RequestRate
    /// 1 at least: requests that may come at once.
    package var burst: UInt64
    /// The name below `redis`; nil: in this process.
    package var redis: String?
    /// What happens while Redis does not answer.
    package var failsOpen: Bool
    package var status: Int
    /// RateLimit and RateLimit-Policy on responses.
    package var writesHeaders: Bool
    package var isDryRun: Bool
}

package struct BreakerConfiguration: Sendable, Equatable {
    package enum Answer: Sendable, Equatable {
        case respond(RespondConfiguration)
        /// The name of a route that exists and is not this one: its answer, without its filters.
        case route(String)
    }

    /// What trips it; the same for all routes of a group.
    package struct Policy: Sendable, Equatable {
        /// Share of failed requests in the window; nil: does not trip.
        package var errorRate: Percentage?
        package var windowNs: UInt64
        /// Nil: does not trip.
        package var latencyP95Ns: UInt64?
        package var periods: Int
        package var periodNs: UInt64
        /// 0: does not trip.
        package var consecutiveFailures: Int
        package var minimumRequests: Int
        package var openNs: UInt64
        package var halfOpenRequests: Int
        package var isDryRun: Bool
    }

    /// Routes of one name share the state.
    package var group: String
    package var policy: Policy
    package var answer: Answer
}

package struct CORSConfiguration: Sendable, Equatable {
    /// `https://app.example.com`, `https://*.example.com`; empty with `allowsAnyOrigin`.
    package var origins: [String]
    package var allowsAnyOrigin: Bool
    package var methods: [String]
    /// Empty: what the preflight asks for.
    package var headers: [String]
    package var exposeHeaders: [String]
    package var allowsCredentials: Bool
    package var maxAgeSeconds: UInt64
}

package struct CompressionConfiguration: Sendable, Equatable {
    package enum Coding: String, Sendable { case zstd, br, gzip }

    /// In order of preference.
    package var codings: [Coding]
    package var bytesMin: UInt64
    /// Besides the usual ones.
    package var types: [String]
    /// What an upstream's response has already is left alone; this compresses what it sends plain.
    package var compressesProxied: Bool
}
