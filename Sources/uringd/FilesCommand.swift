// `uringd files`: a directory, no configuration.

import ArgumentParser
import UringServer

struct FilesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "files", abstract: "Serve the files of a directory.")

    @Argument(help: "The directory.") var root: String
    @Option(help: "Where to listen.") var listen: [String] = []
    @Option var loops: String = "auto"

    func run() throws {
        var fileOptions = StaticFilesOptions()
        fileOptions.precompressed = [.brotli, .zstd, .gzip]
        let site = try StaticFiles(root: root, options: fileOptions)
        var options = ServerOptions()
        options.loops = try LoopSelection(parsing: loops)
        try Server(listen: listen, options: options) { request, response in site.respond(to: request, &response) }.run()
    }
}
