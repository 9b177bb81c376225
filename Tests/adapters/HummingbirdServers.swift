// The application of TestRouter on both servers: Hummingbird's own and ours.

#if Hummingbird
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import TestSupport
import Testing
import UringHummingbird
import UringServer

/// An application at work within the test's process.
struct RunningApplication: Sendable {
    let port: Int
    let witness: Witness
    let group: ServiceGroup
    let task: Task<Void, any Error>

    var endpoint: Endpoint { get throws { try Endpoint.of("127.0.0.1:\(port)") } }

    /// Shuts down as SIGTERM would.
    func stop() async throws {
        await group.triggerGracefulShutdown()
        try await task.value
    }

    static let quiet: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    static func uring(tls: TLSOptions? = nil, logger: Logger = quiet, before: @escaping @Sendable () async throws -> Void = {}, services: [any Service] = []) async throws -> RunningApplication {
        var options = ServerOptions.hummingbird
        options.loops = .count(1)
        options.stallThreshold = .zero
        let witness = Witness()
        return try await run(witness) { options, running in
            var app = UringApplication(
                router: TestRouter.make(witness), configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0), serverName: "tested"), tls: tls,
                options: options, services: services, onServerRunning: running, logger: logger)
            app.beforeServerStarts(perform: before)
            return app
        }(options)
    }

    static func nio() async throws -> RunningApplication {
        let witness = Witness()
        return try await run(witness) { _, running in
            Hummingbird.Application(
                router: TestRouter.make(witness), configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0), serverName: "tested"),
                onServerRunning: running, logger: quiet)
        }(ServerOptions())
    }

    private static func run(
        _ witness: Witness, _ make: @escaping (ServerOptions, @escaping @Sendable (any Channel) async -> Void) -> any Service
    ) -> (ServerOptions) async throws -> RunningApplication {
        { options in
            let (ports, port) = AsyncStream<Int>.makeStream()
            let app = make(options) { channel in port.yield(channel.localAddress?.port ?? 0) }
            let group = ServiceGroup(configuration: .init(services: [app], logger: quiet))
            let task = Task { try await group.run() }
            for await number in ports { return RunningApplication(port: number, witness: witness, group: group, task: task) }
            throw CancellationError()
        }
    }
}
#endif
