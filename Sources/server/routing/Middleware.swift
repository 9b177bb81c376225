// Middleware: what runs around handlers. Composed into nested closures when a router is built; the loops' threads call them.

/// Something that runs around every handler of a router or group: before it, after it, or instead of it.
///
///     router.use { request, response, next in
///         guard request.headers["authorization"] != nil else { throw HTTPError(.unauthorized) }
///         try next(request, &response)
///     }
public struct Middleware: Sendable {
    /// `next` is what lies within: further middleware, then the handler. It is valid during the call.
    public typealias Run = @Sendable (borrowing Request, inout Response, (borrowing Request, inout Response) throws -> Void) throws -> Void

    /// What is called in place of a handler, made of it when a router is built.
    let wrap: @Sendable (_ next: @escaping Handler) -> Handler

    /// Middleware from a closure, which calls `next` where the rest is to run.
    public init(_ run: @escaping Run) {
        wrap = { next in { request, response in try run(request, &response, next) } }
    }

    /// Middleware that keeps `next`, to call it later.
    init(wrapping wrap: @escaping @Sendable (_ next: @escaping Handler) -> Handler) { self.wrap = wrap }

    /// The handler with these around it; the first is the outermost.
    static func compose(_ middlewares: [Middleware], around handler: @escaping Handler) -> Handler {
        var composed = handler
        for middleware in middlewares.reversed() { composed = middleware.wrap(composed) }
        return composed
    }
}
