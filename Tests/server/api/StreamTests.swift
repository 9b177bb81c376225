// Produced responses: framing, back-pressure, ends and failures.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct StreamTests {
    private static let pieces: Handler = { request, response in
        var left = 3
        let length: UInt64? = request.path == "/counted" ? 15 : nil
        response.stream(length: length) { writer in
            left -= 1
            writer.write("piece")
            return left == 0 ? .end : .more
        }
    }

    @Test func chunked() throws {
        let server = try TestServer(Self.pieces)
        let client = try server.client()
        for _ in 0..<2 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.tokens("transfer-encoding") == ["chunked"])
            #expect(response.bodyText == "piecepiecepiece")
        }
    }

    @Test func counted() throws {
        let response = try TestServer(Self.pieces).get("/counted")
        #expect(response.values("content-length") == ["15"])
        #expect(response.bodyText == "piecepiecepiece")
    }

    @Test func oldClients() throws {
        let server = try TestServer(Self.pieces)
        let response = try server.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(response.value("transfer-encoding") == nil)
        #expect(response.isDelimitedByClose)
        #expect(response.bodyText == "piecepiecepiece")
        let counted = try server.exchange("GET /counted HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(counted.values("content-length") == ["15"])
        #expect(counted.tokens("connection") == ["keep-alive"])
    }

    /// Far more than the server holds in memory: the producer waits for the client.
    @Test(arguments: [true, false])
    func largerThanBuffers(isCounted: Bool) throws {
        let total = 20_000_000
        let server = try TestServer { _, response in
            var sent = 0
            response.stream(length: isCounted ? UInt64(total) : nil) { writer in
                while sent < total, writer.written < ResponseWriter.preferredBytes {
                    writer.write([UInt8](repeating: UInt8(truncatingIfNeeded: sent / 10_000), count: 10_000))
                    sent += 10_000
                }
                return sent < total ? .more : .end
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let body = try client.readResponse().body
        #expect(body.count == total)
        #expect(stride(from: 0, to: total, by: 10_000).allSatisfy { body[$0] == UInt8(truncatingIfNeeded: $0 / 10_000) && body[$0 + 9999] == body[$0] })
    }

    /// The next request waits for the end of the response before it.
    @Test func pipelined() throws {
        let server = try TestServer(Self.pieces)
        let client = try server.client()
        try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 10))
        for _ in 0..<10 { #expect(try client.readResponse().bodyText == "piecepiecepiece") }
    }

    @Test func waits() throws {
        let server = try TestServer { _, response in
            var left = 3
            response.stream { writer in
                left -= 1
                if left == 1 { return .wait(milliseconds: 1) }
                writer.write("\(left)")
                return left == 0 ? .end : .wait(milliseconds: 1)
            }
        }
        #expect(try server.get("/").bodyText == "20")
    }

    @Test(arguments: ["short", "long", "throws"])
    func brokenProducersCutTheConnection(kind: String) throws {
        let server = try TestServer { _, response in
            response.stream(length: 10) { writer in
                writer.write(kind == "long" ? "elevenbytes" : "five.")
                if kind == "throws" { throw SomeError() }
                return .end
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(throws: RawClientError.self) { try client.readResponse() }
        // Others are served on.
        try withKnownServer(server)
        #expect(server.reports.all.count >= 1)
    }

    private func withKnownServer(_ server: TestServer) throws {
        let client = try server.client()
        try client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse(toHead: true).status == 200)
    }

    @Test func emptyStream() throws {
        let server = try TestServer { request, response in
            response.stream(length: request.path == "/counted" ? 0 : nil) { _ in .end }
        }
        let client = try server.client()
        for path in ["/", "/counted", "/"] {
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().body.isEmpty)
        }
    }

    /// A response that is produced after a body that was received.
    @Test func streamFromAReceiver() throws {
        var application = Application { _, response in
            response.receiveBody { part, response in
                guard part.isLast else { return .more }
                let copy = [UInt8](part.bytes)
                var left = 2
                response.stream { writer in
                    left -= 1
                    writer.write(copy)
                    return left == 0 ? .end : .more
                }
                return .more
            }
        }
        application.wantsStream = { _ in true }
        let server = try TestServer(application: application)
        let client = try server.client()
        for _ in 0..<2 {
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            #expect(try client.readResponse().bodyText == "abcabc")
        }
    }

    @Test func jsonLines() throws {
        let server = try TestServer { _, response in
            var left = 2
            response.stream { writer in
                left -= 1
                writer.json { json in json["left"] = left }
                writer.write("\n")
                return left == 0 ? .end : .more
            }
        }
        #expect(try server.get("/").bodyText == "{\"left\":1}\n{\"left\":0}\n")
    }

    /// The client goes away in the middle: the producer ends, the server goes on.
    @Test func clientLeaves() throws {
        let server = try TestServer { _, response in
            response.stream { writer in
                writer.write([UInt8](repeating: 1, count: ResponseWriter.preferredBytes))
                return .more
            }
        }
        do {
            let client = try server.client()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.resetOnClose()
        }
        try withKnownServer(server)
    }
}
