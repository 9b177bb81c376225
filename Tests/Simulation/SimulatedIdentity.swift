// SimulatedIdentity: the certificates of the simulated servers and clients. All have RSA keys, whose signatures are of one length: so that a
// seed repeats a run exactly, although OpenSSL's random numbers do not.

import CUringTLS
import Glibc
import UringTLS

/// A certificate with its key, owned. Never changed once it is made; OpenSSL counts references atomically.
@safe final class SimulatedIdentity: @unchecked Sendable {
    let certificate: OpaquePointer
    let key: OpaquePointer

    /// - Parameters:
    ///   - key: of another identity; nil: a new one, which takes a tenth of a second.
    ///   - issuer: nil for one that signs itself.
    init(_ name: String, key of: SimulatedIdentity? = nil, issuer: SimulatedIdentity? = nil, isAuthority: Bool = false) {
        if let of {
            unsafe EVP_PKEY_up_ref(of.key)
            unsafe key = of.key
        } else {
            unsafe key = urtls_generate_rsa(2048)
        }
        unsafe certificate = X509_new()
        unsafe X509_set_version(certificate, 2)
        unsafe ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), 0x4000_0000_0000_0001)
        unsafe X509_gmtime_adj(X509_getm_notBefore(certificate), -86400)
        unsafe X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400)
        unsafe X509_set_pubkey(certificate, key)
        unsafe X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, name, -1, -1, 0)
        unsafe X509_set_issuer_name(certificate, X509_get_subject_name(issuer?.certificate ?? certificate))
        if isAuthority {
            let constraint = unsafe X509V3_EXT_conf_nid(nil, nil, NID_basic_constraints, "critical,CA:TRUE")
            unsafe X509_add_ext(certificate, constraint, -1)
            unsafe X509_EXTENSION_free(constraint)
        }
        unsafe X509_sign(certificate, issuer?.key ?? key, EVP_sha256())
    }

    deinit {
        unsafe X509_free(certificate)
        unsafe EVP_PKEY_free(key)
    }

    /// For a listener that shows this certificate.
    func configuration() -> TLSConfiguration {
        let keyPEM = unsafe Self.text { bio in unsafe PEM_write_bio_PrivateKey(bio, key, nil, nil, 0, nil, nil) }
        var warnings: [TLSLoadWarning] = []
        do {
            let secret = unsafe keyPEM.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
            let loaded = try TLSCertificate.load(
                certificatePEM: certificatePEM, keyPEM: secret, name: "simulation", nowSeconds: Int64(time(nil)), warnings: &warnings)
            return TLSConfiguration(certificates: [loaded])
        } catch { fatalError("\(error)") }
    }

    /// For a listener that believes what this one has signed.
    var authorities: TLSAuthorities {
        do { return try TLSAuthorities.load(pem: certificatePEM, name: "simulation") } catch { fatalError("\(error)") }
    }

    private var certificatePEM: [UInt8] { unsafe Self.text { bio in unsafe PEM_write_bio_X509(bio, certificate) } }

    private static func text(_ write: (OpaquePointer?) -> CInt) -> [UInt8] {
        let bio = unsafe BIO_new(BIO_s_mem())
        defer { unsafe BIO_free(bio) }
        _ = unsafe write(bio)
        var bytes: UnsafeMutablePointer<CChar>?
        let count = unsafe urtls_bio_memory(bio, &bytes)
        return unsafe Array(UnsafeRawBufferPointer(start: bytes, count: count))
    }
}

/// Those of all suites: keys take long to make.
enum SimulatedCertificate {
    static let identity = SimulatedIdentity("sim.example")
    static let configuration = identity.configuration()
    /// What a reload brings. The names are of one length, like everything else.
    static let renewed = ["one.example", "two.example"].map { SimulatedIdentity($0, key: identity) }

    static let authority = SimulatedIdentity("clients", isAuthority: true)
    /// Bears the authority's name, and is another.
    static let impostor = SimulatedIdentity("clients", key: identity, isAuthority: true)
    static let client = SimulatedIdentity("Anna, the client", key: identity, issuer: authority)
    static let stranger = SimulatedIdentity("stranger", key: identity, issuer: impostor)
}
