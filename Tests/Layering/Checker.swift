// The rules, over texts: so that each rule can be shown to fail. Pure; the tests feed it the repository and made-up files.

/// One breach, told so that the reader finds and understands it.
struct Violation: Hashable, CustomStringConvertible {
    let file: String
    let line: Int
    let problem: String

    var description: String { "\(file):\(line): \(problem)" }
}

enum Checker {
    /// A file under Sources/: its imports against the layer table.
    static func layering(of file: String, text: String, layer: Layer) -> [Violation] {
        SwiftSource(text).imports.flatMap { statement -> [Violation] in
            var problems: [String] = []
            if statement.module == "Foundation" || statement.module.hasPrefix("Foundation") {
                problems.append("\(statement.module) stays out of Sources/")
            } else if !layer.allowed.contains(statement.module) {
                problems.append("\(layer.module) (layer \(layer.level)) must not import \(statement.module)")
            }
            if statement.attributes.contains("testable") { problems.append("@testable belongs to tests") }
            return problems.map { Violation(file: file, line: statement.line, problem: $0) }
        }
    }

    /// Any file: its imports against what its target declares. An undeclared import of a dependency's dependency compiles silently
    /// until the build order changes.
    static func declarations(of file: String, text: String, target: DeclaredTarget) -> [Violation] {
        SwiftSource(text).imports
            .filter { !$0.isCondition && !Layers.toolchain.contains($0.module) && $0.module != target.name }
            .filter { !target.dependencies.contains($0.module) }
            .map {
                Violation(file: file, line: $0.line, problem: "\(target.name) imports \($0.module) and does not declare it in Package.swift")
            }
    }

    /// A file under Sources/ opens with what it owns, who calls it and on which thread.
    static func opening(of file: String, text: String) -> [Violation] {
        let first = text.split(separator: "\n", omittingEmptySubsequences: true).first { !$0.allSatisfy(\.isWhitespace) } ?? ""
        return first.hasPrefix("//") || first.hasPrefix("/*")
            ? [] : [Violation(file: file, line: 1, problem: "does not open with a comment: what it owns, who calls it, which thread")]
    }

    static func length(of file: String, text: String) -> [Violation] {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count - (text.hasSuffix("\n") ? 1 : 0)
        guard lines > Layers.fileLinesMax else { return [] }
        return [Violation(file: file, line: lines, problem: "\(lines) lines, \(Layers.fileLinesMax) at most")]
    }

    /// A C header: <features.h> comes before anything that defines _GNU_SOURCE, or its fd_set differs from the Glibc module's.
    static func header(of file: String, text: String) -> [Violation] {
        var line = 0
        for content in text.split(separator: "\n", omittingEmptySubsequences: false) {
            line += 1
            let words = content.split(whereSeparator: \.isWhitespace).joined()
            guard words.hasPrefix("#include") else { continue }
            return words.hasPrefix("#include<features.h>")
                ? [] : [Violation(file: file, line: line, problem: "the first include must be <features.h>")]
        }
        return [Violation(file: file, line: 1, problem: "includes nothing: the first include must be <features.h>")]
    }
}
