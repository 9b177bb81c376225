// UringApplication: what stands in the place of Hummingbird's `Application`. A plain value, made while a program starts.

#if Hummingbird
public import Hummingbird
internal import HummingbirdCore
public import Logging
public import NIOCore
public import ServiceLifecycle
public import UnixSignals
public import UringServer
internal import UringLifecycle
internal import UringLog

/// A Hummingbird application on this server's runtime: router, middleware, contexts, handlers and services stay as they are.
///
///     let router = Router()
///     router.get("hello") { _, _ in "hello" }
///     let app = UringApplication(router: router, configuration: .init(address: .hostname("127.0.0.1", port: 8080)))
///     try await app.runService()
///
/// Handlers run on the pinned loop of their connection, before and after every `await`. docs/users/hummingbird.md says what differs from Hummingbird's own server.
public struct UringApplication<Responder: HTTPResponder>: ApplicationProtocol
where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    public let responder: Responder
    /// Of these `address`, `serverName` and `backlog` count.
    public var configuration: ApplicationConfiguration
    public var logger: Logger
    /// Run beside the server, and shut down after it.
    public var services: [any Service]
    /// What listens beside, or instead of, `configuration.address`.
    public var listeners: [Listener]
    public var options: ServerOptions
    public private(set) var processesRunBeforeServerStart: [@Sendable () async throws -> Void] = []
    private let whenRunning: @Sendable (any Channel) async -> Void

    /// - Parameters:
    ///   - responder: what a router's `buildResponder()` makes, or anything else that answers.
    ///   - configuration: as of Hummingbird's application: where it listens, the name in the `Server` field, the backlog.
    ///   - tls: certificates for `configuration.address`, where HTTP/2 and HTTP/1.1 are spoken then, as ALPN chooses; nil = in clear, HTTP/2 by prior knowledge.
    ///   - listeners: when they are given, these are listened on, and `configuration.address` is not.
    ///   - options: limits, timeouts, loops of the server.
    ///   - services: run beside the server.
    ///   - onServerRunning: called when it accepts connections. The channel tells the address that it listens on, and nothing else.
    ///   - logger: of requests, and of what the server reports; nil = one with the server's name as label and the level of LOG_LEVEL.
    public init(
        responder: Responder, configuration: ApplicationConfiguration = ApplicationConfiguration(), tls: TLSOptions? = nil, listeners: [Listener]? = nil,
        options: ServerOptions = .hummingbird, services: [any Service] = [], onServerRunning: @escaping @Sendable (any Channel) async -> Void = { _ in }, logger: Logger? = nil
    ) {
        self.responder = responder
        self.configuration = configuration
        self.listeners = listeners ?? [Listener(ListenAddress.text(of: configuration.address), tls: tls)]
        self.options = options
        self.services = services
        whenRunning = onServerRunning
        self.logger = logger ?? Self.defaultLogger(configuration)
    }

    /// As `init(responder:…)`, with a router, which is built here.
    public init<Builder: HTTPResponderBuilder>(
        router: Builder, configuration: ApplicationConfiguration = ApplicationConfiguration(), tls: TLSOptions? = nil, listeners: [Listener]? = nil,
        options: ServerOptions = .hummingbird, services: [any Service] = [], onServerRunning: @escaping @Sendable (any Channel) async -> Void = { _ in }, logger: Logger? = nil
    ) where Responder == Builder.Responder {
        self.init(
            responder: router.buildResponder(), configuration: configuration, tls: tls, listeners: listeners, options: options, services: services,
            onServerRunning: onServerRunning, logger: logger)
    }

    private static func defaultLogger(_ configuration: ApplicationConfiguration) -> Logger {
        var logger = Logger(label: configuration.serverName ?? "Hummingbird")
        if let level = Environment().get("LOG_LEVEL").flatMap({ Logger.Level(rawValue: $0) }) { logger.logLevel = level }
        return logger
    }

    /// Adds services that run beside the server.
    public mutating func addServices(_ services: any Service...) { self.services.append(contentsOf: services) }

    /// Runs something when the services have started, before the server does.
    public mutating func beforeServerStarts(perform process: @escaping @Sendable () async throws -> Void) { processesRunBeforeServerStart.append(process) }

    public func onServerRunning(_ channel: any Channel) async { await whenRunning(channel) }

    /// Serves until its task is cancelled, or the service group that it runs in shuts down: then it drains for `ServerOptions.drainTimeout` at most.
    /// - Throws: `ServerError` when the server cannot start, with the remedy in its text; what a service or a process before the start throws.
    public func run() async throws {
        let server = makeServer()
        let service = HummingbirdService(server: server, prelude: processesRunBeforeServerStart, whenRunning: whenRunning, logger: logger)
        try await ServiceGroup(configuration: .init(services: services + [service], logger: logger)).run()
    }

    /// Serves until one of the signals comes, then drains.
    public func runService(gracefulShutdownSignals: [UnixSignal] = [.sigterm, .sigint]) async throws {
        try await ServiceGroup(configuration: .init(services: [self], gracefulShutdownSignals: gracefulShutdownSignals, logger: logger)).run()
    }

    /// The server that runs it, for programs that start and stop it themselves. Neither services nor processes before the start are run.
    public func makeServer() -> UringServer.Server {
        var options = options
        options.serverName = configuration.serverName ?? options.serverName
        options.backlog = max(options.backlog, configuration.backlog)
        let bridge = HummingbirdBridge(responder: responder, logger: logger, ownsServerField: configuration.serverName != nil)
        var application = UringServer.Application(async: { request, response in try await bridge.handle(request, &response) })
        application.wantsStream = { request in bridge.wantsStream(request) }
        application.reporter = LoggerReporter(logger)
        return UringServer.Server(listeners: listeners, options: options, application: application)
    }
}

extension ServerOptions {
    /// As a Hummingbird application expects it: bodies of any size (`RequestContext.maxUploadSize` bounds what is decoded) and handlers that may take as long as they like. The
    /// other timeouts are the server's own.
    public static var hummingbird: ServerOptions {
        var options = ServerOptions()
        options.limits.bodyBytes = .max
        options.timeouts.handler = .zero
        return options
    }
}

/// The server among the application's services.
private struct HummingbirdService: Service {
    let server: UringServer.Server
    let prelude: [@Sendable () async throws -> Void]
    let whenRunning: @Sendable (any Channel) async -> Void
    let logger: Logger

    func run() async throws {
        for process in prelude { try await process() }
        try await server.serve { running in
            for line in running.summary { logger.info("\(line)") }
            for warning in running.warnings { logger.warning("\(warning)") }
            await whenRunning(ConnectionChannel(local: running.addresses.first.flatMap(ListenAddress.socketAddress), remote: nil))
        }
    }
}
#endif
