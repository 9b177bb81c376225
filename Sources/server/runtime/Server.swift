// Server: the public entry. Opens listeners, starts a thread per loop, waits for signals, drains. Any thread.

internal import Glibc
internal import UringHTTP1
internal import UringRing

/// An HTTP server: one pinned thread per core, each with its own io_uring.
///
///     let server = Server(listen: ["127.0.0.1:8080"]) { request, response in
///         response.headers["content-type"] = "application/json"
///         response.write(#"{"status":"ok"}"#)
///     }
///     try server.run()          // until SIGTERM; drains
public struct Server: Sendable {
    /// Where it listens, and what is spoken there.
    public var listeners: [Listener]
    /// Limits, timeouts and placement. Read by `start` and `run`.
    public var options: ServerOptions
    let application: Application
    /// Without listeners: its loops are there for tasks, and nobody can connect.
    package var listensNowhere = false

    /// - Parameters:
    ///   - listen: `HOST:PORT`, `[V6]:PORT`, `*:PORT`, `unix:PATH`. Port 0 takes a free one (`RunningServer.addresses`).
    ///   - options: limits, timeouts, placement.
    ///   - handler: called on the loops' threads, by several at once; blocking in it holds all connections of its loop up.
    public init(listen: [String], options: ServerOptions = ServerOptions(), handler: @escaping Handler) {
        self.init(listen: listen, options: options, application: Application(handler: handler))
    }

    /// As `init(listen:options:handler:)`, with everything an application can say.
    public init(listen: [String], options: ServerOptions = ServerOptions(), application: Application) {
        self.init(listeners: listen.map { Listener($0) }, options: options, application: application)
    }

    /// With TLS, or other settings of a listener's own.
    ///
    ///     let tls = TLSOptions.files(cert: "server.pem", key: "server.key")
    ///     let server = Server(listeners: ["127.0.0.1:8080", Listener("0.0.0.0:8443", tls: tls)]) { request, response in
    ///         response.write("hello")
    ///     }
    ///
    /// - Parameters:
    ///   - listeners: one at least. Their files are read by `start` and `run`.
    ///   - options: limits, timeouts, placement.
    ///   - handler: as in `init(listen:options:handler:)`.
    public init(listeners: [Listener], options: ServerOptions = ServerOptions(), handler: @escaping Handler) {
        self.init(listeners: listeners, options: options, application: Application(handler: handler))
    }

    /// As `init(listeners:options:handler:)`, with everything an application can say.
    public init(listeners: [Listener], options: ServerOptions = ServerOptions(), application: Application) {
        self.listeners = listeners
        self.options = options
        self.application = application
    }

    /// `HOST:PORT`, `[V6]:PORT`, `*:PORT`, `unix:PATH` each. Setting it makes listeners in clear with the defaults of `Listener`.
    public var listen: [String] {
        get { listeners.map(\.address) }
        set { listeners = newValue.map { Listener($0) } }
    }

    /// Serves until SIGTERM or SIGINT, then drains. Prints a line per listener to standard error, and what should be known of its
    /// certificates.
    /// - Throws: `ServerError` when an address is in use, a certificate or key cannot be used, io_uring is forbidden, …: with the remedy in its text.
    public func run() throws {
        let signals = SignalSet([SIGTERM, SIGINT])
        let running = try start()
        for line in running.summary { log(line) }
        for warning in running.warnings { log("warning: \(warning)") }
        for fingerprint in running.selfSignedFingerprints { log("the certificate is self-signed, its SHA-256 fingerprint \(fingerprint)") }
        _ = signals.wait()
        log("draining")
        running.stop(within: options.drainTimeout)
    }

    private func log(_ line: String) {
        var text = line + "\n"
        text.withUTF8 { _ = unsafe write(2, $0.baseAddress, $0.count) }
    }

    /// Serves in the background until `RunningServer.stop`. Returns when it accepts connections.
    /// - Throws: as `run`. Files of TLS are read before anything listens.
    public func start() throws -> RunningServer {
        try RunningServer(self)
    }
}

