// `uringd doctor` and `uringd schema`: what they print comes from the library and the configuration's option table.

import ArgumentParser
import UringGateway
import UringServer

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Is this machine fit to serve: kernel, io_uring, limits, each with its remedy.",
        discussion: "Exit status 1 when a check failed, without which no server starts; warnings leave it 0.")

    @Flag(help: "One JSON object for programs instead of lines for people.") var json = false
    @OptionGroup var loopsOption: LoopsOption
    @OptionGroup var backend: BackendOption

    func run() throws {
        var needs = DoctorNeeds()
        needs.loops = loopsOption.loops ?? .automatic
        needs.backend = (try? backend.backend.resolved()) ?? .automatic
        let report = DoctorReport.live(needs: needs)
        Console.out(json ? report.json : report.text)
        if report.exitCode != 0 { throw ExitCode(report.exitCode) }
    }
}

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Print the JSON Schema of the configuration, for editors.")

    func run() throws { Console.out(ConfigSchema.jsonSchemaText) }
}
