// Requests that must be refused, each with the fault it gets. Every one is also fed in pieces.

import Testing
import UringHTTP
import UringHTTP1

@Suite struct RequestParserStrictnessTests {
    private static let requestLineFaults: [(String, RequestFault)] = [
        ("\n", .bareLF), ("\rG", .bareCR), ("\r\n\r\n\r\n", .badLeadingLines), (" GET / HTTP/1.1\r\n", .badMethod), ("G\u{0}T / HTTP/1.1\r\n", .badMethod),
        ("G(T / HTTP/1.1\r\n", .badMethod), ("GET\t/ HTTP/1.1\r\n", .badMethod), ("GET\r\n\r\n", .badMethod), ("\u{16}\u{3}\u{1}\u{2}", .badMethod),
        (String(repeating: "M", count: 64), .methodTooLong), (String(repeating: "M", count: 33) + " / HTTP/1.1\r\n\r\n", .methodTooLong),
        ("GET  / HTTP/1.1\r\n", .badTarget), ("GET /a\u{0}b HTTP/1.1\r\n", .badTarget), ("GET /a\tb HTTP/1.1\r\n", .badTarget), ("GET /a\u{7f} HTTP/1.1\r\n", .badTarget),
        ("GET /a#b HTTP/1.1\r\n", .badTarget), ("GET /a\"b HTTP/1.1\r\n", .badTarget), ("GET /<x> HTTP/1.1\r\n", .badTarget), ("GET /a>b HTTP/1.1\r\n", .badTarget),
        ("GET /a\\b HTTP/1.1\r\n", .badTarget), ("GET /a?b#c HTTP/1.1\r\n", .badTarget), ("GET /\u{e9} HTTP/1.1\r\n", .badTarget),
        ("GET foo HTTP/1.1\r\n", .badTarget), ("GET * HTTP/1.1\r\n", .badTarget), ("OPTIONS *x HTTP/1.1\r\n", .badTarget), ("GET host:80 HTTP/1.1\r\n", .badTarget),
        ("GET ftp://a/ HTTP/1.1\r\n", .badTarget), ("GET http:// HTTP/1.1\r\n", .badTarget), ("GET http:///p HTTP/1.1\r\n", .badTarget), ("GET http://u@h/ HTTP/1.1\r\n", .badTarget),
        ("GET http://h:x/ HTTP/1.1\r\n", .badTarget), ("GET http://h/a\\b HTTP/1.1\r\n", .badTarget), ("GET http:/h HTTP/1.1\r\n", .badTarget),
        ("CONNECT / HTTP/1.1\r\n", .badTarget), ("CONNECT h HTTP/1.1\r\n", .badTarget), ("CONNECT h: HTTP/1.1\r\n", .badTarget), ("CONNECT h:0 HTTP/1.1\r\n", .badTarget),
        ("CONNECT h:65536 HTTP/1.1\r\n", .badTarget), ("CONNECT http://h:80/ HTTP/1.1\r\n", .badTarget), ("CONNECT :80 HTTP/1.1\r\n", .badTarget),
        ("GET /\r\n", .badVersion), ("GET /\n", .badVersion), ("GET / \r\n", .badVersion), ("GET / HTTP\r\n", .badVersion), ("GET / http/1.1\r\n", .badVersion),
        ("GET / HTTP/1\r\n", .badVersion), ("GET / HTTP/11\r\n", .badVersion), ("GET / HTTP/1.10\r\n", .badVersion), ("GET / HTTP/1.x\r\n", .badVersion),
        ("GET / HTTP/x.1\r\n", .badVersion), ("GET / HTTP/1.1 \r\n", .badVersion), ("GET /a b HTTP/1.1\r\n", .badVersion), ("GET /  HTTP/1.1\r\n", .badVersion), ("GET / HTTPS/1.1\r\n", .badVersion),
        ("GET / HTTP/1.1\n", .bareLF), ("GET / HTTP/1.1\rX", .bareCR), ("GET / HTTP/1.0\n", .bareLF),
        ("GET / HTTP/2.0\r\n", .unsupportedVersion), ("GET / HTTP/0.9\r\n", .unsupportedVersion), ("GET / HTTP/3.7\r\n", .unsupportedVersion),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
    ]

    @Test(arguments: requestLineFaults)
    func requestLines(bytes: String, fault: RequestFault) {
        #expect(parseEveryWay(latin1Bytes(bytes)) == .malformed(fault))
    }

