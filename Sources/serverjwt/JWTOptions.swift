// What a program asks of tokens, and the keys that it trusts. Plain values, made at start; any thread.

internal import UringJWT
internal import UringServer

/// Algorithms of signatures (RFC 7518 section 3.1, RFC 8037).
public enum JWTAlgorithmName: String, Sendable, CaseIterable {
    case hs256 = "HS256", hs384 = "HS384", hs512 = "HS512"
    case rs256 = "RS256", rs384 = "RS384", rs512 = "RS512"
    case ps256 = "PS256", ps384 = "PS384", ps512 = "PS512"
    case es256 = "ES256", es384 = "ES384", es512 = "ES512"
    case edDSA = "EdDSA"
}

/// Why keys or rules cannot be used: a sentence with the remedy.
public struct JWTConfigurationError: Error, CustomStringConvertible, Sendable {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// Keys that signatures are verified with, 64 at most.
public struct JWTKeys: Sendable {
    private(set) var set: JWTKeySet
    /// What should be known of them: keys of a set that were passed over, private keys in a published set.
    public private(set) var warnings: [String]

    private init(_ set: JWTKeySet, _ warnings: [String] = []) { (self.set, self.warnings) = (set, warnings) }

    /// Public keys and certificates of a PEM text. Of certificates only the key counts: neither their time nor their issuer is looked at.
    /// - Parameters:
    ///   - identifier: `kid`, when tokens name it.
    ///   - algorithms: nil for all that the keys can do.
    ///   - source: the file, for messages.
    public static func pem(
        _ text: [UInt8], identifier: String? = nil, algorithms: Set<JWTAlgorithmName>? = nil, source: String = "the keys"
    ) throws(JWTConfigurationError) -> JWTKeys {
        // SAFETY: the array lives through the call.
        try translate { () throws(JWTKeyError) in
            JWTKeys(try unsafe text.withUnsafeBufferPointer { bytes throws(JWTKeyError) in
                try unsafe JWTKeySet.pem(bytes, identifier: identifier, algorithms: JWTKeys.algorithms(algorithms), source: source)
            })
        }
    }

    /// The signing keys of a JSON Web Key Set (RFC 7517 section 5), as issuers publish it. Rotation: read it again and replace the application.
    /// - Parameter acceptsSecrets: whether keys for HMAC count. Not for sets that come from a URL: whoever can read them could sign.
    public static func jwks(_ document: [UInt8], acceptsSecrets: Bool = false, source: String = "the key set") throws(JWTConfigurationError) -> JWTKeys {
        var warnings: [JWTKeyWarning] = []
        let set = try translate { () throws(JWTKeyError) in
            // SAFETY: as in `pem`.
            try unsafe document.withUnsafeBufferPointer { bytes throws(JWTKeyError) in
                try unsafe JWTKeySet.jwks(bytes, acceptsSecrets: acceptsSecrets, source: source, warnings: &warnings)
            }
        }
        return JWTKeys(set, warnings.map(\.description))
    }

    /// A shared secret for HMAC: 32 random bytes at least for HS256, 48 for HS384, 64 for HS512; for those of them that it is long enough for.
    public static func secret(_ bytes: [UInt8], identifier: String? = nil, source: String = "the secret") throws(JWTConfigurationError) -> JWTKeys {
        try translate { () throws(JWTKeyError) in
            var set = JWTKeySet()
            // SAFETY: as in `pem`.
            try set.add(try unsafe bytes.withUnsafeBufferPointer { bytes throws(JWTKeyError) in
                try unsafe JWTKey.secret(bytes, identifier: identifier.map { Array($0.utf8) }, source: source)
            })
            return JWTKeys(set)
        }
    }

    /// Takes other keys in too.
    public mutating func add(_ other: JWTKeys) throws(JWTConfigurationError) {
        do throws(JWTKeyError) { try set.add(other.set) } catch { throw JWTConfigurationError(error.description) }
        warnings += other.warnings
    }

    static func algorithms(_ names: Set<JWTAlgorithmName>?) -> JWTAlgorithms? {
        names.map { names in JWTAlgorithms(names.compactMap { JWTAlgorithm(named: $0.rawValue) }) }
    }

    private static func translate<Result>(_ body: () throws(JWTKeyError) -> Result) throws(JWTConfigurationError) -> Result {
        do throws(JWTKeyError) { return try body() } catch { throw JWTConfigurationError(error.description) }
    }
}

/// What a token has to fulfil besides its signature.
public struct JWTOptions: Sendable {
    public enum Audience: Sendable, Equatable {
        /// `aud` must name one of these.
        case oneOf([String])
        /// Tokens for anybody are taken. Only right where the issuer serves this application alone: otherwise a token that was given to another service opens this one too
        /// (RFC 8725 section 3.9).
        case ignored
    }

    public var audience: Audience
    /// `iss` must be one of these; empty: not looked at.
    public var issuers: [String] = []
    /// Taken together with what each key is for; nil: all that the keys can do.
    public var algorithms: Set<JWTAlgorithmName>?
    /// Members that must be there and not null.
    public var requiredClaims = ["exp"]
    /// Each must be a word of `scope`, or an element of `scp`; else the answer is 403.
    public var scopes: [String] = []
    /// `typ` must be this (RFC 9068: `at+jwt`); nil: not looked at.
    public var type: String?
    /// By how much clocks may differ, in whole seconds.
    public var leeway = Duration.seconds(60)
    /// The longest time since `iat`, which must then be there; nil: any.
    public var maximumAge: Duration?
    /// Longer tokens are refused without being read; 64 KiB at most. `ServerOptions.Limits.headerBytes` bounds all fields together.
    public var tokenBytes = 8192
    /// Named in `WWW-Authenticate`; nil: none.
    public var realm: String?
    /// Lets requests without a token through, to handlers that look whether there are claims. A token that is there must be good in any case.
    public var isOptional = false

    public init(audience: Audience) { self.audience = audience }

    var rules: JWTRules {
        var rules = JWTRules(audience: .ignored)
        if case .oneOf(let names) = audience { rules.audience = .oneOf(names) }
        rules.issuers = issuers
        rules.algorithms = JWTKeys.algorithms(algorithms) ?? .all
        rules.requiredClaims = requiredClaims
        rules.scopes = scopes
        rules.type = type
        rules.clockSkewSeconds = max(0, leeway.components.seconds)
        rules.ageSecondsMax = maximumAge.map { max(0, $0.components.seconds) }
        rules.tokenBytesMax = min(max(1, tokenBytes), JWTRules.tokenBytesLimit)
        return rules
    }
}
