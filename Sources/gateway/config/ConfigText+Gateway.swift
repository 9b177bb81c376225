// The kinds of text that upstreams, proxies and filters need. Together with ConfigText.swift, which asks here for what it does not know.

extension ConfigText {
    var gatewayAccepted: String {
        switch self {
        case .upstreamAddress: "HOST:PORT, [V6]:PORT or unix:PATH"
        case .addressPrefix: "an address or a prefix such as 10.0.0.0/8 or 2001:db8::/32"
        case .hostName: "a host name such as api.example.com"
        case .hostRewrite: "preserve, upstream, or a host name with or without a port"
        case .hashKey: "address, path, header:NAME or cookie:NAME"
        case .rateKey: "address, address/V4LEN, address/V4LEN/V6LEN, jwt.CLAIM or header:NAME"
        case .requestRate: "a rate such as 100/s, 600/m, 1000/h or 10000/d"
        case .statusRange: "a status such as 200, 200-399 or 2xx"
        case .retryReason: "connect-failure, refused-stream, reset, timeout, or a status from 500 to 599"
        case .banReason: "a status such as 401 or 5xx, rate-limit, malformed or handshake"
        case .headerName: "the name of a header"
        case .claimName: "the name of a claim"
        case .certificateSubject: "CN=NAME, DNS:NAME, URI:TEXT or EMAIL:TEXT, with a * at the end for any rest"
        case .origin: "an origin such as https://app.example.com, https://*.example.com, or *"
        case .mediaType: "a media type such as application/x-ours"
        case .url: "a URL such as https://host/path"
        case .pathOrURL: "a path, or a URL such as https://host/path"
        case .requestTarget: "a path such as /check, with or without a query"
        case .requestLine: "a method and a URL such as GET https://example.com/path"
        case .pathPrefix: "a path such as /v1, without a slash at the end"
        case .pathTemplate: "a path such as /users/{id}, /internal{path} or /files/{rest}"
        case .line: "text on one line"
        case .realm: "text on one line without quotes"
        default: "text"
        }
    }

    var gatewayPattern: String? {
        switch self {
        case .upstreamAddress: ConfigText.address.pattern
        case .addressPrefix: "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"
        case .hostName: "^[A-Za-z0-9_.-]+(:[0-9]+)?$"
        case .hostRewrite: "^[A-Za-z0-9_.-]+(:[0-9]+)?$"
        case .hashKey: "^(address|path|(header|cookie):.+)$"
        case .rateKey: "^(address(/[0-9]+){0,2}|jwt\\..+|header:.+)$"
        case .requestRate: "^[0-9]+/[smhd]$"
        case .statusRange: "^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$"
        case .retryReason: "^(connect-failure|refused-stream|reset|timeout|5[0-9]{2})$"
        case .banReason: "^(rate-limit|malformed|handshake|[1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$"
        case .headerName: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
        case .claimName: "^.{1,256}$"
        case .certificateSubject: "^(CN=|DNS:|URI:|EMAIL:).+$"
        case .origin: "^(\\*|https?://[^/ ]+)$"
        case .mediaType: "^[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+$"
        case .url: "^https?://[^ ]+$"
        case .pathOrURL: "^.+$"
        case .requestTarget: "^/[^# ]*$"
        case .requestLine: "^[!#$%&'*+.^_`|~0-9A-Z-]+ https?://[^ ]+$"
        case .pathPrefix: "^/[^?#]*[^?#/]$"
        case .pathTemplate: "^(/|\\{path\\})[^?#]*$"
        case .line, .realm: "^[^\\r\\n]+$"
        default: nil
        }
    }

    func gatewayProblem(in text: String) -> String? {
        switch self {
        case .upstreamAddress: return Self.upstreamAddressProblem(text)
        case .addressPrefix: return AddressPrefix.parse(text).problem
        case .hostName: return Self.hostProblem(text)
        case .hostRewrite: return text == "preserve" || text == "upstream" ? nil : Self.hostProblem(text)
        case .hashKey: return BalanceConfiguration.Key.parse(text).problem
        case .rateKey: return RateLimitConfiguration.Key.parse(text).problem
        case .requestRate: return RequestRate.parse(text).problem
        case .statusRange: return StatusRange.parse(text).problem
        case .retryReason: return RetryConfiguration.Reason.parse(text).problem
        case .banReason: return BanRule.Reason.parse(text).problem
        case .headerName: return HeaderSyntax.nameProblem(text)
        case .claimName: return Self.lineProblem(text) ?? (text.utf8.count > 256 ? "longer than 256 bytes" : nil)
        case .certificateSubject: return CertificateSubject.parse(text).problem
        case .origin: return Self.originProblem(text)
        case .mediaType: return Self.mediaTypeProblem(text)
        case .url: return EndpointURL.parse(text).problem
        case .pathOrURL: return text.hasPrefix("https:") || text.hasPrefix("http:") ? EndpointURL.parse(text).problem : ConfigText.path.problem(in: text)
        case .requestTarget: return Self.targetProblem(text)
        case .requestLine: return RequestLine.parse(text).problem
        case .pathPrefix: return Self.prefixProblem(text)
        case .pathTemplate: return PathTemplate.parse(text).problem
        case .line: return Self.lineProblem(text)
        case .realm: return Self.lineProblem(text) ?? (text.utf8.contains { "\"\\".utf8.contains($0) } ? "a quote or a backslash" : nil)
        default: return nil
        }
    }

