// A Server as a Service of swift-service-lifecycle. Runs in the service group's task; the server's own threads do the work.

#if Lifecycle
public import ServiceLifecycle
public import UringServer
internal import Glibc

/// A service that serves until its group shuts down, and then drains.
///
///     let server = Server(listen: ["127.0.0.1:8080"]) { request, response in response.write("hello\n") }
///     let group = ServiceGroup(configuration: .init(services: [database, server], gracefulShutdownSignals: [.sigterm], logger: logger))
///     try await group.run()
///
/// On graceful shutdown it stops accepting, finishes requests under way for `ServerOptions.drainTimeout` at most, and returns. When its task is cancelled it closes every
/// connection at once.
extension Server: Service {
    /// Serves until graceful shutdown or cancellation. Signals are the group's business.
    /// - Throws: `ServerError` when it cannot start, with the remedy in its text.
    public func run() async throws { try await serve { _ in } }

    /// As the service runs, and tells when it accepts connections.
    package func serve(whenRunning: (RunningServer) async -> Void) async throws {
        let running = try start()
        await whenRunning(running)
        do {
            try await gracefulShutdown()
            await Self.offTheTask { running.stop(within: options.drainTimeout) }
        } catch {
            // Cancelled: nobody waits for clients.
            await Self.offTheTask { running.stop(within: .zero) }
            throw error
        }
    }

    /// Stopping waits for loops; the threads that tasks share are few and must not.
    private static func offTheTask(_ work: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let body = ThreadBody {
                work()
                continuation.resume()
            }
            var thread = pthread_t()
            let code = unsafe pthread_create(
                &thread, nil,
                { argument in
                    // Retained for this thread below.
                    unsafe Unmanaged<ThreadBody>.fromOpaque(argument!).takeRetainedValue().run()
                    return nil
                }, unsafe Unmanaged.passRetained(body).toOpaque())
            guard code == 0 else { return body.run() }
            pthread_detach(thread)
        }
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
#endif
