// Several files as one configuration, and the environment's values in it.

import Testing

@testable import UringGateway

@Suite struct ConfigFilesTests {
    private func load(_ text: String, _ files: [String: String] = [:], _ environment: [String: String] = [:], directory: String = "") -> ConfigLoadResult {
        ConfigLoader.load(bytes: Array(text.utf8), file: "main.yaml", directory: directory, .test(environment, files: files))
    }

    private let base = "listen: [{ address: 127.0.0.1:8080 }]\nroutes: []\n"

    // MARK: include

    @Test func includedListsComeFirst() throws {
        let result = load(
            """
            include: [b.yaml, a.yaml, "none/*.yaml"]
            listen: [{ address: 127.0.0.1:1 }]
            routes: [{ name: last, match: {}, respond: {} }]
            """,
            [
                "a.yaml": "routes: [{ name: a, match: { path: /a }, proxy: { upstream: u } }]\nupstreams: { u: { servers: [\"127.0.0.1:2\"] } }\n",
                "b.yaml": "routes:\n  - { name: b, match: { path: /b }, respond: {} }\nlisten: [{ address: 127.0.0.1:3 }]\nlog: { level: error }\n",
            ])
        #expect(result.render() == "")
        let configuration = try #require(result.configuration)
        #expect(configuration.routes.map(\.name) == ["b", "a", "last"])
        #expect(configuration.listeners.map(\.address.description) == ["127.0.0.1:3", "127.0.0.1:1"])
        #expect(configuration.upstreams.map(\.name) == ["u"] && configuration.logLevel == .error)
        #expect(result.sources.map(\.name) == ["main.yaml", "b.yaml", "a.yaml"])
    }

    @Test func patternsAreTakenInOrderAndPathsStartAtTheFirstFile() throws {
        let result = load(
            "include: r/*.yaml\n" + base,
            [
                "/etc/u/r/2.yaml": "routes: [{ name: two, match: { path: /2 }, files: { root: public } }]",
                "/etc/u/r/1.yaml": "routes: [{ name: one, match: { path: /1 }, respond: {} }]", "/etc/u/r/3.txt": "x",
            ], directory: "/etc/u/")
        #expect(result.configuration?.routes.map(\.name) == ["one", "two"])
        #expect(result.configuration?.routes.last?.action == .files(.init(root: "/etc/u/public")))
    }

