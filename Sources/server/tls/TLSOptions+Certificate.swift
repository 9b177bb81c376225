// Certificates as a program names them, and what is known of them when they are loaded. Plain values; any thread.

internal import UringTLS

extension TLSOptions {
    /// A certificate chain with its private key.
    ///
    /// Accepted are RSA from 2048 bits, P-256, P-384 and Ed25519, without a password. A key that does not belong to the certificate is an error; an expired certificate,
    /// or one that is not valid yet, is a warning (`RunningServer.warnings`), so that one forgotten name does not stop all the others.
    public struct Certificate: Sendable {
        enum Origin: Sendable {
            case given(cert: Source, key: Source, ocsp: Source?)
            case selfSigned([String])
        }

        let origin: Origin

        /// - Parameters:
        ///   - cert: PEM, the server's certificate first, then the intermediates that lead to an authority, without the root.
        ///   - key: PEM of its private key; may be the same file.
        ///   - ocsp: an OCSP response in DER, which is stapled when the client asks for one (RFC 6066 section 8). Nobody fetches it: renew it, then reload.
        public init(cert: Source, key: Source, ocsp: Source? = nil) { origin = .given(cert: cert, key: key, ocsp: ocsp) }

        private init(selfSigned names: [String]) { origin = .selfSigned(names) }

        /// As `init(cert:key:ocsp:)`, from files. They are read again by `RunningServer.reloadTLS`.
        public static func files(cert: String, key: String, ocsp: String? = nil) -> Certificate {
            Certificate(cert: .file(cert), key: .file(key), ocsp: ocsp.map(Source.file))
        }

        /// As `init(cert:key:ocsp:)`, from memory.
        public static func pem(cert: [UInt8], key: [UInt8], ocsp: [UInt8]? = nil) -> Certificate {
            Certificate(cert: .bytes(cert), key: .bytes(key), ocsp: ocsp.map(Source.bytes))
        }

        /// For development: a P-256 certificate for 90 days, made when the server starts and kept until it stops. Nobody vouches for it;
        /// `ServerCertificate.fingerprint` is what a client can compare.
        /// - Parameter names: DNS names and IP addresses, one at least.
        public static func selfSigned(_ names: [String] = localNames) -> Certificate { Certificate(selfSigned: names) }

        /// `localhost`, and the loopback addresses.
        public static let localNames = ["localhost", "127.0.0.1", "::1"]
    }
}

/// A certificate that a listener answers with, as loaded: for logs, metrics and the watch over its end.
public struct ServerCertificate: Sendable, Hashable {
    /// DNS names that it is for, in lower case; `*.` stands for one label.
    public let names: [String]
    /// SHA-256, as `openssl x509 -fingerprint -sha256` writes it: hexadecimal with colons.
    public let fingerprint: String
    /// UTC, Unix seconds.
    public let notBefore: Int64
    /// UTC, Unix seconds.
    public let notAfter: Int64

    init(_ certificate: TLSCertificate) {
        (names, fingerprint) = (certificate.names, certificate.fingerprint)
        (notBefore, notAfter) = (certificate.notBefore, certificate.notAfter)
    }
}
