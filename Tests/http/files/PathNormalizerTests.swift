import Testing

@testable import UringHTTP

@Suite struct PathNormalizerTests {
    @Test(arguments: [
        ("/", ".", true),
        ("//", ".", true),
        ("///", ".", true),
        ("/.", ".", true),
        ("/./", ".", true),
        ("/%2e", ".", true),
        ("/%2E/", ".", true),
        ("/a/..", ".", true),
        ("/a/../", ".", true),
        ("/a/b/../..", ".", true),
        ("/a", "a", false),
        ("/a/", "a", true),
        ("/a//", "a", true),
        ("/a/.", "a", true),
        ("/a/b", "a/b", false),
        ("/a//b", "a/b", false),
        ("//a///b", "a/b", false),
        ("/a/./b", "a/b", false),
        ("/a/../b", "b", false),
        ("/a/b/..", "a", true),
        ("/a/b/../c", "a/c", false),
        ("/a/b/%2e%2e/c", "a/c", false),
        ("/a/b/.%2e/c", "a/c", false),
        ("/a/b/%2E./c", "a/c", false),
        ("/a//../b", "b", false),
        ("/a/b/c/../../d", "a/d", false),
        ("/aa/bb/../cc/../dd/ee/", "aa/dd/ee", true),
        ("/index.html", "index.html", false),
        ("/a..b", "a..b", false),
        ("/a../b", "a../b", false),
        ("/a./b.", "a./b.", false),
        ("/hello%20world", "hello world", false),
        ("/%68%65llo", "hello", false),
        ("/%41%5a%7A", "AZz", false),
        ("/%C3%A4", "ä", false),
        ("/ä", "ä", false),
        ("/100%25", "100%", false),
        ("/what%3F%23", "what?#", false),
        ("/c:/x", "c:/x", false),
        ("/a;v=1", "a;v=1", false),
        ("/~user/*", "~user/*", false),
        // Decoded exactly once: what is left is a name, and names are opened beneath the root as they are.
        ("/%252e%252e/a", "%2e%2e/a", false),
        ("/%25%32%65", "%2e", false),
        ("/%252fa", "%2fa", false),
    ])
    func resolves(path: String, expected: String, isDirectory: Bool) {
        let result = normalize(path)
        #expect(result.outcome == .resolved(count: expected.utf8.count, isDirectory: isDirectory))
        #expect(result.text == expected)
        #expect(result.isTerminated)
    }

    @Test(arguments: [
        "", "a", "a/b", "*", "http://x/", "?", "\\", " /a",
        // Escapes above the root
        "/..", "/../", "/../a", "/a/../..", "/a/../../b", "/./..", "//..", "/%2e%2e", "/%2e%2e/", "/.%2e/x", "/%2E.", "/a/%2e%2e/%2e%2e",
        // Malformed escapes
        "/%", "/%2", "/%2/", "/a%", "/a%4", "/%zz", "/%2g", "/%g2", "/%-1", "/% 2", "/%u002e", "/%%32%65", "/a%c",
        // NUL, control bytes, bytes that no path holds
        "/%00", "/a%00.html", "/a/%00/..", "/%01", "/%0a", "/%0D%0A", "/%1f", "/%7f", "/%7F",
        "/a\u{0}", "/a\n", "/a\r\n", "/a\tb", "/\u{7f}", "/a b", "/a?b", "/a#b",
        // Backslash, raw
        "/\\", "/..\\..\\windows", "/a\\b", "/\\..\\",
    ])
    func refusesAsBadRequest(path: String) {
        let result = normalize(path)
        #expect(result.outcome == .refused(.badRequest), "\(path.debugDescription)")
        #expect(result.bytes.isEmpty)
    }

    @Test(arguments: [
        // Encoded separators
        "/%2f", "/a%2Fb", "/..%2f..%2fetc/passwd", "/%2e%2e%2f", "/%5c", "/a%5Cb", "/..%5c..%5cwindows",
        // Hidden names
        "/.git", "/.git/config", "/.env", "/a/.htpasswd", "/a/.svn/", "/%2egit/config", "/...", "/.../a", "/.a/..b", "/..a",
        "/.well-known/.secret", "/.well-known/a/.git", "/a/.well-known/x", "/.well-knownx/a", "/.well-known2", "/.well-know",
        "/.WELL-KNOWN/x",
    ])
    func refusesAsNotFound(path: String) {
        #expect(normalize(path).outcome == .refused(.notFound), "\(path)")
    }

