// What a reload would change.

import Testing

@testable import UringGateway

@Suite struct ConfigurationDiffTests {
    private func diff(_ old: String, _ new: String, _ environment: [String: String] = [:], _ later: [String: String] = [:]) throws -> ConfigurationDiff {
        func load(_ text: String, _ environment: [String: String]) throws -> Configuration {
            try #require(ConfigLoader.load(bytes: Array(text.utf8), file: "f", directory: "", .test(environment)).configuration)
        }
        return ConfigurationDiff(from: try load(old, environment), to: try load(new, later))
    }

    @Test func nothingChanges() throws {
        let diff = try diff(GatewayExample.text, "# a comment moves every line\n" + GatewayExample.text)
        #expect(diff.isEmpty && diff.text == "nothing changes\n", "\(diff.text)")
        #expect(Set(diff.untouched.map(\.kind)) == [.listener, .route, .upstream, .redis])
    }

    @Test func whatStaysIsCountedAndNamed() throws {
        let routes = (1...12).map { "  - { name: r\($0), match: { path: /\($0) }, respond: {} }\n" }.joined()
        let diff = try diff("listen: [{ address: 127.0.0.1:1 }]\nroutes:\n" + routes, "listen: [{ address: 127.0.0.1:1, backlog: 7 }]\nroutes:\n" + routes)
        #expect(diff.untouchedText == "12 routes stay as they are: r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 and 2 more\n", "\(diff.untouchedText)")
    }

    @Test func whatChangesIsNamed() throws {
        let old = """
            listen: [{ address: 127.0.0.1:1 }, { address: "LOCALHOST:2" }]
            upstreams: { a: { servers: ["h:1"] }, b: { servers: ["h:2"] } }
            limits: { connections: 100 }
            routes:
              - { name: x, match: { path: /x }, proxy: { upstream: a }, rate-limit: { key: address, rate: 100/s } }
              - { name: y, match: { path: /y }, proxy: { upstream: b } }
              - { name: z, match: { path: /z }, respond: {} }
            """
        let new = """
            listen: [{ address: "localhost:2", backlog: 9 }, { address: "unix:s" }]
            upstreams: { a: { servers: ["h:1", "h:3"], retry: { attempts: 3 } }, c: { servers: ["h:2"] } }
            limits: { connections: 200 }
            log: { level: error }
            routes:
              - { name: y, match: { path: /y }, proxy: { upstream: c } }
              - { name: x, match: { path: /x }, proxy: { upstream: a }, rate-limit: { key: address, rate: 200/s } }
              - { name: w, match: { path: /z }, respond: {} }
            """
        let diff = try diff(old, new)
        #expect(
            diff.text == """
                - listener 127.0.0.1:1
                ~ listener localhost:2
                    address: LOCALHOST:2 → localhost:2
                    backlog: 4096 → 9
                + listener unix:s
                - route z
                ~ route y
                    proxy.upstream: b → c
                ~ route x
                    rate-limit: [{"key":"address","rate":"100/s","fail":"open","status":429,… → [{"key":"address","rate":"200/s","fail":"open","status":429,…
                + route w
                - upstream b
                ~ upstream a
                    servers: [{"address":"h:1","weight":1,"backup":false}] → [{"address":"h:1","weight":1,"backup":false},{"address":"h:3…
                    retry.attempts: 1 → 3
                + upstream c
                ~ key limits
                    connections: 100 → 200
                ~ key log
                    level: info → error
                ~ the order of routes

                """)
        #expect(JSONSyntax.isValid(diff.json.compactBytes))
    }

    @Test func secretsAreNotShown() throws {
        let text = "listen: [{ address: 127.0.0.1:1 }]\nroutes: []\nredis: { r: { address: \"127.0.0.1:2\", password: \"${P}\" } }\n"
        let diff = try diff(text, text, ["P": "one-secret"], ["P": "other-secret"])
        #expect(diff.text == "~ redis r\n    a secret, or what it has from another key\n")
    }
}
