// One certificate with its chain and key, as plain bytes: every loop makes OpenSSL objects of its own from them, because OpenSSL's
// objects count references and lock.

/// A certificate chain and its private key, known to fit together.
package struct TLSCertificate: Sendable {
    package enum KeyKind: Hashable, Sendable { case rsa, ecdsa, ed25519, ed448 }

    /// DER, the server's own certificate first, then the intermediates.
    package let chain: [[UInt8]]
    /// DER of the private key.
    let key: SecretBytes
    package let keyKind: KeyKind
    /// DNS names that the certificate is for, in lower case; `*.` stands for one label. Never empty unless it names none.
    package let names: [String]
    /// SHA-256 of the certificate as `openssl x509 -fingerprint -sha256` writes it.
    package let fingerprint: String
    /// Seconds since 1970.
    package let notBefore: Int64
    package let notAfter: Int64
    /// A DER OCSP response that is stapled when the client asks for one.
    package var ocspResponse: [UInt8]?
}

/// Authorities that client certificates are checked against: DER of each.
package struct TLSAuthorities: Sendable {
    package let certificates: [[UInt8]]
}
