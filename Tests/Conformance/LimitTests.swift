// The limits of a request head, met exactly and passed by one.

import Testing
import TestSupport

@Suite struct LimitTests {
    /// RFC 9112 3 recommends at least 8000 bytes; the request line with its CRLF.
    private static let requestLineBytesMax = 8192
    /// The default of `limits.header-bytes`; the whole head.
    private static let headerBytesMax = 32 << 10
    private static let fieldCountMax = 100

    private func status(_ text: String) throws -> Int {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(text + nextRequest)
        let response = try client.readResponse()
        if response.status == 200 { expectAnswer(try client.readResponse(), "next") } else { expectEnd(client, "refused") }
        return response.status
    }

    private func requestLine(bytes: Int) -> String {
        // utf8, because CR LF is one Character.
        let rest = "GET / HTTP/1.1\r\n".utf8.count
        return "GET /" + String(repeating: "a", count: bytes - rest) + " HTTP/1.1\r\nHost: a\r\n\r\n"
    }

    @Test func requestLine() throws {
        #expect(try status(requestLine(bytes: Self.requestLineBytesMax)) == 200)
        #expect(try status(requestLine(bytes: Self.requestLineBytesMax + 1)) == 414)
        #expect(try status(requestLine(bytes: 100_000)) == 414)
    }

    private func head(bytes: Int) -> String {
        let frame = get("/", "X: ").utf8.count
        return get("/", "X: " + String(repeating: "a", count: bytes - frame))
    }

    @Test func head() throws {
        #expect(try status(head(bytes: Self.headerBytesMax)) == 200)
        #expect(try status(head(bytes: Self.headerBytesMax + 1)) == 431)
        #expect(try status(head(bytes: 200_000)) == 431)
    }

    @Test func fieldCount() throws {
        // Host is one of them.
        func request(fields: Int) -> String { "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: fields - 1) + "\r\n" }
        #expect(try status(request(fields: Self.fieldCountMax)) == 200)
        #expect(try status(request(fields: Self.fieldCountMax + 1)) == 431)
    }

    /// A line that never ends is refused while it comes, not when memory is full.
    @Test func lineWithoutEnd() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send("GET /" + String(repeating: "a", count: 64 << 10))
        #expect(try client.readResponse().status == 414)
        expectEnd(client, "414")
    }
}
