// API keys of routes over the wire, and edits of responses, which act on refusals too.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct APIKeyFilterTests {
    private func withKeys(_ text: String, _ body: (String) throws -> Void) throws {
        let path = "/tmp/uring-filter-api-keys-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try writeFile(path, text)
        defer { unsafe unlink(path) }
        try body(path)
    }

    @Test func keysPassAndTheirNamesGoUpstream() throws {
        try withKeys("# clients\nshop:s3cret:with:colons\n\nmobile:other\r\n") { path in
            let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
            let gateway = try RunningGateway(
                """
                upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
                routes: [{ name: orders, match: {}, api-keys: { file: \(path), forward: x-client }, headers: { set: { x-frame-options: DENY } }, proxy: { upstream: orders } }]
                """)
            let good = try gateway.ask("/", "X-API-Key: s3cret:with:colons", "x-client: forged")
            #expect(good.status == 200 && good.value("x-frame-options") == "DENY")
            #expect(upstream.requests.last?.values("x-client") == ["shop"])
            #expect(try gateway.ask("/", "x-api-key: other").status == 200)
            #expect(upstream.requests.last?.values("x-client") == ["mobile"])
            let refused = try gateway.ask("/", "x-api-key: wrong")
            #expect(refused.status == 401 && refused.value("www-authenticate") == "ApiKey" && refused.value("x-frame-options") == "DENY")
            #expect(try gateway.ask().bodyText.contains("an API key is needed"))
            #expect(try gateway.ask("/", "x-api-key: other", "x-api-key: wrong").status == 401)
            #expect(upstream.requests.count == 2)
        }
    }

    @Test func keysMayBeInAuthorization() throws {
        try withKeys("shop:s3cret\n") { path in
            let gateway = try RunningGateway("routes: [{ name: a, match: {}, api-keys: { file: \(path), header: Authorization }, respond: { status: 200 } }]")
            #expect(try gateway.ask("/", "Authorization: Bearer s3cret").status == 200)
            #expect(try gateway.ask("/", "Authorization: s3cret").status == 200)
            #expect(try gateway.ask("/", "Authorization: Bearer s3cre").value("www-authenticate") == "Bearer")
        }
    }

    @Test func linesThatAreNoneAreRefused() {
        for text in ["", "# nothing\n", "name\n", ":key\n", "name:\n"] {
            #expect(throws: GatewayError.self) { try APIKeyFilter.parse(Array(text.utf8), "f") }
        }
    }
}
