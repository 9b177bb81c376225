// Shows that each rule fails on a text that breaks it, and that no way of writing an import escapes.

import Testing

private let http = Layers.all.first { $0.module == "UringHTTP" }!

@Suite struct CheckerTests {
    @Test(arguments: [
        "import UringRing", "  import   UringRing", "public import UringRing", "package import UringRing", "internal import UringRing",
        "@_exported import UringRing", "@_exported public import UringRing", "@testable import UringRing", "@preconcurrency import UringRing",
        "@_spi(Inner)\nimport UringRing", "@_exported\n\n// why\nimport UringRing", "import struct UringRing.Ring", "import func UringRing.go",
        "import UringRing.Inner", "let a = 1; import UringRing", "import\nUringRing", "/* a */ import /* b */ UringRing", "import `UringRing`",
        "#if os(Linux)\nimport UringRing\n#endif", "#if canImport(UringRing)\n#endif", "#if canImport(UringRing, _version: 1)\n#endif",
        "let s = \"\"\"\n  \"quoted\" \\(a)\n  \"\"\"\nimport UringRing", "let s = #\"\\\"#\nimport UringRing", "let s = \"\\\"\"; import UringRing",
        "/* /* nested */ import UringHTTP1 */ import UringRing", "let s = \"\\(f(\")\"))\"\nimport UringRing",
    ])
    func everyFormOfAForbiddenImportIsFound(text: String) {
        let found = Checker.layering(of: "x.swift", text: text, layer: http)
        #expect(found.contains { $0.problem == "UringHTTP (layer 2) must not import UringRing" }, "\(found)")
        #expect(!found.contains { $0.problem.contains("UringHTTP1") })
    }

    @Test(arguments: [
        "// import UringRing", "/* import UringRing */", "/* /* */ import UringRing */", "let s = \"import UringRing\"",
        "let s = \"\"\"\nimport UringRing\n\"\"\"", "let s = #\"\"\"\n\"\"\"\nimport UringRing\n\"\"\"#", "x.import(UringRing)", "x.import UringRing",
        "f(import: UringRing)", "let `import` = UringRing", "importUringRing()", "let s = \"\\(a) import UringRing\"", "import UringBase", "",
        "import", "import 5", "\"", "/*", "#", "\\(", ")",
    ])
    func nothingElseIsTakenForOne(text: String) {
        #expect(Checker.layering(of: "x.swift", text: text, layer: http) == [])
    }

    @Test func everyCutOfATextIsRead() {
        let text = "/* a /* b */ */ @_exported import struct UringBase.A; let s = #\"\\#(f(\"x\"))\"#\n#if canImport(UringBase)\n\"\"\"\n\"\"\""
        #expect(SwiftSource(text).imports.map(\.module) == ["UringBase", "UringBase"])
        for cut in text.indices {
            let modules = SwiftSource(String(text[..<cut])).imports.map(\.module)
            #expect(modules.allSatisfy { "UringBase".hasPrefix($0) || "struct".hasPrefix($0) }, "\(modules)")
            _ = SwiftSource(String(text[cut...])).imports
        }
    }

    @Test func linesAreCounted() {
        let text = "/* 1\n2 */\nlet s = \"\"\"\n4\n\"\"\"\nimport UringServer\n"
        #expect(Checker.layering(of: "x.swift", text: text, layer: http).map(\.line) == [6])
    }

    @Test(arguments: ["import Foundation", "import FoundationEssentials", "#if canImport(FoundationNetworking)\n#endif"])
    func foundationIsFound(text: String) {
        for layer in Layers.all {
            #expect(Checker.layering(of: "x.swift", text: text, layer: layer).contains { $0.problem.hasSuffix("stays out of Sources/") })
        }
    }

    @Test func testableIsFound() {
        #expect(Checker.layering(of: "x.swift", text: "@testable import UringBase", layer: http).map(\.problem) == ["@testable belongs to tests"])
    }

    @Test func protocolCodeHasNoSystemModules() {
        #expect(!Checker.layering(of: "x.swift", text: "import Glibc", layer: http).isEmpty)
    }

    @Test func undeclaredImportIsFound() {
        let target = DeclaredTarget(name: "A", path: "Sources/a", dependencies: ["B"])
        let text = "import B\nimport Glibc\nimport C\n#if canImport(D)\n#endif\n"
        #expect(
            Checker.declarations(of: "x.swift", text: text, target: target).map(\.description)
                == ["x.swift:3: A imports C and does not declare it in Package.swift"])
    }

    @Test func openings() {
        #expect(Checker.opening(of: "x.swift", text: "\n// Owns…\nimport A") == [])
        #expect(Checker.opening(of: "x.swift", text: "/// Owns…\nstruct A {}") == [])
        #expect(Checker.opening(of: "x.swift", text: "import A\n// Owns…").count == 1)
        #expect(Checker.opening(of: "x.swift", text: "").count == 1)
    }

    @Test func lengthsAtTheirLimit() {
        let line = "x\n"
        #expect(Checker.length(of: "x.swift", text: String(repeating: line, count: Layers.fileLinesMax)) == [])
        #expect(Checker.length(of: "x.swift", text: String(repeating: line, count: Layers.fileLinesMax + 1)).count == 1)
        #expect(Checker.length(of: "x.swift", text: String(repeating: line, count: Layers.fileLinesMax) + "x").count == 1)
    }

    @Test func headers() {
        #expect(Checker.header(of: "x.h", text: "#pragma once\n#include <features.h>\n#include <liburing.h>\n") == [])
        #expect(Checker.header(of: "x.h", text: "#  include <features.h> // first\n") == [])
        #expect(Checker.header(of: "x.h", text: "#include <liburing.h>\n#include <features.h>\n").map(\.line) == [1])
        #expect(Checker.header(of: "x.h", text: "#include \"other.h\"\n").count == 1)
        #expect(Checker.header(of: "x.h", text: "int f(void);\n").count == 1)
    }

    @Test func manifestIsRead() {
        let manifest = PackageManifest(
            """
            // .target(name: "Comment")
            let package = Package(name: "p", dependencies: [.package(url: "https://a.b/c", from: "1.0.0")], targets: [
                .target(name: "A", path: "x/A"), // unsafeFlags
                .executableTarget(
                    name: "B",
                    dependencies: ["A", .product(name: "Logging", package: "swift-log"), .target(name: "C")],
                    path: "x/B"),
                .testTarget(name: "T", dependencies: [ ], path: "t"),
            ])
            """)
        #expect(
            manifest.targets == [
                DeclaredTarget(name: "A", path: "x/A", dependencies: []),
                DeclaredTarget(name: "B", path: "x/B", dependencies: ["A", "Logging", "C"]),
                DeclaredTarget(name: "T", path: "t", dependencies: []),
            ])
        #expect(!manifest.usesUnsafeFlags)
        #expect(PackageManifest("swiftSettings: [.unsafeFlags([\"-Ounchecked\"])]").usesUnsafeFlags)
    }
}
