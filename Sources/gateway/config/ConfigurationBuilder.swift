// From a validated table to `Configuration`, with the judgements that need more than one value or a look at the file
// system. Part of `ConfigLoader`; keeps going after problems so that all of them are reported at once.

struct ConfigurationBuilder {
    /// Where relative paths start: the directory of the configuration file, or "" for the working directory.
    let directory: String
    let files: ConfigFileChecks
    var diagnostics: DiagnosticList
    /// By the numbers in positions.
    var fileNames: [String] = []
    var names = ConfigNames()
    /// Where each route has its name.
    private(set) var routePlaces: [String: SourcePosition] = [:]

    mutating func build(_ table: ConfigTable) -> Configuration {
        var configuration = Configuration(listeners: [], routes: [])
        if case .loops(let loops)? = table["loops"]?.value { configuration.loops = loops }
        configuration.listeners = listeners(table)
        configuration.admin = admin(table, besides: configuration.listeners)
        configuration.flightRecorder = flightRecorder(table.group("admin")?.group("flight-recorder"))
        configuration.http2 = http2(table.group("http2"))
        configuration.timeouts = TimeoutConfiguration(table.group("timeouts"))
        configuration.limits = limits(table)
        configuration.accessLog = accessLog(table.group("access-log"))
        configuration.logLevel = table.group("log")?.text("level").flatMap(LogLevel.init) ?? .info
        gateway(&configuration, table)
        configuration.routes = routes(table.groups("routes"))
        checkHTTPS(table.groups("routes"), table.groups("listen"))
        checkRoutes(table, configuration)
        lintUnused(table)
        lintTimeouts(table.group("timeouts"), ["header", "body", "handler", "write", "idle"], "timeouts")
        configuration.effective = EffectiveConfiguration(table, ConfigSchema.root)
        diagnostics.allow(Set(table.group("lint")?.texts("allow").compactMap(ConfigLint.init) ?? []))
        return configuration
    }

    /// The table of a file that says nothing.
    static let defaults = ConfigValidator.defaults(of: ConfigSchema.root)
    static let listenerDefaults = ConfigValidator.defaults(of: ConfigSchema.listener)

    // MARK: Listeners

    private mutating func listeners(_ table: ConfigTable) -> [ListenerConfiguration] {
        var seen: [ListenAddress: SourcePosition] = [:]
        return table.groups("listen").compactMap { entry in
            let tls = tls(entry)
            guard let item = entry["address"], let address = address(entry) else { return nil }
            // Port 0 gives each listener a port of its own.
            if !address.hasPortZero, let first = seen.updateValue(item.position, forKey: address) {
                diagnostics.error(item.position, "listen: the address \(address) appears twice; first in \(place(first, from: item.position))")
            }
            warnAboutUnused("mode", in: entry, unless: address.isUnix, "only a Unix socket has permissions")
            warnAboutUnused("ipv6-only", in: entry, unless: address.isIPv6, "the address is not an IPv6 address")
            var listener = ListenerConfiguration(address: address, entry)
            listener.tls = tls
            return listener
        }
    }

    private mutating func warnAboutUnused(_ key: String, in entry: ConfigTable, unless isUsed: Bool, _ why: String) {
        guard !isUsed, let position = entry.given[key] else { return }
        diagnostics.warning(position, "listen: `\(key)` has no effect here: \(why)")
    }

    func address(_ table: ConfigTable) -> ListenAddress? {
        guard let text = table.text("address"), case .success(let address) = ListenAddress.parse(text) else { return nil }
        return resolved(address)
    }

    private mutating func admin(_ table: ConfigTable, besides listeners: [ListenerConfiguration]) -> AdminConfiguration? {
        guard let group = table.group("admin"), let item = group["address"], let address = address(group) else { return nil }
        if !address.hasPortZero, listeners.contains(where: { $0.address == address }) {
            diagnostics.error(item.position, "admin.address: \(address) is in `listen` too; the administration needs an address of its own")
        }
        let tokens = adminTokens(group)
        if !address.isLocal, tokens.isEmpty {
            diagnostics.lint(
                .adminExposed, item.position,
                "admin.address: \(address) can be reached from other machines, and the administration asks for no password; 127.0.0.1 or a Unix socket is safer")
        }
        return AdminConfiguration(address: address, tokens: tokens, tracesTCP: group.text("tcp-tracer") == "on")
    }

