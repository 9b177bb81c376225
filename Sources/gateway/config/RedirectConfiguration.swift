// Redirects and Strict-Transport-Security of a route, as plain values.

package struct RedirectConfiguration: Sendable, Equatable {
    /// 301, 302, 307 or 308.
    package var status: Int
    package var target: RedirectTemplate

    package init(status: Int = 308, target: RedirectTemplate) {
        self.status = status
        self.target = target
    }
}

/// The Strict-Transport-Security field of a route (RFC 6797 section 6.1).
package struct HSTSConfiguration: Sendable, Equatable {
    package var maxAgeSeconds: UInt64
    package var includesSubdomains: Bool
    package var isPreloaded: Bool

    package init(maxAgeSeconds: UInt64, includesSubdomains: Bool = true, isPreloaded: Bool = false) {
        self.maxAgeSeconds = maxAgeSeconds
        self.includesSubdomains = includesSubdomains
        self.isPreloaded = isPreloaded
    }

    package var fieldValue: String {
        "max-age=\(maxAgeSeconds)" + (includesSubdomains ? "; includeSubDomains" : "") + (isPreloaded ? "; preload" : "")
    }
}

/// Where a redirect leads: a URL with places for parts of the request. Parsed at load time; `Redirect` writes it.
package struct RedirectTemplate: Sendable, Hashable {
    package enum Part: Sendable, Hashable {
        case literal(String)
        /// The request's host, without its port.
        case host
        /// The request's path as it was sent.
        case path
        /// The request's query with its question mark, or nothing.
        case query
    }

    package let parts: [Part]

    /// Hosts are as long as header sections; a target that an operator writes is not.
    static let bytesMax = 2048

    /// The same request by HTTPS.
    package static func https(port: UInt16? = nil) -> RedirectTemplate {
        RedirectTemplate(parts: [.literal("https://"), .host] + (port.map { [.literal(":\($0)")] } ?? []) + [.path, .query])
    }

    package static func parse(_ text: String) -> Result<RedirectTemplate, TextProblem> {
        if let reason = textProblem(text) { return .failure(TextProblem(reason: reason)) }
        let (scheme, rest) = split(text)
        var parts: [Part] = scheme.isEmpty ? [] : [.literal(scheme)]
        var literal = ""
        var remainder = rest[...]
        while let character = remainder.first {
            guard character == "{" else {
                literal.append(character)
                remainder.removeFirst()
                continue
            }
            guard let end = remainder.firstIndex(of: "}") else { return .failure(TextProblem(reason: "`{` without `}`")) }
            let name = String(remainder[remainder.index(after: remainder.startIndex)..<end])
            guard let part = placeholder(name) else { return .failure(unknown(name)) }
            if !literal.isEmpty { parts.append(.literal(literal)) }
            literal = ""
            parts.append(part)
            remainder = remainder[remainder.index(after: end)...]
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        let template = RedirectTemplate(parts: parts)
        return template.placeProblem(hasScheme: !scheme.isEmpty).map { .failure(TextProblem(reason: $0)) } ?? .success(template)
    }

    private static func split(_ text: String) -> (scheme: String, rest: String) {
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { return (scheme, String(text.dropFirst(scheme.count))) }
        return ("", text)
    }

    private static func placeholder(_ name: String) -> Part? {
        switch name {
        case "host": .host
        case "path": .path
        case "query": .query
        default: nil
        }
    }

    private static func unknown(_ name: String) -> TextProblem {
        let guess = NearMiss.find(name, in: ["host", "path", "query"]).map { ", did you mean `{\($0)}`?" } ?? ": {host}, {path} and {query} are known"
        return TextProblem(reason: "unknown `{\(YAMLScalar.shown(name))}`\(guess)")
    }

    private static func textProblem(_ text: String) -> String? {
        if text.utf8.count > bytesMax { return "longer than \(bytesMax) bytes" }
        guard text.hasPrefix("https://") || text.hasPrefix("http://") || text.hasPrefix("/") else {
            return "a URL begins with https://, http:// or a slash"
        }
        // RFC 3986 has no other characters; browsers read a backslash as a slash.
        let isGood: (UInt8) -> Bool = { $0 > 0x20 && $0 < 0x7f && !"\"<>\\^`|".utf8.contains($0) }
        return text.utf8.allSatisfy(isGood) ? nil : "a character that no URL has; write it percent-encoded"
    }

    /// Whatever a client sends must not choose the host that it is sent to, but by `{host}`.
    private func placeProblem(hasScheme: Bool) -> String? {
        guard hasScheme else {
            // `//evil.example` and `/` before a path of the request are references to another host (RFC 3986 section 4.2).
            guard case .literal(let text)? = parts.first, text.utf8.count > 1 || parts.count == 1, !text.hasPrefix("//") else {
                return "it could lead to another host: write the host, or a path that begins with its own segment"
            }
            return nil
        }
        var authority = ""
        for part in parts.dropFirst() {
            switch part {
            case .host: authority += "h"
            case .path, .query: return Self.authorityProblem(authority)
            case .literal(let text):
                guard let end = text.firstIndex(where: { "/?#".contains($0) }) else {
                    authority += text
                    continue
                }
                return Self.authorityProblem(authority + text[..<end])
            }
        }
        return Self.authorityProblem(authority)
    }

    private static func authorityProblem(_ authority: String) -> String? {
        // An address with any port stands for one without.
        let text = authority.contains(":") && !authority.hasSuffix("]") ? authority : authority + ":443"
        return ListenAddress.parse(text).problem == nil ? nil : "no host after the scheme, or one that is malformed"
    }

    /// Whether a request without a valid host has no answer.
    package var needsHost: Bool { parts.contains(.host) }
}