/// What a server answers with, and what it reports to.
public struct Application: Sendable {
    /// Answers every request. Called on the loops' threads, by several at once.
    public var handler: Handler
    /// Called for requests with a body before it arrives: true = call the handler now, it takes the body piece by piece.
    public var wantsStream: (@Sendable (borrowing Request) -> Bool)?
    /// Told of every finished exchange, on the loop's thread.
    public var observe: (@Sendable (borrowing Request, ExchangeRecord) -> Void)?
    /// Told of every TLS handshake that has ended, failed ones and those left by their client included: on the loop's thread, which must not be held. With
    /// nil, the default, no clock is read and no record made.
    public var observeHandshake: (@Sendable (HandshakeRecord) -> Void)?
    /// Told of each boundary that connections and requests pass, on the loop's thread: phases of a handshake, head, route, handler, response. With nil, the default, no clock
    /// is read.
    public var trace: ServerTrace?
    /// Told on each loop's thread, with the loop's number, to write what `observe` collected: at the latest `flushInterval` after an
    /// exchange, when another application takes over, and when the loop ends.
    public var flush: (@Sendable (_ loop: Int) -> Void)?
    /// The longest time between an observed exchange and `flush`. One second unless set.
    public var flushInterval = Duration.seconds(1)
    /// Told what goes wrong beside the request path; nil writes it to standard error, a line each.
    public var reporter: (any ServerReporter)?

    /// Asked on the loop's thread for each new connection, which is reset when the answer is no; nil lets everybody connect.
    package var admits: (@Sendable (RequestPeer, _ loop: Int) -> Bool)?
    /// Asked on the loop's thread behind the head of a request with a body: the most bytes that it may have, in place of `ServerOptions.Limits.bodyBytes`; nil: those.
    package var bodyLimit: (@Sendable (borrowing Request) -> UInt64?)?

    /// An application that answers by one handler.
    /// - Parameter handler: called on the loops' threads, by several at once.
    public init(handler: @escaping Handler) { self.handler = handler }

    package var box: HandlerBox {
        HandlerBox(
            handle: handler, wantsStream: wantsStream, observe: observe, observeHandshake: observeHandshake, flush: flush, flushNs: ServerOptions.nanoseconds(flushInterval),
            reporter: reporter ?? StandardErrorReporter.shared, trace: trace, admits: admits, bodyLimit: bodyLimit)
    }
}

/// Why a server could not start, or go over to other listeners or certificates: a sentence with the remedy.
public struct ServerError: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// Signals that are taken by `wait` instead of by handlers: blocked in this thread and in every thread it starts from now on.
package struct SignalSet {
    private var set = sigset_t()

    package init(_ signals: [Int32]) {
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        // A closed peer is an error code here, never a signal.
        signal(SIGPIPE, SIG_IGN)
    }

    package func wait() -> Int32 { waitForValue().signal }

    /// With the value that `sigqueue` sent along; nil when it was sent otherwise.
    package func waitForValue() -> (signal: Int32, value: UInt64?) {
        var set = set
        // Filled in by the kernel.
        var info = unsafe siginfo_t()
        while true {
            let number = unsafe sigwaitinfo(&set, &info)
            guard number > 0 else { continue }
            // SI_QUEUE of sigaction(2): then, and only then, the union has a value.
            let value = unsafe info.si_code == -1 ? UInt64(UInt(bitPattern: info._sifields._rt.si_sigval.sival_ptr)) : nil
            return (number, value)
        }
    }
}

/// Writes what goes wrong to standard error, a line each.
final class StandardErrorReporter: ServerReporter {
    static let shared = StandardErrorReporter()

    private func line(_ text: String) {
        var text = text + "\n"
        text.withUTF8 { _ = unsafe write(2, $0.baseAddress, $0.count) }
    }
    func stalled(_ stall: LoopStall) { line("loop \(stall.loop) was held for \(stall.nanoseconds / 1_000_000) ms by \(stall.route)") }
    func handlerFailed(_ route: String, _ error: any Error) { line("handler of \(route) failed: \(error)") }
    func fieldRefused(_ route: String) { line("a response field of \(route) was not sent: its value contains CR, LF or NUL") }
    func certificatesNotTaken(listener: String, _ reason: String) { line("\(listener) goes on with its old certificates: \(reason)") }
    func lengthMismatch() { line("a streamed response was cut: it is longer or shorter than the length it announced") }
}
