// Responses that must be accepted, what is read from them, the framing table of RFC 9112 6.3, and what is refused.

import Testing
import UringHTTP
import UringHTTP1

@Suite struct ResponseParserTests {
    @Test func smallestResponse() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        let response = try #require(parseResponseEveryWay(text).response)
        #expect(response.head.status == .ok && response.head.minorVersion == 1 && response.reason == "OK")
        #expect(response.head.headLength == text.utf8.count)
        #expect(response.head.framing == .length(0) && response.head.contentLength == 0 && response.head.keepAlive)
        #expect(response.fields == [ParsedField(name: "Content-Length", value: "0", known: .contentLength)])
    }

    @Test func bytesBehindTheHeadAreLeftAlone() throws {
        let head = "HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 4\r\n\r\n"
        let response = try #require(parseResponseEveryWay(head + "\u{0}\r\nHTTP").response)
        #expect(response.head.headLength == head.utf8.count)
        #expect(response.head.framing == .length(4))
    }

    @Test(arguments: [
        ("HTTP/1.1 200 \r\n", 200, 1, ""), ("HTTP/1.1 200\r\n", 200, 1, ""), ("HTTP/1.0 404 Not Found\r\n", 404, 0, "Not Found"),
        ("HTTP/1.9 599 x\ty\u{e9} \r\n", 599, 1, "x\ty\u{e9} "), ("HTTP/1.1 299  two spaces\r\n", 299, 1, " two spaces"),
        ("HTTP/1.1 503 " + String(repeating: "r", count: 100) + "\r\n", 503, 1, String(repeating: "r", count: 100)),
    ] as [(String, UInt16, UInt8, String)])
    func statusLines(line: String, status: UInt16, minor: UInt8, reason: String) throws {
        let response = try #require(parseResponseEveryWay(line + "Content-Length: 1\r\n\r\n").response)
        #expect(response.head.status.code == status && response.head.minorVersion == minor && response.reason == reason)
    }

    @Test(arguments: [
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", ResponseFault.badStatusLine), ("http/1.1 200 OK\r\n\r\n", .badStatusLine), ("ICY 200 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", .badStatus), ("HTTP/1.1\t200 OK\r\n\r\n", .badStatusLine), ("HTTP/11 200 OK\r\n\r\n", .badStatusLine), ("HTTP/1.x 200 OK\r\n\r\n", .badStatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", .unsupportedVersion), ("HTTP/0.9 200 OK\r\n\r\n", .unsupportedVersion), ("HTTP/1.10 200 OK\r\n\r\n", .badStatusLine),
        ("HTTP/1.1 099 x\r\n\r\n", .badStatus), ("HTTP/1.1 600 x\r\n\r\n", .badStatus), ("HTTP/1.1 20 OK\r\n\r\n", .badStatus), ("HTTP/1.1 2000 OK\r\n\r\n", .badStatus),
        ("HTTP/1.1 -20 OK\r\n\r\n", .badStatus), ("HTTP/1.1 +20 OK\r\n\r\n", .badStatus), ("HTTP/1.1 200OK\r\n\r\n", .badStatus), ("HTTP/1.1 200\tOK\r\n\r\n", .badStatus),
        ("HTTP/1.1 200 OK\n\r\n", .bareLF), ("HTTP/1.1 200\nA: b\r\n\r\n", .bareLF), ("HTTP/1.1 200 OK\rX\r\n", .bareCR), ("HTTP/1.1 200\rX\r\n", .bareCR), ("HTTP/1.1 200 O\u{0}K\r\n\r\n", .badFieldValue),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n", .bareLF), ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", .bareCR), ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", .obsoleteFold),
        ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", .obsoleteFold), ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", .spaceBeforeColon), ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", .badFieldName),
        ("HTTP/1.1 200 OK\r\nA\r\n\r\n", .badFieldName), ("HTTP/1.1 200 OK\r\nA: \u{0}\r\n\r\n", .badFieldValue), ("HTTP/1.1 200 OK\r\n\n", .bareLF), ("HTTP/1.1 200 OK\r\n\rX\r\n", .bareCR),
        ("HTTP/1.1 200 OK\r\nA\u{e9}: b\r\n\r\n", .badFieldName),
    ] as [(String, ResponseFault)])
    func refusedLines(text: String, fault: ResponseFault) {
        #expect(parseResponseEveryWay(text).fault == fault, "\(text.debugDescription)")
    }

    @Test(arguments: [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ResponseFault.duplicateContentLength), ("Content-Length: 5\r\nContent-Length: 6\r\n", .duplicateContentLength),
        ("Content-Length: 5, 5\r\n", .badContentLength), ("Content-Length: +5\r\n", .badContentLength), ("Content-Length: -1\r\n", .badContentLength), ("Content-Length:\r\n", .badContentLength),
        ("Content-Length: 0x5\r\n", .badContentLength), ("Content-Length: 5 5\r\n", .badContentLength), ("Content-Length: 9223372036854775808\r\n", .badContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", .lengthAndCoding), ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", .lengthAndCoding),
        ("Transfer-Encoding: gzip\r\n", .unknownTransferCoding), ("Transfer-Encoding: gzip, chunked\r\n", .unknownTransferCoding), ("Transfer-Encoding: identity\r\n", .unknownTransferCoding),
        ("Transfer-Encoding: chunked, gzip\r\n", .badTransferEncoding), ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .badTransferEncoding),
        ("Transfer-Encoding:\r\n", .badTransferEncoding), ("Transfer-Encoding: chunked;q=1\r\n", .badTransferEncoding), ("Transfer-Encoding: \u{b}chunked\r\n", .badFieldValue),
        ("Transfer-Encoding: xchunked\r\n", .unknownTransferCoding), ("Transfer-Encoding : chunked\r\n", .spaceBeforeColon),
    ] as [(String, ResponseFault)])
    func conflictingFraming(fields: String, fault: ResponseFault) {
        #expect(parseResponseEveryWay("HTTP/1.1 200 OK\r\n" + fields + "\r\n").fault == fault, "\(fields.debugDescription)")
    }

    @Test func codingInHTTP10() {
        #expect(parseResponseEveryWay("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").fault == .transferEncodingInHTTP10)
    }

    /// Request method, status, fields, framing, whether the connection can be used again.
    @Test(arguments: [
        (.get, 200, "Content-Length: 5\r\n", .length(5), true), (.get, 200, "Transfer-Encoding: chunked\r\n", .chunked, true), (.get, 200, "Transfer-Encoding: CHUNKED ,\r\n", .chunked, true),
        (.get, 200, "", .untilClose, false), (.get, 200, "Connection: keep-alive\r\n", .untilClose, false), (.post, 205, "Content-Length: 0\r\n", .length(0), true),
        (.get, 200, "Content-Length: 9223372036854775807\r\n", .length(9_223_372_036_854_775_807), true),
        (.head, 200, "Content-Length: 5\r\n", .none, true), (.head, 200, "Transfer-Encoding: chunked\r\n", .none, true), (.head, 200, "", .none, true), (.head, 404, "Connection: close\r\n", .none, false),
        (.get, 304, "Content-Length: 5\r\n", .none, true), (.get, 304, "", .none, true), (.get, 304, "Transfer-Encoding: chunked\r\n", .none, true),
        (.get, 204, "", .none, true), (.get, 204, "Content-Length: 0\r\n", .none, true), (.get, 204, "Content-Length: 5\r\n", .none, false), (.get, 204, "Transfer-Encoding: chunked\r\n", .none, false),
        (.get, 100, "", .none, true), (.get, 103, "Link: </a>\r\n", .none, true), (.get, 102, "Content-Length: 0\r\n", .none, true), (.get, 101, "Upgrade: x\r\nConnection: upgrade\r\n", .tunnel, false),
        (.connect, 200, "Content-Length: 5\r\n", .tunnel, false), (.connect, 204, "", .tunnel, false), (.connect, 299, "Transfer-Encoding: chunked\r\n", .tunnel, false), (.connect, 403, "Content-Length: 5\r\n", .length(5), true),
        (.connect, 407, "", .untilClose, false),
        (.get, 200, "Connection: close\r\nContent-Length: 5\r\n", .length(5), false), (.get, 200, "Connection: x, Close\r\nContent-Length: 5\r\n", .length(5), false),
        (.get, 200, "Connection: x\r\nConnection: close\r\nContent-Length: 5\r\n", .length(5), false), (.get, 200, "Connection: closed\r\nContent-Length: 5\r\n", .length(5), true),
        (.get, 200, "Connection: keep-alive, close\r\nContent-Length: 5\r\n", .length(5), false),
    ] as [(HTTPMethod, Int, String, ResponseBodyFraming, Bool)])
    func framingTable(method: HTTPMethod, status: Int, fields: String, framing: ResponseBodyFraming, keepAlive: Bool) throws {
        let response = try #require(parseResponseEveryWay("HTTP/1.1 \(status) X\r\n\(fields)\r\n", method: method).response)
        #expect(response.head.framing == framing)
        #expect(response.head.keepAlive == keepAlive)
        #expect(response.head.isInterim == (status < 200 && status != 101))
    }

    @Test(arguments: [("", false), ("Connection: keep-alive\r\n", true), ("Connection: Keep-Alive, x\r\n", true), ("Connection: close, keep-alive\r\n", false)])
    func persistenceOfHTTP10(fields: String, keepAlive: Bool) throws {
        let response = try #require(parseResponseEveryWay("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\(fields)\r\n").response)
        #expect(response.head.keepAlive == keepAlive)
    }

    @Test(arguments: ["100", "101", "103"], ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"])
    func interimWithBody(status: String, fields: String) {
        #expect(parseResponseEveryWay("HTTP/1.1 \(status) X\r\n\(fields)\r\n").fault == .bodyInInterim)
        #expect(parseResponseEveryWay("HTTP/1.1 \(status) X\r\n\(fields)\r\n", method: .head).fault == .bodyInInterim)
    }

    @Test func lengthOfWhatGetWouldHave() throws {
        #expect(try #require(parseResponse(Array("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n".utf8), method: .head).response).head.contentLength == 77)
        #expect(try #require(parseResponse(Array("HTTP/1.1 304 X\r\nContent-Length: 78\r\n\r\n".utf8)).response).head.contentLength == 78)
    }

    @Test func limits() throws {
        let limits = ParserLimits(headerBytesMax: 100, fieldCountMax: 3)
        let start = "HTTP/1.1 200 OK\r\nA: "
        let fits = start + String(repeating: "x", count: 100 - start.utf8.count - 4) + "\r\n\r\n"
        #expect(try #require(parseResponseEveryWay(fits, limits: limits).response).head.headLength == 100)
        #expect(parseResponseEveryWay(start + String(repeating: "x", count: 100 - start.utf8.count - 3) + "\r\n\r\n", limits: limits).fault == .headTooLarge)
        #expect(parseResponseEveryWay("HTTP/1.1 200 " + String(repeating: "x", count: 200), limits: limits).fault == .headTooLarge)
        #expect(parseResponseEveryWay("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits: limits).response != nil)
        #expect(parseResponseEveryWay("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", limits: limits).fault == .tooManyFields)
        #expect(parseResponse(Array("HTTP/1.1 200 OK\r\nA: 1\r\n\r\n".utf8), fieldCapacity: 0).fault == .tooManyFields)
        #expect(parseResponse(Array("HTTP/1.1 200 OK\r\n\r\n".utf8), fieldCapacity: 0).response != nil)
    }

    @Test func everyFaultSaysSomething() {
        let reasons = ResponseFault.allCases.map { "\($0.reason)" }
        #expect(Set(reasons).count == reasons.count && reasons.allSatisfy { !$0.isEmpty })
        // A fault of a part that both share keeps its name.
        for fault in RequestFault.allCases {
            let mapped = ResponseFault(fault)
            if mapped != .badStatusLine && fault != .requestLineTooLong { #expect("\(mapped)" == "\(fault)") }
        }
    }
}
