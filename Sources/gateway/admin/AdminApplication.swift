// The administration listener: whether the process lives, whether it wants clients, what it does, and reloads. Served by a loop of its own, so that it answers while
// the main loops are busy, stalled or draining. Probes are answered at once; whatever asks a serving loop or waits for a lock is done on another thread, so that it
// never holds a probe up.

internal import UringHTTP
internal import UringPolicy
package import UringServer

package enum AdminApplication {
    package static func make(_ context: AdminContext, reporter: any ServerReporter) -> Application {
        var application = Application { request, response in respond(request, &response, context) }
        application.reporter = reporter
        return application
    }

    private static func respond(_ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        response.headers["cache-control"] = "no-store"
        let page = AdminPage(request.path)
        if page?.isOpen != true {
            switch context.admits(request) {
            case .granted: break
            case .missing: return problem(&response, .unauthorized, "a token is needed: Authorization: Bearer TOKEN", ("www-authenticate", "Bearer"))
            case .wrong: return problem(&response, .unauthorized, "this is none of the tokens", ("www-authenticate", "Bearer error=\"invalid_token\""))
            }
        }
        guard let page else { return problem(&response, .notFound, "there is \(AdminPage.allCases.map { "/" + $0.rawValue }.joined(separator: ", "))") }
        guard page.takes(request.method) else {
            if request.method == .options { response.restart(.noContent) } else { problem(&response, .methodNotAllowed, "\(page.methods) only") }
            response.headers["allow"] = page.methods + ", OPTIONS"
            return
        }
        answer(page, request, &response, context)
    }

    private static func answer(_ page: AdminPage, _ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        switch page {
        case .livez: probe(&response, .ok, "ok\n")
        case .readyz:
            switch context.readiness.current {
            case .serving:
                probe(&response, .ok, "ok\n")
                // It serves without them, so it is ready; whoever looks is told.
                for redis in context.redis { response.write(redis.figures.line + "\n") }
            // The load balancer asks again soon; a cache must not answer for us.
            case .draining: probe(&response, .serviceUnavailable, "draining\n")
            case .starting: probe(&response, .serviceUnavailable, "starting\n")
            }
        case .version: json(&response, context) { $0.versionPage }
        case .config: json(&response, context) { $0.configurationPage }
        case .upstreams: json(&response, context) { $0.upstreamsPage }
        case .metrics: metrics(&response, context, MetricsAccept.format(text(request.headers["accept"])))
        case .reload: reload(request, &response, context)
        case .bans: bans(request, &response, context)
        case .dashboard: DashboardPage.write(to: &response)
        case .dashboardEvents: events(request, &response, context)
        case .flightRecorder: flight(request, &response, context)
        }
    }

    private static func events(_ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        // Where a page that was cut off goes on.
        DashboardEvents.stream(gateway, after: UInt64(text(request.headers["last-event-id"])) ?? 0, to: &response)
    }

    private static func text(_ view: ByteView?) -> String {
        if let view { return String(view) }
        return ""
    }

    /// Nil: its percent-encoding is broken.
    private static func decoded(_ view: ByteView?) -> String? {
        if let view { return view.percentDecoded }
        return ""
    }

    private static func probe(_ response: inout Response, _ status: HTTPStatus, _ text: StaticString) {
        response.status = status
        response.headers["content-type"] = "text/plain; charset=utf-8"
        response.write(text)
    }

    // MARK: pages that wait

    private static func metrics(_ response: inout Response, _ context: AdminContext, _ format: MetricsWriter.Format) {
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        response.run { request, response in
            let page = try await request.loop.offload { MetricsPage.make(gateway.figures(), format) }
            response.headers["content-type"] = page.contentType
            response.write(page.bytes)
        }
    }

    private static func flight(_ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        let recorder = gateway.reporter.flight.configuration
        guard recorder.events > 0 else { return problem(&response, .notFound, "the flight recorder is off: admin.flight-recorder.events is 0") }
        let query = text(request.query)
        var withinNs = recorder.withinNs
        if !query.isEmpty {
            guard query.hasPrefix("seconds="), let seconds = UInt64(query.dropFirst("seconds=".count)), (1...86_400).contains(seconds) else {
                return problem(&response, .badRequest, "the query is ?seconds=N, 1 to 86400, or none")
            }
            withinNs = seconds * 1_000_000_000
        }
        response.run { [withinNs] request, response in
            let dump = try await request.loop.offload { FlightDump.make(gateway, reason: "request", withinNs: withinNs) }
            response.headers["content-type"] = "application/x-ndjson"
            response.write(dump.bytes)
        }
    }

    private static func json(_ response: inout Response, _ context: AdminContext, _ make: @escaping @Sendable (Gateway) -> JSONValue) {
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        response.run { request, response in
            let text = try await request.loop.offload { make(gateway).prettyText }
            response.headers["content-type"] = "application/json"
            response.write(text)
        }
    }

    /// A page in a browser of this machine reaches loopback addresses: what changes something is not for pages.
    private static func isFromBrowser(_ request: borrowing Request) -> Bool { request.headers["origin"] != nil || request.headers["sec-fetch-site"] != nil }

    private static func bans(_ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        let (method, body) = (request.method, bytes(request.body))
        if method == .post || method == .delete, isFromBrowser(request) { return problem(&response, .forbidden, "not from a browser") }
        guard let query = decoded(request.query) else { return problem(&response, .badRequest, "the query is malformed") }
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        guard method == .post || method == .delete else { return listBans(query, &response, gateway) }
        if method == .post, !query.isEmpty { return problem(&response, .badRequest, "a ban stands in the body, not in a query; \(BansPage.accepted)") }
        response.run { request, response in
            let answer = try await request.loop.offload { method == .post ? gateway.bansPage.add(body) : gateway.bansPage.remove(query) }
            response.status = answer.status
            response.headers["content-type"] = answer.status.code < 400 ? "application/json" : "application/problem+json"
            response.write(answer.document.prettyText)
        }
    }

    private static func listBans(_ text: String, _ response: inout Response, _ gateway: Gateway) {
        guard let query = BansPage.Query(text) else { return problem(&response, .badRequest, "accepted: \(BansPage.Query.accepted)") }
        response.run { request, response in
            let text = try await request.loop.offload { query == .text ? gateway.bansPage.text : gateway.bansPage.list(query).prettyText }
            response.headers["content-type"] = query == .text ? "text/plain; charset=utf-8" : "application/json"
            response.write(text)
        }
    }

    // The view's memory lives through the call.
    private static func bytes(_ view: ByteView) -> [UInt8] { unsafe view.span.withUnsafeBufferPointer { unsafe Array($0) } }

    private static func reload(_ request: borrowing Request, _ response: inout Response, _ context: AdminContext) {
        if isFromBrowser(request) { return problem(&response, .forbidden, "not from a browser") }
        let query = text(request.query)
        guard ["", "plan"].contains(query) else { return problem(&response, .badRequest, "the query is ?plan or none") }
        guard let gateway = context.gateway else { return problem(&response, .serviceUnavailable, "the server is starting") }
        // The first kind that is named; JSON otherwise.
        let wantsText = text(request.headers["accept"]).lowercased().hasPrefix("text/plain")
        response.run { request, response in
            let outcome = try await request.loop.offload { query == "plan" ? gateway.plan() : gateway.reload() }
            let (status, document) = outcome.answer
            if wantsText {
                response.status = status
                response.headers["content-type"] = "text/plain; charset=utf-8"
                response.write(outcome.text)
                return
            }
            response.status = status
            response.headers["content-type"] = status.code < 400 ? "application/json" : "application/problem+json"
            response.write(document.prettyText)
        }
    }

    // MARK: problems

    /// A problem document (RFC 9457).
    private static func problem(_ response: inout Response, _ status: HTTPStatus, _ detail: String, _ field: (name: StaticString, value: String)? = nil) {
        response.status = status
        response.headers["content-type"] = "application/problem+json"
        if let field { response.headers[field.name] = field.value }
        response.write(JSONValue.problem(status, detail).prettyText)
    }
}

