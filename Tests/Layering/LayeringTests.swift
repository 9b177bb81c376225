// The repository against its own rules.

import Testing

@Suite struct LayeringTests {
    private let manifest: PackageManifest

    init() throws {
        manifest = PackageManifest(try Repository.text("Package.swift"))
    }

    private func report(_ violations: [Violation]) {
        for violation in violations { Issue.record("\(violation)") }
    }

    private func sources(of layer: Layer) -> [String] {
        Repository.files(under: "Sources/\(layer.directory)", endings: [".swift"])
    }

    @Test(arguments: Layers.all.map(\.module))
    func importsOnlyWhatStandsBelow(module: String) throws {
        let layer = try #require(Layers.all.first { $0.module == module })
        let files = sources(of: layer)
        #expect(!files.isEmpty, "nothing found under Sources/\(layer.directory)")
        for file in files { report(Checker.layering(of: file, text: try Repository.text(file), layer: layer)) }
    }

    @Test func everySourceBelongsToALayer() {
        let known = Set(Layers.all.flatMap(sources(of:)))
        let unknown = Repository.files(under: "Sources", endings: [".swift"]).filter { !known.contains($0) }
        #expect(unknown.isEmpty, "not in the layer table: \(unknown)")
    }

    @Test func everyImportIsDeclared() throws {
        for target in manifest.targets {
            for file in Repository.files(under: target.path, endings: [".swift"]) {
                report(Checker.declarations(of: file, text: try Repository.text(file), target: target))
            }
        }
    }

    /// The manifest may not declare what the table forbids: a dependency alone puts a module within reach.
    @Test func manifestAgreesWithTheTable() throws {
        for layer in Layers.all {
            let target = try #require(manifest.targets.first { $0.name == layer.module }, "\(layer.module) is not in Package.swift")
            #expect(target.path == "Sources/\(layer.directory)")
            let forbidden = target.dependencies.subtracting(layer.allowed)
            #expect(forbidden.isEmpty, "\(layer.module) declares \(forbidden.sorted()), which its layer may not import")
        }
    }

    @Test func manifestHasNoUnsafeFlags() {
        #expect(!manifest.usesUnsafeFlags, "packages with unsafeFlags cannot be depended on")
    }

    @Test func everySourceOpensWithAComment() throws {
        for file in Repository.files(under: "Sources", endings: [".swift"]) {
            report(Checker.opening(of: file, text: try Repository.text(file)))
        }
    }

    @Test func noFileIsTooLong() throws {
        let files = Repository.files(under: "Sources", endings: [".swift"]) + Repository.files(under: "Tests", endings: [".swift"])
            + Repository.files(under: "CShims", endings: [".h", ".c"])
        for file in files { report(Checker.length(of: file, text: try Repository.text(file))) }
    }

    @Test func everyHeaderIncludesFeaturesFirst() throws {
        let headers = Repository.files(under: "CShims", endings: [".h"])
        #expect(!headers.isEmpty)
        for file in headers { report(Checker.header(of: file, text: try Repository.text(file))) }
    }

    /// The table itself: levels descend, except where it says so.
    @Test func tableDescends() {
        let levels = Dictionary(uniqueKeysWithValues: Layers.all.map { ($0.module, $0.level) })
        for layer in Layers.all {
            for module in layer.imports.subtracting(Layers.exceptions[layer.module] ?? []) {
                #expect((levels[module] ?? .max) < layer.level, "\(layer.module) may import \(module)")
            }
        }
    }
}
