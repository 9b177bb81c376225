// Keys, tokens and a verifier for the tests. Signatures are OpenSSL's here; PyJWTTests has them from another library.

import CUringJWT
@testable import UringJWT

/// The time that tests are at, unless they say so.
let now: Int64 = 1_800_000_000

func base64URL(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var text: [UInt8] = []
    var bits = 0
    var count = 0
    for byte in bytes {
        bits = (bits << 8 | Int(byte)) & 0xffff
        count += 8
        while count >= 6 {
            text.append(alphabet[bits >> (count - 6) & 63])
            count -= 6
        }
    }
    if count > 0 { text.append(alphabet[bits << (6 - count) & 63]) }
    return String(decoding: text, as: UTF8.self)
}

func base64URL(_ text: String) -> String { base64URL(Array(text.utf8)) }

/// Something that signs: a secret, or a key pair of OpenSSL.
@safe final class Signer: @unchecked Sendable {
    let algorithm: JWTAlgorithm
    private let secret: [UInt8]
    private let key: OpaquePointer?

    init(secret: [UInt8], _ algorithm: JWTAlgorithm) {
        (self.algorithm, self.secret) = (algorithm, secret)
        unsafe key = nil
    }

    /// A new pair of the kind that the algorithm needs.
    init(_ algorithm: JWTAlgorithm, bits: CInt = 2048, is448: Bool = false) {
        self.algorithm = algorithm
        secret = []
        let kind: CInt
        switch algorithm {
        case .edDSA: kind = is448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519
        case .es256, .es384, .es512: kind = EVP_PKEY_EC
        default: kind = EVP_PKEY_RSA
        }
        let context = unsafe EVP_PKEY_CTX_new_id(kind, nil)
        defer { unsafe EVP_PKEY_CTX_free(context) }
        unsafe EVP_PKEY_keygen_init(context)
        if kind == EVP_PKEY_RSA { unsafe EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) }
        let curves: [JWTAlgorithm: CInt] = [.es256: NID_X9_62_prime256v1, .es384: NID_secp384r1, .es512: NID_secp521r1]
        if let curve = curves[algorithm] { unsafe EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, curve) }
        var made: OpaquePointer?
        unsafe EVP_PKEY_keygen(context, &made)
        unsafe key = made
    }

    /// The same pair for another algorithm.
    init(_ other: Signer, _ algorithm: JWTAlgorithm) {
        (self.algorithm, secret) = (algorithm, other.secret)
        unsafe key = other.key
        if let key = unsafe key { unsafe EVP_PKEY_up_ref(key) }
    }

    deinit { unsafe EVP_PKEY_free(key) }

    /// SubjectPublicKeyInfo in DER and as PEM.
    var der: [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_PUBKEY(key, &bytes)
        defer { unsafe urjwt_openssl_free(bytes) }
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }

    var pem: String { armoured("PUBLIC KEY", der) }

    func keys(identifier: String? = nil, algorithms: JWTAlgorithms? = nil) throws -> JWTKeySet {
        guard unsafe key == nil else { return try JWTKeySet.pem(pem, identifier: identifier, algorithms: algorithms) }
        var set = JWTKeySet()
        try set.add(JWTKey.secret(secret, identifier: identifier, algorithms: algorithms ?? JWTAlgorithms(algorithm)))
        return set
    }

    // MARK: signing

    /// As a token has it: for ECDSA r‖s.
    func sign(_ input: [UInt8]) -> [UInt8] {
        guard unsafe key != nil else { return hmac(secret, input, algorithm) }
        let context = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        unsafe EVP_DigestSignInit(context, &keyContext, algorithm.digest?.method, nil, key)
        if algorithm.isPSS {
            unsafe EVP_PKEY_CTX_set_rsa_padding(keyContext, RSA_PKCS1_PSS_PADDING)
            unsafe EVP_PKEY_CTX_set_rsa_pss_saltlen(keyContext, RSA_PSS_SALTLEN_DIGEST)
        }
        var count = 0
        unsafe EVP_DigestSign(context, nil, &count, input, input.count)
        var signature = [UInt8](repeating: 0, count: count)
        unsafe EVP_DigestSign(context, &signature, &count, input, input.count)
        signature.removeLast(signature.count - count)
        switch algorithm {
        case .es256: return raw(signature, 32)
        case .es384: return raw(signature, 48)
        case .es512: return raw(signature, 66)
        default: return signature
        }
    }

    private func raw(_ der: [UInt8], _ half: Int) -> [UInt8] {
        var at = der[1] & 0x80 != 0 ? 3 : 2
        var out: [UInt8] = []
        for _ in 0..<2 {
            let count = Int(der[at + 1])
            let number = der[(at + 2)..<(at + 2 + count)].drop { $0 == 0 }
            out += [UInt8](repeating: 0, count: half - number.count) + number
            at += 2 + count
        }
        return out
    }

    func token(header: String, payload: String) -> String {
        let input = base64URL(header) + "." + base64URL(payload)
        return input + "." + base64URL(sign(Array(input.utf8)))
    }

    /// With the header that goes with the algorithm.
    func token(_ payload: String, kid: String? = nil) -> String {
        token(header: #"{"alg":"\#(algorithm.name)","typ":"JWT""# + (kid.map { #","kid":"\#($0)""# } ?? "") + "}", payload: payload)
    }
}

/// RFC 2104 by OpenSSL's one-shot function, which shares nothing with HMACKey.
func hmac(_ secret: [UInt8], _ text: [UInt8], _ algorithm: JWTAlgorithm) -> [UInt8] {
    var code = [UInt8](repeating: 0, count: 64)
    var count: UInt32 = 0
    unsafe HMAC(algorithm.digest?.method, secret, CInt(secret.count), text, text.count, &code, &count)
    return Array(code.prefix(Int(count)))
}

