// The Swift snippets of the documentation. Read by tests that compile them; any thread. The word behind ```swift says how:
//   (none)    a program, or handlers for a router that the test puts before them; with a comment `// error: …` a program that must be
//             refused with these words
//   library   a file without top-level statements
//   manifest  a Package.swift
//   fragment  of a Package.swift: a dependency, a line with dots, products
//   adapter   a program that needs other packages: compiled by Tests/adapters, the others by Tests/Lifetimes

package import Foundation

package struct Snippet: Sendable, CustomStringConvertible {
    package let file: String
    package let line: Int
    package let label: String
    package let text: String
    package var description: String { "\(file):\(line)" }

    /// What is compiled: snippets that only add routes get a router.
    package var program: String {
        if label == "fragment" { return Self.manifest(text) }
        if label == "manifest" || text.contains("import Uring") { return text }
        return "import UringServer\n" + (text.contains("Router()") ? "" : "var router = Router()\n") + text
    }

    /// A manifest around a dependency and, behind a line of dots, products.
    private static func manifest(_ text: String) -> String {
        let parts = text.split(separator: "…\n", maxSplits: 1, omittingEmptySubsequences: false)
        return """
            // swift-tools-version: 6.2
            import PackageDescription
            let package = Package(
                name: "App", dependencies: [
            \(parts[0])], targets: [.executableTarget(name: "App", dependencies: [
            \(parts.count > 1 ? parts[1] : "")])])
            """
    }
}

package enum Documents {
    package static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Swift blocks of README.md and of everything below docs/.
    package static func snippets() -> [Snippet] {
        var files = ["README.md", "CHANGELOG.md"]
        if let found = FileManager.default.enumerator(atPath: root.appending(path: "docs").path) {
            for case let path as String in found where path.hasSuffix(".md") { files.append("docs/\(path)") }
        }
        return files.flatMap { file in
            ((try? String(contentsOf: root.appending(path: file), encoding: .utf8)).map { snippets(in: $0, file) }) ?? []
        }
    }

    private static func snippets(in text: String, _ file: String) -> [Snippet] {
        var snippets: [Snippet] = []
        var open: (line: Int, label: String, text: String)?
        for (number, line) in text.components(separatedBy: "\n").enumerated() {
            if let block = open {
                if line.hasPrefix("```") {
                    snippets.append(Snippet(file: file, line: block.line, label: block.label, text: block.text))
                    open = nil
                } else {
                    open?.text += line + "\n"
                }
            } else if line.hasPrefix("```swift") {
                open = (number + 1, line.dropFirst("```swift".count).trimmingCharacters(in: .whitespaces), "")
            }
        }
        return snippets
    }
}