    private static func upstreamAddressProblem(_ text: String) -> String? {
        switch ListenAddress.parse(text) {
        case .failure(let problem):
            return text.hasPrefix("http://") || text.hasPrefix("https://") ? "a URL; an address has no scheme, and `tls` says whether TLS is spoken" : problem.reason
        case .success(let address): return address.hasPortZero ? "nobody listens on port 0" : nil
        }
    }

    private static func hostProblem(_ text: String) -> String? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let hasGoodPort = parts.count == 1 || parts.count == 2 && UInt16(parts[1]).map { $0 > 0 } == true
        return hasGoodPort && HostName.isValid(String(parts[0])) ? nil : "not a host name"
    }

    private static func lineProblem(_ text: String) -> String? {
        text.isEmpty ? "no text" : text.utf8.contains { $0 < 0x20 || $0 == 0x7f } ? "a control character" : nil
    }

    /// `null` is what files and frames without an origin say: allowing it allows everybody.
    private static func originProblem(_ text: String) -> String? {
        if text == "*" { return nil }
        if text == "null" { return "anybody can send `null`" }
        guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return "an origin begins with https:// or http://" }
        let host = text.dropFirst(scheme.utf8.count)
        if host.contains("/") { return "an origin has no path, and no slash at the end" }
        let bare = host.hasPrefix("*.") ? host.dropFirst(2) : host
        if bare != bare.lowercased() { return "browsers send origins in lower case" }
        let withPort = bare.contains(":") && !bare.hasSuffix("]") ? String(bare) : bare + ":443"
        return ListenAddress.parse(withPort).problem == nil ? nil : "not a host name, `*` may only stand for the names below one"
    }

    private static func mediaTypeProblem(_ text: String) -> String? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let isGood = parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(HeaderSyntax.isTokenByte) && !$0.contains("*") }
        return isGood ? nil : "not a type and a subtype, without parameters"
    }

    static func targetProblem(_ text: String) -> String? {
        if !text.hasPrefix("/") { return "a path begins with a slash" }
        return text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") } ? nil : "a character that no path has; write it percent-encoded"
    }

    private static func prefixProblem(_ text: String) -> String? {
        if text == "/" { return "nothing but a slash" }
        if text.hasSuffix("/") { return "a slash at the end" }
        if text.contains("{") || text.contains("*") { return "a place or a star; `replace` has places" }
        return PathPattern.parse(text).problem
    }
}

// MARK: Formats of their own

extension BalanceConfiguration.Key {
    static func parse(_ text: String) -> Result<Self, TextProblem> {
        if text == "address" { return .success(.address) }
        if text == "path" { return .success(.path) }
        for (prefix, make) in [("header:", Self.header), ("cookie:", Self.cookie)] where text.hasPrefix(prefix) {
            let name = String(text.dropFirst(prefix.utf8.count))
            guard !name.isEmpty, name.utf8.allSatisfy(HeaderSyntax.isTokenByte) else { return .failure(TextProblem(reason: "no name after the colon")) }
            return .success(make(prefix == "header:" ? name.lowercased() : name))
        }
        return .failure(TextProblem(reason: "an unknown key"))
    }
}

extension RateLimitConfiguration.Key {
    /// A site has a /64 at least; whoever holds one has all its addresses.
    static let v6BitsStandard = 64

