// Every Swift snippet of the documentation, compiled. The word behind ```swift says how:
//   (none)    a program, or handlers for a router that the test puts before them; with a comment `// error: …` a program that must be
//             refused with these words
//   library   a file without top-level statements
//   manifest  a Package.swift
//   adapter   needs packages that this test does not build: left out here

import Foundation
import Testing

struct Snippet: CustomTestStringConvertible, Sendable {
    let file: String
    let line: Int
    let label: String
    let text: String
    var testDescription: String { "\(file):\(line)" }

    /// What is compiled: snippets that only add routes get a router.
    var program: String {
        if label == "manifest" || text.contains("import Uring") { return text }
        return "import UringServer\n" + (text.contains("Router()") ? "" : "var router = Router()\n") + text
    }
}

enum Documents {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Swift blocks of README.md and of everything below docs/.
    static func snippets() -> [Snippet] {
        var files = ["README.md", "CHANGELOG.md"]
        if let found = FileManager.default.enumerator(atPath: root.appending(path: "docs").path) {
            for case let path as String in found where path.hasSuffix(".md") { files.append("docs/\(path)") }
        }
        return files.flatMap { file in
            ((try? String(contentsOf: root.appending(path: file), encoding: .utf8)).map { snippets(in: $0, file) }) ?? []
        }
    }

    static func snippets(in text: String, _ file: String) -> [Snippet] {
        var snippets: [Snippet] = []
        var open: (line: Int, label: String, text: String)?
        for (number, line) in text.components(separatedBy: "\n").enumerated() {
            if let block = open {
                if line.hasPrefix("```") {
                    if block.label != "adapter" { snippets.append(Snippet(file: file, line: block.line, label: block.label, text: block.text)) }
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

@Suite struct DocumentTests {
    @Test(arguments: Documents.snippets())
    func compiles(_ snippet: Snippet) throws {
        let compiler = try Compiler()
        switch snippet.label {
        case "" where !snippet.text.contains("// error: "): #expect(try compiler.compile(snippet.program) == nil)
        case "library": #expect(try compiler.compile(snippet.program, as: .library) == nil)
        case "manifest": #expect(try compiler.compile(snippet.program, as: .manifest) == nil)
        case "":
            let verdict = try #require(try compiler.compile(snippet.program), "it compiles")
            let told = try #require(snippet.text.split(separator: "// error: ").dropFirst().first?.prefix { $0 != "\n" })
            #expect(verdict.contains(told))
        default: Issue.record("unknown label \(snippet.label)")
        }
    }

    /// The user documentation is there, and the blocks are found.
    @Test func documentsAreFound() {
        let files = Set(Documents.snippets().map(\.file))
        for name in ["start", "handlers", "async", "client", "bodies", "routing", "middleware", "testing", "tls-and-http2", "websocket"] { #expect(files.contains("docs/users/\(name).md")) }
    }

    /// Links between documents lead somewhere.
    @Test func linksLead() throws {
        for name in ["start", "handlers", "async", "client", "bodies", "routing", "middleware", "testing", "tls-and-http2", "websocket"] {
            let text = try String(contentsOf: Documents.root.appending(path: "docs/users/\(name).md"), encoding: .utf8)
            for match in text.matches(of: /\]\(([^)#: ]+\.md)\)/) {
                let target = Documents.root.appending(path: "docs/users/\(match.1)").path
                #expect(FileManager.default.fileExists(atPath: target), "\(name).md: \(match.1)")
            }
        }
    }
}
