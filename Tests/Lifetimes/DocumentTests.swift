// Every Swift snippet of the documentation, compiled; those that need other packages by Tests/adapters. What the word behind ```swift means is said in Documents.swift.

import Foundation
import TestSupport
import Testing

@Suite struct DocumentTests {
    @Test(arguments: Documents.snippets().filter { $0.label != "adapter" })
    func compiles(_ snippet: Snippet) throws {
        let compiler = try Compiler()
        switch snippet.label {
        case "" where !snippet.text.contains("// error: "): #expect(try compiler.compile(snippet.program) == nil)
        case "library": #expect(try compiler.compile(snippet.program, as: .library) == nil)
        case "manifest", "fragment": #expect(try compiler.compile(snippet.program, as: .manifest) == nil)
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
