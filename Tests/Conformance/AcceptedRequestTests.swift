// What looks odd and is allowed gets the ordinary answer, and the next request on the connection too.

import Testing
import TestSupport

@Suite struct AcceptedRequestTests {
    private static let odd: [(String, String)] = [
        ("plain", get()),
        ("2.2 empty line before the request", "\r\n" + get()),
        ("2.3 a later minor version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("3.1 method of our own", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("3.2.1 query only", "GET /?a=b&c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("3.2.1 percent-encoding", "GET /%41%2f%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("3.2.1 two slashes", "GET //a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("3.2.2 absolute form", "GET http://b/c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("3.2.2 absolute form without a path", "GET http://b HTTP/1.1\r\nHost: b\r\n\r\n"),
        ("3.2.4 asterisk with OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("5 no space behind the colon", "GET / HTTP/1.1\r\nHost:a\r\nX:y\r\n\r\n"),
        ("5 much white space around a value", "GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n"),
        ("5 empty value", get("/", "X:")),
        ("5.5 bytes above 7F in a value", get("/", "X: \u{e9}\u{ff}")),
        ("5 name of odd token characters", get("/", "!#$%&'*+-.^_`|~9: x")),
        ("5 names without case", "GET / HTTP/1.1\r\nhOsT: a\r\n\r\n"),
        ("7.2 Host with a port", "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
        ("7.2 Host is an IPv6 address", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        ("6.2 length 0", post("", "Content-Length: 0")),
        ("6.2 leading zeros", post("hello", "Content-Length: 0005")),
        ("6.3 body with GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        ("7.1 one chunk", chunked("5\r\nhello\r\n0\r\n\r\n")),
        ("7.1 many chunks", chunked("1\r\nh\r\n01\r\ne\r\n3\r\nllo\r\n000\r\n\r\n")),
        ("7.1 sizes in both cases", chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n")),
        ("7.1.1 extensions", chunked("5;a=b;c=\"d\";e\r\nhello\r\n0;last\r\n\r\n")),
        ("7.1.2 trailers", chunked("5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n")),
        ("7 coding without case", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChUnKeD\r\n\r\n0\r\n\r\n"),
        ("10.1.1 expectation without a body", get("/", "Expect: 100-continue")),
        ("9.3 Connection: keep-alive", get("/", "Connection: keep-alive")),
    ]

    @Test func eachIsAnsweredAndTheConnectionGoesOn() throws {
        let server = try Uringd.respond()
        for (name, text) in Self.odd {
            do {
                let client = try RawClient(server.endpoint)
                try client.send(text + nextRequest)
                expectAnswer(try client.readFinalResponse(), name)
                expectAnswer(try client.readFinalResponse(), name + ", next")
            } catch {
                Issue.record("\(name): \(error)")
            }
        }
    }

    /// RFC 9110 9.3.6: a 2xx to CONNECT would turn the connection into a tunnel to nowhere.
    @Test func connectIsNeverGranted() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
        #expect(try client.readResponse().status >= 400)
    }

    @Test func datesAreFixedLength() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(nextRequest)
        let date = try #require(try client.readResponse().value("date"))
        // RFC 9110 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT
        let form = date.map { $0.isNumber ? "0" : $0.isLetter ? "a" : $0 }
        #expect(String(form) == "aaa, 00 aaa 0000 00:00:00 aaa")
        #expect(date.hasSuffix(" GMT"))
    }
}
