// The command line of `uringd`. Owns nothing; each command is a file of its own beside this one.

import ArgumentParser

@main
struct Uringd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uringd",
        abstract: "An HTTP server on io_uring.",
        discussion: """
            `serve` runs a configuration file; `files` and `respond` need none.

            ADDR is HOST:PORT, [V6]:PORT or unix:PATH; port 0 takes a free one. A running server ends on SIGTERM or SIGINT after the \
            requests under way (a second signal ends it at once), reads its configuration again on SIGHUP and opens its logs anew on SIGUSR1.

            Exit status: 0 after a drain and for a good configuration; 1 when the configuration is wrong or the server cannot start; \
            64 for wrong arguments.
            """,
        subcommands: [FilesCommand.self, RespondCommand.self])
}
