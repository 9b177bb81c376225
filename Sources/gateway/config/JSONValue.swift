// JSON as a value that keeps the order of its members, and its text. Used at load time for `respond.json` and for the
// JSON Schema of the configuration; the request path never comes here.

package enum JSONValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    /// A number in JSON's own spelling, so that no digit is lost.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    package struct Member: Sendable, Equatable {
        package let name: String
        package let value: JSONValue
    }

    /// Members without a value are left out.
    static func object(_ members: KeyValuePairs<String, JSONValue?>) -> JSONValue {
        .object(members.compactMap { name, value in value.map { Member(name: name, value: $0) } })
    }

    static func integer(_ value: UInt64) -> JSONValue { .number(String(value)) }

    /// No white space at all: the bytes of a response.
    package var compactBytes: [UInt8] {
        var text = JSONText(indent: nil)
        text.write(self, level: 0)
        return text.bytes
    }

    /// Two spaces per level and a final newline: for people.
    package var prettyText: String {
        var text = JSONText(indent: 2)
        text.write(self, level: 0)
        return String(decoding: text.bytes, as: UTF8.self) + "\n"
    }
}

/// Writes values; recursion is bounded by the depth of the document they came from (`YAMLDocument.depthMax`).
private struct JSONText {
    let indent: Int?
    var bytes: [UInt8] = []

    init(indent: Int?) { self.indent = indent }

    mutating func write(_ value: JSONValue, level: Int) {
        switch value {
        case .null: bytes += Array("null".utf8)
        case .boolean(let flag): bytes += Array((flag ? "true" : "false").utf8)
        case .number(let digits): bytes += Array(digits.utf8)
        case .string(let text): writeString(text)
        case .array(let items):
            writeItems(items.count, open: "[", close: "]", level: level) { text, index in
                text.write(items[index], level: level + 1)
            }
        case .object(let members):
            writeItems(members.count, open: "{", close: "}", level: level) { text, index in
                text.writeString(members[index].name)
                text.bytes.append(UInt8(ascii: ":"))
                if text.indent != nil { text.bytes.append(UInt8(ascii: " ")) }
                text.write(members[index].value, level: level + 1)
            }
        }
    }

    private mutating func writeItems(
        _ count: Int, open: Unicode.Scalar, close: Unicode.Scalar, level: Int, _ item: (inout JSONText, Int) -> Void
    ) {
        bytes.append(UInt8(ascii: open))
        for index in 0..<count {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            newLine(level + 1)
            item(&self, index)
        }
        if count > 0 { newLine(level) }
        bytes.append(UInt8(ascii: close))
    }

    private mutating func newLine(_ level: Int) {
        guard let indent else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent * level))
    }

    /// RFC 8259 section 7: quotes, backslashes and control characters are escaped, all else is UTF-8 as it is.
    private mutating func writeString(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0x08: bytes += Array("\\b".utf8)
            case 0x09: bytes += Array("\\t".utf8)
            case 0x0a: bytes += Array("\\n".utf8)
            case 0x0c: bytes += Array("\\f".utf8)
            case 0x0d: bytes += Array("\\r".utf8)
            case 0..<0x20:
                bytes += Array("\\u00".utf8) + [hexDigit(byte >> 4), hexDigit(byte & 0xf)]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }
}

extension YAMLNode {
    /// As `json`, with the environment's values left out.
    var redactedJSON: JSONValue {
        switch content {
        case .sequence(let items): return .array(items.map(\.redactedJSON))
        case .mapping(let entries): return .object(entries.map { .init(name: $0.key, value: $0.value.redactedJSON) })
        case .scalar(let scalar): return scalar.raw.map { .string($0) } ?? json { _, _ in }
        }
    }

    /// The node as JSON under YAML's core schema: plain scalars may be numbers, booleans or null, quoted ones are text.
    /// Values JSON cannot say (`.inf`, `.nan`) go to `onProblem` and become null.
    func json(onProblem: (YAMLNode, String) -> Void) -> JSONValue {
        switch content {
        case .sequence(let items): return .array(items.map { $0.json(onProblem: onProblem) })
        case .mapping(let entries):
            return .object(entries.map { .init(name: $0.key, value: $0.value.json(onProblem: onProblem)) })
        case .scalar(let scalar):
            switch scalar.resolved {
            case .null: return .null
            case .boolean(let flag): return .boolean(flag)
            case .integer(let digits), .float(let digits): return .number(digits)
            case .string: return .string(scalar.text)
            case .notFinite:
                onProblem(self, "found `\(scalar.text)`, which JSON cannot say; put it in quotes if it is text")
                return .null
            }
        }
    }
}
