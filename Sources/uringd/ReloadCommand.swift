// `uringd reload`: another server, which runs, reads its configuration again, and what came of it is told here.

import ArgumentParser
import Glibc
import UringGateway

/// Where the administration of a running server is.
struct AdminOption: ParsableArguments {
    @Option(help: ArgumentHelp("The administration of the server: HOST:PORT, [V6]:PORT or unix:PATH, as `admin.address` of its configuration.", valueName: "addr"), transform: ListenOption.parse)
    var admin: ListenAddress?
    @Option(help: ArgumentHelp("A file with one of `admin.tokens`.", valueName: "file")) var tokenFile: String?

    func token() throws -> String? {
        guard let tokenFile else { return nil }
        switch SmallFile.read(tokenFile) {
        case .success(let text): return String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
        case .failure(let problem): throw Failure.exit(problem.reason)
        }
    }

    /// What a server says in place of what it was asked for: the detail of a problem document.
    static func problem(_ address: ListenAddress, _ status: Int, _ body: [UInt8]) -> String {
        "the administration at \(address) answers \(status): \(JSONValue(answered: body)?["detail"]?.text ?? String(decoding: body, as: UTF8.self))"
    }
}

enum Failure {
    /// Tells it, and makes what ends the process with status 1.
    static func exit(_ reason: String) -> ExitCode {
        Console.error("uringd: \(reason)\n")
        return ExitCode(1)
    }
}

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Let a running server read its configuration again, or tell what that would change.",
        discussion: """
            All or nothing: when anything is wrong, the old configuration goes on, every problem is told as FILE:LINE:COL: message, and the exit \
            status is 1. With --plan nothing is changed: what a reload would change is listed, what it would leave alone, and what \
            would take effect when the server is started anew.

            --pid is the process that `uringd serve` is, or its supervisor, on this machine and in the same network namespace.
            """)

    @OptionGroup var administration: AdminOption
    @Option(help: ArgumentHelp("The process of the server, in place of --admin.", valueName: "n")) var pid: Int32?
    @Flag(help: "Change nothing, list what would change.") var plan = false
    @Flag(help: "One JSON object for programs instead of lines for people.") var json = false

    func validate() throws {
        guard (administration.admin == nil) != (pid == nil) else { throw ValidationError("which server? Give --admin ADDR or --pid N") }
        if let pid, pid < 1 { throw ValidationError("--pid: a process is a number from 1") }
        if pid != nil, administration.tokenFile != nil { throw ValidationError("--token-file belongs to --admin") }
    }

    func run() throws {
        let (status, text) = try ask()
        // Problems of a configuration go where those of `uringd check` go.
        if status == 200 || json { Console.out(text) } else { Console.error(text) }
        if status != 200 { throw ExitCode(1) }
    }

    private func ask() throws -> (Int, String) {
        if let pid {
            do throws(ReloadSignal.Refusal) { return try ReloadSignal.ask(pid, plan: plan, json: json) } catch { throw Failure.exit(error.reason) }
        }
        guard let address = administration.admin else { throw ExitCode(64) }
        let token = try administration.token()
        do throws(AdminFailure) {
            let answer = try AdminConnection(address, "POST", plan ? "/reload?plan" : "/reload", token: token, accept: json ? "application/json" : "text/plain")
            let body = try answer.collect()
            switch answer.status {
            case 200, 409, 422, 503: return (answer.status, String(decoding: body, as: UTF8.self))
            default: throw AdminFailure(description: AdminOption.problem(address, answer.status, body))
            }
        } catch {
            throw Failure.exit(error.description)
        }
    }
}
