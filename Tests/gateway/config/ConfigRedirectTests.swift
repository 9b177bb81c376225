// `redirect` and `hsts`: values, messages, and what templates cannot be talked into.

import Testing

@testable import UringGateway

private func withRedirect(_ redirect: String, listen: String = "[{ address: '127.0.0.1:80' }, { address: '127.0.0.1:443', tls: { certificates: [{ cert: a, key: b }] } }]") -> String {
    "listen: \(listen)\nroutes:\n  - name: r\n    match: {}\n    redirect: \(redirect)\n"
}

@Suite struct ConfigRedirectTests {
    private func redirect(_ text: String) throws -> RouteConfiguration { try good(withRedirect(text)).routes[0] }

    @Test func toHTTPS() throws {
        let route = try redirect("{ to: https }")
        #expect(route.action == .redirect(RedirectConfiguration(status: 308, target: .https())))
        #expect(route.match == RouteMatchRule(isClearOnly: true))
        #expect(try redirect("{ to: https, status: 301, port: 8443 }").action == .redirect(RedirectConfiguration(status: 301, target: .https(port: 8443))))
        #expect(try redirect("{ to: https, port: 443 }").action == .redirect(RedirectConfiguration(status: 308, target: .https())))
    }

    @Test func toAURL() throws {
        let route = try redirect("{ to: 'https://www.{host}/a{path}{query}', status: 302 }")
        let parts: [RedirectTemplate.Part] = [.literal("https://"), .literal("www."), .host, .literal("/a"), .path, .query]
        #expect(route.action == .redirect(RedirectConfiguration(status: 302, target: try RedirectTemplate.parse("https://www.{host}/a{path}{query}").get())))
        #expect(try RedirectTemplate.parse("https://www.{host}/a{path}{query}").get().parts == parts)
        // Another place is wanted over TLS too.
        #expect(route.match == RouteMatchRule())
    }

    @Test(arguments: [
        "https://example.com", "https://example.com/", "http://example.com:8080{path}", "https://{host}:8443{path}{query}", "https://[::1]/",
        "https://example.com{query}", "/", "/new", "/new{path}", "/n/{query}", "https://example.com/%20?a={path}#x", "https://1.2.3.4{path}",
    ])
    func goodTargets(text: String) { #expect(RedirectTemplate.parse(text).problem == nil) }

    /// Else a request chooses the host that its client is sent to.
    @Test(arguments: [
        "{path}", "/{path}", "/{query}{path}", "//example.com", "/{host}", "https://{path}", "https://{query}", "https:///x", "https://", "https://{host}{host}:x/",
        "https://a@b/", "https://exa mple.com", "https://example.com\\x", "https://example.com/ä", "ftp://x", "example.com", "http", "https:/x",
        "https://{hst}{path}", "https://example.com/{path", "https://example.com/}{", "https://-a/", "/\\evil", "https://example.com/\n",
    ])
    func badTargets(text: String) { #expect(RedirectTemplate.parse(text).problem != nil) }

    @Test func messages() {
        let accepted = "accepted: https, or a URL such as https://www.example.com{path}{query}"
        expectMessages(
            withRedirect("{ to: http }"),
            ["5:21: routes[0].redirect.to: found `http` (a URL begins with https://, http:// or a slash), \(accepted)"])
        expectMessages(
            withRedirect("{ to: 'https://a/{pth}' }"),
            ["5:21: routes[0].redirect.to: found the text \"https://a/{pth}\" (unknown `{pth}`, did you mean `{path}`?), \(accepted)"])
        expectMessages(
            withRedirect("{ to: '/{path}' }"),
            [
                "5:21: routes[0].redirect.to: found the text \"/{path}\" (it could lead to another host: write the host, or a path that begins with its own segment), \(accepted)"
            ])
        expectMessages(withRedirect("{ status: 301 }"), ["5:15: the key `to` is missing in `routes[0].redirect`; for example `to: https`"])
        expectMessages(
            withRedirect("{ to: https, status: 303 }"), ["5:36: routes[0].redirect.status: found `303`, accepted: 301, 302, 307 or 308; did you mean `301`?"])
        expectMessages(
            withRedirect("{ to: 'https://a/', port: 1 }"), ["5:35: warning: redirect: `port` has no effect: write the port into the URL"])
    }

    @Test func listenersAndRedirects() {
        let clear = "[{ address: '127.0.0.1:80' }]"
        let secure = "[{ address: '127.0.0.1:443', tls: { certificates: [{ cert: a, key: b }] } }]"
        expectMessages(
            withRedirect("{ to: https }", listen: secure), ["5:21: warning: redirect: `to: https` is never reached: every listener speaks TLS"])
        expectMessages(
            withRedirect("{ to: https }", listen: clear),
            [
                "5:21: warning: redirect: no listener here speaks TLS; behind a proxy that ends TLS every request comes in clear, and the redirect never ends"
            ])
        expectMessages(withRedirect("{ to: 'https://a/' }", listen: clear), [])
    }

    /// The route behind a redirect to HTTPS is reached over TLS, so it is not hidden; behind one to a URL it is.
    @Test func aRedirectToHTTPSHidesOnlyItsLike() {
        let next = "  - { name: s, match: {}, respond: {} }\n"
        expectMessages(withRedirect("{ to: https }") + next, [])
        expectMessages(
            withRedirect("{ to: 'https://a/' }") + next,
            ["6:13: warning: routes: `s` is never reached: the earlier route `r` takes everything that it matches [route-unreachable]"])
        expectMessages(
            withRedirect("{ to: https }") + "  - { name: s, match: { path: /a }, redirect: { to: https } }\n",
            ["6:13: warning: routes: `s` is never reached: the earlier route `r` takes everything that it matches [route-unreachable]"])
        expectMessages(
            withRoute("match: {}\nrespond: {}") + "  - { name: s, match: {}, redirect: { to: 'https://a/' } }\n",
            ["6:13: warning: routes: `s` is never reached: the earlier route `r` takes everything that it matches [route-unreachable]"])
    }

    @Test func strictTransportSecurity() throws {
        let text = withRedirect("{ to: 'https://a/' }")
        #expect(try good(text).routes[0].hsts == nil)
        #expect(try good(text + "    hsts: {}\n").routes[0].hsts?.fieldValue == "max-age=31536000; includeSubDomains")
        #expect(try good(text + "    hsts: { max-age: 0, include-subdomains: false }\n").routes[0].hsts?.fieldValue == "max-age=0")
        #expect(
            try good(text + "    hsts: { max-age: 730d, preload: true }\n").routes[0].hsts?.fieldValue == "max-age=63072000; includeSubDomains; preload")
        expectMessages(
            text + "    hsts: { max-age: 90d, preload: true }\n",
            ["6:36: warning: hsts: the preload lists ask for `max-age` of 365d at least and for `include-subdomains`"])
        expectMessages(
            text + "    hsts: { maxage: 1d }\n",
            ["6:13: unknown key `maxage` in `routes[0].hsts`, did you mean `max-age`? accepted: max-age, include-subdomains, preload"])
        expectMessages(
            withRoute("match: {}\nrespond: {}\nhsts: {}"),
            ["6:5: warning: `hsts` has no effect: no listener speaks TLS, and the header is never sent in clear"])
        expectMessages(
            withRoute("match: {}\nrespond: { headers: { Strict-Transport-Security: max-age=1 } }\nhsts: {}"),
            [
                "6:5: `hsts` stands beside the header strict-transport-security in `respond`; only one of them is possible",
                "6:5: warning: `hsts` has no effect: no listener speaks TLS, and the header is never sent in clear",
            ])
    }
}
