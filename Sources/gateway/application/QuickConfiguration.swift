// The configurations of the commands that need no file. Built from arguments, checked by the same rules as a file.

internal import UringServer

package enum QuickConfiguration {
    /// `uringd files`: everything below `root`, precompressed siblings included.
    package static func files(
        root: String, listen: [ListenAddress], loops: LoopSelection, transport: QuickTransport = QuickTransport()
    ) throws -> Configuration {
        if let problem = ConfigFileChecks.system.directoryProblem(root) { throw GatewayError(problem) }
        let files = FilesConfiguration(root: root, precompressed: [.br, .zstd, .gzip])
        return configuration(listen, loops, transport, RouteConfiguration(name: "files", action: .files(files)))
    }

    /// `uringd respond`: one answer to everything.
    /// - Parameter headers: `NAME: VALUE` each.
    package static func respond(
        status: Int, headers: [String], body: String?, json: String?, listen: [ListenAddress], loops: LoopSelection,
        transport: QuickTransport = QuickTransport()
    ) throws -> Configuration {
        guard (200...599).contains(status) else { throw GatewayError("--status \(status): a status from 200 to 599 is possible") }
        if body != nil, json != nil { throw GatewayError("--body and --json exclude each other: give one of them") }
        var respond = RespondConfiguration(status: status, headers: try headers.map(header), body: Array((json ?? body ?? "").utf8))
        if !respond.body.isEmpty, [204, 205, 304].contains(status) {
            throw GatewayError("a response with status \(status) has no body: leave --body or --json out, or choose another status")
        }
        if let json, !JSONSyntax.isValid(Array(json.utf8)) {
            throw GatewayError("--json \(json.prefix(60)): not JSON; strings and names stand in double quotes, as in '{\"status\":\"ok\"}'")
        }
        if json != nil || body != nil, !respond.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            respond.headers.append(.init(name: "content-type", value: json != nil ? "application/json" : "text/plain; charset=utf-8"))
        }
        return configuration(listen, loops, transport, RouteConfiguration(name: "respond", action: .respond(respond)))
    }

    /// `uringd proxy`: everything to one server.
    /// - Parameter url: `http://host[:port]`, or `https://`, where the system's authorities have to vouch for the host; with a path, it stands before those of the requests.
    package static func proxy(
        to url: String, listen: [ListenAddress], loops: LoopSelection, transport: QuickTransport = QuickTransport()
    ) throws -> Configuration {
        let endpoint: EndpointURL
        switch EndpointURL.parse(url) {
        case .success(let parsed): endpoint = parsed
        case .failure(let problem): throw GatewayError("--to \(url.prefix(100)): \(problem.reason); http://HOST[:PORT][/PATH] or https://… is expected")
        }
        guard !endpoint.target.contains("?") else { throw GatewayError("--to \(url.prefix(100)): a query has no place here, requests bring their own") }
        var proxy = ProxyConfiguration(upstream: "server")
        if endpoint.target != "/" { proxy.path = .prefix(strip: "", add: endpoint.target) }
        var made = configuration(listen, loops, transport, RouteConfiguration(name: "proxy", action: .proxy(proxy)))
        var upstream = UpstreamConfiguration(name: "server", servers: [UpstreamServer(address: endpoint.address)])
        if endpoint.isSecure { (upstream.tls, upstream.version) = (.standard, .auto) }
        made.upstreams = [upstream]
        return made
    }

    private static func configuration(
        _ listen: [ListenAddress], _ loops: LoopSelection, _ transport: QuickTransport, _ route: RouteConfiguration
    ) -> Configuration {
        var configuration = Configuration(listeners: listen.map(ListenerConfiguration.init(address:)), routes: [route])
        for index in configuration.listeners.indices {
            configuration.listeners[index].tls = transport.tls
            configuration.listeners[index].http2 = transport.http2
        }
        configuration.loops = loops
        return configuration
    }

    private static func header(_ text: String) throws -> RespondConfiguration.Header {
        guard let colon = text.firstIndex(of: ":") else { throw GatewayError("--header '\(text)': NAME: VALUE is expected, with a colon") }
        let name = String(text[..<colon])
        let value = text[text.index(after: colon)...].trimmedBlanks
        if let problem = HeaderSyntax.nameProblem(name) { throw GatewayError("--header '\(text)': the name '\(name)': \(problem)") }
        if let problem = HeaderSyntax.valueProblem(value) { throw GatewayError("--header '\(name)': the value: \(problem)") }
        return .init(name: name, value: value)
    }
}

extension Substring {
    fileprivate var trimmedBlanks: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
