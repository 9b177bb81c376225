// Routes against an OpenAPI document: operations that no route takes, that an earlier route takes away, whose method is not let through; and
// routes that the document does not know. `uringd check --openapi`.

package enum OpenAPICheck {
    /// The result of loading a configuration, with what the comparison has to add. Reads the document.
    package static func check(_ result: ConfigLoadResult, openAPI path: String) -> ConfigLoadResult {
        switch ConfigFileChecks.read(path, "the OpenAPI document") {
        case .failure(let problem):
            let position = SourcePosition(file: result.sources.count, line: 1, column: 1)
            return result.adding([.error(position, problem.reason)], about: ConfigSource(name: path, bytes: nil))
        case .success(let bytes): return check(result, ConfigSource(name: path, bytes: bytes))
        }
    }

    /// A configuration with errors is not compared: what it means is not known.
    static func check(_ result: ConfigLoadResult, _ source: ConfigSource) -> ConfigLoadResult {
        let document = OpenAPIDocument(source.bytes ?? [], file: result.sources.count)
        guard let configuration = result.configuration else { return result.adding(document.diagnostics, about: source) }
        var comparison = OpenAPIComparison(configuration)
        for operation in document.operations { comparison.add(operation) }
        let notes = document.diagnostics.contains { $0.severity == .error } ? [] : comparison.uncovered(result.routePlaces)
        return result.adding(document.diagnostics + comparison.diagnostics + notes, about: source)
    }
}

struct OpenAPIComparison {
    private let configuration: Configuration
    private let table: RouteTable
    private let isSecure: Bool
    /// What stands for the host of a document that names none: none, and one for each that routes name.
    private let hosts: [String]
    private var covered: Set<String> = []
    private(set) var diagnostics: [Diagnostic] = []

    init(_ configuration: Configuration) {
        self.configuration = configuration
        table = RouteTable(configuration.routes.map(\.match))
        isSecure = configuration.listeners.contains { $0.tls != nil }
        let named = configuration.routes.flatMap(\.match.hosts).map { $0.isWildcard ? "x" + $0.text : $0.text }
        // Each operation is tried with each: bounded, since both lists are the author's to make long.
        hosts = [""] + named.uniqued.prefix(256)
    }

    private enum Outcome {
        case route(RouteConfiguration)
        case wrongMethod(takers: [RouteConfiguration])
        case missing

        var rank: Int {
            switch self {
            case .route: 0
            case .wrongMethod: 1
            case .missing: 2
            }
        }
    }

    mutating func add(_ operation: OpenAPIDocument.Operation) {
        let tried = operation.servers.flatMap { server in
            (server.host.map { [$0] } ?? hosts).map { (server: server, host: $0, outcome: outcome(operation, server, $0)) }
        }
        // A document may name servers that are others' business: one that leads here is enough.
        guard let best = tried.min(by: { $0.outcome.rank < $1.outcome.rank }) else { return }
        let name = "\(operation.method) \(best.server.basePath)\(operation.path)"
        switch best.outcome {
        case .route(let route):
            covered.insert(route.name)
            guard let meant = meant(operation, best.server, best.host), meant.name != route.name else { return }
            covered.insert(meant.name)
            diagnostics.append(.error(operation.position, "\(name): the earlier route `\(route.name)` takes it, not `\(meant.name)`, which has exactly this path"))
        case .wrongMethod(let takers):
            let methods = takers.flatMap(\.match.methods.names).uniqued.joinedWithOr
            diagnostics.append(
                .error(operation.position, "\(name): the path is taken by \(takers.prefix(3).map { "`\($0.name)`" }.joinedWithOr), but only for \(methods)"))
        case .missing:
            diagnostics.append(.error(operation.position, "\(name): no route takes it\(guess(operation, best.server))"))
        }
    }

    /// Routes that no operation came to.
    func uncovered(_ places: [String: SourcePosition]) -> [Diagnostic] {
        configuration.routes.filter { !covered.contains($0.name) }.map { route in
            Diagnostic(severity: .note, position: places[route.name] ?? .fileStart, message: "routes: the OpenAPI document has no operation for `\(route.name)`")
        }
    }

    // MARK: One operation

    /// A segment that stands for a parameter: no route has it as a literal.
    private static let sample = "openapi-parameter-value"

    private func request(_ operation: OpenAPIDocument.Operation, _ server: OpenAPIDocument.Server) -> (path: String, isSecure: Bool) {
        (server.basePath + Self.filled(operation.path), server.isSecure ?? isSecure)
    }

    private static func filled(_ template: String) -> String {
        var text = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            text += rest[..<open] + sample
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }

    private func outcome(_ operation: OpenAPIDocument.Operation, _ server: OpenAPIDocument.Server, _ host: String) -> Outcome {
        let (path, isSecure) = request(operation, server)
        let bytes = (method: Array(operation.method.utf8), host: Array(host.utf8), path: Array(path.utf8))
        switch table.match(method: bytes.method.span, host: bytes.host.span, path: bytes.path.span, isSecure: isSecure) {
        case .route(let index): return .route(configuration.routes[index])
        case .notFound: return .missing
        case .methodNotAllowed: return .wrongMethod(takers: configuration.routes.filter { takesPath($0.match, host, path) })
        }
    }

    private func takesPath(_ rule: RouteMatchRule, _ host: String, _ path: String) -> Bool {
        let name = String(host.prefix { $0 != ":" })
        return (rule.hosts.isEmpty || rule.hosts.contains { $0.takes(name) }) && (rule.paths.isEmpty || rule.paths.contains { $0.takes(path) })
    }

    /// The route that has the operation's path as its own, places and all, and would take it.
    private func meant(_ operation: OpenAPIDocument.Operation, _ server: OpenAPIDocument.Server, _ host: String) -> RouteConfiguration? {
        let wanted = Self.shape(server.basePath + operation.path)
        let (path, isSecure) = request(operation, server)
        let same = configuration.routes.filter { route in
            takesPath(route.match, host, path) && !(isSecure && route.match.isClearOnly)
                && (route.match.methods.isAny || route.match.methods.names.contains(operation.method))
                && route.match.paths.contains { !$0.hasTail && Self.shape($0.text) == wanted }
        }
        return same.first
    }

    /// Names of places do not matter.
    private static func shape(_ path: String) -> [String] {
        path.split(separator: "/", omittingEmptySubsequences: false).map { $0.hasPrefix("{") && $0.hasSuffix("}") ? "{}" : String($0) }
    }

    private func guess(_ operation: OpenAPIDocument.Operation, _ server: OpenAPIDocument.Server) -> String {
        let known = configuration.routes.flatMap { route in route.match.paths.map { (path: $0.text, route: route.name) } }
        guard let near = NearMiss.find(server.basePath + operation.path, in: known.map(\.path)), let entry = known.first(where: { $0.path == near }) else {
            return ""
        }
        return "; `\(entry.route)` takes \(near)"
    }
}
