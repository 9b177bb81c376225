// What a handler can answer, and what comes over the wire.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct ResponseTests {
    @Test func theFirstProgram() throws {
        let server = try TestServer { request, response in
            response.status = .ok
            response.headers["content-type"] = "application/json"
            response.write(#"{"status":"ok"}"#)
        }
        let response = try server.get("/")
        #expect(response.status == 200 && response.reason == "OK" && response.version == "HTTP/1.1")
        #expect(response.values("content-type") == ["application/json"])
        #expect(response.values("content-length") == ["15"])
        #expect(response.values("date").count == 1)
        #expect(response.value("connection") == nil)
        #expect(response.bodyText == #"{"status":"ok"}"#)
    }

    @Test func fields() throws {
        let server = try TestServer { request, response in
            response.headers["x-one"] = "1"
            response.headers["X-One"] = "2"
            response.headers.add("set-cookie", "a=1")
            response.headers.add("set-cookie", "b=2")
            response.headers["x-gone"] = "x"
            response.headers["x-gone"] = nil
            response.headers.add("x-path", request.path)
            response.headers.add(dynamicName: "X-" + "Dynamic", "d")
            response.headers["connection"] = "upgrade"
            response.headers["transfer-encoding"] = "chunked"
            response.headers["keep-alive"] = "timeout=1"
            response.headers["date"] = "own date"
            response.headers["content-length"] = "99"
            response.write(response.headers["x-one"] ?? "nil")
            response.write(response.headers["x-none"] ?? "nil")
        }
        let response = try server.get("/p")
        #expect(response.values("x-one") == ["2"])
        #expect(response.values("set-cookie") == ["a=1", "b=2"])
        #expect(response.value("x-gone") == nil)
        #expect(response.value("x-path") == "/p")
        #expect(response.value("x-dynamic") == "d")
        #expect(response.value("connection") == nil)
        #expect(response.value("transfer-encoding") == nil)
        #expect(response.value("keep-alive") == nil)
        #expect(response.values("date") == ["own date"])
        #expect(response.values("content-length") == ["4"])
        #expect(response.bodyText == "2nil")
    }

    @Test(arguments: ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b", "\u{1}"])
    func splittingIsRefused(value: String) throws {
        let server = try TestServer { request, response in
            response.write("secret")
            if request.path == "/set" { response.headers["x-bad"] = value } else { response.headers.add("x-bad", value) }
        }
        for target in ["/set", "/add"] {
            let response = try server.get(target)
            #expect(response.status == 500)
            #expect(response.fields.allSatisfy { $0.name.lowercased() != "x-bad" && $0.name.lowercased() != "set-cookie" })
            #expect(response.body.isEmpty)
        }
        #expect(server.reports.all == ["refused /set", "refused /add"])
    }

    @Test(arguments: ["", "x y", "x:", "x\r\ny", "ü"])
    func namesAreChecked(name: String) throws {
        let server = try TestServer { _, response in response.headers.add(dynamicName: name, "v") }
        // A name that is refused is not sent; whether the rest is, the handler decides.
        let response = try server.get("/")
        #expect(response.status == 500)
    }

    @Test(arguments: [100, 101, 102, 103, 199])
    func interimStatusIsNoResponse(code: UInt16) throws {
        let server = try TestServer { _, response in
            response.status = HTTPStatus(code)
            response.write("x")
        }
        #expect(try server.get("/").status == 500)
        #expect(try server.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").status == 500)
    }

    @Test func statusesWithoutContent() throws {
        let server = try TestServer { request, response in
            response.status = HTTPStatus(UInt16(request.query?.decimal ?? 0))
            response.write("content")
        }
        let client = try server.client()
        for code in [204, 304, 205, 200] {
            try client.send("GET /?\(code) HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.status == code)
            #expect(response.body.isEmpty == (code != 200))
        }
    }

    @Test func head() throws {
        let shared = SharedBytes("shared content")
        let server = try TestServer { request, response in
            switch request.path {
            case "/written": response.write("written")
            case "/shared": response.write(shared)
            case "/stream": response.stream { _ in .end }
            case "/counted": response.stream(length: 5) { _ in .end }
            case "/told": response.headers["content-length"] = "123"
            default: response.status = .notFound
            }
        }
        let client = try server.client()
        for (path, length) in [("/written", "7"), ("/shared", "14"), ("/counted", "5"), ("/told", "123"), ("/none", "0")] {
            try client.send("HEAD \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse(toHead: true).value("content-length") == length, "\(path)")
        }
        try client.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\nGET /written HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse(toHead: true).value("content-length") == nil)
        #expect(try client.readResponse().bodyText == "written")
    }

    @Test func sharedBytes() throws {
        let large = SharedBytes((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 % 251) })
        let empty = SharedBytes("")
        let server = try TestServer { request, response in
            response.write("dropped")
            response.write(request.path == "/empty" ? empty : large)
        }
        let client = try server.client()
        for _ in 0..<3 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.body.count == large.count)
            #expect(response.body.enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0 % 251) })
            #expect(try client.readResponse().body.isEmpty)
        }
    }

    /// Around the size from which a body is handed over instead of copied.
    @Test(arguments: [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 300_000])
    func writtenSizes(size: Int) throws {
        let text = String(repeating: "x", count: size)
        let server = try TestServer { _, response in response.write(text) }
        let client = try server.client()
        try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 3))
        for _ in 0..<3 { #expect(try client.readResponse().body.count == size) }
    }

    @Test func writesAppend() throws {
        let server = try TestServer { request, response in
            let literal: StaticString = "literal,"
            response.write(literal)
            response.write("text,")
            response.write(String(["a", "b"].joined()))
            response.write([44, 98, 44])
            response.write(request.path)
            response.write([UInt8]())
            response.write("")
        }
        #expect(try server.get("/p").bodyText == "literal,text,ab,b,/p")
    }

    @Test func restartAndRedirect() throws {
        let server = try TestServer { request, response in
            response.headers["x-old"] = "1"
            response.write("old")
            if request.path == "/redirect" { return response.redirect(to: "/there?x=ü", status: .permanentRedirect) }
            response.restart(.conflict)
            response.write("new")
        }
        let response = try server.get("/")
        #expect(response.status == 409)
        #expect(response.value("x-old") == nil)
        #expect(response.bodyText == "new")
        let redirect = try server.get("/redirect")
        #expect(redirect.status == 308)
        #expect(redirect.value("location") == "/there?x=ü")
    }

    @Test func serverName() throws {
        var options = ServerOptions()
        options.serverName = "test/1"
        let server = try TestServer(options: options) { request, response in
            if request.path == "/own" { response.headers["server"] = "own" }
        }
        #expect(try server.get("/").values("server") == ["test/1"])
        #expect(try server.get("/own").values("server") == ["own"])
        #expect(try TestServer { _, _ in }.get("/").value("server") == nil)
    }
}
