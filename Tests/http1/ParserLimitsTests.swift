// Each limit of the head parser, met and passed by one.

import Testing
import UringHTTP
import UringHTTP1

@Suite struct ParserLimitsTests {
    private let tail = " HTTP/1.1\r\n"

    private func requestLine(bytes: Int) -> String {
        "GET /" + String(repeating: "p", count: bytes - 5 - tail.utf8.count) + tail
    }

    @Test func requestLineOfExactlyTheLimit() {
        let line = requestLine(bytes: 8192)
        #expect(parse(line + "Host: a\r\n\r\n").request?.target.utf8.count == 8192 - 4 - tail.utf8.count)
        #expect(parse(line) == .needMore)
    }

    @Test func requestLineBeyondTheLimit() {
        let line = requestLine(bytes: 8193)
        #expect(parse(line + "Host: a\r\n\r\n") == .malformed(.requestLineTooLong))
        #expect(parse(String(line.prefix(8192))) == .malformed(.requestLineTooLong), "told without waiting for the line's end")
        #expect(parse(String(line.prefix(8191))) == .needMore)
        #expect(parse(requestLine(bytes: 9 * 1024)) == .malformed(.requestLineTooLong))
    }

    @Test func smallLimitsEveryWay() {
        let limits = ParserLimits(requestLineBytesMax: 64, headerBytesMax: 100, fieldCountMax: 2)
        #expect(parseEveryWay(requestLine(bytes: 64) + "Host: a\r\n\r\n", limits: limits).request != nil)
        #expect(parseEveryWay(requestLine(bytes: 65) + "Host: a\r\n\r\n", limits: limits) == .malformed(.requestLineTooLong))
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let fill = 100 - start.utf8.count - 4
        #expect(parseEveryWay(start + String(repeating: "x", count: fill) + "\r\n\r\n", limits: limits).request != nil)
        #expect(parseEveryWay(start + String(repeating: "x", count: fill + 1) + "\r\n\r\n", limits: limits) == .malformed(.headTooLarge))
        #expect(parseEveryWay(start + String(repeating: "x", count: 200), limits: limits) == .malformed(.headTooLarge))
        #expect(parseEveryWay("GET / HTTP/1.1\r\nHost: a\r\na:\r\nb:\r\n\r\n", limits: limits) == .malformed(.tooManyFields))
    }

    @Test func headSmallerThanTheLineLimit() {
        let limits = ParserLimits(requestLineBytesMax: 200, headerBytesMax: 64)
        #expect(parseEveryWay("GET /" + String(repeating: "p", count: 100), limits: limits) == .malformed(.headTooLarge))
    }

    @Test func headBytes() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let fill = 32_768 - start.utf8.count - 4
        #expect(parse(start + String(repeating: "x", count: fill) + "\r\n\r\n").request?.head.headLength == 32_768)
        #expect(parse(start + String(repeating: "x", count: fill + 1) + "\r\n\r\n") == .malformed(.headTooLarge))
        #expect(parse(start + String(repeating: "x", count: 40_000)) == .malformed(.headTooLarge))
    }

    @Test func fieldCount() {
        func request(fields: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "x: y\r\n", count: fields - 1) + "\r\n"
        }
        #expect(parse(request(fields: 100)).request?.fields.count == 100)
        #expect(parse(request(fields: 101)) == .malformed(.tooManyFields))
        #expect(parse(request(fields: 10), fieldCapacity: 10).request?.fields.count == 10)
        #expect(parse(request(fields: 11), fieldCapacity: 10) == .malformed(.tooManyFields), "the caller's storage is a limit too")
    }

    @Test func absurdLimitsAreClamped() {
        let limits = ParserLimits(requestLineBytesMax: -1, headerBytesMax: .max, fieldCountMax: 0)
        #expect(limits.requestLineBytesMax == 64)
        #expect(limits.headerBytesMax == 1 << 30)
        #expect(limits.fieldCountMax == 1)
    }

    @Test func anAlreadyScannedCountBeyondTheBytesIsHarmless() {
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        #expect(parse(bytes, alreadyScanned: bytes.count + 100) == .needMore || parse(bytes, alreadyScanned: bytes.count + 100).request != nil)
        #expect(parse([]) == .needMore)
        #expect(parse([], alreadyScanned: 5) == .needMore)
    }
}
