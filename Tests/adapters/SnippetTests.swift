// The Swift snippets of the documentation that need other packages, compiled against what this test was built with: ```swift adapter fences.

#if Log && Metrics && Tracing && Lifecycle && HTTPTypes && Hummingbird
import Foundation
import TestSupport
import Testing

@Suite struct SnippetTests {
    static let snippets = Documents.snippets().filter { $0.label == "adapter" }

    @Test(arguments: snippets) func compiles(_ snippet: Snippet) throws {
        #expect(try Compiler().compile(snippet.text) == nil)
    }

    /// Each adapter with something to show is shown.
    @Test func snippetsAreFound() {
        let text = Self.snippets.map(\.text).joined()
        for module in ["UringLog", "UringMetrics", "UringTracing", "UringLifecycle", "UringHummingbird"] { #expect(text.contains("import \(module)\n"), "\(module)") }
    }

    /// What does not exist is told: the modules are looked at.
    @Test func mistakesAreFound() throws {
        let verdict = try Compiler().compile("import UringHummingbird\nlet app: UringApplicatio\n")
        #expect(verdict?.contains("UringApplicatio") == true)
    }
}
#endif
