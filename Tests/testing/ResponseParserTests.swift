// The reader of responses is as strict as it says: a server's framing errors fail a test.

import Testing
import UringTesting

@Suite struct ResponseParserTests {
    private static let date = "Date: Sat, 01 Jun 2024 12:00:00 GMT\r\n"

    private func read(_ text: String, isHead: Bool = false, ended: Bool = false) throws -> (TestResponse?, rest: Int) {
        var parser = ResponseParser(isHead: isHead)
        var input = Array(text.utf8)[...]
        try parser.consume(&input, ended: ended)
        return (parser.isComplete ? parser.response : nil, input.count)
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\n\(date)Content-Length: 3\r\n\r\nabcX", "abc", 1), ("HTTP/1.1 204 No Content\r\n\(date)\r\nX", "", 1),
        ("HTTP/1.1 304 Not Modified\r\n\(date)Content-Length: 9\r\n\r\n", "", 0), ("HTTP/1.1 299 \r\n\(date)Content-Length: 0\r\n\r\n", "", 0),
        ("HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", 0),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\(date)Content-Length: 1\r\n\r\na", "a", 0),
        ("HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n", "", 0),
    ])
    func whole(_ text: String, _ body: String, _ rest: Int) throws {
        let (response, left) = try read(text)
        #expect(response?.body == TestBytes(body) && left == rest)
        // Cut anywhere, it is the same.
        let bytes = Array(text.utf8)
        for cut in 0..<bytes.count {
            var parser = ResponseParser(isHead: false)
            var input = bytes[..<cut]
            try parser.consume(&input, ended: false)
            var more = Array(input) + bytes[cut...]
            var second = more[...]
            try parser.consume(&second, ended: false)
            more = Array(second)
            #expect(parser.isComplete && parser.response == response && more.count == rest, "cut at \(cut)")
        }
    }

    @Test func headAndClose() throws {
        #expect(try read("HTTP/1.1 200 OK\r\n\(Self.date)Content-Length: 3\r\n\r\n", isHead: true).0?.body == "")
        let untilClose = "HTTP/1.1 200 OK\r\n\(Self.date)Connection: close\r\n\r\nabc"
        #expect(try read(untilClose).0 == nil)
        #expect(try read(untilClose, ended: true).0?.body == "abc")
    }

    @Test(arguments: [
        "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 600 No\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\r\n", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "HTTP/1.1 200 OK\r\n: c\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA: \u{1}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\(date)\(date)Content-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\(date)\r\n", "HTTP/1.1 200 OK\r\n\(date)Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\n\(date)Content-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\(date)Content-Length: +1\r\n\r\na", "HTTP/1.1 200 OK\r\n\(date)Content-Length: 1, 1\r\n\r\na", "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 204 No Content\r\n\(date)Content-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n", "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n1234567812345678\r\n",
        "HTTP/1.1 200 OK\r\n\(date)Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
    ])
    func refused(_ text: String) { #expect(throws: TestFailure.self) { try read(text) } }

    @Test func bytesPrint() {
        #expect("\(TestBytes("a\u{e4}"))" == "aä" && "\(TestBytes([255, 1]))" == "<2 bytes: ff 01>")
        #expect(TestBytes([255]).text == nil && TestBytes("a") + [98] == "ab")
        var headers: TestHeaders = ["A": "1", "b": "2", "a": "3"]
        #expect(headers["a"] == "1" && headers.values("A") == ["1", "3"])
        headers["a"] = nil
        headers.add("c", "4")
        #expect(headers == ["b": "2", "c": "4"] && headers.description == "b: 2\nc: 4")
    }
}
