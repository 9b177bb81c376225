// ListenerOptions: one address to listen on, as the caller wants it. Plain values; any thread.

/// An address, and what belongs to it alone.
package struct ListenerOptions: Hashable, Sendable {
    /// `HOST:PORT`, `[V6]:PORT`, `*:PORT`, `unix:PATH`, hosts as numbers.
    package var address: String
    /// Most connections that the kernel completes before a loop accepts them; nil: `ServerOptions.backlog`.
    package var backlog: Int?
    /// Whether `[::]` leaves IPv4 clients alone.
    package var isIPv6Only = false
    /// Permission bits of a unix socket's file; nil leaves them to the umask.
    package var unixMode: UInt32?

    package init(address: String) { self.address = address }
}
