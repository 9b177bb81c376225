// Finds the repository's files from this file's own place in it.

import Foundation

enum Repository {
    /// Tests/Layering/Repository.swift → the root.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// Relative paths of the files below a directory whose names end so, in order.
    static func files(under directory: String, endings: [String]) -> [String] {
        let base = root.appendingPathComponent(directory).path
        let all = FileManager.default.enumerator(atPath: base)?.compactMap { $0 as? String } ?? []
        return all.filter { name in endings.contains { name.hasSuffix($0) } }.map { directory + "/" + $0 }.sorted()
    }
}