func armoured(_ kind: String, _ der: [UInt8]) -> String {
    // base64 from base64url, with padding.
    var text = base64URL(der).map { $0 == "-" ? "+" : $0 == "_" ? "/" : String($0) }.joined()
    while text.count % 4 != 0 { text += "=" }
    var lines = "-----BEGIN \(kind)-----\n"
    var rest = text[...]
    while !rest.isEmpty {
        lines += rest.prefix(64) + "\n"
        rest = rest.dropFirst(64)
    }
    return lines + "-----END \(kind)-----\n"
}

extension JWTKeySet {
    static func pem(_ text: String, identifier: String? = nil, algorithms: JWTAlgorithms? = nil) throws -> JWTKeySet {
        let bytes = Array(text.utf8)
        return try unsafe bytes.withUnsafeBufferPointer { try unsafe pem($0, identifier: identifier, algorithms: algorithms, source: "test.pem") }
    }

    static func jwks(_ text: String, acceptsSecrets: Bool = true) throws -> (JWTKeySet, [JWTKeyWarning]) {
        let bytes = Array(text.utf8)
        var warnings: [JWTKeyWarning] = []
        let set = try unsafe bytes.withUnsafeBufferPointer {
            try unsafe jwks($0, acceptsSecrets: acceptsSecrets, source: "test.json", warnings: &warnings)
        }
        return (set, warnings)
    }
}

extension JWTKey {
    static func secret(_ bytes: [UInt8], identifier: String? = nil, algorithms: JWTAlgorithms? = nil) throws -> JWTKey {
        try unsafe bytes.withUnsafeBufferPointer { try unsafe secret($0, identifier: identifier.map { Array($0.utf8) }, algorithms: algorithms) }
    }
}

/// One of each kind, made once: RSA keys take a while.
enum Keys {
    static let secret = (0..<64).map { UInt8($0) &* 7 &+ 3 }
    static let rsa = Signer(.rs256)
    static let otherRSA = Signer(.rs256)
    static let p256 = Signer(.es256)
    static let all: [Signer] = JWTAlgorithm.allCases.map { algorithm in
        if algorithm.isHMAC { return Signer(secret: secret, algorithm) }
        if JWTAlgorithms.rsa.contains(algorithm) { return Signer(rsa, algorithm) }
        return Signer(algorithm)
    } + [Signer(.edDSA, is448: true)]
}

/// A verdict that can be compared and outlives the memory.
enum Outcome: Equatable {
    case accepted
    case refused(JWTRefusal)
}

/// A verifier with memory of its own, which is never freed: claims in an expression may outlive the last use of the verifier. Tokens are copied to memory of exactly their size, where the sanitizer sees reading beyond.
@safe final class TestVerifier {
    private var verifier: JWTVerifier
    private let memory: UnsafeMutableRawPointer
    private let capacity: Int
    /// Of the last accepted token, until the next call.
    private(set) var claims: JWTClaims?

    init(_ keys: JWTKeySet, _ rules: JWTRules = JWTRules(audience: .ignored)) throws {
        verifier = try JWTVerifier(keys: keys, rules: rules)
        capacity = verifier.memoryBytes
        unsafe memory = .allocate(byteCount: capacity, alignment: 16)
    }

    func verify(_ token: String, at time: Int64 = now) -> Outcome { verify(Array(token.utf8), at: time) }

    func verify(_ token: [UInt8], at time: Int64 = now) -> Outcome {
        let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: token.count)
        defer { unsafe copy.deallocate() }
        _ = unsafe copy.initialize(from: token)
        claims = nil
        guard let base = copy.baseAddress else { return .refused(.malformed) }
        // Memory of exactly the size that a token of this length may need.
        let room = min(JWTMemory.bytes(forTokenBytes: token.count), capacity)
        let verdict = unsafe verifier.verify(base, count: token.count, nowSeconds: time, memory: JWTMemory(base: memory, capacity: room))
        switch verdict {
        case .accepted(let claims):
            self.claims = claims
            return .accepted
        case .refused(let refusal): return .refused(refusal)
        }
    }
}

extension JSONValue {
    var text: String { unsafe String(decoding: bytes, as: UTF8.self) }

    func at(_ path: String) -> JSONValue? {
        let bytes = Array(path.utf8)
        return unsafe bytes.withUnsafeBufferPointer { unsafe value(at: $0) }
    }
}

/// A JSON text that has been read, with its memory, which is never freed: a value in an expression may outlive the last use of this.
@safe final class ReadJSON {
    private let text: UnsafeMutableBufferPointer<UInt8>
    private let nodes: UnsafeMutableBufferPointer<JSONNode>
    let count: Int

    init(_ bytes: [UInt8], capacity: Int? = nil) throws(JSONFault) {
        unsafe text = .allocate(capacity: bytes.count)
        _ = unsafe text.initialize(from: bytes)
        unsafe nodes = .allocate(capacity: capacity ?? bytes.count / 2 + 1)
        // Both were allocated just now; an empty text has an address to be ignored.
        guard let base = unsafe text.baseAddress, let table = unsafe nodes.baseAddress else { throw .tooLong }
        do {
            count = try unsafe JSONScanner.read(base, count: bytes.count, into: table, capacity: nodes.count)
        } catch {
            unsafe text.deallocate()
            unsafe nodes.deallocate()
            throw error
        }
    }

    convenience init(_ text: String) throws(JSONFault) { try self.init(Array(text.utf8)) }

    var value: JSONValue {
        guard let base = unsafe text.baseAddress, let table = unsafe nodes.baseAddress else { fatalError("no memory") }
        return unsafe JSONValue(text: base, nodes: table, index: 0)
    }
}
