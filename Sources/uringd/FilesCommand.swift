// `uringd files`: a directory, no configuration.

import ArgumentParser
import UringGateway

struct FilesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "files", abstract: "Serve the files of a directory.",
        discussion: """
            index.html answers for a directory. Ranges, conditional requests and files compressed beforehand (FILE.br, FILE.zst, FILE.gz \
            beside FILE) are served; nothing outside the directory is, by whatever path or symbolic link, and no name that begins with a dot.
            """)

    @Argument(help: "The directory.") var root: String
    @OptionGroup var listening: ListenOption
    @OptionGroup var transport: TransportOption
    @OptionGroup var backend: BackendOption

    func run() throws {
        try Service.run(backend) {
            try QuickConfiguration.files(root: root, listen: listening.listen, loops: listening.loops, transport: transport.announced())
        }
    }
}
