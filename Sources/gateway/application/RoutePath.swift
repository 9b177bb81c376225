// The path that routes are compared with: what the request spells, in its one normal form. Owns nothing; the loop's thread.
//
// Comparing the raw target would let `/a/../admin`, `/%61dmin` or `//admin` walk around a route for `/admin` and reach the file or upstream
// behind a later route all the same.

internal import UringServer

package enum RoutePath {
    /// Whether a path is in its normal form already: the usual case. A path that does not begin with a slash (`*`, the empty path of
    /// CONNECT) has no other form.
    package static func isNormal(_ path: Span<UInt8>) -> Bool {
        guard !path.isEmpty, path[0] == slash else { return true }
        var previous = slash
        for index in 1..<path.count {
            let byte = path[index]
            if byte == percent || (previous == slash && (byte == slash || byte == dot)) { return false }
            previous = byte
        }
        return true
    }

    /// Writes the normal form of `path`, which begins with a slash.
    ///
    /// - `%XX` is decoded once, except `%2F` and `%25`, which stay as they are (in capitals): decoded, the first would be a
    ///   separator and the second could begin an escape that nobody sent.
    /// - Slashes are merged; `.` and `..`, however encoded, are resolved (RFC 3986 section 5.2.4).
    ///
    /// - Parameter storage: empty, with room for as many bytes as `path` has.
    /// - Returns: false for a malformed escape, a control byte, or more `..` than there are segments: 400.
    package static func normalize(_ path: Span<UInt8>, into storage: inout OutputSpan<UInt8>) -> Bool {
        precondition(storage.isEmpty && storage.freeCapacity >= path.count && !path.isEmpty && path[0] == slash, "BUG: no room for the path")
        storage.append(slash)
        var segmentStart = 1
        var index = 1
        while index < path.count {
            let byte = path[index]
            if byte == slash {
                guard endSegment(&storage, &segmentStart, isLast: false) else { return false }
                index &+= 1
            } else if byte == percent {
                guard appendEscape(path, &index, &storage) else { return false }
            } else {
                storage.append(byte)
                index &+= 1
            }
        }
        return endSegment(&storage, &segmentStart, isLast: true)
    }

    /// The normal form of `path`; nil when it has none. Allocates: off the fast path.
    package static func normalized(_ path: Span<UInt8>) -> [UInt8]? {
        guard !path.isEmpty, path[0] == slash else { return nil }
        var isWhole = false
        let bytes = [UInt8](capacity: path.count) { isWhole = normalize(path, into: &$0) }
        return isWhole ? bytes : nil
    }

    /// A path as routes see it, as it stands in a request line.
    static func target(_ path: ByteView) -> [UInt8] { isNormal(path.span) ? [UInt8](path) : encoded(normalized(path.span) ?? [slash]) }

    /// A normal form as it stands in a request line: what is no path character (RFC 3986 section 3.3) is escaped. `%` is the beginning of an escape already.
    package static func encoded(_ path: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(path.count + 8)
        for byte in path {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): bytes.append(byte)
            case _ where "-._~!$&'()*+,;=:@/%".utf8.contains(byte): bytes.append(byte)
            default: bytes += [percent, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
            }
        }
        return bytes
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    /// Decodes the escape at `index` and moves behind it; false when it is malformed or hides a control byte.
    private static func appendEscape(_ path: Span<UInt8>, _ index: inout Int, _ out: inout OutputSpan<UInt8>) -> Bool {
        guard path.count &- index > 2, let high = hexDigit(path[index &+ 1]), let low = hexDigit(path[index &+ 2]) else { return false }
        index &+= 3
        let byte = high << 4 | low
        guard byte >= 0x20, byte != 0x7F else { return false }
        switch byte {
        case slash: append("%2F", &out)
        case percent: append("%25", &out)
        default: out.append(byte)
        }
        return true
    }

    /// The segment in progress runs from `start` to the end of `out`, behind a slash. False when `..` leads above the root.
    private static func endSegment(_ out: inout OutputSpan<UInt8>, _ start: inout Int, isLast: Bool) -> Bool {
        let count = out.count &- start
        if count == 0 { return true }
        let isDot = count == 1 && out[start] == dot
        let isDots = count == 2 && out[start] == dot && out[start &+ 1] == dot
        if isDot || isDots {
            out.removeLast(count)
            if isDots {
                guard out.count > 1 else { return false }
                repeat { out.removeLast(1) } while out[out.count &- 1] != slash
            }
        } else if !isLast {
            out.append(slash)
        }
        start = out.count
        return true
    }

    private static func append(_ text: StaticString, _ out: inout OutputSpan<UInt8>) {
        // A literal is immortal.
        for index in 0..<text.utf8CodeUnitCount { out.append(unsafe text.utf8Start[index]) }
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- 0x57
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- 0x37
        default: nil
        }
    }

    private static let slash = UInt8(ascii: "/")
    private static let dot = UInt8(ascii: ".")
    private static let percent = UInt8(ascii: "%")
}
