// Requests that must be accepted, and what is read from them. Refused ones are in RequestParserStrictnessTests.swift.

import Testing
import UringHTTP
import UringHTTP1

@Suite struct RequestParserTests {
    @Test func smallestRequest() throws {
        let request = try #require(parseEveryWay("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request)
        #expect(request.head.method == .get)
        #expect(request.method == "GET")
        #expect(request.target == "/")
        #expect(request.path == "/")
        #expect(request.query == nil)
        #expect(request.authority == "a")
        #expect(request.head.minorVersion == 1)
        #expect(request.head.keepAlive)
        #expect(request.head.framing == .none)
        #expect(!request.head.expectContinue)
        #expect(!request.head.upgrade)
        #expect(request.head.headLength == 27)
        #expect(request.fields == [ParsedField(name: "Host", value: "a", known: .host)])
    }

    @Test func browserRequest() throws {
        let bytes = SampleRequests.browser
        let request = try #require(parseEveryWay(bytes).request)
        #expect(request.head.headLength == bytes.count)
        #expect(request.path == "/wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg")
        #expect(request.fields.count == 13)
        #expect(request.fields.first { $0.known == .userAgent }?.value.hasPrefix("Mozilla/5.0 (X11; Linux x86_64") == true)
        #expect(request.fields.last?.known == .cookie)
    }

    @Test func largeRequest() throws {
        let bytes = SampleRequests.large
        let request = try #require(parse(bytes).request)
        #expect(request.head.headLength == bytes.count)
        #expect(request.fields.count == 45)
    }

    @Test func bytesBehindTheHeadAreLeftAlone() throws {
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
        let request = try #require(parseEveryWay(head + "\u{0}\r\nGET").request)
        #expect(request.head.headLength == head.utf8.count)
        #expect(request.head.framing == .length(4))
    }

