// What a TLS client is to do, as values: made once, given to every loop, which makes a TLSClientContext of it. Never changed afterwards.

/// The settings of connections to servers of one kind. The defaults are what a client of public HTTPS servers should use.
package struct TLSClientConfiguration: Sendable {
    /// Whom to believe about who a server is.
    package enum Trust: Sendable {
        /// The authorities of the system: OpenSSL's default places, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        case system
        /// These alone. Any of them may be the end of a chain, an intermediate or the server's own certificate too.
        case authorities(TLSAuthorities)
        /// Anybody: the connection is safe from who listens, not from who answers. For tests.
        case unverified
    }

    package var trust: Trust
    /// What the client shows a server that asks for it.
    package var certificate: TLSCertificate?
    /// ALPN, in the client's order. Empty: no ALPN.
    package var applicationProtocols = ["h2", "http/1.1"]
    package var minimumVersion = TLSConfiguration.Version.tls12
    package var maximumVersion = TLSConfiguration.Version.tls13
    /// TLS 1.2 suites in OpenSSL's syntax.
    package var cipherList = TLSConfiguration.defaultCipherList
    /// TLS 1.3 suites in OpenSSL's syntax.
    package var cipherSuites = TLSConfiguration.defaultCipherSuites
    /// Curves for the key exchange, best first.
    package var groups = "X25519:P-256:P-384"
    /// Sessions kept for resumption, of all servers together; 0: none, each connection is a full handshake. 512 sessions have about 2 MiB.
    package var sessionsMax = 512
    /// Whether OpenSSL frees a connection's record buffers (34 KiB) whenever they are empty.
    package var releasesIdleBuffers = true

    /// Trust has no default: everybody who makes a client says whom it believes.
    package init(trust: Trust) { self.trust = trust }
}
