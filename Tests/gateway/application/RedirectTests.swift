// Targets of redirects, byte for byte, for whatever a request may have.

import Testing

@testable import UringGateway

@Suite struct RedirectTests {
    /// nil: no valid host, which a template with `{host}` answers with 400.
    private func target(_ template: RedirectTemplate, _ authority: [UInt8], _ path: String, _ query: String? = nil) -> String? {
        let redirect = Redirect(RedirectConfiguration(target: template))
        let host = RequestHost.name(in: authority.span)
        guard !host.isEmpty || !template.needsHost else { return nil }
        let (path, text) = (Array(path.utf8), Array((query ?? "").utf8))
        var memory = [UInt8](repeating: 0, count: redirect.bytesMax(host.count, path.count, text.count))
        var span = memory.mutableSpan
        let count = redirect.write(host: host, path: path.span, query: text.span, hasQuery: query != nil, into: &span)
        return String(decoding: memory[..<count], as: UTF8.self)
    }

    private func https(_ authority: String, _ path: String, _ query: String? = nil, port: UInt16? = nil) -> String? {
        target(.https(port: port), Array(authority.utf8), path, query)
    }

    @Test func toHTTPS() {
        #expect(https("example.com", "/") == "https://example.com/")
        #expect(https("example.com:8080", "/a/b", "x=1&y=%20") == "https://example.com/a/b?x=1&y=%20")
        #expect(https("example.com", "/a", "") == "https://example.com/a?")
        #expect(https("[::1]:80", "/", port: 8443) == "https://[::1]:8443/")
        #expect(https("Example.COM.", "/") == "https://Example.COM./")
        #expect(https("example.com:", "/") == "https://example.com/")
        // As sent: dot segments and escapes are the next server's business.
        #expect(https("a", "/x/../%2e%2E//y") == "https://a/x/../%2e%2E//y")
        #expect(https("a", "*") == "https://a/")
        #expect(https("a", "") == "https://a/")
    }

    @Test func bytesThatNoURLHasAreEscaped() {
        #expect(https("a", "/\\evil\"<>^`{|}", "é #") == "https://a/%5Cevil%22%3C%3E%5E%60%7B%7C%7D?%C3%A9%20%23")
        #expect(https("a", "/\r\nx: y") == "https://a/%0D%0Ax:%20y")
    }

    @Test(arguments: [
        "", ":80", ".", "-a", "a b", "a/b", "a@b", "user@example.com:80", "a?b", "a#b", "[", "[]", "[]:80", "[x]", "[::1", "[::1]x", "::1", "a\\b", "a%41", "é",
        "a\r\n", "a:b", String(repeating: "a", count: 254),
    ])
    func hostsThatAreNone(authority: String) { #expect(https(authority, "/") == nil) }

    @Test func templates() throws {
        let named = try RedirectTemplate.parse("https://www.example.com/new{path}{query}").get()
        #expect(target(named, [], "/a", "b") == "https://www.example.com/new/a?b")
        #expect(target(named, [], "/a") == "https://www.example.com/new/a")
        let twice = try RedirectTemplate.parse("https://{host}/?host={host}&path={path}{path}").get()
        #expect(target(twice, Array("h:1".utf8), "/é") == "https://h/?host=h&path=/%C3%A9/%C3%A9")
    }

    /// Whatever bytes come, the target keeps its host and has no byte that ends a header.
    @Test func randomRequests() {
        var random = SplitMix(seed: 11)
        let redirect = Redirect(RedirectConfiguration(target: .https(port: 8443)))
        for _ in 0..<5000 {
            let bytes = { (count: Int) in (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
            let (authority, path, query) = (Array("h".utf8), [UInt8(ascii: "/")] + bytes(20), bytes(20))
            var memory = [UInt8](repeating: 0, count: redirect.bytesMax(authority.count, path.count, query.count))
            var span = memory.mutableSpan
            let count = redirect.write(host: authority.span, path: path.span, query: query.span, hasQuery: true, into: &span)
            #expect(memory[..<count].starts(with: "https://h:8443/".utf8))
            #expect(memory[..<count].allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") })
        }
    }
}