    @Test(arguments: [
        ("/.well-known/acme-challenge/token", ".well-known/acme-challenge/token"),
        ("/.well-known", ".well-known"),
        ("/.well-known/", ".well-known"),
        ("/%2ewell-known/security.txt", ".well-known/security.txt"),
        // What is resolved away is not served.
        ("/.git/../a", "a"),
        ("/a/../.well-known/x", ".well-known/x"),
    ])
    func servesWellKnown(path: String, expected: String) {
        #expect(normalize(path).text == expected)
    }

    @Test func hiddenFilesCanBeAllowed() {
        #expect(normalize("/.git/config", hiddenFiles: .allow).text == ".git/config")
        #expect(normalize("/...", hiddenFiles: .allow).text == "...")
        #expect(normalize("/..", hiddenFiles: .allow).outcome == .refused(.badRequest))
    }

    /// Escapes as the OWASP testing guide and scanners list them. Overlong UTF-8 and double encodings stay opaque names.
    @Test(arguments: [
        "/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/..%252f..%252fetc/passwd", "/%252e%252e%252fetc", "/%c0%ae%c0%ae/etc/passwd", "/..%c0%af..%c0%afetc/passwd",
        "/%c0%ae%c0%ae%c0%af", "/..%c1%9c..%c1%9cwinnt", "/..%ef%bc%8f..%ef%bc%8fetc", "/%uff0e%uff0e/", "/..%u2215..%u2215etc",
        "/....//....//etc/passwd", "/..././..././etc/passwd", "/....\\/....\\/etc", "/..;/..;/manager", "/..%00/", "/..%0d/",
        "/..%5c..%5cetc", "/.%00./", "/static/../../../../etc/passwd", "/static/..%2f..%2f", "//etc/passwd", "///etc//passwd",
        "/%2fetc/passwd", "/./././../etc/passwd", "/a/./../../b", "/%e0%80%ae%e0%80%ae/", "/%f0%80%80%ae/", "/..%09/",
        "/file:///etc/passwd", "/proc/self/root/../..", "/a/b/../../../c", "/.%2e/.%2e/etc", "/%2%65%2%65/", "/..%2", "/.. /",
        "/..%20/..%20/x", "/../%2e%2e/..", "/a%2f..%2f..%2fb",
    ], [HiddenFiles.deny, .allow])
    func escapesNeverLeaveTheRoot(path: String, hiddenFiles: HiddenFiles) {
        expectContained(normalize(Array(path.utf8), hiddenFiles: hiddenFiles), hiddenFiles)
    }

    @Test func mergedLeadingSlashesAreRelative() {
        #expect(normalize("//etc/passwd").text == "etc/passwd")
    }

    @Test func everySingleByteIsClassified() {
        for byte in UInt8.min...UInt8.max {
            let raw = normalize([0x2F, byte])
            let hex = [HexDigit.uppercase(byte >> 4), HexDigit.lowercase(byte & 15)]
            let encoded = normalize([0x2F, 0x25] + hex)
            expectContained(raw, .deny)
            expectContained(encoded, .deny)
            switch byte {
            case 0..<0x20, 0x7F:
                #expect(raw.outcome == .refused(.badRequest))
                #expect(encoded.outcome == .refused(.badRequest))
            case 0x5C:
                #expect(raw.outcome == .refused(.badRequest))
                #expect(encoded.outcome == .refused(.notFound))
            case 0x2F:
                #expect(raw.text == ".")
                #expect(encoded.outcome == .refused(.notFound))
            case 0x20, 0x3F, 0x23, 0x25:
                #expect(raw.outcome == .refused(.badRequest))
                #expect(encoded.bytes == [byte])
            default:
                #expect(raw.bytes == [byte])
                #expect(encoded.bytes == [byte])
            }
        }
    }

    @Test func lengthLimitIsPathMax() {
        let longest = [0x2F] + [UInt8](repeating: 0x61, count: PathNormalizer.resultBytesMax - 1)
        #expect(normalize(longest).outcome == .resolved(count: 4095, isDirectory: false))
        #expect(normalize(longest).isTerminated)
        #expect(normalize(longest + [0x2F]).outcome == .resolved(count: 4095, isDirectory: true))
        #expect(normalize(longest + [0x61]).outcome == .refused(.uriTooLong))
        #expect(normalize(longest + [0x61], capacity: 10_000).outcome == .refused(.uriTooLong))
        // The limit holds on the way, too: storage is all there is to resolve in.
        #expect(normalize(longest + Array("/..".utf8)).outcome == .refused(.uriTooLong))
        #expect(normalize(Array(repeating: Array("/a/..".utf8), count: 2000).flatMap { $0 }).text == ".")
    }

