// ListenerTransport: what a listener speaks, with certificates and keys loaded. Made by TLSMaterials on the thread that starts or reloads; given to every
// loop, which makes a context of its own from it.

package import UringTLS

/// What a listener speaks. A reload may change it while the listener stays: connections keep what they began with.
package struct ListenerTransport: Sendable {
    /// nil: in clear. Certificates and keys are loaded already.
    package var tls: TLSConfiguration?
    /// From accept to the end of the handshake.
    package var handshakeTimeout = Duration.seconds(10)
    /// Connections of one loop that have begun TLS and not finished its handshake, over all listeners; further ones are refused. OpenSSL needs
    /// some 20 KiB for each.
    package var handshakesMax = 4096
    /// With TLS, ALPN decides: `tls` offers what this allows. In clear it is looked at when a connection's first bytes come.
    package var http2 = HTTP2Mode.on
    /// What connections begin with; nil: with TLS or HTTP.
    package var preamble: ListenerPreamble?

    package init() {}
}

/// A listener with everything that had to be read for it.
struct LoadedListener: Sendable {
    var listener: Listener
    var transport = ListenerTransport()
    /// What works and should be known of its files, a sentence each.
    var warnings: [String] = []
}
