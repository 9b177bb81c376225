// The entity-tag of a file, and comparison with what a client sends (RFC 9110 section 8.8.3).
//
// Owns its bytes inline; made per request from fstat, thrown away with it.

/// `"SECONDS.NANOSECONDS-SIZE[-CODING]"` in hexadecimal, quotes included, `W/` before it when weak.
///
/// Made from modification time and size: what a replica that got the file by rsync, tar or an image layer shares with its
/// siblings. The inode is left out because it differs between replicas, and every request that the balancer sends elsewhere would
/// miss (Apache dropped it from its default for that reason). Nanoseconds are in: two writes within one second that leave the
/// size alone must not share a strong tag. What remains indistinct is two such writes within one tick of the kernel's file clock.
package struct EntityTag: Sendable {
    /// `W/` 2, quotes 2, seconds 16, `.` 1, nanoseconds 8, `-` 1, size 16, coding suffix 4.
    package static let bytesMax = 50

    private var storage = [50 of UInt8](repeating: 0)
    private var count = 0
    package let isWeak: Bool

    /// - Parameters:
    ///   - stat: of the file that is sent, so for a precompressed sibling the sibling's.
    ///   - coding: the variant's content coding; two variants of one resource must not share a tag (RFC 9110 section 8.8.3.3).
    ///   - isWeak: for bytes made on the fly: another compressor version gives other bytes for the same file.
    package init(stat: FileStat, coding: ContentCoding? = nil, isWeak: Bool = false) {
        self.isWeak = isWeak
        if isWeak {
            push(UInt8(ascii: "W"))
            push(UInt8(ascii: "/"))
        }
        push(UInt8(ascii: "\""))
        pushHexadecimal(UInt64(bitPattern: stat.mtimeSeconds))
        push(UInt8(ascii: "."))
        pushHexadecimal(UInt64(stat.mtimeNanoseconds))
        push(UInt8(ascii: "-"))
        pushHexadecimal(stat.size)
        if let coding {
            let suffix = coding.entityTagSuffix.bytes
            for index in suffix.indices { push(suffix[index]) }
        }
        push(UInt8(ascii: "\""))
    }

    /// The field value. Valid as long as this value.
    package var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        get { storage.span.extracting(0..<count) }
    }

    /// The opaque-tag, quotes included, without `W/`.
    var opaque: Span<UInt8> {
        @_lifetime(borrow self)
        get { storage.span.extracting((isWeak ? 2 : 0)..<count) }
    }

    private mutating func push(_ byte: UInt8) {
        storage[count] = byte
        count &+= 1
    }

    private mutating func pushHexadecimal(_ value: UInt64) {
        var shift = (ByteWriting.hexLength(value) &- 1) &* 4
        while shift >= 0 {
            push(HexDigit.lowercase(UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 0xF))
            shift &-= 4
        }
    }
}

/// How two entity-tags are compared (RFC 9110 section 8.8.3.2).
package enum EntityTagComparison: Sendable {
    /// Equal, and both strong: If-Match, If-Range.
    case strong
    /// Equal opaque-tags, weak or not: If-None-Match.
    case weak
}

package enum EntityTagList {
    /// Whether `value`, the field value of If-Match or If-None-Match, names `current`. `*` matches any current representation, with
    /// or without a tag.
    ///
    /// Several field lines are joined with commas first. A malformed element ends the list: what follows a stray quote cannot be told
    /// apart, and not matching is the safe side for both fields (the whole file, or 412).
    package static func matches(_ value: Span<UInt8>, _ current: EntityTag?, _ comparison: EntityTagComparison) -> Bool {
        if isWildcard(value) { return true }
        guard let current else { return false }
        var scanner = FieldScanner(value)
        _ = scanner.skipListSeparators()
        while !scanner.isAtEnd {
            guard let tag = parse(&scanner) else { return false }
            if equals(scanner, tag, current, comparison) { return true }
            guard scanner.skipListSeparators() else { return false }
        }
        return false
    }

    /// Whether `value`, the field value of If-Range, is one entity-tag; nil when it is not one (then it is a date, or malformed).
    package static func matchesSingle(_ value: Span<UInt8>, _ current: EntityTag?) -> Bool? {
        var scanner = FieldScanner(value)
        scanner.skipWhitespace()
        guard let tag = parse(&scanner) else { return nil }
        let matches = current.map { equals(scanner, tag, $0, .strong) } ?? false
        scanner.skipWhitespace()
        return scanner.isAtEnd ? matches : nil
    }

    private struct Tag {
        var isWeak: Bool
        /// Positions of the opaque-tag, quotes included.
        var opaque: Range<Int>
    }

    /// `[ %s"W/" ] DQUOTE *etagc DQUOTE`; etagc is any byte above space except the quote and DEL, a comma included.
    private static func parse(_ scanner: inout FieldScanner) -> Tag? {
        let isWeak = scanner.accept(UInt8(ascii: "W"))
        if isWeak && !scanner.accept(UInt8(ascii: "/")) { return nil }
        let start = scanner.position
        guard scanner.accept(UInt8(ascii: "\"")) else { return nil }
        while let byte = scanner.peek(), byte > 0x20, byte != 0x7F {
            scanner.advance()
            if byte == UInt8(ascii: "\"") { return Tag(isWeak: isWeak, opaque: start..<scanner.position) }
        }
        return nil
    }

    private static func equals(
        _ scanner: FieldScanner, _ tag: Tag, _ current: EntityTag, _ comparison: EntityTagComparison
    ) -> Bool {
        if comparison == .strong && (tag.isWeak || current.isWeak) { return false }
        let opaque = current.opaque
        guard tag.opaque.count == opaque.count else { return false }
        for offset in opaque.indices where scanner.byte(at: tag.opaque.lowerBound &+ offset) != opaque[offset] {
            return false
        }
        return true
    }

    private static func isWildcard(_ value: Span<UInt8>) -> Bool {
        var scanner = FieldScanner(value)
        scanner.skipWhitespace()
        guard scanner.accept(UInt8(ascii: "*")) else { return false }
        scanner.skipWhitespace()
        return scanner.isAtEnd
    }
}
