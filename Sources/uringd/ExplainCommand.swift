// `uringd explain`: what a configuration does with one request, without a server.

import ArgumentParser
import UringGateway

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "The way of one request through a configuration: listener, routes, filters, upstream, limits.",
        discussion: """
            Nothing is sent: which route takes the request is asked of the same table that serves. Credentials are missed when they are \
            missing, and not verified. Exit status 1 when the configuration has errors, or the request is malformed.
            """)

    @Argument(help: "The method, in capitals.") var method: String
    @Argument(help: ArgumentHelp("http://… or https://…; a Host header says another host.", valueName: "url")) var url: String
    @Option(help: ArgumentHelp("A header of the request; may be repeated.", valueName: "name: value")) var header: [String] = []
    @Option(help: ArgumentHelp("The configuration file.", valueName: "file")) var config = "uringd.yaml"
    @Flag(help: "One JSON object for programs instead of lines for people.") var json = false

    func validate() throws {
        if case .failure(let problem) = ExplainedRequest.parse(method: method, url: url, headers: header) { throw ValidationError(problem.reason) }
    }

    func run() throws {
        guard case .success(let request) = ExplainedRequest.parse(method: method, url: url, headers: header) else { throw ExitCode(64) }
        let result = ConfigLoader.load(path: config, .offline)
        guard let configuration = result.configuration else {
            Console.error(result.render(excerpts: true))
            throw ExitCode(1)
        }
        let explanation = RequestExplanation(request, configuration)
        Console.out(json ? explanation.json.prettyText : explanation.text)
    }
}
