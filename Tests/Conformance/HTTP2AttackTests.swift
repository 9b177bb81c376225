// Floods and violations of HTTP/2: each ends its own connection with the fitting code, while another is served.

import Testing
import TestSupport

@Suite(.timeLimit(.minutes(2))) struct HTTP2AttackTests {
    private static let (noError, protocolError, flowControlError, frameSizeError, compressionError, calm): (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (
        0, 1, 3, 6, 9, 11
    )

    struct Attack: Sendable, CustomTestStringConvertible {
        let name: String
        let code: UInt32
        let frames: @Sendable () -> [HTTP2Frame]
        var testDescription: String { name }
    }

    private static let attacks: [Attack] = [
        // CVE-2023-44487.
        Attack(name: "rapid reset", code: calm) {
            (0..<20_000).flatMap { [FrameClient.request($0 * 2 + 1, "POST", ends: false), FrameClient.reset($0 * 2 + 1)] }
        },
        // CVE-2025-8671: the client makes the server reset.
        Attack(name: "resets made by wrong windows", code: calm) {
            (0..<5000).flatMap {
                [
                    FrameClient.request($0 * 2 + 1, "POST", ends: false),
                    HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: $0 * 2 + 1, HTTP2Frame.number(0)),
                ]
            }
        },
        // CVE-2024-27316.
        Attack(name: "CONTINUATION without end", code: calm) {
            [HTTP2Frame(HTTP2Frame.Kind.headers, stream: 1, FrameClient.head())]
                + (0..<2000).map { HTTP2Frame(HTTP2Frame.Kind.continuation, stream: 1, FrameClient.block([("x-\($0)", String(repeating: "y", count: 200))])) }
        },
        Attack(name: "empty CONTINUATION", code: calm) {
            [HTTP2Frame(HTTP2Frame.Kind.headers, stream: 1, FrameClient.head())] + Array(repeating: HTTP2Frame(HTTP2Frame.Kind.continuation, stream: 1), count: 2000)
        },
        // CVE-2019-9515.
        Attack(name: "SETTINGS", code: calm) { Array(repeating: HTTP2Frame(HTTP2Frame.Kind.settings), count: 20_000) },
        // CVE-2019-9512.
        Attack(name: "PING", code: calm) { Array(repeating: HTTP2Frame(HTTP2Frame.Kind.ping, pattern(8)), count: 20_000) },
        // CVE-2019-9518.
        Attack(name: "empty DATA", code: calm) {
            [FrameClient.request(1, "POST", ends: false)] + Array(repeating: FrameClient.data(1, []), count: 20_000)
        },
        // CVE-2019-9513.
        Attack(name: "PRIORITY", code: calm) {
            (0..<20_000).map { HTTP2Frame(HTTP2Frame.Kind.priority, stream: $0 * 2 + 1, [0, 0, 0, 0, 7]) }
        },
        // CVE-2019-9511.
        Attack(name: "small WINDOW_UPDATE", code: calm) {
            Array(repeating: HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(1)), count: 20_000)
        },
        Attack(name: "frames of unknown kinds", code: calm) { Array(repeating: HTTP2Frame(0x77, stream: 1), count: 20_000) },
        Attack(name: "window beyond 2^31-1", code: flowControlError) {
            [HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(0x7fff_ffff))]
        },
        Attack(name: "a frame larger than allowed", code: frameSizeError) {
            [FrameClient.request(1, "POST", ends: false), FrameClient.data(1, [UInt8](repeating: 0, count: 16_385))]
        },
        Attack(name: "index of nothing", code: compressionError) {
            [HTTP2Frame(HTTP2Frame.Kind.headers, flags: HTTP2Frame.Flag.endHeaders, stream: 1, [0xff, 0xff, 0xff, 0x03])]
        },
        Attack(name: "integer without end", code: compressionError) {
            [HTTP2Frame(HTTP2Frame.Kind.headers, flags: HTTP2Frame.Flag.endHeaders, stream: 1, [UInt8](repeating: 0xff, count: 64))]
        },
        Attack(name: "PUSH_PROMISE", code: protocolError) {
            [HTTP2Frame(HTTP2Frame.Kind.pushPromise, flags: HTTP2Frame.Flag.endHeaders, stream: 1, [0, 0, 0, 2])]
        },
        Attack(name: "even stream", code: protocolError) { [FrameClient.request(2)] },
        Attack(name: "a frame between HEADERS and CONTINUATION", code: protocolError) {
            [HTTP2Frame(HTTP2Frame.Kind.headers, stream: 1, FrameClient.head()), HTTP2Frame(HTTP2Frame.Kind.ping, pattern(8))]
        },
    ]

    @Test(arguments: attacks) func attack(_ attack: Attack) throws {
        let server = try Uringd.respond(["--loops", "1"])
        let other = try FrameClient(server.endpoint)
        #expect(try other.ask(1).bodyText == answer)
        let client = try FrameClient(server.endpoint)
        // A flood is cut off while it comes.
        do { for frame in attack.frames() { try client.send(frame) } } catch RawClientError.reset {}
        let last = try client.readToGoAway()
        #expect(last?.errorCode == attack.code, "\(last.map { String(decoding: $0.payload.dropFirst(8), as: UTF8.self) } ?? "no GOAWAY")")
        #expect(try other.ask(3).bodyText == answer)
        #expect(server.isRunning)
    }

    /// One large field in the table, then a number that stands for it, over and over: a list that is too large, read without its memory.
    @Test func compressionBomb() throws {
        let server = try LimitedServer(["respond", "--listen", "127.0.0.1:0", "--body", answer, "--loops", "1"])
        let client = try FrameClient(server.process.endpoint)
        #expect(try client.ask(1).status == 200)
        let before = server.residentKiB
        let value = [UInt8](repeating: 0x79, count: 4000)
        var bomb = FrameClient.head() + [0x40, 1, 0x78] + FrameClient.integer(value.count, bits: 7) + value
        bomb += [UInt8](repeating: 0xbe, count: 12_000)
        try client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: HTTP2Frame.Flag.endHeaders | HTTP2Frame.Flag.endStream, stream: 3, bomb))
        #expect(try client.answer(3).status == 431)
        #expect(try client.ask(5).bodyText == answer)
        #expect(server.peakKiB - before < 4096)
    }

    /// Requests by the hundred and not a byte read: what is kept for them is bounded.
    @Test func answersThatNobodyReads() throws {
        let site = try Site()
        try site.write("file", pattern(1 << 20))
        let server = try LimitedServer(["files", site.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let other = try FrameClient(server.process.endpoint)
        #expect(try other.ask(1, "GET", "/file").status == 200)
        let before = server.residentKiB
        let client = try FrameClient(server.process.endpoint, settings: [(4, 0x7fff_ffff)])
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(0x7fff_0000)))
        for stream in 0..<UInt32(100) { try client.send(FrameClient.request(stream * 2 + 1, "GET", "/file")) }
        for stream in [UInt32(3), 5, 7, 9] { #expect(try other.ask(stream, "GET", "/file").body.count == 1 << 20) }
        // 100 MiB were asked for.
        #expect(server.peakKiB - before < 16 << 10)
        client.connection.resetOnClose()
    }
}
