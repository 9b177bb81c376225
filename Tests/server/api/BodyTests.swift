// Request bodies: whole and in pieces, counted and chunked, however they arrive.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct BodyTests {
    private static let text = "The quick brown fox jumps over the lazy dog."
    private static let counted = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\n\r\n\(text)"
    private static let chunked =
        "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nThe \r\n1;x=y\r\nq\r\n00027\r\nuick brown fox jumps over the lazy dog.\r\n0\r\nX-Trailer: t\r\n\r\n"

    /// Echoes a body that is whole.
    private static let echo: Handler = { request, response in response.write(request.body) }

    /// Echoes a body piece by piece, and marks its end.
    private static func streamingEcho() -> Application {
        var application = Application { request, response in
            guard request.isStreaming else {
                response.write("not streaming")
                return
            }
            response.receiveBody { part, response in
                response.write(part.bytes)
                if part.isLast { response.write("$") }
                return .more
            }
        }
        application.wantsStream = { _ in true }
        return application
    }

    @Test func whole() throws {
        let server = try TestServer(Self.echo)
        #expect(try server.exchange(Self.counted).bodyText == Self.text)
        #expect(try server.exchange(Self.chunked).bodyText == Self.text)
    }

    @Test func streamed() throws {
        let server = try TestServer(application: Self.streamingEcho())
        #expect(try server.exchange(Self.counted).bodyText == Self.text + "$")
        #expect(try server.exchange(Self.chunked).bodyText == Self.text + "$")
        #expect(try server.get("/").bodyText == "not streaming")
    }

    /// Two requests on one connection, cut at every byte: the server has read the first part before the second is sent.
    @Test(arguments: [false, true], [counted, chunked])
    func cutAnywhere(streams: Bool, request: String) throws {
        let server = try TestServer(unix: true, application: streams ? Self.streamingEcho() : Application(handler: Self.echo))
        let client = try server.client()
        let bytes = RawClient.bytes(request + request)
        let expected = Self.text + (streams ? "$" : "")
        for cut in 1..<bytes.count {
            try client.send(bytes[..<cut])
            try client.waitUntilTaken()
            try client.send(bytes[cut...])
            #expect(try client.readResponse().bodyText == expected, "cut at \(cut)")
            #expect(try client.readResponse().bodyText == expected, "cut at \(cut)")
        }
    }

    /// Every byte is an arrival of its own.
    @Test(arguments: [false, true], [counted, chunked])
    func byteByByte(streams: Bool, request: String) throws {
        let server = try TestServer(unix: true, application: streams ? Self.streamingEcho() : Application(handler: Self.echo))
        let client = try server.client()
        for byte in RawClient.bytes(request) {
            try client.send([byte])
            try client.waitUntilTaken()
        }
        #expect(try client.readResponse().bodyText == Self.text + (streams ? "$" : ""))
    }

    /// Larger than every buffer on the way.
    @Test(arguments: [false, true])
    func large(streams: Bool) throws {
        let server = try TestServer(application: streams ? Self.streamingEcho() : Application(handler: Self.echo))
        var body: [UInt8] = []
        for number in 0..<300_000 { body.append(UInt8(truncatingIfNeeded: number &* 7 ^ number >> 8)) }
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n")
        try client.send(body)
        let answer = try client.readResponse().body
        #expect(answer.prefix(body.count).elementsEqual(body))
        #expect(answer.count == body.count + (streams ? 1 : 0))
    }

    @Test func receiverFinishesEarly() throws {
        var application = Application { _, response in
            response.headers["x-set"] = "before"
            response.receiveBody { part, response in
                response.status = .accepted
                response.write("enough")
                return .finish
            }
        }
        application.wantsStream = { _ in true }
        let server = try TestServer(unix: true, application: application)
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        let response = try client.readResponse()
        #expect(response.status == 202)
        #expect(response.value("x-set") == "before")
        #expect(response.bodyText == "enough")
        // What is left of the body is no request.
        try client.send("67890GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(try client.readResponse().bodyText == "enough")
    }

    @Test func handlerAnswersWithoutTheBody() throws {
        var application = Application { request, response in response.write(request.isStreaming ? "streaming" : "whole") }
        application.wantsStream = { _ in true }
        let server = try TestServer(application: application)
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().bodyText == "streaming")
        #expect(try client.readResponse().bodyText == "whole")
    }

    /// A receiver for a body that is whole gets it in one piece: the handler need not know.
    @Test func receiverOfAWholeBody() throws {
        let server = try TestServer { _, response in
            var pieces = 0
            response.receiveBody { part, response in
                pieces += 1
                response.write(part.bytes)
                response.write(" \(pieces) \(part.isLast)")
                return .more
            }
        }
        #expect(try server.exchange(Self.counted).bodyText == Self.text + " 1 true")
        #expect(try server.get("/").bodyText == " 1 true")
    }

    @Test func receiverThrows() throws {
        var application = Application { request, response in
            response.write("dropped")
            let fails = request.path == "/http"
            let restarts = request.path == "/restart"
            response.receiveBody { part, response in
                guard part.isLast || part.bytes.count > 0 else { return .more }
                if restarts {
                    response.restart(.conflict)
                    response.write("much longer than what was dropped")
                    return .finish
                }
                if fails { throw HTTPError(.unprocessableContent, "no") }
                throw SomeError()
            }
        }
        application.wantsStream = { _ in true }
        let server = try TestServer(application: application)
        #expect(try server.exchange("POST /http HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").bodyText == "no\n")
        let restarted = try server.exchange("POST /restart HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(restarted.status == 409)
        #expect(restarted.bodyText == "much longer than what was dropped")
        #expect(try server.exchange("POST /else HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").status == 500)
    }

    /// The report names the request whose body it was, not the one that came meanwhile.
    @Test func receiverThrowsAfterOtherRequests() throws {
        var application = Application { request, response in
            guard request.isStreaming else { return response.write("other") }
            response.receiveBody { part, _ in
                if part.isLast { throw SomeError() }
                return .more
            }
        }
        application.wantsStream = { request in request.path == "/upload" }
        let server = try TestServer(unix: true, application: application)
        let (uploader, other) = (try server.client(), try server.client())
        try uploader.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        try uploader.waitUntilTaken()
        for _ in 0..<3 {
            try other.send("GET /a-rather-long-path-of-another-request HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try other.readResponse().bodyText == "other")
        }
        try uploader.send("cd")
        #expect(try uploader.readResponse().status == 500)
        #expect(server.reports.all == ["failed /upload: SomeError()"])
    }

    /// A field that a receiver sets is checked as those of handlers are.
    @Test func receiverSplitsTheResponse() throws {
        var application = Application { _, response in
            response.receiveBody { part, response in
                if part.isLast { response.headers["x-bad"] = "a\r\nset-cookie: b" }
                return .more
            }
        }
        application.wantsStream = { _ in true }
        let response = try TestServer(application: application).exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(response.status == 500)
        #expect(response.value("set-cookie") == nil)
        #expect(response.value("x-bad") == nil)
    }

    @Test func bodyLimitIsMet() throws {
        var options = ServerOptions()
        options.limits.bodyBytes = 1000
        let server = try TestServer(options: options, Self.echo)
        let body = String(repeating: "x", count: 1000)
        #expect(try server.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n\(body)").body.count == 1000)
        let refused = try server.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        #expect(refused.status == 413)
        #expect(refused.tokens("connection") == ["close"])
        #expect(try server.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n\(body)\r\n0\r\n\r\n").body.count == 1000)
        #expect(try server.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n\(body)").status == 413)
        let streaming = try TestServer(options: options, application: Self.streamingEcho())
        #expect(try streaming.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n\(body)").status == 413)
    }

    @Test func expectContinue() throws {
        let server = try TestServer(unix: true, Self.echo)
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        try client.send("abc")
        #expect(try client.readResponse().bodyText == "abc")
        // A client that did not wait is not told.
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
        #expect(try client.readResponse().status == 200)
    }

    @Test func expectContinueWithAStream() throws {
        var application = Self.streamingEcho()
        let inner = application.handler
        application.handler = { request, response in
            if request.path == "/refuse" { throw HTTPError(.contentTooLarge) }
            try inner(request, &response)
        }
        let server = try TestServer(unix: true, application: application)
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        try client.send("abc")
        #expect(try client.readResponse().bodyText == "abc$")
        let second = try server.client()
        try second.send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try second.readResponse().status == 413)
    }

    /// The observer of a streamed request sees that request.
    @Test func observerSeesTheStreamedRequest() throws {
        let reports = Reports()
        var application = Self.streamingEcho()
        let inner = application.handler
        application.handler = { request, response in
            try inner(request, &response)
            // Too large for the shortest way out.
            if request.path == "/next" { response.write(String(repeating: "x", count: 40_000)) }
        }
        application.wantsStream = { request in request.method == .post }
        application.reporter = reports
        application.observe = { request, record in
            guard let mark = request.headers["x-mark"] else { return }
            reports.handlerFailed("\(String(request.target)) \(String(mark)) \(record.status)", SomeError())
        }
        let server = try TestServer(unix: true, application: application)
        let (uploader, other) = (try server.client(), try server.client())
        try uploader.send("POST /upload?one HTTP/1.1\r\nHost: a\r\nX-Mark: mine\r\nContent-Length: 4\r\n\r\nab")
        try uploader.waitUntilTaken()
        try other.send("GET /a-rather-long-path-of-another-request HTTP/1.1\r\nHost: a\r\nX-Mark: other\r\n\r\n")
        #expect(try other.readResponse().bodyText == "not streaming")
        try uploader.send("cd")
        #expect(try uploader.readResponse().bodyText == "abcd$")
        // What was kept for one request does not speak for the next on its connection.
        try uploader.send("GET /next HTTP/1.1\r\nHost: a\r\nX-Mark: next\r\n\r\n")
        #expect(try uploader.readResponse().bodyText == "not streaming" + String(repeating: "x", count: 40_000))
        #expect(reports.all == [
            "failed /a-rather-long-path-of-another-request other 200: SomeError()", "failed /upload?one mine 200: SomeError()",
            "failed /next next 200: SomeError()",
        ])
    }
}
