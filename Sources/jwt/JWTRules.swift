// What a token has to fulfil besides its signature. A value; made when a configuration is loaded, any thread.

/// Whom tokens must be meant for.
package enum JWTAudienceRule: Equatable, Sendable {
    /// `aud` must name one of these.
    case oneOf([String])
    /// Tokens for anybody are taken. Only right where the issuer serves this application alone: otherwise a token that was given to another
    /// service opens this one too (RFC 8725 3.9).
    case ignored
}

package struct JWTRules: Sendable {
    /// Clocks of a fleet that keeps time differ by milliseconds, those of clients and small issuers by up to a minute.
    package static let clockSkewSecondsDefault: Int64 = 60
    /// Header fields are limited to 32 KiB together; tokens have 300 bytes to 2 KiB, with long lists of groups 4.
    package static let tokenBytesDefault = 8192
    /// More does not fit into a request's header section, and offsets stay far within 32 bits.
    package static let tokenBytesLimit = 65_536

    /// Taken together with what each key is for: neither alone allows an algorithm.
    package var algorithms: JWTAlgorithms = .all
    /// `iss` must be one of these; empty: not looked at.
    package var issuers: [String] = []
    package var audience: JWTAudienceRule
    /// Members that must be there and not null. A token that never expires is a password.
    package var requiredClaims = ["exp"]
    /// Each must be a word of `scope`, or an element of `scp`.
    package var scopes: [String] = []
    /// `typ` must be this, `application/` in front or not, in upper or lower case (RFC 7515 4.1.9, RFC 9068 2.1: `at+jwt`); nil: not looked at.
    package var type: String?
    package var clockSkewSeconds = clockSkewSecondsDefault
    /// Since `iat`, which must then be there; nil: any age.
    package var ageSecondsMax: Int64?
    package var tokenBytesMax = tokenBytesDefault

    package init(audience: JWTAudienceRule) { self.audience = audience }
}
