// A gateway in this process, with one loop and one route to an upstream, for tests of what it does with upstreams. One test each.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringGateway

final class TestGateway: Sendable {
    private final class Lines: Sendable {
        let all = Locked<[String]>([])
    }

    let gateway: Gateway
    let endpoint: Endpoint
    private let lines: Lines

    /// What the operational log got.
    var log: [String] { lines.all.withLock { $0 } }

    init(
        _ upstream: UpstreamConfiguration, _ edit: (inout ProxyConfiguration) -> Void = { _ in }, lookup: NameLookup = .system,
        configure: (inout Configuration) -> Void = { _ in }
    ) throws {
        let lines = Lines()
        self.lines = lines
        var configuration = Self.configuration([upstream], edit)
        configure(&configuration)
        gateway = try Gateway(
            configuration, log: OperationalLog(level: .info) { line in lines.all.withLock { $0.append(line) } }, lookup: lookup)
        endpoint = try #require(gateway.listening.lazy.compactMap { Endpoint(line: $0) }.first)
    }

    static func configuration(_ upstreams: [UpstreamConfiguration], _ edit: (inout ProxyConfiguration) -> Void = { _ in }) -> Configuration {
        var proxy = ProxyConfiguration(upstream: upstreams[0].name)
        edit(&proxy)
        var configuration = Configuration(
            listeners: [ListenerConfiguration(address: .ipv4([127, 0, 0, 1], port: 0))], routes: [RouteConfiguration(name: "proxy", action: .proxy(proxy))])
        configuration.loops = .count(1)
        configuration.upstreams = upstreams
        configuration.timeouts.drainNs = 5_000_000_000
        return configuration
    }

    deinit { gateway.stop() }

    /// One request on a connection of its own.
    func get(_ path: String = "/", _ lines: String...) throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("GET \(path) HTTP/1.1\r\nHost: example.com\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
        return try client.readFinalResponse()
    }

    var snapshot: UpstreamSnapshot { gateway.upstreams[0].snapshot() }

    /// Waits for something that comes soon.
    func eventually(_ condition: (TestGateway) -> Bool) -> Bool {
        for _ in 0..<4000 {
            if condition(self) { return true }
            usleep(1000)
        }
        return false
    }
}

extension UpstreamConfiguration {
    init(ports: [UInt16]) {
        self.init(name: "orders", servers: ports.map { UpstreamServer(address: .ipv4([127, 0, 0, 1], port: $0)) })
        outlier = nil
    }
}
