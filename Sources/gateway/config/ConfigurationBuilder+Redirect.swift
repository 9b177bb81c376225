// The part of `ConfigurationBuilder` for what routes do about HTTPS: redirects and Strict-Transport-Security.

extension ConfigurationBuilder {
    mutating func redirect(_ table: ConfigTable) -> RedirectConfiguration? {
        guard let to = table.text("to"), let status = table.text("status").flatMap({ Int($0) }) else { return nil }
        if to == "https" {
            let port: UInt16? = table["port"] == nil ? nil : UInt16(clamping: table.integer("port"))
            return RedirectConfiguration(status: status, target: .https(port: port == 443 ? nil : port))
        }
        if let position = table.given["port"] { diagnostics.warning(position, "redirect: `port` has no effect: write the port into the URL") }
        guard case .success(let template) = RedirectTemplate.parse(to) else { return nil }
        return RedirectConfiguration(status: status, target: template)
    }

    mutating func hsts(_ table: ConfigTable) -> HSTSConfiguration {
        let hsts = HSTSConfiguration(
            maxAgeSeconds: table.number("max-age") / 1_000_000_000, includesSubdomains: table.boolean("include-subdomains"),
            isPreloaded: table.boolean("preload"))
        if hsts.isPreloaded, let item = table["preload"], !hsts.includesSubdomains || hsts.maxAgeSeconds < 31_536_000 {
            diagnostics.warning(item.position, "hsts: the preload lists ask for `max-age` of 365d at least and for `include-subdomains`")
        }
        return hsts
    }

    /// A field of one's own beside the option: a browser would take the first and ignore the other (RFC 6797 section 8.1).
    mutating func checkHSTS(_ route: ConfigTable, _ action: RouteConfiguration.Action?) {
        guard let position = route.given["hsts"], case .respond(let respond)? = action,
            respond.headers.contains(where: { $0.name.lowercased() == "strict-transport-security" })
        else { return }
        diagnostics.error(position, "`hsts` stands beside the header strict-transport-security in `respond`; only one of them is possible")
    }

    /// What routes and listeners mean together.
    mutating func checkHTTPS(_ routes: [ConfigTable], _ listeners: [ConfigTable]) {
        let secure = listeners.count { $0.given["tls"] != nil }
        guard !listeners.isEmpty else { return }
        for route in routes {
            if let redirect = route.group("redirect"), redirect.text("to") == "https", let item = redirect["to"] {
                if secure == listeners.count {
                    diagnostics.warning(item.position, "redirect: `to: https` is never reached: every listener speaks TLS")
                } else if secure == 0 {
                    diagnostics.warning(
                        item.position,
                        "redirect: no listener here speaks TLS; behind a proxy that ends TLS every request comes in clear, and the redirect never ends")
                }
            }
            if secure == 0, let position = route.given["hsts"] {
                diagnostics.warning(position, "`hsts` has no effect: no listener speaks TLS, and the header is never sent in clear")
            }
        }
    }
}
