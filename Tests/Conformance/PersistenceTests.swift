// Connections over several requests: keep-alive, pipelining, close, HTTP/1.0, HEAD, half-close, clients that vanish.

import Testing
import TestSupport

@Suite struct PersistenceTests {
    @Test func oneConnectionServesManyRequests() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        for number in 0..<200 {
            try client.send(get("/\(number)"))
            let response = try client.readResponse()
            expectAnswer(response, "request \(number)")
            #expect(!response.tokens("connection").contains("close"))
        }
    }

    /// Kinds whose responses differ, so that a wrong order is seen.
    @Test func pipelinedResponsesComeInOrder() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        let round = get() + "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + post("hello", "Content-Length: 5") + chunked("5\r\nhello\r\n0\r\n\r\n")
        try client.send(String(repeating: round, count: 32) + get("/", "Connection: close") + nextRequest)
        for number in 0..<32 {
            expectAnswer(try client.readResponse(), "GET of round \(number)")
            #expect(try client.readResponse(toHead: true).values("content-length") == ["5"])
            expectAnswer(try client.readResponse(), "POST of round \(number)")
            expectAnswer(try client.readResponse(), "chunked POST of round \(number)")
        }
        expectAnswer(try client.readResponse(), "the last")
        expectEnd(client, "nothing is answered behind Connection: close")
    }

    /// More than any buffer between the two holds: the server has to wait for its reader and go on.
    @Test func clientThatReadsLateGetsEverything() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        let count = 1000
        try client.send(String(repeating: nextRequest, count: count))
        for number in 0..<count { expectAnswer(try client.readResponse(), "response \(number)") }
    }

    @Test(arguments: ["close", "Close", "CLOSE", "keep-alive, close", "TE, close", "close, x", " , close"])
    func connectionClose(value: String) throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(get("/", "Connection: \(value)") + nextRequest)
        let response = try client.readResponse()
        expectAnswer(response, value)
        #expect(response.tokens("connection").contains("close"))
        expectEnd(client, value)
    }

    @Test func http10ClosesUnlessAsked() throws {
        let server = try Uringd.respond()
        let closing = try RawClient(server.endpoint)
        try closing.send("GET / HTTP/1.0\r\n\r\n")
        let response = try closing.readResponse()
        #expect(response.status == 200 && response.bodyText == answer)
        expectEnd(closing, "HTTP/1.0")

        let staying = try RawClient(server.endpoint)
        for _ in 0..<3 {
            try staying.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let response = try staying.readResponse()
            #expect(response.status == 200 && response.bodyText == answer)
            // RFC 9112 9.3: only a server that says so keeps the connection to an HTTP/1.0 client.
            #expect(response.tokens("connection").contains("keep-alive"))
        }
    }

    @Test func headHasTheFieldsOfGetAndNoBody() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(get() + "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get())
        let toGet = try client.readResponse()
        let toHead = try client.readResponse(toHead: true)
        #expect(toHead.status == toGet.status)
        #expect(toHead.fields.filter { $0.name.lowercased() != "date" } == toGet.fields.filter { $0.name.lowercased() != "date" })
        expectAnswer(try client.readResponse(), "behind HEAD")
    }

    @Test func halfClosedClientIsAnswered() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(get() + get())
        client.finishSending()
        expectAnswer(try client.readResponse(), "first")
        expectAnswer(try client.readResponse(), "second")
        expectEnd(client, "half-closed")
    }

    @Test func silentClientMayLeave() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        client.finishSending()
        expectEnd(client, "nothing sent")
    }

    /// Ends in the middle of a request, by FIN and by RST, at each place: the connection ends, the server does not.
    @Test func clientsThatVanishHurtNobody() throws {
        let server = try Uringd.respond()
        let bystander = try RawClient(server.endpoint)
        let bytes = RawClient.bytes(chunked("5\r\nhello\r\n0\r\nX: y\r\n\r\n"))
        for cut in 1..<bytes.count {
            let leaving = try RawClient(server.endpoint)
            try leaving.send(bytes[..<cut])
            leaving.finishSending()
            let rest = try leaving.readToEnd()
            // Silence, or a 400: an incomplete request is not served (RFC 9112 8).
            #expect(rest.isEmpty || rest.starts(with: "HTTP/1.1 400 ".utf8), "cut at \(cut)")
            let resetting = try RawClient(server.endpoint)
            resetting.resetOnClose()
            try resetting.send(bytes[..<cut])
        }
        try bystander.send(nextRequest)
        expectAnswer(try bystander.readResponse(), "bystander")
        #expect(server.isRunning)
    }
}
