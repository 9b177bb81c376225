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
}
