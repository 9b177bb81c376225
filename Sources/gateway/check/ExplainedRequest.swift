// A request that nobody sent, for `uringd explain` and expectations: what routing and filters would see of it. A plain value.

package struct ExplainedRequest: Sendable {
    package let method: String
    package let url: EndpointURL
    package let headers: [HeaderField]

    package init(method: String, url: EndpointURL, headers: [HeaderField] = []) {
        self.method = method
        self.url = url
        self.headers = headers
    }

    /// `--header 'K: V'` and arguments; the problem in a sentence otherwise.
    package static func parse(method: String, url: String, headers: [String]) -> Result<ExplainedRequest, TextProblem> {
        var fields: [HeaderField] = []
        for header in headers {
            guard let colon = header.firstIndex(of: ":") else { return .failure(TextProblem(reason: "the header `\(header)`: NAME: VALUE is expected, with a colon")) }
            let name = String(header[..<colon])
            if let problem = HeaderSyntax.nameProblem(name, .expected) { return .failure(TextProblem(reason: "the header `\(name)`: \(problem)")) }
            fields.append(HeaderField(name: name, value: String(header[header.index(after: colon)...].drop { $0 == " " })))
        }
        if let problem = ConfigText.method.problem(in: method) { return .failure(TextProblem(reason: "the method `\(method)`: \(problem)")) }
        switch EndpointURL.parse(url) {
        case .failure(let problem): return .failure(TextProblem(reason: "the URL `\(url)`: \(problem.reason)"))
        case .success(let parsed): return .success(ExplainedRequest(method: method, url: parsed, headers: fields))
        }
    }

    package func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }

    /// The value of Host or :authority: that of the header when there is one, so that a host can be tried on any address.
    package var authority: String { header("host") ?? url.authority }

    package var path: String { String(url.target.prefix { $0 != "?" }) }
    /// With its question mark, or empty.
    package var query: String { String(url.target.drop { $0 != "?" }) }

    /// As routes are compared with it; nil when it is malformed.
    package var normalPath: String? {
        let bytes = Array(path.utf8)
        var room = [UInt8](repeating: 0, count: bytes.count)
        let count: Int? = unsafe room.withUnsafeMutableBufferPointer { room -> Int? in
            // `room` lives through the closure and has as many bytes as the path.
            var output = unsafe OutputSpan(buffer: room, initializedCount: 0)
            let isGood = RoutePath.normalize(bytes.span, into: &output)
            let count = unsafe output.finalize(for: room)
            return isGood ? count : nil
        }
        return count.map { String(decoding: room[..<$0], as: UTF8.self) }
    }

    /// Without port and final dot, in lower case, as routes are compared with it.
    package var hostName: String {
        var host = authority.lowercased()[...]
        if let colon = host.lastIndex(of: ":"), host[host.index(after: colon)...].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) { host = host[..<colon] }
        if host.hasSuffix(".") { host = host.dropLast() }
        return String(host)
    }
}

extension EndpointURL {
    /// Host and port as a client writes them: without the scheme's own port.
    package var authority: String {
        let text = address.description
        let standard = isSecure ? ":443" : ":80"
        return text.hasSuffix(standard) ? String(text.dropLast(standard.utf8.count)) : text
    }

    package var port: UInt16 { address.port ?? 0 }
}

extension ListenAddress {
    package var port: UInt16? {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port), .name(_, let port): port
        case .unix: nil
        }
    }
}

extension HostPattern {
    /// `host` as `ExplainedRequest.hostName` has it.
    func takes(_ host: String) -> Bool { isWildcard ? host.hasSuffix(text) && host.utf8.count > text.utf8.count : host == text }

    var spelling: String { isWildcard ? "*" + text : text }
}

extension PathPattern {
    /// `path` is normalised.
    func takes(_ path: String) -> Bool { captures(of: path) != nil }

    /// What `{name}` and `*` (as `rest`) of the pattern take; nil when the path is another.
    func captures(of path: String) -> [String: String]? {
        guard path.hasPrefix("/") else { return nil }
        if isExact { return path == text ? [:] : nil }
        let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard hasTail ? parts.count > segments.count : parts.count == segments.count else { return nil }
        var found: [String: String] = [:]
        for (segment, part) in zip(segments, parts) {
            switch segment {
            case .literal(let literal): if literal != part { return nil }
            case .parameter: if part.isEmpty { return nil }
            }
        }
        for (name, index) in parameters { found[name] = parts[index] }
        if hasTail { found["rest"] = parts[segments.count...].joined(separator: "/") }
        return found
    }
}
