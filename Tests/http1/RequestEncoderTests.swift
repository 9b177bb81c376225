// What a client writes: every shape of head, read back by the request parser; and what must not be written.

import Testing
import UringHTTP
import UringHTTP1

private func encode(
    _ method: String = "GET", _ target: String = "/", authority: String = "h", framing: BodyFraming = .none, expects: Bool = false,
    connection: RequestConnection = [], capacity: Int = 4096
) -> (text: String, outcome: RequestEncodeOutcome) {
    let memory = GuardedBytes(capacity: max(capacity, 1))
    let out = unsafe memory.placedAtEnd([UInt8](repeating: 0, count: capacity))
    let (method, target, authority) = (latin1Bytes(method), latin1Bytes(target), latin1Bytes(authority))
    // Arrays and memory live to the end of this function.
    let outcome = unsafe method.withUnsafeBufferPointer { method in
        unsafe target.withUnsafeBufferPointer { target in
            unsafe authority.withUnsafeBufferPointer { authority in
                unsafe RequestEncoder.encodeHead(
                    into: out, capacity: capacity, method: method, target: target, authority: authority, framing: framing,
                    expectsContinue: expects, connection: connection)
            }
        }
    }
    defer { withExtendedLifetime(memory) {} }
    guard case .written(let count) = outcome else { return ("", outcome) }
    return unsafe (latin1(UnsafeBufferPointer(start: out, count: count)), outcome)
}

private func field(_ name: String, _ value: String, capacity: Int = 256) -> (text: String, outcome: RequestEncodeOutcome) {
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: max(capacity, 1))
    defer { unsafe out.deallocate() }
    let (name, value) = (latin1Bytes(name), latin1Bytes(value))
    // All live to the end of this function.
    let outcome = unsafe name.withUnsafeBufferPointer { name in
        unsafe value.withUnsafeBufferPointer { unsafe RequestEncoder.writeField(name: name, value: $0, into: out, capacity: capacity) }
    }
    guard case .written(let count) = outcome else { return ("", outcome) }
    return unsafe (latin1(UnsafeBufferPointer(start: out, count: count)), outcome)
}

@Suite struct RequestEncoderTests {
    @Test func heads() {
        #expect(encode().text == "GET / HTTP/1.1\r\nHost: h\r\n")
        #expect(encode("POST", "/a?b", authority: "[::1]:81", framing: .length(5)).text == "POST /a?b HTTP/1.1\r\nHost: [::1]:81\r\nContent-Length: 5\r\n")
        #expect(
            encode("PUT", framing: .chunked, expects: true, connection: .close).text
                == "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n")
        #expect(encode("POST", framing: .length(0), expects: true).text == "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n")
        #expect(encode(expects: true).text == "GET / HTTP/1.1\r\nHost: h\r\n")
        #expect(encode(connection: [.close, .keepAlive, .upgrade, .te]).text == "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, keep-alive, upgrade, TE\r\n")
        #expect(encode("CONNECT", "h:443", authority: "h:443").text == "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n")
        #expect(encode("OPTIONS", "*").text == "OPTIONS * HTTP/1.1\r\nHost: h\r\n")
        #expect(encode("GET", "http://h/p").text == "GET http://h/p HTTP/1.1\r\nHost: h\r\n")
        #expect(encode("M-SEARCH", authority: "").text == "M-SEARCH / HTTP/1.1\r\nHost: \r\n")
    }

    @Test(arguments: [
        ("", "/", "h", RequestEncodeFault.badMethod), ("G T", "/", "h", .badMethod), ("GET\r\n", "/", "h", .badMethod), ("GET", "", "h", .badTarget), ("GET", "x", "h", .badTarget),
        ("GET", "/ HTTP/1.1\r\nX: y", "h", .badTarget), ("GET", "/a b", "h", .badTarget), ("GET", "/a\r\n", "h", .badTarget), ("GET", "/\u{e9}", "h", .badTarget), ("GET", "/a#b", "h", .badTarget),
        ("GET", "*", "h", .badTarget), ("CONNECT", "/", "h", .badTarget), ("GET", "/", "h\r\nX: y", .badAuthority), ("GET", "/", "u@h", .badAuthority), ("GET", "/", "h:x", .badAuthority),
        ("GET", "/", "h h", .badAuthority),
    ] as [(String, String, String, RequestEncodeFault)])
    func refused(method: String, target: String, authority: String, fault: RequestEncodeFault) {
        #expect(encode(method, target, authority: authority).outcome == .invalid(fault))
    }

    @Test func room() {
        let needed = 3 + 1 + 1 + RequestEncoder.headBytesBeside
        #expect(encode(capacity: needed - 1).outcome == .noRoom(needed: needed))
        let longest = encode(framing: .length(.max), expects: true, connection: [.close, .keepAlive, .upgrade, .te], capacity: needed)
        #expect(longest.text.utf8.count <= needed && longest.text.utf8.count > needed - 10)
    }

    @Test func fields() {
        #expect(field("Accept", "*/*").text == "Accept: */*\r\n")
        #expect(field("X", "").text == "X: \r\n")
        #expect(field("a b", "x").outcome == .invalid(.badFieldName))
        #expect(field("", "x").outcome == .invalid(.badFieldName))
        #expect(field("A", "x\r\nB: y").outcome == .invalid(.badFieldValue))
        #expect(field("A", "\u{0}").outcome == .invalid(.badFieldValue))
        #expect(field("A", "xyz", capacity: 7).outcome == .noRoom(needed: 8))
        #expect(field("A", "xyz", capacity: 8).text == "A: xyz\r\n")
        for name in ["Host", "content-LENGTH", "Transfer-Encoding", "Connection", "expect", "Keep-Alive", "Proxy-Connection", "HTTP2-Settings"] {
            #expect(field(name, "1").outcome == .invalid(.reservedField))
        }
    }

    @Test func framings() {
        #expect(RequestEncoder.framing(method: .get, hasBody: false, bodyLength: nil) == .none)
        #expect(RequestEncoder.framing(method: .post, hasBody: false, bodyLength: nil) == .length(0))
        #expect(RequestEncoder.framing(method: .get, hasBody: true, bodyLength: 3) == .length(3))
        #expect(RequestEncoder.framing(method: .put, hasBody: true, bodyLength: nil) == .chunked)
        for method in HTTPMethod.allCases { #expect(unsafe (RequestEncoder.name(of: method) == nil) == (method == .other)) }
    }

    /// What is written is what a server reads: our own parser, which is strict.
    @Test(arguments: [BodyFraming.none, .length(0), .length(77), .length(UInt64(Int64.max)), .chunked], [false, true])
    func isReadBack(framing: BodyFraming, expects: Bool) throws {
        for method in ["GET", "POST", "HEAD", "PURGE"] {
            for connection in [RequestConnection(), .close, .keepAlive] {
                let text = encode(method, "/p/q?r=s", authority: "example.com:8080", framing: framing, expects: expects, connection: connection).text
                let request = try #require(parse(text + field("Accept", "*/*").text + "\r\n").request)
                #expect(request.method == method && request.path == "/p/q" && request.query == "r=s" && request.authority == "example.com:8080")
                #expect(request.head.framing == framing)
                #expect(request.head.keepAlive == (connection != .close))
                #expect(request.head.expectContinue == (expects && framing != .none && framing != .length(0)))
                #expect(request.fields.last == ParsedField(name: "Accept", value: "*/*", known: .accept))
            }
        }
    }
}
