// Bytes to a node tree through libyaml's events. Owns the libyaml reader for the length of one call; called by
// `ConfigLoader` on whatever thread loads a configuration. Every problem of the input is a diagnostic, never a trap.
//
// What a configuration has no use for is refused rather than half supported: merge keys, several documents, keys that are
// not text, tags other than `!!str`. Aliases work and cannot be used to blow up memory (`expandedBytesMax`).

import CUringYAML

/// One parsed document: the root, or nil when the file is empty or cannot be read to its end.
package struct YAMLDocument: Sendable {
    /// Ten thousand routes fit in half of it. In bytes.
    package static let fileBytesMax = 4 << 20
    /// The deepest path of the schema has 6 levels; the rest is for JSON bodies. Recursion over nodes relies on it.
    package static let depthMax = 64
    /// A walk that follows every alias may cost this, in bytes (`YAMLNode.cost`): "a billion laughs" ends here.
    package static let expandedBytesMax = 32 << 20

    package let root: YAMLNode?
    package let diagnostics: [Diagnostic]

    package static func parse(_ bytes: [UInt8]) -> YAMLDocument {
        guard bytes.count <= fileBytesMax else {
            return YAMLDocument(
                root: nil,
                diagnostics: [.error(.fileStart, "the file has \(bytes.count) bytes, accepted: up to \(fileBytesMax)")])
        }
        var builder = YAMLBuilder()
        let failure = read(bytes, into: &builder)
        if let failure { builder.diagnostics.append(failure) }
        return YAMLDocument(root: failure == nil ? builder.root : nil, diagnostics: builder.diagnostics)
    }

    /// Feeds all events to `builder`; returns the problem that ended the reading early.
    private static func read(_ bytes: [UInt8], into builder: inout YAMLBuilder) -> Diagnostic? {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            // `bytes` outlives this closure and with it the reader, which is closed before the closure ends.
            guard let reader = unsafe uring_yaml_open(buffer.baseAddress, buffer.count) else { return outOfMemory }
            defer { unsafe uring_yaml_close(reader) }
            while true {
                var raw = unsafe uring_yaml_event()
                guard unsafe uring_yaml_next(reader, &raw) else {
                    var problem = unsafe uring_yaml_problem()
                    unsafe uring_yaml_get_problem(reader, &problem)
                    return unsafe YAMLSyntaxProblem(problem).diagnostic(in: bytes)
                }
                // The event's pointers live until the next call of uring_yaml_next; its text is copied here.
                let event = unsafe YAMLEvent(raw)
                if event.kind == uring_yaml_stream_end { return nil }
                if let failure = builder.take(event) { return failure }
            }
        }
    }

    private static let outOfMemory = Diagnostic.error(.fileStart, "out of memory while reading the file")
}

/// One event with its text copied out of libyaml's memory.
private struct YAMLEvent {
    let kind: uring_yaml_event_kind
    let style: uring_yaml_scalar_style
    let position: SourcePosition
    let text: String
    let anchor: String?
    let tag: String?

    init(_ raw: uring_yaml_event) {
        unsafe kind = raw.kind
        unsafe style = raw.style
        unsafe position = SourcePosition(line: raw.line &+ 1, column: raw.column &+ 1)
        // Valid until the next uring_yaml_next: copied here.
        let value = unsafe UnsafeBufferPointer(start: raw.value, count: raw.value_count)
        text = unsafe String(decoding: value, as: UTF8.self)
        unsafe anchor = raw.anchor.map { unsafe String(cString: $0) }
        unsafe tag = raw.tag.map { unsafe String(cString: $0) }
    }
}

/// Puts events together to nodes, with a stack of its own so that depth is a checked number.
private struct YAMLBuilder {
    private struct Frame {
        let isMapping: Bool
        let position: SourcePosition
        let anchor: String?
        var items: [YAMLNode] = []
        var entries: [YAMLNode.Entry] = []
        var keys: [String: SourcePosition] = [:]
        var key: (text: String, position: SourcePosition)?
    }

    private enum Anchor {
        /// Its node is still being read: an alias to it would be a cycle.
        case open
        case done(YAMLNode)
    }

    private(set) var root: YAMLNode?
    var diagnostics: [Diagnostic] = []
    private var stack: [Frame] = []
    private var anchors: [String: Anchor] = [:]
    private var documentCount = 0

