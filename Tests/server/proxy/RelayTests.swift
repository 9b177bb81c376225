// Long bodies through a proxy, byte for byte: they are received in large pieces that become the other side's output, so that a piece that is lost, doubled or in the wrong place would be one of
// many thousand bytes.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct RelayTests {
    /// No two stretches of it are alike.
    private static func pattern(_ count: Int) -> [UInt8] {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state)
        }
    }

    private static let whole = pattern(1 << 20)

    /// Whether it is the first so many bytes. By memcmp: in debug builds, and with a sanitizer, a million comparisons one by one take their time.
    private static func isBeginning(_ body: [UInt8], _ count: Int) -> Bool {
        // Both arrays live through the call.
        body.count == count && (unsafe body.withUnsafeBytes { one in unsafe whole.withUnsafeBytes { unsafe memcmp(one.baseAddress ?? $0.baseAddress!, $0.baseAddress!, count) } }) == 0
    }

    enum Framing: String, CaseIterable, Sendable { case counted, chunked, untilClose }

    /// A server that answers `/N` with the first N bytes.
    private static func server(_ framing: Framing) throws -> RecordingServer {
        try RecordingServer { request, _ in
            let count = Int(request.line.split(separator: " ")[1].dropFirst()) ?? 0
            let body = Array(whole.prefix(count))
            switch framing {
            case .counted: return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n"), .sendBytes(body)]
            case .untilClose: return [.send("HTTP/1.1 200 OK\r\n\r\n"), .sendBytes(body), .close]
            case .chunked:
                var acts: [ServerAct] = [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
                // Sizes that fall on no boundary, some beyond what is received at once.
                let sizes = [1, 70_001, 8191, 200_003, 65_536, 13]
                var (at, turn) = (0, 0)
                while at < body.count {
                    let size = min(sizes[turn % sizes.count], body.count - at)
                    acts.append(.sendBytes(Array("\(String(size, radix: 16))\r\n".utf8) + body[at..<at + size] + [13, 10]))
                    (at, turn) = (at + size, turn + 1)
                }
                return acts + [.send("0\r\nX-End: yes\r\n\r\n")]
            }
        }
    }

    private static let sizes = [32_767, 32_768, 65_537, 73_728, 262_143, 262_145, 1 << 20]

    @Test(arguments: Framing.allCases) func answersAreWhole(framing: Framing) throws {
        let upstream = try Self.server(framing)
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        // The last begins on connections that have had long bodies.
        for size in Self.sizes + [73_728, 1 << 20] {
            try client.send("GET /\(size) HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try client.readFinalResponse()
            #expect(answer.status == 200 && answer.body.count == size)
            #expect(Self.isBeginning(answer.body, size), "\(size) bytes differ")
            if framing == .chunked { #expect(answer.trailers.first?.value == "yes") }
        }
        // Short ones behind long ones.
        for size in [0, 1, 100, 8193] {
            try client.send("GET /\(size) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(Self.isBeginning(try client.readFinalResponse().body, size))
        }
    }

    @Test(arguments: Framing.allCases) func answersOnHTTP2AreWhole(framing: Framing) throws {
        let upstream = try Self.server(framing)
        let proxy = try TestProxy(to: [upstream.port])
        let client = try FrameClient(proxy.server.endpoint)
        var stream: UInt32 = 1
        for size in [65_537, 262_145, 1 << 20] {
            let answer = try client.ask(stream, "GET", "/\(size)")
            #expect(answer.status == 200 && answer.body.count == size)
            #expect(Self.isBeginning(answer.body, size), "\(size) bytes differ")
            stream += 2
        }
    }

    @Test(arguments: [false, true]) func requestsAreWhole(chunked: Bool) throws {
        let upstream = try RecordingServer { request, _ in [.answer(200, "\(request.body.count)")] }
        let proxy = try TestProxy(to: [upstream.port], streams: true)
        let client = try proxy.server.client()
        for size in [65_537, 262_145] {
            let body = Array(Self.whole.prefix(size))
            if chunked {
                try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                try client.send(Array("\(String(size, radix: 16))\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8))
            } else {
                try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
                try client.send(body)
            }
            #expect(try client.readFinalResponse().status == 200)
            let request = try #require(upstream.requests.last)
            let content = chunked ? Self.decoded(request.body) : request.body
            #expect(content == body, "\(size) bytes differ")
        }
    }

    /// A client that reads nothing for a while gets all of it, and what waits for it is bounded.
    @Test func aSlowClientGetsAllOfIt() throws {
        let upstream = try Self.server(.counted)
        let proxy = try TestProxy(to: [upstream.port])
        let client = try proxy.server.client()
        try client.send("GET /\(1 << 20) HTTP/1.1\r\nHost: a\r\n\r\n")
        usleep(200_000)
        let loop = try #require(proxy.server.running.snapshots().first)
        // 256 KiB and a piece on the way to the client, and what is being received, in blocks of 16 KiB.
        #expect(loop.chunksOutstanding <= 48)
        #expect(Self.isBeginning(try client.readFinalResponse().body, 1 << 20))
    }

    @Test func aClientThatLeavesInTheMiddleTakesNothingAlong() throws {
        let upstream = try Self.server(.counted)
        let proxy = try TestProxy(to: [upstream.port])
        for _ in 0..<4 {
            let client = try proxy.server.client()
            try client.send("GET /\(1 << 20) HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try client.readSome(100_000)
            client.resetOnClose()
        }
        let client = try proxy.server.client()
        try client.send("GET /262145 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(Self.isBeginning(try client.readFinalResponse().body, 262_145))
        for _ in 0..<5000 where try #require(proxy.server.running.snapshots().first).chunksOutstanding > 0 { usleep(1000) }
        #expect(try #require(proxy.server.running.snapshots().first).chunksOutstanding == 0)
    }

    private static func decoded(_ chunked: [UInt8]) -> [UInt8] {
        var (content, at) = ([UInt8](), 0)
        while let end = chunked[at...].firstIndex(of: 13), let size = Int(String(decoding: chunked[at..<end], as: UTF8.self), radix: 16), size > 0 {
            content += chunked[end + 2..<end + 2 + size]
            at = end + 2 + size + 2
        }
        return content
    }
}
