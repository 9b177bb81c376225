// Public keys and certificates from PEM. Called when a configuration is loaded.

internal import CUringJWT

extension JWTKeySet {
    /// Every public key and certificate of a PEM text, at least one. A certificate lends its key and nothing else: its validity and issuer are
    /// not looked at, because the operator has chosen it.
    /// - Parameters:
    ///   - identifier: `kid` of the key, when there is one and tokens name it.
    ///   - algorithms: nil for all that the keys can do.
    ///   - source: the file, for messages.
    package static func pem(
        _ text: UnsafeBufferPointer<UInt8>, identifier: String? = nil, algorithms: JWTAlgorithms? = nil, source: String
    ) throws(JWTKeyError) -> JWTKeySet {
        // The caller's text during this call.
        let blocks = unsafe PEMBlocks.read(text)
        var set = JWTKeySet()
        let kid = identifier.map { Array($0.utf8) }
        for block in blocks {
            if block.kind.hasSuffix("PRIVATE KEY") {
                throw JWTKeyError(source, "holds a private key", "give the public one: `openssl pkey -in FILE -pubout -out FILE.pub`")
            }
            guard let der = block.publicKey else {
                throw JWTKeyError(source, "\(block.kind) does not parse", "give PUBLIC KEY or CERTIFICATE, and export it again")
            }
            try set.add(JWTKey.spki(der, identifier: kid, algorithms: algorithms, source: source), source: source)
        }
        guard !set.keys.isEmpty else {
            throw JWTKeyError(source, "holds no public key", "it must have a line -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----")
        }
        return set
    }
}

/// The blocks of a PEM text, decoded.
private struct PEMBlocks {
    let kind: String
    let bytes: [UInt8]

    static func read(_ text: UnsafeBufferPointer<UInt8>) -> [PEMBlocks] {
        // The BIO reads the caller's text; each block is OpenSSL's memory and freed in the loop.
        guard text.count > 0, let bio = unsafe BIO_new_mem_buf(text.baseAddress, CInt(clamping: text.count)) else { return [] }
        defer {
            unsafe BIO_free(bio)
            ERR_clear_error()
        }
        var blocks: [PEMBlocks] = []
        while let block = unsafe next(bio), blocks.count <= JWTKeySet.keysMax { blocks.append(block) }
        return blocks
    }

    private static func next(_ bio: OpaquePointer) -> PEMBlocks? {
        var name: UnsafeMutablePointer<CChar>?
        var header: UnsafeMutablePointer<CChar>?
        var data: UnsafeMutablePointer<UInt8>?
        var count = 0
        guard unsafe PEM_read_bio(bio, &name, &header, &data, &count) == 1, let kind = unsafe name, let bytes = unsafe data else { return nil }
        defer {
            unsafe urjwt_openssl_free(kind)
            unsafe urjwt_openssl_free(header)
            // It may be a private key, put there by mistake.
            unsafe urjwt_clear_free(bytes, count)
        }
        let text = unsafe String(cString: kind)
        let isSecret = text.hasSuffix("PRIVATE KEY")
        return unsafe PEMBlocks(kind: text, bytes: isSecret ? [] : Array(UnsafeBufferPointer(start: bytes, count: count)))
    }

    /// SubjectPublicKeyInfo in DER.
    var publicKey: [UInt8]? {
        switch kind {
        case "PUBLIC KEY": return bytes
        case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE": return certificateKey
        case "RSA PUBLIC KEY": return rsaKey
        default: return nil
        }
    }

    private var certificateKey: [UInt8]? {
        // The cursor stays within the array; certificate and key are freed here.
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let certificate = unsafe d2i_X509(nil, &cursor, bytes.count) else { return nil }
            defer { unsafe X509_free(certificate) }
            // The certificate's own, not counted.
            guard let key = unsafe X509_get0_pubkey(certificate) else { return nil }
            return unsafe PublicKey.serialise(key)
        }
    }

    /// PKCS #1 (RFC 8017 A.1.1).
    private var rsaKey: [UInt8]? {
        // The cursor stays within the array; the key is freed here.
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let key = unsafe d2i_PublicKey(EVP_PKEY_RSA, nil, &cursor, bytes.count) else { return nil }
            defer { unsafe EVP_PKEY_free(key) }
            return unsafe PublicKey.serialise(key)
        }
    }
}
