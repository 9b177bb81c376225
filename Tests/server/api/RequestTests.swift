// What a handler sees of a request, in every form of target, and how values compare.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct RequestTests {
    /// Answers everything that a request says, a line each.
    private static let describe: Handler = { request, response in
        func line(_ name: String, _ view: ByteView?) {
            response.write("\(name)=")
            if let view { response.write(view) } else { response.write("nil") }
            response.write("\n")
        }
        response.write("\(request.method)\n")
        line("name", request.methodName)
        line("target", request.target)
        line("path", request.path)
        line("query", request.query)
        line("authority", request.authority)
        response.write("minor=\(request.minorVersion) length=\(request.contentLength.map { "\($0)" } ?? "nil") body=\(request.body.count)\n")
    }

    @Test(arguments: [
        ("GET /a%20b?x=1&y=?2 HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET\nname=GET\ntarget=/a%20b?x=1&y=?2\npath=/a%20b\nquery=x=1&y=?2\nauthority=h:80\nminor=1 length=0 body=0\n"),
        ("GET /? HTTP/1.1\r\nHost: h\r\n\r\n", "GET\nname=GET\ntarget=/?\npath=/\nquery=\nauthority=h\nminor=1 length=0 body=0\n"),
        ("GET http://o.example:81/p?q HTTP/1.1\r\nHost: o.example:81\r\n\r\n", "GET\nname=GET\ntarget=http://o.example:81/p?q\npath=/p\nquery=q\nauthority=o.example:81\nminor=1 length=0 body=0\n"),
        ("GET http://o.example HTTP/1.1\r\nHost: o.example\r\n\r\n", "GET\nname=GET\ntarget=http://o.example\npath=/\nquery=nil\nauthority=o.example\nminor=1 length=0 body=0\n"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS\nname=OPTIONS\ntarget=*\npath=*\nquery=nil\nauthority=h\nminor=1 length=0 body=0\n"),
        ("GET /old HTTP/1.0\r\n\r\n", "GET\nname=GET\ntarget=/old\npath=/old\nquery=nil\nauthority=\nminor=0 length=0 body=0\n"),
        ("PURGE /x HTTP/1.1\r\nHost: h\r\n\r\n", "other\nname=PURGE\ntarget=/x\npath=/x\nquery=nil\nauthority=h\nminor=1 length=0 body=0\n"),
        ("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST\nname=POST\ntarget=/x\npath=/x\nquery=nil\nauthority=h\nminor=1 length=3 body=3\n"),
    ])
    func accessors(request: String, expected: String) throws {
        let response = try TestServer(Self.describe).exchange(request)
        #expect(response.bodyText == expected)
    }

    /// CONNECT asks for a tunnel: without an upgrade, success would promise what the server does not do.
    @Test func authorityForm() throws {
        let server = try TestServer { request, response in
            response.status = .forbidden
            response.write(request.target)
            response.write(" ")
            response.write(request.path)
            response.write(" ")
            response.write(request.authority)
        }
        #expect(try server.exchange("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n").bodyText == "h.example:443  h.example:443")
        let successful = try TestServer { _, response in response.status = .ok }
        #expect(try successful.exchange("CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n").status == 501)
    }

    @Test func headers() throws {
        let server = try TestServer { request, response in
            response.write("\(request.headers.count);")
            for index in 0..<request.headers.count {
                response.write(request.headers.name(at: index))
                response.write("=")
                response.write(request.headers.value(at: index))
                response.write(";")
            }
            for name in ["x-a", "X-A", "x-b", "x-none"] as [StaticString] {
                if let value = request.headers[name] {
                    response.write("[")
                    response.write(value)
                    response.write("]")
                } else {
                    response.write("nil")
                }
            }
        }
        let response = try server.get("/", "X-a: 1", "x-B:   two words\t", "X-A: 2", "x-empty:")
        #expect(response.bodyText == "5;Host=example.com;X-a=1;x-B=two words;X-A=2;x-empty=;[1][1][two words]nil")
    }

    @Test func fieldLimitIsMet() throws {
        let server = try TestServer { request, response in response.write("\(request.headers.count)") }
        let lines = (0..<99).map { "x-\($0): \($0)" }
        #expect(try server.request("GET", "/", lines).bodyText == "100")
        #expect(try server.request("GET", "/", lines + ["x: y"]).status == 431)
    }

    @Test func comparisons() throws {
        let server = try TestServer { request, response in
            let value = request.headers["x-v"]!
            var truths: [Bool] = []
            truths.append(value == "Text")
            truths.append(value == "text")
            truths.append(value != "Text")
            truths.append(value == "Texts")
            truths.append(request.headers["x-v"] == "Text")
            truths.append(request.headers["x-none"] == "Text")
            truths.append(request.headers["x-none"] != "Text")
            truths.append(value.equals(String("Text")))
            truths.append(value.equalsIgnoringCase("tEXT"))
            truths.append(value.equalsIgnoringCase("tEX"))
            truths.append(value.hasPrefix("Te"))
            truths.append(value.hasPrefix("Texts"))
            truths.append(value.hasPrefix(""))
            truths.append(value == request.headers["x-same"]!)
            truths.append(value == request.headers["x-n"]!)
            let number = request.headers["x-n"]!.decimal
            switch request.path {
            case "/switch": truths.append(true)
            default: truths.append(false)
            }
            response.write(truths.map { $0 ? "1" : "0" }.joined() + " \(number.map { "\($0)" } ?? "nil")")
        }
        #expect(try server.get("/switch", "X-V: Text", "X-Same: Text", "X-N: 18446744073709551615").bodyText == "1000101110101101 18446744073709551615")
        for text in ["18446744073709551616", "99999999999999999999", "", "-1", "1a", "000000000000000000001"] {
            #expect(try server.get("/switch", "X-V: Text", "X-Same: Text", "X-N: \(text)").bodyText.hasSuffix(" nil"))
        }
    }

    @Test func copiesOfViews() throws {
        let server = try TestServer { request, response in
            let text = String(request.body)
            let bytes = [UInt8](request.body)
            response.write("\(text.count) \(bytes.count) \(text)")
        }
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\u{ff}\u{fe}b")
        #expect(try client.readResponse().bodyText == "4 4 a\u{fffd}\u{fffd}b")
    }

    @Test func connectionIdentity() throws {
        let server = try TestServer { request, response in response.write("\(request.connectionID) \(request.remoteAddress)") }
        let (first, second) = (try server.client(), try server.client())
        var answers: [String] = []
        for client in [first, first, second] {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answers.append(try client.readResponse().bodyText)
        }
        #expect(answers[0] == answers[1])
        #expect(answers[0].split(separator: " ")[0] != answers[2].split(separator: " ")[0])
        #expect(answers[0].split(separator: " ")[1].hasPrefix("127.0.0.1:"))
        #expect(try TestServer(unix: true) { request, response in response.write(request.remoteAddress) }.get("/").bodyText.hasPrefix("unix:"))
    }
}
