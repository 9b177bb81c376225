// What a TLS listener is to do, as values: made once, from files or memory, and given to every loop, which makes a TLSContext of it.
// Never changed afterwards; a reload makes a new one.

/// The settings of one TLS listener. The defaults are what a public HTTPS server should use.
package struct TLSConfiguration: Sendable {
    package enum Version: Int32, Comparable, Sendable {
        case tls12 = 0x0303
        case tls13 = 0x0304

        package static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }
    }

    package enum ClientAuthentication: Sendable {
        case none
        /// A client may leave its certificate out; one that it sends must verify.
        case optional(authorities: TLSAuthorities)
        case required(authorities: TLSAuthorities)
    }

    /// Every certificate the listener has; the first answers clients that name no server, or an unknown one. Not empty.
    package var certificates: [TLSCertificate]
    /// ALPN, in the server's order. Empty: no ALPN, as if every client spoke HTTP/1.1.
    package var applicationProtocols = ["h2", "http/1.1"]
    /// Whether clients without ALPN are refused: they cannot agree on HTTP/2 by anything else (RFC 9113 3.3).
    package var requiresApplicationProtocol = false
    package var clientAuthentication = ClientAuthentication.none
    package var minimumVersion = Version.tls12
    package var maximumVersion = Version.tls13
    /// TLS 1.2 suites in OpenSSL's syntax: forward secret and authenticated encryption only (RFC 9325 4.2, RFC 9113 9.2.2).
    package var cipherList = TLSConfiguration.defaultCipherList
    /// TLS 1.3 suites in OpenSSL's syntax.
    package var cipherSuites = TLSConfiguration.defaultCipherSuites
    /// Curves for the key exchange, best first.
    package var groups = "X25519:P-256:P-384"
    package var sessionTickets: SessionTickets
    /// TLS 1.3 tickets that a full handshake gives out.
    package var ticketsPerHandshake = 2
    /// TLS 1.2 session ids, for clients that cannot do tickets; one store for all loops. nil: none are given out.
    package var sessionCache: TLSSessionCache? = TLSSessionCache()
    /// Whether OpenSSL frees a connection's record buffers (34 KiB) whenever they are empty.
    package var releasesIdleBuffers = true
    /// Whether OpenSSL's session is freed once a TLS 1.3 handshake is complete, and the connection's records are made by this layer (`RecordLayer`).
    package var makesRecords = true
    /// Records under one key until the next, with `makesRecords`: 2^24 of full size are 256 GiB, which AES-GCM is good for (RFC 8446 5.5).
    package var recordsPerKey: UInt64 = 1 << 24

    package init(certificates: [TLSCertificate], sessionTickets: SessionTickets = .generated()) {
        precondition(!certificates.isEmpty, "BUG: TLS without a certificate")
        self.certificates = certificates
        self.sessionTickets = sessionTickets
    }

    package static let defaultCipherList =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        + "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    // AES-128 first: as strong as the handshake's curves, and cheaper than AES-256 on every processor with AES instructions.
    package static let defaultCipherSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
}
