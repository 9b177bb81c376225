// Queries, forms, percent-decoding, cookies.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct FormTests {
    /// Walks through the body's pairs: `name=value;`, raw and decoded.
    private static let pairs: Handler = { request, response in
        var pairs = request.body.formPairs
        while let pair = pairs.next() {
            response.write(pair.name)
            response.write("=")
            response.write(pair.value)
            response.write(" \(pair.name.formDecoded)=\(pair.value.formDecoded);")
        }
    }

    private func post(_ body: String, _ handler: @escaping Handler) throws -> String {
        try TestServer(handler).exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)").bodyText
    }

    @Test(arguments: [
        ("", ""), ("&", ""), ("&&a=1&&", "a=1 a=1;"), ("a=1&b=2", "a=1 a=1;b=2 b=2;"), ("a", "a= a=;"), ("=", "= =;"), ("=x", "=x =x;"),
        ("a=b=c", "a=b=c a=b=c;"), ("a+b=c%20d%2B", "a+b=c%20d%2B a b=c d+;"), ("%61=%", "%61=% a=%;"), ("x=%4", "x=%4 x=%4;"), ("x=%zz%41", "x=%zz%41 x=%zzA;"),
        ("x=%c3%a9", "x=%c3%a9 x=é;"), ("x=%ff", "x=%ff x=\u{fffd};"),
    ])
    func walks(body: String, expected: String) throws {
        #expect(try post(body, Self.pairs) == expected)
    }

    @Test func looksUp() throws {
        let server = try TestServer { request, response in
            response.write(request.query?.formValue("name")?.formDecoded ?? "nil")
        }
        for (target, expected) in [
            ("/?name=a", "a"), ("/?x=1&name=b&name=c", "b"), ("/?%6eame=d+e", "d e"), ("/?names=a&nam=b", "nil"), ("/", "nil"), ("/?", "nil"), ("/?name", ""),
        ] {
            #expect(try server.get(target).bodyText == expected, "\(target)")
        }
    }

    @Test(arguments: [
        ("abc", "abc"), ("a%20b", "a b"), ("a+b", "a+b"), ("%c3%a9", "é"), ("a%2Fb", "a/b"), ("%ff", "nil"), ("%00", "nil"), ("%4", "nil"), ("%", "nil"), ("%4x", "nil"),
    ])
    func percentDecodes(segment: String, expected: String) throws {
        var router = Router()
        router.get("/{value}") { request, response in response.write(request.parameter("value")?.percentDecoded ?? "nil") }
        // A path that is malformed never reaches a handler.
        let response = try TestServer(router: router).get("/\(segment)")
        #expect(response.status == 400 ? expected == "nil" : response.bodyText == expected)
        #expect(try post(segment) { request, response in response.write(request.body.percentDecoded ?? "nil") } == expected)
    }

    @Test func emptyTextDecodes() throws {
        #expect(try post("") { request, response in response.write("<\(request.body.percentDecoded ?? "nil")>") } == "<>")
    }

    @Test(arguments: [
        (["a=1"], "1"), (["b=2; a=1"], "1"), (["b=2;a=1;a=3"], "1"), (["aa=2; xa=3"], "nil"), (["a"], "nil"), (["a="], ""), (["A=1"], "nil"),
        (["b=2", "a=1"], "1"), ([], "nil"), (["a=\"q\""], "\"q\""), (["  a=1 ;b=2"], "1"), ([";;a=x=y"], "x=y"),
    ])
    func cookies(lines: [String], expected: String) throws {
        let server = try TestServer { request, response in
            if let value = request.headers.cookie("a") { response.write(value) } else { response.write("nil") }
        }
        #expect(try server.request("GET", "/", lines.map { "cOOkie: \($0)" }).bodyText == expected)
    }
}
