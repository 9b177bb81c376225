// What an attacker tries on one connection, and what the others notice of it.

import Glibc
import Testing
import TestSupport

@Suite struct AttackTests {
    // MARK: one client against the others

    /// A reader that stops in the middle of a large file must hold up nobody else.
    @Test(.timeLimit(.minutes(1)), arguments: [1, 50])
    func readersThatStop(count: Int) throws {
        let directory = try TemporaryDirectory()
        try directory.write("index.html", answer)
        try directory.write("large", "")
        try writeFile(directory.path + "/large", bytes: 32 << 20)
        let server = try LimitedServer(["files", directory.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let crowd = try Crowd(server.process.endpoint)
        for _ in 0..<count { try crowd.join(receiveBytes: 8192) }
        var asked = 0
        crowd.run(reading: false, onOpen: { crowd.send(Array(get("/large").utf8), by: $0); asked += 1 }) { asked == count }
        for _ in 0..<20 {
            let other = try RawClient(server.process.endpoint)
            try other.send(get("/"))
            #expect(try other.readResponse().bodyText == answer)
        }
        #expect(server.peakKiB < 200_000, "files are not read into memory: \(server.peakKiB) KiB")
    }

    // MARK: smuggling and desynchronisation

    private func expectLast(_ text: String, _ status: Int, _ name: String, server: ServerProcess) throws {
        let client = try RawClient(server.endpoint)
        try client.send(text)
        let response = try client.readFinalResponse()
        #expect(response.status == status, "\(name)")
        #expect(response.tokens("connection").contains("close"), "\(name)")
        expectEnd(client, name)
    }

    /// Where the next request begins is not known, or nobody may ask any more: whatever follows is not answered.
    @Test func nothingIsAnsweredBehindTheLast() throws {
        let server = try Uringd.respond()
        let tooLong = (10 << 20) + 1
        try expectLast(post("", "Content-Length: \(tooLong)") + nextRequest + nextRequest, 413, "body too long", server: server)
        try expectLast(chunked("A00001\r\n") + nextRequest, 413, "chunk too long", server: server)
        try expectLast(post("", "Content-Length: 99999999999999999999999") + nextRequest, 400, "length beyond all numbers", server: server)
        try expectLast(post("", "Content-Length: \(tooLong)", "Expect: 100-continue") + nextRequest, 413, "expectation of too much", server: server)
        try expectLast(post("", "Expect: 200-ok", "Content-Length: 5") + nextRequest, 417, "unknown expectation", server: server)
        try expectLast(post(nextRequest, "Content-Length: \(nextRequest.utf8.count)", "Connection: close") + nextRequest, 200, "close with a body", server: server)
        try expectLast("GET / HTTP/1.0\r\nHost: a\r\n\r\n" + nextRequest, 200, "HTTP/1.0", server: server)
        try expectLast("POST / HTTP/1.0\r\nConnection: close, keep-alive\r\nContent-Length: 0\r\n\r\n" + nextRequest, 200, "both", server: server)
        try expectLast("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + nextRequest, 400, "chunks in HTTP/1.0", server: server)
    }

    /// A body that looks like requests is a body.
    @Test func bodiesAreNeverRequests() throws {
        let server = try Uringd.respond()
        let inner = nextRequest + nextRequest
        let length = "Content-Length: \(inner.utf8.count)"
        let size = String(inner.utf8.count, radix: 16)
        let cases = [
            ("POST", post(inner, length)), ("chunked", chunked("\(size)\r\n\(inner)\r\n0\r\n\r\n")),
            ("GET with a body", "GET / HTTP/1.1\r\nHost: a\r\n\(length)\r\n\r\n\(inner)"),
            ("DELETE with a body", "DELETE / HTTP/1.1\r\nHost: a\r\n\(length)\r\n\r\n\(inner)"),
            ("OPTIONS with a body", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\(length)\r\n\r\n\(inner)"),
            ("HTTP/1.0 kept alive", "POST / HTTP/1.0\r\nConnection: keep-alive\r\n\(length)\r\n\r\n\(inner)"),
            ("trailers", chunked("\(size);a=\"GET\"\r\n\(inner)\r\n0;x\r\nGET: / HTTP/1.1\r\n\r\n")),
            ("expectation not waited for", post(inner, length, "Expect: 100-continue")),
        ]
        for (name, text) in cases {
            let client = try RawClient(server.endpoint)
            try client.send(text + get("/", "Connection: close"))
            #expect(try client.readFinalResponse().status == 200, "\(name)")
            let last = try client.readFinalResponse()
            #expect(last.status == 200 && last.tokens("connection").contains("close"), "\(name)")
            expectEnd(client, name)
        }
        // HEAD: neither request nor response have anything between head and next.
        let client = try RawClient(server.endpoint)
        try client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\(length)\r\n\r\n\(inner)" + get("/", "Connection: close"))
        #expect(try client.readResponse(toHead: true).status == 200)
        expectAnswer(try client.readResponse(), "behind HEAD with a body")
        expectEnd(client, "HEAD")
    }

    /// The target's authority wins over Host and nothing of either is reflected; TRACE does not echo.
    @Test func nothingIsReflected() throws {
        let server = try Uringd.respond()
        for text in ["GET http://evil.example/x HTTP/1.1\r\nHost: good.example\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\n\r\n"] {
            let client = try RawClient(server.endpoint)
            try client.send(text)
            let response = try client.readResponse()
            #expect(!"\(response.fields) \(response.bodyText)".contains("evil") && !response.bodyText.contains("secret"))
        }
    }

    /// A refused request whose body goes on coming: read and thrown away, up to a limit, so that the refusal arrives.
    @Test func refusalReachesAClientThatUploads() throws {
        let server = try Uringd.respond()
        let client = try RawClient(server.endpoint)
        try client.send(post("", "Content-Length: 12000000"))
        try client.send([UInt8](repeating: 0x61, count: 12_000_000))
        #expect(try client.readResponse().status == 413)
        expectEnd(client, "413")
    }

    // MARK: expensive requests

    /// Each byte of a head and body in a segment of its own, a thousand tiny chunks, extensions up to their limit: linear work.
    @Test(.timeLimit(.minutes(1))) func smallPieces() throws {
        let directory = try TemporaryDirectory()
        let server = try Uringd.respond(["--loops", "1"], listen: "unix:\(directory.path)/socket")
        let client = try RawClient(server.endpoint)
        let text = get("/", "X-Long: " + String(repeating: "a", count: 3000)) + chunked(String(repeating: "1;e\r\nx\r\n", count: 500) + "0\r\n\r\n")
        for byte in Array(text.utf8) { try client.send([byte]) }
        expectAnswer(try client.readResponse(), "head byte by byte")
        expectAnswer(try client.readResponse(), "chunks byte by byte")
    }

    /// Extensions cost and say nothing: bounded beyond what the body weighs.
    @Test func endlessChunkExtension() throws {
        let server = try Uringd.respond()
        try expectLast(chunked("1;" + String(repeating: "a", count: 100_000)), 400, "one long extension", server: server)
        try expectLast(chunked(String(repeating: "1;aaaaaaaaaaaaaaa\r\nx\r\n", count: 1000)), 400, "many", server: server)
    }

    @Test func endlessTrailers() throws {
        let server = try Uringd.respond()
        try expectLast(chunked("0\r\n" + String(repeating: "A: b\r\n", count: 1000)), 431, "trailer lines", server: server)
        try expectLast(chunked("0\r\nA: " + String(repeating: "b", count: 10_000)), 431, "a trailer", server: server)
    }

    /// CVE-2011-3192: many overlapping ranges of one file.
    @Test func overlappingRanges() throws {
        let directory = try TemporaryDirectory()
        try directory.write("large", "")
        try writeFile(directory.path + "/large", bytes: 1 << 20)
        let server = try LimitedServer(["files", directory.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let client = try RawClient(server.process.endpoint)
        let ranges = (0..<1300).map { "5-\($0 + 1000)" }.joined(separator: ",")
        for _ in 0..<20 {
            try client.send(get("/large", "Range: bytes=" + ranges))
            let response = try client.readResponse()
            #expect(response.status == 200 && response.body.count == 1 << 20)
            try client.send(get("/large", "Range: bytes=0-,1-,2-,3-,4-,5-,6-,7-,8-,9-,10-"))
            #expect(try client.readResponse().body.count <= 1 << 20)
        }
        #expect(server.peakKiB < 150_000)
    }

    // MARK: out of the root

    @Test func pathsOutOfTheRoot() throws {
        let directory = try TemporaryDirectory()
        try directory.write("inside", answer)
        _ = unsafe symlink("/etc/passwd", directory.path + "/escape")
        _ = unsafe symlink("/etc", directory.path + "/etc")
        _ = unsafe symlink("inside", directory.path + "/alias")
        _ = unsafe mkfifo(directory.path + "/fifo", 0o644)
        defer { for name in ["escape", "etc", "alias", "fifo"] { _ = unsafe unlink(directory.path + "/" + name) } }
        let server = try LimitedServer(["files", directory.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        for target in [
            "/../etc/passwd", "/..%2fetc/passwd", "/%2e%2e/etc/passwd", "/.%2e/.%2e/etc/passwd", "/a/../../etc/passwd", "//etc/passwd",
            "/%2fetc/passwd", "/..%5cetc", "/%252e%252e/etc/passwd", "/escape", "/etc/passwd", "/etc/", "/etc/../etc/passwd", "/inside/../../etc/passwd",
            "/inside%00.html", "/inside/", "/fifo", "/proc/self/environ", "/%c0%ae%c0%ae/etc/passwd", "http://a/../etc/passwd", "/./escape",
        ] {
            let client = try RawClient(server.process.endpoint)
            try client.send(get(target))
            let response = try client.readResponse()
            #expect(response.status >= 400 && response.status < 500, "\(target): \(response.status)")
            #expect(!response.bodyText.contains("root:"), "\(target)")
        }
        let client = try RawClient(server.process.endpoint)
        try client.send(get("/alias"))
        #expect(try client.readResponse().bodyText == answer)
    }

    /// A name that changes between a file and a link out of the root while it is asked for.
    @Test(.timeLimit(.minutes(1))) func linkThatRaces() throws {
        let directory = try TemporaryDirectory()
        try directory.write("inside", answer)
        let path = directory.path
        let server = try LimitedServer(["files", path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let client = try RawClient(server.process.endpoint)
        defer { for name in ["name", "next"] { _ = unsafe unlink(path + "/" + name) } }
        for round in 0..<2000 {
            _ = unsafe symlink(round % 2 == 0 ? "inside" : "/etc/passwd", path + "/next")
            try client.send(get("/name"))
            _ = unsafe rename(path + "/next", path + "/name")
            try client.send(get("/name"))
            for _ in 0..<2 {
                let response = try client.readResponse()
                #expect(response.status == 404 || response.bodyText == answer)
            }
        }
    }
}
