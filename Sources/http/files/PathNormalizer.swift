// From a request path to the name of a file under a root.
//
// Owns nothing: the result stands in the caller's storage, NUL-terminated for openat2(2). The kernel's RESOLVE_BENEATH is the second
// wall; this file is the first, and alone keeps every answer inside the root, symlinks apart.

/// Whether names that begin with a dot are served.
package enum HiddenFiles: Sendable, Equatable {
    /// 404, except below `/.well-known/` (RFC 8615), whose own entries must still not begin with a dot: `.git`, `.env` and `.htpasswd`
    /// under a web root are there by accident.
    case deny
    case allow
}

package enum PathOutcome: Sendable, Equatable {
    /// `count` bytes of relative path stand in the caller's storage, then one NUL that is not counted. The root itself is `.`.
    /// `isDirectory`: the request named a directory (it ends in `/`, `.` or `..`); a regular file found there is answered with 404.
    case resolved(count: Int, isDirectory: Bool)
    /// 400, 404 or 414; the storage is empty.
    case refused(HTTPStatus)
}

package enum PathNormalizer {
    /// Longest result with its NUL: the kernel refuses more (PATH_MAX, linux/limits.h), so no longer name can be a file.
    package static let resultBytesMax = 4096

    /// Decodes and normalises `path`: the request target's path, still percent-encoded, without query.
    ///
    /// - `%XX` is decoded exactly once (`%252e` is the name `%2e`); a malformed escape is 400.
    /// - NUL and other control bytes, raw or encoded, are 400, and so are raw space, `?`, `#` and `\`, which no valid path contains.
    /// - `%2F` and `%5C` are 404: legal to write, but the name they spell cannot exist here (`/`), or would be a separator to
    ///   some other system that reads the same URL (`\`).
    /// - Slashes are merged; `.` and `..`, however encoded, are resolved (RFC 3986 section 5.2.4), and a `..` above the root is 400:
    ///   no browser sends one, as it resolves them first.
    /// - A path that does not fit `storage` or `resultBytesMax`, at its end or on the way, is 414.
    ///
    /// - Parameter storage: empty; `resultBytesMax` bytes always suffice for what the kernel can open.
    package static func normalize(
        _ path: Span<UInt8>, hiddenFiles: HiddenFiles = .deny, into storage: inout OutputSpan<UInt8>
    ) -> PathOutcome {
        precondition(storage.isEmpty, "BUG: path storage must be empty")
        let outcome = resolve(path, hiddenFiles, &storage)
        if case .refused = outcome { storage.removeAll() }
        return outcome
    }

    private static func resolve(
        _ path: Span<UInt8>, _ hiddenFiles: HiddenFiles, _ out: inout OutputSpan<UInt8>
    ) -> PathOutcome {
        guard !path.isEmpty, path[0] == slash else { return .refused(.badRequest) }
        // Invariant: `out` is complete segments, each followed by a slash, then the segment in progress from `segmentStart` on. The
        // slash after the last one becomes the NUL, so capacity is checked once per byte and is exact.
        var segmentStart = 0
        var isDirectory = true
        var index = 1
        while index <= path.count {
            if index == path.count || path[index] == slash {
                switch endSegment(&out, start: segmentStart) {
                case .kept: isDirectory = false
                case .resolved: isDirectory = true
                case .aboveRoot: return .refused(.badRequest)
                }
                segmentStart = out.count
                index &+= 1
                continue
            }
            switch decode(path, at: &index) {
            case .byte(let byte):
                guard out.freeCapacity > 1, out.count < resultBytesMax &- 1 else { return .refused(.uriTooLong) }
                out.append(byte)
            case .refused(let status):
                return .refused(status)
            }
        }
        return finish(&out, isDirectory: isDirectory, hiddenFiles)
    }

    private enum SegmentEnd {
        case kept, resolved, aboveRoot
    }

    /// Resolves the segment in progress, which begins at `start` and runs to the end of `out`.
    private static func endSegment(_ out: inout OutputSpan<UInt8>, start: Int) -> SegmentEnd {
        let count = out.count &- start
        if count == 0 { return .resolved }  // a duplicate or trailing slash
        let isDots = out[start] == dot && out[out.count &- 1] == dot
        if isDots && count == 1 {
            out.removeLast(1)
            return .resolved
        }
        if isDots && count == 2 {
            out.removeLast(2)
            guard !out.isEmpty else { return .aboveRoot }
            out.removeLast(1)  // the slash behind the parent's name
            while !out.isEmpty && out[out.count &- 1] != slash { out.removeLast(1) }
            return .resolved
        }
        out.append(slash)  // room was left when the segment's last byte was appended
        return .kept
    }

    private static func finish(
        _ out: inout OutputSpan<UInt8>, isDirectory: Bool, _ hiddenFiles: HiddenFiles
    ) -> PathOutcome {
        if out.isEmpty {
            guard out.freeCapacity >= 2 else { return .refused(.uriTooLong) }
            out.append(dot)
        } else {
            if hiddenFiles == .deny && hasHiddenSegment(out.span) { return .refused(.notFound) }
            out.removeLast(1)
        }
        out.append(0)
        return .resolved(count: out.count &- 1, isDirectory: isDirectory)
    }

    private enum Decoded {
        case byte(UInt8)
        case refused(HTTPStatus)
    }

    /// The byte at `index`, decoded; moves `index` behind it. The caller has dealt with a raw slash.
    private static func decode(_ path: Span<UInt8>, at index: inout Int) -> Decoded {
        let raw = path[index]
        guard raw == UInt8(ascii: "%") else {
            index &+= 1
            switch raw {
            case 0...0x20, 0x7F, backslash, UInt8(ascii: "?"), UInt8(ascii: "#"): return .refused(.badRequest)
            default: return .byte(raw)  // bytes above 0x7F too: clients do send raw UTF-8, and a file name is bytes
            }
        }
        guard path.count &- index > 2,
            let high = hexDigitValue(path[index &+ 1]), let low = hexDigitValue(path[index &+ 2])
        else { return .refused(.badRequest) }
        index &+= 3
        let byte = high << 4 | low
        switch byte {
        case 0..<0x20, 0x7F: return .refused(.badRequest)
        case slash, backslash: return .refused(.notFound)
        default: return .byte(byte)
        }
    }

    /// `path` is complete segments, each followed by a slash.
    private static func hasHiddenSegment(_ path: Span<UInt8>) -> Bool {
        let wellKnown = (".well-known/" as StaticString).bytes
        var start = 0
        if path.count >= wellKnown.count {
            start = wellKnown.count
            for index in wellKnown.indices where path[index] != wellKnown[index] {
                start = 0
                break
            }
        }
        var isSegmentStart = true
        for index in start..<path.count {
            if isSegmentStart && path[index] == dot { return true }
            isSegmentStart = path[index] == slash
        }
        return false
    }

    static let slash = UInt8(ascii: "/")
    static let backslash = UInt8(ascii: "\\")
    static let dot = UInt8(ascii: ".")
}