    /// Storage of every size: the same result when it fits, 414 when it does not, nothing in between.
    @Test(arguments: ["/", "/a", "/ab/cd/../ef/", "/a/b/c", "/%41%42/%2e%2e/xyz", "/a/.."])
    func storageOfEverySize(path: String) {
        let whole = normalize(path)
        for capacity in 0..<32 {
            let result = normalize(Array(path.utf8), capacity: capacity)
            if case .resolved = result.outcome {
                #expect(result == whole)
                #expect(capacity > whole.bytes.count)
            } else {
                #expect(result.outcome == .refused(.uriTooLong))
                #expect(result.bytes.isEmpty)
            }
            // Room for the longest name on the way is room enough.
            if capacity > path.utf8.count { #expect(result == whole) }
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func randomPathsStayInside(seed: UInt64) {
        var random = FileTestRandom(state: seed)
        let alphabet = [
            "/", "/", "/", ".", ".", "..", "/../", "/./", "%2e", "%2E", "%2f", "%5c", "%00", "%25", "%", "a", "bc", "\\", "%c0%ae", "//",
            ".well-known", ".git", "%41", "?", " ",
        ]
        var resolved = 0
        for _ in 0..<20_000 {
            let path = (random.below(10) == 0 ? [] : [0x2F]) + random.text(from: alphabet, piecesMax: 12)
            let policy: HiddenFiles = random.below(2) == 0 ? .deny : .allow
            let result = normalize(path, hiddenFiles: policy, capacity: random.below(4) == 0 ? random.below(24) : 4096)
            expectContained(result, policy)
            if case .resolved = result.outcome {
                resolved += 1
                // Normalising what came out changes nothing, unless it holds bytes that a request must encode.
                if !result.bytes.contains(where: { [0x25, 0x20, 0x3F, 0x23].contains($0) }) {
                    let again = normalize([0x2F] + result.bytes, hiddenFiles: policy)
                    #expect(again.bytes == result.bytes, "seed \(seed) \(path)")
                }
            }
        }
        #expect(resolved > 1000)
    }

    /// The properties every resolved path has.
    private func expectContained(_ result: NormalizedText, _ policy: HiddenFiles) {
        guard case .resolved = result.outcome else {
            #expect(result.bytes.isEmpty)
            return
        }
        let segments = result.bytes.split(separator: 0x2F, omittingEmptySubsequences: false)
        let isRoot = result.bytes == [0x2E]
        let isRight =
            result.isTerminated && !result.bytes.isEmpty && result.bytes.first != 0x2F && result.bytes.last != 0x2F
            && !result.bytes.contains(0) && !result.bytes.contains(0x5C) && !result.bytes.contains { $0 < 0x20 || $0 == 0x7F }
            && result.bytes.count < PathNormalizer.resultBytesMax
            && (isRoot || segments.allSatisfy { !$0.isEmpty && $0 != [0x2E] && $0 != [0x2E, 0x2E] })
            && (isRoot || policy == .allow
                || segments.enumerated().allSatisfy { index, segment in
                    segment.first != 0x2E || index == 0 && Array(segment) == Array(".well-known".utf8)
                })
        #expect(isRight, "\(result)")
    }
}

@Suite struct PathSuffixTests {
    private func extended(_ path: String, capacity: Int = 4096, _ body: (inout OutputSpan<UInt8>) -> Int?) -> String? {
        var count: Int?
        let bytes = [UInt8](capacity: capacity) { out in
            guard case .resolved = PathNormalizer.normalize(path.utf8Span.span, into: &out) else { return }
            count = body(&out)
        }
        guard let count else { return nil }
        #expect(bytes.count == count + 1 && bytes[count] == 0)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    @Test func indexFile() {
        let name = Array("index.html".utf8)
        #expect(extended("/") { PathNormalizer.appendIndex(name.span, to: &$0) } == "index.html")
        #expect(extended("/a/b/") { PathNormalizer.appendIndex(name.span, to: &$0) } == "a/b/index.html")
        #expect(extended("/a/", capacity: 13) { PathNormalizer.appendIndex(name.span, to: &$0) } == "a/index.html")
        #expect(extended("/a/", capacity: 12) { PathNormalizer.appendIndex(name.span, to: &$0) } == nil)
        #expect(extended("/", capacity: 11) { PathNormalizer.appendIndex(name.span, to: &$0) } == "index.html")
        #expect(extended("/", capacity: 10) { PathNormalizer.appendIndex(name.span, to: &$0) } == nil)
        let long = "/" + String(repeating: "a", count: 4090) + "/"
        #expect(extended(long, capacity: 9000) { PathNormalizer.appendIndex(name.span, to: &$0) } == nil)
    }

    @Test func siblings() {
        #expect(extended("/app.js") { PathNormalizer.appendSuffix(.brotli, to: &$0) } == "app.js.br")
        #expect(extended("/app.js") { PathNormalizer.appendSuffix(.zstd, to: &$0) } == "app.js.zst")
        #expect(extended("/app.js", capacity: 10) { PathNormalizer.appendSuffix(.gzip, to: &$0) } == "app.js.gz")
        #expect(extended("/app.js", capacity: 9) { PathNormalizer.appendSuffix(.gzip, to: &$0) } == nil)
        #expect(
            extended("/app.js") {
                _ = PathNormalizer.appendSuffix(.zstd, to: &$0)
                return PathNormalizer.removeSuffix(.zstd, from: &$0)
            } == "app.js")
    }
}

@Suite struct DirectoryRedirectTests {
    private func location(_ path: String, prefix: String = "", query: String? = nil, capacity: Int = 4096) -> String? {
        let normal = normalize(path, hiddenFiles: .allow).bytes
        return rendered(capacity: capacity) { out in
            if let query {
                return DirectoryRedirect.render(
                    prefix: prefix.utf8Span.span, path: normal.span, query: query.utf8Span.span, into: &out)
            }
            return DirectoryRedirect.render(prefix: prefix.utf8Span.span, path: normal.span, query: nil, into: &out)
        }
    }

    @Test func keepsQueryAndEncodes() {
        #expect(location("/dir") == "/dir/")
        #expect(location("/dir", query: "a=1&b=%20") == "/dir/?a=1&b=%20")
        #expect(location("/dir", query: "") == "/dir/?")
        #expect(location("/a/b", prefix: "/static", query: "x") == "/static/a/b/?x")
        #expect(location("/a%20b/%C3%A4%25%3F") == "/a%20b/%C3%A4%25%3F/")
        #expect(location("/") == "/")
        #expect(location("/", prefix: "/static") == "/static/")
    }

    @Test func neverLeavesTheHostOrTheField() {
        #expect(location("//evil.example/x") == "/evil.example/x/")
        #expect(location("///evil.example") == "/evil.example/")
        #expect(location("/a", query: "\r\nSet-Cookie: x") == "/a/?%0D%0ASet-Cookie:%20x")
        #expect(location("/a", query: "<\"\u{0}\\ü#") == "/a/?%3C%22%00%5C%C3%BC%23")
    }

    @Test func storageOfEverySize() {
        let whole = "/p/a%20b/?q=%0A"
        for capacity in 0..<24 {
            let text = location("/a%20b", prefix: "/p", query: "q=\n", capacity: capacity)
            #expect(text == (capacity >= whole.utf8.count ? whole : nil))
        }
        #expect(whole.utf8.count <= DirectoryRedirect.locationBytesMax(prefixCount: 2, pathCount: 3, queryCount: 3))
    }

    @Test func randomLocationsAreSafe() {
        var random = FileTestRandom(state: 7)
        let noPrefix: [UInt8] = []
        let alphabet = ["/", "//", "evil.example", "%0a", ":", "@", "%", "a", "\\", "\r\n", "?", "%C3", ".", ".."]
        for _ in 0..<20_000 {
            let path = normalize([0x2F] + random.text(from: alphabet, piecesMax: 8), hiddenFiles: .allow)
            guard case .resolved(let count, _) = path.outcome else { continue }
            let query = random.text(from: alphabet, piecesMax: 6)
            let bound = DirectoryRedirect.locationBytesMax(prefixCount: 0, pathCount: count, queryCount: query.count)
            let text = rendered(capacity: bound) { out in
                DirectoryRedirect.render(prefix: noPrefix.span, path: path.bytes.span, query: query.span, into: &out)
            }
            let bytes = Array((text ?? "").utf8)
            #expect(bytes.first == 0x2F && bytes.dropFirst().first != 0x2F && bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x5C })
        }
    }
}
