// ClientTLS: OpenSSL as a client, in memory: what the simulated clients speak TLS by.

import CUringTLS
import Glibc

/// How a client speaks TLS.
struct ClientTLSOptions {
    enum Version { case tls12, tls13 }
    var version = Version.tls13
    /// ALPN; empty: none is offered.
    var protocols: [String] = []
    /// What a TLS 1.2 client does without tickets: it resumes by session id.
    var takesTickets = true
    /// To be resumed, from `ClientTLS.sessions`.
    var session: ClientSession?
    /// Sent when the server asks for one.
    var identity: SimulatedIdentity?
}

/// A session that a server gave out, owned: it outlives the client that it came from.
@safe final class ClientSession {
    fileprivate let raw: OpaquePointer
    /// Takes over a reference.
    fileprivate init(_ raw: OpaquePointer) { unsafe self.raw = raw }
    deinit { unsafe SSL_SESSION_free(raw) }
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
    /// What the server gave out to resume by, in the order in which it came.
    private(set) var sessions: [ClientSession] = []

    init(_ options: ClientTLSOptions) {
        unsafe context = SSL_CTX_new(TLS_client_method())
        let version = options.version == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
        _ = unsafe urtls_ctx_set_min_version(context, version)
        _ = unsafe urtls_ctx_set_max_version(context, version)
        if !options.takesTickets { _ = unsafe SSL_CTX_set_options(context, urtls_op_no_ticket) }
        if let identity = options.identity {
            _ = unsafe SSL_CTX_use_certificate(context, identity.certificate)
            _ = unsafe SSL_CTX_use_PrivateKey(context, identity.key)
        }
        _ = unsafe urtls_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        unsafe SSL_CTX_sess_set_new_cb(context) { ssl, session in
            // The client outlives its SSL.
            let client = unsafe Unmanaged<ClientTLS>.fromOpaque(SSL_get_ex_data(ssl, 0)).takeUnretainedValue()
            if let session = unsafe session { unsafe client.sessions.append(ClientSession(session)) }
            return 1
        }
        unsafe ssl = SSL_new(context)
        unsafe incoming = BIO_new(BIO_s_mem())
        unsafe outgoing = BIO_new(BIO_s_mem())
        // Both belong to the session from here on.
        unsafe SSL_set_bio(ssl, incoming, outgoing)
        unsafe SSL_set_connect_state(ssl)
        unsafe SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        // A copy: OpenSSL marks the session that it offered as used up when the server answers with another.
        if let copy = unsafe options.session.flatMap({ unsafe SSL_SESSION_dup($0.raw) }) {
            _ = unsafe SSL_set_session(ssl, copy)
            unsafe SSL_SESSION_free(copy)
        }
        let wire = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !wire.isEmpty { _ = unsafe SSL_set_alpn_protos(ssl, wire, UInt32(wire.count)) }
    }

    deinit {
        // Otherwise OpenSSL takes the session for broken and will not resume it.
        unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
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

    var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }

    /// Common name of the certificate that the server showed; of a resumed session, of the one that it showed at first. Empty before that.
    var serverName: String {
        guard let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return "" }
        var text = [CChar](repeating: 0, count: 100)
        // The certificate's memory, for this call.
        let count = unsafe X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &text, CInt(text.count))
        return String(decoding: text.prefix(Int(max(0, count))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
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
