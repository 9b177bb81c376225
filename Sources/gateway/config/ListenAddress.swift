// An address to listen on, as the configuration and the command line spell it. A value without side effects: nothing is
// resolved or bound here.

import Glibc

/// Why a text is not what it should be; completes "found `x` (…)".
package struct TextProblem: Error, Equatable {
    package let reason: String
}

extension Result where Failure == TextProblem {
    var problem: String? {
        if case .failure(let problem) = self { return problem.reason }
        return nil
    }
}

/// `HOST:PORT`, `[V6]:PORT` or `unix:PATH`.
package enum ListenAddress: Sendable, Hashable {
    /// Four bytes in network order, and a port in host order.
    case ipv4([UInt8], port: UInt16)
    /// Sixteen bytes in network order, an interface name after `%` or "", and a port in host order.
    case ipv6([UInt8], zone: String, port: UInt16)
    /// A name to resolve when binding, in lower case.
    case name(String, port: UInt16)
    case unix(path: String)

    /// sun_path holds 108 bytes with the terminating zero (unix(7)).
    package static let unixPathBytesMax = 107

    package static func parse(_ text: String) -> Result<ListenAddress, TextProblem> {
        if text.hasPrefix("unix:") { return parseUnix(String(text.dropFirst(5))) }
        guard let colon = text.lastIndex(of: ":") else { return malformed("no port") }
        let host = String(text[..<colon])
        let portText = text[text.index(after: colon)...]
        if host.hasPrefix("[") != host.hasSuffix("]") || (!host.hasPrefix("[") && host.contains(":")) {
            return malformed("an IPv6 address stands in brackets before its port")
        }
        guard !portText.isEmpty, portText.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = UInt16(portText) else {
            return malformed("the port is not a number from 0 to 65535")
        }
        if host.hasPrefix("[") { return parseV6(String(host.dropFirst().dropLast()), port) }
        if host == "*" || host.isEmpty { return malformed("no host; write 0.0.0.0:\(port) or [::]:\(port) for every address") }
        if let bytes = networkBytes(host, AF_INET, 4) { return .success(.ipv4(bytes, port: port)) }
        return parseName(host, port)
    }

    private static func malformed(_ reason: String) -> Result<ListenAddress, TextProblem> { .failure(TextProblem(reason: reason)) }

    private static func parseUnix(_ path: String) -> Result<ListenAddress, TextProblem> {
        guard !path.isEmpty else { return malformed("no path after `unix:`") }
        guard path.utf8.count <= unixPathBytesMax else {
            return malformed("the path has \(path.utf8.count) bytes, the kernel takes \(unixPathBytesMax)")
        }
        guard !path.utf8.contains(0) else { return malformed("a zero byte in the path") }
        return .success(.unix(path: path))
    }

    private static func parseV6(_ text: String, _ port: UInt16) -> Result<ListenAddress, TextProblem> {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        let zone = parts.count > 1 ? String(parts[1]) : ""
        guard let bytes = networkBytes(String(parts[0]), AF_INET6, 16), parts.count == 1 || !zone.isEmpty else {
            return malformed("not an IPv6 address in the brackets")
        }
        // IFNAMSIZ is 16 with the terminating zero.
        guard zone.utf8.count < 16 else { return malformed("an interface name has up to 15 bytes") }
        return .success(.ipv6(bytes, zone: zone, port: port))
    }

    private static func parseName(_ host: String, _ port: UInt16) -> Result<ListenAddress, TextProblem> {
        guard HostName.isValid(host) else { return malformed("not an address or a host name") }
        // 1.2.3 and 300.1.1.1 look like host names to the rule above; nobody means a name by them.
        let last = host.split(separator: ".").last ?? ""
        guard !last.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return malformed("not an IPv4 address") }
        return .success(.name(host.lowercased(), port: port))
    }

    private static func networkBytes(_ text: String, _ family: CInt, _ count: Int) -> [UInt8]? {
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        // `bytes` is written during the call only; inet_pton fills exactly `count` bytes for this family.
        return unsafe inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }
}

extension ListenAddress: CustomStringConvertible {
    /// The spelling that `parse` takes, with IP addresses in their shortest form.
    package var description: String {
        switch self {
        case .ipv4(let bytes, let port): "\(bytes.map(String.init).joined(separator: ".")):\(port)"
        case .ipv6(let bytes, let zone, let port): "[\(Self.text(ofV6: bytes))\(zone.isEmpty ? "" : "%")\(zone)]:\(port)"
        case .name(let name, let port): "\(name):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    var isUnix: Bool {
        if case .unix = self { true } else { false }
    }

    var isName: Bool {
        if case .name = self { true } else { false }
    }

    var isIPv6: Bool {
        if case .ipv6 = self { true } else { false }
    }

    var hasPortZero: Bool {
        switch self {
        case .ipv4(_, let port), .ipv6(_, _, let port), .name(_, let port): port == 0
        case .unix: false
        }
    }

    /// Can only this machine connect? Names count as open, since their address is not known yet; `localhost` does not.
    package var isLocal: Bool {
        switch self {
        case .ipv4(let bytes, _): bytes.first == 127
        case .ipv6(let bytes, _, _): bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
        case .name(let name, _): name == "localhost"
        case .unix: true
        }
    }

    private static func text(ofV6 bytes: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        var address = bytes
        // Both arrays live through the call, which writes at most INET6_ADDRSTRLEN bytes with the terminating zero.
        guard unsafe inet_ntop(AF_INET6, &address, &text, socklen_t(INET6_ADDRSTRLEN)) != nil else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

enum HostName {
    /// RFC 1123 section 2.1: labels of letters, digits and hyphens; 253 bytes. Underscores occur in practice.
    static func isValid(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 253 else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.utf8.first != UInt8(ascii: "-")
                && label.utf8.last != UInt8(ascii: "-") && label.utf8.allSatisfy(isLabelByte)
        }
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
