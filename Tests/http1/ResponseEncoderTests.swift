// Response heads and chunk framing byte for byte, and the rules about bodies.

import Testing
import UringHTTP
import UringHTTP1

private let date = Array("Sun, 06 Nov 1994 08:49:37 GMT".utf8)

private func encodeHead(
    _ status: HTTPStatus, framing: ResponseFraming, connection: ConnectionHeader = .implicit, withDate: Bool = true, capacity: Int = 160
) -> String? {
    let memory = GuardedBytes(capacity: capacity)
    // `memory` lives to the end of this function; a byte beyond the capacity would fault.
    let out = unsafe memory.placedAtEnd([UInt8](repeating: 0, count: capacity))
    let length = unsafe date.withUnsafeBufferPointer {
        unsafe ResponseEncoder.encodeHead(
            into: out, capacity: capacity, status: status, date: withDate ? $0.baseAddress : nil, framing: framing, connection: connection)
    }
    defer { withExtendedLifetime(memory) {} }
    return length.map { unsafe latin1(UnsafeBufferPointer(start: out, count: $0)) }
}

private func encodeField(_ name: String, _ value: String, capacity: Int = 100) -> String? {
    let memory = GuardedBytes(capacity: capacity)
    // As above.
    let out = unsafe memory.placedAtEnd([UInt8](repeating: 0, count: capacity))
    let length = unsafe latin1Bytes(name).withUnsafeBufferPointer { name in
        unsafe latin1Bytes(value).withUnsafeBufferPointer { value in
            unsafe ResponseEncoder.writeField(name: name, value: value, into: out, capacity: capacity)
        }
    }
    defer { withExtendedLifetime(memory) {} }
    return length.map { unsafe latin1(UnsafeBufferPointer(start: out, count: $0)) }
}

