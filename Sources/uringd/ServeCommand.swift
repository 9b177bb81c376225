// `uringd serve` and `uringd check`: a configuration file, run or judged.

import ArgumentParser
import UringGateway
import UringServer

struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Serve what a configuration file says.")

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file")) var config = "uringd.yaml"
    @Flag(help: "Only judge the configuration, as `uringd check` does.") var check = false
    @OptionGroup var loopsOption: LoopsOption
    @OptionGroup var backend: BackendOption

    func run() throws {
        if check { return try CheckCommand.judge(config) }
        let file = ConfigurationFile(path: config, loops: loopsOption.loops.map { LoopSelection($0) })
        try Service.run(backend, file.load, source: ConfigurationSource(file.read))
    }
}

struct CheckCommand: ParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Judge a configuration file: every problem at once.",
        discussion: """
            Problems are printed as FILE:LINE:COL: message, each with its line. Exit status 1 when there is an error; warnings leave it 0. A             warning with a name in brackets is silenced by `lint: { allow: [NAME] }`. With --openapi, operations that no route takes, that an             earlier route takes away or whose method is not let through are errors; routes without an operation are noted.
            """)

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file")) var config = "uringd.yaml"
    @Option(help: ArgumentHelp("An OpenAPI document (3.0 or 3.1, YAML or JSON) to compare the routes with.", valueName: "file")) var openapi: String?
    @Option(help: "Lines for people, or one JSON object for programs.") var format = Format.text

    func run() throws { try Self.judge(config, openAPI: openapi, format) }

    static func judge(_ path: String, openAPI: String? = nil, _ format: Format = .text) throws {
        var result = ConfigLoader.load(path: path)
        if let openAPI { result = OpenAPICheck.check(result, openAPI: openAPI) }
        if format == .json {
            Console.out(result.json.prettyText)
        } else {
            Console.error(result.render(excerpts: true))
        }
        guard result.configuration != nil else { throw ExitCode(1) }
        guard format == .text else { return }
        let warnings = result.diagnostics.count { $0.severity == .warning }
        Console.out("\(path): good\(warnings == 0 ? "" : ", with \(warnings) warning\(warnings == 1 ? "" : "s")")\n")
    }
}

/// A configuration file that is read at start and on each reload.
struct ConfigurationFile: Sendable {
    let path: String
    /// From the command line: wins over the file.
    let loops: UringGateway.LoopSelection?

    func read() -> ConfigLoadResult { ConfigLoader.load(path: path).overriding(loops: loops) }

    /// Prints every problem; throws when there is an error among them.
    func load() throws -> Configuration {
        let result = read()
        Console.error(result.render(excerpts: true))
        guard let configuration = result.configuration else { throw GatewayError("\(path) is not usable: \(Self.count(result)) above") }
        return configuration
    }

    private static func count(_ result: ConfigLoadResult) -> String {
        let errors = result.diagnostics.count { $0.severity == .error }
        return errors == 1 ? "one error" : "\(errors) errors"
    }
}
