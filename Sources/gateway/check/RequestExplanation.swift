// The way of one request through a configuration, without a server: listener, routes that were tried, filters, answer. Made by
// `uringd explain` and for expectations; which route takes the request is asked of the table that serves, so that both always agree.

package struct RequestExplanation: Sendable {
    package struct Trial: Sendable, Equatable {
        package let route: String
        /// Why not; nil for the one that takes the request.
        package let reason: String?
    }

    /// A filter of the route, with what it does to this request as far as that can be said offline.
    package struct Step: Sendable, Equatable {
        package let filter: String
        package let settings: [String]
        package let verdict: String?
    }

    package let request: ExplainedRequest
    package internal(set) var listener: String?
    package internal(set) var notes: [String] = []
    package internal(set) var trials: [Trial] = []
    package internal(set) var route: String?
    package internal(set) var steps: [Step] = []
    package internal(set) var answer: [String] = []
    package internal(set) var limits: [String] = []
    /// What the client sees, where that does not depend on an upstream or a file.
    package internal(set) var status: Int?
    /// Fields of the response that come from the configuration.
    package internal(set) var responseHeaders: [HeaderField] = []
    package internal(set) var upstream: UpstreamPreview?

    package init(_ request: ExplainedRequest, _ configuration: Configuration) {
        self = Explainer(configuration, RouteTable(configuration.routes.map(\.match))).explain(request)
    }

    init(_ request: ExplainedRequest) { self.request = request }
}

/// What an upstream gets of a request.
package struct UpstreamPreview: Sendable, Equatable {
    package var name: String
    package var servers: [String]
    package var settings: [String]
    package var method: String
    package var target: String
    package var host: String
    package var addedHeaders: [HeaderField]
    package var removedHeaders: [String]
}

/// Explains requests of one configuration; the table is made once.
struct Explainer {
    let configuration: Configuration
    let table: RouteTable

    init(_ configuration: Configuration, _ table: RouteTable) {
        self.configuration = configuration
        self.table = table
    }

    func explain(_ request: ExplainedRequest) -> RequestExplanation {
        var explanation = RequestExplanation(request)
        chooseListener(&explanation)
        guard request.method != "CONNECT" else {
            explanation.answer = ["CONNECT is refused: this server is no tunnel"]
            explanation.status = 501
            return explanation
        }
        guard let path = request.normalPath else {
            explanation.answer = ["the path is malformed"]
            explanation.status = 400
            return explanation
        }
        if path != request.path { explanation.notes.append("the path in its normal form is \(path)") }
        switch match(request, path) {
        case .route(let index):
            explanation.trials = trials(request, path, upTo: index)
            let route = configuration.routes[index]
            explanation.route = route.name
            RouteExplainer(configuration: configuration, route: route, request: request, path: path).explain(&explanation)
        case .notFound:
            explanation.trials = trials(request, path, upTo: nil)
            explanation.answer = ["no route takes it"]
            explanation.status = 404
        case .methodNotAllowed:
            explanation.trials = trials(request, path, upTo: nil)
            explanation.answer = ["routes take the path, but none the method"]
            explanation.status = request.method == "OPTIONS" ? 204 : 405
        }
        return explanation
    }

    private func match(_ request: ExplainedRequest, _ path: String) -> RouteMatch {
        let (method, host, path) = (Array(request.method.utf8), Array(request.authority.utf8), Array(path.utf8))
        return table.match(method: method.span, host: host.span, path: path.span, isSecure: request.url.isSecure)
    }

    private func trials(_ request: ExplainedRequest, _ path: String, upTo index: Int?) -> [RequestExplanation.Trial] {
        configuration.routes[..<(index ?? configuration.routes.count)].map { .init(route: $0.name, reason: Self.reason($0.match, request, path)) }
            + (index.map { [.init(route: configuration.routes[$0].name, reason: nil)] } ?? [])
    }

    /// Why a rule does not take a request; nil when it does.
    static func reason(_ rule: RouteMatchRule, _ request: ExplainedRequest, _ path: String) -> String? {
        let host = request.hostName
        if rule.isClearOnly, request.url.isSecure { return "it came over TLS" }
        if !rule.hosts.isEmpty, !rule.hosts.contains(where: { $0.takes(host) }) { return "the host \(host) is not \(list(rule.hosts.map(\.spelling)))" }
        if !rule.paths.isEmpty, !rule.paths.contains(where: { $0.takes(path) }) { return "the path \(path) is not \(list(rule.paths.map(\.text)))" }
        if !rule.methods.isAny, !rule.methods.names.contains(request.method) { return "the method \(request.method) is not \(list(rule.methods.names))" }
        return nil
    }

    private static func list(_ all: [String]) -> String { all.count > 6 ? all.prefix(6).joined(separator: ", ") + "…" : all.joinedWithOr }

    // MARK: The listener

    private func chooseListener(_ explanation: inout RequestExplanation) {
        let url = explanation.request.url
        let fitting = configuration.listeners.filter { ($0.tls != nil) == url.isSecure && ($0.address.port ?? url.port) == url.port }
        guard let listener = fitting.first else {
            let all = configuration.listeners.map(Self.text).joined(separator: ", ")
            explanation.notes.append(
                "no listener speaks \(url.isSecure ? "https" : "http") on port \(url.port); there \(configuration.listeners.count == 1 ? "is" : "are") \(all). It is explained as if one did")
            return
        }
        explanation.listener = Self.text(listener)
        if fitting.count > 1 { explanation.notes.append("\(fitting.count) listeners fit; the address that the client connects to decides, routes are the same for all") }
        if listener.expectsProxyProtocol { explanation.notes.append("the connection begins with a PROXY protocol header, which says who the client is") }
        if let tls = listener.tls, case .required = tls.clientAuthentication { explanation.notes.append("the listener demands a client certificate") }
    }

    static func text(_ listener: ListenerConfiguration) -> String {
        let versions =
            switch listener.http2 {
            case .off: "HTTP/1.1"
            case .on: "HTTP/1.1 and HTTP/2"
            case .only: "HTTP/2"
            }
        return "\(listener.tls == nil ? "http" : "https")://\(listener.address) (\(versions))"
    }
}
