// A session's client side: how it begins, and what it knows of its server. Everything else (feed, handshake, read, write, shutdown) is the
// same as on the server's side, see TLSSession.swift. Loop's thread.
//
// begin: handshake (nothing fed: the output gets the hello) ─more→ send, feed …   from there as in TLSSession.swift

internal import CUringTLS
internal import Glibc

extension TLSSession {
    /// - Parameter context: outlives the session.
    init?(client context: UnsafeMutablePointer<TLSClientContextState>, host: String, port: UInt16, resumes: Bool) {
        guard let ssl = unsafe SSL_new(context.pointee.context) else {
            ERR_clear_error()
            return nil
        }
        guard unsafe Self.setHost(ssl, host, verifies: context.pointee.verifies) else {
            unsafe SSL_free(ssl)
            ERR_clear_error()
            return nil
        }
        unsafe self.init(ssl, TLSSessionMemory(role: .client(context)))
        unsafe SSL_set_connect_state(ssl)
        let peer = TLSPeerName(host: host, port: port)
        unsafe memory.pointee.peer = peer
        if resumes, let session = unsafe context.pointee.store.take(peer, nowSeconds: context.pointee.nowSeconds) {
            unsafe offer(session)
        }
        unsafe context.pointee.sessionCount += 1
        unsafe context.pointee.counters.started &+= 1
    }

    /// Tells OpenSSL whom to ask for and whom the certificate must name.
    private static func setHost(_ ssl: OpaquePointer, _ host: String, verifies: Bool) -> Bool {
        // A NUL would end the name early for OpenSSL, and only for it.
        guard !host.isEmpty, !host.utf8.contains(0) else { return false }
        // The caller's session, whose parameters they are.
        let parameters = unsafe SSL_get0_param(ssl)
        var address = in6_addr()
        if unsafe inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1 {
            return unsafe !verifies || X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1
        }
        // The dot of an absolute name belongs to DNS (RFC 6066 3).
        let name = host.hasSuffix(".") ? String(host.dropLast()) : host
        guard !name.isEmpty, unsafe name.utf8.count <= NameTable.nameBytesMax, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            unsafe urtls_set_host_name(ssl, name) == 1
        else { return false }
        guard verifies else { return true }
        // Names of hosts stand in the subject alternative name alone (RFC 9525 6.1, RFC 9110 4.3.4); `f*.example` is nobody's name.
        unsafe X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
        return unsafe X509_VERIFY_PARAM_set1_host(parameters, name, name.utf8.count) == 1
    }

    /// Offers a session, whose reference it takes.
    private func offer(_ session: OpaquePointer) {
        // SSL_set_session takes a reference of its own.
        defer { unsafe SSL_SESSION_free(session) }
        guard unsafe SSL_set_session(ssl, session) == 1 else {
            ERR_clear_error()
            return
        }
        var offer = TLSOffer()
        if unsafe SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION {
            offer.preSharedKey = true
        } else {
            offer.ticket = unsafe SSL_SESSION_has_ticket(session) == 1
            offer.ticketOpened = offer.ticket
            offer.sessionID = !offer.ticket
        }
        unsafe memory.pointee.offer = offer
    }

    /// SHA-256 of the server's certificate in hexadecimal with colons; nil before it came.
    package var serverFingerprint: String? {
        // Borrowed from the session.
        guard let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return nil }
        return unsafe OpenSSLObjects.fingerprint(certificate)
    }
}
