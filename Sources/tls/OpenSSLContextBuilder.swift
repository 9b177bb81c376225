// A TLSConfiguration as an SSL_CTX: every setting in one place. Called when a TLSContext is made, on its loop's thread.

internal import CUringTLS
internal import Glibc

@unsafe struct OpenSSLContextBuilder {
    let configuration: TLSConfiguration
    /// Outlives the contexts made here: the TLSContext frees them first.
    let state: UnsafeMutablePointer<TLSContextState>

    /// An SSL_CTX without certificates, owned by the caller.
    func make() throws(TLSLoadError) -> OpaquePointer {
        guard let context = unsafe SSL_CTX_new(TLS_server_method()) else {
            throw .openSSL("preparing TLS", remedy: "check OpenSSL's configuration and the memory limit")
        }
        do throws(TLSLoadError) {
            unsafe setProtocol(context)
            try unsafe setAlgorithms(context)
            unsafe setResumption(context)
            try unsafe setClientAuthentication(context)
            unsafe TLSCallbacks.install(in: context, state: state)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        return unsafe context
    }

    private func setProtocol(_ context: OpaquePointer) {
        // Debian's openssl.cnf says the same; other systems' may not. 112 bits: RSA from 2048 on, no SHA-1 (RFC 9325 4).
        unsafe SSL_CTX_set_security_level(context, 2)
        _ = unsafe urtls_ctx_set_min_version(context, configuration.minimumVersion.rawValue)
        _ = unsafe urtls_ctx_set_max_version(context, configuration.maximumVersion.rawValue)
        // Renegotiation costs the server more than the client and nothing needs it (RFC 9325 3.5); compression leaks (CRIME).
        var options = urtls_op_no_renegotiation | urtls_op_no_compression
        // Our order, but ChaCha20 for clients that prefer it: they have no AES instructions.
        options |= urtls_op_server_preference | urtls_op_prioritize_chacha
        if unsafe !state.pointee.usesTickets { options |= urtls_op_no_ticket }
        _ = unsafe SSL_CTX_set_options(context, options)
        // The chain is the operator's: building one would be repeated in every handshake.
        var mode = Int(SSL_MODE_NO_AUTO_CHAIN)
        if unsafe configuration.releasesIdleBuffers { mode |= Int(SSL_MODE_RELEASE_BUFFERS) }
        _ = unsafe urtls_ctx_set_mode(context, mode)
        _ = unsafe SSL_CTX_set_max_early_data(context, 0)
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

    private func setResumption(_ context: OpaquePointer) {
        let hasCache = unsafe configuration.sessionCache != nil
        let usesTickets = unsafe state.pointee.usesTickets
        let mode = hasCache ? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF
        _ = unsafe urtls_ctx_set_session_cache_mode(context, Int(mode))
        let lifetime = unsafe usesTickets ? configuration.sessionTickets.lifetimeSeconds : configuration.sessionCache?.lifetimeSeconds ?? 1
        _ = unsafe SSL_CTX_set_timeout(context, Int(lifetime))
        // Two, so that a browser can open its second connection with a ticket of its own (RFC 8446 C.4).
        _ = unsafe SSL_CTX_set_num_tickets(context, usesTickets || hasCache ? configuration.ticketsPerHandshake : 0)
        unsafe setSessionContext(context)
    }

    /// A session is taken up only under the same rules for client certificates: their digest is part of it.
    private func setSessionContext(_ context: OpaquePointer) {
        var digest: [UInt8] = Array(repeating: 0, count: 32)
        let rules = unsafe configuration.clientAuthentication.fingerprintInput
        unsafe EVP_Digest(rules, rules.count, &digest, nil, EVP_sha256(), nil)
        _ = unsafe SSL_CTX_set_session_id_context(context, digest, 32)
    }

    private func setClientAuthentication(_ context: OpaquePointer) throws(TLSLoadError) {
        let authorities: TLSAuthorities
        switch unsafe configuration.clientAuthentication {
        case .none:
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
            return
        case .optional(let given):
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
            authorities = given
        case .required(let given):
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
            authorities = given
        }
        let store = unsafe SSL_CTX_get_cert_store(context)
        let names = unsafe urtls_certificate_names_new()
        for der in authorities.certificates {
            guard let certificate = unsafe OpenSSLObjects.certificate(der) else {
                throw .openSSL("the client authorities", remedy: "use a PEM file of certificates")
            }
            defer { unsafe X509_free(certificate) }
            _ = unsafe X509_STORE_add_cert(store, certificate)
            if let name = unsafe X509_NAME_dup(X509_get_subject_name(certificate)) { _ = unsafe urtls_certificate_names_push(names, name) }
        }
        unsafe SSL_CTX_set_client_CA_list(context, names)
    }

    /// Adds a certificate, its chain and key. Answers OpenSSL's object, which lives as long as the SSL_CTX.
    static func install(_ certificate: TLSCertificate, in context: OpaquePointer) throws(TLSLoadError) -> OpaquePointer {
        guard let leaf = unsafe OpenSSLObjects.certificate(certificate.chain[0]) else { throw .openSSL("a certificate", remedy: "load it again") }
        defer { unsafe X509_free(leaf) }
        guard let key = unsafe OpenSSLObjects.privateKey(certificate.key) else { throw .openSSL("a private key", remedy: "load it again") }
        defer { unsafe EVP_PKEY_free(key) }
        guard unsafe SSL_CTX_use_certificate(context, leaf) == 1, unsafe SSL_CTX_use_PrivateKey(context, key) == 1 else {
            throw .openSSL(
                certificate.names.first.map { "the certificate for \($0)" } ?? "the certificate",
                remedy: "use RSA of 2048 bits or more, P-256, P-384 or Ed25519, signed with SHA-256 or better")
        }
        for der in certificate.chain.dropFirst() {
            guard let issuer = unsafe OpenSSLObjects.certificate(der) else { throw .openSSL("a certificate of the chain", remedy: "load it again") }
            defer { unsafe X509_free(issuer) }
            guard unsafe urtls_ctx_add_chain_certificate(context, issuer) == 1 else {
                throw .openSSL("a certificate of the chain", remedy: "use intermediates signed with SHA-256 or better")
            }
        }
        guard let installed = unsafe SSL_CTX_get0_certificate(context) else { throw .openSSL("the certificate", remedy: "load it again") }
        return unsafe installed
    }
}

extension TLSConfiguration.ClientAuthentication {
    fileprivate var fingerprintInput: [UInt8] {
        switch self {
        case .none: [0]
        case .optional(let authorities): authorities.certificates.reduce(into: [1]) { $0 += $1 }
        case .required(let authorities): authorities.certificates.reduce(into: [2]) { $0 += $1 }
        }
    }
}
