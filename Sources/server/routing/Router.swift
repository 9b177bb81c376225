// Router: handlers by method and path. Filled while a server is set up; compiled once into what the loops call (CompiledRouter).

public import UringHTTP

/// Handlers by method and path, with middleware around them.
///
///     var router = Router()
///     router.use(.latency)
///     router.get("/users/{id}") { request, response in
///         guard let id = request.parameter("id") else { return }
///         response.json { json in json["id"] = id }
///     }
///     router.group("/admin") { admin in
///         admin.delete("/users/{id}") { request, response in response.status = .noContent }
///     }
///     let server = try Server(listen: ["127.0.0.1:8080"], router: router)
///
/// At each segment text beats a parameter and a parameter beats a wildcard, whatever the order of registration; a place that lacks
/// the method is passed over. HEAD is answered by GET's handler, OPTIONS by `Allow`, other methods by 405 with `Allow`, unknown paths by 404, unless
/// there are routes that say otherwise.
public struct Router: Sendable {
    struct Route: Sendable {
        /// nil = every method.
        let method: HTTPMethod?
        let pattern: String
        /// nil = the whole pattern.
        let name: String?
        let streamsBody: Bool
        let handler: Handler
        let origin: RouteOrigin
    }

    private(set) var routes: [Route] = []
    private(set) var middleware: [Middleware] = []
    private(set) var notFoundHandler: Handler?
    private(set) var problems: [String] = []
    private let isGroup: Bool

    /// Without routes: answers everything with 404.
    public init() { isGroup = false }

    private init(group: Void) { isGroup = true }

    // MARK: routes

    /// Adds a handler.
    /// - Parameters:
    ///   - method: a registered one. `.head` overrides what GET's handler would answer.
    ///   - pattern: `/text/{parameter}/{rest*}`. Segments between slashes are text (compared after percent-decoding, with case), a parameter
    ///     (a whole segment, not empty), or at the end a wildcard `{name*}` or `*`: whatever follows the slash, possibly nothing.
    ///   - name: in stall reports, logs and metrics; the pattern, prefixes included, when nil.
    ///   - streamingBody: the handler is called before the body has arrived, and takes it with `Response.receiveBody`.
    ///   - fileID: of the call, for errors; leave it out.
    ///   - line: of the call, for errors; leave it out.
    ///   - handler: called on the loops' threads, by several at once.
    public mutating func on(
        _ method: HTTPMethod, _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID,
        line: UInt = #line, _ handler: @escaping Handler
    ) {
        add(method, pattern, name, streamingBody, RouteOrigin(file: fileID, line: line), handler)
    }

    /// A handler for every method that has no other there, extension methods included (`Request.methodName`).
    public mutating func any(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping Handler
    ) {
        add(nil, pattern, name, streamingBody, RouteOrigin(file: fileID, line: line), handler)
    }

    /// `on(.get, …)`; HEAD is answered by the same handler.
    public mutating func get(
        _ pattern: String, name: String? = nil, fileID: StaticString = #fileID, line: UInt = #line, _ handler: @escaping Handler
    ) {
        add(.get, pattern, name, false, RouteOrigin(file: fileID, line: line), handler)
    }

    /// `on(.post, …)`.
    public mutating func post(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping Handler
    ) {
        add(.post, pattern, name, streamingBody, RouteOrigin(file: fileID, line: line), handler)
    }

    /// `on(.put, …)`.
    public mutating func put(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping Handler
    ) {
        add(.put, pattern, name, streamingBody, RouteOrigin(file: fileID, line: line), handler)
    }

    /// `on(.patch, …)`.
    public mutating func patch(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping Handler
    ) {
        add(.patch, pattern, name, streamingBody, RouteOrigin(file: fileID, line: line), handler)
    }

    /// `on(.delete, …)`.
    public mutating func delete(
        _ pattern: String, name: String? = nil, fileID: StaticString = #fileID, line: UInt = #line, _ handler: @escaping Handler
    ) {
        add(.delete, pattern, name, false, RouteOrigin(file: fileID, line: line), handler)
    }

    private mutating func add(
        _ method: HTTPMethod?, _ pattern: String, _ name: String?, _ streamsBody: Bool, _ origin: RouteOrigin, _ handler: @escaping Handler
    ) {
        routes.append(
            Route(
                method: method, pattern: pattern, name: name, streamsBody: streamsBody, handler: handler, origin: origin))
    }

    // MARK: groups and middleware

    /// Routes below a prefix, with middleware of their own, which lies within that of the router.
    /// - Parameters:
    ///   - prefix: a pattern without a slash at its end; may have parameters.
    ///   - fileID: of the call, for errors; leave it out.
    ///   - line: of the call, for errors; leave it out.
    ///   - build: adds the routes, whose patterns begin with a slash.
    public mutating func group(
        _ prefix: String, fileID: StaticString = #fileID, line: UInt = #line, _ build: (inout Router) throws -> Void
    ) rethrows {
        var group = Router(group: ())
        try build(&group)
        let origin = RouteOrigin(file: fileID, line: line)
        if prefix.hasSuffix("/") { problems.append("\(origin): the prefix \(prefix) ends with a slash; its routes begin with one") }
        problems += group.problems
        for route in group.routes {
            if !route.pattern.hasPrefix("/") { problems.append("\(route.origin): \(route.pattern): a pattern begins with a slash") }
            routes.append(
                Route(
                    method: route.method, pattern: prefix + route.pattern, name: route.name, streamsBody: route.streamsBody,
                    handler: Middleware.compose(group.middleware, around: route.handler), origin: route.origin))
        }
    }

    /// Adds middleware around every handler of this router or group, those registered before included; what is added first is outermost.
    /// That of the router also runs around its own answers (404, 405, OPTIONS).
    public mutating func use(_ middleware: Middleware) { self.middleware.append(middleware) }

    /// As above, for a closure: it calls `next` where the rest is to run.
    public mutating func use(_ run: @escaping Middleware.Run) { middleware.append(Middleware(run)) }

    /// Answers for paths without a route, instead of an empty 404. The status is 404 unless the handler sets another.
    public mutating func notFound(fileID: StaticString = #fileID, line: UInt = #line, _ handler: @escaping Handler) {
        if isGroup { problems.append("\(RouteOrigin(file: fileID, line: line)): notFound belongs to the router, not to a group") }
        notFoundHandler = handler
    }
}

/// Everything that is wrong with a router's routes, a line each, with the place in the source.
public struct RouterError: Error, CustomStringConvertible, Sendable {
    /// One sentence for each, with the place in the source.
    public let problems: [String]
    /// The problems, a line each.
    public var description: String { problems.joined(separator: "\n") }
}

extension Server {
    /// A server that answers by a router.
    /// - Throws: when patterns are malformed or in conflict.
    public init(listen: [String], options: ServerOptions = ServerOptions(), router: Router) throws(RouterError) {
        self.init(listen: listen, options: options, application: try Application(router: router))
    }
}

extension Application {
    /// An application that answers by a router. `wantsStream` is the router's when it has routes with a streamed body.
    /// - Throws: when patterns are malformed or in conflict.
    public init(router: Router) throws(RouterError) {
        let compiled = try CompiledRouter(router)
        self.init(handler: { request, response in try compiled.handle(request, &response) })
        if compiled.streamsBodies { wantsStream = { request in compiled.streamsBody(request) } }
    }
}
