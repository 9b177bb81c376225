// `uringd files` over the wire: what is served, what is not, and what it says about it.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct UringdFilesTests {
    private static let css = "body { color: black }\n"

    private func serve(_ site: Site, _ options: String...) throws -> ServerProcess {
        try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--loops", "1"] + options)
    }

    private func smallSite() throws -> Site {
        let site = try Site()
        try site.write("index.html", "<h1>home</h1>\n")
        try site.write("a.css", Self.css)
        try site.write("empty.txt", "")
        try site.write("sub/index.html", "<h1>sub</h1>\n")
        try site.write("bare/file", "x")
        try site.write("with space.txt", "space")
        try site.write(".hidden", "secret")
        try site.write(".well-known/token", "token")
        try site.link("inside.css", to: "a.css")
        try site.link("sub/up.css", to: "../a.css")
        try site.link("outside.txt", to: "/etc/passwd")
        try site.link("outside", to: "/etc")
        try site.link("up.txt", to: "../../../etc/passwd")
        try site.link("circle", to: "circle")
        try site.makePipe("pipe")
        return site
    }

    @Test func pathsAndTheirAnswers() throws {
        let site = try smallSite()
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let cases: [(target: String, status: Int)] = [
            ("/", 200), ("/index.html", 200), ("/a.css", 200), ("//a.css", 200), ("/./a.css", 200), ("/sub/../a.css", 200), ("/%61.css", 200),
            ("/a.css?v=1", 200), ("/sub/", 200), ("/empty.txt", 200), ("/with%20space.txt", 200), ("/inside.css", 200), ("/sub/up.css", 200),
            ("/.well-known/token", 200), ("http://a/a.css", 200),
            ("/sub", 301), ("/bare", 301), ("/bare/", 404), ("/none", 404), ("/a.css/", 404), ("/a.css/x", 404),
            ("/.hidden", 404), ("/sub/%2ehidden", 404), ("/pipe", 404), ("/circle", 404),
            ("/outside.txt", 404), ("/outside/passwd", 404), ("/outside/", 404), ("/up.txt", 404),
            ("/../a.css", 400), ("/%2e%2e/etc/passwd", 400), ("/sub/%2E%2E/%2e%2e/etc/passwd", 400), ("/sub/..%2f..%2fetc/passwd", 404),
            ("/..%5c..%5cetc/passwd", 404), ("/%252e%252e/etc/passwd", 404), ("/a.css%00.txt", 400), ("/%zz", 400), ("/a%0d%0ab", 400),
        ]
        for (target, status) in cases {
            let response = try client.ask(get(target))
            #expect(response.status == status, "\(target)")
            #expect(!response.bodyText.contains("root:"), "\(target)")
        }
    }

    @Test func whatAFileIsSentWith() throws {
        let site = try smallSite()
        let server = try serve(site)
        let response = try ask(server, get("/a.css"))
        #expect(response.bodyText == Self.css)
        #expect(response.value("content-type") == "text/css; charset=utf-8")
        #expect(response.value("accept-ranges") == "bytes")
        #expect(response.values("etag").count == 1)
        #expect(response.values("last-modified").count == 1)
        #expect(response.values("content-length") == ["\(Self.css.utf8.count)"])
        let empty = try ask(server, get("/empty.txt"))
        #expect(empty.body.isEmpty && empty.value("content-length") == "0")
        #expect(try ask(server, get("/empty.txt", "Range: bytes=0-0")).status == 416)
    }

    @Test func directoriesRedirectToThemselves() throws {
        let site = try smallSite()
        let server = try serve(site)
        #expect(try ask(server, get("/sub?q=1%2f2")).value("location") == "/sub/?q=1%2f2")
        // The name comes from the tree, not from the request: another host cannot be named.
        #expect(try ask(server, get("//bare")).value("location") == "/bare/")
    }

    @Test func methods() throws {
        let site = try smallSite()
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let head = try client.ask("HEAD /a.css HTTP/1.1\r\nHost: a\r\n\r\n", toHead: true)
        #expect(head.value("content-length") == "\(Self.css.utf8.count)")
        // The connection is still where it should be.
        #expect(try client.ask(get("/a.css")).bodyText == Self.css)
        let options = try client.ask("OPTIONS /a.css HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(options.status == 204 && options.value("allow") == "GET, HEAD, OPTIONS")
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let response = try client.ask("\(method) /a.css HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(response.status == 405 && response.value("allow") == "GET, HEAD, OPTIONS", "\(method)")
        }
    }

    @Test func conditions() throws {
        let site = try smallSite()
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let plain = try client.ask(get("/a.css"))
        let tag = try #require(plain.value("etag"))
        let date = try #require(plain.value("last-modified"))
        let cases: [(fields: [String], status: Int)] = [
            (["If-None-Match: \(tag)"], 304), (["If-None-Match: \"x\", \(tag)"], 304), (["If-None-Match: *"], 304),
            (["If-None-Match: \"x\"", "If-None-Match: \(tag)"], 304), (["If-None-Match: \"x\""], 200),
            (["If-Modified-Since: \(date)"], 304), (["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 200),
            (["If-Modified-Since: never"], 200), (["If-None-Match: \"x\"", "If-Modified-Since: \(date)"], 200),
            (["If-Match: \(tag)"], 200), (["If-Match: \"x\""], 412), (["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 412),
        ]
        for (fields, status) in cases {
            let request = "GET /a.css HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
            let response = try client.ask(request)
            #expect(response.status == status, "\(fields)")
            if status == 304 {
                #expect(response.value("etag") == tag, "\(fields)")
                #expect(response.values("content-length").isEmpty && response.values("transfer-encoding").isEmpty, "\(fields)")
            }
        }
    }

    @Test func ranges() throws {
        let site = try smallSite()
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
        try site.write("data.bin", bytes)
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let cases: [(range: String, slice: Range<Int>)] = [
            ("bytes=0-0", 0..<1), ("bytes=0-99", 0..<100), ("bytes=99990-", 99_990..<100_000), ("bytes=-5", 99_995..<100_000),
            ("bytes=100-999999", 100..<100_000), ("bytes=10-19,20-29", 10..<30), ("bytes=-999999", 0..<100_000),
        ]
        for (range, slice) in cases {
            let response = try client.ask(get("/data.bin", "Range: \(range)"))
            #expect(response.status == 206, "\(range)")
            #expect(response.body == Array(bytes[slice]), "\(range)")
            #expect(response.value("content-range") == "bytes \(slice.lowerBound)-\(slice.upperBound - 1)/100000", "\(range)")
        }
        for ignored in ["bytes=5-1", "lines=0-1", "bytes=", "bytes=a-b"] {
            #expect(try client.ask(get("/data.bin", "Range: \(ignored)")).status == 200, "\(ignored)")
        }
        let beyond = try client.ask(get("/data.bin", "Range: bytes=100000-"))
        #expect(beyond.status == 416 && beyond.value("content-range") == "bytes */100000")
        let tag = try #require(beyond.value("etag"))
        #expect(try client.ask(get("/data.bin", "Range: bytes=0-1", "If-Range: \(tag)")).status == 206)
        #expect(try client.ask(get("/data.bin", "Range: bytes=0-1", "If-Range: \"old\"")).status == 200)
        // Two lines are no valid field.
        #expect(try client.ask(get("/data.bin", "Range: bytes=0-1", "Range: bytes=4-5")).status == 200)
    }

    @Test func severalRangesAreOneMultipartBody() throws {
        let site = try Site()
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 4) }
        try site.write("data.txt", bytes)
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        // The second is long enough for sendfile, between two pieces of text.
        let response = try client.ask(get("/data.txt", "Range: bytes=0-9,1000-150999,-3"))
        #expect(response.status == 206)
        let type = try #require(response.value("content-type"))
        let mark = "multipart/byteranges; boundary="
        try #require(type.hasPrefix(mark))
        let boundary = type.dropFirst(mark.count)
        var expected: [UInt8] = []
        for (index, slice) in [0..<10, 1000..<151_000, 199_997..<200_000].enumerated() {
            let head = "\(index == 0 ? "" : "\r\n")--\(boundary)\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + "Content-Range: bytes \(slice.lowerBound)-\(slice.upperBound - 1)/200000\r\n\r\n"
            expected += Array(head.utf8) + bytes[slice]
        }
        expected += Array("\r\n--\(boundary)--\r\n".utf8)
        #expect(response.body == expected)
        #expect(try client.ask(get("/data.txt", "Range: bytes=0-0")).body == [bytes[0]])
    }

    @Test func precompressedSiblings() throws {
        let site = try Site()
        try site.write("app.js", "plain")
        try site.write("app.js.br", "as br")
        try site.write("app.js.zst", "as zstd")
        try site.write("app.js.gz", "as gzip")
        try site.write("index.html", "index")
        try site.write("index.html.gz", "index as gzip")
        try site.write("lone.css", "lone")
        try site.write("photo.jpg", "jpeg")
        try site.write("photo.jpg.gz", "never")
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let cases: [(target: String, accepts: String?, body: String, coding: String?)] = [
            ("/app.js", nil, "plain", nil), ("/app.js", "gzip", "as gzip", "gzip"), ("/app.js", "gzip, deflate, br, zstd", "as br", "br"),
            ("/app.js", "br;q=0.5, zstd", "as zstd", "zstd"), ("/app.js", "gzip;q=0", "plain", nil), ("/app.js", "*", "as br", "br"),
            ("/app.js", "identity, gzip;q=0.5", "plain", nil), ("/", "gzip, br", "index as gzip", "gzip"),
            ("/lone.css", "gzip, br, zstd", "lone", nil), ("/photo.jpg", "gzip", "jpeg", nil),
        ]
        var tags: Set<String> = []
        for (target, accepts, body, coding) in cases {
            let response = try client.ask(accepts.map { get(target, "Accept-Encoding: \($0)") } ?? get(target))
            #expect(response.bodyText == body, "\(target) \(accepts ?? "")")
            #expect(response.value("content-encoding") == coding, "\(target) \(accepts ?? "")")
            #expect(response.tokens("vary") == (target == "/photo.jpg" ? [] : ["accept-encoding"]), "\(target) \(accepts ?? "")")
            if target == "/app.js" { tags.insert(response.value("etag") ?? "") }
        }
        // The type is the original's, and no two variants share a tag.
        #expect(tags.count == 4)
        #expect(try client.ask(get("/app.js", "Accept-Encoding: gzip")).value("content-type") == "text/javascript; charset=utf-8")
        #expect(try client.ask(get("/lone.css", "Accept-Encoding: identity;q=0")).status == 406)
        #expect(try Curl.get("http://\(server.endpoint)/lone.css", "--compressed") == "lone")
    }

    /// Every size around the limits at which the way of sending changes: written with the head, read, sendfile.
    @Test func sizesAreByteExact() throws {
        let site = try Site()
        let sizes = [1, 4095, 4096, 16_384, 65_535, 65_536, 65_537, 1_048_576, 5_000_003]
        let all = (0..<(sizes.max() ?? 0)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        for size in sizes { try site.write("f\(size)", all[..<size]) }
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        for size in sizes {
            let response = try client.ask(get("/f\(size)"))
            #expect(response.status == 200 && response.body.count == size)
            #expect(response.body.elementsEqual(all[..<size]), "\(size)")
        }
    }

    @Test func fileLargerThanMemory() throws {
        let site = try Site()
        let size = 5 << 30
        try site.writeSparse("sparse.bin", bytes: size)
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        let head = try client.ask("HEAD /sparse.bin HTTP/1.1\r\nHost: a\r\n\r\n", toHead: true)
        #expect(head.value("content-length") == "\(size)")
        let end = try client.ask(get("/sparse.bin", "Range: bytes=\(size - 100_000)-"))
        #expect(end.status == 206 && end.body == [UInt8](repeating: 0, count: 100_000))
        #expect(end.value("content-range") == "bytes \(size - 100_000)-\(size - 1)/\(size)")
        let far = try client.ask(get("/sparse.bin", "Range: bytes=4294967296-4294967305"))
        #expect(far.body.count == 10)
    }

    /// The announced length cannot be kept any more: only the end of the connection can say so.
    @Test func fileThatShrinksCutsTheConnection() throws {
        let site = try Site()
        try site.writeSparse("shrinking.bin", bytes: 1 << 30)
        let server = try serve(site)
        let client = try RawClient(server.endpoint)
        // Nothing is read: the server fills the socket and waits.
        try client.send(get("/shrinking.bin"))
        let other = try RawClient(server.endpoint)
        #expect(try other.ask(get("/shrinking.bin", "Range: bytes=0-0")).status == 206)
        try site.resize("shrinking.bin", to: 10)
        do {
            let received = try client.readToEnd()
            #expect(received.count < 1 << 30)
        } catch RawClientError.reset {
            // As good: the client knows that something is missing.
        }
        #expect(try other.ask(get("/shrinking.bin")).body.count == 10)
    }

    @Test func slowReadersDoNotHoldOthersUp() throws {
        let site = try Site()
        try site.writeSparse("large.bin", bytes: 256 << 20)
        try site.write("small.txt", "small")
        let server = try serve(site)
        var slow: [RawClient] = []
        for _ in 0..<20 {
            let client = try RawClient(server.endpoint)
            try client.send(get("/large.bin"))
            slow.append(client)
        }
        for _ in 0..<20 { #expect(try ask(server, get("/small.txt")).bodyText == "small") }
        withExtendedLifetime(slow) {}
    }

    @Test func curlFetches() throws {
        let site = try smallSite()
        let server = try serve(site)
        #expect(try Curl.get("http://\(server.endpoint)/a.css") == Self.css)
        #expect(try Curl.get("http://\(server.endpoint)/sub", "--location") == "<h1>sub</h1>\n")
        #expect(try Curl.get("http://\(server.endpoint)/a.css", "--range", "0-3") == "body")
        #expect(try Curl.run(["--fail", "http://\(server.endpoint)/none"]).exit == .code(22))
    }
}

/// The site that the README's first command serves.
@Suite(.timeLimit(.minutes(3))) struct ShippedSiteTests {
    private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/docs/site"

    @Test func everyFileIsServedAndCompressedOnesAgree() throws {
        let server = try ServerProcess(["files", Self.root, "--listen", "127.0.0.1:0"])
        let base = "http://\(server.endpoint)"
        for (path, type) in [("/", "text/html"), ("/guide/", "text/html"), ("/style.css", "text/css"), ("/ring.svg", "image/svg+xml")] {
            let response = try ask(server, get(path))
            #expect(response.status == 200, "\(path)")
            #expect(response.value("content-type")?.hasPrefix(type) == true, "\(path)")
        }
        let plain = try ask(server, get("/style.css")).bodyText
        for coding in ["gzip", "br"] {
            #expect(try ask(server, get("/style.css", "Accept-Encoding: \(coding)")).value("content-encoding") == coding)
            // A sibling that was forgotten after a change would differ. curl knows the codings that its build has.
            let (decoded, exit) = try Curl.run(["--compressed", "--header", "Accept-Encoding: \(coding)", base + "/style.css"])
            #expect(exit == .code(0) && decoded == plain, "\(coding)")
        }
    }
}
