// The client's certificate, when it was asked for, sent and verified. Loop's thread; called when somebody wants to know, so it may
// allocate.

internal import CUringTLS
internal import Glibc

extension TLSSession {
    /// The client's certificate, verified against the authorities; nil when there is none. Borrowed from the session.
    var clientCertificate: OpaquePointer? {
        if let established = unsafe memory.pointee.established { return unsafe established.pointee.clientCertificate }
        guard unsafe memory.pointee.isEstablished, unsafe SSL_get_verify_result(ssl) == Int(X509_V_OK) else { return nil }
        return unsafe SSL_get0_peer_certificate(ssl)
    }

    package var hasClientCertificate: Bool { unsafe clientCertificate != nil }

    /// The subject on one line, as RFC 2253 writes it: printable ASCII, everything else escaped.
    package var clientSubject: String? {
        guard let certificate = unsafe clientCertificate else { return nil }
        return unsafe Self.text { bio in unsafe urtls_print_name(bio, X509_get_subject_name(certificate)) >= 0 }
    }

    /// SHA-256 in hexadecimal with colons.
    package var clientFingerprint: String? {
        guard let certificate = unsafe clientCertificate else { return nil }
        return unsafe OpenSSLObjects.fingerprint(certificate)
    }

    package var clientPEM: String? {
        guard let certificate = unsafe clientCertificate else { return nil }
        return unsafe Self.text { bio in unsafe PEM_write_bio_X509(bio, certificate) == 1 }
    }

    private static func text(_ print: (OpaquePointer) -> Bool) -> String? {
        // The BIO is ours; its memory is copied before it goes.
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        defer { unsafe BIO_free(bio) }
        guard unsafe print(bio) else { return nil }
        var bytes: UnsafeMutablePointer<CChar>?
        let count = unsafe urtls_bio_memory(bio, &bytes)
        guard let bytes = unsafe bytes, count >= 0 else { return nil }
        return unsafe String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    }
}
