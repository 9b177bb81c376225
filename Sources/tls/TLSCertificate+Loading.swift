// Certificates, keys and authorities from PEM, with an error for everything that an operator can get wrong. Called when a
// configuration is loaded; no thread of its own, nothing kept.

internal import CUringTLS
internal import Glibc

extension TLSCertificate {
    /// Loads a chain and its key from files.
    ///
    /// - Parameters:
    ///   - certificate: PEM, the server's certificate first, then the intermediates.
    ///   - key: PEM, not encrypted; may be the same file.
    ///   - ocsp: a DER OCSP response to staple.
    ///   - nowSeconds: seconds since 1970, to judge the validity by.
    ///   - warnings: gets what works and should be known.
    package static func load(
        certificate: String, key: String, ocsp: String? = nil, nowSeconds: Int64, warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> TLSCertificate {
        let chain = try SecretFile.read(certificate)
        let secret = try SecretFile.read(key, isSecret: true, warnings: &warnings)
        var made = try load(chain: chain, from: certificate, key: secret, from: key, nowSeconds: nowSeconds, warnings: &warnings)
        if let ocsp { made.ocspResponse = try staple(SecretFile.read(ocsp), from: ocsp) }
        return made
    }

    /// The same from memory; `name` stands for the file in messages.
    package static func load(
        certificatePEM: [UInt8], keyPEM: SecretBytes, name: String, nowSeconds: Int64, warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> TLSCertificate {
        let chain = unsafe certificatePEM.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
        return try load(chain: chain, from: name, key: keyPEM, from: name, nowSeconds: nowSeconds, warnings: &warnings)
    }

    /// The same from bytes of any origin: `file` and `keyFile` stand for it in messages.
    package static func load(
        chain chainPEM: SecretBytes, from file: String, key keyPEM: SecretBytes, from keyFile: String, nowSeconds: Int64,
        warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> TLSCertificate {
        let chain = try PEMReader.certificates(chainPEM, file: file)
        let key = unsafe try PEMReader.privateKey(keyPEM, file: keyFile)
        // Both are owned here and freed at the end.
        defer { unsafe EVP_PKEY_free(key) }
        guard let leaf = unsafe OpenSSLObjects.certificate(chain[0]) else {
            throw .openSSL(file, remedy: "export the certificate again")
        }
        defer { unsafe X509_free(leaf) }
        guard let kind = unsafe OpenSSLObjects.kind(key) else {
            throw TLSLoadError(file: keyFile, reason: "a kind of key that TLS has no use for", remedy: "use an RSA, P-256, P-384 or Ed25519 key")
        }
        guard unsafe X509_check_private_key(leaf, key) == 1 else {
            ERR_clear_error()
            throw TLSLoadError(
                file: keyFile, reason: "the key does not belong to the certificate in \(file)",
                remedy: "give the key that the certificate was requested with, and put the server's own certificate first in its file")
        }
        if kind == .rsa, unsafe EVP_PKEY_get_bits(key) < 2048 {
            throw TLSLoadError(file: keyFile, reason: "an RSA key of \(unsafe EVP_PKEY_get_bits(key)) bits", remedy: "use 2048 bits or more, or P-256")
        }
        guard let secret = unsafe serialise(key) else { throw .openSSL(keyFile, remedy: "export the key again") }
        let made = unsafe TLSCertificate(
            chain: chain, key: secret, keyKind: kind, names: OpenSSLObjects.names(leaf), fingerprint: OpenSSLObjects.fingerprint(leaf),
            notBefore: OpenSSLObjects.seconds(X509_get0_notBefore(leaf)) ?? 0, notAfter: OpenSSLObjects.seconds(X509_get0_notAfter(leaf)) ?? 0)
        warnings += made.validityWarnings(file: file, nowSeconds: nowSeconds)
        return made
    }

    private func validityWarnings(file: String, nowSeconds: Int64) -> [TLSLoadWarning] {
        if nowSeconds > notAfter {
            return [TLSLoadWarning(file: file, reason: "the certificate has expired", remedy: "renew it: clients refuse it")]
        }
        if nowSeconds < notBefore {
            return [TLSLoadWarning(file: file, reason: "the certificate is not valid yet", remedy: "check this machine's clock, or wait")]
        }
        return []
    }

    /// The bytes of an OCSP response in DER, judged.
    package static func staple(_ bytes: SecretBytes, from file: String) throws(TLSLoadError) -> [UInt8] {
        // Parsed to see that it is one, and freed; what is sent are the file's bytes.
        let isResponse = unsafe bytes.withBytes { bytes in
            var cursor = bytes.baseAddress
            let response = unsafe d2i_OCSP_RESPONSE(nil, &cursor, bytes.count)
            defer { unsafe OCSP_RESPONSE_free(response) }
            return unsafe response != nil
        }
        guard isResponse else {
            ERR_clear_error()
            throw TLSLoadError(file: file, reason: "not an OCSP response in DER", remedy: "write it with `openssl ocsp … -respout FILE`")
        }
        return unsafe bytes.withBytes { unsafe Array($0) }
    }

    /// DER of a key, owned and wiped by the answer.
    static func serialise(_ key: OpaquePointer) -> SecretBytes? {
        // The caller's key; OpenSSL's copy is wiped and freed here.
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_PrivateKey(key, &bytes)
        guard count > 0, let bytes = unsafe bytes else { return nil }
        defer { unsafe urtls_clear_free(bytes, Int(count)) }
        return unsafe SecretBytes(copying: UnsafeRawBufferPointer(start: bytes, count: Int(count)))
    }
}

extension TLSAuthorities {
    /// Loads the authorities of client certificates from a PEM file.
    package static func load(_ file: String) throws(TLSLoadError) -> TLSAuthorities {
        try load(try SecretFile.read(file), from: file)
    }

    /// From PEM of any origin: `file` stands for it in messages.
    package static func load(_ pem: SecretBytes, from file: String) throws(TLSLoadError) -> TLSAuthorities {
        TLSAuthorities(certificates: try PEMReader.certificates(pem, file: file))
    }

    package static func load(pem: [UInt8], name: String) throws(TLSLoadError) -> TLSAuthorities {
        let bytes = unsafe pem.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
        return TLSAuthorities(certificates: try PEMReader.certificates(bytes, file: name))
    }
}
