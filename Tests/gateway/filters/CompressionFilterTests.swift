// Compression of routes' responses over the wire: what is chosen, what is left alone, and that curl, gzip, brotli and zstd get back what was sent, whoever made it and however it came.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

@Suite struct CompressionFilterTests {
    private static let text = (0..<400).map { "line \($0 * 7919 % 1000): the quick brown fox jumps over the lazy dog\n" }.joined()

    /// What came, decoded by the tool of its coding.
    private func decoded(_ response: RawResponse) throws -> String {
        let directory = "/tmp/uring-compression-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let file = unsafe open(directory, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { unsafe unlink(directory) }
        let body = response.body
        #expect(unsafe write(file, body, body.count) == body.count)
        close(file)
        let tool = ["gzip": "gzip -dc", "br": "brotli -dc", "zstd": "zstd -qdc"]
        guard let coding = response.value("content-encoding") else { return response.bodyText }
        return try shell("\(try #require(tool[coding])) < \(directory)")
    }

    @Test(arguments: [
        ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, br, zstd", "br"), ("gzip;q=1, br;q=0.5", "gzip"), ("br;q=0, zstd;q=0.1, gzip;q=0.2", "gzip"), ("*", "br"),
        ("*;q=0, gzip", "gzip"), ("identity", ""), ("gzip;q=0", ""), ("deflate", ""), ("", ""),
    ])
    func theClientChooses(_ accepted: String, _ coding: String) throws {
        let gateway = try RunningGateway("routes: [{ name: a, match: {}, compression: { algorithms: [br, zstd, gzip] }, respond: { headers: { etag: '\"v1\"' }, body: '\(Self.text.replacing("\n", with: " "))' } }]")
        let response = try gateway.ask("/", "Accept-Encoding: \(accepted)")
        #expect(response.status == 200 && response.values("vary").map { $0.lowercased() } == ["accept-encoding"])
        #expect(response.value("content-encoding") ?? "" == coding)
        #expect(response.value("etag") == (coding.isEmpty ? "\"v1\"" : "W/\"v1\""))
        #expect(try decoded(response) == Self.text.replacing("\n", with: " "))
        #expect(response.value("content-length") == "\(response.body.count)")
        #expect(gateway.count("a", "compression", coding.isEmpty ? "not_accepted" : coding) == 1)
        // As GET, but without content.
        let head = try gateway.ask("/", method: "HEAD", "Accept-Encoding: \(accepted)")
        #expect(head.value("content-encoding") ?? "" == coding && head.body.isEmpty)
    }

    @Test func edgesOfWhatIsWorthIt() throws {
        func body(_ count: Int) -> String { String(repeating: "a", count: count) }
        let gateway = try RunningGateway(
            """
            routes:
              - { name: small, match: { path: /small }, compression: { min-bytes: 256 }, respond: { body: \(body(255)) } }
              - { name: large, match: { path: /large }, compression: { min-bytes: 256 }, respond: { body: \(body(256)) } }
              - { name: picture, match: { path: /picture }, compression: {}, respond: { headers: { content-type: image/png }, body: \(body(4000)) } }
              - { name: ours, match: { path: /ours }, compression: { types: [application/x-ours] }, respond: { headers: { content-type: application/x-ours }, body: \(body(4000)) } }
              - { name: kept, match: { path: /kept }, compression: {}, headers: { set: { cache-control: "private, No-Transform" } }, respond: { body: \(body(4000)) } }
              - { name: coded, match: { path: /coded }, compression: {}, respond: { headers: { content-encoding: x-own }, body: \(body(4000)) } }
              - { name: empty, match: { path: /empty }, compression: { min-bytes: 0 }, respond: { status: 204 } }
              - { name: none, match: { path: /none }, respond: { body: \(body(4000)) } }
            """)
        for (path, isCompressed) in [
            ("/small", false), ("/large", true), ("/picture", false), ("/ours", true), ("/kept", false), ("/coded", false), ("/empty", false), ("/none", false),
        ] {
            let response = try gateway.ask(path, "Accept-Encoding: gzip")
            #expect((response.value("content-encoding") == "gzip") == isCompressed, "\(path)")
        }
    }

