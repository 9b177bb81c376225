// The Location of `/dir` → `/dir/`.
//
// Owns nothing; the text stands in the caller's storage. Built from the decoded, normalised path and never from the request's own
// bytes: echoing `//evil.example/..` would redirect to another host, and a stray control byte would end the field.

package enum DirectoryRedirect {
    /// Room that always suffices: every path byte as `%XX`, every query byte as `%XX`, the prefix, two slashes, one `?`.
    package static func locationBytesMax(prefixCount: Int, pathCount: Int, queryCount: Int) -> Int {
        prefixCount &+ 3 &* (pathCount &+ queryCount) &+ 3  // all three are bounded by the head limit, far from overflow
    }

    /// Appends `prefix/path/?query`.
    ///
    /// - Parameters:
    ///   - prefix: where the root is mounted, as the operator wrote it: empty, or `/name…` without trailing slash.
    ///   - path: what `PathNormalizer.normalize` resolved, without its NUL.
    ///   - query: the request's query without `?`, still encoded; nil when the target has no `?`.
    /// - Returns: false when it does not fit, with `out` as it was.
    package static func render(
        prefix: Span<UInt8>, path: Span<UInt8>, query: Span<UInt8>?, into out: inout OutputSpan<UInt8>
    ) -> Bool {
        let start = out.count
        if append(prefix: prefix, path: path, query: query, &out) { return true }
        out.removeLast(out.count &- start)
        return false
    }

    private static func append(
        prefix: Span<UInt8>, path: Span<UInt8>, query: Span<UInt8>?, _ out: inout OutputSpan<UInt8>
    ) -> Bool {
        guard out.freeCapacity > prefix.count else { return false }
        out.appendText(prefix)
        out.append(PathNormalizer.slash)
        let isRoot = path.count == 1 && path[0] == PathNormalizer.dot
        if !isRoot {
            guard encode(path, allowed: isPathByte, &out), out.freeCapacity > 0 else { return false }
            out.append(PathNormalizer.slash)
        }
        guard let query else { return true }
        guard out.freeCapacity > 0 else { return false }
        out.append(UInt8(ascii: "?"))
        return encode(query, allowed: isQueryByte, &out)
    }

    private static func encode(
        _ bytes: Span<UInt8>, allowed: (UInt8) -> Bool, _ out: inout OutputSpan<UInt8>
    ) -> Bool {
        for index in bytes.indices {
            let byte = bytes[index]
            if allowed(byte) {
                guard out.freeCapacity > 0 else { return false }
                out.append(byte)
            } else {
                guard out.freeCapacity > 2 else { return false }
                out.append(UInt8(ascii: "%"))
                out.append(HexDigit.uppercase(byte >> 4))
                out.append(HexDigit.uppercase(byte & 0xF))
            }
        }
        return true
    }

    /// pchar of RFC 3986 section 3.3 without `%`, which here is a byte of the decoded name, plus the slash between segments.
    private static func isPathByte(_ byte: UInt8) -> Bool {
        if FieldScanner.isDigit(byte) || lowercasedASCII(byte) &- 0x61 < 26 { return true }
        switch byte {
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"),
            UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "="),
            UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "/"):
            return true
        default:
            return false
        }
    }

    /// query of RFC 3986 section 3.4; it is still encoded, so `%` stays.
    private static func isQueryByte(_ byte: UInt8) -> Bool {
        isPathByte(byte) || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "%")
    }
}
