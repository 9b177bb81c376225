// `uringd health`: asks a running server's probes, for containers that have no other program to ask with.

import ArgumentParser
import UringGateway

struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Ask a running server whether it is ready: exit status 0 or 1.",
        discussion: "Asks /readyz of the administration, or /livez with --live. For HEALTHCHECK of images and for probes that are commands.")

    @OptionGroup var administration: AdminOption
    @Flag(help: "Whether the process lives, also when it drains.") var live = false

    func validate() throws {
        if administration.admin == nil { throw ValidationError("which server? Give --admin ADDR") }
    }

    func run() throws {
        guard let address = administration.admin else { throw ExitCode(64) }
        do throws(AdminFailure) {
            let answer = try AdminConnection(address, "GET", live ? "/livez" : "/readyz", token: nil, accept: "text/plain")
            let text = String(decoding: try answer.collect(), as: UTF8.self)
            guard answer.status == 200 else { throw AdminFailure(description: "the server at \(address) is not \(live ? "alive" : "ready"): \(text.split(separator: "\n").first ?? "")") }
            Console.out(text)
        } catch {
            throw Failure.exit(error.description)
        }
    }
}
