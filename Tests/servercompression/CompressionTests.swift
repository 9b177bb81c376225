// Middleware.compression over sockets, HTTP/1.1 and HTTP/2: which responses are compressed, with what, and that they decode to what was written.

import Foundation
import TestSupport
import Testing
import UringHTTP
import UringServer
import UringServerCompression

@Suite struct CompressionTests {
    private static let page = String(repeating: "<li>an item of a list</li>\n", count: 200)
    private static let codings = ["gzip": ["gzip", "-dc"], "br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]]

    private static func decode(_ answer: Answer) throws -> String {
        guard let coding = answer.value("content-encoding") else { return answer.text }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = codings[coding] ?? []
        let from = FileManager.default.temporaryDirectory.appending(path: "uring-decode-\(UUID().uuidString)")
        try Data(answer.body).write(to: from)
        defer { try? FileManager.default.removeItem(at: from) }
        let (input, output) = (try FileHandle(forReadingFrom: from), Pipe())
        (process.standardInput, process.standardOutput) = (input, output)
        try process.run()
        let result = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return String(decoding: result, as: UTF8.self)
    }

    private static func server(_ options: CompressionOptions = CompressionOptions()) throws -> CurlServer {
        var router = Router()
        router.use(.compression(options))
        router.get("/page") { _, response in
            response.headers["content-type"] = "text/html; charset=utf-8"
            response.headers["etag"] = "\"v1\""
            response.headers["accept-ranges"] = "bytes"
            response.write(page)
        }
        let shared = SharedBytes(page)
        router.get("/shared") { _, response in
            response.headers["content-type"] = "application/problem+json"
            response.write(shared)
        }
        router.get("/big") { _, response in
            response.headers["content-type"] = "text/plain"
            for _ in 0..<100 { response.write(page) }
        }
        let big = SharedBytes(String(repeating: page, count: 100))
        router.get("/bigshared") { _, response in
            response.headers["content-type"] = "text/plain"
            response.write(big)
        }
        router.get("/stream") { _, response in
            response.headers["content-type"] = "text/plain"
            var left = 50
            response.stream { writer in
                left -= 1
                writer.write(page)
                return left == 0 ? .end : .more
            }
        }
        router.get("/counted") { _, response in
            response.headers["content-type"] = "text/plain"
            var left = 3
            response.stream(length: UInt64(3 * page.utf8.count)) { writer in
                left -= 1
                writer.write(page)
                return left == 0 ? .end : .more
            }
        }
        router.get("/small") { _, response in
            response.headers["content-type"] = "text/plain"
            response.write("small")
        }
        router.get("/image") { _, response in
            response.headers["content-type"] = "image/png"
            response.write(page)
        }
        router.get("/untyped") { _, response in response.write(page) }
        router.get("/own") { _, response in
            response.headers["content-type"] = "application/x-ours"
            response.write(page)
        }
        router.get("/coded") { _, response in
            response.headers["content-type"] = "text/plain"
            response.headers["content-encoding"] = "gzip"
            response.write(page)
        }
        router.get("/fixed") { _, response in
            response.headers["content-type"] = "text/plain"
            response.headers["cache-control"] = "max-age=5, No-Transform"
            response.write(page)
        }
        router.get("/part") { _, response in
            response.status = .partialContent
            response.headers["content-type"] = "text/plain"
            response.headers["content-range"] = "bytes 0-99/1000"
            response.write(page)
        }
        router.get("/none") { _, response in
            response.status = .noContent
            response.headers["content-type"] = "text/plain"
        }
        router.get("/vary") { _, response in
            response.headers["content-type"] = "text/plain"
            response.headers["vary"] = "origin, Accept-Encoding"
            response.write(page)
        }
        router.get("/fails") { _, response in
            response.headers["content-type"] = "text/plain"
            throw HTTPError(.conflict, page)
        }
        return try CurlServer(router)
    }

    @Test(arguments: Version.allCases, ["gzip", "br", "zstd"])
    func compresses(_ version: Version, _ coding: String) throws {
        let server = try Self.server()
        for (path, copies) in ["/page": 1, "/shared": 1, "/stream": 50, "/counted": 3, "/big": 100, "/bigshared": 100, "/vary": 1] {
            let answer = try server.ask(version, path, ["-H", "accept-encoding: \(coding)"])
            #expect(answer.status == 200)
            #expect(answer.values("content-encoding") == [coding], "\(path)")
            #expect(answer.values("vary").count == 1)
            #expect(answer.value("vary")?.lowercased().contains("accept-encoding") == true)
            #expect(answer.body.count < Self.page.utf8.count * copies / 5, "\(path)")
            #expect(try Self.decode(answer) == String(repeating: Self.page, count: copies), "\(path)")
            if path == "/page" {
                #expect(answer.value("etag") == "W/\"v1\"")
                #expect(answer.value("accept-ranges") == nil)
                #expect(answer.value("content-length") == "\(answer.body.count)")
            }
        }
        // Compressors are used again, in whatever state the last response left them.
        for _ in 0..<3 { #expect(try Self.decode(try server.ask(version, "/page", ["-H", "accept-encoding: \(coding)"])) == Self.page) }
    }

    @Test(arguments: Version.allCases)
    func leavesAsItIs(_ version: Version) throws {
        let server = try Self.server()
        for path in ["/small", "/image", "/untyped", "/own", "/fixed", "/part"] {
            let answer = try server.ask(version, path, ["-H", "accept-encoding: gzip, br, zstd"])
            #expect(answer.value("content-encoding") == nil, "\(path)")
            #expect(answer.value("vary") == nil, "\(path)")
            #expect(answer.text == (path == "/small" ? "small" : Self.page), "\(path)")
        }
        let coded = try server.ask(version, "/coded", ["-H", "accept-encoding: br"])
        #expect(coded.values("content-encoding") == ["gzip"])
        #expect(coded.text == Self.page)
        let none = try server.ask(version, "/none", ["-H", "accept-encoding: br"])
        #expect(none.status == 204)
        #expect(none.value("content-encoding") == nil)
        // A client that asks for nothing, or for what there is not, gets it plain, and caches are told.
        for field in ["accept-encoding;", "accept-encoding: deflate", "accept-encoding: gzip;q=0"] {
            let answer = try server.ask(version, "/page", ["-H", field])
            #expect(answer.value("content-encoding") == nil)
            #expect(answer.values("vary") == ["accept-encoding"])
            #expect(answer.value("etag") == "\"v1\"")
            #expect(answer.text == Self.page)
        }
    }

    @Test(arguments: Version.allCases)
    func head(_ version: Version) throws {
        let server = try Self.server()
        let answer = try server.ask(version, "/page", ["-I", "-H", "accept-encoding: gzip"])
        #expect(answer.status == 200)
        #expect(answer.value("content-encoding") == "gzip")
        #expect(answer.value("etag") == "W/\"v1\"")
        #expect(answer.value("content-length") == nil)
        #expect(answer.values("vary") == ["accept-encoding"])
        #expect(try server.ask(version, "/page", ["-I"]).value("content-length") == "\(Self.page.utf8.count)")
    }

    @Test func errors() throws {
        let answer = try Self.server().ask(.http11, "/fails", ["-H", "accept-encoding: gzip"])
        #expect(answer.status == 409)
        #expect(answer.value("content-encoding") == "gzip")
        #expect(try Self.decode(answer) == Self.page + "\n")
    }

    /// Weights, `*` and `identity`.
    @Test(arguments: [
        ("gzip;q=0.5, br;q=0.8, zstd;q=0.1", "br"), ("*", "zstd"), ("*;q=0.5, zstd;q=0", "br"), ("gzip, identity;q=0", "gzip"), ("GZIP", "gzip"), ("x-gzip", "gzip"),
        ("gzip;q=0.5, identity;q=0.9", nil), ("br;q=2", nil), ("identity", nil), ("*;q=0", nil), ("gzip;q=0.001", "gzip"), ("gzip;q=0.5, br;q=0.5, zstd;q=0.5", "zstd"),
    ] as [(String, String?)])
    func negotiates(_ field: String, _ coding: String?) throws {
        let answer = try Self.server().ask(.http11, "/page", ["-H", "accept-encoding: \(field)"])
        #expect(answer.value("content-encoding") == coding)
        #expect(try Self.decode(answer) == Self.page)
    }

    /// A client that refuses what is not encoded has small content encoded too.
    @Test func identityRefused() throws {
        let server = try Self.server()
        for path in ["/small", "/image"] {
            let answer = try server.ask(.http11, path, ["-H", "accept-encoding: gzip, identity;q=0"])
            #expect(answer.value("content-encoding") == "gzip")
            #expect(try Self.decode(answer) == (path == "/small" ? "small" : Self.page))
        }
        #expect(try server.ask(.http11, "/page", ["-H", "accept-encoding: identity;q=0"]).text == Self.page)
    }

    @Test func options() throws {
        var options = CompressionOptions()
        options.codings = [.gzip]
        options.minimumBytes = 3
        options.additionalTypes = ["application/X-Ours"]
        options.streamsPerLoop = 0
        let server = try Self.server(options)
        #expect(try server.ask(.http11, "/own", ["-H", "accept-encoding: br, gzip;q=0.1"]).value("content-encoding") == "gzip")
        // Five bytes are larger when they are compressed.
        #expect(try server.ask(.http11, "/small", ["-H", "accept-encoding: gzip"]).text == "small")
        let stream = try server.ask(.http11, "/stream", ["-H", "accept-encoding: gzip"])
        #expect(stream.value("content-encoding") == nil)
        #expect(stream.text == String(repeating: Self.page, count: 50))
    }

    /// Streams beyond the loop's memory are gzip, which needs little, and beyond that as they are; those that end make room.
    @Test func memoryBudget() throws {
        var options = CompressionOptions()
        // One stream of brotli and one of gzip.
        options.streamBytesPerLoop = 4_700_000
        var router = Router()
        router.use(.compression(options))
        router.get("/events") { _, response in
            response.headers["content-type"] = "text/event-stream"
            response.stream { writer in
                writer.write("data: 1\n\n")
                return .wait(milliseconds: 3_600_000)
            }
        }
        router.get("/page") { _, response in
            response.headers["content-type"] = "text/html"
            response.write(Self.page)
        }
        router.get("/big") { _, response in
            response.headers["content-type"] = "text/html"
            for _ in 0..<100 { response.write(Self.page) }
        }
        let server = try CurlServer(router)
        func open(_ accept: String) throws -> (client: RawClient, coding: String?) {
            let client = try RawClient(.ipv4(host: "127.0.0.1", port: UInt16(server.port)!))
            client.resetOnClose()
            try client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(accept)\r\n\r\n")
            var head: [UInt8] = []
            while !head.reversed().starts(with: "\r\n\r\n".utf8.reversed()) { head += try client.readSome(1) }
            let line = String(decoding: head, as: UTF8.self).split(separator: "\r\n").first { $0.hasPrefix("content-encoding: ") }
            return (client, line.map { String($0.dropFirst("content-encoding: ".count)) })
        }
        var held = [try open("br, gzip;q=0.5")]
        held.append(try open("br"))
        held.append(try open("br, gzip;q=0.5"))
        held.append(try open("br, gzip;q=0.5"))
        #expect(held.map(\.coding) == ["br", nil, "gzip", nil])
        // Content at once is compressed whatever is held.
        for coding in ["br", "zstd"] { #expect(try server.ask(.http11, "/page", ["-H", "accept-encoding: \(coding)"]).value("content-encoding") == coding) }
        #expect(try server.ask(.http11, "/big", ["-H", "accept-encoding: br"]).value("content-encoding") == nil)
        held.removeFirst()
        // The server sees the reset in its own time.
        while try server.ask(.http11, "/big", ["-H", "accept-encoding: br"]).value("content-encoding") == nil {}
        #expect(try Self.decode(server.ask(.http11, "/big", ["-H", "accept-encoding: br"])) == String(repeating: Self.page, count: 100))
        // What waits for the next stream of one coding makes room for another's.
        #expect(try Self.decode(server.ask(.http11, "/big", ["-H", "accept-encoding: zstd"])) == String(repeating: Self.page, count: 100))
        withExtendedLifetime(held) {}
    }

    /// An event arrives although the stream goes on.
    @Test(arguments: ["gzip", "br", "zstd"])
    func eventsArrive(_ coding: String) throws {
        var router = Router()
        router.use(.compression())
        router.get("/events") { _, response in
            response.headers["content-type"] = "text/event-stream"
            var count = 0
            response.stream { writer in
                count += 1
                writer.write("data: \(count)\n\n")
                return .wait(milliseconds: 3_600_000)
            }
        }
        let server = try CurlServer(router)
        let client = try RawClient(.ipv4(host: "127.0.0.1", port: UInt16(server.port)!))
        try client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(coding)\r\n\r\n")
        func read(to end: String) throws -> String {
            var received: [UInt8] = []
            while !received.reversed().starts(with: end.utf8.reversed()) { received += try client.readSome(1) }
            return String(decoding: received, as: UTF8.self)
        }
        #expect(try read(to: "\r\n\r\n").contains("content-encoding: \(coding)"))
        let size = try #require(Int(try read(to: "\r\n").dropLast(), radix: 16))
        // The event is in the first chunk, whole; that it can be decoded is the compressor's test.
        #expect(try client.readSome(size).count == size)
        // The client goes first: a server that stops waits for streams.
        client.resetOnClose()
        withExtendedLifetime(server) { withExtendedLifetime(client) {} }
    }
}