    @Test(arguments: [
        ("GET", HTTPMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("OPTIONS", .options),
        ("TRACE", .trace), ("PATCH", .patch), ("get", .other), ("GETS", .other), ("PROPFIND", .other), ("M-SEARCH", .other), ("a!#$%&'*+-.^_`|~9", .other),
        (String(repeating: "M", count: 32), .other), ("G", .other),
    ])
    func methods(name: String, method: HTTPMethod) throws {
        let request = try #require(parseEveryWay("\(name) /p HTTP/1.1\r\nHost: a\r\n\r\n").request)
        #expect(request.head.method == method)
        #expect(request.method == name)
        #expect(request.path == "/p")
    }

    @Test(arguments: [
        ("/", "/", nil), ("/a/b", "/a/b", nil), ("/a?", "/a", ""), ("/a?b=c", "/a", "b=c"), ("/?a?b/c", "/", "a?b/c"), ("//x//", "//x//", nil),
        ("/a%20b?%41", "/a%20b", "%41"), ("/*", "/*", nil), ("/[a]|{b}^`", "/[a]|{b}^`", nil), ("/a?x=\\|{}[]^`", "/a", "x=\\|{}[]^`"),
        ("/" + String(repeating: "p", count: 40) + "?" + String(repeating: "q", count: 40), "/" + String(repeating: "p", count: 40), String(repeating: "q", count: 40)),
    ] as [(String, String, String?)])
    func originTargets(target: String, path: String, query: String?) throws {
        let request = try #require(parseEveryWay("GET \(target) HTTP/1.1\r\nHost: example.com\r\n\r\n").request)
        #expect(request.head.targetForm == .origin)
        #expect(request.target == target)
        #expect(request.path == path)
        #expect(request.query == query)
        #expect(request.authority == "example.com")
    }

    @Test(arguments: [
        ("http://h.example/", "h.example", "/", nil), ("http://h.example", "h.example", "", nil), ("HTTPS://h:8443/a?b", "h:8443", "/a", "b"),
        ("http://h?q", "h", "", "q"), ("http://[::1]:80/x", "[::1]:80", "/x", nil), ("http://h:/", "h:", "/", nil),
    ] as [(String, String, String, String?)])
    func absoluteTargets(target: String, authority: String, path: String, query: String?) throws {
        let request = try #require(parseEveryWay("GET \(target) HTTP/1.1\r\nHost: other\r\n\r\n").request)
        #expect(request.head.targetForm == .absolute)
        #expect(request.target == target)
        #expect(request.authority == authority, "the target's authority wins over Host (RFC 9112 3.2.2)")
        #expect(request.path == path)
        #expect(request.query == query)
    }

    @Test func authorityTarget() throws {
        let request = try #require(parseEveryWay("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example\r\n\r\n").request)
        #expect(request.head.targetForm == .authority)
        #expect(request.head.method == .connect)
        #expect(request.authority == "db.example:5432")
        #expect(request.path == "")
    }

    @Test func asteriskTarget() throws {
        let request = try #require(parseEveryWay("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").request)
        #expect(request.head.targetForm == .asterisk)
        #expect(request.path == "*")
        #expect(request.authority == "a")
    }

    @Test(arguments: [("HTTP/1.1", 1), ("HTTP/1.0", 0), ("HTTP/1.2", 1), ("HTTP/1.9", 1)] as [(String, UInt8)])
    func versions(version: String, minor: UInt8) throws {
        let request = try #require(parseEveryWay("GET / \(version)\r\nHost: a\r\n\r\n").request)
        #expect(request.head.minorVersion == minor)
    }

    @Test func emptyLinesInFrontAreSkipped() throws {
        let request = try #require(parseEveryWay("\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n").request)
        #expect(request.head.methodOffset == 4)
        #expect(request.path == "/x")
        #expect(request.authority == "a")
    }

    @Test func hostIsOptionalInHTTP10() throws {
        let request = try #require(parseEveryWay("GET / HTTP/1.0\r\n\r\n").request)
        #expect(request.authority == "")
        #expect(!request.head.keepAlive)
        #expect(request.fields.isEmpty)
    }

    @Test(arguments: [
        "a", "A.B-c.9", "localhost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:443", "[2001:db8::ff00:42:8329]", "[::ffff:1.2.3.4]:1",
        "[1:2:3:4:5:6:7:8]", "x_y", "a%20b", "h:", "a~b!$&'()*+,;=", "h:65535", "h:00080", "very-long-label-of-a-host.example.com:8080",
    ])
    func hosts(host: String) throws {
        let request = try #require(parseEveryWay("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").request)
        #expect(request.authority == host)
    }

    @Test(arguments: [
        ("X: y", "X", "y"), ("X:y", "X", "y"), ("X:\t y \t", "X", "y"), ("X:", "X", ""), ("X: \t ", "X", ""), ("X: a\tb", "X", "a\tb"),
        ("x!#$%&'*+-.^_`|~: 1", "x!#$%&'*+-.^_`|~", "1"), ("X: a: b", "X", "a: b"), ("X: \u{e9}\u{ff}", "X", "\u{e9}\u{ff}"),
        (String(repeating: "n", count: 100) + ": v", String(repeating: "n", count: 100), "v"),
        ("X: " + String(repeating: "v\t", count: 40) + "w", "X", String(repeating: "v\t", count: 40) + "w"), ("X: \"(),/:;<=>?@[\\]{}", "X", "\"(),/:;<=>?@[\\]{}"),
    ])
    func fieldLines(line: String, name: String, value: String) throws {
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\n".utf8 + latin1Bytes(line) + "\r\n\r\n".utf8
        let request = try #require(parseEveryWay(Array(bytes)).request)
        #expect(request.fields.count == 2)
        #expect(request.fields.last?.name == name)
        #expect(request.fields.last?.value == value)
    }

    @Test(arguments: [
        ("HTTP/1.1", [], true), ("HTTP/1.1", ["close"], false), ("HTTP/1.1", ["Close"], false), ("HTTP/1.1", ["keep-alive"], true),
        ("HTTP/1.1", ["keep-alive, close"], false), ("HTTP/1.1", ["x", "y,,close ,"], false), ("HTTP/1.1", ["closed"], true),
        ("HTTP/1.0", [], false), ("HTTP/1.0", ["keep-alive"], true), ("HTTP/1.0", ["Keep-Alive"], true), ("HTTP/1.0", ["keep-alive", "close"], false),
        ("HTTP/1.0", ["\tfoo ,\t keep-alive\t"], true),
    ])
    func persistence(version: String, connection: [String], keepAlive: Bool) throws {
        let lines = connection.map { "Connection: \($0)\r\n" }.joined()
        let request = try #require(parseEveryWay("GET / \(version)\r\nHost: a\r\n\(lines)\r\n").request)
        #expect(request.head.keepAlive == keepAlive)
    }

    @Test(arguments: [
        ("HTTP/1.1", "Upgrade: websocket\r\nConnection: Upgrade", true), ("HTTP/1.1", "Connection: keep-alive, upgrade\r\nUpgrade: h2c", true),
        ("HTTP/1.1", "Upgrade: websocket", false), ("HTTP/1.1", "Connection: upgrade", false), ("HTTP/1.0", "Upgrade: websocket\r\nConnection: upgrade", false),
    ])
    func upgrade(version: String, lines: String, expected: Bool) throws {
        let request = try #require(parseEveryWay("GET / \(version)\r\nHost: a\r\n\(lines)\r\n\r\n").request)
        #expect(request.head.upgrade == expected)
    }

    @Test(arguments: [
        ("HTTP/1.1", "Content-Length: 0", BodyFraming.length(0), false), ("HTTP/1.1", "Content-Length: 10", .length(10), false),
        ("HTTP/1.1", "content-length:  0010 ", .length(10), false), ("HTTP/1.1", "Content-Length: 9223372036854775807", .length(9_223_372_036_854_775_807), false),
        ("HTTP/1.0", "Content-Length: 3", .length(3), false), ("HTTP/1.1", "Transfer-Encoding: chunked", .chunked, false),
        ("HTTP/1.1", "TRANSFER-ENCODING: Chunked", .chunked, false), ("HTTP/1.1", "Transfer-Encoding: , chunked ,", .chunked, false),
        ("HTTP/1.1", "Content-Length: 5\r\nExpect: 100-continue", .length(5), true), ("HTTP/1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked", .chunked, true),
        ("HTTP/1.1", "Expect: 100-continue", .none, false), ("HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 0", .length(0), false),
        ("HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5", .length(5), false), ("HTTP/1.0", "Expect: something\r\nContent-Length: 5", .length(5), false),
    ])
    func framing(version: String, lines: String, framing: BodyFraming, expectContinue: Bool) throws {
        let request = try #require(parseEveryWay("POST / \(version)\r\nHost: a\r\n\(lines)\r\n\r\n").request)
        #expect(request.head.framing == framing)
        #expect(request.head.expectContinue == expectContinue)
    }
}
