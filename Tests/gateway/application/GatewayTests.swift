// What a configuration becomes, and what a reload has to say. Served requests are tested over the wire (Tests/Conformance/Uringd*.swift).

import Testing
import UringServer
@testable import UringGateway

@Suite struct GatewayTests {
    private var configuration: Configuration {
        Configuration(listeners: [ListenerConfiguration(address: .ipv4([127, 0, 0, 1], port: 80))], routes: [])
    }

    @Test func optionsComeFromTheConfiguration() {
        var configuration = configuration
        configuration.loops = .cores([1, 3])
        configuration.timeouts.headerNs = 1_500_000_000
        configuration.timeouts.idleNs = 0
        configuration.timeouts.bodyBytesPerSecondMin = 7
        configuration.timeouts.rateGraceNs = 9_000_000_000
        configuration.limits.bodyBytes = 0
        configuration.limits.headerCount = 17
        configuration.limits.connectionsPerAddress = 5
        let options = configuration.serverOptions
        #expect(options.loops == .cores([1, 3]))
        #expect(options.timeouts.header == .milliseconds(1500))
        #expect(options.timeouts.idle == .zero)
        #expect(options.timeouts.bodyRate == .init(bytesPerSecond: 7, grace: .seconds(9)))
        // 0 is no limit, and the largest number is as good.
        #expect(options.limits.bodyBytes == .max)
        #expect(options.limits.headerCount == 17)
        #expect(options.limits.connectionsPerAddress == 5)
        #expect(configuration.drainLimit == .seconds(30))
        configuration.timeouts.drainNs = 0
        #expect(configuration.drainLimit == nil)
    }

    @Test func addressesBecomeNumbers() throws {
        #expect(try ListenAddress.parse("[::1]:80").get().numeric() == "[::1]:80")
        #expect(try ListenAddress.parse("unix:/a").get().numeric() == "unix:/a")
        #expect(try ListenAddress.parse("localhost:80").get().numeric() == "127.0.0.1:80")
        #expect(throws: GatewayError.self) { try ListenAddress.parse("name.invalid:80").get().numeric() }
        #expect(throws: GatewayError.self) { try ListenAddress.parse("[fe80::1%lo]:80").get().numeric() }
    }

    @Test func remarksOfAReload() {
        let old = configuration
        #expect(Gateway.remarks(from: old, to: old) == [])
        var new = old
        new.loops = .count(7)
        new.limits.connections = 1
        new.listeners[0].backlog = 1
        new.listeners.append(ListenerConfiguration(address: .unix(path: "/x")))
        let remarks = Gateway.remarks(from: old, to: new)
        #expect(remarks.count == 3)
        #expect(remarks.allSatisfy { $0.contains("restarted") })
    }

    /// TLS and HTTP/2 are up to each connection, so they need no restart.
    @Test func aReloadMayChangeTLS() {
        let old = configuration
        var new = old
        new.listeners[0].tls = TLSSettings(.selfSigned)
        new.listeners[0].http2 = .off
        #expect(Gateway.remarks(from: old, to: new) == [])
        #expect(Gateway.transportChanges(from: old, to: new) == ["new connections to 127.0.0.1:80 speak TLS from now on"])
        #expect(Gateway.transportChanges(from: new, to: old) == ["new connections to 127.0.0.1:80 are in clear from now on"])
        #expect(Gateway.transportChanges(from: new, to: new) == [])
        new.listeners[0].backlog = 1
        #expect(Gateway.remarks(from: old, to: new).count == 1)
        new.listeners[0].address = .unix(path: "/x")
        #expect(Gateway.transportChanges(from: old, to: new) == [])
    }

    @Test func routesNeedTheirDirectory() {
        let files = RouteConfiguration(name: "a", action: .files(FilesConfiguration(root: "/does/not/exist")))
        let respond = RouteConfiguration(name: "b", action: .respond(RespondConfiguration()))
        #expect(throws: (any Error).self) { try Routes([respond, files]) }
        #expect(throws: Never.self) { try Routes([respond]) }
        #expect(throws: Never.self) { try Routes([]) }
    }

    @Test func accessLogsAreOpenedPerLoopOrNotAtAll() throws {
        var configuration = configuration
        configuration.accessLog = AccessLogConfiguration(path: "/does/not/exist/log", format: .json, bufferBytes: 65_536, flushNs: 1)
        #expect(throws: GatewayError.self) { try GatewayApplication(configuration, loops: 2) }
        configuration.accessLog?.path = "/dev/null"
        let application = try GatewayApplication(configuration, loops: 2)
        let logs = try #require(application.logs)
        #expect(logs.reopen(0) == 0 && logs.reopen(1) == 0)
        // A loop that the log was not opened for is no reason to trap.
        #expect(logs.reopen(2) == 0)
        logs.flush(99)
    }
}