    private static let fieldLineFaults: [(String, RequestFault)] = [
        (": v", .badFieldName), ("a b: c", .spaceBeforeColon), ("a : b", .spaceBeforeColon), ("a\t: b", .spaceBeforeColon), (" a: b", .obsoleteFold), ("\ta: b", .obsoleteFold),
        ("a: b\r\n c", .obsoleteFold), ("a: b\r\n\tc: d", .obsoleteFold), ("a", .badFieldName), ("a\nb: c", .bareLF), ("a: b\nc: d", .bareLF), ("a:\n", .bareLF),
        ("a: b\rc: d", .bareCR), ("a: \r\r", .bareCR), ("a: \u{0}", .badFieldValue), ("a: b\u{1}c", .badFieldValue), ("a: \u{7f}", .badFieldValue), ("a: \u{b}", .badFieldValue),
        ("a\u{0}: b", .badFieldName), ("a(: b", .badFieldName), ("a\u{e9}: b", .badFieldName), ("\"a\": b", .badFieldName), ("a@b: c", .badFieldName), ("[a]: c", .badFieldName),
        ("a: " + String(repeating: "v", count: 30) + "\u{0}", .badFieldValue), (String(repeating: "n", count: 30) + "=: v", .badFieldName), ("\rX: a", .bareCR), ("\n", .bareLF),
        ("a: b\r\nc\r\n", .badFieldName), ("a: \tb\u{8}", .badFieldValue),
    ]

    @Test(arguments: fieldLineFaults)
    func fieldLines(line: String, fault: RequestFault) {
        for before in ["", "Host: a\r\n"] {
            #expect(parseEveryWay(latin1Bytes("GET / HTTP/1.1\r\n\(before)\(line)\r\n\r\n")) == .malformed(fault))
        }
    }

    private static let hostFaults: [(String, RequestFault)] = [
        ("", .missingHost), ("X: y\r\n", .missingHost), ("Host: a\r\nHost: a\r\n", .duplicateHost), ("Host: a\r\nX: y\r\nhOST: b\r\n", .duplicateHost),
        ("Host:\r\n", .badHost), ("Host: \r\n", .badHost), ("Host: a b\r\n", .badHost), ("Host: a/b\r\n", .badHost), ("Host: u@h\r\n", .badHost), ("Host: a, b\r\n", .badHost),
        ("Host: h:80:80\r\n", .badHost), ("Host: h:x\r\n", .badHost), ("Host: h:65536\r\n", .badHost), ("Host: h:-1\r\n", .badHost), ("Host: :80\r\n", .badHost), ("Host: [::1\r\n", .badHost),
        ("Host: ::1\r\n", .badHost), ("Host: [::1]x\r\n", .badHost), ("Host: [::g]\r\n", .badHost), ("Host: []\r\n", .badHost), ("Host: [1.2.3.4]\r\n", .badHost), ("Host: [1::2::3]\r\n", .badHost),
        ("Host: [fe80::1%25eth0]\r\n", .badHost), ("Host: a%2\r\n", .badHost), ("Host: a%zz\r\n", .badHost), ("Host: a?b\r\n", .badHost), ("Host: a#b\r\n", .badHost), ("Host: a\\b\r\n", .badHost),
        ("Host: \"a\"\r\n", .badHost), ("Host: a\u{e9}\r\n", .badHost), ("Host: http://a\r\n", .badHost), ("Host: [1:2:3:4:5:6:7]\r\n", .badHost), ("Host: [1:2:3:4:5:6:7:8:9]\r\n", .badHost),
        ("Host: [" + String(repeating: "1:", count: 40) + "]\r\n", .badHost), ("Host: [::1.2.3.256]\r\n", .badHost), ("Host: [12345::]\r\n", .badHost),
    ]

    @Test(arguments: hostFaults)
    func hosts(lines: String, fault: RequestFault) {
        #expect(parseEveryWay(latin1Bytes("GET / HTTP/1.1\r\n\(lines)\r\n")) == .malformed(fault))
    }

