// Every malformed request gets its status and an orderly close, nothing behind it is answered, and the server lives on.

import Testing
import TestSupport

@Suite struct RefusedRequestTests {
    /// Sends the row and, behind it, a request that must never be answered; expects the status, `Connection: close` and an orderly end.
    private func expectRefusal(_ row: RefusedRequest, by server: ServerProcess) {
        do {
            let client = try RawClient(server.endpoint)
            try client.send(row.text + nextRequest)
            let response = try client.readResponse()
            #expect(response.status == row.status, "\(row.name)")
            #expect(response.tokens("connection").contains("close"), "\(row.name)")
            // RFC 9110 6.6.1: a server with a clock sends Date in 4xx; in 5xx it may.
            if row.status < 500 { #expect(response.values("date").count == 1, "\(row.name)") }
            #expect(!response.isDelimitedByClose, "\(row.name): the end of the body must be told from a broken connection")
            expectEnd(client, row.name)
        } catch {
            Issue.record("\(row.name): \(error)")
        }
        #expect(server.isRunning, "\(row.name): the server is gone")
    }

    private func expectRefusals(_ rows: [RefusedRequest]) throws {
        let server = try Uringd.respond()
        for row in rows { expectRefusal(row, by: server) }
        let client = try RawClient(server.endpoint)
        try client.send(nextRequest)
        expectAnswer(try client.readResponse(), "after all refusals")
    }

    @Test func requestLines() throws { try expectRefusals(RefusedRequests.requestLines) }
    @Test func targets() throws { try expectRefusals(RefusedRequests.targets) }
    @Test func fields() throws { try expectRefusals(RefusedRequests.fields) }
    @Test func hosts() throws { try expectRefusals(RefusedRequests.hosts) }
    @Test func framings() throws { try expectRefusals(RefusedRequests.framings) }
    @Test func chunks() throws { try expectRefusals(RefusedRequests.chunks) }
    @Test func trailers() throws { try expectRefusals(RefusedRequests.trailers) }
    @Test func expectations() throws { try expectRefusals(RefusedRequests.expectations) }

    /// What was answered before the fault stays answered, in order; the fault ends the connection.
    @Test func faultBehindGoodRequests() throws {
        let server = try Uringd.respond()
        for row in RefusedRequests.all {
            do {
                let client = try RawClient(server.endpoint)
                try client.send(get() + post("hello", "Content-Length: 5") + get() + row.text + nextRequest)
                for _ in 0..<3 { expectAnswer(try client.readResponse(), row.name) }
                #expect(try client.readResponse().status == row.status, "\(row.name)")
                expectEnd(client, row.name)
            } catch {
                Issue.record("\(row.name): \(error)")
            }
        }
    }

    /// HTTP/2 begins a connection or does not begin: behind a request its preface is a version that is not spoken here.
    @Test func prefaceOfHTTP2BehindARequest() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(get() + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        expectAnswer(try client.readResponse(), "the request before")
        #expect(try client.readResponse().status == 505)
        expectEnd(client, "preface behind a request")
    }

    /// A client that keeps sending after its fault still reads the answer: the close must not become a reset.
    @Test func clientThatGoesOnSendingReadsItsRefusal() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        // Stays below what a lingering server has to take, and above what a socket buffer hides.
        for _ in 0..<4 { try client.send([UInt8](repeating: 0x61, count: 16 << 10)) }
        #expect(try client.readResponse().status == 400)
        expectEnd(client, "still sending")
    }
}
