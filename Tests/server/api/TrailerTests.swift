// Trailer fields both ways: read by handlers and receivers, sent by producers.

import TestSupport
import Testing
import UringServer

@Suite struct TrailerTests {
    private static let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
        + "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 42\r\nx-empty:\r\n\r\n"

    private static func text(_ trailers: RequestHeaders) -> String {
        var lines: [String] = []
        for index in 0..<trailers.count { lines.append("\(String(trailers.name(at: index)))=\(String(trailers.value(at: index)))") }
        return lines.joined(separator: ",")
    }

    @Test func aHandlerReadsTrailersHoweverTheyArrive() throws {
        let server = try TestServer(unix: true) { request, response in
            response.write(request.body)
            response.write(" \(Self.text(request.trailers)) ")
            if let sum = request.trailers["x-sum"] { response.write(sum) } else { response.write("none") }
        }
        let bytes = RawClient.bytes(Self.request)
        for cut in 0...bytes.count {
            let client = try server.client()
            try client.send(bytes[..<cut])
            if cut > 0 { try client.waitUntilTaken() }
            try client.send(bytes[cut...])
            let response = try client.readFinalResponse(toHead: false)
            #expect(response.bodyText == "abcdefg X-Sum=42,x-empty= 42", "cut at \(cut)")
            // The next request of the connection has none.
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).bodyText == "  none")
        }
    }

    @Test func aReceiverGetsThemWithTheLastPiece() throws {
        var application = Application { _, response in
            response.receiveBody { part, response in
                if part.trailers.count > 0, !part.isLast { response.write("early") }
                if part.isLast { response.write(Self.text(part.trailers)) }
                return .more
            }
        }
        application.wantsStream = { _ in true }
        let server = try TestServer(application: application)
        #expect(try server.exchange(Self.request).bodyText == "X-Sum=42,x-empty=")
    }

    @Test(arguments: ["Content-Length: 3", "Transfer-Encoding: chunked", "Host: b", "bad name: x"])
    func thoseThatWouldChangeTheMessageAreRefused(_ line: String) throws {
        let server = try TestServer { _, response in response.write("accepted") }
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\(line)\r\n\r\n"
        #expect(try server.exchange(request).status == 400)
    }

    @Test func aProducerSendsThemAndNothingThatIsNotAllowed() throws {
        let server = try TestServer { _, response in
            response.stream { writer in
                writer.write("content")
                let sent = writer.addTrailer("x-sum", "42")
                let refused = [
                    writer.addTrailer("content-length", "1"), writer.addTrailer("x-bad", "a\r\nSet-Cookie: b"), writer.addTrailer("bad name", "x"),
                ]
                writer.addTrailer("x-checks", "\(sent) \(refused.contains(true))")
                return .end
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let bytes = try client.readToEnd()
        #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("\r\n\r\n7\r\ncontent\r\n0\r\nx-sum: 42\r\nx-checks: true false\r\n\r\n"))
    }
}
