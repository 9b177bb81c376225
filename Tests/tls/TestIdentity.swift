// Certificates and keys made in memory for a test: authorities, servers, clients.

import CUringTLS
import Glibc
import UringTLS

/// The time that the tests' servers are told; certificates are made relative to the real one, which OpenSSL verifies by.
let now = Int64(time(nil))

/// A certificate with its key, owned. Never changed once made: OpenSSL signs with one key on any number of threads.
@safe final class TestIdentity: @unchecked Sendable {
    enum Kind { case p256, rsa }

    let certificate: OpaquePointer
    let key: OpaquePointer

    /// - Parameters:
    ///   - second: another common name.
    ///   - alternativeNames: as openssl's configuration has them.
    ///   - issuer: nil for one that signs itself.
    ///   - days: validity, relative to now.
    init(
        _ subject: String, second: String? = nil, names: [String] = [], alternativeNames: String? = nil, kind: Kind = .p256, issuer: TestIdentity? = nil, isAuthority: Bool = false, days: ClosedRange<Int> = -1...30
    ) {
        unsafe key = kind == .p256 ? urtls_generate_p256() : urtls_generate_rsa(2048)
        unsafe certificate = X509_new()
        unsafe X509_set_version(certificate, 2)
        unsafe ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), UInt64.random(in: 1..<1 << 62))
        unsafe X509_gmtime_adj(X509_getm_notBefore(certificate), days.lowerBound * 86400)
        unsafe X509_gmtime_adj(X509_getm_notAfter(certificate), days.upperBound * 86400)
        unsafe X509_set_pubkey(certificate, key)
        unsafe X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, subject, -1, -1, 0)
        if let second { unsafe X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, second, -1, -1, 0) }
        unsafe X509_set_issuer_name(certificate, X509_get_subject_name(issuer?.certificate ?? certificate))
        if isAuthority { add(NID_basic_constraints, "critical,CA:TRUE") }
        if !names.isEmpty { add(NID_subject_alt_name, names.map { $0.hasPrefix("IP:") ? $0 : "DNS:" + $0 }.joined(separator: ",")) }
        if let alternativeNames { add(NID_subject_alt_name, alternativeNames) }
        unsafe X509_sign(certificate, issuer?.key ?? key, EVP_sha256())
    }

    deinit {
        unsafe X509_free(certificate)
        unsafe EVP_PKEY_free(key)
    }

    private func add(_ identifier: CInt, _ value: String) {
        let made = unsafe X509V3_EXT_conf_nid(nil, nil, identifier, value)
        unsafe X509_add_ext(certificate, made, -1)
        unsafe X509_EXTENSION_free(made)
    }

    var certificatePEM: String { unsafe text { bio in unsafe PEM_write_bio_X509(bio, certificate) } }
    var keyPEM: String { unsafe text { bio in unsafe PEM_write_bio_PrivateKey(bio, key, nil, nil, 0, nil, nil) } }

    private func text(_ write: (OpaquePointer?) -> CInt) -> String {
        let bio = unsafe BIO_new(BIO_s_mem())
        defer { unsafe BIO_free(bio) }
        _ = unsafe write(bio)
        var bytes: UnsafeMutablePointer<CChar>?
        let count = unsafe urtls_bio_memory(bio, &bytes)
        return unsafe String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// As a configuration has it.
    func loaded(chain: [TestIdentity] = []) throws -> TLSCertificate {
        var warnings: [TLSLoadWarning] = []
        let pem = ([self] + chain).map(\.certificatePEM).joined()
        return try TLSCertificate.load(
            certificatePEM: Array(pem.utf8), keyPEM: secret(Array(keyPEM.utf8)), name: "test", nowSeconds: now, warnings: &warnings)
    }
}

func secret(_ bytes: [UInt8]) -> SecretBytes { unsafe bytes.withUnsafeBytes { unsafe SecretBytes(copying: $0) } }

extension TLSContext {
    /// With one P-256 certificate for localhost, and what the test changes.
    static func make(_ change: (inout TLSConfiguration) -> Void = { _ in }) throws -> TLSContext {
        var configuration = try TLSConfiguration.selfSigned(nowSeconds: now)
        change(&configuration)
        return try TLSContext(configuration, nowSeconds: now)
    }
}
