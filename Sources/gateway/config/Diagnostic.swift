// What the configuration loader has to say to an operator: a position, a severity and one sentence.
// Made by the YAML parser, the validator and the loader; printed by `uringd check`, `serve` and a failed reload.

/// A place in a file. Lines and columns count from 1; columns count characters, as editors do.
package struct SourcePosition: Sendable, Hashable, Comparable {
    /// Which of the files: 0 is the one that was asked for, others are what it includes.
    package var file: Int
    package var line: Int
    package var column: Int

    package init(file: Int = 0, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// The place of problems that concern the file as a whole.
    package static let fileStart = SourcePosition(line: 1, column: 1)

    package static func < (a: Self, b: Self) -> Bool {
        (a.file, a.line, a.column) < (b.file, b.line, b.column)
    }
}

package struct Diagnostic: Sendable, Hashable {
    package enum Severity: Sendable, Hashable {
        /// The configuration cannot be used.
        case error
        /// The configuration can be used, but probably does not do what its author wanted.
        case warning
        /// Worth knowing.
        case note

        package var name: String {
            switch self {
            case .error: "error"
            case .warning: "warning"
            case .note: "note"
            }
        }
    }

    package var severity: Severity
    package var position: SourcePosition
    package var message: String
    /// The name by which a warning is allowed.
    package var lint: ConfigLint?

    package static func error(_ position: SourcePosition, _ message: String) -> Diagnostic {
        Diagnostic(severity: .error, position: position, message: message)
    }

    package static func warning(_ position: SourcePosition, _ message: String) -> Diagnostic {
        Diagnostic(severity: .warning, position: position, message: message)
    }

    package static func lint(_ lint: ConfigLint, _ position: SourcePosition, _ message: String) -> Diagnostic {
        Diagnostic(severity: .warning, position: position, message: message, lint: lint)
    }

    /// `FILE:LINE:COL: message`; warnings say so before the message, and behind it by which name they are allowed. This first line is a
    /// stable interface for editors.
    package func line(file: String) -> String {
        let mark = severity == .error ? "" : severity.name + ": "
        let name = lint.map { " [\($0.rawValue)]" } ?? ""
        return "\(file):\(position.line):\(position.column): \(mark)\(message)\(name)"
    }
}

/// Collects diagnostics while a file is judged, with a bound: a file of a million wrong keys ends in a readable report.
struct DiagnosticList {
    /// Enough for every problem of any file written by hand, and a page that a person can still read.
    static let countMax = 1000

    private(set) var all: [Diagnostic] = []
    private var dropped = 0

    var hasErrors = false

    mutating func add(_ diagnostic: Diagnostic) {
        if diagnostic.severity == .error { hasErrors = true }
        if all.count < Self.countMax { all.append(diagnostic) } else { dropped += 1 }
    }

    mutating func error(_ position: SourcePosition, _ message: String) { add(.error(position, message)) }
    mutating func warning(_ position: SourcePosition, _ message: String) { add(.warning(position, message)) }
    mutating func lint(_ lint: ConfigLint, _ position: SourcePosition, _ message: String) { add(.lint(lint, position, message)) }
    mutating func allow(_ lints: Set<ConfigLint>) { all.removeAll { $0.lint.map(lints.contains) ?? false } }

    /// In the order of the file, each once (an alias brings the same node to several places).
    func sorted() -> [Diagnostic] {
        var seen: Set<Diagnostic> = []
        var result = all.filter { seen.insert($0).inserted }
        // Array.sort is stable in fact but not by promise: the original index breaks ties.
        result = result.enumerated()
            .sorted { ($0.element.position, $0.offset) < ($1.element.position, $1.offset) }
            .map(\.element)
        if dropped > 0, let last = result.last {
            result.append(.error(last.position, "\(dropped) more problems are not listed"))
        }
        return result
    }
}

/// Turns diagnostics into the text of `uringd check`.
package enum DiagnosticRenderer {
    /// Longer lines are cut around the position, so that a minified file does not flood a terminal. In characters.
    static let excerptCharactersMax = 120

    /// One line per diagnostic; with `excerpts`, the line of the file and a caret below it follow.
    package static func render(_ diagnostics: [Diagnostic], _ sources: [ConfigSource], excerpts: Bool) -> String {
        let lines = excerpts ? sources.map { $0.bytes.map(Lines.init) } : []
        var text = ""
        for diagnostic in diagnostics {
            let file = diagnostic.position.file
            text += diagnostic.line(file: name(file, sources))
            text += "\n"
            if lines.indices.contains(file), let lines = lines[file] { text += lines.excerpt(diagnostic.position) }
        }
        return text
    }

    /// For programs, one object: whether the configuration is good, and the diagnostics with their fields apart.
    package static func json(_ diagnostics: [Diagnostic], _ sources: [ConfigSource]) -> JSONValue {
        .object([
            "file": .string(name(0, sources)), "good": .boolean(!diagnostics.contains { $0.severity == .error }),
            "diagnostics": .array(
                diagnostics.map { diagnostic in
                    .object([
                        "severity": .string(diagnostic.severity.name),
                        "file": .string(name(diagnostic.position.file, sources)), "line": .integer(UInt64(diagnostic.position.line)),
                        "column": .integer(UInt64(diagnostic.position.column)), "message": .string(diagnostic.message),
                        "lint": diagnostic.lint.map { .string($0.rawValue) },
                    ])
                }),
        ])
    }

    private static func name(_ file: Int, _ sources: [ConfigSource]) -> String { sources.indices.contains(file) ? sources[file].name : "" }

    private struct Lines {
        let bytes: [UInt8]
        var starts: [Int]

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            starts = [0]
            for (index, byte) in bytes.enumerated() where byte == UInt8(ascii: "\n") { starts.append(index + 1) }
        }

        func excerpt(_ position: SourcePosition) -> String {
            guard position.line >= 1, position.line <= starts.count else { return "" }
            let start = starts[position.line - 1]
            var end = position.line < starts.count ? starts[position.line] - 1 : bytes.count
            while end > start, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
            // Scalars, not graphemes: libyaml counts scalars. Control characters would move the terminal's cursor.
            let scalars: [Unicode.Scalar] = String(decoding: bytes[start..<end], as: UTF8.self).unicodeScalars
                .map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }
            guard !scalars.isEmpty else { return "" }
            let column = min(max(position.column - 1, 0), scalars.count)
            let first = max(0, column - excerptCharactersMax / 2)
            let last = min(scalars.count, first + excerptCharactersMax)
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[first..<last])
            return "    \(String(view))\n    \(String(repeating: " ", count: column - first))^\n"
        }
    }
}
