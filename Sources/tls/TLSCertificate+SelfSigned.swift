// A certificate for development, made in memory at start. No thread of its own.

internal import CUringTLS
internal import Glibc

extension TLSConfiguration {
    /// A listener with a fresh P-256 certificate that nobody vouches for: `certificates[0].fingerprint` is what a client can compare.
    package static func selfSigned(
        names: [String] = ["localhost", "127.0.0.1", "::1"], nowSeconds: Int64
    ) throws(TLSLoadError) -> TLSConfiguration {
        TLSConfiguration(certificates: [try TLSCertificate.selfSigned(names: names, nowSeconds: nowSeconds)])
    }
}

extension TLSCertificate {
    /// A day of leeway for clocks that are behind.
    private static let leewaySeconds = 86400
    /// Browsers refuse more than 398 days.
    private static let validitySeconds = 90 * 86400

    /// - Parameter names: DNS names and IP addresses of the certificate.
    package static func selfSigned(names: [String], nowSeconds: Int64) throws(TLSLoadError) -> TLSCertificate {
        let failure = TLSLoadError.openSSL("the self-signed certificate", remedy: "give DNS names and IP addresses")
        guard let key = unsafe urtls_generate_p256(), let certificate = unsafe X509_new() else { throw failure }
        // Both are owned here and freed at the end.
        defer {
            unsafe EVP_PKEY_free(key)
            unsafe X509_free(certificate)
            ERR_clear_error()
        }
        guard unsafe fill(certificate, key, names: names, nowSeconds: nowSeconds) else { throw .openSSL(failure.file, remedy: failure.remedy) }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509(certificate, &bytes)
        guard count > 0, let bytes = unsafe bytes, let secret = unsafe serialise(key) else { throw failure }
        defer { unsafe urtls_openssl_free(bytes) }
        return unsafe TLSCertificate(
            chain: [Array(UnsafeBufferPointer(start: bytes, count: Int(count)))], key: secret, keyKind: .ecdsa,
            names: OpenSSLObjects.names(certificate), fingerprint: OpenSSLObjects.fingerprint(certificate),
            notBefore: nowSeconds - Int64(leewaySeconds), notAfter: nowSeconds + Int64(validitySeconds))
    }

    private static func fill(_ certificate: OpaquePointer, _ key: OpaquePointer, names: [String], nowSeconds: Int64) -> Bool {
        // The caller's certificate and key; the extensions are ours and freed.
        var now = time_t(nowSeconds)
        let subject = unsafe X509_get_subject_name(certificate)
        var serial: UInt64 = 0
        guard unsafe X509_set_version(certificate, 2) == 1, unsafe RAND_bytes(&serial, 8) == 1,
            unsafe ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) == 1,
            unsafe X509_time_adj_ex(X509_getm_notBefore(certificate), 0, -leewaySeconds, &now) != nil,
            unsafe X509_time_adj_ex(X509_getm_notAfter(certificate), 0, validitySeconds, &now) != nil,
            unsafe X509_set_pubkey(certificate, key) == 1,
            unsafe X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, names.first ?? "localhost", -1, -1, 0) == 1,
            unsafe X509_set_issuer_name(certificate, subject) == 1
        else { return false }
        let alternatives = names.map { (isAddress($0) ? "IP:" : "DNS:") + $0 }.joined(separator: ",")
        return unsafe add(NID_subject_alt_name, alternatives, to: certificate) && add(NID_basic_constraints, "critical,CA:FALSE", to: certificate)
            && add(NID_ext_key_usage, "serverAuth", to: certificate) && X509_sign(certificate, key, EVP_sha256()) > 0
    }

    private static func add(_ identifier: CInt, _ value: String, to certificate: OpaquePointer) -> Bool {
        // The caller's certificate; it takes a copy of the extension.
        guard let made = unsafe X509V3_EXT_conf_nid(nil, nil, identifier, value) else { return false }
        defer { unsafe X509_EXTENSION_free(made) }
        return unsafe X509_add_ext(certificate, made, -1) == 1
    }

    private static func isAddress(_ name: String) -> Bool {
        var address = in6_addr()
        return unsafe inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1
    }
}
