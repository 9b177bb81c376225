// `uringd reload`: by the administration and by a signal, with the outcome told to who asked. `uringd --version`.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct UringdReloadTests {
    private func run(_ arguments: [String]) throws -> (output: String, exit: ServerProcess.Exit) {
        let process = try ServerProcess(arguments, listeners: 0)
        let exit = try process.waitForExit()
        return (process.output, exit)
    }

    private func configuration(_ site: Site, _ body: String, _ more: String = "", admin: String) -> String {
        """
        listen: [{ address: "127.0.0.1:0" }]
        admin: { address: "\(admin)"\(more) }
        routes:
          - { name: stays, match: { path: /stays }, respond: { body: stays } }
          - { name: all, match: {}, respond: { body: "\(body)" } }

        """
    }

    /// A server with an administration, and the arguments by which it is asked.
    private func served(_ way: String) throws -> (site: Site, server: ServerProcess, arguments: [String]) {
        let site = try Site()
        let admin = way == "unix" ? "unix:\(site.path)/admin" : "127.0.0.1:0"
        try site.write("uringd.yaml", configuration(site, "old", admin: admin))
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml"], listeners: 2)
        switch way {
        case "pid": return (site, server, ["--pid", "\(server.processID)"])
        case "unix": return (site, server, ["--admin", "unix:\(site.path)/admin"])
        default: return (site, server, ["--admin", "\(server.endpoints[1])"])
        }
    }

    @Test(arguments: ["tcp", "unix", "pid"]) func itTellsTheOutcome(way: String) throws {
        let (site, server, arguments) = try served(way)
        let admin = way == "unix" ? "unix:\(site.path)/admin" : "127.0.0.1:0"
        try site.write("uringd.yaml", configuration(site, "new", admin: admin) + "loops: [0]\n")

        let plan = try run(["reload", "--plan"] + arguments)
        #expect(plan.exit == .code(0), "\(plan.output)")
        for part in [
            "would change this:\n", "~ route all\n    respond.body: old → new\n", "1 listener stays as it is: 127.0.0.1:0", "1 route stays as it is: stays",
            "`loops` changed: takes effect when the server is restarted",
        ] {
            #expect(plan.output.contains(part), "\(part): \(plan.output)")
        }
        #expect(try ask(server, get()).bodyText == "old")

        let done = try run(["reload"] + arguments)
        #expect(done.exit == .code(0) && done.output.hasPrefix("reloaded \(site.path)/uringd.yaml\n~ route all\n"), "\(done.output)")
        #expect(try ask(server, get()).bodyText == "new")

        try site.write("uringd.yaml", "listen: [{ adress: \"127.0.0.1:0\" }]\nroutes: []\nnonsense: 1\n")
        for action in [["--plan"], []] {
            let refused = try run(["reload"] + action + arguments)
            #expect(refused.exit == .code(1), "\(refused.output)")
            for part in ["uringd.yaml:1:", "uringd.yaml:3:1: ", "the old configuration goes on"] { #expect(refused.output.contains(part), "\(part): \(refused.output)") }
        }
        let json = try run(["reload", "--json"] + arguments)
        #expect(json.exit == .code(1) && json.output.hasPrefix("{\n") && json.output.contains("\"status\": 422"), "\(json.output)")
        #expect(try ask(server, get()).bodyText == "new")
    }

    @Test func tokensAreAskedFor() throws {
        let (site, server, arguments) = try guarded(by: "a-token-of-sixteen-bytes-or-more")
        // It ends with its object.
        defer { server.send(signal: SIGTERM) }
        let without = try run(["reload"] + arguments)
        #expect(without.exit == .code(1) && without.output.contains("answers 401: a token is needed"), "\(without.output)")
        let with = try run(["reload", "--token-file", site.path + "/token"] + arguments)
        #expect(with.exit == .code(0) && with.output.contains("nothing changes"), "\(with.output)")
        let none = try run(["reload", "--token-file", site.path + "/none"] + arguments)
        #expect(none.exit == .code(1) && none.output.contains("/none: No such file"), "\(none.output)")
    }

    private func guarded(by token: String) throws -> (site: Site, server: ServerProcess, arguments: [String]) {
        let site = try Site()
        try site.write("token", token + "\n")
        unsafe chmod(site.path + "/token", 0o600)
        try site.write("uringd.yaml", configuration(site, "old", ", tokens: [{ file: token }]", admin: "127.0.0.1:0"))
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml"], listeners: 2)
        return (site, server, ["--admin", "\(server.endpoints[1])"])
    }

    @Test func aSupervisorHandsItOn() throws {
        let site = try Site()
        try site.write("uringd.yaml", configuration(site, "old", admin: "unix:\(site.path)/a") + "supervisor: true\n")
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml"], listeners: 2)
        // It listens before it has told the supervisor so.
        var plan = try run(["reload", "--plan", "--pid", "\(server.processID)"])
        #expect(try eventually {
            plan = try run(["reload", "--plan", "--pid", "\(server.processID)"])
            return plan.exit == .code(0)
        }, "\(plan.output)")
        #expect(plan.output.contains("nothing changes"))
        try site.write("uringd.yaml", configuration(site, "new", admin: "unix:\(site.path)/a") + "supervisor: true\n")
        #expect(try run(["reload", "--pid", "\(server.processID)"]).output.contains("respond.body: old → new"))
        #expect(try ask(server, get()).bodyText == "new")
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
    }

    @Test func whoCannotBeAskedIsNamed() throws {
        let nobody = try run(["reload", "--admin", "127.0.0.1:1"])
        #expect(nobody.exit == .code(1) && nobody.output.contains("127.0.0.1:1: Connection refused: does a server run"), "\(nobody.output)")
        let file = try run(["reload", "--admin", "unix:/does/not/exist"])
        #expect(file.exit == .code(1) && file.output.contains("unix:/does/not/exist: No such file"), "\(file.output)")
        // No administration, but a web server.
        let other = try Uringd.respond(["--status", "404"])
        let odd = try run(["reload", "--admin", "\(other.endpoint)"])
        #expect(odd.exit == .code(1) && odd.output.contains("answers 404: hello"), "\(odd.output)")
        // SIGHUP would end it.
        let sleeper = try ServerProcess(["60"], listeners: 0, binary: "/bin/sleep")
        let wrong = try run(["reload", "--pid", "\(sleeper.processID)"])
        #expect(wrong.exit == .code(1) && wrong.output.contains("is no uringd that serves"), "\(wrong.output)")
        #expect(sleeper.isRunning)
        let gone = try run(["reload", "--pid", "2147483646"])
        #expect(gone.exit == .code(1) && gone.output.contains("there is no process 2147483646"), "\(gone.output)")
        // A server without a file.
        let quick = try run(["reload", "--pid", "\(other.processID)"])
        #expect(quick.exit == .code(1) && quick.output.contains("there is no configuration file to read again"), "\(quick.output)")
        for wrong in [[], ["--pid", "0"], ["--pid", "1", "--admin", "127.0.0.1:1"], ["--admin", "nowhere"], ["--pid", "1", "--token-file", "x"]] {
            #expect(try run(["reload"] + wrong).exit == .code(64), "\(wrong)")
        }
    }

    @Test func versionSaysWhatItIsMadeOf() throws {
        let version = try run(["--version"])
        #expect(version.exit == .code(0))
        let lines = version.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 4, "\(version.output)")
        #expect(lines[0].hasPrefix("uringd 0.") && lines[1].hasPrefix("Swift 6.") && lines[1].hasSuffix(" build"))
        #expect(lines[2].hasPrefix("OpenSSL 3.") && lines[3].hasPrefix("liburing 2."), "\(version.output)")
    }
}
