// The normal form of paths that routes are compared with.

import Testing
@testable import UringGateway

@Suite struct RoutePathTests {
    /// nil: malformed.
    private func normalize(_ path: String) -> String? {
        let bytes = Array(path.utf8)
        if RoutePath.isNormal(bytes.span) { return path }
        var isGood = false
        let result = unsafe [UInt8](unsafeUninitializedCapacity: bytes.count) { memory, count in
            // The memory is the array's own during the closure.
            var out = unsafe OutputSpan(buffer: memory, initializedCount: 0)
            isGood = RoutePath.normalize(bytes.span, into: &out)
            count = unsafe out.finalize(for: memory)
        }
        return isGood ? String(decoding: result, as: UTF8.self) : nil
    }

    @Test(arguments: [
        ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/b", "/a/b"), ("/a.b/.c", "/a.b/.c"), ("*", "*"), ("", ""), ("/...", "/..."),
        ("//", "/"), ("//a", "/a"), ("/a//b", "/a/b"), ("/a///", "/a/"), ("/.", "/"), ("/./a", "/a"), ("/a/.", "/a/"), ("/a/./", "/a/"),
        ("/a/..", "/"), ("/a/../b", "/b"), ("/a/b/../..", "/"), ("/a/b/../../c/", "/c/"), ("/a/%2e%2E/b", "/b"), ("/%2e/a", "/a"), ("/a/.%2e", "/"),
        ("/%61dmin", "/admin"), ("/a%20b", "/a b"), ("/%C3%A4", "/ä"), ("/a%2fb", "/a%2Fb"), ("/a%2Fb", "/a%2Fb"), ("/100%25", "/100%25"),
        ("/%252e%252e/a", "/%252e%252e/a"), ("/a%252fb", "/a%252fb"), ("/.a", "/.a"), ("/..a", "/..a"), ("/a../b", "/a../b"),
    ])
    func normalForm(path: String, expected: String) throws {
        let normal = try #require(normalize(path))
        #expect(normal == expected)
        // Once is enough: whatever the form, its form is itself. (%25 and %2F stay as they are.)
        #expect(normalize(normal.replacing(" ", with: "%20")) == normal)
    }

    @Test(arguments: ["/..", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "/%", "/%2", "/%zz", "/%00", "/a%0ab", "/%7f", "/%1F", "/a/%2e%2e/%2e%2e"])
    func malformed(path: String) { #expect(normalize(path) == nil) }

    /// Random paths from the bytes that matter: never a trap, and the result is a normal form that stays one.
    @Test func randomPaths() {
        var random = PathSequence(state: 0x9E37_79B9_7F4A_7C15)
        let pieces = ["/", ".", "..", "%2e", "%2F", "%25", "%41", "a", "%", "//", "%5c"]
        for _ in 0..<20_000 {
            let path = "/" + (0..<Int.random(in: 0..<12, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            guard let normal = normalize(path) else { continue }
            #expect(normal.hasPrefix("/"), "\(path)")
            #expect(!normal.contains("//"), "\(path)")
            for part in normal.split(separator: "/") { #expect(part != "." && part != "..", "\(path)") }
            #expect(normal.utf8.count <= path.utf8.count, "\(path)")
            #expect(normalize(normal) == normal, "\(path)")
        }
    }
}

/// The same paths on every run: xorshift64*.
private struct PathSequence: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
