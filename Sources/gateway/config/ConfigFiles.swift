// The files of a configuration as one tree: reads what is included, puts the environment's values in, and joins the roots. Part of
// `ConfigLoader`.

struct ConfigFiles {
    /// Where patterns and relative paths start: the directory of the file that was asked for.
    let directory: String
    let options: ConfigLoadOptions
    var diagnostics = DiagnosticList()
    private(set) var sources: [ConfigSource] = []

    init(directory: String, options: ConfigLoadOptions) {
        self.directory = directory
        self.options = options
    }

    /// More are not a configuration but a mistaken pattern.
    static let filesMax = 256
    /// All files together: what one may have, four times. In bytes.
    static let bytesMax = 4 * YAMLDocument.fileBytesMax

    /// The root of everything; nil when the first file has none.
    mutating func read(_ source: ConfigSource) -> YAMLNode? {
        guard let root = parse(source), case .mapping(let entries) = root.content, let include = entries.first(where: { $0.key == "include" })
        else { return sources.count == 1 ? lastRoot : nil }
        var roots = [root]
        for path in paths(include.value) {
            guard let root = readIncluded(path.text, at: path.position) else { continue }
            roots.append(root)
        }
        return join(roots)
    }

    private var lastRoot: YAMLNode?

    private mutating func parse(_ source: ConfigSource) -> YAMLNode? {
        let number = sources.count
        sources.append(source)
        let bytes = source.bytes ?? []
        let document = YAMLDocument.parse(bytes)
        for diagnostic in document.diagnostics {
            var diagnostic = diagnostic
            diagnostic.position.file = number
            diagnostics.add(diagnostic)
        }
        guard let root = document.root else { return nil }
        var substitution = ConfigSubstitution(file: number, source: bytes, environment: options.environment)
        lastRoot = substitution.apply(root)
        for diagnostic in substitution.diagnostics { diagnostics.add(diagnostic) }
        return lastRoot
    }

    // MARK: Finding

    /// Names and patterns; values of another kind are the validator's to complain about.
    private mutating func paths(_ node: YAMLNode) -> [(text: String, position: SourcePosition)] {
        let items: [YAMLNode]
        switch node.content {
        case .sequence(let nodes): items = nodes
        case .scalar: items = [node]
        case .mapping: items = []
        }
        var found: [(text: String, position: SourcePosition)] = []
        for item in items {
            guard case .scalar(let scalar) = item.content, !scalar.text.isEmpty, !item.isNull else { continue }
            let path = scalar.text.hasPrefix("/") || directory.isEmpty ? scalar.text : directory + (directory.hasSuffix("/") ? "" : "/") + scalar.text
            // A pattern may well stand for nothing yet; a name is meant.
            found += (scalar.text.contains { "*?[".contains($0) } ? options.checks.glob(path) : [path]).map { ($0, item.position) }
        }
        return found
    }

    private mutating func readIncluded(_ path: String, at position: SourcePosition) -> YAMLNode? {
        if sources.contains(where: { $0.name == path }) {
            diagnostics.error(position, "include: `\(path)` is read already")
            return nil
        }
        guard sources.count < Self.filesMax else {
            diagnostics.error(position, "include: more than \(Self.filesMax) files")
            return nil
        }
        switch options.checks.include(path) {
        case .failure(let problem):
            diagnostics.error(position, "include: `\(path)`: \(problem.reason)")
            return nil
        case .success(let bytes):
            guard sources.reduce(bytes.count, { $0 + ($1.bytes?.count ?? 0) }) <= Self.bytesMax else {
                diagnostics.error(position, "include: the files have more than \(Self.bytesMax) bytes together")
                return nil
            }
            return checked(parse(ConfigSource(name: path, bytes: bytes)))
        }
    }

    private mutating func checked(_ root: YAMLNode?) -> YAMLNode? {
        guard let root, !root.isNull else { return nil }
        guard case .mapping(let entries) = root.content else {
            diagnostics.error(root.position, "found \(root.found), accepted: a mapping with keys of the top level")
            return nil
        }
        guard let include = entries.first(where: { $0.key == "include" }) else { return root }
        diagnostics.error(include.keyPosition, "include: a file that is included includes nothing itself")
        return YAMLNode(.mapping(entries.filter { $0.key != "include" }), at: root.position)
    }

    // MARK: Joining

    /// Lists of included files come before those of the first file, so that a route for everything can stand there and be last.
    private mutating func join(_ roots: [YAMLNode]) -> YAMLNode {
        var entries: [YAMLNode.Entry] = []
        var places: [String: Int] = [:]
        for root in Array(roots.dropFirst()) + [roots[0]] {
            guard case .mapping(let more) = root.content else { continue }
            for entry in more {
                guard let place = places[entry.key] else {
                    places[entry.key] = entries.count
                    entries.append(entry)
                    continue
                }
                entries[place] = join(entries[place], entry)
            }
        }
        return YAMLNode(.mapping(entries), at: roots[0].position)
    }

    private mutating func join(_ one: YAMLNode.Entry, _ other: YAMLNode.Entry) -> YAMLNode.Entry {
        func entry(_ content: YAMLNode.Content) -> YAMLNode.Entry {
            .init(key: other.key, keyPosition: other.keyPosition, value: YAMLNode(content, at: other.value.position))
        }
        switch (ConfigSchema.root.option(one.key)?.type, one.value.content, other.value.content) {
        case (.list?, .sequence(let first), .sequence(let second)): return entry(.sequence(first + second))
        case (.map?, .mapping(let first), .mapping(let second)):
            let known = Dictionary(first.map { ($0.key, $0.keyPosition) }, uniquingKeysWith: { first, _ in first })
            for member in second {
                guard let place = known[member.key] else { continue }
                diagnostics.error(member.keyPosition, "\(one.key): `\(YAMLScalar.shown(member.key))` is in \(sources[place.file].name), line \(place.line) too")
            }
            return entry(.mapping(first + second.filter { known[$0.key] == nil }))
        default:
            diagnostics.error(
                other.keyPosition, "the key `\(YAMLScalar.shown(one.key))` is in \(sources[one.keyPosition.file].name), line \(one.keyPosition.line) too; only one file can have it")
            return one
        }
    }
}