    /// Returns a diagnostic when reading cannot go on.
    mutating func take(_ event: YAMLEvent) -> Diagnostic? {
        switch event.kind {
        case uring_yaml_document_start: return startDocument(event)
        case uring_yaml_scalar: return takeScalar(event)
        case uring_yaml_alias: return takeAlias(event)
        case uring_yaml_sequence_start: return push(event, isMapping: false)
        case uring_yaml_mapping_start: return push(event, isMapping: true)
        case uring_yaml_sequence_end, uring_yaml_mapping_end: return pop()
        default: return nil
        }
    }

    private mutating func startDocument(_ event: YAMLEvent) -> Diagnostic? {
        documentCount += 1
        guard documentCount > 1 else { return nil }
        return .error(event.position, "a second YAML document starts here; the configuration is one document")
    }

    private var expectsKey: Bool { stack.last.map { $0.isMapping && $0.key == nil } ?? false }

    private mutating func takeScalar(_ event: YAMLEvent) -> Diagnostic? {
        if expectsKey { return takeKey(event) }
        var style: YAMLScalar.Style = event.style == uring_yaml_plain ? .plain : .quoted
        switch event.tag {
        case nil: break
        case "!", "tag:yaml.org,2002:str": style = .quoted
        case let tag?: refuse(tag: tag, at: event.position)
        }
        let node = YAMLNode(.scalar(YAMLScalar(text: event.text, style: style)), at: event.position)
        return add(node, anchor: event.anchor)
    }

    private mutating func takeKey(_ event: YAMLEvent) -> Diagnostic? {
        if event.style == uring_yaml_plain && event.text == "<<" {
            diagnostics.append(
                .error(event.position, "merge keys (`<<`) are not supported: write the keys out, or alias a whole value"))
        } else if event.style == uring_yaml_plain && event.text.isEmpty {
            diagnostics.append(.error(event.position, "a key is missing before the colon"))
        }
        stack[stack.count - 1].key = (event.text, event.position)
        return nil
    }

    private mutating func takeAlias(_ event: YAMLEvent) -> Diagnostic? {
        let name = event.anchor ?? ""
        if expectsKey { return .error(event.position, "the alias `*\(name)` cannot be a key; a key is text") }
        switch anchors[name] {
        case nil: return .error(event.position, "the alias `*\(name)` has no anchor `&\(name)` before it")
        case .open: return .error(event.position, "the alias `*\(name)` stands inside its own anchor `&\(name)`")
        case .done(let node):
            guard stack.count + node.height <= YAMLDocument.depthMax else { return Self.tooDeep(event.position) }
            return add(node, anchor: nil)
        }
    }

    private mutating func push(_ event: YAMLEvent, isMapping: Bool) -> Diagnostic? {
        if expectsKey {
            return .error(event.position, "a \(isMapping ? "mapping" : "list") cannot be a key; a key is text. Is a quote missing around `{…}` or `[…]`?")
        }
        guard stack.count < YAMLDocument.depthMax - 1 else { return Self.tooDeep(event.position) }
        switch event.tag {
        case nil, "!": break
        case "tag:yaml.org,2002:map" where isMapping: break
        case "tag:yaml.org,2002:seq" where !isMapping: break
        case let tag?: refuse(tag: tag, at: event.position)
        }
        if let anchor = event.anchor { anchors[anchor] = .open }
        stack.append(Frame(isMapping: isMapping, position: event.position, anchor: event.anchor))
        return nil
    }

    private mutating func pop() -> Diagnostic? {
        guard let frame = stack.popLast() else { return nil }
        let content: YAMLNode.Content = frame.isMapping ? .mapping(frame.entries) : .sequence(frame.items)
        return add(YAMLNode(content, at: frame.position), anchor: frame.anchor)
    }

    private mutating func add(_ node: YAMLNode, anchor: String?) -> Diagnostic? {
        guard node.cost <= YAMLDocument.expandedBytesMax else {
            return .error(node.position, "aliases make this value larger than \(YAMLDocument.expandedBytesMax) bytes")
        }
        if let anchor { anchors[anchor] = .done(node) }
        guard let top = stack.indices.last else {
            root = node
            return nil
        }
        guard stack[top].isMapping else {
            stack[top].items.append(node)
            return nil
        }
        guard let key = stack[top].key else { return nil }
        stack[top].key = nil
        if let first = stack[top].keys[key.text] {
            let shown = YAMLScalar.shown(key.text)
            diagnostics.append(.error(key.position, "the key `\(shown)` appears twice; first in line \(first.line), column \(first.column)"))
        } else {
            stack[top].keys[key.text] = key.position
            stack[top].entries.append(.init(key: key.text, keyPosition: key.position, value: node))
        }
        return nil
    }