    @Test func messagesNameTheirFile() {
        let result = load(
            "include: [a.yaml, gone.yaml, c.yaml, d.yaml]\nlog: {}\n" + base + "upstreams: { u: { servers: [\"h:1\"] } }\n",
            [
                "a.yaml": "log: {}\ninclude: x\nroutes: [{ name: a, match: {}, respond: { status: 99 } }]\nupstreams:\n  u: { servers: [\"h:1\"] }\n",
                "c.yaml": "a: [", "d.yaml": "[1]",
            ])
        #expect(
            result.render() == """
                main.yaml:1:19: include: `gone.yaml`: not there
                main.yaml:2:1: the key `log` is in a.yaml, line 1 too; only one file can have it
                main.yaml:5:14: upstreams: `u` is in a.yaml, line 5 too
                a.yaml:2:1: include: a file that is included includes nothing itself
                a.yaml:3:51: routes[0].respond.status: found `99`, accepted: a number from 200 to 599
                a.yaml:5:3: warning: upstreams: no route uses `u` [upstream-unused]
                c.yaml:2:1: YAML syntax: while parsing a flow node begun in line 2, column 1: did not find expected node content
                d.yaml:1:1: found a list, accepted: a mapping with keys of the top level

                """)
        #expect(result.render(excerpts: true).contains("    routes: [{ name: a, match: {}, respond: { status: 99 } }]\n"))
        let json = String(decoding: result.json.compactBytes, as: UTF8.self)
        #expect(json.hasPrefix(#"{"file":"main.yaml","good":false,"diagnostics":[{"severity":"error","file":"main.yaml","line":1,"column":19,"message":"include: `gone.yaml`: not there"},"#))
        #expect(json.contains(#""message":"upstreams: no route uses `u`","lint":"upstream-unused"}"#))
    }

    @Test func aFileIsIncludedOnce() {
        #expect(load("include: [a.yaml, a.yaml]\n" + base, ["a.yaml": "log: {}"]).render() == "main.yaml:1:19: include: `a.yaml` is read already\nmain.yaml:1:19: include: `a.yaml` appears twice\n")
        #expect(load("include: { a: b }\n" + base).render().contains("main.yaml:1:10: include: found a mapping"))
    }

    // MARK: environment

    @Test func valuesOfTheEnvironment() throws {
        let result = load(
            """
            listen: [{ address: "127.0.0.1:${PORT}", backlog: "${BACKLOG:-12}" }]
            log: { level: "${LEVEL:-debug}" }
            routes: [{ name: "a${A}b$${A}$", match: {}, respond: { body: "${BODY}", headers: { x: "${EMPTY:-}" } } }]
            """, [:], ["PORT": "81", "A": "-", "BODY": "{ a: [1], ${B} }\n- x", "EMPTY": "", "LEVEL": ""])
        // `$${A}` is the text `${A}`, which no name can be.
        #expect(result.render().hasPrefix("main.yaml:3:18: routes[0].name: found the value of `a${A}b$${A}$`, accepted: 1 to 64 letters"))
        let good = load(
            "listen: [{ address: \"127.0.0.1:${PORT}\", backlog: \"${BACKLOG:-12}\" }]\nroutes: [{ name: a, match: {}, respond: { body: \"${BODY}$${x}\" } }]", [:],
            ["PORT": "81", "BODY": "{ a: [1], ${B} }\n- x"])
        #expect(good.configuration?.listeners[0].backlog == 12, "quotes that the braces need do not make a text of it")
        let plain = load(
            "listen:\n  - address: 127.0.0.1:${PORT}\n    backlog: ${BACKLOG:-12}\nroutes: [{ name: a, match: {}, respond: { body: \"${BODY}$${x}\" } }]", [:],
            ["PORT": "81", "BODY": "{ a: [1], ${B} }\n- x"])
        #expect(plain.render() == "")
        let configuration = try #require(plain.configuration)
        #expect(configuration.listeners[0].address == .ipv4([127, 0, 0, 1], port: 81) && configuration.listeners[0].backlog == 12)
        guard case .respond(let respond) = configuration.routes[0].action else { return #expect(Bool(false), "no response") }
        // The value stays one value, and is not looked at again.
        #expect(String(decoding: respond.body, as: UTF8.self) == "{ a: [1], ${B} }\n- x${x}")
    }

    @Test func variablesThatAreNotThere() {
        let result = load(
            "listen: [{ address: \"127.0.0.1:${PORT}\" }]\nroutes:\n  - { name: a, match: {}, respond: { body: \"ä $${x} ${ONE} ${TWO}\" } }\n  - { name: b, match: { path: /b }, respond: { body: \"${1X} ${\" } }\n")
        #expect(
            result.render() == """
                main.yaml:1:32: the environment variable `PORT` is not set; `${PORT:-text}` says what stands in its place then
                main.yaml:3:53: the environment variable `ONE` is not set; `${ONE:-text}` says what stands in its place then
                main.yaml:3:60: the environment variable `TWO` is not set; `${TWO:-text}` says what stands in its place then
                main.yaml:4:13: warning: routes: `b` is never reached: the earlier route `a` takes everything that it matches [route-unreachable]
                main.yaml:4:55: `${` begins the name of an environment variable, letters, digits and `_` up to `}`; `$${` stands for the characters themselves
                main.yaml:4:61: `${` begins the name of an environment variable, letters, digits and `_` up to `}`; `$${` stands for the characters themselves

                """)
    }

    /// Whatever is wrong with it, what the environment gave is not shown.
    @Test func valuesAreNotShown() {
        let secret = "s3cret"
        for line in [
            "loops: ${X}", "log: { level: ${X} }", "timeouts: { header: ${X} }", "limits: { connections: ${X} }", "admin: { address: ${X} }",
            "http2: { streams: ${X} }", "supervisor: ${X}", "trusted-proxies: [ \"${X}\" ]", "trusted-proxies: ${X}", "surge: ${X}", "include: [ \"${X}/*\" ]",
            "redis: { a: { address: ${X}, password: { file: [\"${X}\"] } } }", "tracing: { endpoint: ${X} }",
            "expectations: [{ request: \"${X}\" }]", "lint: { allow: [ \"${X}\", \"${X}\" ] }", "deadline: { header: \"${X}:\" }",
        ] {
            let result = load(line + "\n" + base, [:], ["X": secret])
            #expect(!result.render().contains(secret), "\(line)")
        }
        #expect(load("loops: ${X}\n" + base, [:], ["X": ""]).render() == "main.yaml:1:1: loops: found the value of `${X}`, which is empty, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]\n")
    }
}
