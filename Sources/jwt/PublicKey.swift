// Public keys as OpenSSL's objects. Stateless; called when keys are loaded and when a verifier is made.

internal import CUringJWT

enum PublicKey {
    /// From SubjectPublicKeyInfo in DER, all of it; owned by the caller: EVP_PKEY_free.
    static func parse(_ der: [UInt8]) -> OpaquePointer? {
        // The cursor stays within the array, whose bytes are valid in the closure.
        unsafe der.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let key = unsafe d2i_PUBKEY(nil, &cursor, bytes.count) else { return nil }
            guard let base = bytes.baseAddress, unsafe cursor == base + bytes.count else {
                unsafe EVP_PKEY_free(key)
                return nil
            }
            return unsafe key
        }
    }

    /// SubjectPublicKeyInfo in DER of the caller's key.
    static func serialise(_ key: OpaquePointer) -> [UInt8]? {
        // OpenSSL's memory, freed here.
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_PUBKEY(key, &bytes)
        guard count > 0, let bytes = unsafe bytes else { return nil }
        defer { unsafe urjwt_openssl_free(bytes) }
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }

    /// nil for kinds and curves that no algorithm here has.
    static func kind(_ key: OpaquePointer) -> JWTKeyKind? {
        // The caller's key.
        switch unsafe EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_RSA: .rsa
        case EVP_PKEY_EC: unsafe curve(key)
        case EVP_PKEY_ED25519: .ed25519
        case EVP_PKEY_ED448: .ed448
        default: nil
        }
    }

    private static func curve(_ key: OpaquePointer) -> JWTKeyKind? {
        var name = [CChar](repeating: 0, count: 32)
        var count = 0
        // The caller's key; the name is cut to the array.
        guard unsafe EVP_PKEY_get_group_name(key, &name, name.count, &count) == 1 else { return nil }
        let text = name.prefix(count).map { UInt8(bitPattern: $0) }
        switch String(decoding: text, as: UTF8.self) {
        case "prime256v1", "P-256": return .p256
        case "secp384r1", "P-384": return .p384
        case "secp521r1", "P-521": return .p521
        default: return nil
        }
    }

    /// On its curve, not the neutral element, a modulus and exponent that can be ones.
    static func isSound(_ key: OpaquePointer) -> Bool {
        // The caller's key; the context is freed here.
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return false }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        return unsafe EVP_PKEY_public_check_quick(context) == 1
    }
}
