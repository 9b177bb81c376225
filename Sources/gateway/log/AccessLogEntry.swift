// What the access log says about one request: plain values and views, filled by the connection when a response is done
// and formatted at once. Nothing here is kept, so nothing is copied.

/// The client's address as it comes from the kernel; formatted only when a line is written.
package struct PeerAddress: Sendable, Hashable {
    package enum Family: UInt8, Sendable { case unix, ipv4, ipv6 }

    package var family: Family
    /// The address as big-endian numbers: IPv4 in the low 32 bits of `low`, IPv6 in both.
    package var high: UInt64
    package var low: UInt64
    /// In host order; means nothing for Unix sockets.
    package var port: UInt16

    package static let unix = PeerAddress(family: .unix, high: 0, low: 0, port: 0)

    /// `address` in host order: 127.0.0.1 is 0x7f000001.
    package static func ipv4(_ address: UInt32, port: UInt16) -> PeerAddress {
        PeerAddress(family: .ipv4, high: 0, low: UInt64(address), port: port)
    }

    package static func ipv6(high: UInt64, low: UInt64, port: UInt16) -> PeerAddress {
        PeerAddress(family: .ipv6, high: high, low: low, port: port)
    }
}

/// One request. The views end with the entry's scope, which the compiler checks; empty views stand for "not there".
package struct AccessLogEntry: ~Escapable {
    package var peer: PeerAddress
    /// Nanoseconds since 1970 when the request's first byte arrived.
    package var wallNs: UInt64
    /// From the first byte of the request to the last byte of the response.
    package var durationNs: UInt64
    /// Of the response's body, as sent.
    package var bytes: UInt64
    package var status: UInt16
    /// Major and minor of the request's version: (1, 1).
    package var version: (major: UInt8, minor: UInt8)
    /// The W3C trace id's halves; 0 and 0: there is none.
    package var trace: (UInt64, UInt64) = (0, 0)
    package let method: Span<UInt8>
    /// As received: not decoded, not normalised.
    package let target: Span<UInt8>
    package let host: Span<UInt8>
    package let userAgent: Span<UInt8>
    package let referer: Span<UInt8>
    package let route: Span<UInt8>
    package let requestID: Span<UInt8>
    package let tls: AccessLogTLS

    @_lifetime(copy method, copy target, copy host, copy userAgent, copy referer, copy route, copy requestID, copy tls)
    package init(
        peer: PeerAddress, wallNs: UInt64, durationNs: UInt64, status: UInt16, bytes: UInt64,
        version: (major: UInt8, minor: UInt8), method: Span<UInt8>, target: Span<UInt8>, host: Span<UInt8>,
        userAgent: Span<UInt8>, referer: Span<UInt8>, route: Span<UInt8>, requestID: Span<UInt8>,
        tls: AccessLogTLS
    ) {
        self.peer = peer
        self.wallNs = wallNs
        self.durationNs = durationNs
        self.status = status
        self.bytes = bytes
        self.version = version
        self.method = method
        self.target = target
        self.host = host
        self.userAgent = userAgent
        self.referer = referer
        self.route = route
        self.requestID = requestID
        self.tls = tls
    }
}

/// The request's connection, if it is one with TLS: names as OpenSSL spells them. Empty views stand for "not there".
package struct AccessLogTLS: ~Escapable {
    /// `TLSv1.3`
    package let version: Span<UInt8>
    /// `TLS_AES_128_GCM_SHA256`
    package let cipher: Span<UInt8>
    /// What the client asked for by SNI.
    package let serverName: Span<UInt8>
    /// The subject of the client's certificate; only one that verified is here.
    package let clientSubject: Span<UInt8>

    /// In clear.
    @_lifetime(immortal)
    package init() { (version, cipher, serverName, clientSubject) = (Span(), Span(), Span(), Span()) }

    @_lifetime(copy version, copy cipher, copy serverName, copy clientSubject)
    package init(version: Span<UInt8>, cipher: Span<UInt8>, serverName: Span<UInt8>, clientSubject: Span<UInt8>) {
        self.version = version
        self.cipher = cipher
        self.serverName = serverName
        self.clientSubject = clientSubject
    }
}
