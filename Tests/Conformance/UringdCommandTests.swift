// The command line: help, wrong arguments, wrong configurations, exit statuses.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct UringdCommandTests {
    private func run(_ arguments: String...) throws -> (output: String, exit: ServerProcess.Exit) { try run(arguments) }

    private func run(_ arguments: [String]) throws -> (output: String, exit: ServerProcess.Exit) {
        let process = try ServerProcess(arguments, listeners: 0)
        let exit = try process.waitForExit()
        return (process.output, exit)
    }

    @Test func helpNamesEveryCommandAndOption() throws {
        let overview = try run("--help")
        #expect(overview.exit == .code(0))
        for word in ["serve", "reload", "--version", "check", "explain", "files", "respond", "doctor", "schema", "tcptrace", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT", "Exit status"] {
            #expect(overview.output.contains(word), "\(word)")
        }
        let options = [
            "serve": ["--config", "--check", "--loops"], "check": ["--config", "--openapi", "--format"],
            "reload": ["--admin", "--token-file", "--pid", "--plan", "--json"], "explain": ["<method>", "<url>", "--header", "--config", "--json"], "files": ["<root>", "--listen", "--loops"],
            "respond": ["--listen", "--loops", "--status", "--header", "--body", "--json"], "doctor": ["--json", "--loops"], "schema": [],
            "tcptrace": ["--pid", "--cgroup", "--interval", "--count", "--port", "--json", "CAP_BPF"],
            "top": ["--admin", "--token-file", "--once"], "health": ["--admin", "--live"],
        ]
        for (command, words) in options {
            let help = try run(command, "--help")
            #expect(help.exit == .code(0), "\(command)")
            for word in words { #expect(help.output.contains(word), "\(command) \(word)") }
        }
    }

    @Test(arguments: [
        (["respond"], "no address to listen on"), (["respond", "--listen", "127.0.0.1:0", "--tls", "x"], "CERT,KEY is expected"),
        (["files", ".", "--listen", "127.0.0.1:0", "--tls", "/none.pem,/none.key"], "No such file"),
        (["files", ".", "--listen", "127.0.0.1:0", "--session-tickets", "off"], "--session-tickets without --tls"),
        (["respond", "--listen", "127.0.0.1:0", "--http2", "maybe"], "--http2"),
        (["respond", "--listen", "x"], "no port"),
        (["respond", "--listen", "127.0.0.1:99999"], "0 to 65535"), (["respond", "--listen", "::1:80"], "brackets"),
        (["respond", "--listen", "127.0.0.1:0", "--status", "99"], "200 to 599"),
        (["respond", "--listen", "127.0.0.1:0", "--header", "no colon"], "NAME: VALUE"),
        (["respond", "--listen", "127.0.0.1:0", "--header", "a b: c"], "header name"),
        (["respond", "--listen", "127.0.0.1:0", "--header", "Content-Length: 5"], "server itself"),
        (["respond", "--listen", "127.0.0.1:0", "--header", "x: a\r\nb: c"], "line break"),
        (["respond", "--listen", "127.0.0.1:0", "--json", "{'a': 1}"], "double quotes"),
        (["respond", "--listen", "127.0.0.1:0", "--json", "1", "--body", "1"], "exclude each other"),
        (["respond", "--listen", "127.0.0.1:0", "--status", "204", "--body", "x"], "has no body"),
        (["respond", "--listen", "127.0.0.1:0", "--loops", "0,0"], "named twice"),
        (["files", "--listen", "127.0.0.1:0"], "root"), (["bogus"], "bogus"), (["serve", "--bogus"], "--bogus"),
    ])
    func wrongArgumentsEndWith64(arguments: [String], expected: String) throws {
        let process = try ServerProcess(arguments, listeners: 0)
        #expect(try process.waitForExit() == .code(64), "\(process.output)")
        #expect(process.output.contains(expected), "\(process.output)")
    }

    @Test func filesWantsADirectory() throws {
        let missing = try run("files", "/does/not/exist", "--listen", "127.0.0.1:0")
        #expect(missing.exit == .code(1))
        #expect(missing.output.contains("/does/not/exist") && missing.output.contains("No such file"))
        let file = try run("files", "/etc/passwd", "--listen", "127.0.0.1:0")
        #expect(file.exit == .code(1) && file.output.contains("is not a directory"))
    }

    @Test func portInUseNamesTheRemedy() throws {
        let first = try Uringd.respond()
        let second = try run("respond", "--listen", "\(first.endpoint)", "--body", "x")
        #expect(second.exit == .code(1))
        #expect(second.output.contains("\(first.endpoint)") && second.output.contains("another program listens there"))
        #expect(!second.output.contains("listening on"))
        // The first goes on.
        #expect(try ask(first, get()).bodyText == answer)
    }

    /// Where the machine is the reason, the doctor's failing lines follow the error.
    @Test func lackOfDescriptorsIsExplained() throws {
        let command = "ulimit -n 5; exec \"$0\" respond --listen 127.0.0.1:0 --loops 1 --body x"
        let shell = try ServerProcess(["-c", command, ServerProcess.defaultBinary], listeners: 0, binary: "/bin/sh")
        #expect(try shell.waitForExit() == .code(1))
        for part in ["Too many open files", "LimitNOFILE", "What `uringd doctor` finds wrong", "remedy:"] { #expect(shell.output.contains(part), "\(part)") }
    }

    @Test func otherSignalsDoNotEndAServer() throws {
        let server = try Uringd.respond()
        for signal in [SIGUSR1, SIGHUP, SIGPIPE] { server.send(signal: signal) }
        #expect(eventually { server.output.contains("no configuration file to read again") })
        #expect(try ask(server, get()).bodyText == answer)
    }

    @Test func unixSocketInUse() throws {
        let site = try Site()
        let first = try Uringd.respond(listen: "unix:\(site.path)/s")
        let second = try run("respond", "--listen", "unix:\(site.path)/s", "--body", "x")
        #expect(second.exit == .code(1) && second.output.contains("another program listens there"))
        #expect(try ask(first, get()).bodyText == answer)
        // A socket that a killed server left behind is no obstacle.
        first.send(signal: SIGKILL)
        try first.waitForExit()
        #expect(site.exists("s"))
        let third = try Uringd.respond(listen: "unix:\(site.path)/s")
        #expect(try ask(third, get()).bodyText == answer)
    }

    @Test func checkReportsEveryProblem() throws {
        let site = try Site()
        try site.write("bad.yaml", """
            listen: [{ address: "127.0.0.1" }]
            timeouts: { header: soon }
            routs: []
            routes:
              - { name: a, match: {}, respond: { status: 99 } }
              - { name: a, match: {}, files: { root: ./missing } }
            """)
        for arguments in [["check", "--config", site.path + "/bad.yaml"], ["serve", "--check", "--config", site.path + "/bad.yaml"]] {
            let process = try ServerProcess(arguments, listeners: 0)
            #expect(try process.waitForExit() == .code(1))
            for line in [1, 2, 3, 5, 6] { #expect(process.output.contains("bad.yaml:\(line):"), "line \(line): \(process.output)") }
            #expect(process.output.contains("routs"))
        }
        let served = try run("serve", "--config", site.path + "/bad.yaml")
        #expect(served.exit == .code(1) && served.output.contains("is not usable") && !served.output.contains("listening on"))
    }

    @Test func warningsAreNoFailure() throws {
        let site = try Site()
        try site.write("odd.yaml", """
            listen: [{ address: "127.0.0.1:0" }]
            routes:
              - { name: a, match: {}, respond: {} }
              - { name: b, match: { path: /x }, respond: {} }
            """)
        let result = try run("check", "--config", site.path + "/odd.yaml")
        #expect(result.exit == .code(0))
        #expect(result.output.contains("odd.yaml:4:") && result.output.contains("never reached") && result.output.contains("good, with 1 warning"))
    }

    @Test func whatIsNotThereYetIsRefusedAndExplained() throws {
        let site = try Site()
        try site.write("gateway.yaml", """
            listen: [{ address: "127.0.0.1:8080" }]
            routes: [{ name: a, match: { path: /a }, proxy: { upstream: u, path: "/b" } }]
            upstreams: { u: { servers: ["127.0.0.1:1"], proxy-protocol: "${PROTOCOL_OF_A_TEST:-v2}" } }
            """)
        try site.write("api.json", #"{"openapi":"3.1.0","paths":{"/a":{"get":{}},"/c":{"get":{}}}}"#)
        let config = ["--config", site.path + "/gateway.yaml"]
        let explained = try run(["explain", "GET", "http://127.0.0.1:8080/a?x"] + config)
        #expect(explained.exit == .code(0) && explained.output.contains("sent       GET /b?x"), "\(explained.output)")
        #expect(try run(["explain", "get", "http://127.0.0.1:8080/a"] + config).exit == .code(64))
        // Shrinks with ConfigSchema.unwired; when it is empty, so is this.
        let refused = try run(["serve"] + config)
        #expect(refused.exit == .code(1) && refused.output.contains("is not supported by this version yet"))
        try site.write("plain.yaml", "listen: [{ address: \"127.0.0.1:8080\" }]\nroutes: [{ name: a, match: { path: /a }, respond: {} }]\n")
        let compared = try run("check", "--config", site.path + "/plain.yaml", "--openapi", site.path + "/api.json", "--format", "json")
        #expect(compared.exit == .code(1) && compared.output.contains("GET /c: no route takes it") && compared.output.contains("\"good\": false"), "\(compared.output)")
    }

    @Test func missingConfigurationIsNamed() throws {
        let result = try run("serve", "--config", "/does/not/exist.yaml")
        #expect(result.exit == .code(1) && result.output.contains("/does/not/exist.yaml") && result.output.contains("No such file"))
    }

    @Test func schemaIsJSON() throws {
        let result = try run("schema")
        #expect(result.exit == .code(0))
        #expect(result.output.hasPrefix("{\n") && result.output.hasSuffix("}\n") && result.output.contains("\"access-log\""))
    }

    @Test func doctorSpeaksJSON() throws {
        let result = try run("doctor", "--json")
        #expect(result.exit == .code(0))
        #expect(result.output.hasPrefix("{\"ok\":") && result.output.contains("\"failed\":0"))
    }

    @Test func answersOfRespond() throws {
        let server = try ServerProcess([
            "respond", "--listen", "127.0.0.1:0", "--status", "503", "--header", "Retry-After: 5", "--header", "content-type: text/html",
            "--header", "X-A: 1", "--header", "X-A: 2", "--body", "<p>later</p>",
        ])
        let response = try ask(server, get())
        #expect(response.status == 503 && response.bodyText == "<p>later</p>")
        #expect(response.values("content-type") == ["text/html"] && response.values("x-a") == ["1", "2"] && response.value("retry-after") == "5")
        let empty = try ServerProcess(["respond", "--listen", "127.0.0.1:0", "--status", "204"])
        #expect(try ask(empty, get()).status == 204)
    }
}
