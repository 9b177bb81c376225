// Why a token is refused, and what the client is told (RFC 6750 section 3). Plain values; any thread.

/// The reason of a refusal. The order is that of the checks: nothing of the claims is looked at before the signature has been found good.
@frozen @usableFromInline package enum JWTRefusal: UInt8, Equatable, CaseIterable, Sendable {
    /// Longer than `JWTRules.tokenBytesMax`; nothing of it was read.
    case tooLarge
    /// Not three parts in strict base64url, or header or claims are not strict JSON with members of the right types.
    case malformed
    /// `crit` names an extension, and none is supported (RFC 7515 4.1.11).
    case unsupportedCritical
    /// `typ` is not the one that the rules ask for (RFC 8725 3.11).
    case wrongType
    /// `none`, unknown, not in the rules, or not what the key is for (RFC 8725 3.1).
    case algorithmNotAllowed
    /// No key has the identifier that `kid` names.
    case unknownKey
    case badSignature
    case missingClaim
    case expired
    /// `nbf` or `iat` lie ahead.
    case notYetValid
    /// `iat` is longer ago than `JWTRules.ageSecondsMax`.
    case tooOld
    case wrongIssuer
    case wrongAudience
    /// A good token that lacks a scope which the rules ask for.
    case insufficientScope

    /// `error` of WWW-Authenticate (RFC 6750 section 3.1).
    package var errorCode: StaticString { self == .insufficientScope ? "insufficient_scope" : "invalid_token" }

    /// The status that goes with it (RFC 6750 section 3.1).
    package var status: UInt16 { self == .insufficientScope ? 403 : 401 }

    /// For a log and for the client: says which check failed and nothing of what was expected.
    package var reason: StaticString {
        switch self {
        case .tooLarge: "the token is too long"
        case .malformed: "the token is malformed"
        case .unsupportedCritical: "the token names a critical extension"
        case .wrongType: "the token is of another type"
        case .algorithmNotAllowed: "the algorithm is not allowed"
        case .unknownKey: "the key is unknown"
        case .badSignature: "the signature is not good"
        case .missingClaim: "a claim is missing"
        case .expired: "the token has expired"
        case .notYetValid: "the token is not valid yet"
        case .tooOld: "the token is too old"
        case .wrongIssuer: "the issuer is not accepted"
        case .wrongAudience: "the token is for another audience"
        case .insufficientScope: "the scope does not suffice"
        }
    }

    /// The whole field value of WWW-Authenticate.
    package var challenge: StaticString {
        switch self {
        case .tooLarge: "Bearer error=\"invalid_token\", error_description=\"the token is too long\""
        case .malformed: "Bearer error=\"invalid_token\", error_description=\"the token is malformed\""
        case .unsupportedCritical: "Bearer error=\"invalid_token\", error_description=\"the token names a critical extension\""
        case .wrongType: "Bearer error=\"invalid_token\", error_description=\"the token is of another type\""
        case .algorithmNotAllowed: "Bearer error=\"invalid_token\", error_description=\"the algorithm is not allowed\""
        case .unknownKey: "Bearer error=\"invalid_token\", error_description=\"the key is unknown\""
        case .badSignature: "Bearer error=\"invalid_token\", error_description=\"the signature is not good\""
        case .missingClaim: "Bearer error=\"invalid_token\", error_description=\"a claim is missing\""
        case .expired: "Bearer error=\"invalid_token\", error_description=\"the token has expired\""
        case .notYetValid: "Bearer error=\"invalid_token\", error_description=\"the token is not valid yet\""
        case .tooOld: "Bearer error=\"invalid_token\", error_description=\"the token is too old\""
        case .wrongIssuer: "Bearer error=\"invalid_token\", error_description=\"the issuer is not accepted\""
        case .wrongAudience: "Bearer error=\"invalid_token\", error_description=\"the token is for another audience\""
        case .insufficientScope: "Bearer error=\"insufficient_scope\", error_description=\"the scope does not suffice\""
        }
    }
}
