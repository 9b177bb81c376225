// CompiledRouter: a router as the loops call it. Immutable; lives as long as the handler box that holds it, so that its endpoints are called
// without being retained.

internal import UringHTTP
internal import UringHTTP1

/// A handler with its middleware.
final class RouteEndpoint: Sendable {
    let handle: Handler
    let name: RouteName
    let streamsBody: Bool

    init(_ handle: @escaping Handler, name: RouteName, streamsBody: Bool = false) {
        (self.handle, self.name, self.streamsBody) = (handle, name, streamsBody)
    }
}

// Sendable: everything is written in init and only read afterwards.
@safe
final class CompiledRouter: @unchecked Sendable {
    private let trie: RouteTrie
    /// Each retained once, until deinit.
    private let endpoints: UnsafeBufferPointer<Unmanaged<RouteEndpoint>>
    private let notFound: RouteEndpoint
    private let methodNotAllowed: RouteEndpoint
    private let options: RouteEndpoint
    let streamsBodies: Bool

    init(_ router: Router) throws(RouterError) {
        var builder = RouteTrieBuilder()
        for (index, route) in router.routes.enumerated() { builder.add(route.method, route.pattern, endpoint: index, at: route.origin) }
        // A pattern that a group already complained of is wrong for the trie too.
        let problems = router.problems + builder.problems.filter { !router.problems.contains($0) }
        guard problems.isEmpty else { throw RouterError(problems: problems) }
        let trie = builder.build()
        self.trie = trie
        streamsBodies = router.routes.contains { $0.streamsBody }
        let memory = UnsafeMutableBufferPointer<Unmanaged<RouteEndpoint>>.allocate(capacity: router.routes.count)  // freed in deinit
        for (index, route) in router.routes.enumerated() {
            let handler = Middleware.compose(router.middleware, around: route.handler)
            let endpoint = RouteEndpoint(handler, name: RouteName(registering: route.name ?? route.pattern), streamsBody: route.streamsBody)
            unsafe memory.initializeElement(at: index, to: .passRetained(endpoint))
        }
        unsafe endpoints = UnsafeBufferPointer(memory)
        func own(_ name: StaticString, _ handler: @escaping Handler) -> RouteEndpoint {
            let composed = Middleware.compose(router.middleware, around: handler)
            return RouteEndpoint(
                { request, response in
                    try composed(request, &response)
                    response.nameStatus()
                }, name: RouteName(name))
        }
        let answer = router.notFoundHandler
        notFound = own("not found") { request, response in
            response.status = .notFound
            try answer?(request, &response)
        }
        methodNotAllowed = own("method not allowed") { request, response in
            response.status = .methodNotAllowed
            response.headers["allow"] = Self.allowed(trie, request).allow
        }
        options = own("options") { request, response in
            response.status = .noContent
            response.headers["allow"] = Self.allowed(trie, request).allow
        }
    }

    deinit {
        for index in unsafe 0..<endpoints.count { unsafe endpoints[index].release() }
        unsafe endpoints.deallocate()
    }

    /// Calls the endpoint that takes the request.
    func handle(_ request: borrowing Request, _ response: inout Response) throws {
        switch match(request) {
        case .endpoint(let number):
            // SAFETY: the endpoint is retained until deinit, and whoever calls this holds the router.
            try unsafe endpoints[number]._withUnsafeGuaranteedRef { try Self.run($0, request, &response) }
        case .none(let methods) where request.method == .options && (!methods.isEmpty || request.path == "*"):
            try Self.run(options, request, &response)
        case .none(let methods):
            try Self.run(methods.isEmpty ? notFound : methodNotAllowed, request, &response)
        }
    }

    func streamsBody(_ request: borrowing Request) -> Bool {
        switch match(request) {
        // SAFETY: as in `handle`.
        case .endpoint(let number): unsafe endpoints[number]._withUnsafeGuaranteedRef { $0.streamsBody }
        case .none: false
        }
    }

    @inline(__always)
    private static func run(_ endpoint: RouteEndpoint, _ request: borrowing Request, _ response: inout Response) throws {
        response.setRoute(endpoint.name)
        try endpoint.handle(request, &response)
    }

    @inline(__always)
    private func match(_ request: borrowing Request) -> RouteTrie.Match { Self.match(trie, request) }

    private static func match(_ trie: RouteTrie, _ request: borrowing Request) -> RouteTrie.Match {
        // SAFETY: the loop keeps the request's head and captures in place until the handler has returned.
        let context = unsafe request.context
        guard let captures = unsafe context.pointee.captures else { return .none([]) }
        let head = unsafe context.pointee.head
        let found = unsafe trie.match(
            head.pointee.method, context.pointee.base, offset: Int(head.pointee.pathOffset), count: Int(head.pointee.pathLength), captures)
        guard case .none = found, unsafe head.pointee.connectProtocolLength > 0 else { return found }
        // What GET with Upgrade is on HTTP/1.1 is an extended CONNECT on HTTP/2 (RFC 8441 section 5): one route serves both.
        return unsafe trie.match(
            .get, context.pointee.base, offset: Int(head.pointee.pathOffset), count: Int(head.pointee.pathLength), captures)
    }

    /// What `Allow` says of a path that the request's method has no route for.
    private static func allowed(_ trie: RouteTrie, _ request: borrowing Request) -> RouteMethodSet {
        var methods = trie.methods
        if request.path != "*" {
            guard case .none(let found) = match(trie, request) else { return [] }
            methods = found
        }
        methods.insert(RouteMethodSet(.options))
        return methods
    }
}

extension Response {
    /// An error of the router that nobody gave a content: one line, for whoever reads it in a terminal.
    fileprivate func nameStatus() {
        guard status.code >= 400, hasNoContent, self[ErrorAnswer.isProblem] != true else { return }
        headers["content-type"] = "text/plain; charset=utf-8"
        write(status.description)
        write("\n")
    }
}
