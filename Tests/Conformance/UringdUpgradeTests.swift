// SIGUSR2: another process goes on with the sockets. Under load it is Tests/Lifecycle's.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct UringdUpgradeTests {
    /// The process that has taken over, if any.
    private func successor(_ server: ServerProcess) -> pid_t? {
        for line in server.output.split(separator: "\n") where line.hasSuffix("this one finishes the requests that it has") {
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(of: "process"), place + 1 < words.count else { continue }
            return pid_t(words[place + 1])
        }
        return nil
    }

    @Test(arguments: ["uring", "epoll"]) func anotherProcessGoesOn(backend: String) throws {
        let site = try Site()
        try site.write("uringd.yaml", """
            listen: [{ address: "127.0.0.1:0" }, { address: "unix:\(site.path)/s" }]
            routes: [{ name: all, match: {}, respond: { body: old } }]
            """)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml", "--loops", "2", "--backend", backend], listeners: 2)
        let kept = try RawClient(server.endpoint)
        #expect(try kept.ask(get()).bodyText == "old")
        try site.write("uringd.yaml", """
            listen: [{ address: "127.0.0.1:0" }, { address: "unix:\(site.path)/s" }]
            routes: [{ name: all, match: {}, respond: { body: new } }]
            """)
        server.send(signal: SIGUSR2)
        #expect(eventually { successor(server) != nil }, "\(server.output)")
        let process = try #require(successor(server))
        defer { kill(process, SIGTERM) }
        // The port was the system's choice: the sockets are the same. A client that was connected is answered by whom it knows, and told to come again.
        // It says who serves before it begins to drain.
        var bodies: Set<String> = []
        let isTold = try eventually {
            let answer = try kept.ask(get())
            bodies.insert(answer.bodyText)
            return answer.value("connection") == "close"
        }
        #expect(isTold && bodies == ["old"])
        for _ in 0..<8 { #expect(try ask(server, get()).bodyText == "new") }
        // Its output is the successor's too, and goes on.
        #expect(eventually { !server.isRunning })
        #expect(try RawClient(server.endpoints[1]).ask(get()).bodyText == "new")
        #expect(site.exists("s"))
        kill(process, SIGTERM)
        #expect(eventually { !site.exists("s") })
    }

    @Test func whatCannotStartChangesNothing() throws {
        let site = try Site()
        let good = "listen: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ name: all, match: {}, respond: { body: old } }]\n"
        try site.write("uringd.yaml", good)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml"], listeners: 1)
        try site.write("uringd.yaml", good + "nonsense: 1\n")
        for times in 1...2 {
            server.send(signal: SIGUSR2)
            #expect(eventually { server.output.split(separator: "\n").count { $0.contains("the upgrade has failed, this process goes on: it ended with status 1") } == times }, "\(server.output)")
        }
        #expect(server.output.contains("uringd.yaml:3:1"))
        #expect(try ask(server, get()).bodyText == "old")
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
    }
}