    /// Chunks, a length that is announced, one piece or many, over HTTP/1.1 and HTTP/2.
    @Test(arguments: ["--http1.1", "--http2-prior-knowledge", "--http1.0"], ["gzip", "br", "zstd"])
    func upstreamsAreCompressedWhileTheyCome(_ version: String, _ coding: String) throws {
        let text = String(repeating: Self.text, count: 20)
        let upstream = try RecordingServer { request, _ in
            if request.line.contains("/whole") { return [.answer(200, Self.text, "Content-Type: text/plain", "ETag: \"a\"")] }
            if request.line.contains("/long") { return [.answer(200, text, "Content-Type: text/plain")] }
            let pieces = stride(from: 0, to: text.utf8.count, by: 7001).map { start -> ServerAct in
                let piece = Array(text.utf8)[start..<min(start + 7001, text.utf8.count)]
                return .sendBytes(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
            }
            return [.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")] + pieces + [.send("0\r\n\r\n")]
        }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes: [{ name: orders, match: {}, compression: { algorithms: [\(coding)] }, proxy: { upstream: orders } }]
            """)
        for (path, wanted) in [("/whole", Self.text), ("/long", text), ("/chunked", text)] {
            let output = try shell("curl -s --max-time 20 \(version) --compressed -w '%{http_code} %{size_download} %header{content-encoding} %header{vary}' http://\(gateway.endpoint)\(path)")
            #expect(output.hasPrefix(wanted), "\(path)")
            let figures = output.dropFirst(wanted.count).split(separator: " ")
            #expect(figures.first == "200" && figures.dropFirst(2).elementsEqual([Substring(coding), "accept-encoding"]), "\(path): \(figures)")
            #expect(try #require(figures.dropFirst().first.flatMap { Int($0) }) < wanted.utf8.count / 3, "\(path)")
        }
        #expect(gateway.count("orders", "compression", coding) == 3)
    }

    /// What a server has sent is with the client though more is to come.
    @Test func piecesAreNotHeldBack() throws {
        let upstream = try RecordingServer { _, _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"), .pause(milliseconds: 20), .send("7\r\ndata: 2\r\n"), .hang]
        }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes: [{ name: orders, match: {}, compression: {}, proxy: { upstream: orders } }]
            """)
        for coding in ["gzip", "br", "zstd"] {
            let curl = try ServerProcess(
                ["-sN", "--max-time", "20", "-H", "Accept-Encoding: \(coding)", "--compressed", "http://\(gateway.endpoint)/"], listeners: 0, binary: "/usr/bin/curl")
            try curl.wait(forOutput: "data: 1data: 2")
        }
    }

    /// What is not to be touched comes as it was sent.
    @Test func upstreamsMayForbidIt() throws {
        let body = String(repeating: "abcd", count: 1000)
        let heads = [
            "/coded": (200, ["Content-Type: text/plain", "Content-Encoding: gzip"]), "/part": (206, ["Content-Type: text/plain", "Content-Range: bytes 0-3999/9000"]),
            "/kept": (200, ["Content-Type: text/plain", "Cache-Control: no-transform"]), "/picture": (200, ["Content-Type: image/png"]), "/untyped": (200, []),
            "/digest": (200, ["Content-Type: text/plain", "Content-Digest: sha-256=:AAAA:"]),
        ]
        let upstream = try RecordingServer { request, _ in
            if request.line.contains("/same") { return [.send("HTTP/1.1 304 Not Modified\r\nETag: W/\"a\"\r\n\r\n")] }
            let path = String(request.line.split(separator: " ")[1])
            guard let (status, fields) = heads[path] else { return [.answer(404)] }
            return [.send("HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n\(fields.map { $0 + "\r\n" }.joined())\r\n\(body)")]
        }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - { name: plain, match: { path: /plain/* }, compression: { proxied: false }, proxy: { upstream: orders, path: { strip-prefix: /plain } } }
              - { name: orders, match: {}, compression: {}, proxy: { upstream: orders } }
            """)
        for (path, (status, fields)) in heads {
            let response = try gateway.ask(path, "Accept-Encoding: gzip")
            #expect(Int(response.status) == status && response.bodyText == body, "\(path)")
            #expect(response.value("content-encoding") == (fields.contains("Content-Encoding: gzip") ? "gzip" : nil), "\(path)")
        }
        let same = try gateway.ask("/same", "Accept-Encoding: gzip", "If-None-Match: W/\"a\"")
        #expect(same.status == 304 && same.body.isEmpty && same.value("content-encoding") == nil && same.value("etag") == "W/\"a\"" && same.value("vary") == "accept-encoding")
        #expect(try gateway.ask("/plain/untyped", "Accept-Encoding: gzip").value("vary") == nil)
    }

    /// A protocol that is switched is no response to work on, and passes filters that have something to do with responses.
    @Test func webSocketsPass() throws {
        let upstream = try RecordingServer { _, _ in
            [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), .echo]
        }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes: [{ name: orders, match: {}, compression: {}, headers: { set: { x-frame-options: DENY } }, proxy: { upstream: orders } }]
            """)
        let client = try RawClient(gateway.endpoint)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAccept-Encoding: gzip\r\n\r\n")
        let response = try client.readResponse()
        #expect(response.status == 101 && response.value("x-frame-options") == "DENY" && response.value("content-encoding") == nil)
        try client.send("hello")
        #expect(try client.readSome(5) == Array("hello".utf8))
    }

    /// A server that breaks off is not taken for one that has ended.
    @Test func brokenResponsesStayBroken() throws {
        let upstream = try RecordingServer { _, _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + String(repeating: "a", count: 0x1000) + "\r\n"), .pause(milliseconds: 20), .reset]
        }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes: [{ name: orders, match: {}, compression: {}, proxy: { upstream: orders } }]
            """)
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let output = try shell("curl -s --max-time 20 \(version) --compressed -o /dev/null -w '%{http_code} %{exitcode}' http://\(gateway.endpoint)/")
            #expect(output.hasPrefix("200 ") && !output.hasSuffix(" 0"), "\(output)")
        }
        // Whoever leaves in the middle leaves nothing behind: the next stream has a compressor.
        #expect(gateway.count("orders", "compression", "left") == 0)
    }

    /// Files as they lie there; parts and small ones are sent as ever.
    @Test(arguments: ["gzip", "br", "zstd"]) func filesAreCompressed(_ coding: String) throws {
        let directory = TLSDirectory()
        let long = String(repeating: Self.text, count: 30)
        directory.write("a.txt", Self.text)
        directory.write("long.txt", long)
        directory.write("small.txt", "small\n")
        directory.write("a.png", Self.text)
        let gateway = try RunningGateway("routes: [{ name: site, match: {}, compression: {}, files: { root: \(directory.path) } }]")
        for (path, text) in [("/a.txt", Self.text), ("/long.txt", long)] {
            let response = try gateway.ask(path, "Accept-Encoding: \(coding)", "Connection: close")
            #expect(response.value("content-encoding") == coding && response.value("accept-ranges") == nil && response.value("vary") == "accept-encoding")
            #expect(response.value("etag")?.hasPrefix("W/") == true)
            #expect(try decoded(response) == text)
            let tag = try #require(response.value("etag"))
            let same = try gateway.ask(path, "Accept-Encoding: \(coding)", "If-None-Match: \(tag)")
            #expect(same.status == 304 && same.value("vary") == "accept-encoding")
            #expect(try gateway.ask(path).bodyText == text)
        }
        let part = try gateway.ask("/a.txt", "Accept-Encoding: \(coding)", "Range: bytes=0-4999")
        #expect(part.status == 206 && part.value("content-encoding") == nil && part.body.count == 5000)
        for path in ["/small.txt", "/a.png"] { #expect(try gateway.ask(path, "Accept-Encoding: \(coding)").value("content-encoding") == nil) }
    }
}