// MARK: - Names beside and below the resolved one

extension PathNormalizer {
    /// Turns the directory in `storage` (as `normalize` left it, NUL included) into the name of its index file. `name` is the
    /// operator's: one segment. Returns the new count without NUL, or nil when it does not fit; `storage` is then unchanged.
    package static func appendIndex(_ name: Span<UInt8>, to storage: inout OutputSpan<UInt8>) -> Int? {
        let isRoot = storage.count == 2 && storage[0] == dot
        let kept = isRoot ? 0 : storage.count  // the NUL becomes the slash
        guard name.count < resultBytesMax, kept &+ name.count < resultBytesMax,
            kept &+ name.count &+ 1 &- storage.count <= storage.freeCapacity
        else { return nil }
        storage.removeLast(isRoot ? 2 : 1)
        if !isRoot { storage.append(slash) }
        storage.appendText(name)
        storage.append(0)
        return storage.count &- 1
    }

    /// Turns the file in `storage` into its precompressed sibling's name. Undo with `removeSuffix`. Nil when it does not fit.
    package static func appendSuffix(_ coding: ContentCoding, to storage: inout OutputSpan<UInt8>) -> Int? {
        let suffix = coding.fileSuffix.bytes
        guard suffix.count <= storage.freeCapacity, storage.count &+ suffix.count <= resultBytesMax else { return nil }
        storage.removeLast(1)
        storage.appendText(suffix)
        storage.append(0)
        return storage.count &- 1
    }

    /// Undoes `appendSuffix`. Returns the count without NUL.
    package static func removeSuffix(_ coding: ContentCoding, from storage: inout OutputSpan<UInt8>) -> Int {
        storage.removeLast(coding.fileSuffix.bytes.count &+ 1)
        storage.append(0)
        return storage.count &- 1
    }
}
