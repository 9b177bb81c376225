// A second reading of RFC 9112 to compare the parser with: slow, on arrays, written from the grammar without looking for
// speed, and only able to say whether a head is accepted and what it means. It knows no limits.

import UringHTTP
import UringHTTP1

struct ReferenceRequest: Equatable {
    var method: String
    var target: String
    var minorVersion: UInt8
    var fields: [[String]]
    var authority: String
    var framing: BodyFraming
    var keepAlive: Bool
    var upgrade: Bool
    var headLength: Int
}

enum ReferenceParser {
    static let tokenCharacters = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    static func isToken(_ text: [UInt8]) -> Bool { !text.isEmpty && text.allSatisfy { tokenCharacters.contains($0) } }

    static func trimmed(_ text: ArraySlice<UInt8>) -> [UInt8] {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) }) else { return [] }
        return Array(text[first...last])
    }

    /// Nil when the bytes are no whole, good head.
    static func parse(_ bytes: [UInt8]) -> ReferenceRequest? {
        // Lines end with CRLF; neither byte may stand alone.
        var lines: [[UInt8]] = []
        var line: [UInt8] = []
        var index = 0
        var leading = 0
        var isWhole = false
        while index < bytes.count {
            if bytes[index] == 0x0d {
                guard index + 1 < bytes.count, bytes[index + 1] == 0x0a else { return nil }
                index += 2
                if lines.isEmpty && line.isEmpty {
                    leading += 1
                    if leading > 2 { return nil }
                    continue
                }
                if line.isEmpty {
                    isWhole = true
                    break
                }
                lines.append(line)
                line = []
            } else if bytes[index] == 0x0a {
                return nil
            } else {
                line.append(bytes[index])
                index += 1
            }
        }
        guard isWhole, let requestLine = lines.first else { return nil }

        let parts = requestLine.split(separator: 0x20, omittingEmptySubsequences: false).map(Array.init)
        guard parts.count == 3, isToken(parts[0]), parts[0].count <= 32 else { return nil }
        let version = parts[2]
        guard version.count == 8, Array(version[..<7]) == Array("HTTP/1.".utf8), (0x30...0x39).contains(version[7]) else { return nil }
        let minor: UInt8 = version[7] == 0x30 ? 0 : 1
        let method = latin1(parts[0])
        let target = parts[1]

        var fields: [[String]] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: 0x3a), isToken(Array(line[..<colon])) else { return nil }
            let value = trimmed(line[(colon + 1)...])
            guard value.allSatisfy({ $0 == 9 || ($0 >= 0x20 && $0 != 0x7f) }) else { return nil }
            fields.append([latin1(line[..<colon]), latin1(value)])
        }
        func values(_ name: String) -> [String] { fields.filter { $0[0].lowercased() == name }.map { $0[1] } }
        func elements(_ name: String) -> [String] {
            values(name).flatMap { $0.utf8.isEmpty ? [] : $0.split(separator: ",").map { latin1(trimmed(Array($0.unicodeScalars.map { UInt8($0.value) })[...])) } }
                .filter { !$0.isEmpty }
        }

        let hosts = values("host")
        guard hosts.count <= 1, minor == 0 || hosts.count == 1 else { return nil }
        if let host = hosts.first { guard isAuthority(host, needsPort: false) else { return nil } }
        guard let targetAuthority = authority(of: latin1(target), method: method) else { return nil }

        let lengths = values("content-length")
        let codings = values("transfer-encoding")
        guard lengths.isEmpty || codings.isEmpty, lengths.count <= 1 else { return nil }
        var framing = BodyFraming.none
        if let length = lengths.first {
            guard !length.isEmpty, length.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(length) else { return nil }
            framing = .length(UInt64(number))
        }
        if !codings.isEmpty {
            guard minor > 0, codings.allSatisfy({ !$0.isEmpty }), elements("transfer-encoding").map({ $0.lowercased() }) == ["chunked"],
                codings.count == 1
            else { return nil }
            framing = .chunked
        }
        if minor > 0 { guard values("expect").allSatisfy({ $0.lowercased() == "100-continue" }) else { return nil } }

        let options = elements("connection").map { $0.lowercased() }
        let keepAlive = !options.contains("close") && (minor > 0 || options.contains("keep-alive"))
        let upgrade = minor > 0 && !values("upgrade").isEmpty && options.contains("upgrade")
        return ReferenceRequest(
            method: method, target: latin1(target), minorVersion: minor, fields: fields,
            authority: targetAuthority.isEmpty ? hosts.first ?? "" : targetAuthority, framing: framing, keepAlive: keepAlive, upgrade: upgrade,
            headLength: index)
    }

    /// The authority inside a good target, empty when it has none; nil for a bad target.
    static func authority(of target: String, method: String) -> String? {
        let isClean = { (text: Substring, banned: String) in
            text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !Set(banned.utf8).contains($0) }
        }
        func isPathAndQuery(_ text: Substring) -> Bool {
            let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
            return isClean(parts[0], "\"#<>\\") && (parts.count == 1 || isClean(parts[1], "\"#<>"))
        }
        if method == "CONNECT" { return isAuthority(target, needsPort: true) ? target : nil }
        if target == "*" { return method == "OPTIONS" ? "" : nil }
        if target.hasPrefix("/") { return isPathAndQuery(target[...]) ? "" : nil }
        for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
            let rest = target.dropFirst(scheme.count)
            let authority = rest.prefix { $0 != "/" && $0 != "?" }
            return isAuthority(String(authority), needsPort: false) && isPathAndQuery(rest.dropFirst(authority.count)) ? String(authority) : nil
        }
        return nil
    }

    static func isAuthority(_ text: String, needsPort: Bool) -> Bool {
        var host = text[...]
        var port: Substring = ""
        var hasPort = false
        if let bracket = text.lastIndex(of: "]") {
            guard text.hasPrefix("[") else { return false }
            host = text[...bracket]
            let rest = text[text.index(after: bracket)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":") else { return false }
                hasPort = true
                port = rest.dropFirst()
            }
            guard isIPv6(String(host.dropFirst().dropLast())) else { return false }
        } else {
            if let colon = text.firstIndex(of: ":") {
                host = text[..<colon]
                hasPort = true
                port = text[text.index(after: colon)...]
            }
            var bytes = Array(host.utf8)[...]
            guard !bytes.isEmpty else { return false }
            while let byte = bytes.popFirst() {
                if byte == 0x25 {
                    guard bytes.count >= 2, bytes.prefix(2).allSatisfy({ Set("0123456789abcdefABCDEF".utf8).contains($0) }) else { return false }
                    bytes = bytes.dropFirst(2)
                } else {
                    guard Set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~!$&'()*+,;=".utf8).contains(byte) else { return false }
                }
            }
        }
        guard port.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return false }
        let digits = port.drop { $0 == "0" }
        guard digits.isEmpty || (digits.count <= 5 && Int(digits)! <= 65_535) else { return false }
        return !needsPort || (hasPort && !digits.isEmpty)
    }

    static func isIPv6(_ text: String) -> Bool {
        let halves = text.components(around: "::")
        guard halves.count <= 2 else { return false }
        var groups = 0
        for (position, half) in halves.enumerated() where !half.isEmpty {
            let pieces = half.split(separator: ":", omittingEmptySubsequences: false)
            for (index, piece) in pieces.enumerated() {
                let isLast = index == pieces.count - 1 && position == halves.count - 1
                if isLast && piece.contains(".") {
                    let numbers = piece.split(separator: ".", omittingEmptySubsequences: false)
                    guard numbers.count == 4, numbers.allSatisfy({ Int($0).map { (0...255).contains($0) } == true && "\(Int($0)!)" == $0 }) else { return false }
                    groups += 2
                } else {
                    guard (1...4).contains(piece.utf8.count), piece.utf8.allSatisfy({ Set("0123456789abcdefABCDEF".utf8).contains($0) }) else { return false }
                    groups += 1
                }
            }
        }
        return halves.count == 2 ? groups <= 7 : groups == 8
    }
}

extension String {
    fileprivate func components(around separator: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}
