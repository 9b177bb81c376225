// The patterns of `match`: hosts, paths and methods as values, with the question the loader asks of them ("does this one
// take everything that one takes?"). Parsed at load time; requests are matched by `RouteTable`, which is made from these.

/// `example.com` or `*.example.com`, in lower case.
package struct HostPattern: Sendable, Hashable {
    /// For a wildcard the part behind the star, with its dot: `.example.com`.
    package let text: String
    package let isWildcard: Bool

    package static func parse(_ text: String) -> Result<HostPattern, TextProblem> {
        let isWildcard = text.hasPrefix("*.")
        let name = isWildcard ? String(text.dropFirst(2)) : text
        if name.contains("*") { return .failure(TextProblem(reason: "`*` may only stand at the start, before a dot")) }
        if name.contains(":") { return .failure(TextProblem(reason: "a host is matched without its port")) }
        guard HostName.isValid(name) else { return .failure(TextProblem(reason: "not a host name")) }
        return .success(HostPattern(text: (isWildcard ? "." : "") + name.lowercased(), isWildcard: isWildcard))
    }

    /// Does this pattern take every host that `other` takes?
    func covers(_ other: HostPattern) -> Bool {
        guard isWildcard else { return self == other }
        // `.example.com` takes `a.example.com` and all of `.b.example.com`, and itself as a wildcard.
        return other.text.hasSuffix(text) && (other.isWildcard || other.text.utf8.count > text.utf8.count)
    }
}

/// `/exact`, `/prefix/*`, with `{name}` for one segment that is not empty. Compared with normalised paths: dot segments
/// are gone, percent-encoding is gone except where it keeps a character apart from a delimiter (%2F).
package struct PathPattern: Sendable, Hashable {
    package enum Segment: Sendable, Hashable {
        case literal(String)
        case parameter
    }

    /// Look-ups follow patterns by calls, one for each segment at most.
    package static let segmentsMax = 256

    /// Between the slashes: `/a/` has the two segments `a` and "".
    package let segments: [Segment]
    /// `/*` follows: at least one more segment, which may be empty.
    package let hasTail: Bool
    package let text: String

    package var isExact: Bool { !hasTail && !segments.contains(.parameter) }

    /// Names in braces, with the numbers of their segments.
    package var parameters: [String: Int] {
        let parts = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        return Dictionary(
            parts.enumerated().filter { $0.element.hasPrefix("{") }.map { (String($0.element.dropFirst().dropLast()), $0.offset) },
            uniquingKeysWith: { first, _ in first })
    }

    package static func parse(_ text: String) -> Result<PathPattern, TextProblem> {
        guard text.hasPrefix("/") else { return failure("a path begins with a slash") }
        // A space is fine: requests say %20, and are compared after decoding.
        if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return failure("a control character") }
        if text.contains("?") || text.contains("#") { return failure("the query is not part of the path") }
        var parts = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let hasTail = parts.last == "*"
        if hasTail { parts.removeLast() }
        if parts.count > segmentsMax { return failure("more than \(segmentsMax) segments") }
        var segments: [Segment] = []
        var names: Set<String> = []
        for (index, part) in parts.enumerated() {
            if let reason = problem(part, isLast: index == parts.count - 1 && !hasTail) { return failure(reason) }
            if part.hasPrefix("{") {
                guard names.insert(part).inserted else { return failure("`\(part)` appears twice") }
                segments.append(.parameter)
            } else {
                segments.append(.literal(part))
            }
        }
        return .success(PathPattern(segments: segments, hasTail: hasTail, text: text))
    }

    private static func failure(_ reason: String) -> Result<PathPattern, TextProblem> { .failure(TextProblem(reason: reason)) }

    private static func problem(_ part: String, isLast: Bool) -> String? {
        if part.contains("*") { return "`*` may only be the last segment, as in /docs/*" }
        if part == "." || part == ".." { return "dot segments are removed from requests, so this would never match" }
        if part.isEmpty && !isLast { return "two slashes in a row" }
        if part.contains("{") || part.contains("}") {
            let name = part.dropFirst().dropLast()
            let isParameter = part.hasPrefix("{") && part.hasSuffix("}") && !name.isEmpty && name.utf8.allSatisfy(isNameByte)
            return isParameter ? nil : "`{name}` takes a whole segment, its name has letters, digits and `_`"
        }
        return percentProblem(Array(part.utf8))
    }

    /// Requests are compared after decoding: `%41` in a pattern would never be met. `%2F` stays encoded in requests.
    private static func percentProblem(_ bytes: [UInt8]) -> String? {
        for index in bytes.indices where bytes[index] == UInt8(ascii: "%") {
            let hex = bytes[(index + 1)...].prefix(2)
            guard hex.elementsEqual("2F".utf8) else { return "write the character itself; only %2F stays encoded" }
        }
        return nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Does this pattern take every path that `other` takes?
    func covers(_ other: PathPattern) -> Bool {
        let count = segments.count
        if hasTail {
            // The tail wants one segment more than the fixed part, which a tail of the other brings too.
            guard other.segments.count > count || (other.hasTail && other.segments.count == count) else { return false }
        } else {
            guard !other.hasTail, other.segments.count == count else { return false }
        }
        return zip(segments, other.segments).allSatisfy { mine, theirs in
            switch (mine, theirs) {
            case (.literal(let a), .literal(let b)): a == b
            case (.parameter, .literal(let text)): !text.isEmpty
            case (.parameter, .parameter): true
            case (.literal, .parameter): false
            }
        }
    }
}

/// Methods of one route. Empty: every method.
package struct MethodSet: Sendable, Hashable {
    /// PROPPATCH has 9 bytes, UPDATEREDIRECTREF (RFC 4437) is the only registered one beyond 16 and nobody routes it.
    package static let nameBytesMax = 16
    /// A table numbers its methods in the bits of one word; a route may name a quarter of them.
    package static let countMax = 16

    /// In the order of the file, each once, with HEAD behind a GET (RFC 9110 section 9.1: a server takes both or none).
    package let names: [String]

    package init(_ names: [String]) {
        var result: [String] = []
        for name in names.flatMap({ $0 == "GET" ? ["GET", "HEAD"] : [$0] }) where !result.contains(name) { result.append(name) }
        self.names = result
    }

    package static let any = MethodSet([])
    package var isAny: Bool { names.isEmpty }

    func covers(_ other: MethodSet) -> Bool {
        isAny || (!other.isAny && other.names.allSatisfy(names.contains))
    }
}

/// What one route matches: any of the hosts, any of the paths, any of the methods. An empty list holds for everything.
package struct RouteMatchRule: Sendable, Hashable {
    package var hosts: [HostPattern]
    package var paths: [PathPattern]
    package var methods: MethodSet
    /// Requests over TLS go on to the next route.
    package var isClearOnly: Bool

    package init(hosts: [HostPattern] = [], paths: [PathPattern] = [], methods: MethodSet = .any, isClearOnly: Bool = false) {
        self.hosts = hosts
        self.paths = paths
        self.methods = methods
        self.isClearOnly = isClearOnly
    }
}
