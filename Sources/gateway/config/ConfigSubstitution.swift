// `${NAME}` in values: the environment's text takes its place after the YAML was read, so that whatever the text is, it stays one value. What
// was put in is marked, and never shown. Part of `ConfigLoader`.

internal import Glibc

/// The environment as the loader sees it.
struct ConfigEnvironment: Sendable {
    var value: @Sendable (String) -> String?

    static let none = ConfigEnvironment { _ in nil }
    /// Read while a configuration is loaded: no thread of ours changes the environment.
    static let process = ConfigEnvironment { name in
        // The text lives until the environment is changed; it is copied here.
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}

struct ConfigSubstitution {
    let file: Int
    let source: [UInt8]
    let environment: ConfigEnvironment
    private(set) var diagnostics: [Diagnostic] = []
    /// An anchored node that occurs in several places stays one.
    private var done: [ObjectIdentifier: YAMLNode] = [:]
    private let hasPlaces: Bool

    init(file: Int, source: [UInt8], environment: ConfigEnvironment) {
        self.file = file
        self.source = source
        self.environment = environment
        hasPlaces = zip(source, source.dropFirst()).contains { $0 == UInt8(ascii: "$") && $1 == UInt8(ascii: "{") }
    }

    /// The tree with values in their places and with the number of its file. Recursion is bounded by `YAMLDocument.depthMax`.
    mutating func apply(_ node: YAMLNode) -> YAMLNode {
        guard hasPlaces || file != 0 else { return node }
        let id = ObjectIdentifier(node)
        if let node = done[id] { return node }
        let result = YAMLNode(content(node), at: here(node.position))
        done[id] = result
        return result
    }

    private mutating func content(_ node: YAMLNode) -> YAMLNode.Content {
        switch node.content {
        case .scalar(let scalar): .scalar(replace(scalar, at: node.position))
        case .sequence(let nodes): .sequence(nodes.map { apply($0) })
        case .mapping(let entries):
            .mapping(entries.map { .init(key: $0.key, keyPosition: here($0.keyPosition), value: apply($0.value)) })
        }
    }

    private func here(_ position: SourcePosition) -> SourcePosition { SourcePosition(file: file, line: position.line, column: position.column) }

    // MARK: One value

    private mutating func replace(_ scalar: YAMLScalar, at position: SourcePosition) -> YAMLScalar {
        guard scalar.text.contains("${") else { return scalar }
        var text = ""
        var rest = scalar.text[...]
        var count = 0
        var isReplaced = false
        var isUnresolved = false
        while let start = rest.firstRange(of: "${") {
            count += 1
            text += rest[..<start.lowerBound]
            rest = rest[start.upperBound...]
            // `$${` is how a file says `${`: the dollar before has been taken over, the one of this pair is dropped.
            if text.hasSuffix("$") {
                text += "{"
                continue
            }
            isReplaced = true
            guard let end = rest.firstIndex(of: "}") else {
                malformed(place(count, from: position))
                isUnresolved = true
                break
            }
            if let value = value(String(rest[..<end]), place(count, from: position)) { text += value } else { isUnresolved = true }
            rest = rest[rest.index(after: end)...]
        }
        return YAMLScalar(text: text + rest, style: scalar.style, raw: isReplaced ? scalar.text : nil, isUnresolved: isUnresolved)
    }

    /// nil: reported.
    private mutating func value(_ reference: String, _ position: SourcePosition) -> String? {
        let standard = reference.firstRange(of: ":-")
        let name = String(reference[..<(standard?.lowerBound ?? reference.endIndex)])
        let isName = !name.isEmpty && !(0x30...0x39).contains(name.utf8.first ?? 0x30)
            && name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || ConfigText.isNameByte($0) && $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "-") }
        guard isName else {
            malformed(position)
            return nil
        }
        let value = environment.value(name)
        if let standard, value?.isEmpty ?? true { return String(reference[standard.upperBound...]) }
        guard let value else {
            diagnostics.append(.error(position, "the environment variable `\(name)` is not set; `${\(name):-text}` says what stands in its place then"))
            return nil
        }
        return value
    }

    private mutating func malformed(_ position: SourcePosition) {
        diagnostics.append(
            .error(position, "`${` begins the name of an environment variable, letters, digits and `_` up to `}`; `$${` stands for the characters themselves"))
    }

    /// Where the `count`th `${` behind a position is in the file. Escapes may hide one from this search; then it finds a neighbour.
    private func place(_ count: Int, from start: SourcePosition) -> SourcePosition {
        var position = SourcePosition(file: file, line: 1, column: 1)
        let goal = here(start)
        var seen = 0
        for index in source.indices {
            let byte = source[index]
            if position >= goal, byte == UInt8(ascii: "$"), index + 1 < source.count, source[index + 1] == UInt8(ascii: "{") {
                seen += 1
                if seen == count { return position }
            }
            if byte == UInt8(ascii: "\n") {
                position.line += 1
                position.column = 1
            } else if byte & 0xc0 != 0x80 {
                position.column += 1
            }
        }
        return goal
    }
}
