import Testing

@testable import UringHTTP

private func mediaType(_ path: String) -> MediaType { MediaType.forPath(path.utf8Span.span) }

private func type(_ path: String) -> String { text(mediaType(path).name) }

private func isAfter(_ key: String, _ other: StaticString) -> Bool {
    MediaTypeTable.compare(key.utf8Span.span, other.bytes) > 0
}

@Suite struct MediaTypeTests {
    @Test(arguments: [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.htm", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("app.min.css", "text/css; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("app.wasm", "application/wasm"),
        ("logo.svg", "image/svg+xml"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.JPEG", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("favicon.ico", "image/x-icon"),
        ("a.woff2", "font/woff2"),
        ("a.ttf", "font/ttf"),
        ("a.mp4", "video/mp4"),
        ("a.webm", "video/webm"),
        ("a.mp3", "audio/mpeg"),
        ("a.pdf", "application/pdf"),
        ("a.xml", "application/xml"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("README.md", "text/markdown; charset=utf-8"),
        ("site.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/gzip"),
        ("a.zip", "application/zip"),
        ("a.yml", "application/yaml"),
        ("INDEX.HTML", "text/html; charset=utf-8"),
        ("x.HtMl", "text/html; charset=utf-8"),
        ("a.7z", "application/x-7z-compressed"),
        ("a.3g2", "video/3gpp2"),
        ("a.zst", "application/zstd"),
    ])
    func known(path: String, expected: String) {
        #expect(type(path) == expected)
    }

    @Test(arguments: [
        "", "a", "html", ".html", "a/.html", "a.html/b", "a.", "a.html.", "a.unknown", "a.htmlx", "a.htm l", "a.ht", "a.zzzz", "a.0", "/", ".",
        "a.hţml", "a.html\u{0}", "a.{", "a.@",
    ])
    func unknown(path: String) {
        #expect(type(path) == "application/octet-stream")
    }

    @Test func tableIsSortedLowerCaseAndFindsItself() {
        let entries = MediaTypeTable.entries
        #expect(entries.count >= 100)
        for index in entries.indices {
            let key = text(entries[index].fileExtension)
            #expect(key == key.lowercased() && !key.contains("."))
            if index > 0 { #expect(isAfter(key, entries[index - 1].fileExtension), "\(key)") }
            for spelling in [key, key.uppercased()] {
                let found = MediaType.forExtension(spelling.utf8Span.span)
                #expect(text(found.name) == text(entries[index].name) && found.compressionGain == entries[index].compressionGain)
            }
        }
    }

    /// A field value: type "/" subtype, and nothing but the one parameter.
    @Test func namesAreFieldValues() {
        for index in MediaTypeTable.entries.indices {
            let name = text(MediaTypeTable.entries[index].name)
            let bare = name.hasSuffix("; charset=utf-8") ? String(name.dropLast(15)) : name
            let parts = bare.split(separator: "/", omittingEmptySubsequences: false)
            #expect(parts.count == 2 && parts.allSatisfy { !$0.isEmpty }, "\(name)")
            #expect(bare.utf8.allSatisfy { ByteSet.token.contains($0) || $0 == 0x2F }, "\(name)")
            #expect(!name.hasPrefix("text/") || name != bare || name == "text/cache-manifest", "\(name) has no charset")
        }
    }

    @Test func compression() {
        for path in ["a.html", "a.js", "a.css", "a.json", "a.svg", "a.wasm", "a.txt", "a.xml", "a.md", "a.ttf", "a.map"] {
            #expect(mediaType(path).compressionGain == .worthwhile, "\(path)")
        }
        for path in ["a.png", "a.jpg", "a.webp", "a.woff2", "a.mp4", "a.zip", "a.gz", "a.br", "a.zst", "a.pdf"] {
            #expect(!mediaType(path).mayHaveSiblings, "\(path)")
        }
        #expect(MediaType.octetStream.compressionGain == .unknown && MediaType.octetStream.mayHaveSiblings)
    }

    @Test func randomNamesNeverTrap() {
        var random = FileTestRandom(state: 61)
        for _ in 0..<20_000 {
            let path = random.text(from: [".", "/", "html", "H", "t", "ml", "\u{ff}", "gz", "webmanifest"], piecesMax: 8)
            let found = MediaType.forPath(path.span)
            let name = path.split(separator: 0x2F, omittingEmptySubsequences: false).last ?? []
            if !name.dropFirst().contains(0x2E) { #expect(text(found.name) == "application/octet-stream") }
        }
    }
}
