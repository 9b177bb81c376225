// Slow and silent clients meet the server's timeouts. The tests wait for what the server does and measure no time.

import Testing
import TestSupport

@Suite struct TimeoutTests {
    private func serve() throws -> ServerProcess {
        try Uringd.serve(
            """
            loops: 1
            listen:
              - address: 127.0.0.1:0
            timeouts: { header: 200ms, body: 200ms, idle: 200ms }
            routes:
              - name: all
                match: { path: /* }
                respond: { status: 200, json: { status: ok } }

            """)
    }

    @Test func headThatStopsComing() throws {
        let server = try serve()
        let client = try RawClient(server.endpoint)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ")
        let response = try client.readResponse()
        #expect(response.status == 408)
        #expect(response.tokens("connection").contains("close"))
        expectEnd(client, "408")
    }

    @Test(arguments: [true, false])
    func bodyThatStopsComing(isChunked: Bool) throws {
        let server = try serve()
        let client = try RawClient(server.endpoint)
        try client.send(isChunked ? chunked("5\r\nhel") : post("hel", "Content-Length: 5"))
        #expect(try client.readResponse().status == 408)
        expectEnd(client, "408")
    }

    /// RFC 9112 9.5: between requests an idle connection is closed without a word, because a client may be about to send.
    @Test func idleConnection() throws {
        let server = try serve()
        let client = try RawClient(server.endpoint)
        try client.send(nextRequest)
        #expect(try client.readResponse().status == 200)
        expectEnd(client, "idle")
    }

    @Test func connectionWithoutAByte() throws {
        let server = try serve()
        let client = try RawClient(server.endpoint)
        let rest = try client.readToEnd()
        #expect(rest.isEmpty || rest.starts(with: "HTTP/1.1 408 ".utf8))
    }

    /// Slow clients do not slow the others down, and leave nothing behind.
    @Test func manySlowClients() throws {
        let server = try serve()
        let slow = try (0..<100).map { _ in try RawClient(server.endpoint) }
        for client in slow { try client.send("GET / HT") }
        let quick = try RawClient(server.endpoint)
        try quick.send(nextRequest)
        #expect(try quick.readResponse().status == 200)
        for client in slow {
            #expect(try client.readResponse().status == 408)
            expectEnd(client, "slow")
        }
    }
}
