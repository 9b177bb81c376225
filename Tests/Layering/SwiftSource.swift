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

    let code: String
    let words: [Word]

    init(_ text: String) {
        var stripper = Stripper(text)
        code = stripper.strip()
        words = SwiftSource.words(of: code)
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

    private static func words(of code: String) -> [Word] {
        var words: [Word] = []
        var line = 1
        var current = ""
        func isPartOfName(_ character: Character) -> Bool { character.isLetter || character.isNumber || character == "_" || character == "`" }
        for character in code {
            if !isPartOfName(character), !current.isEmpty {
                words.append(Word(text: current, line: line))
                current = ""
            }
            if isPartOfName(character) {
                current.append(character)
            } else if character.isNewline {
                line += 1
            } else if !character.isWhitespace {
                words.append(Word(text: String(character), line: line))
            }
        }
        if !current.isEmpty { words.append(Word(text: current, line: line)) }
        return words
    }
}

/// Blanks out comments and string literals. Code within an interpolation stays: it is code.
private struct Stripper {
    private let text: [Character]
    private var at = 0
    private var out = ""

    init(_ text: String) {
        self.text = Array(text)
    }

    mutating func strip() -> String {
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
                if text[at] == "(" { depth += 1 }
                if text[at] == ")" {
                    if depth == 0, untilClosingParenthesis { return }
                    depth -= 1
                }
                out.append(text[at])
                at += 1
            }
        }
    }

    private func starts(_ prefix: String, at offset: Int = 0) -> Bool {
        text[min(at + offset, text.count)...].starts(with: prefix)
    }

    private mutating func skipLineComment() {
        while at < text.count, !text[at].isNewline { at += 1 }
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
        out.append(" ")
    }

    /// The number of `#` before the quote when a literal starts here.
    private func stringStart() -> Int? {
        var hashes = 0
        while at + hashes < text.count, text[at + hashes] == "#" { hashes += 1 }
        return at + hashes < text.count && text[at + hashes] == "\"" ? hashes : nil
    }

    private mutating func skipString(hashes: Int) {
        let fence = String(repeating: "#", count: hashes)
        at += hashes
        let quote = starts("\"\"\"") ? "\"\"\"" : "\""
        at += quote.count
        out.append(" ")
        while at < text.count {
            if starts(quote + fence) {
                at += quote.count + hashes
                return
            }
            if starts("\\" + fence) {
                at += 1 + hashes
                if at < text.count, text[at] == "(" {
                    at += 1
                    out.append(" ")
                    stripCode(untilClosingParenthesis: true)
                    out.append(" ")
                    at += 1
                } else if at < text.count {
                    blank()
                }
            } else if quote.count == 1, text[at].isNewline {
                return  // an unterminated literal does not compile; do not swallow the rest of the file
            } else {
                blank()
            }
        }
    }

    private mutating func blank() {
        if text[at].isNewline { out.append("\n") }
        at += 1
    }
}
