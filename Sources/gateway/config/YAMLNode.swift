// The tree that a YAML file becomes: values with their places. Owned by whoever parsed it, immutable, and gone once a
// `Configuration` has been made from it. Knows nothing of what keys mean.

/// One value of a document. A class, because an alias shares the anchored node instead of copying it.
package final class YAMLNode: Sendable {
    package enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        /// In the order of the file; keys are unique.
        case mapping([Entry])
    }

    package struct Entry: Sendable {
        package let key: String
        package let keyPosition: SourcePosition
        package let value: YAMLNode
    }

    package let content: Content
    package let position: SourcePosition
    /// Levels below and including this node: 1 for a scalar.
    let height: Int
    /// What a walk over this node costs when aliases are followed, in bytes; saturates.
    let cost: Int

    /// Charged for each node besides its text, so that many empty nodes cost something too.
    static let costOfNode = 32

    init(_ content: Content, at position: SourcePosition) {
        self.content = content
        self.position = position
        switch content {
        case .scalar(let scalar):
            height = 1
            cost = Self.costOfNode + scalar.text.utf8.count
        case .sequence(let items):
            height = 1 + (items.map(\.height).max() ?? 0)
            cost = items.reduce(Self.costOfNode) { Self.saturatingSum($0, $1.cost) }
        case .mapping(let entries):
            height = 1 + (entries.map(\.value.height).max() ?? 0)
            cost = entries.reduce(Self.costOfNode) {
                Self.saturatingSum($0, Self.saturatingSum($1.value.cost, $1.key.utf8.count))
            }
        }
    }

    private static func saturatingSum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }
}

package struct YAMLScalar: Sendable {
    /// `plain` is open to be read as a number, a boolean or null; `quoted` (block styles and `!!str` included) is text.
    package enum Style: Sendable { case plain, quoted }

    package let text: String
    package let style: Style
    /// What the file has where the environment put something else: only this may be shown.
    package let raw: String?
    /// It names a variable that is not there, which was reported: there is nothing to judge.
    package let isUnresolved: Bool

    package init(text: String, style: Style, raw: String? = nil, isUnresolved: Bool = false) {
        self.isUnresolved = isUnresolved
        self.text = text
        self.style = style
        self.raw = raw
    }

    /// The value under the core schema of YAML 1.2 (section 10.3.2), in which `yes`, `on` and `12:30` are text.
    package enum Resolved: Sendable, Equatable {
        case null
        case boolean(Bool)
        /// Canonical decimal digits with an optional minus sign: no bound on the size.
        case integer(String)
        /// A JSON number with a fraction or an exponent.
        case float(String)
        /// `.inf`, `.nan`: numbers that JSON cannot say.
        case notFinite
        case string
    }
}

extension YAMLScalar {
    /// As `resolved`, for where a number or the like is wanted: `"${PORT}"` is one although it stands in quotes, which `{ … }` around it needs.
    var typed: Resolved { raw == nil ? resolved : YAMLScalar(text: text, style: .plain).resolved }

    package var resolved: Resolved {
        guard style == .plain else { return .string }
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .boolean(true)
        case "false", "False", "FALSE": return .boolean(false)
        case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
            return .notFinite
        default: return Self.resolveNumber(Array(text.utf8)) ?? .string
        }
    }

    private static func resolveNumber(_ bytes: [UInt8]) -> Resolved? {
        if bytes.count > 2, bytes[0] == UInt8(ascii: "0") {
            if bytes[1] == UInt8(ascii: "x") { return radixInteger(bytes[2...], 16) }
            if bytes[1] == UInt8(ascii: "o") { return radixInteger(bytes[2...], 8) }
        }
        var rest = bytes[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        let whole = takeDigits(&rest)
        var fraction: ArraySlice<UInt8> = []
        let hasPoint = rest.first == UInt8(ascii: ".")
        if hasPoint {
            rest.removeFirst()
            fraction = takeDigits(&rest)
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return nil }
        var exponent = ""
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest.removeFirst()
            if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
                rest.removeFirst()
                if sign == UInt8(ascii: "-") { exponent = "-" }
            }
            let digits = takeDigits(&rest)
            guard !digits.isEmpty else { return nil }
            exponent = "e" + exponent + String(decoding: digits, as: UTF8.self)
        }
        guard rest.isEmpty else { return nil }
        // JSON has no leading zeros, no bare point and no plus sign.
        let significant = whole.drop { $0 == UInt8(ascii: "0") }
        let digits = significant.isEmpty ? "0" : String(decoding: significant, as: UTF8.self)
        if !hasPoint && exponent.isEmpty { return .integer((isNegative && digits != "0" ? "-" : "") + digits) }
        let point = fraction.isEmpty ? "" : "." + String(decoding: fraction, as: UTF8.self)
        let number = (isNegative ? "-" : "") + digits + point + exponent
        return .float(point.isEmpty && exponent.isEmpty ? number + ".0" : number)
    }

    private static func takeDigits(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        rest = rest[digits.endIndex...]
        return digits
    }

    /// Hexadecimal and octal integers up to 64 bits; longer ones stay text, since nobody means a number by them.
    private static func radixInteger(_ digits: ArraySlice<UInt8>, _ radix: Int) -> Resolved? {
        guard digits.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
        return UInt64(String(decoding: digits, as: UTF8.self), radix: radix).map { .integer(String($0)) }
    }
}

extension YAMLNode {
    /// What an operator reads as "found": the kind and, when short, the text.
    var found: String {
        switch content {
        case .sequence(let items): items.isEmpty ? "an empty list" : "a list"
        case .mapping(let entries): entries.isEmpty ? "an empty mapping" : "a mapping"
        case .scalar(let scalar): scalar.found
        }
    }

    var isNull: Bool {
        if case .scalar(let scalar) = content { return scalar.resolved == .null }
        return false
    }
}

extension YAMLNode {
    /// The text before the environment's values were put in; nil when none were.
    var rawText: String? {
        if case .scalar(let scalar) = content { return scalar.raw }
        return nil
    }

    var isSubstituted: Bool { rawText != nil }

    var isUnresolved: Bool {
        if case .scalar(let scalar) = content { return scalar.isUnresolved }
        return false
    }
}

extension YAMLScalar {
    var found: String {
        if let raw { return "the value of `\(Self.shown(raw))`\(text.isEmpty ? ", which is empty" : "")" }
        switch resolved {
        case .null: return text.isEmpty ? "nothing" : "nothing (`\(text)` is null)"
        case .boolean, .integer, .float, .notFinite: return "`\(text)`"
        case .string: return text.isEmpty ? "empty text" : (style == .quoted ? "the text \"\(Self.shown(text))\"" : "`\(Self.shown(text))`")
        }
    }

    /// Text from the file as it may appear in a message: short, on one line and without control characters.
    static func shown(_ text: String) -> String {
        let charactersMax = 60
        var result = ""
        for (count, scalar) in text.unicodeScalars.enumerated() {
            if count == charactersMax { return result + "…" }
            let isControl = scalar.value < 0x20 || (scalar.value >= 0x7f && scalar.value < 0xa0)
            result.unicodeScalars.append(isControl ? "\u{fffd}" : scalar)
        }
        return result
    }
}
