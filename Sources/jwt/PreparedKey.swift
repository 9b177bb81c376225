// A key made ready for one algorithm: what OpenSSL needs is made once, so that a verification allocates nothing of ours. Owned by a verifier and
// used on its thread alone, since OpenSSL's contexts are not for two threads.

internal import CUringJWT

@safe struct PreparedKey {
    let algorithm: JWTAlgorithm
    let kind: JWTKeyKind
    /// Place of `kid` among the verifier's identifiers; -1 when it has none.
    let identifier: Int
    /// Kept by the verifier's key set.
    private let secret: Unmanaged<HMACKey>?
    /// EVP_PKEY_CTX for RSA and ECDSA, with digest and padding set.
    private let context: OpaquePointer?
    /// EVP_MD_CTX for EdDSA, which takes the text itself.
    private let messageContext: OpaquePointer?

    /// nil when OpenSSL refuses: an algorithm that its configuration has switched off, or no memory.
    init?(_ key: JWTKey, _ algorithm: JWTAlgorithm, identifier: Int) {
        self.algorithm = algorithm
        kind = key.kind
        self.identifier = identifier
        switch key.material {
        case .secret(let states):
            guard let found = states.first(where: { $0.digest == algorithm.digest }) else { return nil }
            unsafe secret = .passUnretained(found)
            unsafe (context, messageContext) = (nil, nil)
        case .public(let der):
            unsafe secret = nil
            guard let parsed = unsafe PublicKey.parse(der) else { return nil }
            // The contexts count their own reference to the key.
            defer { unsafe EVP_PKEY_free(parsed) }
            if let digest = algorithm.digest {
                guard let made = unsafe PreparedKey.keyContext(parsed, digest, algorithm, kind) else { return nil }
                unsafe (context, messageContext) = (made, nil)
            } else {
                guard let made = unsafe PreparedKey.messageContext(parsed) else { return nil }
                unsafe (context, messageContext) = (nil, made)
            }
        }
    }

    private static func keyContext(_ key: OpaquePointer, _ digest: SHA2, _ algorithm: JWTAlgorithm, _ kind: JWTKeyKind) -> OpaquePointer? {
        // The caller's key; the context is freed here when it cannot be used.
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return nil }
        var works = unsafe EVP_PKEY_verify_init(context) == 1
        if kind == .rsa {
            works = unsafe works && EVP_PKEY_CTX_set_rsa_padding(context, algorithm.isPSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1
        }
        works = unsafe works && EVP_PKEY_CTX_set_signature_md(context, digest.method) == 1
        // RFC 7518 3.5: MGF1 with the same digest, which is the default, and a salt as long as the digest.
        if algorithm.isPSS { works = unsafe works && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, CInt(digest.bytes)) == 1 }
        if works { return unsafe context }
        unsafe EVP_PKEY_CTX_free(context)
        ERR_clear_error()
        return nil
    }

    private static func messageContext(_ key: OpaquePointer) -> OpaquePointer? {
        // The caller's key; the context is freed here when it cannot be used.
        guard let context = unsafe EVP_MD_CTX_new() else { return nil }
        if unsafe EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1 { return unsafe context }
        unsafe EVP_MD_CTX_free(context)
        ERR_clear_error()
        return nil
    }

    /// To be called once, by the owner.
    func free() {
        unsafe EVP_PKEY_CTX_free(context)
        unsafe EVP_MD_CTX_free(messageContext)
    }

    // MARK: verifying

    /// Whether `signature` is one of `input` by this key. `scratch` has room for `PreparedKey.scratchBytes`.
    func verifies(
        _ input: UnsafePointer<UInt8>, _ inputBytes: Int, signature: UnsafePointer<UInt8>, _ signatureBytes: Int, scratch: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        // The caller's memory, all of it apart from each other, for this call; the contexts live as long as the verifier.
        if let secret = unsafe secret {
            return unsafe verifiesCode(secret, input, inputBytes, signature, signatureBytes, scratch)
        }
        // Another user of the library on this thread may have left something there.
        ERR_clear_error()
        let isGood: Bool
        if let digest = algorithm.digest {
            unsafe digest.digest(input, count: inputBytes, to: scratch)
            isGood = unsafe verifiesDigest(scratch, digest.bytes, signature, signatureBytes, scratch + SHA2.bytesMax)
        } else {
            isGood = unsafe verifiesMessage(input, inputBytes, signature, signatureBytes)
        }
        if !isGood { ERR_clear_error() }
        return isGood
    }

    /// Of the digest and of a signature in DER.
    static let scratchBytes = SHA2.bytesMax + DERWriter.signatureBytesMax

    private func verifiesCode(
        _ secret: Unmanaged<HMACKey>, _ input: UnsafePointer<UInt8>, _ inputBytes: Int, _ code: UnsafePointer<UInt8>, _ codeBytes: Int,
        _ scratch: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        // See verifies.
        unsafe secret._withUnsafeGuaranteedRef { key in
            // The length is no secret: the algorithm says it.
            guard codeBytes == key.digest.bytes else { return false }
            unsafe key.authenticate(input, count: inputBytes, to: scratch)
            return unsafe CRYPTO_memcmp(scratch, code, codeBytes) == 0
        }
    }

    private func verifiesDigest(
        _ digest: UnsafePointer<UInt8>, _ digestBytes: Int, _ signature: UnsafePointer<UInt8>, _ signatureBytes: Int, _ der: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        // See verifies.
        let half = kind.coordinateBytes
        if half == 0 { return unsafe EVP_PKEY_verify(context, signature, signatureBytes, digest, digestBytes) == 1 }
        guard signatureBytes == 2 * half else { return false }
        let length = unsafe DERWriter.signature(signature, half: half, to: der)
        return unsafe EVP_PKEY_verify(context, der, length, digest, digestBytes) == 1
    }

    private func verifiesMessage(_ input: UnsafePointer<UInt8>, _ inputBytes: Int, _ signature: UnsafePointer<UInt8>, _ signatureBytes: Int) -> Bool {
        // See verifies. Begun anew each time, with the same key: nothing promises that a context serves twice.
        unsafe EVP_DigestVerifyInit(messageContext, nil, nil, nil, nil) == 1
            && EVP_DigestVerify(messageContext, signature, signatureBytes, input, inputBytes) == 1
    }
}
