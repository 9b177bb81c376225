// Key pairs and signatures, by OpenSSL as its manual says: what the verifier is compared with.

import CUringJWT
import UringJWT

/// Signs tokens of one algorithm, and verifies them in the plain way.
final class Signer {
    let algorithm: JWTAlgorithm
    let name: String
    let key: OpaquePointer?
    let secret = [UInt8](repeating: 7, count: 64)
    private let context = EVP_MD_CTX_new()

    init(_ algorithm: JWTAlgorithm, bits: CInt = 2048, is448: Bool = false) {
        self.algorithm = algorithm
        let isRSA = JWTAlgorithms.rsa.contains(algorithm)
        name = "\(algorithm.name)" + (isRSA ? " \(bits)" : algorithm == .edDSA ? is448 ? " Ed448" : " Ed25519" : "")
        if JWTAlgorithms.hmac.contains(algorithm) {
            key = nil
            return
        }
        let curves: [JWTAlgorithm: CInt] = [.es256: NID_X9_62_prime256v1, .es384: NID_secp384r1, .es512: NID_secp521r1]
        let kind = isRSA ? EVP_PKEY_RSA : algorithm == .edDSA ? is448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519 : EVP_PKEY_EC
        let maker = EVP_PKEY_CTX_new_id(kind, nil)
        EVP_PKEY_keygen_init(maker)
        if isRSA { EVP_PKEY_CTX_set_rsa_keygen_bits(maker, bits) }
        if let curve = curves[algorithm] { EVP_PKEY_CTX_set_ec_paramgen_curve_nid(maker, curve) }
        var made: OpaquePointer?
        EVP_PKEY_keygen(maker, &made)
        EVP_PKEY_CTX_free(maker)
        key = made
    }

    var digest: OpaquePointer? {
        switch algorithm {
        case .hs256, .rs256, .ps256, .es256: EVP_sha256()
        case .hs384, .rs384, .ps384, .es384: EVP_sha384()
        case .hs512, .rs512, .ps512, .es512: EVP_sha512()
        case .edDSA: nil
        }
    }

    private var isPSS: Bool { "\(algorithm.name)".hasPrefix("PS") }

    private func pad(_ context: OpaquePointer?) {
        guard isPSS else { return }
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING)
        EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST)
    }

    /// As OpenSSL makes it: in DER for ECDSA.
    func sign(_ input: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 1024)
        var count = out.count
        if key == nil {
            var length: UInt32 = 0
            HMAC(digest, secret, CInt(secret.count), input, input.count, &out, &length)
            return Array(out.prefix(Int(length)))
        }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        EVP_DigestSignInit(context, &keyContext, digest, nil, key)
        pad(keyContext)
        precondition(EVP_DigestSign(context, &out, &count, input, input.count) == 1)
        return Array(out.prefix(count))
    }

    /// EVP_DigestVerify on a context that is begun anew; for HMAC its one-shot function and CRYPTO_memcmp.
    @inline(never) func verifyPlainly(_ input: UnsafeBufferPointer<UInt8>, _ signature: UnsafeBufferPointer<UInt8>) -> Int {
        if key == nil {
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { out in
                var length: UInt32 = 0
                HMAC(digest, secret, CInt(secret.count), input.baseAddress, input.count, out.baseAddress, &length)
                return CRYPTO_memcmp(out.baseAddress, signature.baseAddress, Int(length)) == 0 ? 1 : 0
            }
        }
        var keyContext: OpaquePointer?
        EVP_MD_CTX_reset(context)
        EVP_DigestVerifyInit(context, &keyContext, digest, nil, key)
        pad(keyContext)
        return Int(EVP_DigestVerify(context, signature.baseAddress, signature.count, input.baseAddress, input.count))
    }

    /// r and s in their full length.
    func asToken(_ der: [UInt8]) -> [UInt8] {
        let halves: [JWTAlgorithm: Int] = [.es256: 32, .es384: 48, .es512: 66]
        guard let half = halves[algorithm] else { return der }
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

    func keys() throws -> JWTKeySet {
        var set = JWTKeySet()
        guard let key else {
            try set.add(secret.withUnsafeBufferPointer { try JWTKey.secret($0, algorithms: JWTAlgorithms(algorithm)) })
            return set
        }
        let bio = BIO_new(BIO_s_mem())
        defer { BIO_free(bio) }
        PEM_write_bio_PUBKEY(bio, key)
        var text = [UInt8](repeating: 0, count: 16384)
        let count = Int(BIO_read(bio, &text, CInt(text.count)))
        return try text[..<count].withUnsafeBufferPointer { try JWTKeySet.pem($0, algorithms: JWTAlgorithms(algorithm), source: "bench") }
    }
}

func base64URL(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var (text, bits, count) = ([UInt8](), 0, 0)
    for byte in bytes {
        bits = (bits << 8 | Int(byte)) & 0xffff
        count += 8
        while count >= 6 {
            text.append(alphabet[bits >> (count - 6) & 63])
            count -= 6
        }
    }
    if count > 0 { text.append(alphabet[bits << (6 - count) & 63]) }
    return text
}
