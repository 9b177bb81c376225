// Good files: what the values become.

import Testing

@testable import UringGateway

@Suite struct ConfigurationTests {
    @Test func theContractsExampleLoads() throws {
        let configuration = try good(
            """
            loops: auto                                # or 4, or [0, 2]
            listen:
              - address: 127.0.0.1:8080
            admin: { address: 127.0.0.1:9901 }
            timeouts: { header: 10s, body: 30s, handler: 30s, write: 30s, idle: 75s }
            limits:
              { connections: 100000, connections-per-address: 1000, requests-per-connection: 0, header-bytes: 32KiB, body-bytes: 10MiB }
            access-log: { path: /dev/stdout, format: json }          # json | combined | off
            routes:
              - name: health
                match: { path: /healthz }
                respond: { status: 200, json: { status: ok } }
              - name: site
                match: { path: /* }
                files: { root: ./public, index: index.html, cache-control: "max-age=60" }
            """)
        #expect(configuration.loops == .auto)
        #expect(configuration.listeners == [ListenerConfiguration(address: .ipv4([127, 0, 0, 1], port: 8080))])
        #expect(configuration.listeners[0].backlog == 4096)
        #expect(configuration.listeners[0].isIPv6Only)
        #expect(configuration.listeners[0].unixMode == 0o660)
        #expect(configuration.admin == AdminConfiguration(address: .ipv4([127, 0, 0, 1], port: 9901)))
        #expect(configuration.timeouts.headerNs == 10_000_000_000)
        #expect(configuration.timeouts.idleNs == 75_000_000_000)
        #expect(configuration.limits.connections == 100_000)
        #expect(configuration.limits.requestsPerConnection == 0)
        #expect(configuration.limits.headerBytes == 32768)
        #expect(configuration.limits.bodyBytes == 10_485_760)
        #expect(
            configuration.accessLog
                == AccessLogConfiguration(path: "/dev/stdout", format: .json, bufferBytes: 65536, flushNs: 1_000_000_000))
        #expect(configuration.routes.map(\.name) == ["health", "site"])
        let body = Array(#"{"status":"ok"}"#.utf8)
        #expect(
            configuration.routes[0].action
                == .respond(.init(status: 200, headers: [.init(name: "content-type", value: "application/json")], body: body)))
        #expect(configuration.routes[1].action == .files(.init(root: "./public", cacheControl: "max-age=60")))
    }

    @Test func aShortFileGetsTheTablesDefaults() throws {
        let configuration = try good("listen: [{ address: 127.0.0.1:8080 }]\nroutes: []\n")
        #expect(configuration == Configuration(listeners: [.init(address: .ipv4([127, 0, 0, 1], port: 8080))], routes: []))
        #expect(configuration.accessLog == nil)
        #expect(configuration.admin == nil)
        #expect(configuration.logLevel == .info)
        let timeouts = configuration.timeouts
        #expect([timeouts.bodyNs, timeouts.handlerNs, timeouts.writeNs, timeouts.drainNs] == [30_000_000_000, 30_000_000_000, 30_000_000_000, 30_000_000_000])
        #expect(timeouts.lingerNs == 5_000_000_000)
        #expect(timeouts.bodyBytesPerSecondMin == 240 && timeouts.writeBytesPerSecondMin == 240)
        #expect(timeouts.rateGraceNs == 5_000_000_000)
        #expect(configuration.limits.requestLineBytes == 8192)
        #expect(configuration.limits.headerCount == 100)
        #expect(configuration.limits.connectionsPerAddress == 1000)
    }

    @Test func everyKeyReachesItsOwnField() throws {
        let configuration = try good(
            """
            loops: [3, 1]
            listen:
              - { address: "[::]:80", backlog: 7, ipv6-only: false }
              - { address: "unix:run/s.sock", mode: "0600" }
              - { address: localhost:0 }
            admin: { address: "unix:/run/admin.sock" }
            timeouts: { header: 11ms, body: 12ms, handler: 13ms, write: 14ms, idle: 15ms, drain: 16ms, linger: 17ms, body-rate: 18B/s, write-rate: 19B/s, rate-grace: 20ms }
            limits: { connections: 1, connections-per-address: 2, requests-per-connection: 3, request-line-bytes: 65, header-bytes: 4KiB, header-count: 8, body-bytes: 6 }
            access-log: { path: a.log, format: combined, buffer: 16KiB, flush: 10ms }
            log: { level: warning }
            routes: []
            """)
        #expect(configuration.loops == .cores([3, 1]))
        #expect(configuration.listeners.map(\.address.description) == ["[::]:80", "unix:run/s.sock", "localhost:0"])
        #expect(configuration.listeners[0].backlog == 7)
        #expect(!configuration.listeners[0].isIPv6Only)
        #expect(configuration.listeners[1].unixMode == 0o600)
        #expect(configuration.admin?.address == .unix(path: "/run/admin.sock"))
        let t = configuration.timeouts
        let times = [t.headerNs, t.bodyNs, t.handlerNs, t.writeNs, t.idleNs, t.drainNs, t.lingerNs, t.rateGraceNs]
        #expect(times == [11, 12, 13, 14, 15, 16, 17, 20].map { $0 * 1_000_000 })
        #expect(t.bodyBytesPerSecondMin == 18 && t.writeBytesPerSecondMin == 19)
        let l = configuration.limits
        #expect([l.connections, l.connectionsPerAddress, l.requestsPerConnection] == [1, 2, 3])
        #expect([l.requestLineBytes, l.headerBytes, l.headerCount] == [65, 4096, 8])
        #expect(l.bodyBytes == 6)
        #expect(configuration.accessLog == AccessLogConfiguration(path: "a.log", format: .combined, bufferBytes: 16384, flushNs: 10_000_000))
        #expect(configuration.logLevel == .warning)
    }

    @Test func zeroSwitchesOffWhereTheTableSaysSo() throws {
        // That it is dangerous is a warning of its own: ConfigCrossCheckTests.
        let configuration = try good(
            withBase("lint: { allow: [no-timeout] }\ntimeouts: { header: 0, body: 0, handler: 0, write: 0, idle: 0s, drain: 0, linger: 0, body-rate: 0, write-rate: 0B/s }"))
        let t = configuration.timeouts
        #expect([t.headerNs, t.bodyNs, t.handlerNs, t.writeNs, t.idleNs, t.drainNs, t.lingerNs] == [0, 0, 0, 0, 0, 0, 0])
        #expect(t.bodyBytesPerSecondMin == 0 && t.writeBytesPerSecondMin == 0)
    }

    @Test func anAccessLogThatIsOffIsNone() throws {
        #expect(try good(withBase("access-log: { format: off }")).accessLog == nil)
    }

    @Test func aNumberOfLoops() throws {
        #expect(try good(withBase("loops: 4")).loops == .count(4))
        #expect(try good(withBase("loops: [0]")).loops == .cores([0]))
    }

    @Test func matchTakesOneOrMany() throws {
        let configuration = try good(
            withRoute("match: { host: [Example.com, \"*.example.com\"], path: [/a, /a/*], methods: [GET, POST] }\nrespond: {}"))
        let rule = configuration.routes[0].match
        #expect(rule.hosts == [.init(text: "example.com", isWildcard: false), .init(text: ".example.com", isWildcard: true)])
        #expect(rule.paths.map(\.text) == ["/a", "/a/*"])
        #expect(rule.methods.names == ["GET", "HEAD", "POST"])
        #expect(configuration.routes[0].action == .respond(.init(status: 200)))
    }

    @Test func respondHeadersKeepOrderAndRepeat() throws {
        let configuration = try good(
            withRoute("match: {}\nrespond: { status: 503, headers: { Retry-After: 120, set-cookie: [a=1, b=2], Content-Type: text/html }, body: hello }"))
        let expected: [RespondConfiguration.Header] = [
            .init(name: "Retry-After", value: "120"), .init(name: "set-cookie", value: "a=1"),
            .init(name: "set-cookie", value: "b=2"), .init(name: "Content-Type", value: "text/html"),
        ]
        #expect(configuration.routes[0].action == .respond(.init(status: 503, headers: expected, body: Array("hello".utf8))))
    }

    @Test(arguments: [
        ("{ a: 1, b: -2, c: +3, d: 0x1F, e: 0o17, f: 007 }", #"{"a":1,"b":-2,"c":3,"d":31,"e":15,"f":7}"#),
        ("[1.50, .5, 1., -1e5, 2E+3, 1e-7, 00.5]", "[1.50,0.5,1.0,-1e5,2e3,1e-7,0.5]"),
        ("[123456789012345678901234567890, -0]", "[123456789012345678901234567890,0]"),
        ("[true, False, TRUE, yes, on, ~, null, '', x]", #"[true,false,true,"yes","on",null,null,"","x"]"#),
        (#"["1", '2', "true", "null", !!str 3, ! 4]"#, #"["1","2","true","null","3","4"]"#),
        (#"["a\"b\\c\n\r\t\b\f\x01é\U0001F600/"]"#, "[\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001é😀/\"]"),
        ("{ b: 1, a: { c: [] , d: {} } }", #"{"b":1,"a":{"c":[],"d":{}}}"#),
        ("12:30", #""12:30""#), ("2026-01-01", #""2026-01-01""#), ("0x", #""0x""#), ("1e", #""1e""#), ("1_000", #""1_000""#),
        ("~", "null"), ("", "null"), ("[ *x, *x ]", "[[1],[1]]"),
    ])
    func jsonFollowsTheCoreSchema(yaml: String, json: String) throws {
        let configuration = try good(
            "listen: [{ address: 127.0.0.1:8080 }]\nroutes:\n  - name: r\n    match: { path: /x }\n    respond:\n      json: \(yaml == "[ *x, *x ]" ? "[ &x [1], *x ]" : yaml)\n")
        guard case .respond(let respond) = configuration.routes[0].action else {
            Issue.record("not a response")
            return
        }
        #expect(String(decoding: respond.body, as: UTF8.self) == json)
    }

    @Test func relativePathsStartAtTheFilesDirectory() throws {
        let text = "listen: [{ address: \"unix:s\" }]\naccess-log: { path: log/a }\nroutes: [{ name: f, match: {}, files: { root: ./public } }]\n"
        let result = ConfigLoader.load(bytes: Array(text.utf8), file: "x", directory: "/etc/uringd", .test)
        let configuration = try #require(result.configuration)
        #expect(configuration.listeners[0].address == .unix(path: "/etc/uringd/s"))
        #expect(configuration.accessLog?.path == "/etc/uringd/log/a")
        #expect(configuration.routes[0].action == .files(.init(root: "/etc/uringd/./public")))
    }

    @Test func filesOptions() throws {
        let configuration = try good(
            withRoute("match: {}\nfiles: { root: /srv, index: [a.html, b.html], precompressed: [zstd, br, gzip], symlinks: deny }"))
        #expect(
            configuration.routes[0].action
                == .files(.init(root: "/srv", index: ["a.html", "b.html"], precompressed: [.zstd, .br, .gzip], symlinks: .deny)))
        let none = try good(withRoute("match: {}\nfiles: { root: /srv, index: [] }"))
        #expect(none.routes[0].action == .files(.init(root: "/srv", index: [])))
    }
}
