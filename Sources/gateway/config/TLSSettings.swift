// What a listener's `tls` says, as plain values: files by their paths, not yet read. Made by `ConfigurationBuilder` or from arguments;
// the server library reads the files, at start and on each reload.

package struct TLSSettings: Sendable, Equatable {
    package enum Certificates: Sendable, Equatable {
        /// Not empty. The first answers clients that name no server, or an unknown one.
        case files([CertificateFiles])
        /// Made in memory for localhost, with a key of its own.
        case selfSigned
    }

    package enum ClientAuthentication: Sendable, Equatable {
        case none
        case optional(authorities: String)
        case required(authorities: String)

        package var authorities: String? {
            switch self {
            case .none: nil
            case .optional(let path), .required(let path): path
            }
        }
    }

    package enum Tickets: Sendable, Equatable {
        case off
        /// Keys follow from a secret that this process makes.
        case generated
        /// Keys follow from the secret in a file.
        case secret(String)
        /// A key in each file, the first seals.
        case keys([String])
    }

    package enum Version: String, Sendable { case tls12 = "1.2", tls13 = "1.3" }

    package var certificates: Certificates
    /// In order of preference, not empty.
    package var alpn: [String]
    package var clientAuthentication = ClientAuthentication.none
    package var tickets = Tickets.generated
    package var ticketRotateNs: UInt64
    /// 0: no cache.
    package var cacheEntries: Int
    package var cacheLifetimeNs: UInt64
    package var versionMin: Version
    package var handshakeTimeoutNs: UInt64
    package var handshakesMax: Int

    /// The table's defaults, for both protocols.
    package init(_ certificates: Certificates) { self.init(certificates, ConfigurationBuilder.tlsDefaults) }

    /// The numbers of a validated table; the rest is up to the caller.
    init(_ certificates: Certificates, _ table: ConfigTable) {
        guard let cache = table.group("session-cache") else { preconditionFailure("BUG: the session cache has no default") }
        self.certificates = certificates
        alpn = table.texts("alpn")
        ticketRotateNs = Self.tickets(table).number("rotate")
        cacheEntries = cache.integer("entries")
        cacheLifetimeNs = cache.number("lifetime")
        versionMin = table.text("min-version").flatMap(Version.init) ?? .tls12
        handshakeTimeoutNs = table.number("handshake-timeout")
        handshakesMax = table.integer("handshakes")
    }

    /// The mapping of `session-tickets`; that of a word is the one with all defaults.
    static func tickets(_ table: ConfigTable) -> ConfigTable {
        guard case .group(let group)? = table["session-tickets"]?.value else { return ConfigurationBuilder.ticketDefaults }
        return group
    }
}

package struct CertificateFiles: Sendable, Equatable {
    package var certificate: String
    package var key: String
    package var ocsp: String?

    package init(certificate: String, key: String, ocsp: String? = nil) {
        self.certificate = certificate
        self.key = key
        self.ocsp = ocsp
    }
}

/// What HTTP/2 connections may use, besides what `limits` says of every request.
package struct HTTP2Configuration: Sendable, Equatable {
    package var streams: Int
    package var streamWindowBytes: Int
    package var connectionWindowBytes: Int
    /// 0: never.
    package var pingAfterNs: UInt64
    package var pingTimeoutNs: UInt64

    init(_ group: ConfigTable?) {
        guard let group else { preconditionFailure("BUG: http2 has no default") }
        streams = group.integer("streams")
        streamWindowBytes = group.integer("stream-window")
        connectionWindowBytes = group.integer("connection-window")
        pingAfterNs = group.number("ping-after")
        pingTimeoutNs = group.number("ping-timeout")
    }
}
