// The signature algorithms of JSON Web Tokens (RFC 7518 section 3, RFC 8037) and sets of them. Plain values; any thread.

/// An algorithm by which a token may be signed. `none` is not among them, so nothing can allow it (RFC 8725 3.2).
@frozen @usableFromInline package enum JWTAlgorithm: UInt8, CaseIterable, Equatable, Sendable {
    case hs256, hs384, hs512
    case rs256, rs384, rs512
    case ps256, ps384, ps512
    case es256, es384, es512
    case edDSA

    /// As `alg` has it; compared byte for byte (RFC 7515 4.1.1: case-sensitive).
    package var name: StaticString {
        switch self {
        case .hs256: "HS256"
        case .hs384: "HS384"
        case .hs512: "HS512"
        case .rs256: "RS256"
        case .rs384: "RS384"
        case .rs512: "RS512"
        case .ps256: "PS256"
        case .ps384: "PS384"
        case .ps512: "PS512"
        case .es256: "ES256"
        case .es384: "ES384"
        case .es512: "ES512"
        case .edDSA: "EdDSA"
        }
    }

    package init?(named name: some StringProtocol) {
        guard let found = JWTAlgorithm.allCases.first(where: { $0.name.description == name }) else { return nil }
        self = found
    }

    /// For the request path: nil for every other spelling.
    init?(bytes: UnsafeBufferPointer<UInt8>) {
        // The caller's memory, read during this call.
        if bytes.count != 5 { return nil }
        let (family, second) = unsafe (bytes[0], bytes[1])
        if unsafe family == 0x45 && second == 0x64 && bytes[2] == 0x44 && bytes[3] == 0x53 && bytes[4] == 0x41 {
            self = .edDSA
            return
        }
        let first: UInt8
        switch family {
        case 0x48: first = JWTAlgorithm.hs256.rawValue
        case 0x52: first = JWTAlgorithm.rs256.rawValue
        case 0x50: first = JWTAlgorithm.ps256.rawValue
        case 0x45: first = JWTAlgorithm.es256.rawValue
        default: return nil
        }
        guard second == 0x53 else { return nil }
        switch unsafe (bytes[2], bytes[3], bytes[4]) {
        case (0x32, 0x35, 0x36): self.init(rawValue: first)
        case (0x33, 0x38, 0x34): self.init(rawValue: first &+ 1)
        case (0x35, 0x31, 0x32): self.init(rawValue: first &+ 2)
        default: return nil
        }
    }

    /// The digest of the signing input; EdDSA takes the input itself.
    var digest: SHA2? {
        switch self {
        case .hs256, .rs256, .ps256, .es256: .sha256
        case .hs384, .rs384, .ps384, .es384: .sha384
        case .hs512, .rs512, .ps512, .es512: .sha512
        case .edDSA: nil
        }
    }

    var isHMAC: Bool { rawValue <= JWTAlgorithm.hs512.rawValue }
    var isPSS: Bool { self == .ps256 || self == .ps384 || self == .ps512 }
}

/// A set of algorithms: what a key may be used with, what a route accepts.
package struct JWTAlgorithms: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }
    package init(_ algorithm: JWTAlgorithm) { rawValue = 1 << UInt16(algorithm.rawValue) }
    package init(_ algorithms: [JWTAlgorithm]) { self = algorithms.reduce(into: []) { $0.insert(JWTAlgorithms($1)) } }

    package static let hmac = JWTAlgorithms([.hs256, .hs384, .hs512])
    package static let rsa = JWTAlgorithms([.rs256, .rs384, .rs512, .ps256, .ps384, .ps512])
    package static let all = JWTAlgorithms(JWTAlgorithm.allCases)

    package func contains(_ algorithm: JWTAlgorithm) -> Bool { contains(JWTAlgorithms(algorithm)) }

    /// In the order of `JWTAlgorithm`.
    package var members: [JWTAlgorithm] { JWTAlgorithm.allCases.filter { contains($0) } }
}
