// Reads Swift text as far as the layering needs it: without comments and string literals, cut into words. Pure.

/// One `import`, or a module that a `canImport` asks for.
struct Import: Hashable {
    /// The first component: `Glibc` of `import struct Glibc.stat`.
    let module: String
    let line: Int
    /// `testable`, `_exported`, `_spi`…
    var attributes: Set<String> = []
    /// From `#if canImport(…)`: the file knows of the module even where it does not import it.
    var isCondition = false
}

/// Swift text with comments and string literals blanked out; line ends stay, so that line numbers hold.
struct SwiftSource {
    struct Word: Hashable {
        let text: String
        let line: Int
    }

    let words: [Word]

    init(_ text: String) {
        var stripper = Stripper(text)
        words = SwiftSource.words(of: stripper.strip())
    }

    /// Every import in any form: with attributes and access levels, of a single declaration, behind `;`, within `#if`.
    var imports: [Import] {
        var found: [Import] = []
        for index in words.indices {
            let word = words[index]
            if word.text == "canImport", text(at: index + 1) == "(", let module = text(at: index + 2) {
                found.append(Import(module: unquoted(module), line: word.line, isCondition: true))
            }
            if word.text == "import", let module = importedModule(after: index) {
                found.append(Import(module: module, line: word.line, attributes: attributes(before: index)))
            }
        }
        return found
    }

    /// `import` is a keyword: elsewhere it occurs only as a member (`.import`), in backticks, or as an argument label (`import:`).
    private func importedModule(after index: Int) -> String? {
        if index > 0, words[index - 1].text == "." { return nil }
        let kinds: Set<String> = ["typealias", "struct", "class", "enum", "protocol", "let", "var", "func", "actor", "macro"]
        var next = index + 1
        if let kind = text(at: next), kinds.contains(kind) { next += 1 }
        guard let module = text(at: next), let first = module.first, first.isLetter || first == "_" || first == "`" else { return nil }
        return unquoted(module)
    }

    /// Walks back over access levels and attributes, which may stand on earlier lines and have arguments.
    private func attributes(before index: Int) -> Set<String> {
        let levels: Set<String> = ["public", "package", "internal", "fileprivate", "private"]
        var attributes: Set<String> = []
        var at = index - 1
        while at >= 0 {
            if levels.contains(words[at].text) {
                at -= 1
            } else if words[at].text == ")" {
                while at >= 0, words[at].text != "(" { at -= 1 }
                at -= 1
            } else if at > 0, words[at - 1].text == "@" {
                attributes.insert(words[at].text)
                at -= 2
            } else {
                break
            }
        }
        return attributes
    }

    private func text(at index: Int) -> String? {
        words.indices.contains(index) ? words[index].text : nil
    }

    private func unquoted(_ name: String) -> String {
        name.filter { $0 != "`" }
    }

    private static func words(of code: [UInt8]) -> [Word] {
        var words: [Word] = []
        var line = 1
        var at = 0
        while at < code.count {
            let start = at
            while at < code.count, isPartOfName(code[at]) { at += 1 }
            if at == start { at += 1 }
            let word = code[start..<at]
            if word.first == UInt8(ascii: "\n") {
                line += 1
            } else if let first = word.first, first > UInt8(ascii: " ") {
                words.append(Word(text: String(decoding: word, as: UTF8.self), line: line))
            }
        }
        return words
    }

    private static func isPartOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "`"), 0x80...:
            true
        default: false
        }
    }
}

/// Blanks out comments and string literals. Code within an interpolation stays: it is code. On bytes, because all that matters is
/// ASCII and the whole repository is read.
private struct Stripper {
    private let text: [UInt8]
    private var at = 0
    private var out: [UInt8] = []

    private static let newline = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")
    private static let hash = UInt8(ascii: "#")
    private static let open = UInt8(ascii: "(")
    private static let close = UInt8(ascii: ")")

    init(_ text: String) {
        self.text = Array(text.utf8)
    }

    mutating func strip() -> [UInt8] {
        out.reserveCapacity(text.count)
        stripCode(untilClosingParenthesis: false)
        return out
    }

    private mutating func stripCode(untilClosingParenthesis: Bool) {
        var depth = 0
        while at < text.count {
            if starts("//") {
                skipLineComment()
            } else if starts("/*") {
                skipBlockComment()
            } else if let hashes = stringStart() {
                skipString(hashes: hashes)
            } else {
                if text[at] == Self.open { depth += 1 }
                if text[at] == Self.close {
                    if depth == 0, untilClosingParenthesis { return }
                    depth -= 1
                }
                out.append(text[at])
                at += 1
            }
        }
    }

    private func starts(_ prefix: StaticString, fence: Int = 0) -> Bool {
        let length = prefix.utf8CodeUnitCount
        guard at + length + fence <= text.count else { return false }
        for offset in 0..<fence where text[at + length + offset] != Self.hash { return false }
        return prefix.withUTF8Buffer { bytes in unsafe text[at..<(at + length)].elementsEqual(bytes) }
    }

    private mutating func skipLineComment() {
        while at < text.count, text[at] != Self.newline { at += 1 }
    }

    /// Swift's block comments nest.
    private mutating func skipBlockComment() {
        var depth = 0
        repeat {
            if starts("/*") {
                depth += 1
                at += 2
            } else if starts("*/") {
                depth -= 1
                at += 2
            } else {
                blank()
            }
        } while depth > 0 && at < text.count
        out.append(Self.space)
    }

    /// The number of `#` before the quote when a literal starts here.
    private func stringStart() -> Int? {
        var hashes = 0
        while at + hashes < text.count, text[at + hashes] == Self.hash { hashes += 1 }
        return at + hashes < text.count && text[at + hashes] == UInt8(ascii: "\"") ? hashes : nil
    }

    private mutating func skipString(hashes: Int) {
        at += hashes
        let isMultiline = starts("\"\"\"")
        let quote: StaticString = isMultiline ? "\"\"\"" : "\""
        at += quote.utf8CodeUnitCount
        out.append(Self.space)
        while at < text.count {
            if starts(quote, fence: hashes) {
                at += quote.utf8CodeUnitCount + hashes
                return
            }
            if starts("\\", fence: hashes) {
                at += 1 + hashes
                skipEscape()
            } else if !isMultiline, text[at] == Self.newline {
                return  // an unterminated literal does not compile; do not swallow the rest of the file
            } else {
                blank()
            }
        }
    }

    /// Behind the backslash: an interpolation, whose code stays, or one escaped character.
    private mutating func skipEscape() {
        guard at < text.count else { return }
        guard text[at] == Self.open else { return blank() }
        at += 1
        out.append(Self.space)
        stripCode(untilClosingParenthesis: true)
        out.append(Self.space)
        at += 1
    }

    private mutating func blank() {
        if text[at] == Self.newline { out.append(Self.newline) }
        at += 1
    }
}
