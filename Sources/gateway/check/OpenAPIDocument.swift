// The part of an OpenAPI document (3.0 and 3.1, YAML or JSON) that has to do with routes: which methods are there on which paths of which
// servers. Read by `uringd check --openapi`; what else a document says is not looked at.

struct OpenAPIDocument {
    struct Operation {
        /// In capitals.
        let method: String
        /// `/orders/{id}`, without the server's part.
        let path: String
        let servers: [Server]
        let position: SourcePosition
    }

    struct Server {
        /// Nil for a relative URL: any host.
        let host: String?
        let isSecure: Bool?
        /// Without a slash at the end; may be empty.
        let basePath: String
    }

    private(set) var operations: [Operation] = []
    private(set) var diagnostics: [Diagnostic] = []
    private let file: Int

    /// Methods of a path item (OpenAPI 3.1 section 4.8.9).
    private static let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
    /// More are a document gone wrong.
    private static let serversMax = 32

    /// - Parameter file: the number that positions get.
    init(_ bytes: [UInt8], file: Int) {
        self.file = file
        let document = YAMLDocument.parse(bytes)
        for diagnostic in document.diagnostics { report(diagnostic.position, diagnostic.message) }
        guard let root = document.root else { return }
        guard root["openapi"]?.scalarText?.hasPrefix("3.") == true else {
            report(root["openapi"]?.position ?? root.position, "this is no OpenAPI document of version 3: `openapi: 3.1.0` is expected")
            return
        }
        guard let paths = root["paths"] else { return }
        guard case .mapping(let items) = paths.content else {
            report(paths.position, "paths: found \(paths.found), accepted: a mapping")
            return
        }
        let servers = servers(root["servers"]) ?? [Server(host: nil, isSecure: nil, basePath: "")]
        for item in items where item.key.hasPrefix("/") { add(item.key, resolved(item.value, root), servers) }
    }

    private mutating func report(_ position: SourcePosition, _ message: String) {
        diagnostics.append(.error(here(position), message))
    }

    private func here(_ position: SourcePosition) -> SourcePosition { SourcePosition(file: file, line: position.line, column: position.column) }

    private mutating func add(_ path: String, _ item: YAMLNode?, _ servers: [Server]) {
        guard let item, case .mapping(let entries) = item.content else { return }
        let servers = self.servers(item["servers"]) ?? servers
        for entry in entries where Self.methods.contains(entry.key) {
            operations.append(
                Operation(
                    method: entry.key.uppercased(), path: path, servers: self.servers(entry.value["servers"]) ?? servers,
                    position: here(entry.keyPosition)))
        }
    }

    /// `$ref: "#/components/pathItems/NAME"`, one step; others are out of reach.
    private mutating func resolved(_ item: YAMLNode, _ root: YAMLNode) -> YAMLNode? {
        guard let reference = item["$ref"]?.scalarText else { return item }
        let parts = reference.split(separator: "/").map(String.init)
        if parts.count == 4, parts[0] == "#", let target = parts.dropFirst().reduce(Optional(root), { $0?[$1] }) { return target }
        diagnostics.append(.warning(here(item.position), "`\(YAMLScalar.shown(reference))` is not in this document: its operations are not compared"))
        return nil
    }

    // MARK: Servers

    /// nil: there are none.
    private func servers(_ node: YAMLNode?) -> [Server]? {
        guard let node, case .sequence(let items) = node.content, !items.isEmpty else { return nil }
        return items.prefix(Self.serversMax).compactMap(server)
    }

    private func server(_ node: YAMLNode) -> Server? {
        guard var url = node["url"]?.scalarText else { return nil }
        if let variables = node["variables"], case .mapping(let entries) = variables.content {
            for entry in entries { url = url.replacing("{\(entry.key)}", with: entry.value["default"]?.scalarText ?? "") }
        }
        if url.hasPrefix("/") || url.isEmpty { return Server(host: nil, isSecure: nil, basePath: Self.trimmed(url)) }
        guard let parsed = try? EndpointURL.parse(url).get() else { return nil }
        return Server(host: parsed.authority, isSecure: parsed.isSecure, basePath: Self.trimmed(parsed.target))
    }

    private static func trimmed(_ path: String) -> String { String(path.reversed().drop { $0 == "/" }.reversed()) }
}

extension YAMLNode {
    /// The value of a key; nil when there is none, or this is no mapping.
    subscript(key: String) -> YAMLNode? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    var scalarText: String? {
        guard case .scalar(let scalar) = content else { return nil }
        return scalar.text
    }
}
