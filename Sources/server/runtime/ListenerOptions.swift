// ListenerOptions: one address to listen on, as the caller wants it. Plain values; any thread.

package import UringTLS

/// An address, and what belongs to it alone.
package struct ListenerOptions: Sendable {
    /// `HOST:PORT`, `[V6]:PORT`, `*:PORT`, `unix:PATH`, hosts as numbers.
    package var address: String
    /// Most connections that the kernel completes before a loop accepts them; nil: `ServerOptions.backlog`.
    package var backlog: Int?
    /// Whether `[::]` leaves IPv4 clients alone.
    package var isIPv6Only = false
    /// Permission bits of a unix socket's file; nil leaves them to the umask.
    package var unixMode: UInt32?
    /// What is spoken there.
    package var transport = ListenerTransport()

    package init(address: String) { self.address = address }
}

/// What a listener speaks. A reload may change it while the listener stays: connections keep what they began with.
package struct ListenerTransport: Sendable {
    /// nil: in clear. Certificates and keys are loaded already.
    package var tls: TLSConfiguration?
    /// From accept to the end of the handshake.
    package var handshakeTimeout = Duration.seconds(10)
    /// Connections of one loop that have begun TLS and not finished its handshake, over all listeners; further ones are refused. OpenSSL needs
    /// some 20 KiB for each.
    package var handshakesMax = 4096
    /// Whether clients in clear may begin with HTTP/2 (prior knowledge, RFC 9113 section 3.3). With TLS, ALPN decides.
    package var speaksHTTP2 = true

    package init() {}
}