    static func parse(_ text: String) -> Result<Self, TextProblem> {
        func failure(_ reason: String) -> Result<Self, TextProblem> { .failure(TextProblem(reason: reason)) }
        if text.hasPrefix("jwt.") {
            let claim = String(text.dropFirst(4))
            return ConfigText.claimName.problem(in: claim).map { failure($0) } ?? .success(.claim(claim))
        }
        if text.hasPrefix("header:") {
            let name = String(text.dropFirst(7))
            guard !name.isEmpty, name.utf8.allSatisfy(HeaderSyntax.isTokenByte) else { return failure("no name after the colon") }
            return .success(.header(name.lowercased()))
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.first == "address", parts.count <= 3 else { return failure("an unknown key") }
        var bits = [32, v6BitsStandard]
        for (index, part) in parts.dropFirst().enumerated() {
            let widest = index == 0 ? 32 : 128
            guard let length = Int(part), part.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), (1...widest).contains(length) else {
                return failure("a prefix of IPv\(index == 0 ? 4 : 6) has 1 to \(widest) bits")
            }
            bits[index] = length
        }
        return .success(.address(v4Bits: bits[0], v6Bits: bits[1]))
    }
}

extension RetryConfiguration.Reason {
    static func parse(_ text: String) -> Result<Self, TextProblem> {
        switch text {
        case "connect-failure": return .success(.connectFailure)
        case "refused-stream": return .success(.refusedStream)
        case "reset": return .success(.reset)
        case "timeout": return .success(.timeout)
        default:
            guard let status = UInt16(text), text.utf8.count == 3, (500...599).contains(status) else {
                let guess = NearMiss.find(text, in: ["connect-failure", "refused-stream", "reset", "timeout"])
                return .failure(TextProblem(reason: guess.map { "did you mean \($0)?" } ?? "no reason for another try"))
            }
            return .success(.status(status))
        }
    }
}

extension BanRule.Reason {
    static func parse(_ text: String) -> Result<Self, TextProblem> {
        switch text {
        case "rate-limit": .success(.rateLimit)
        case "malformed": .success(.malformed)
        case "handshake": .success(.handshake)
        default: StatusRange.parse(text).map { .status($0) }
        }
    }
}

extension CertificateSubject {
    static func parse(_ text: String) -> Result<Self, TextProblem> {
        for kind in [Kind.commonName, .dns, .uri, .email] where text.hasPrefix(kind.rawValue) {
            let isPrefix = text.hasSuffix("*")
            let rest = String(text.dropFirst(kind.rawValue.utf8.count).dropLast(isPrefix ? 1 : 0))
            if rest.isEmpty && !isPrefix { return .failure(TextProblem(reason: "no text after \(kind.rawValue)")) }
            if rest.contains("*") { return .failure(TextProblem(reason: "`*` may only stand at the end")) }
            if rest.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return .failure(TextProblem(reason: "a control character")) }
            return .success(CertificateSubject(kind: kind, text: rest, isPrefix: isPrefix))
        }
        return .failure(TextProblem(reason: "it does not begin with CN=, DNS:, URI: or EMAIL:"))
    }
}

extension PathTemplate {
    static func parse(_ text: String) -> Result<PathTemplate, TextProblem> {
        func failure(_ reason: String) -> Result<PathTemplate, TextProblem> { .failure(TextProblem(reason: reason)) }
        guard text.hasPrefix("/") || text.hasPrefix("{path}") else { return failure("a path begins with a slash, or with {path}") }
        if text.contains("?") || text.contains("#") { return failure("the query goes along by itself") }
        if text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) { return failure("a character that no path has; write it percent-encoded") }
        var parts: [Part] = []
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}") else { return failure("`{` without `}`") }
            if open > rest.startIndex { parts.append(.literal(String(rest[..<open]))) }
            let name = String(rest[rest.index(after: open)..<close])
            guard !name.isEmpty, name.utf8.allSatisfy({ $0 == UInt8(ascii: "_") || ConfigText.isNameByte($0) && $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "-") }) else {
                return failure("a place has a name of letters, digits and `_`")
            }
            parts.append(name == "path" ? .path : name == "rest" ? .rest : .capture(name))
            rest = rest[rest.index(after: close)...]
        }
        if rest.contains("}") { return failure("`}` without `{`") }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        return .success(PathTemplate(parts: parts))
    }
}

/// A method and a URL, as `uringd explain` and expectations take them.
package struct RequestLine: Sendable, Equatable {
    package let method: String
    package let url: EndpointURL

    package static func parse(_ text: String) -> Result<RequestLine, TextProblem> {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 2 else { return .failure(TextProblem(reason: "not a method, a space and a URL")) }
        if let reason = ConfigText.methodProblem(String(words[0])) { return .failure(TextProblem(reason: reason)) }
        return EndpointURL.parse(String(words[1])).map { RequestLine(method: String(words[0]), url: $0) }
    }
}