extension JSONValue {
    static func problem(_ status: HTTPStatus, _ detail: String, _ more: [Member] = []) -> JSONValue {
        let members: [Member] = [
            .init(name: "type", value: .string("about:blank")), .init(name: "title", value: .string(String(describing: status.reasonPhrase))),
            .init(name: "status", value: .integer(UInt64(status.code))), .init(name: "detail", value: .string(detail)),
        ]
        return .object(members + more)
    }
}

/// What there is to ask for: `/` and the name.
enum AdminPage: String, CaseIterable {
    case livez, readyz, metrics, version, config, upstreams, bans, reload, dashboard
    case dashboardEvents = "dashboard/events"
    case flightRecorder = "flight-recorder"

    init?(_ path: ByteView) {
        guard let page = Self.allCases.first(where: { path == "/" + $0.rawValue }) else { return nil }
        self = page
    }

    /// Answered whoever asks: those who probe have no secrets, and a page without data asks for the token itself.
    var isOpen: Bool { self == .livez || self == .readyz || self == .dashboard }
    var methods: String { self == .reload ? "POST" : self == .bans ? "GET, HEAD, POST, DELETE" : "GET, HEAD" }

    func takes(_ method: HTTPMethod) -> Bool {
        switch method {
        case .get, .head: self != .reload
        case .post: self == .reload || self == .bans
        case .delete: self == .bans
        case .options, .put, .connect, .trace, .patch, .other: false
        }
    }
}
