// `uringd respond`: one fixed answer to every request.

import ArgumentParser
import UringServer

struct RespondCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "respond", abstract: "Answer every request with one fixed response.")

    @Option(help: "Where to listen.") var listen: [String] = []
    @Option var loops: String = "auto"
    @Option(help: "Status code.") var status: Int = 200
    @Option var header: [String] = []
    @Option var body: String?
    @Option var json: String?

    func run() throws {
        var headers: [(name: String, value: String)] = []
        if json != nil { headers.append((name: "content-type", value: "application/json")) } else { headers.append((name: "content-type", value: "text/plain; charset=utf-8")) }
        let prepared = try PreparedResponse(headers: headers, body: Array((json ?? body ?? "").utf8))
        var options = ServerOptions()
        options.loops = try LoopSelection(parsing: loops)
        try Server(listen: listen, options: options) { _, response in response.send(prepared) }.run()
    }
}
