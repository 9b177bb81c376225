// The TLS of an upstream, or of another server that the configuration names, from its configuration: files are read when the upstream is made, on the thread that starts or reloads, once for all loops.

internal import Glibc
internal import UringServer
internal import UringTLS

extension Upstream {
    static func clientTLS(_ wanted: UpstreamTLS, label: String) throws(GatewayError) -> HTTPClientTLS {
        do {
            var tls = HTTPClientTLS()
            tls.serverName = wanted.serverName
            var made = TLSClientConfiguration(trust: try trust(wanted))
            made.minimumVersion = wanted.versionMin == .tls13 ? .tls13 : .tls12
            if let certificate = wanted.certificate, let key = wanted.key {
                // What works and should be known of the files, `check` says.
                var warnings: [TLSLoadWarning] = []
                made.certificate = try TLSCertificate.load(certificate: certificate, key: key, nowSeconds: Int64(time(nil)), warnings: &warnings)
            }
            tls.prepared = made
            return tls
        } catch {
            throw GatewayError("\(label).tls: \(error)")
        }
    }

    private static func trust(_ wanted: UpstreamTLS) throws(TLSLoadError) -> TLSClientConfiguration.Trust {
        guard wanted.verifies else { return .unverified }
        return try wanted.authorities.map { file throws(TLSLoadError) in .authorities(try TLSAuthorities.load(file)) } ?? .system
    }
}

extension HTTPClientTLS {
    /// Whether it was made of the same files' bytes; of a configuration that is the same.
    func isSame(as other: HTTPClientTLS) -> Bool {
        prepared?.certificate?.fingerprint == other.prepared?.certificate?.fingerprint && authorities == other.authorities
    }

    private var authorities: [[UInt8]]? {
        if case .authorities(let known)? = prepared?.trust { known.certificates } else { nil }
    }
}

extension HTTPClientProtocols {
    init(_ version: UpstreamVersion) {
        self =
            switch version {
            case .http1: .http1
            case .http2: .http2
            case .auto: .automatic
            }
    }
}
