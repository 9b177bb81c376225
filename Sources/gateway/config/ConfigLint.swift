// Warnings that have a name: what is legal, works, and has hurt somebody. `lint: { allow: [NAME] }` silences one that is meant.

package enum ConfigLint: String, Sendable, Hashable, CaseIterable {
    /// The administration can be reached from other machines without a token.
    case adminExposed = "admin-exposed"
    /// A key for HMAC that can be guessed (RFC 7518 section 3.2 wants the length of the hash).
    case jwtShortSecret = "jwt-short-secret"
    /// A JWT filter that leaves the choice of the algorithm to the keys.
    case jwtAnyAlgorithm = "jwt-any-algorithm"
    case jwtAnyAudience = "jwt-any-audience"
    case retryNonIdempotent = "retry-non-idempotent"
    case tlsUnverified = "tls-unverified"
    /// A timeout that is switched off.
    case noTimeout = "no-timeout"
    case trustsEverybody = "trusts-everybody"
    case bodyUnlimited = "body-unlimited"
    case corsAnyOrigin = "cors-any-origin"
    /// Requests that pass while nobody can say whether they may.
    case authFailsOpen = "auth-fails-open"
    /// Credentials of clients leave the machine in clear.
    case clearCredentials = "clear-credentials"
    /// A pattern of certificates' names that takes more than it seems to.
    case subjectPrefix = "subject-prefix"
    case catchAllFirst = "catch-all-first"
    /// A route that no request reaches.
    case routeUnreachable = "route-unreachable"
    case secretReadable = "secret-readable"
    /// A secret that stands in the configuration itself.
    case secretInFile = "secret-in-file"
    case upstreamUnused = "upstream-unused"
    case redisUnused = "redis-unused"
    /// A rule that bans for what is no error.
    case bansForSuccess = "bans-for-success"
}
