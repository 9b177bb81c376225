// The part of `ConfigurationBuilder` for listeners with TLS: what needs more than one value, and whether the files can be used.

extension ConfigurationBuilder {
    static let tlsDefaults = ConfigValidator.defaults(of: ConfigSchema.tls)
    static let ticketDefaults = ConfigValidator.defaults(of: ConfigSchema.sessionTickets)
    static let http2Defaults = ConfigValidator.defaults(of: ConfigSchema.http2)

    /// nil: in clear, or refused.
    mutating func tls(_ entry: ConfigTable) -> TLSSettings? {
        guard let table = entry.group("tls") else { return nil }
        var places = TLSPlaces()
        let certificates = self.certificates(table, &places)
        let authentication = clientAuthentication(table, &places)
        let tickets = self.tickets(table, &places)
        var settings = TLSSettings(.files(certificates), table)
        settings.clientAuthentication = authentication
        settings.tickets = tickets
        settings.alpn = alpn(settings.alpn, table, HTTP2Versions(entry))
        // Files are looked at even when other values are bad: every problem at once.
        for problem in files.tlsProblems(settings) {
            let (label, position) = places[problem.role] ?? ("tls", table.position)
            let message = "\(label): \(problem.message)"
            if problem.isWarning { diagnostics.warning(position, message) } else { diagnostics.error(position, message) }
        }
        return certificates.isEmpty ? nil : settings
    }

    private mutating func certificates(_ table: ConfigTable, _ places: inout TLSPlaces) -> [CertificateFiles] {
        var result: [CertificateFiles] = []
        for entry in table.groups("certificates") {
            guard let certificate = entry.text("cert"), let key = entry.text("key") else { continue }
            let index = result.count
            places.add(.certificate(index), "certificates.cert", entry["cert"])
            places.add(.key(index), "certificates.key", entry["key"])
            places.add(.ocsp(index), "certificates.ocsp", entry["ocsp"])
            result.append(CertificateFiles(certificate: resolve(certificate), key: resolve(key), ocsp: entry.text("ocsp").map(resolve)))
        }
        return result
    }

    private mutating func clientAuthentication(_ table: ConfigTable, _ places: inout TLSPlaces) -> TLSSettings.ClientAuthentication {
        guard let group = table.group("client-auth"), let mode = group.text("mode") else { return .none }
        guard mode != "none" else {
            if let position = group.given["ca"] { diagnostics.warning(position, "client-auth: `ca` has no effect: `mode` is none") }
            return .none
        }
        guard let ca = group.text("ca") else {
            if group.given["ca"] == nil {
                diagnostics.error(
                    group["mode"]?.position ?? group.position,
                    "client-auth: `mode: \(mode)` needs `ca`, the authorities that client certificates must lead to; for example `ca: clients.pem`")
            }
            return .none
        }
        places.add(.authorities, "client-auth.ca", group["ca"])
        return mode == "required" ? .required(authorities: resolve(ca)) : .optional(authorities: resolve(ca))
    }

    private mutating func tickets(_ table: ConfigTable, _ places: inout TLSPlaces) -> TLSSettings.Tickets {
        if case .text(let word)? = table["session-tickets"]?.value { return word == "off" ? .off : .generated }
        let group = TLSSettings.tickets(table)
        guard group.text("mode") != "off" else {
            for key in ["keys", "secret", "rotate"] {
                guard let position = group.given[key] else { continue }
                diagnostics.warning(position, "session-tickets: `\(key)` has no effect: `mode` is off")
            }
            return .off
        }
        if let secret = group.text("secret") {
            places.add(.secret, "session-tickets.secret", group["secret"])
            return .secret(resolve(secret))
        }
        let keys = group.list("keys")
        for (index, item) in keys.enumerated() { places.add(.ticketKey(index), "session-tickets.keys[\(index)]", item) }
        return keys.isEmpty ? .generated : .keys(group.texts("keys").map(resolve))
    }

    /// What `http2` leaves of `alpn`.
    private mutating func alpn(_ given: [String], _ table: ConfigTable, _ http2: HTTP2Versions) -> [String] {
        guard let wanted = http2.alpn else { return given }
        if let item = table["alpn"], !item.isDefault, given != wanted {
            diagnostics.error(
                item.position,
                http2 == .off
                    ? "alpn: h2 is offered, but `http2: false` switches HTTP/2 off for this listener; remove one of them"
                    : "alpn: `http2: only` offers h2 and nothing else; remove one of them")
        }
        return wanted
    }

    mutating func http2(_ group: ConfigTable?) -> HTTP2Configuration {
        let configuration = HTTP2Configuration(group)
        if let group, configuration.streamWindowBytes > configuration.connectionWindowBytes {
            let item = group["stream-window"].flatMap { $0.isDefault ? nil : $0 } ?? group["connection-window"]
            diagnostics.warning(
                item?.position ?? group.position,
                "http2: stream-window (\(ConfigUnit.size.format(UInt64(configuration.streamWindowBytes)))) is larger than connection-window (\(ConfigUnit.size.format(UInt64(configuration.connectionWindowBytes)))), which bounds it")
        }
        return configuration
    }
}

extension HTTP2Versions {
    /// `true`, `false` or `only` of a listener.
    init(_ listener: ConfigTable) {
        switch listener["http2"]?.value {
        case .boolean(let flag): self = flag ? .on : .off
        case .text: self = .only
        default: preconditionFailure("BUG: a listener's http2 has no default")
        }
    }

    /// What ALPN must offer; nil: what it is told to.
    var alpn: [String]? {
        switch self {
        case .off: ["http/1.1"]
        case .on: nil
        case .only: ["h2"]
        }
    }
}

/// Where each file of a listener's `tls` is named.
private struct TLSPlaces {
    private var places: [TLSFileRole: (label: String, position: SourcePosition)] = [:]

    mutating func add(_ role: TLSFileRole, _ label: String, _ item: ConfigItem?) {
        if let item { places[role] = ("tls.\(label)", item.position) }
    }

    subscript(role: TLSFileRole) -> (label: String, position: SourcePosition)? { places[role] }
}
