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
    /// nil: in clear. Certificates and keys are loaded already; a reload hands loops what was loaded anew.
    package var tls: TLSConfiguration?

    package init(address: String) { self.address = address }
}
