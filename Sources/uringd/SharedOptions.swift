// Arguments that several commands take, and how their failures are told.

import ArgumentParser
import Glibc
import UringGateway
import UringServer

struct LoopsOption: ParsableArguments {
    @Option(
        help: ArgumentHelp("How many event loops, each pinned to a core: auto, a number, or a list of cores such as 0,2-3.", valueName: "auto|N|LIST"),
        transform: LoopsOption.parse)
    var loops: UringServer.LoopSelection?

    @Sendable private static func parse(_ text: String) throws -> UringServer.LoopSelection {
        do { return try UringServer.LoopSelection(parsing: text) } catch { throw ValidationError("\(error)") }
    }
}

struct BackendOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What loops wait with: io_uring where it is available and epoll otherwise, or one of them.", valueName: "automatic|uring|epoll"),
        transform: BackendOption.parse)
    var backend = ServerOptions.Backend.automatic

    @Sendable private static func parse(_ text: String) throws -> ServerOptions.Backend {
        if let backend = ServerOptions.Backend(rawValue: text) { return backend }
        throw ValidationError("automatic, uring or epoll is expected")
    }
}

struct ListenOption: ParsableArguments {
    @Option(
        help: ArgumentHelp("Where to listen; may be repeated. ADDR is HOST:PORT, [V6]:PORT or unix:PATH.", valueName: "addr"),
        transform: ListenOption.parse)
    var listen: [ListenAddress] = []

    @OptionGroup var loopsOption: LoopsOption

    var loops: UringGateway.LoopSelection { LoopSelection(loopsOption.loops ?? .automatic) }

    func validate() throws {
        if listen.isEmpty { throw ValidationError("no address to listen on: give one, as in --listen 127.0.0.1:8080") }
    }

    @Sendable static func parse(_ text: String) throws -> ListenAddress {
        switch ListenAddress.parse(text) {
        case .success(let address): return address
        case .failure(let problem):
            throw ValidationError("\(problem.reason); HOST:PORT, [V6]:PORT or unix:PATH is expected")
        }
    }
}

/// How the listeners of a command without a file speak.
struct TransportOption: ParsableArguments {
    enum Switch: String, CaseIterable, ExpressibleByArgument { case on, off }

    @Option(
        help: ArgumentHelp(
            "Speak HTTPS: two PEM files, or a certificate for localhost that is made in memory.", valueName: "cert,key|self-signed"))
    var tls: String?
    @Option(help: ArgumentHelp("Session tickets, with --tls (default: on).", valueName: "on|off")) var sessionTickets: Switch?
    @Option(help: ArgumentHelp("HTTP/2, by ALPN or prior knowledge; only: nothing else is spoken (default: on).", valueName: "on|off|only"))
    var http2: HTTP2Versions = .on

    /// Wrong arguments are told before anything is started, with the usage.
    func validate() throws {
        do { _ = try transport() } catch { throw ValidationError("\(error)") }
    }

    func transport() throws -> QuickTransport {
        try QuickTransport(tls: tls, sessionTickets: sessionTickets.map { $0 == .on }, http2: http2)
    }

    /// As `transport`, and prints what should be known of its files.
    func announced() throws -> QuickTransport {
        let transport = try transport()
        for warning in transport.warnings { Console.error("uringd: warning: \(warning)\n") }
        return transport
    }
}

extension HTTP2Versions: ExpressibleByArgument {}

enum Console {
    static func out(_ text: String) { write(1, text) }
    static func error(_ text: String) { write(2, text) }

    /// Whole and at once: whoever waits for a line must not wait for a buffer.
    private static func write(_ descriptor: CInt, _ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // The slice owns the bytes through the call.
            let written = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
