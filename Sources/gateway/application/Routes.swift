// Routes: what answers which request, compiled from a configuration. Made at start and on each reload; immutable; shared by all loops, which
// keep it alive through their handler. Answering costs no reference count: what a route needs is held here, unmanaged, for as long as this
// object lives.

internal import UringHTTP
package import UringServer

@safe
package final class Routes: Sendable {
    /// Safe: only this file touches what is unmanaged in it, and `Routes` keeps that alive.
    @safe private struct Entry {
        let name: RouteName
        /// Retained by this object until its deinit, as what the answer holds.
        let answer: Answer
        /// Nil: none stands before the answer. Retained as the answer is.
        let filters: Unmanaged<FilterChain>?
        let writesAccessLog: Bool
        /// Goes on where a filter has to wait; nil: none does. Retained as the answer is.
        let late: Unmanaged<AsyncHandlerBox>?
        /// The value of Strict-Transport-Security; empty: none. Freed in the deinit.
        let hsts: UnsafeMutableBufferPointer<UInt8>
    }

    /// Safe as `Entry` is.
    @safe private enum Answer {
        case prepared(Unmanaged<PreparedResponse>)
        case files(Unmanaged<StaticFiles>)
        case redirect(Unmanaged<Redirect>)
        case proxy(Unmanaged<ProxyRoute>)
    }

    private let table: RouteTable
    /// Freed in deinit; never written after init.
    nonisolated(unsafe) private let entries: UnsafeMutableBufferPointer<Entry>
    /// Some route proxies: bodies may be handed on as they come.
    package let hasProxies: Bool
    private let hasCORS: Bool
    /// Requests of some routes are not in the access log.
    package let silencesSome: Bool
    /// The first route takes every request, so nothing needs to be compared.
    private let takesAll: Bool

    /// - Throws: when a directory cannot be opened any more, or a header cannot be sent.
    package init(_ routes: [RouteConfiguration], _ proxies: ProxyParts = ProxyParts(), _ filters: FilterParts = FilterParts()) throws {
        hasProxies = routes.contains { if case .proxy = $0.action { true } else { false } }
        silencesSome = routes.contains { !$0.filters.writesAccessLog }
        hasCORS = routes.contains { $0.filters.cors != nil }
        table = RouteTable(routes.map(\.match))
        takesAll = routes.first.map { $0.match == RouteMatchRule() } ?? false
        let place = RoutesPlace()
        let made = try Self.entries(routes, proxies, filters, place)
        unsafe entries = .allocate(capacity: made.count)
        _ = unsafe entries.initialize(from: made)
        place.routes = self
    }

    private static func entries(_ routes: [RouteConfiguration], _ proxies: ProxyParts, _ filters: FilterParts, _ place: RoutesPlace) throws -> [Entry] {
        var made: [Entry] = []
        do {
            for (index, route) in routes.enumerated() { made.append(try entry(route, proxies, filters, index, place)) }
            return made
        } catch {
            for entry in made { release(entry) }
            throw error
        }
    }

    deinit {
        // Whoever answered through these entries held this object.
        for index in unsafe entries.indices { unsafe Self.release(entries[index]) }
        unsafe entries.deallocate()
    }

    private static func release(_ entry: Entry) {
        switch entry.answer {
        case .prepared(let prepared): unsafe prepared.release()
        case .files(let files): unsafe files.release()
        case .redirect(let redirect): unsafe redirect.release()
        case .proxy(let proxy): unsafe proxy.release()
        }
        unsafe entry.filters?.release()
        unsafe entry.late?.release()
        unsafe entry.hsts.deallocate()
    }

    private static func entry(_ route: RouteConfiguration, _ proxies: ProxyParts, _ filters: FilterParts, _ index: Int, _ place: RoutesPlace) throws -> Entry {
        // First, since it is released by itself when the answer cannot be made.
        let chain = try filters.chain(route)
        let answer = try answer(route, proxies, chain?.breaker)
        let value = Array((route.hsts?.fieldValue ?? "").utf8)
        let hsts = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: value.count)
        _ = unsafe hsts.initialize(from: value)
        return unsafe Entry(name: RouteName(registering: route.name), answer: answer, filters: chain.map { unsafe .passRetained($0) },
            writesAccessLog: route.filters.writesAccessLog, late: chain?.firstWaiting.map { _ in unsafe Unmanaged.passRetained(late(index, place)) }, hsts: hsts)
    }

    private static func answer(_ route: RouteConfiguration, _ proxies: ProxyParts, _ breaker: BreakerFilter?) throws -> Answer {
        switch route.action {
        case .respond(let respond):
            let prepared = try PreparedResponse(
                status: HTTPStatus(UInt16(clamping: respond.status)), headers: respond.headers.map { ($0.name, $0.value) }, body: respond.body)
            return unsafe .prepared(.passRetained(prepared))
        case .files(let files):
            return unsafe .files(.passRetained(try StaticFiles(root: files.root, options: StaticFilesOptions(files))))
        case .redirect(let redirect): return unsafe .redirect(.passRetained(Redirect(redirect)))
        case .proxy(let proxy): return unsafe .proxy(.passRetained(try proxies.route(route, proxy, breaker)))
        }
    }

    /// What goes on with requests of a route whose filter has to wait. The application that holds the routes is held for as long as it runs.
    private static func late(_ index: Int, _ place: RoutesPlace) -> AsyncHandlerBox {
        AsyncHandlerBox { request, response in
            guard let routes = place.routes else { throw CancellationError() }
            try await routes.goOn(index, request, &response)
        }
    }

    // MARK: answering

    /// Answers one request. On a loop's thread.
    package func respond(to request: borrowing Request, _ response: inout Response) {
        route(request, &response)
        // What went to an upstream is not answered yet.
        if response.status.code >= 400 { putForGRPC(request, &response) }
    }

    /// A client of gRPC reads `grpc-status`, and makes of other statuses what its library likes.
    private func putForGRPC(_ request: borrowing Request, _ response: inout Response) {
        // SAFETY: the request's bytes are readable during this call.
        guard let type = request.headers["content-type"], unsafe type.span.withUnsafeBufferPointer({ unsafe $0.count > 0 && GRPC.isContentType($0.baseAddress!, $0.count) })
        else { return }
        let status = response.status
        response.restart(.ok)
        response.headers["content-type"] = "application/grpc"
        response.headers["grpc-status"] = "\(GRPC.code(for: status).rawValue)"
        response.headers["grpc-message"] = "\(status.code) \(status.reasonPhrase)"
    }

    private func route(_ request: borrowing Request, _ response: inout Response) {
        let isConnect = request.method == .connect
        // A 2xx would make the connection a tunnel to nowhere (RFC 9110 section 9.3.6), but for a WebSocket on HTTP/2 (RFC 8441).
        guard !isConnect || request.connectProtocol?.equalsIgnoringCase("websocket") == true else { return response.fail(.notImplemented) }
        // A route that takes all methods takes preflights too.
        if takesAll { return answer(0, request, &response) }
        let path = request.path
        if hasCORS, CORSFilter.isPreflight(request), answerPreflight(request, path, &response) { return }
        // As on HTTP/1.1, where the same client sends GET: a route takes both.
        switch isConnect ? matchConnect(request, path) : match(request, path, request.methodName) {
        case .route(let index): answer(index, request, &response)
        case .notFound: refuse(request, &response)
        case .methodNotAllowed(let allowed): refuse(request, &response, allowed: allowed)
        case nil: response.fail(.badRequest)
        }
    }

    /// Whether the request's body is handed on as it comes, and does not wait here until it is whole. On a loop's thread.
    package func wantsStream(_ request: borrowing Request) -> Bool {
        guard request.method != .connect else { return false }
        let index: Int
        if takesAll { index = 0 } else {
            guard case .route(let found) = match(request, request.path, request.methodName) else { return false }
            index = found
        }
        // SAFETY: as in `answer`.
        guard case .proxy(let proxy) = unsafe entries[index].answer else { return false }
        return unsafe proxy._withUnsafeGuaranteedRef { $0.wantsStream(request) }
    }

    /// Whether a route, by its name, wants its requests out of the access log.
    package func silences(_ name: RouteName?) -> Bool {
        guard let name else { return false }
        // SAFETY: as in `answer`. Names are registered: equal ones are at one place.
        for index in unsafe entries.indices where unsafe !entries[index].writesAccessLog && entries[index].name.isSame(as: name) { return true }
        return false
    }

    /// By the routes for GET.
    private func matchConnect(_ request: borrowing Request, _ path: ByteView) -> RouteMatch? {
        let name: StaticString = "GET"
        // A literal lives as long as the program.
        return match(request, path, ByteView(unsafe Span<UInt8>(_unsafeStart: name.utf8Start, count: name.utf8CodeUnitCount)))
    }

    /// nil: the path is malformed.
    private func match(_ request: borrowing Request, _ path: ByteView, _ method: ByteView) -> RouteMatch? {
        if RoutePath.isNormal(path.span) {
            return table.match(method: method.span, host: request.authority.span, path: path.span, isSecure: request.cameOverTLS)
        }
        // Off the fast path: browsers and proxies send paths in their normal form, but for escapes.
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: path.count)
        // SAFETY: freed when this function has returned; the span below lives within it.
        defer { unsafe room.deallocate() }
        var normal = unsafe OutputSpan(buffer: room, initializedCount: 0)
        guard RoutePath.normalize(path.span, into: &normal) else { return nil }
        return table.match(method: method.span, host: request.authority.span, path: normal.span, isSecure: request.cameOverTLS)
    }

    private func answer(_ index: Int, _ request: borrowing Request, _ response: inout Response) {
        // SAFETY: this object retains what its entries point to, and the loop retains this object through its handler.
        let entry = unsafe entries[index]
        response.setRoute(entry.name)
        if let filters = unsafe entry.filters {
            if unsafe filter(index, filters, request, &response) { return }
        } else {
            answer(entry, request, &response)
        }
        addHSTS(entry, request, &response)
    }

    /// Last: what fails begins its response anew. In clear anybody could have put the header there (RFC 6797 section 7.2).
    private func addHSTS(_ entry: Entry, _ request: borrowing Request, _ response: inout Response) {
        // SAFETY: as in `answer`.
        if unsafe !entry.hsts.isEmpty, request.cameOverTLS {
            response.headers.add("strict-transport-security", ByteView(unsafe Span(_unsafeElements: entry.hsts)))
        }
    }

    private func answer(
        _ entry: Entry, _ request: borrowing Request, _ response: inout Response, _ filters: FilterChain? = nil, _ pass: FilterPass = FilterPass()
    ) {
        // SAFETY: as above.
        switch entry.answer {
        case .prepared(let prepared): unsafe prepared._withUnsafeGuaranteedRef { response.send($0) }
        case .files(let files): unsafe files._withUnsafeGuaranteedRef { $0.respond(to: request, &response) }
        case .redirect(let redirect): unsafe redirect._withUnsafeGuaranteedRef { $0.respond(to: request, &response) }
        // Whose outcome comes later.
        case .proxy(let proxy): return unsafe proxy._withUnsafeGuaranteedRef { $0.respond(to: request, &response, filters, pass) }
        }
        guard let admission = pass.admission, let breaker = filters?.breaker else { return }
        breaker.record(admission, status: response.status, latencyNs: 0, loop: response.loopIndex, now: response.monotonicNanoseconds)
    }

    /// - Returns: true when a filter has to wait: `goOn` answers.
    private func filter(_ index: Int, _ filters: Unmanaged<FilterChain>, _ request: borrowing Request, _ response: inout Response) -> Bool {
        // SAFETY: as above.
        unsafe filters._withUnsafeGuaranteedRef { chain in
            var pass = FilterPass()
            switch chain.judge(request, &response, &pass) {
            case .pass: unsafe answer(entries[index], request, &response, chain, pass)
            case .fallback(let other): unsafe answer(entries[other], request, &response)
            case .answered: break
            case .waits:
                unsafe entries[index].late?._withUnsafeGuaranteedRef { response.run($0) }
                return true
            }
            return false
        }
    }

    /// Answers a request one of whose filters has to wait. Begins at the first that may, since those behind it have done nothing that cannot be done again. In an async handler, on the loop.
    private func goOn(_ index: Int, _ request: borrowing Request, _ response: inout Response) async throws {
        // SAFETY: as above.
        guard let chain = unsafe entries[index].filters?.takeUnretainedValue(), var next = chain.firstWaiting else { return }
        do {
            while true {
                // Anew behind each wait: what filters leave lies in memory of the loop, which others have used meanwhile.
                var pass = FilterPass()
                guard chain.recall(request, &response, &pass, upTo: next) else { break }
                switch chain.judge(request, &response, &pass, from: next) {
                case .waits(let place):
                    guard try await chain.wait(at: place, request, &response, pass) else { break }
                    next = place + 1
                    continue
                case .pass: unsafe answer(entries[index], request, &response, chain, pass)
                case .fallback(let other): unsafe answer(entries[other], request, &response)
                case .answered: break
                }
                break
            }
        } catch let error where !(error is CancellationError) {
            response.answer(error)
        }
        unsafe addHSTS(entries[index], request, &response)
    }

    /// A preflight belongs to the route of the request that it asks for, which need not take OPTIONS.
    private func answerPreflight(_ request: borrowing Request, _ path: ByteView, _ response: inout Response) -> Bool {
        guard let method = request.headers["access-control-request-method"], case .route(let index) = match(request, path, method) else { return false }
        // SAFETY: as in `answer`.
        guard let filters = unsafe entries[index].filters, unsafe filters._withUnsafeGuaranteedRef({ $0.answersPreflights }) else { return false }
        answer(index, request, &response)
        return true
    }

    /// No route takes the request: 404, or 405 with the methods that would be taken; `OPTIONS` is told them with 204.
    private func refuse(_ request: borrowing Request, _ response: inout Response, allowed: RouteMethods? = nil) {
        let isOptions = request.method == .options
        guard let allowed else {
            // `OPTIONS *` asks whether the server as a whole is there (RFC 9110 section 9.3.7).
            if isOptions, request.path == "*" { return response.restart(.noContent) }
            return response.fail(.notFound)
        }
        if isOptions { response.restart(.noContent) } else { response.fail(.methodNotAllowed) }
        response.headers["allow"] = allow(allowed)
    }

    private func allow(_ methods: RouteMethods) -> String {
        let names = unsafe String(unsafeUninitializedCapacity: table.allowBytesMax) { buffer in
            // SAFETY: the buffer is the string's own during the call.
            unsafe table.writeAllow(methods, into: UnsafeMutableRawBufferPointer(buffer))
        }
        return names.split(separator: ", ").contains("OPTIONS") ? names : names + ", OPTIONS"
    }
}

/// The way back to the routes for what they hold themselves. Written once, before they serve.
private final class RoutesPlace: @unchecked Sendable {
    weak var routes: Routes?
}

extension StaticFilesOptions {
    init(_ files: FilesConfiguration) {
        self.init()
        index = files.index
        cacheControl = files.cacheControl
        precompressed = files.precompressed.map {
            switch $0 {
            case .br: .brotli
            case .zstd: .zstd
            case .gzip: .gzip
            }
        }
        symbolicLinks = files.symlinks == .deny ? .deny : .inside
    }
}
