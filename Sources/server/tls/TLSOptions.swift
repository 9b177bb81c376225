// TLSOptions: how a listener speaks TLS, as a program says it. Plain values that name files or hold bytes: TLSMaterials reads them. Any thread. The words are
// those of the configuration file (docs/operators/configuration.md).

/// The TLS of one listener. Defaults are those of the configuration reference: what a public HTTPS server should use.
///
///     var tls = TLSOptions.files(cert: "server.pem", key: "server.key")
///     tls.clientAuth = .required(ca: .file("clients.pem"))
///     let server = Server(listeners: [Listener("0.0.0.0:8443", tls: tls)]) { … }
///
/// Nothing is read before `Server.start`, `Server.run` or `RunningServer.reloadTLS`, which throw a `ServerError` that names file, fault and remedy. TLS is 1.2 and
/// 1.3, with forward secrecy and authenticated encryption only (RFC 9325); early data (0-RTT) and renegotiation are off.
public struct TLSOptions: Sendable {
    /// Certificates with their keys, one at least. The name that the client asks for (SNI, RFC 6066 section 3) chooses: an exact name goes before a wildcard. The first
    /// answers clients that name none, or an unknown one. Two of different key kinds for the same name (ECDSA and RSA) stand side by side; the client's algorithms choose.
    public var certificates: [Certificate]
    /// The protocols offered by ALPN (RFC 7301), the preferred first; nil follows from `Listener.http2`. A client whose offer has none of them is refused with the alert
    /// no_application_protocol; one without ALPN speaks HTTP/1.1. Empty: ALPN is not looked at.
    public var alpn: [ApplicationProtocol]?
    /// Whether clients show certificates.
    public var clientAuth = ClientAuth.none
    /// Resumption by tickets, in TLS 1.2 (RFC 5077) and 1.3.
    public var sessionTickets = SessionTickets()
    /// Resumption by session ids, for TLS 1.2 clients that cannot do tickets.
    public var sessionCache = SessionCache()
    /// The oldest version that is accepted.
    public var minVersion = Version.tls12
    /// The newest version that is accepted.
    public var maxVersion = Version.tls13
    /// From the acceptance of a connection to the end of its handshake, 100 ms to 10 minutes. Then it is closed.
    public var handshakeTimeout = Duration.seconds(10)
    /// Handshakes that each loop has under way at most, over all its listeners, 1 to 1,000,000. Beyond it new connections are reset.
    public var handshakes = 4096

    /// Defaults, with these certificates. Without any, starting fails.
    public init(certificates: [Certificate]) { self.certificates = certificates }

    /// One certificate from PEM files, see `Certificate.files`.
    public static func files(cert: String, key: String, ocsp: String? = nil) -> TLSOptions {
        TLSOptions(certificates: [.files(cert: cert, key: key, ocsp: ocsp)])
    }

    /// One certificate from PEM text in memory, see `Certificate.pem`.
    public static func pem(cert: [UInt8], key: [UInt8]) -> TLSOptions { TLSOptions(certificates: [.pem(cert: cert, key: key)]) }

    /// For development, see `Certificate.selfSigned`.
    public static func selfSigned(_ names: [String] = Certificate.localNames) -> TLSOptions { TLSOptions(certificates: [.selfSigned(names)]) }

    /// A version of TLS. Older ones are not spoken (RFC 8996).
    public enum Version: String, Sendable, Comparable {
        /// RFC 5246, with forward secrecy and authenticated encryption only.
        case tls12 = "1.2"
        /// RFC 8446.
        case tls13 = "1.3"

        /// Older is less.
        public static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }
    }

    /// A protocol that this server speaks, by its name in ALPN.
    public enum ApplicationProtocol: String, Sendable, Hashable {
        /// RFC 9113.
        case http2 = "h2"
        /// RFC 9112.
        case http11 = "http/1.1"
    }

    /// Where bytes come from.
    public enum Source: Sendable {
        /// A regular file of 4 MiB at most. Relative paths start at the working directory. Keys and secrets are refused when every user may read or change them.
        case file(String)
        /// In memory. Arrays are copied freely by Swift and not wiped: keys from files are.
        case bytes([UInt8])
    }

    /// Whether clients show certificates. `ca` is PEM: the authorities that they must lead to, one at least.
    public enum ClientAuth: Sendable {
        /// Clients are not asked.
        case none
        /// A client may leave its certificate out; one that it sends must verify, or the handshake fails.
        case optional(ca: Source)
        /// No connection without a certificate that verifies.
        case required(ca: Source)
    }

    /// How sessions are resumed by tickets.
    public struct SessionTickets: Sendable {
        /// Where the keys come from that tickets are sealed with. Who has them can decrypt recorded TLS 1.2 connections that were resumed.
        public enum Keys: Sendable {
            /// No tickets. TLS 1.3 clients then resume from the session cache, if there is one.
            case off
            /// Keys follow from a random secret of this process and change every `rotate`; they outlive reloads. All loops take each other's tickets.
            case generated
            /// Keys follow from 32 secret bytes or more, and the time (HKDF-SHA256): every server with the same secret and the same `rotate` takes the others' tickets.
            case secret(Source)
            /// 48 (AES-128) or 80 bytes (AES-256) each, as nginx has them, 16 keys at most. The first seals, all of them open: rotate by a new first one and a reload.
            case keys([Source])
        }

        /// What tickets are sealed with.
        public var keys = Keys.generated
        /// How long a derived key seals, and how long any ticket may be used: 1 minute to 7 days (RFC 8446 section 4.6.1).
        public var rotate = Duration.seconds(12 * 3600)

        /// Defaults, with these keys.
        public init(_ keys: Keys = .generated) { self.keys = keys }
    }

    /// The store of sessions by id, shared by all loops and kept over reloads.
    public struct SessionCache: Sendable {
        /// About how many sessions are kept, at some 420 bytes each; the oldest make room. 0: none is kept, 10,000,000 at most.
        public var entries = 20_000
        /// How long a session may be resumed: 1 minute to 1 day (RFC 5246 section F.1.4).
        public var lifetime = Duration.seconds(3600)

        /// Defaults.
        public init() {}
    }
}
