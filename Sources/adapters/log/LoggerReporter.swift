// LoggerReporter: what goes wrong beside the request path, as lines of swift-log. Made by the program, called on loops' threads.

#if Log
public import Logging
public import UringServer

/// Tells a `Logger` what a server reports: stalls, handlers that failed, refused fields, failed handshakes, certificates that were not taken.
///
///     var application = Application(handler: handler)
///     application.reporter = LoggerReporter(logger)
///
/// The logger's handler is called on the loops' threads, which it must not hold: one that writes to a terminal or a pipe may block them.
public final class LoggerReporter: ServerReporter {
    private let logger: Logger

    public init(_ logger: Logger) { self.logger = logger }

    public func stalled(_ stall: LoopStall) {
        logger.warning("a handler held its loop", metadata: ["loop": "\(stall.loop)", "route": "\(stall.route)", "ms": "\(stall.nanoseconds / 1_000_000)"])
    }

    public func handlerFailed(_ route: String, _ error: any Error) {
        logger.error("a handler failed", metadata: ["route": "\(route)", "error": "\(error)"])
    }

    public func fieldRefused(_ route: String) {
        logger.error("a response field was not sent: its value contains CR, LF or NUL", metadata: ["route": "\(route)"])
    }

    public func lengthMismatch() {
        logger.error("a streamed response was cut: it is longer or shorter than the length it announced")
    }

    /// At `debug`: as often as clients make it.
    public func handshakeFailed(_ failure: HandshakeFailure, peer: String) {
        logger.debug("a TLS handshake failed", metadata: ["reason": "\(failure.reason)", "peer": "\(peer)", "detail": "\(failure)"])
    }

    public func certificatesNotTaken(listener: String, _ reason: String) {
        logger.error("a listener goes on with its old certificates", metadata: ["listener": "\(listener)", "reason": "\(reason)"])
    }
}
#else
@available(*, unavailable, message: "enable the trait Log of uring-server: .package(url: …, from: …, traits: [\"Log\"])")
public final class LoggerReporter {}
#endif
