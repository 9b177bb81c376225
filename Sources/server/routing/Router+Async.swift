// Router: routes whose handlers are async. A closure that awaits something is one by itself.

public import UringHTTP

/// A route's handler may be async: `router.get("/slow") { request, response in try await … }`. Middleware runs before it, on the loop; see `AsyncHandler` for what it may keep, and
/// `Middleware` for what it can do about the response.
extension Router {
    /// Adds an async handler. As `on` with a sync one, but for
    /// - Parameter streamingBody: the handler is called before the body has arrived, and reads it by `Request.bodyStream`.
    @_disfavoredOverload
    public mutating func on(
        _ method: HTTPMethod, _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID,
        line: UInt = #line, _ handler: @escaping AsyncHandler
    ) {
        on(method, pattern, name: name, streamingBody: streamingBody, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// An async handler for every method that has no other there.
    @_disfavoredOverload
    public mutating func any(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        any(pattern, name: name, streamingBody: streamingBody, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// `on(.get, …)` with an async handler; HEAD is answered by it too.
    @_disfavoredOverload
    public mutating func get(
        _ pattern: String, name: String? = nil, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        on(.get, pattern, name: name, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// `on(.post, …)` with an async handler.
    @_disfavoredOverload
    public mutating func post(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        on(.post, pattern, name: name, streamingBody: streamingBody, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// `on(.put, …)` with an async handler.
    @_disfavoredOverload
    public mutating func put(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        on(.put, pattern, name: name, streamingBody: streamingBody, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// `on(.patch, …)` with an async handler.
    @_disfavoredOverload
    public mutating func patch(
        _ pattern: String, name: String? = nil, streamingBody: Bool = false, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        on(.patch, pattern, name: name, streamingBody: streamingBody, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// `on(.delete, …)` with an async handler.
    @_disfavoredOverload
    public mutating func delete(
        _ pattern: String, name: String? = nil, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncHandler
    ) {
        on(.delete, pattern, name: name, fileID: fileID, line: line, Self.going(on: handler))
    }

    /// Answers for paths without a route by an async handler. The status is 404 unless it sets another.
    @_disfavoredOverload
    public mutating func notFound(fileID: StaticString = #fileID, line: UInt = #line, _ handler: @escaping AsyncHandler) {
        notFound(fileID: fileID, line: line, Self.going(on: handler))
    }

    private static func going(on handler: @escaping AsyncHandler) -> Handler {
        let box = AsyncHandlerBox(handler)
        return { _, response in response.run(box) }
    }
}