@Suite struct ResponseEncoderTests {
    @Test func heads() {
        #expect(
            encodeHead(.ok, framing: .length(13))
                == "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 13\r\n")
        #expect(
            encodeHead(.notFound, framing: .chunked, connection: .close)
                == "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n")
        #expect(encodeHead(.noContent, framing: .none, connection: .keepAlive, withDate: false) == "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n")
        #expect(encodeHead(HTTPStatus(299), framing: .untilClose, withDate: false) == "HTTP/1.1 299 Success\r\n")
        #expect(encodeHead(.ok, framing: .length(.max), withDate: false) == "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n")
    }

    @Test func longestHeadFitsTheDeclaredRoomAndLessIsRefused() throws {
        for code in 100...599 as ClosedRange<UInt16> {
            let text = try #require(encodeHead(HTTPStatus(code), framing: .length(.max), connection: .keepAlive))
            #expect(text.utf8.count <= ResponseEncoder.headBytesMax)
            #expect(text.hasPrefix("HTTP/1.1 \(code) "))
            #expect(try #require(text.firstIndex(of: "\r\n")) <= text.index(text.startIndex, offsetBy: 44))
        }
        #expect(encodeHead(.ok, framing: .none, capacity: 159) == nil)
    }

    @Test func renderedLinesMatchTheStatusTable() {
        for code in 100...599 as ClosedRange<UInt16> {
            let status = HTTPStatus(code)
            guard let line = status.renderedStatusLine else { continue }
            #expect("\(line)" == "HTTP/1.1 \(status)\r\n")
        }
        #expect(HTTPStatus.ok.renderedStatusLine != nil)
    }

    @Test func fields() {
        #expect(encodeField("X-A", "b c") == "X-A: b c\r\n")
        #expect(encodeField("X-A", "") == "X-A: \r\n")
        #expect(encodeField("a", "b", capacity: 6) == "a: b\r\n")
        #expect(encodeField("a", "b", capacity: 5) == nil)
    }

    @Test(arguments: [("", "v"), ("a b", "v"), ("a:", "v"), ("a\r\n", "v"), ("a\u{e9}", "v"), ("a", "v\r\nSet-Cookie: x"), ("a", "v\n"), ("a", "v\r"), ("a", "\u{0}"), ("a", "\u{7f}")])
    func splittingFieldsAreRefused(name: String, value: String) {
        #expect(encodeField(name, value) == nil)
    }

    @Test(arguments: [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (4096, "1000\r\n"), (.max, "ffffffffffffffff\r\n"), (0, "")] as [(UInt64, String)])
    func chunkHeaders(size: UInt64, expected: String) {
        let memory = GuardedBytes(capacity: 18)
        // `memory` lives to the end of the test.
        let out = unsafe memory.placedAtEnd([UInt8](repeating: 0, count: 18))
        let length = unsafe ResponseEncoder.writeChunkHeader(size: size, to: out)
        #expect(unsafe latin1(UnsafeBufferPointer(start: out, count: length)) == expected)
        withExtendedLifetime(memory) {}
    }

    @Test func whatIsEncodedIsDecoded() {
        // Two chunks and the end, as the server writes them.
        let memory = GuardedBytes(capacity: 64)
        // `memory` lives to the end of the test.
        let out = unsafe memory.placedAtStart([UInt8](repeating: 0, count: 64))
        var at = 0
        for body in ["hello ", "world of chunks"] {
            unsafe at += ResponseEncoder.writeChunkHeader(size: UInt64(body.utf8.count), to: out + at)
            for byte in body.utf8 {
                unsafe out[at] = byte
                at += 1
            }
            unsafe at += ByteWriting.write(ResponseEncoder.chunkEnd, to: out + at)
        }
        unsafe at += ByteWriting.write(ResponseEncoder.lastChunk, to: out + at)
        var decoder = ChunkedDecoder()
        let result = unsafe decoder.decodeInPlace(out, count: at)
        #expect(result.step == .end(consumed: at, trailerCount: 0))
        #expect(unsafe latin1(UnsafeBufferPointer(start: out, count: result.bodyLength)) == "hello world of chunks")
        withExtendedLifetime(memory) {}
    }

    @Test func closingResponse() {
        let memory = GuardedBytes(capacity: 162)
        // `memory` lives to the end of the test.
        let out = unsafe memory.placedAtEnd([UInt8](repeating: 0, count: 162))
        let length = unsafe ResponseEncoder.encodeClosing(into: out, capacity: 162, status: .badRequest, date: nil)
        #expect(
            length.map { unsafe latin1(UnsafeBufferPointer(start: out, count: $0)) }
                == "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        #expect(unsafe ResponseEncoder.encodeClosing(into: out, capacity: 161, status: .badRequest, date: nil) == nil)
        withExtendedLifetime(memory) {}
    }

    @Test(arguments: [
        (200, HTTPMethod.get, 1, 5, ResponseFraming.length(5), true, false), (200, .get, 1, nil, .chunked, true, false), (200, .get, 0, nil, .untilClose, true, true),
        (200, .head, 1, 5, .length(5), false, false), (200, .head, 1, nil, .none, false, false), (204, .get, 1, 0, .none, false, false), (204, .delete, 0, nil, .none, false, false),
        (304, .get, 1, 7, .length(7), false, false), (304, .get, 1, nil, .none, false, false), (101, .get, 1, 3, .none, false, false), (200, .connect, 1, 0, .none, false, false),
        (404, .connect, 1, 3, .length(3), true, false), (205, .post, 1, 9, .length(0), false, false), (500, .post, 0, 0, .length(0), true, false),
    ] as [(UInt16, HTTPMethod, UInt8, UInt64?, ResponseFraming, Bool, Bool)])
    func plans(code: UInt16, method: HTTPMethod, minorVersion: UInt8, length: UInt64?, framing: ResponseFraming, sendsBody: Bool, mustClose: Bool) {
        let plan = ResponseFraming.plan(status: HTTPStatus(code), method: method, minorVersion: minorVersion, length: length)
        #expect(plan == ResponsePlan(framing: framing, sendsBody: sendsBody, mustClose: mustClose))
    }
}
