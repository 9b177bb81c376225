// Requests that must be refused, by section of RFC 9112 and RFC 9110, with the status they get. Data only.

/// Bytes (as ISO 8859-1 text) and the status that answers them.
struct RefusedRequest {
    let name: String
    let text: String
    let status: Int

    init(_ status: Int, _ name: String, _ text: String) {
        self.name = name
        self.text = text
        self.status = status
    }

    /// A field line in an otherwise good request.
    static func field(_ status: Int, _ name: String, _ line: String) -> RefusedRequest {
        RefusedRequest(status, name, "GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n")
    }

    /// Framing fields before a body that would be a request of its own if it were not understood as a body.
    static func framing(_ status: Int, _ name: String, _ lines: String) -> RefusedRequest {
        RefusedRequest(status, name, "POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    static func body(_ status: Int, _ name: String, _ text: String) -> RefusedRequest {
        RefusedRequest(status, name, chunked(text))
    }
}

enum RefusedRequests {
    static let all = requestLines + targets + fields + hosts + framings + chunks + trailers + expectations

    /// RFC 9112 2.2, 2.3, 3, 3.1: message parsing, version, request line, method.
    static let requestLines = [
        RefusedRequest(400, "2.2 bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.2 bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n"),
        RefusedRequest(400, "2.2 bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
        RefusedRequest(400, "2.2 bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.2 empty lines without end", String(repeating: "\r\n", count: 64)),
        RefusedRequest(400, "2.2 white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        RefusedRequest(400, "2.2 white space before the request line", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(505, "2.3 HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        RefusedRequest(505, "2.3 HTTP/0.9 named", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
        RefusedRequest(505, "2.3 HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.3 lower case", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.3 no minor version", "GET / HTTP/1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.3 two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.3 not a digit", "GET / HTTP/1.x\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "2.3 another protocol", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 no version (HTTP/0.9)", "GET /\r\n\r\n"),
        RefusedRequest(400, "3 no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3 a fourth word", "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.1 method with parenthesis", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.1 method with NUL", "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.1 method with byte FF", "G\u{ff}T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(501, "3 method longer than any", String(repeating: "M", count: 200) + " / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "TLS on a plain port", "\u{16}\u{3}\u{1}\u{0}\u{a5}\u{1}\u{0}\u{0}\u{a1}\u{3}\u{3}"),
    ]

    /// RFC 9112 3.2: request target.
    static let targets = [
        RefusedRequest(400, "3.2 space within", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2 NUL within", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2 control character", "GET /a\u{1}b HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2 DEL", "GET /a\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2 byte above 7F", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2 fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.1 no slash", "GET foo HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.2 no host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.2 user information", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        RefusedRequest(400, "3.2.2 port that is no number", "GET http://h:x/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        RefusedRequest(400, "3.2.3 authority with GET", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.3 CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.3 CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest(400, "3.2.4 asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]

    /// RFC 9112 5, RFC 9110 5.1, 5.5: field lines.
    static let fields = [
        RefusedRequest.field(400, "5.1 space before the colon", "X : y"),
        .field(400, "5.1 tab before the colon", "X\t: y"),
        .field(400, "5.1 no colon", "X"),
        .field(400, "5.1 empty name", ": y"),
        .field(400, "5.1 name with a space", "X Y: z"),
        .field(400, "5.1 name with NUL", "X\0: y"),
        .field(400, "5.1 name with byte E9", "X\u{e9}: y"),
        .field(400, "5.1 name in quotes", "\"X\": y"),
        .field(400, "5.2 folded line", "X: y\r\n z"),
        .field(400, "5.2 folded by a tab", "X: y\r\n\tz"),
        .field(400, "5.5 NUL in a value", "X: a\0b"),
        .field(400, "5.5 control character in a value", "X: a\u{1}b"),
        .field(400, "5.5 vertical tab in a value", "X: \u{b}y"),
        .field(400, "5.5 DEL in a value", "X: a\u{7f}"),
        .field(400, "2.2 bare CR in a value", "X: a\rY: b"),
        .field(400, "2.2 bare LF ends a field", "X: a\nY: b"),
        .field(400, "2.2 CR CR LF", "X: a\r"),
    ]

    /// RFC 9112 3.2, RFC 9110 7.2: Host.
    static let hosts = [
        RefusedRequest(400, "3.2 no Host", "GET / HTTP/1.1\r\n\r\n"),
        RefusedRequest(400, "3.2 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        RefusedRequest(400, "3.2 the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
        RefusedRequest(400, "7.2 Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        RefusedRequest(400, "7.2 Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        RefusedRequest(400, "7.2 Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        RefusedRequest(400, "7.2 two in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        RefusedRequest(400, "7.2 port that is no number", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
        RefusedRequest(400, "7.2 port above 65535", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
        RefusedRequest(400, "7.2 open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ]

    /// RFC 9112 6.1, 6.2, 6.3, 11.2: message body length, request smuggling.
    static let framings = [
        RefusedRequest.framing(400, "6.1 length and coding", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        .framing(400, "6.1 coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        .framing(400, "6.1 coding and length 0", "Transfer-Encoding: chunked\r\nContent-Length: 0"),
        .framing(400, "6.1 chunked twice", "Transfer-Encoding: chunked, chunked"),
        .framing(400, "6.1 chunked in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        .framing(400, "6.1 chunked is not last", "Transfer-Encoding: chunked, gzip"),
        .framing(400, "6.1 chunked with a parameter", "Transfer-Encoding: chunked;q=1"),
        .framing(400, "6.1 empty coding", "Transfer-Encoding:"),
        .framing(400, "6.1 quoted coding", "Transfer-Encoding: \"chunked\""),
        .framing(400, "6.1 vertical tab before the coding", "Transfer-Encoding: \u{b}chunked"),
        .framing(400, "5.1 space before the colon of the coding", "Transfer-Encoding : chunked"),
        .framing(501, "6.1 unknown coding", "Transfer-Encoding: xchunked"),
        .framing(501, "6.1 unknown coding before chunked", "Transfer-Encoding: gzip, chunked"),
        .framing(501, "6.1 identity", "Transfer-Encoding: identity"),
        .framing(400, "6.2 empty length", "Content-Length:"),
        .framing(400, "6.2 plus", "Content-Length: +5"),
        .framing(400, "6.2 minus", "Content-Length: -5"),
        .framing(400, "6.2 hexadecimal", "Content-Length: 0x5"),
        .framing(400, "6.2 two numbers", "Content-Length: 5 5"),
        .framing(400, "6.2 fraction", "Content-Length: 5.0"),
        .framing(400, "6.2 letters", "Content-Length: five"),
        .framing(400, "6.2 above 2^63", "Content-Length: 9223372036854775808"),
        .framing(400, "6.2 above 2^64", "Content-Length: 18446744073709551621"),
        .framing(400, "6.3 different lengths", "Content-Length: 5\r\nContent-Length: 6"),
        .framing(400, "6.3 different lengths in one line", "Content-Length: 5, 6"),
        .framing(400, "6.3 the same length twice", "Content-Length: 5\r\nContent-Length: 5"),
        .framing(413, "6.3 longer than the limit", "Content-Length: 10485761"),
        .framing(413, "6.3 much longer than the limit", "Content-Length: 9223372036854775807"),
        RefusedRequest(400, "6.1 coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ]

    /// RFC 9112 7.1: chunked coding.
    static let chunks = [
        RefusedRequest.body(400, "7.1 size is no number", "x\r\n"),
        .body(400, "7.1 empty size", "\r\n0\r\n\r\n"),
        .body(400, "7.1 size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 size with plus", "+5\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 size with minus", "-5\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 size above 2^64", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 size of 2^63", "8000000000000000\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 zeros without end", String(repeating: "0", count: 64) + "\r\n\r\n"),
        .body(400, "7.1 bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 bare CR behind the size", "5\rxhello\r\n0\r\n\r\n"),
        .body(400, "7.1 data longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 data shorter than its size", "6\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1 bare LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        .body(400, "7.1 nothing behind the data", "5\r\nhello0\r\n\r\n"),
        .body(400, "7.1.1 bare LF in an extension", "5;a=b\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1.1 NUL in an extension", "5;a=\0\r\nhello\r\n0\r\n\r\n"),
        .body(400, "7.1.1 extension without end", "5;" + String(repeating: "a", count: 5000) + "\r\nhello\r\n0\r\n\r\n"),
        .body(413, "7.1 chunk longer than the limit", "A00001\r\nhello"),
    ]

    /// RFC 9112 7.1.2, RFC 9110 6.5.1: trailers.
    static let trailers = [
        RefusedRequest.body(400, "7.1.2 folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
        .body(400, "7.1.2 bare LF", "0\r\nX: a\n\r\n"),
        .body(400, "7.1.2 space before the colon", "0\r\nX : a\r\n\r\n"),
        .body(400, "6.5.1 Content-Length in a trailer", "0\r\nContent-Length: 5\r\n\r\n"),
        .body(400, "6.5.1 Transfer-Encoding in a trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        .body(400, "6.5.1 Host in a trailer", "0\r\nHost: b\r\n\r\n"),
        .body(431, "6.5 too many trailers", "0\r\n" + String(repeating: "X: y\r\n", count: 200) + "\r\n"),
        .body(431, "6.5 trailer without end", "0\r\nX: " + String(repeating: "y", count: 5000) + "\r\n\r\n"),
    ]

    /// RFC 9110 10.1.1: Expect.
    static let expectations = [
        RefusedRequest.framing(417, "10.1.1 unknown expectation", "Content-Length: 5\r\nExpect: 200-ok"),
        .framing(417, "10.1.1 one known, one not", "Content-Length: 5\r\nExpect: 100-continue, x"),
    ]
}
