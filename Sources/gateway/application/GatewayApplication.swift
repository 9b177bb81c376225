// GatewayApplication: a configuration as what the server's loops call. Made at start and on each reload, on the thread that does so;
// everything it holds is immutable or belongs to one loop, and lives until the last loop has gone over to its successor.

internal import UringHTTP
package import UringServer

package struct GatewayApplication: Sendable {
    package let routes: Routes
    /// In the order of the configuration.
    package let upstreams: [Upstream]
    let filters: FilterParts
    /// nil: everybody may connect.
    private let gate: AddressGate?
    /// nil: no access log.
    package let logs: AccessLogs?

    /// - Throws: what cannot be opened: a directory of `files`, the access log.
    /// - Parameter previous: what goes on with the same connections where its configuration is the same.
    package init(_ configuration: Configuration, loops: Int, previous: GatewayApplication? = nil, log: LogReporter? = nil) throws {
        upstreams = try configuration.upstreams.map { wanted in
            let old = previous?.upstreams.first { $0.configuration.name == wanted.name }
            if let old, try old.goesOn(as: wanted, loops: loops) { return old }
            let made = try Upstream(wanted, loops: loops, log: log?.log)
            if let old { made.inherit(from: old) }
            return made
        }
        gate = AddressGate(configuration.addresses)
        filters = try FilterParts(configuration, loops: loops, previous: previous?.filters, log: log)
        routes = try Routes(configuration.routes, ProxyParts(upstreams, trusted: configuration.trustedProxies), filters)
        logs = try configuration.accessLog.map { log throws in
            do throws(TextProblem) { return try AccessLogs(log, loops: loops) } catch { throw GatewayError(error.reason) }
        }
    }

    /// What the loops get.
    package func application(reporter: any ServerReporter) -> Application {
        let routes = routes
        var application = Application { request, response in routes.respond(to: request, &response) }
        if routes.hasProxies { application.wantsStream = { request in routes.wantsStream(request) } }
        if let gate { application.admits = { gate.admits($0) } }
        if let logs {
            if routes.silencesSome {
                application.observe = { request, record in if !routes.silences(record.route) { logs.record(request, record) } }
            } else {
                application.observe = { request, record in logs.record(request, record) }
            }
            application.flush = { loop in logs.flush(loop) }
            application.flushInterval = .nanoseconds(Int64(clamping: logs.flushNs))
        }
        application.reporter = reporter
        return application
    }
}

/// Why something could not be done, in a sentence for an operator.
package struct GatewayError: Error, CustomStringConvertible, Sendable {
    package let description: String
    package init(_ description: String) { self.description = description }
}
