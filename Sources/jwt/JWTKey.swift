// A key that signatures are verified with, as data: what it is, what it may be used for, what tokens call it. Immutable, so every verifier
// makes its own OpenSSL objects of it; made when a configuration is loaded or a key set arrives.

internal import CUringJWT

/// What a key is. RFC 8725 3.1: the key, and not the token, decides which algorithms come into question.
package enum JWTKeyKind: UInt8, Equatable, Sendable {
    case secret, rsa, p256, p384, p521, ed25519, ed448

    /// All that a key of this kind can do; a secret's length decides further.
    var algorithms: JWTAlgorithms {
        switch self {
        case .secret: .hmac
        case .rsa: .rsa
        case .p256: JWTAlgorithms(.es256)
        case .p384: JWTAlgorithms(.es384)
        case .p521: JWTAlgorithms(.es512)
        case .ed25519, .ed448: JWTAlgorithms(.edDSA)
        }
    }

    /// Bytes of r and of s (RFC 7518 3.4).
    var coordinateBytes: Int {
        switch self {
        case .p256: 32
        case .p384: 48
        case .p521: 66
        default: 0
        }
    }
}

package struct JWTKey: Sendable {
    /// RFC 7518 3.3.
    package static let rsaBitsMin = 2048
    /// A verification with 8192 bits takes 0.4 ms; more is of no use to anyone but an attacker who can offer keys.
    package static let rsaBitsMax = 8192
    /// `kid` is compared with each candidate; identifiers are thumbprints or UUIDs.
    package static let identifierBytesMax = 256

    enum Material: Sendable {
        /// By digest, for those that the secret is long enough for.
        case secret([HMACKey])
        /// SubjectPublicKeyInfo in DER, which OpenSSL has parsed once.
        case `public`([UInt8])
    }

    package let kind: JWTKeyKind
    /// `kid`; nil when tokens do not name it.
    package let identifier: [UInt8]?
    /// What it may be used with: never empty.
    package let algorithms: JWTAlgorithms
    let material: Material

    private init(kind: JWTKeyKind, identifier: [UInt8]?, algorithms: JWTAlgorithms, material: Material) {
        self.kind = kind
        self.identifier = identifier
        self.algorithms = algorithms
        self.material = material
    }

    /// A shared secret. It has to be as long as the digest is (RFC 7518 3.2): what is shorter can be guessed offline from one token.
    /// - Parameter algorithms: nil for all that the secret is long enough for.
    package static func secret(
        _ bytes: UnsafeBufferPointer<UInt8>, identifier: [UInt8]? = nil, algorithms: JWTAlgorithms? = nil, source: String = "the secret"
    ) throws(JWTKeyError) -> JWTKey {
        // The caller's bytes during this call; the states made of them are wiped by their owner.
        let kid = try checked(identifier, source)
        var states: [HMACKey] = []
        var possible: JWTAlgorithms = []
        let wanted = algorithms ?? .hmac
        for algorithm in JWTAlgorithms.hmac.members where wanted.contains(algorithm) {
            guard let digest = algorithm.digest, bytes.count >= digest.bytes else { continue }
            unsafe states.append(HMACKey(secret: bytes, digest: digest))
            possible.insert(JWTAlgorithms(algorithm))
        }
        guard !possible.isEmpty else {
            if wanted.intersection(.hmac).isEmpty {
                throw JWTKeyError(source, "a secret serves HS256, HS384 and HS512 only", "give the public key for other algorithms")
            }
            throw JWTKeyError(source, "\(bytes.count) bytes are too few for HMAC", "use a random secret of 32 bytes for HS256, 48 for HS384, 64 for HS512")
        }
        return JWTKey(kind: .secret, identifier: kid, algorithms: possible, material: .secret(states))
    }

    /// A public key as SubjectPublicKeyInfo in DER, judged.
    static func spki(
        _ der: [UInt8], identifier: [UInt8]?, algorithms: JWTAlgorithms?, source: String
    ) throws(JWTKeyError) -> JWTKey {
        let kid = try checked(identifier, source)
        guard let key = unsafe PublicKey.parse(der) else {
            ERR_clear_error()
            throw JWTKeyError(source, "the public key does not parse", "export it again")
        }
        // Owned here.
        defer {
            unsafe EVP_PKEY_free(key)
            ERR_clear_error()
        }
        guard let kind = unsafe PublicKey.kind(key) else {
            throw JWTKeyError(source, "a kind of key that tokens are not signed with here", "use RSA, P-256, P-384, P-521, Ed25519 or Ed448")
        }
        guard unsafe PublicKey.isSound(key) else { throw JWTKeyError(source, "the public key is not a valid one", "export it again") }
        if kind == .rsa { try unsafe checkRSA(key, source) }
        let possible = kind.algorithms.intersection(algorithms ?? .all)
        guard !possible.isEmpty else {
            let names = kind.algorithms.members.map(\.name.description).joined(separator: ", ")
            throw JWTKeyError(source, "the key is for other algorithms than the ones given", "it can be used with \(names)")
        }
        return JWTKey(kind: kind, identifier: kid, algorithms: possible, material: .public(der))
    }

    private static func checkRSA(_ key: OpaquePointer, _ source: String) throws(JWTKeyError) {
        // The caller's key.
        let bits = unsafe Int(EVP_PKEY_get_bits(key))
        guard bits >= rsaBitsMin && bits <= rsaBitsMax else {
            throw JWTKeyError(source, "an RSA key of \(bits) bits", "use \(rsaBitsMin) to \(rsaBitsMax) bits, or P-256")
        }
    }

    private static func checked(_ identifier: [UInt8]?, _ source: String) throws(JWTKeyError) -> [UInt8]? {
        if let identifier, identifier.count > identifierBytesMax {
            throw JWTKeyError(source, "a key identifier of \(identifier.count) bytes", "use at most \(identifierBytesMax)")
        }
        return identifier
    }
}

/// Why a key or a key set cannot be used: for the operator, who can mend it.
package struct JWTKeyError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file, URL or what else it came from.
    package let source: String
    package let reason: String
    package let remedy: String

    init(_ source: String, _ reason: String, _ remedy: String) {
        self.source = source
        self.reason = reason
        self.remedy = remedy
    }

    package var description: String { "\(source): \(reason): \(remedy)" }
}
