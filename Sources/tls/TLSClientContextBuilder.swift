// A TLSClientConfiguration as an SSL_CTX: every setting in one place. Called when a TLSClientContext is made, on its loop's thread.

internal import CUringTLS
internal import Glibc

@unsafe struct TLSClientContextBuilder {
    let configuration: TLSClientConfiguration

    /// An SSL_CTX owned by the caller.
    func make() throws(TLSLoadError) -> OpaquePointer {
        guard let context = unsafe SSL_CTX_new(TLS_client_method()) else {
            throw .openSSL("preparing TLS", remedy: "check OpenSSL's configuration and the memory limit")
        }
        do throws(TLSLoadError) {
            unsafe setProtocol(context)
            try unsafe setAlgorithms(context)
            try unsafe setTrust(context)
            if let certificate = unsafe configuration.certificate { _ = try unsafe OpenSSLContextBuilder.install(certificate, in: context) }
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        return unsafe context
    }

    private func setProtocol(_ context: OpaquePointer) {
        // As on the server's side (OpenSSLContextBuilder): 112 bits, no renegotiation, no compression.
        unsafe SSL_CTX_set_security_level(context, 2)
        _ = unsafe urtls_ctx_set_min_version(context, configuration.minimumVersion.rawValue)
        _ = unsafe urtls_ctx_set_max_version(context, configuration.maximumVersion.rawValue)
        _ = unsafe SSL_CTX_set_options(context, urtls_op_no_renegotiation | urtls_op_no_compression)
        var mode = Int(SSL_MODE_NO_AUTO_CHAIN)
        if unsafe configuration.releasesIdleBuffers { mode |= Int(SSL_MODE_RELEASE_BUFFERS) }
        _ = unsafe urtls_ctx_set_mode(context, mode)
        let wire = unsafe configuration.applicationProtocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        // Copied by OpenSSL; 0 is its success here.
        if !wire.isEmpty { _ = unsafe SSL_CTX_set_alpn_protos(context, wire, UInt32(wire.count)) }
        let keeps = unsafe configuration.sessionsMax > 0
        // Ours is the only store: OpenSSL's own knows no hosts.
        _ = unsafe urtls_ctx_set_session_cache_mode(context, Int(keeps ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF))
        if keeps { unsafe SSL_CTX_sess_set_new_cb(context, keepClientSession) }
    }

    private func setAlgorithms(_ context: OpaquePointer) throws(TLSLoadError) {
        guard unsafe SSL_CTX_set_cipher_list(context, configuration.cipherList) == 1 else {
            throw .openSSL("cipher list \(unsafe configuration.cipherList)", remedy: "use names that `openssl ciphers -tls1_2` prints")
        }
        guard unsafe SSL_CTX_set_ciphersuites(context, configuration.cipherSuites) == 1 else {
            throw .openSSL("cipher suites \(unsafe configuration.cipherSuites)", remedy: "use names that `openssl ciphers -tls1_3` prints")
        }
        guard unsafe urtls_ctx_set_groups(context, configuration.groups) == 1 else {
            throw .openSSL("groups \(unsafe configuration.groups)", remedy: "use names such as X25519, P-256, P-384, separated by colons")
        }
    }

    private func setTrust(_ context: OpaquePointer) throws(TLSLoadError) {
        switch unsafe configuration.trust {
        case .unverified:
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        case .system:
            try unsafe Self.requireSystemAuthorities()
            guard unsafe SSL_CTX_set_default_verify_paths(context) == 1 else {
                throw .openSSL("the system's certificate authorities", remedy: "install the package ca-certificates, or name a file of authorities")
            }
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        case .authorities(let authorities):
            let store = unsafe SSL_CTX_get_cert_store(context)
            for der in authorities.certificates {
                guard let certificate = unsafe OpenSSLObjects.certificate(der) else {
                    throw .openSSL("the certificate authorities", remedy: "use a PEM file of certificates")
                }
                defer { unsafe X509_free(certificate) }
                _ = unsafe X509_STORE_add_cert(store, certificate)
            }
            ERR_clear_error()
            // Whoever names an intermediate or the server's own certificate means it.
            _ = unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        }
    }

    /// OpenSSL finds nothing wrong with authorities that are not there; every handshake would fail for it.
    private static func requireSystemAuthorities() throws(TLSLoadError) {
        // OpenSSL's static texts, and the environment's, copied at once.
        let file = unsafe environment(X509_get_default_cert_file_env()) ?? String(cString: X509_get_default_cert_file())
        let directories = unsafe environment(X509_get_default_cert_dir_env()) ?? String(cString: X509_get_default_cert_dir())
        let paths = [file] + directories.split(separator: ":").map(String.init)
        guard !paths.contains(where: { unsafe access($0, R_OK) == 0 }) else { return }
        throw TLSLoadError(
            file: file, reason: "no certificate authorities there, nor in \(directories)",
            remedy: "install the package ca-certificates, set SSL_CERT_FILE, or name a file of authorities")
    }

    private static func environment(_ name: UnsafePointer<CChar>?) -> String? {
        guard let name = unsafe name, let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }
}

/// A session that can be resumed came: at the end of a handshake of TLS 1.2, with each ticket of TLS 1.3. Answers 1 when it takes the
/// reference that OpenSSL offers.
private func keepClientSession(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> CInt {
    let memory = unsafe TLSCallbacks.memory(of: ssl)
    guard case .client(let context) = unsafe memory.pointee.role, let session = unsafe session, let peer = unsafe memory.pointee.peer else { return 0 }
    return unsafe context.pointee.store.insert(session, peer, nowSeconds: context.pointee.nowSeconds) ? 1 : 0
}
