// The part of `ConfigurationBuilder` for what routes, listeners and upstreams mean together.

extension ConfigurationBuilder {
    mutating func checkRoutes(_ table: ConfigTable, _ configuration: Configuration) {
        let tables = table.groups("routes")
        checkFallbacks(tables)
        lintCatchAll(tables, configuration.routes)
        for route in tables {
            lintClearCredentials(route, configuration)
            checkClientCertificates(route, table.groups("listen"))
        }
    }

    /// A route for every path of every host that leaves some methods to those behind it: the others lose the rest, mostly unawares.
    private mutating func lintCatchAll(_ tables: [ConfigTable], _ routes: [RouteConfiguration]) {
        for (index, route) in routes.enumerated().dropLast() {
            let takesEveryPath = route.match.paths.isEmpty || route.match.paths.contains { $0.hasTail && $0.segments.isEmpty }
            guard takesEveryPath, route.match.hosts.isEmpty, !route.match.isClearOnly, !route.match.methods.isAny,
                let other = routes[(index + 1)...].first(where: { !route.match.methods.covers($0.match.methods) && overlaps(route.match.methods, $0.match.methods) }),
                let item = tables.first(where: { $0.text("name") == route.name })?["name"]
            else { continue }
            diagnostics.lint(
                .catchAllFirst, item.position,
                "routes: `\(route.name)` takes every path before `\(other.name)` behind it is tried, for \(route.match.methods.names.joined(separator: ", ")); put it last")
        }
    }

    private func overlaps(_ a: MethodSet, _ b: MethodSet) -> Bool { a.isAny || b.isAny || a.names.contains(where: b.names.contains) }

    /// Credentials that clients sent over TLS, or that this server checks, leave for another machine in clear.
    private mutating func lintClearCredentials(_ route: ConfigTable, _ configuration: Configuration) {
        guard let proxy = route.group("proxy"), let name = proxy.text("upstream"), let item = proxy["upstream"], let upstream = names.upstream(name),
            upstream.tls == nil, ["jwt", "basic", "api-keys"].contains(where: { route.given[$0] != nil }),
            let server = upstream.servers.first(where: { !$0.address.isPrivate })
        else { return }
        let removed = proxy.group("headers")?.group("request")?.texts("remove").contains { $0.lowercased() == "authorization" } ?? false
        let keepsToken = route.group("jwt").map { !$0.boolean("forward-token") } ?? false
        guard !removed, !keepsToken else { return }
        diagnostics.lint(
            .clearCredentials, item.position,
            "proxy.upstream: the credentials of clients go to \(server.address) in clear; `upstreams.\(name).tls: on` hides them, or `forward-token: false` leaves them out")
    }

    private mutating func checkClientCertificates(_ route: ConfigTable, _ listeners: [ConfigTable]) {
        guard let position = route.given["client-cert"], !listeners.isEmpty else { return }
        let asks = listeners.contains { ["optional", "required"].contains($0.group("tls")?.group("client-auth")?.text("mode") ?? "") }
        if !asks { diagnostics.error(position, "client-cert: no listener asks for certificates; `tls: { client-auth: { mode: optional, ca: clients.pem } }` does") }
    }
}