    private mutating func flightRecorder(_ table: ConfigTable?) -> FlightConfiguration {
        var recorder = FlightConfiguration()
        guard let table else { return recorder }
        (recorder.events, recorder.withinNs, recorder.files) = (table.integer("events"), table.number("within"), table.integer("files"))
        if let item = table["directory"], let text = table.text("directory") {
            let path = resolve(text)
            if let problem = files.directoryProblem(path) { diagnostics.error(item.position, "admin.flight-recorder.directory: \(problem)") }
            recorder.directory = path
        }
        return recorder
    }

    private mutating func adminTokens(_ group: ConfigTable) -> [Secret] {
        group.list("tokens").enumerated().compactMap { index, item in
            guard let token = secret(item, "admin.tokens[\(index)]") else { return nil }
            // 128 bits, when they are random: beyond guessing over a network.
            if token.bytes.count < 16 { diagnostics.error(item.position, "admin.tokens[\(index)]: it has \(token.bytes.count) bytes, accepted: 16 at least") }
            return token
        }
    }

    // MARK: Limits and logs

    private mutating func limits(_ table: ConfigTable) -> LimitConfiguration {
        let group = table.group("limits")
        let limits = LimitConfiguration(group)
        if limits.requestLineBytes > limits.headerBytes, let group {
            let position = group["request-line-bytes"].flatMap { $0.isDefault ? nil : $0.position } ?? group["header-bytes"]?.position
            diagnostics.error(
                position ?? group.position,
                "limits: request-line-bytes (\(ConfigUnit.size.format(UInt64(limits.requestLineBytes)))) is larger than header-bytes (\(ConfigUnit.size.format(UInt64(limits.headerBytes)))), which includes the request line")
        }
        if limits.bodyBytes == 0, let item = group?["body-bytes"], !item.isDefault {
            diagnostics.lint(.bodyUnlimited, item.position, "limits.body-bytes: one client may send as much as it likes")
        }
        return limits
    }

    private mutating func accessLog(_ table: ConfigTable?) -> AccessLogConfiguration? {
        guard let table, let path = table["path"], let text = table.text("path"),
            let format = table.text("format").flatMap(AccessLogConfiguration.Format.init)
        else { return nil }
        let resolved = resolve(text)
        if let problem = files.appendProblem(resolved) { diagnostics.error(path.position, "access-log.path: \(problem)") }
        return AccessLogConfiguration(
            path: resolved, format: format, bufferBytes: table.integer("buffer"), flushNs: table.number("flush"),
            sample: table.percentage("sample"))
    }

    // MARK: Routes

    private mutating func routes(_ tables: [ConfigTable]) -> [RouteConfiguration] {
        var names: [String: SourcePosition] = [:]
        var shadows = RouteShadows()
        checkMethodCount(tables)
        checkPairs(tables)
        breakerGroups(tables)
        return tables.compactMap { route($0, &names, &shadows) }
    }

    private mutating func route(
        _ table: ConfigTable, _ names: inout [String: SourcePosition], _ shadows: inout RouteShadows
    ) -> RouteConfiguration? {
        let match = table.group("match").map(rule) ?? RouteMatchRule()
        let action = action(table, match)
        let filters = filters(table, table.text("name") ?? "")
        let security = table.group("hsts").map { hsts($0) }
        checkHSTS(table, action)
        var rule = match
        // Over TLS such a route would send the client in a circle.
        rule.isClearOnly = table.group("redirect")?.text("to") == "https"
        guard let name = table.text("name"), let nameItem = table["name"] else { return nil }
        if let first = names[name] {
            diagnostics.error(nameItem.position, "routes: the name `\(name)` appears twice; first in \(place(first, from: nameItem.position))")
        }
        names[name] = names[name] ?? nameItem.position
        routePlaces[name] = names[name]
        if table["match"] != nil, let earlier = shadows.add(rule, name: name) {
            diagnostics.lint(
                .routeUnreachable, nameItem.position,
                "routes: `\(name)` is never reached: the earlier route `\(earlier)` takes everything that it matches")
        }
        return action.map {
            var route = RouteConfiguration(name: name, match: rule, action: $0, hsts: security)
            route.filters = filters
            return route
        }
    }

    private mutating func checkMethodCount(_ tables: [ConfigTable]) {
        var methods: Set<String> = ["HEAD"]
        for match in tables.compactMap({ $0.group("match") }) {
            methods.formUnion(match.texts("methods"))
            guard methods.count > RouteTable.methodsMax, let item = match["methods"] else { continue }
            diagnostics.error(item.position, "routes: more than \(RouteTable.methodsMax) different methods")
            return
        }
    }