    private mutating func refuse(tag: String, at position: SourcePosition) {
        let shown = YAMLScalar.shown(tag)
        diagnostics.append(.error(position, "the tag `\(shown)` is not supported; the only one with a use here is `!!str`"))
    }

    private static func tooDeep(_ position: SourcePosition) -> Diagnostic {
        .error(position, "values are nested deeper than \(YAMLDocument.depthMax) levels")
    }
}

/// libyaml's problem as a sentence with a remedy where the usual cause is known.
private struct YAMLSyntaxProblem {
    let kind: uring_yaml_problem_kind
    let problem: String
    let context: String?
    let line: Int
    let column: Int
    let offset: Int

    init(_ raw: uring_yaml_problem) {
        unsafe kind = raw.kind
        // Static strings of libyaml.
        unsafe problem = raw.problem.map { unsafe String(cString: $0) } ?? "unknown error"
        // `context` names what was being read; the place where it began finds the bracket that was never closed.
        unsafe context = raw.context.map { unsafe "\(String(cString: $0)) begun in line \(raw.context_line &+ 1), column \(raw.context_column &+ 1)" }
        unsafe line = raw.line
        unsafe column = raw.column
        unsafe offset = raw.offset
    }

    func diagnostic(in bytes: [UInt8]) -> Diagnostic {
        switch kind {
        case uring_yaml_out_of_memory: return .error(.fileStart, "out of memory while reading the file")
        case uring_yaml_not_utf8:
            let byte = offset < bytes.count ? bytes[offset] : 0
            let hex = String(byte, radix: 16, uppercase: true)
            let cause = problem == "control characters are not allowed"
                ? "a character that YAML does not allow" : "the file is not valid UTF-8"
            return .error(Self.position(of: offset, in: bytes), "\(cause) (byte 0x\(hex.count < 2 ? "0" : "")\(hex))")
        default:
            let position = SourcePosition(line: line &+ 1, column: column &+ 1)
            return .error(position, "YAML syntax: \(sentence(Self.scalar(at: position, in: bytes)))")
        }
    }

    private func sentence(_ found: UInt8?) -> String {
        let prefix = context.map { "\($0): " } ?? ""
        switch problem {
        case "found character that cannot start any token":
            if found == UInt8(ascii: "\t") { return "a tab stands where indentation is expected; YAML indents with spaces only" }
            guard let found, found > 0x20, found < 0x7f else { break }
            return "the character \(Character(Unicode.Scalar(found))) cannot start a value; put the text in quotes"
        case "mapping values are not allowed in this context":
            return "a colon followed by a space is not allowed here; is the indentation right, or are quotes missing?"
        case "did not find expected key":
            return "\(prefix)did not find expected key; is the indentation right, or is a quote or bracket not closed before?"
        case "could not find expected ':'":
            return "\(prefix)could not find expected ':'; is a colon or the space after it missing?"
        default: break
        }
        return prefix + problem
    }

    /// Place of a byte offset, columns in characters: bytes that continue a UTF-8 sequence do not count.
    private static func position(of offset: Int, in bytes: [UInt8]) -> SourcePosition {
        var position = SourcePosition.fileStart
        for byte in bytes.prefix(offset) {
            if byte == UInt8(ascii: "\n") {
                position.line += 1
                position.column = 1
            } else if byte & 0xc0 != 0x80 {
                position.column += 1
            }
        }
        return position
    }

    /// The first byte of the character at `position`, nil behind the end.
    private static func scalar(at position: SourcePosition, in bytes: [UInt8]) -> UInt8? {
        var current = SourcePosition.fileStart
        for byte in bytes where byte & 0xc0 != 0x80 {
            if current == position { return byte }
            if byte == UInt8(ascii: "\n") { current = SourcePosition(line: current.line + 1, column: 1) } else { current.column += 1 }
        }
        return nil
    }
}
