// ClientTLS: OpenSSL as a client, in memory: what the simulated clients speak TLS by. And the certificate that the simulated servers have.

import CUringTLS
import Glibc
import UringTLS

/// How a client speaks TLS.
struct ClientTLSOptions {
    enum Version { case tls12, tls13 }
    var version = Version.tls13
    /// ALPN; empty: none is offered.
    var protocols: [String] = []
}

/// One client's session. Bytes in, bytes out.
@safe final class ClientTLS {
    /// How the server's side ended.
    enum End: Equatable {
        /// close_notify.
        case clean
        /// An alert, or bytes that are no record: OpenSSL's reason.
        case failed(Int32)
    }

    private let ssl: OpaquePointer
    private let context: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private(set) var isEstablished = false
    private(set) var end: End?

    init(_ options: ClientTLSOptions) {
        unsafe context = SSL_CTX_new(TLS_client_method())
        let version = options.version == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
        _ = unsafe urtls_ctx_set_min_version(context, version)
        _ = unsafe urtls_ctx_set_max_version(context, version)
        unsafe ssl = SSL_new(context)
        unsafe incoming = BIO_new(BIO_s_mem())
        unsafe outgoing = BIO_new(BIO_s_mem())
        // Both belong to the session from here on.
        unsafe SSL_set_bio(ssl, incoming, outgoing)
        unsafe SSL_set_connect_state(ssl)
        let wire = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !wire.isEmpty { _ = unsafe SSL_set_alpn_protos(ssl, wire, UInt32(wire.count)) }
    }

    deinit {
        unsafe SSL_free(ssl)
        unsafe SSL_CTX_free(context)
    }

    /// Goes on with the handshake.
    func handshake() {
        guard !isEstablished, end == nil else { return }
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(ssl)
        if result == 1 { isEstablished = true } else { noteEnd(result) }
    }

    /// Takes what the server sent; answers what it means.
    func receive(_ bytes: [UInt8]) -> [UInt8] {
        if !bytes.isEmpty { _ = unsafe BIO_write(incoming, bytes, CInt(bytes.count)) }
        if !isEstablished { handshake() }
        guard isEstablished, end == nil else { return [] }
        var plain: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while end == nil {
            ERR_clear_error()
            let count = unsafe SSL_read(ssl, &buffer, CInt(buffer.count))
            guard count > 0 else {
                noteEnd(count)
                return plain
            }
            plain += buffer[..<Int(count)]
        }
        return plain
    }

    func seal(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        ERR_clear_error()
        var written = 0
        _ = unsafe SSL_write_ex(ssl, bytes, bytes.count, &written)
    }

    /// close_notify.
    func close() {
        ERR_clear_error()
        if isEstablished { _ = unsafe SSL_shutdown(ssl) }
    }

    /// Ciphertext that is to be sent.
    func takeOutgoing() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: unsafe urtls_bio_pending(outgoing))
        if !bytes.isEmpty { _ = unsafe BIO_read(outgoing, &bytes, CInt(bytes.count)) }
        return bytes
    }

    /// What ALPN chose.
    var protocolName: String {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &bytes, &count)
        return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    private func noteEnd(_ result: CInt) {
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: break
        case SSL_ERROR_ZERO_RETURN: end = .clean
        default: end = .failed(urtls_error_reason(ERR_peek_error()))
        }
        ERR_clear_error()
    }
}

/// A certificate whose signatures are all of one length: so that a seed repeats a run exactly, although OpenSSL's random numbers do not.
enum SimulatedCertificate {
    static let configuration: TLSConfiguration = {
        guard let key = unsafe urtls_generate_rsa(2048), let certificate = unsafe X509_new() else { fatalError("no certificate") }
        // Owned here until the texts are made.
        defer {
            unsafe X509_free(certificate)
            unsafe EVP_PKEY_free(key)
        }
        unsafe X509_set_version(certificate, 2)
        unsafe ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), 0x4000_0000_0000_0001)
        unsafe X509_gmtime_adj(X509_getm_notBefore(certificate), -86400)
        unsafe X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400)
        unsafe X509_set_pubkey(certificate, key)
        unsafe X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, "sim.example", -1, -1, 0)
        unsafe X509_set_issuer_name(certificate, X509_get_subject_name(certificate))
        unsafe X509_sign(certificate, key, EVP_sha256())
        let certificatePEM = unsafe text { bio in unsafe PEM_write_bio_X509(bio, certificate) }
        let keyPEM = unsafe text { bio in unsafe PEM_write_bio_PrivateKey(bio, key, nil, nil, 0, nil, nil) }
        var warnings: [TLSLoadWarning] = []
        do {
            let secret = unsafe keyPEM.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
            let loaded = try TLSCertificate.load(
                certificatePEM: certificatePEM, keyPEM: secret, name: "simulation", nowSeconds: Int64(time(nil)), warnings: &warnings)
            return TLSConfiguration(certificates: [loaded])
        } catch { fatalError("\(error)") }
    }()

    private static func text(_ write: (OpaquePointer?) -> CInt) -> [UInt8] {
        let bio = unsafe BIO_new(BIO_s_mem())
        defer { unsafe BIO_free(bio) }
        _ = unsafe write(bio)
        var bytes: UnsafeMutablePointer<CChar>?
        let count = unsafe urtls_bio_memory(bio, &bytes)
        return unsafe Array(UnsafeRawBufferPointer(start: bytes, count: count))
    }
}
