// Listener: one address to listen on, and what is spoken there, as the caller wants it. Plain values; any thread.

/// An address, and what belongs to it alone.
///
///     let server = Server(listeners: ["127.0.0.1:8080", Listener("0.0.0.0:8443", tls: .files(cert: "server.pem", key: "server.key"))]) { … }
///
/// A plain value: nothing is read, looked up or opened before `Server.start` or `Server.run`, which throw what is wrong with it.
public struct Listener: Sendable, ExpressibleByStringLiteral {
    /// `HOST:PORT`, `[V6]:PORT`, `*:PORT` for every address of the machine, `unix:PATH`, `unix:@NAME` for a name without a file. Hosts are numbers: names
    /// are not looked up. Port 0 takes a free one, which `RunningServer.addresses` tells.
    public var address: String
    /// TLS; nil speaks in clear.
    public var tls: TLSOptions?
    /// Whether HTTP/2 is spoken, and HTTP/1.1 beside it.
    public var http2: HTTP2Mode
    /// Most connections that the kernel completes before a loop accepts them, from 1; capped by net.core.somaxconn. nil: `ServerOptions.backlog`.
    public var backlog: Int?
    /// Whether `[::]` leaves IPv4 clients alone. Of no meaning for other addresses.
    public var isIPv6Only = false
    /// Permission bits of a unix socket's file, `0o660`: clients need write permission. nil leaves them to the umask. Of no meaning for other addresses.
    public var unixMode: UInt32?
    /// What connections begin with, before TLS; nil: nothing.
    package var preamble: ListenerPreamble?

    /// - Parameters:
    ///   - address: see `address`.
    ///   - tls: nil speaks in clear.
    ///   - http2: see `HTTP2Mode`.
    public init(_ address: String, tls: TLSOptions? = nil, http2: HTTP2Mode = .on) {
        (self.address, self.tls, self.http2) = (address, tls, http2)
    }

    /// In clear, with every default.
    public init(stringLiteral address: String) { self.init(address) }
}

/// Which versions of HTTP a listener speaks.
public enum HTTP2Mode: String, Sendable, Hashable {
    /// HTTP/1.1 and nothing else: over TLS, ALPN offers `http/1.1`.
    case off
    /// Both on one port. Over TLS, ALPN decides (RFC 7301). In clear, a connection that begins with the HTTP/2 preface speaks HTTP/2 (prior knowledge, RFC 9113
    /// section 3.3), any other HTTP/1.1.
    case on
    /// HTTP/2 and nothing else. In clear, connections speak it from their first byte: one that does not begin with the preface is answered by GOAWAY with
    /// PROTOCOL_ERROR (RFC 9113 section 3.4). Over TLS, ALPN offers `h2` alone, and a client that does not offer it gets the alert no_application_protocol
    /// (RFC 7301 section 3.2), also one without ALPN: HTTP/2 over TLS has no other way to be agreed on (RFC 9113 section 3.3).
    case only
}
