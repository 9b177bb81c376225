// Redirects over the wire: `redirect` routes on a listener in clear.

import Testing
import TestSupport

@Suite(.timeLimit(.minutes(2))) struct UringdRedirectTests {
    private func serve(_ routes: String) throws -> ServerProcess {
        try Uringd.serve("listen: [{ address: \"127.0.0.1:0\" }]\nroutes:\n\(routes)\n")
    }

    @Test func toHTTPS() throws {
        let server = try serve("  - { name: r, match: {}, redirect: { to: https, port: 8443 }, hsts: {} }")
        let response = try ask(server, "GET /a/../b%20c?x=1&y HTTP/1.1\r\nHost: example.com:8080\r\n\r\n")
        #expect(response.status == 308)
        #expect(response.values("location") == ["https://example.com:8443/a/../b%20c?x=1&y"])
        #expect(response.body.isEmpty)
        // Never in clear (RFC 6797 section 7.2).
        #expect(response.values("strict-transport-security") == [])
        let post = try ask(server, "POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\nabc")
        #expect(post.status == 308)
        #expect(post.values("location") == ["https://[::1]:8443/"])
        let absolute = try ask(server, "GET http://other.example/p HTTP/1.1\r\nHost: example.com\r\n\r\n")
        #expect(absolute.values("location") == ["https://other.example:8443/p"])
    }

    @Test func aHostIsNeeded() throws {
        let server = try serve("  - { name: r, match: {}, redirect: { to: https, status: 301 } }")
        #expect(try ask(server, "GET / HTTP/1.0\r\n\r\n").status == 400)
        #expect(try ask(server, "GET / HTTP/1.1\r\nHost: \r\n\r\n").status == 400)
        #expect(try ask(server, "GET / HTTP/1.1\r\nHost: -a\r\n\r\n").status == 400)
        let good = try ask(server, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(good.status == 301)
        #expect(good.values("location") == ["https://a/"])
    }

    @Test func toAURL() throws {
        let server = try serve(
            """
              - { name: r, match: { path: /old/* }, redirect: { to: "https://www.example.com/new{path}{query}", status: 302 } }
              - { name: s, match: {}, redirect: { to: /here, status: 307 } }
            """)
        let named = try ask(server, "GET /old/\\x?q HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(named.status == 302 || named.status == 400)
        if named.status == 302 { #expect(named.values("location") == ["https://www.example.com/new/old/%5Cx?q"]) }
        let bare = try ask(server, "GET / HTTP/1.0\r\n\r\n")
        #expect(bare.status == 307)
        #expect(bare.values("location") == ["/here"])
    }
}
