// URLs of clients: what is read from them, what is refused, and references against them.

import Testing
import UringHTTP

@Suite struct HTTPURLTests {
    @Test(arguments: [
        ("http://h", "h", 80, "/", "h"), ("http://h/", "h", 80, "/", "h"), ("HTTPS://Ex.AMPLE:443/A?b=C#frag", "ex.ample", 443, "/A?b=C", "ex.ample"), ("https://h:8443", "h", 8443, "/", "h:8443"),
        ("http://h?q", "h", 80, "/?q", "h"), ("http://h#f", "h", 80, "/", "h"), ("http://h:/p", "h", 80, "/p", "h"), ("http://h:443/p", "h", 443, "/p", "h:443"), ("http://[::1]:81/p", "::1", 81, "/p", "[::1]:81"),
        ("http://[FE80::1]", "fe80::1", 80, "/", "[fe80::1]"), ("http://127.0.0.1/%41?%2f", "127.0.0.1", 80, "/%41?%2f", "127.0.0.1"), ("http://a_b.c./", "a_b.c.", 80, "/", "a_b.c."), ("http://h/a//b/../c?x=[]", "h", 80, "/a//b/../c?x=[]", "h"),
    ] as [(String, String, UInt16, String, String)])
    func parts(text: String, host: String, port: UInt16, target: String, authority: String) throws {
        let url = try HTTPURL.parse(text).get()
        #expect(url.host == host && url.port == port && url.target == target && url.authority == authority)
        #expect(url.isSecure == text.lowercased().hasPrefix("https"))
        #expect(try HTTPURL.parse(url.description).get() == url)
    }

    @Test(arguments: [
        ("", HTTPURLError.badScheme), ("h/p", .badScheme), ("ftp://h", .badScheme), ("http:/h", .badScheme), ("http//h", .badScheme), ("unix:/run/x", .badScheme), (" http://h", .badScheme), ("http://", .noHost), ("http:///p", .noHost), ("http://?q", .noHost),
        ("http://u@h/", .userInformation), ("http://u:p@h/", .userInformation), ("http://@h/", .userInformation), ("http://h:0/", .badAuthority), ("http://h:65536/", .badAuthority), ("http://h:x/", .badAuthority), ("http://:80/", .badAuthority),
        ("http://[::1/", .badAuthority), ("http://[::g]/", .badAuthority), ("http://[fe80::1%25eth0]/", .badAuthority), ("http://::1/", .badAuthority), ("http://h%41/", .badAuthority), ("http://a b/", .badAuthority), ("http://é/", .badAuthority), ("http://h;x/", .badAuthority),
        ("http://h\\x/", .badAuthority), ("http://h/a b", .badTarget), ("http://h/\r\nX: y", .badTarget), ("http://h/é", .badTarget), ("http://h/%", .badTarget), ("http://h/%4", .badTarget), ("http://h/%4g", .badTarget), ("http://h/?%zz", .badTarget),
        ("http://h/a\\b", .badTarget), ("http://h/\"", .badTarget), ("http://h/\u{0}", .badTarget), ("http://h/" + String(repeating: "a", count: 8192), .tooLong), ("http://" + String(repeating: "a", count: 254) + "/", .badAuthority),
    ] as [(String, HTTPURLError)])
    func refused(text: String, error: HTTPURLError) {
        #expect(HTTPURL.parse(text) == .failure(error), "\(text.prefix(40))")
        #expect(!error.description.isEmpty)
    }

    /// RFC 3986 5.4, as far as it is of our schemes.
    @Test(arguments: [
        ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"), ("//g", "http://g/"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), ("#s", "http://a/b/c/d;p?q"), ("g#s", "http://a/b/c/g"),
        (";x", "http://a/b/c/;x"), ("", "http://a/b/c/d;p?q"), (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"), ("../", "http://a/b/"), ("../g", "http://a/b/g"), ("../..", "http://a/"), ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"), ("/../g", "http://a/g"), ("g.", "http://a/b/c/g."), ("..g", "http://a/b/c/..g"), ("./../g", "http://a/b/g"), ("g;x=1/../y", "http://a/b/c/y"), ("g?y/../x", "http://a/b/c/g?y/../x"), ("https://h/x", "https://h/x"),
    ])
    func references(reference: String, expected: String) throws {
        let base = try HTTPURL.parse("http://a/b/c/d;p?q").get()
        #expect(base.resolving(Array(reference.utf8)).map(\.description) == .success(expected))
    }

    @Test func badReferences() throws {
        let base = try HTTPURL.parse("https://a:1/b").get()
        #expect(base.resolving(Array("javascript:x".utf8)) == .failure(.badScheme))
        #expect(base.resolving(Array("/a b".utf8)) == .failure(.badTarget))
        #expect(base.resolving(Array("//u@h".utf8)) == .failure(.userInformation))
        #expect(base.resolving([UInt8](repeating: 0x61, count: 8193)) == .failure(.tooLong))
        #expect(try base.resolving(Array("//h".utf8)).get().description == "https://h/")
    }
}
