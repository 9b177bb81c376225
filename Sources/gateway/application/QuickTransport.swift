// TLS and HTTP/2 of the commands that need no file. Made from arguments, checked by the same rules as a file.

package struct QuickTransport: Sendable {
    package let tls: TLSSettings?
    package let http2: HTTP2Versions
    /// What works and should be known, a sentence each.
    package let warnings: [String]

    /// HTTP in clear, both versions.
    package init() { (tls, http2, warnings) = (nil, .on, []) }

    /// - Parameters:
    ///   - tls: `CERT,KEY` or `self-signed`.
    ///   - sessionTickets: nil: not said, on.
    /// - Throws: `GatewayError`, every problem of the files in it.
    package init(tls: String?, sessionTickets: Bool?, http2: HTTP2Versions) throws {
        self.http2 = http2
        guard let tls else {
            guard sessionTickets == nil else { throw GatewayError("--session-tickets without --tls: only TLS has tickets") }
            self.tls = nil
            warnings = []
            return
        }
        var settings = TLSSettings(try Self.certificates(tls))
        if sessionTickets == false { settings.tickets = .off }
        settings.alpn = http2.alpn ?? settings.alpn
        let problems = ConfigFileChecks.system.tlsProblems(settings)
        let errors = problems.filter { !$0.isWarning }.map(\.message)
        guard errors.isEmpty else { throw GatewayError("--tls: \(errors.joined(separator: "; "))") }
        self.tls = settings
        warnings = problems.map(\.message)
    }

    private static func certificates(_ text: String) throws -> TLSSettings.Certificates {
        if text == "self-signed" { return .selfSigned }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
            throw GatewayError("--tls \(text.prefix(80)): CERT,KEY is expected, two PEM files with a comma between them, or self-signed")
        }
        return .files([CertificateFiles(certificate: parts[0], key: parts[1])])
    }
}
