// Which header fields a configuration may name, and with which values.

/// Where fields of the configuration go.
enum HeaderDirection: Sendable {
    case response
    case request
    /// They are compared or made up, not sent by us: any will do.
    case expected
}

enum HeaderSyntax {
    /// Fields that say how the message is framed or what the connection does: the server alone writes them.
    static let owned: Set<String> = [
        "connection", "content-length", "date", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    ]

    /// RFC 9110 section 5.6.2.
    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
            UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: false
        }
    }

    static func nameProblem(_ name: String, _ direction: HeaderDirection = .response) -> String? {
        if name.isEmpty { return "empty" }
        if !name.utf8.allSatisfy(isTokenByte) { return "a header name has letters, digits and hyphens, no colon and no space" }
        let folded = name.lowercased()
        switch direction {
        case .response: return owned.contains(folded) ? "the server itself writes this header" : nil
        case .request:
            if folded == "host" { return "`proxy.host` says what is sent as the host" }
            return owned.contains(folded) ? "the proxy itself writes this header" : nil
        case .expected: return nil
        }
    }

    /// RFC 9110 section 5.5: no control characters but tab, no white space at the ends.
    static func valueProblem(_ value: String) -> String? {
        let bytes = value.utf8
        if bytes.contains(where: { $0 == 0x0d || $0 == 0x0a }) { return "a line break would start another header" }
        if bytes.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7f }) { return "a control character" }
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
        if let first = bytes.first, let last = bytes.last, isBlank(first) || isBlank(last) { return "white space at the ends" }
        return nil
    }
}