    /// Each host with each path is a place in the index of routes.
    private mutating func checkPairs(_ tables: [ConfigTable]) {
        var pairs = 0
        for match in tables.compactMap({ $0.group("match") }) {
            pairs += max(1, match.texts("host").count) * max(1, match.texts("path").count)
            guard pairs > RouteTable.pairsMax, let item = match["path"] ?? match["host"] else { continue }
            diagnostics.error(item.position, "routes: more than \(RouteTable.pairsMax) pairs of a host and a path")
            return
        }
    }

    private func rule(_ table: ConfigTable) -> RouteMatchRule {
        RouteMatchRule(
            hosts: table.texts("host").compactMap { try? HostPattern.parse($0).get() },
            paths: table.texts("path").compactMap { try? PathPattern.parse($0).get() },
            methods: MethodSet(table.texts("methods")))
    }

    private mutating func action(_ table: ConfigTable, _ match: RouteMatchRule) -> RouteConfiguration.Action? {
        if let group = table.group("respond") { return .respond(respond(group)) }
        if let group = table.group("files") { return fileAction(group).map { .files($0) } }
        if let group = table.group("redirect") { return redirect(group).map { .redirect($0) } }
        if let group = table.group("proxy") { return proxy(group, match).map { .proxy($0) } }
        return nil
    }

    private mutating func respond(_ table: ConfigTable) -> RespondConfiguration {
        var result = RespondConfiguration(status: table.integer("status"))
        content(&result, table)
        return result
    }

    mutating func content(_ result: inout RespondConfiguration, _ table: ConfigTable) {
        result.headers = table.headers("headers").map { .init(name: $0.name, value: $0.value) }
        var contentType: String?
        if case .json(let value)? = table["json"]?.value {
            result.body = value.compactBytes
            contentType = "application/json"
        } else if let text = table.text("body") {
            result.body = Array(text.utf8)
            contentType = "text/plain; charset=utf-8"
        }
        if let contentType, !result.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            result.headers.append(.init(name: "content-type", value: contentType))
        }
        checkBody(result, table)
    }

    /// RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
    private mutating func checkBody(_ respond: RespondConfiguration, _ table: ConfigTable) {
        guard !respond.body.isEmpty, [204, 205, 304].contains(respond.status), let item = table["body"] ?? table["json"] else { return }
        diagnostics.error(item.position, "a response with status \(respond.status) has no body; remove the body or choose another status")
    }

    private mutating func fileAction(_ table: ConfigTable) -> FilesConfiguration? {
        guard let item = table["root"], let text = table.text("root") else { return nil }
        let root = resolve(text)
        if let problem = files.directoryProblem(root) { diagnostics.error(item.position, "files.root: \(problem)") }
        return FilesConfiguration(
            root: root, index: table.texts("index"), cacheControl: table.text("cache-control"),
            precompressed: table.texts("precompressed").compactMap(FilesConfiguration.Coding.init),
            symlinks: table.text("symlinks").flatMap(FilesConfiguration.Symlinks.init) ?? .inside)
    }

    func resolve(_ path: String) -> String {
        path.hasPrefix("/") || directory.isEmpty ? path : "\(directory)\(directory.hasSuffix("/") ? "" : "/")\(path)"
    }
}

extension ListenerConfiguration {
    init(address: ListenAddress, _ table: ConfigTable) {
        self.address = address
        backlog = table.integer("backlog")
        isIPv6Only = table.boolean("ipv6-only")
        unixMode = table.text("mode").flatMap(ConfigText.fileMode) ?? 0o660
        http2 = HTTP2Versions(table)
        expectsProxyProtocol = table.boolean("proxy-protocol")
    }
}

extension TimeoutConfiguration {
    init(_ group: ConfigTable?) {
        guard let group else { preconditionFailure("BUG: timeouts have no default") }
        headerNs = group.number("header")
        bodyNs = group.number("body")
        handlerNs = group.number("handler")
        writeNs = group.number("write")
        idleNs = group.number("idle")
        drainNs = group.number("drain")
        lingerNs = group.number("linger")
        bodyBytesPerSecondMin = group.number("body-rate")
        writeBytesPerSecondMin = group.number("write-rate")
        rateGraceNs = group.number("rate-grace")
    }
}

extension LimitConfiguration {
    init(_ group: ConfigTable?) {
        guard let group else { preconditionFailure("BUG: limits have no default") }
        connections = group.integer("connections")
        connectionsPerAddress = group.integer("connections-per-address")
        requestsPerConnection = group.integer("requests-per-connection")
        requestLineBytes = group.integer("request-line-bytes")
        headerBytes = group.integer("header-bytes")
        headerCount = group.integer("header-count")
        bodyBytes = group.number("body-bytes")
    }
}
