// `uringd respond`: one fixed answer to every request.

import ArgumentParser
import UringGateway

struct RespondCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "respond", abstract: "Answer every request with one fixed response.")

    @OptionGroup var listening: ListenOption
    @OptionGroup var transport: TransportOption
    @OptionGroup var backend: BackendOption
    @Option(help: ArgumentHelp("The status code, 200 to 599.", valueName: "n")) var status = 200
    @Option(help: ArgumentHelp("A header of the response; may be repeated.", valueName: "name: value")) var header: [String] = []
    @Option(help: ArgumentHelp("The body, as text/plain unless --header says otherwise.", valueName: "text")) var body: String?
    @Option(help: ArgumentHelp("The body, as application/json.", valueName: "text")) var json: String?

    /// Wrong arguments are told before anything is started, with the usage.
    func validate() throws {
        do { _ = try configuration(QuickTransport()) } catch { throw ValidationError("\(error)") }
    }

    func run() throws { try Service.run(backend) { try configuration(transport.announced()) } }

    private func configuration(_ transport: QuickTransport) throws -> Configuration {
        try QuickConfiguration.respond(
            status: status, headers: header, body: body, json: json, listen: listening.listen, loops: listening.loops,
            transport: transport)
    }
}
