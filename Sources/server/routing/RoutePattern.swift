// RoutePattern: the pattern of a route, taken apart. Plain values, used while a router is built.

/// One segment of a parsed pattern.
enum RouteSegment: Equatable {
    /// Percent-decoded bytes; may be empty.
    case text([UInt8])
    case parameter(String)
    /// The last segment only; nil when its value has no name.
    case wildcard(String?)
}

enum RoutePatternParser {
    /// A trie is searched to the depth of its longest pattern, by recursion: this bounds the stack, far beyond any real path.
    static let segmentsMax = 64

    struct Problem: Error {
        let text: String
    }

    static func parse(_ pattern: String) throws(Problem) -> [RouteSegment] {
        let bytes = Array(pattern.utf8)
        guard bytes.first == UInt8(ascii: "/") else { throw Problem(text: "a pattern begins with a slash") }
        let parts = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count <= segmentsMax else { throw Problem(text: "a pattern has at most \(segmentsMax) segments") }
        var segments: [RouteSegment] = []
        var names: Set<String> = []
        for (index, part) in parts.enumerated() {
            let segment = try segment(Array(part), isLast: index == parts.count - 1)
            segments.append(segment)
            guard let name = segment.name else { continue }
            guard names.insert(name).inserted else { throw Problem(text: "the parameter {\(name)} occurs twice") }
        }
        let parametersMax = unsafe PathCaptures.max
        guard names.count <= parametersMax else { throw Problem(text: "a pattern has at most \(parametersMax) parameters") }
        return segments
    }

    private static func segment(_ bytes: [UInt8], isLast: Bool) throws(Problem) -> RouteSegment {
        let text = String(decoding: bytes, as: UTF8.self)
        if text == "*" {
            guard isLast else { throw Problem(text: "a wildcard stands at the end of a pattern") }
            return .wildcard(nil)
        }
        if bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}") {
            let isWildcard = text.hasSuffix("*}")
            let name = String(text.dropFirst().dropLast(isWildcard ? 2 : 1))
            guard isName(name) else { throw Problem(text: "{\(name)} is not a name: letters, digits, - and _ make one") }
            if isWildcard, !isLast { throw Problem(text: "a wildcard stands at the end of a pattern") }
            return isWildcard ? .wildcard(name) : .parameter(name)
        }
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "}"): throw Problem(text: "a parameter takes a whole segment: \(text)")
            case UInt8(ascii: "*"): throw Problem(text: "a wildcard takes a whole segment: \(text)")
            case UInt8(ascii: "?"), UInt8(ascii: "#"): throw Problem(text: "a pattern has no query or fragment")
            case 0..<0x20, 0x7f: throw Problem(text: "a pattern has no control characters")
            default: break
            }
        }
        return .text(RouteTrie.decode(bytes))
    }

    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 == 95 || $0 == 45 || ($0 >= 48 && $0 <= 57) || (($0 | 0x20) >= 97 && ($0 | 0x20) <= 122) }
    }
}

extension RouteSegment {
    var name: String? {
        switch self {
        case .text: nil
        case .parameter(let name): name
        case .wildcard(let name): name
        }
    }
}
