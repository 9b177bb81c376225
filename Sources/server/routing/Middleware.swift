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

    let run: Run

    /// Middleware from a closure, which calls `next` where the rest is to run.
    public init(_ run: @escaping Run) { self.run = run }

    /// The handler with these around it; the first is the outermost.
    static func compose(_ middlewares: [Middleware], around handler: @escaping Handler) -> Handler {
        var composed = handler
        for middleware in middlewares.reversed() {
            let (run, next) = (middleware.run, composed)
            composed = { request, response in try run(request, &response, next) }
        }
        return composed
    }
}