    private static let framingFaults: [(String, RequestFault)] = [
        ("Content-Length:", .badContentLength), ("Content-Length: +1", .badContentLength), ("Content-Length: -1", .badContentLength), ("Content-Length: 1 2", .badContentLength),
        ("Content-Length: 0x10", .badContentLength), ("Content-Length: 1,1", .badContentLength), ("Content-Length: 1, 2", .badContentLength), ("Content-Length: 1.0", .badContentLength),
        ("Content-Length: \u{b2}", .badContentLength), ("Content-Length: 9223372036854775808", .badContentLength), ("Content-Length: 18446744073709551616", .badContentLength),
        ("Content-Length: 18446744073709551621", .badContentLength), ("Content-Length: 99999999999999999999999999", .badContentLength), ("Content-Length: ten", .badContentLength),
        ("Content-Length: 5\r\nContent-Length: 5", .duplicateContentLength), ("Content-Length: 5\r\ncontent-length: 6", .duplicateContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndCoding), ("Transfer-Encoding: chunked\r\nContent-Length: 5", .lengthAndCoding),
        ("Transfer-Encoding: gzip\r\nContent-Length: 5", .lengthAndCoding), ("Transfer-Encoding: chunked\r\nContent-Length: 0", .lengthAndCoding),
        ("Transfer-Encoding:", .badTransferEncoding), ("Transfer-Encoding: ,", .badTransferEncoding), ("Transfer-Encoding: chunked, chunked", .badTransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .badTransferEncoding), ("Transfer-Encoding: chunked, gzip", .badTransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", .badTransferEncoding), ("Transfer-Encoding: chunked;q=1", .badTransferEncoding), ("Transfer-Encoding: \"chunked\"", .badTransferEncoding),
        ("Transfer-Encoding: chunked x", .badTransferEncoding), ("Transfer-Encoding: chunked;", .badTransferEncoding), ("Transfer-Encoding: gzip, chunked, chunked", .badTransferEncoding),
        ("Transfer-Encoding: =", .badTransferEncoding), ("Transfer-Encoding: chunked\u{e9}", .badTransferEncoding),
        ("Transfer-Encoding: gzip", .unknownTransferCoding), ("Transfer-Encoding: gzip, chunked", .unknownTransferCoding), ("Transfer-Encoding: identity", .unknownTransferCoding),
        ("Transfer-Encoding: xchunked", .unknownTransferCoding), ("Transfer-Encoding: chunke", .unknownTransferCoding), ("Transfer-Encoding: x;a=b", .unknownTransferCoding),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", .unknownTransferCoding),
        ("Transfer-Encoding : chunked", .spaceBeforeColon), ("Transfer-Encoding: \u{b}chunked", .badFieldValue), ("Content-Length\u{0}: 5", .badFieldName), ("Foo: bar\r\n Content-Length: 5", .obsoleteFold),
        ("Expect: 200-ok", .unknownExpectation), ("Expect:", .unknownExpectation), ("Expect: 100-continue, x", .unknownExpectation), ("Expect: 100-continue\r\nExpect: y", .unknownExpectation),
    ]

    @Test(arguments: framingFaults)
    func framing(lines: String, fault: RequestFault) {
        #expect(parseEveryWay(latin1Bytes("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n")) == .malformed(fault))
    }

    @Test func transferEncodingInHTTP10() {
        #expect(parseEveryWay("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == .malformed(.transferEncodingInHTTP10))
    }

    @Test func everyFaultHasAnErrorStatusAndAReason() {
        let statuses: Set<UInt16> = [400, 413, 414, 417, 431, 501, 505]
        for fault in RequestFault.allCases {
            #expect(statuses.contains(fault.status.code))
            #expect(fault.reason.utf8CodeUnitCount > 10)
        }
        #expect(RequestFault.requestLineTooLong.status.code == 414)
        #expect(RequestFault.methodTooLong.status.code == 501)
        #expect(RequestFault.unknownTransferCoding.status.code == 501)
        #expect(RequestFault.headTooLarge.status.code == 431)
        #expect(RequestFault.tooManyFields.status.code == 431)
        #expect(RequestFault.unsupportedVersion.status.code == 505)
        #expect(RequestFault.unknownExpectation.status.code == 417)
        #expect(RequestFault.bodyTooLarge.status.code == 413)
        #expect(RequestFault.lengthAndCoding.status.code == 400)
    }

    /// Each byte value in each kind of place: accepted there or not as the grammar says, and never a crash.
    @Test func everyByteInEveryPlace() {
        let token = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        for byte in UInt8.min...UInt8.max {
            for length in [0, 3, 15, 16, 20] {
                let padding = [UInt8](repeating: 0x61, count: length)
                let around = { (before: String, after: String) in Array(before.utf8) + padding + [byte] + padding + Array(after.utf8) }
                if length < 15 {
                    let method = parse(around("M", "M / HTTP/1.1\r\nHost: a\r\n\r\n"))
                    #expect((method.request != nil) == token.contains(byte), "method, byte \(byte)")
                }
                let name = parse(around("GET / HTTP/1.1\r\nHost: a\r\nN", "N: v\r\n\r\n"))
                #expect((name.request != nil) == (token.contains(byte) || byte == 0x3a), "name, byte \(byte)")
                let value = parse(around("GET / HTTP/1.1\r\nHost: a\r\nN: v", "v\r\n\r\n"))
                #expect((value.request != nil) == (byte == 9 || (byte >= 0x20 && byte != 0x7f)), "value, byte \(byte)")
                let spoilers = Set("\"#<>".utf8)
                let visible = byte > 0x20 && byte < 0x7f && !spoilers.contains(byte)
                let path = parse(around("GET /p", "p HTTP/1.1\r\nHost: a\r\n\r\n"))
                #expect((path.request != nil) == (visible && byte != 0x5c), "path, byte \(byte)")
                let query = parse(around("GET /?q", "q HTTP/1.1\r\nHost: a\r\n\r\n"))
                #expect((query.request != nil) == visible, "query, byte \(byte)")
            }
        }
    }
}
