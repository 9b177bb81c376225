// The command line of `uringd`. Owns nothing; each command is a file of its own beside this one.

import ArgumentParser
import UringGateway

@main
struct Uringd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uringd",
        abstract: "An HTTP server on io_uring.",
        discussion: """
            `serve` runs a configuration file; `files`, `respond` and `proxy` need none. `check` judges a configuration, `explain` says what it \
            does with a request, `doctor` whether this machine will do. `reload`, `top` and `health` \
            ask a server that runs: for another configuration, what it is doing, whether it is ready.

            ADDR is HOST:PORT, [V6]:PORT or unix:PATH; port 0 takes a free one.

            Signals: SIGTERM and SIGINT end a server after the requests under way, a second one ends it at once; SIGHUP reads the \
            configuration again; SIGUSR1 opens the access log anew; SIGQUIT writes what the loops did last to a file; SIGUSR2 starts another process on the same sockets and ends this one.

            Exit status: 0 after a drain and for a good configuration; 1 when the configuration is wrong or the server cannot start; \
            64 for wrong arguments.
            """,
        version: GatewayVersion.text,
        subcommands: [
            ServeCommand.self, ReloadCommand.self, CheckCommand.self, ExplainCommand.self, FilesCommand.self, RespondCommand.self, ProxyCommand.self, DoctorCommand.self, SchemaCommand.self, TopCommand.self,
            HealthCommand.self, TCPTraceCommand.self,
        ])
}
