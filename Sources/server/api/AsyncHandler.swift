// Async handlers as a program sees them: what `Server` and routes take, and how a handler goes on asynchronously.

/// What answers a request and may wait meanwhile: for time, for other tasks, for actors.
///
/// It runs on its request's loop, before and after every `await`; code of actors and of `@concurrent` functions that it calls runs where those say, and the handler
/// comes back to its loop. While it waits the loop serves others.
///
/// The request and its views are good until the handler returns, across every `await`: the server has copied the request for it. They cannot be kept longer, nor
/// handed to a task that might outlive the handler (`Task { … }`, `async let`): that does not compile. What such a task needs is copied first, `String(request.path)`.
///
/// The task is cancelled when the client has gone, and when the handler's time is up (`ServerOptions.Timeouts.handler`; the client has a 503 then). What a cancelled
/// handler still writes goes nowhere. An error that it throws is answered as one of a `Handler` is.
public typealias AsyncHandler = @Sendable (borrowing Request, inout Response) async throws -> Void

/// An async handler with an address of its own, so that a response can name it without copying a closure.
package final class AsyncHandlerBox: Sendable {
    let handle: AsyncHandler
    package init(_ handle: @escaping AsyncHandler) { self.handle = handle }
}

extension Response {
    /// Goes on asynchronously: the handler is called when this one has returned, with this request and what was set of the response so far. What was set by the last
    /// call counts.
    ///
    /// The server makes a task for it only when every other is waiting: a handler that never waits costs less than half a microsecond more than one that is not async.
    public func run(_ handler: @escaping AsyncHandler) { run(AsyncHandlerBox(handler)) }

    package func run(_ handler: AsyncHandlerBox) {
        unsafe state.pointee.asyncHandler = handler
        unsafe state.pointee.hasSpecialContent = true
    }
}

extension Server {
    /// A server whose every request is answered by an async handler.
    ///
    ///     let server = Server(listen: ["127.0.0.1:8080"], async: { request, response in
    ///         try await Task.sleep(for: .milliseconds(10))
    ///         response.write("hello\n")
    ///     })
    public init(listen: [String], options: ServerOptions = ServerOptions(), async handler: @escaping AsyncHandler) {
        self.init(listen: listen, options: options, application: Application(async: handler))
    }
}

extension Application {
    /// An application that answers by an async handler.
    public init(async handler: @escaping AsyncHandler) {
        let box = AsyncHandlerBox(handler)
        self.init { _, response in response.run(box) }
    }
}
