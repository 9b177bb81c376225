// Runs the Swift compiler on programs that use the modules beside the running tests, as a client package would: without the package's experimental
// features. One process per program; used by tests on any thread.

import Foundation

package struct Compiler {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// What the compiler said of a program that it refused; nil when it accepted it.
    package typealias Verdict = String?

    package enum Kind {
        case program
        /// Without top-level statements.
        case library
        /// A Package.swift.
        case manifest
    }

    private let swiftc: String
    private let arguments: [String]

    /// Finds the compiler, and the modules beside the running tests.
    package init() throws {
        let build = try URL(fileURLWithPath: FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")).deletingLastPathComponent()
        var arguments = ["-swift-version", "6", "-enable-upcoming-feature", "MemberImportVisibility", "-I", build.appending(path: "Modules").path]
        let maps = Self.moduleMaps(build)
        guard !maps.isEmpty else { throw Failure(description: "no module map below \(build.path)") }
        for map in maps { arguments += ["-Xcc", "-fmodule-map-file=\(map)"] }
        self.arguments = arguments
        swiftc = try Self.find("swiftc")
    }

    /// Those of C targets: made by the build, or in the sources of packages that bring their own.
    private static func moduleMaps(_ build: URL) -> [String] {
        func names(_ directory: URL) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [] }
        var maps = names(build).filter { $0.hasSuffix(".build") }.map { build.appending(path: "\($0)/module.modulemap") }
        // <scratch path>/<platform>/<configuration>, and <scratch path>/checkouts. Not what lies there from other builds.
        let checkouts = build.resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent().appending(path: "checkouts")
        for package in names(checkouts) {
            let sources = checkouts.appending(path: "\(package)/Sources")
            maps += names(sources).map { sources.appending(path: "\($0)/include/module.modulemap") }
        }
        return maps.map(\.path).filter { FileManager.default.fileExists(atPath: $0) }.sorted()
    }

    private static func find(_ tool: String) throws -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        for directory in path.split(separator: ":") where FileManager.default.isExecutableFile(atPath: "\(directory)/\(tool)") {
            return "\(directory)/\(tool)"
        }
        throw Failure(description: "no \(tool) in PATH")
    }

    /// Compiles a whole program, up to and including the passes that check lifetimes; these run on SIL, so type checking alone would not
    /// see an escape.
    package func compile(_ program: String, as kind: Kind = .program) throws -> Verdict {
        let directory = FileManager.default.temporaryDirectory.appending(path: "uring-lifetimes-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (source, log) = (directory.appending(path: "main.swift"), directory.appending(path: "log"))
        try Data(program.utf8).write(to: source)
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: swiftc)
        process.arguments = arguments(kind) + [source.path]
        // A file takes whatever the compiler says, however long.
        let output = try FileHandle(forWritingTo: log)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        process.waitUntilExit()
        try output.close()
        let text = try String(contentsOf: log, encoding: .utf8)
        guard process.terminationReason == .exit else { throw Failure(description: "the compiler crashed:\n\(text)") }
        return process.terminationStatus == 0 ? nil : text
    }

    private func arguments(_ kind: Kind) -> [String] {
        switch kind {
        case .program: arguments + ["-emit-sil", "-o", "/dev/null"]
        case .library: arguments + ["-emit-sil", "-parse-as-library", "-o", "/dev/null"]
        case .manifest:
            [
                "-typecheck", "-package-description-version", "6.2", "-I",
                URL(fileURLWithPath: swiftc).resolvingSymlinksInPath().appending(path: "../../lib/swift/pm/ManifestAPI").standardized.path,
            ]
        }
    }
}
