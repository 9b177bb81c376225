// The kinds of text that occur as values, each with what is accepted, why a text is refused, and a pattern for the schema.

/// A format that a text value has to follow.
enum ConfigText: Sendable {
    case address, name, hostPattern, pathPattern, method, path, fileName, headerValue, body, fileMode, redirectTarget
    case upstreamAddress, addressPrefix, hostName, hostRewrite, hashKey, rateKey, requestRate, statusRange, retryReason, banReason, headerName
    case claimName, certificateSubject, origin, mediaType, url, pathOrURL, requestTarget, requestLine, pathPrefix, pathTemplate, line, realm

    var accepted: String {
        switch self {
        case .address: "HOST:PORT, [V6]:PORT or unix:PATH"
        case .name: "1 to 64 letters, digits, `.`, `_` or `-`"
        case .hostPattern: "a host name such as api.example.com, or *.example.com"
        case .pathPattern: "a path such as /health, /v1/orders/* or /users/{id}"
        case .method: "a method such as GET, in capitals"
        case .path: "a path"
        case .fileName: "a file name without a slash"
        case .headerValue: "a header value: text on one line"
        case .body: "text"
        case .fileMode: "an octal mode in quotes such as \"0660\""
        case .redirectTarget: "https, or a URL such as https://www.example.com{path}{query}"
        default: gatewayAccepted
        }
    }

    /// For JSON Schema; nil when any text may be right.
    var pattern: String? {
        switch self {
        case .address: "^(unix:.+|\\[[^\\]]+\\]:[0-9]+|[^:\\[\\]]+:[0-9]+)$"
        case .name: "^[A-Za-z0-9._-]{1,64}$"
        case .hostPattern: "^(\\*\\.)?[A-Za-z0-9_.-]+$"
        case .pathPattern: "^/[^?#]*$"
        case .method: "^[!#$%&'*+.^_`|~0-9A-Z-]{1,16}$"
        case .path: "^.+$"
        case .fileName: "^[^/]+$"
        case .headerValue: "^[^\\r\\n]*$"
        case .body: nil
        case .fileMode: "^0?[0-7]{3}$"
        case .redirectTarget: "^(https|https?://[^ ]+|/[^ ]*)$"
        default: gatewayPattern
        }
    }

    /// Why `text` is refused, to be read after "found `x`", or nil when it is good.
    func problem(in text: String) -> String? {
        switch self {
        case .address: return ListenAddress.parse(text).problem
        case .name:
            let isValid = !text.isEmpty && text.utf8.count <= 64 && text.utf8.allSatisfy(Self.isNameByte)
            return isValid ? nil : (text.isEmpty ? "no name" : text.utf8.count > 64 ? "too long" : "other characters")
        case .hostPattern: return HostPattern.parse(text).problem
        case .pathPattern: return PathPattern.parse(text).problem
        case .method: return Self.methodProblem(text)
        case .path: return text.isEmpty ? "no path" : text.utf8.contains(0) ? "a zero byte" : nil
        case .fileName:
            if text.isEmpty || text == "." || text == ".." { return "not a file name" }
            return text.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 }) ? "a slash or a zero byte" : nil
        case .headerValue: return HeaderSyntax.valueProblem(text)
        case .body: return nil
        case .fileMode: return Self.fileMode(text) == nil ? "not an octal mode" : nil
        case .redirectTarget: return text == "https" ? nil : RedirectTemplate.parse(text).problem
        default: return gatewayProblem(in: text)
        }
    }

    /// Three octal digits, one leading zero allowed.
    static func fileMode(_ text: String) -> UInt32? {
        let digits = text.utf8.count == 4 && text.hasPrefix("0") ? String(text.dropFirst()) : text
        guard digits.utf8.count == 3, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x37 }) else { return nil }
        return UInt32(digits, radix: 8)
    }

    static func methodProblem(_ text: String) -> String? {
        if text.isEmpty { return "no method" }
        if text.utf8.count > MethodSet.nameBytesMax { return "longer than \(MethodSet.nameBytesMax) bytes" }
        if !text.utf8.allSatisfy(HeaderSyntax.isTokenByte) { return "not a token" }
        // Methods are case-sensitive (RFC 9110 section 9.1); `get` in a configuration is always a slip.
        return text.utf8.contains { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") } ? "methods are case-sensitive" : nil
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
