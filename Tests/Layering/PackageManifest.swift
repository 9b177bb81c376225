// Reads the targets out of Package.swift's text. Asking SwiftPM itself would start it below the `swift test` that holds its lock.

/// A target as the manifest declares it.
struct DeclaredTarget: Hashable {
    let name: String
    let path: String
    /// Names of targets and products; here each product is named like its module.
    let dependencies: Set<String>
}

struct PackageManifest {
    let targets: [DeclaredTarget]
    let usesUnsafeFlags: Bool

    init(_ text: String) {
        usesUnsafeFlags = SwiftSource(text).words.contains { $0.text == "unsafeFlags" }
        var targets: [DeclaredTarget] = []
        var rest = Substring(PackageManifest.withoutLineComments(text))
        while let call = rest.firstCall([".target(", ".executableTarget(", ".testTarget(", ".macro(", ".plugin("]) {
            if let target = DeclaredTarget(arguments: call.arguments) { targets.append(target) }
            rest = call.rest
        }
        self.targets = targets
    }

    /// The manifest's strings hold `//` only in URLs, which begin inside a literal.
    private static func withoutLineComments(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var isInString = false
            var previous: Character = " "
            for index in line.indices {
                if line[index] == "\"" { isInString.toggle() }
                if !isInString, previous == "/", line[index] == "/" { return line[..<line.index(before: index)] }
                previous = line[index]
            }
            return line
        }.joined(separator: "\n")
    }
}

extension DeclaredTarget {
    fileprivate init?(arguments: Substring) {
        guard let name = arguments.string(after: "name:") else { return nil }
        self.name = name
        path = arguments.string(after: "path:") ?? "Sources/\(name)"
        guard let label = arguments.range(of: "dependencies:"), let open = arguments[label.upperBound...].firstIndex(of: "[") else {
            dependencies = []
            return
        }
        let list = arguments[arguments.index(after: open)...].balanced(open: "[", close: "]")
        // `.product(name: "Logging", package: "swift-log", condition: .when(traits: ["Log"]))`: neither the package's name nor the trait's is a module.
        var names: Set<String> = []
        var rest = list
        while let literal = rest.nextString() {
            if !literal.before.hasSuffix("package: "), !literal.before.hasSuffix("traits: [") { names.insert(literal.text) }
            rest = literal.rest
        }
        dependencies = names
    }
}

extension Substring {
    fileprivate func range(of needle: String) -> Range<Index>? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(needle) { return at..<index(at, offsetBy: needle.count) }
            at = index(after: at)
        }
        return nil
    }

    /// The first of the calls, its arguments without the parentheses, and what follows it.
    fileprivate func firstCall(_ names: [String]) -> (arguments: Substring, rest: Substring)? {
        let ranges = names.compactMap { range(of: $0) }
        guard let first = ranges.min(by: { $0.lowerBound < $1.lowerBound }) else { return nil }
        let arguments = self[first.upperBound...].balanced(open: "(", close: ")")
        return (arguments, self[arguments.endIndex...])
    }

    /// Up to the bracket that closes an already opened one.
    fileprivate func balanced(open: Character, close: Character) -> Substring {
        var depth = 0
        var isInString = false
        for index in indices {
            let character = self[index]
            if character == "\"" { isInString.toggle() }
            if isInString { continue }
            if character == open { depth += 1 }
            if character == close {
                if depth == 0 { return self[..<index] }
                depth -= 1
            }
        }
        return self
    }

    fileprivate func nextString() -> (before: Substring, text: String, rest: Substring)? {
        guard let open = firstIndex(of: "\"") else { return nil }
        let body = self[index(after: open)...]
        guard let close = body.firstIndex(of: "\"") else { return nil }
        return (self[..<open], String(body[..<close]), self[index(after: close)...])
    }

    fileprivate func string(after label: String) -> String? {
        range(of: label).flatMap { self[$0.upperBound...].nextString()?.text }
    }
}
