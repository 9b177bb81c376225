// Request bodies: sizes around every buffer, chunked uploads, 100-continue, the limit on their length.

import Testing
import TestSupport

@Suite struct BodyTests {
    /// The default of `limits.body-bytes`.
    private static let bodyBytesMax = 10 << 20

    private static let sizes = [0, 1, 2, 15, 16, 17, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 1 << 20]

    @Test func uploadsOfManySizes() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        for size in Self.sizes {
            try client.send(post("", "Content-Length: \(size)"))
            try client.send([UInt8](repeating: 0x61, count: size))
            expectAnswer(try client.readResponse(), "\(size) bytes")
            try client.send(nextRequest)
            expectAnswer(try client.readResponse(), "behind \(size) bytes")
        }
    }

    @Test func chunkedUploadsOfManySizes() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        for size in Self.sizes where size > 0 {
            // The data looks like framing, so that a decoder that loses its place is found.
            let data = Array("0\r\n\r\nGET / HTTP/1.1\r\n\r\n".utf8)
            let body = (0..<size).map { data[$0 % data.count] }
            var bytes = RawClient.bytes(chunked(""))
            for start in stride(from: 0, to: size, by: 7000) {
                let chunk = body[start..<min(start + 7000, size)]
                bytes += Array((String(chunk.count, radix: 16) + "\r\n").utf8) + chunk + [13, 10]
            }
            try client.send(bytes + Array("0\r\n\r\n".utf8))
            expectAnswer(try client.readResponse(), "\(size) bytes")
            try client.send(nextRequest)
            expectAnswer(try client.readResponse(), "behind \(size) bytes")
        }
    }

    @Test func chunksOfOneByte() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(chunked(String(repeating: "1\r\nx\r\n", count: 20_000) + "0\r\n\r\n") + nextRequest)
        expectAnswer(try client.readResponse(), "20,000 chunks")
        expectAnswer(try client.readResponse(), "next")
    }

    // MARK: 100-continue (RFC 9110 10.1.1)

    @Test(arguments: [true, false])
    func waitingClientIsTold(isChunked: Bool) throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                + (isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 5\r\n\r\n"))
        let interim = try client.readResponse()
        #expect(interim.status == 100)
        #expect(interim.values("content-length").isEmpty && interim.values("transfer-encoding").isEmpty)
        try client.send((isChunked ? "5\r\nhello\r\n0\r\n\r\n" : "hello") + nextRequest)
        expectAnswer(try client.readResponse(), "after 100")
        expectAnswer(try client.readResponse(), "next")
    }

    @Test func clientThatDoesNotWaitIsServed() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(post("hello", "Content-Length: 5", "Expect: 100-continue") + nextRequest)
        expectAnswer(try client.readFinalResponse(), "body sent at once")
        expectAnswer(try client.readFinalResponse(), "next")
    }

    @Test func http10ClientIsNotTold() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        // An interim response would have to come before the body does; what comes first must be the final one.
        try client.send("hello")
        #expect(try client.readResponse().status == 200)
    }

    @Test func tooLongBodyIsRefusedInsteadOf100() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(post("", "Content-Length: \(Self.bodyBytesMax + 1)", "Expect: 100-continue"))
        #expect(try client.readResponse().status == 413)
        expectEnd(client, "413")
    }

    // MARK: The limit

    @Test func bodyAtItsLimitIsTaken() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(post("", "Content-Length: \(Self.bodyBytesMax)"))
        try client.send([UInt8](repeating: 0x61, count: Self.bodyBytesMax))
        expectAnswer(try client.readResponse(), "10 MiB")
        try client.send(nextRequest)
        expectAnswer(try client.readResponse(), "next")
    }

    /// The sum of the chunks counts, not each of them.
    @Test func chunksBeyondTheLimitAreRefused() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        let chunk = Array("80000\r\n".utf8) + [UInt8](repeating: 0x61, count: 0x80000) + [13, 10]
        try client.send(chunked(""))
        for _ in 0..<(Self.bodyBytesMax / 0x80000) { try client.send(chunk) }
        try client.send("1\r\nx")
        #expect(try client.readResponse().status == 413)
        expectEnd(client, "413")
    }
}
