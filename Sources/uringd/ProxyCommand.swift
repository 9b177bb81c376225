// `uringd proxy`: everything that comes goes to one server.

import ArgumentParser
import UringGateway
import UringServer

struct ProxyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "proxy", abstract: "Forward every request to one server: a reverse proxy.")

    @Option(
        name: .customLong("from"), help: ArgumentHelp("Where to listen; may be repeated. ADDR is HOST:PORT, [V6]:PORT or unix:PATH.", valueName: "addr"),
        transform: ListenOption.parse)
    var from: [ListenAddress] = []
    @Option(name: .customLong("to"), help: ArgumentHelp("The server, http://HOST[:PORT] or https://HOST[:PORT]; a path in it stands before the paths of requests.", valueName: "url")) var to: String
    @OptionGroup var loopsOption: LoopsOption
    @OptionGroup var backend: BackendOption
    @OptionGroup var transport: TransportOption

    /// Wrong arguments are told before anything is started, with the usage.
    func validate() throws {
        if from.isEmpty { throw ValidationError("no address to listen on: give one, as in --from 127.0.0.1:8080") }
        do { _ = try configuration(QuickTransport()) } catch { throw ValidationError("\(error)") }
    }

    func run() throws { try Service.run(backend) { try configuration(transport.announced()) } }

    private func configuration(_ transport: QuickTransport) throws -> Configuration {
        try QuickConfiguration.proxy(to: to, listen: from, loops: UringGateway.LoopSelection(loopsOption.loops ?? .automatic), transport: transport)
    }
}
