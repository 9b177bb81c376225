// Active checks, ejections and retries through real servers: who gets requests, what is counted, what the log says.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringGateway

@Suite struct UpstreamHealthTests {
    private final class Switch: Sendable {
        let value = Locked("good")
        var now: String {
            get { value.withLock { $0 } }
            set { value.withLock { $0 = newValue } }
        }
    }

    private func health(_ edit: (inout HealthConfiguration) -> Void = { _ in }) -> HealthConfiguration {
        var health = HealthConfiguration(
            path: "/healthz?deep", method: "GET", host: "orders.internal", intervalNs: 5_000_000, timeoutNs: 2_000_000_000, unhealthyAfter: 2, healthyAfter: 2,
            status: [StatusRange(first: 200, last: 299)], port: nil)
        edit(&health)
        return health
    }

    /// Answers checks as the switch says, and requests always.
    private func server(_ state: Switch, _ name: String) throws -> RecordingServer {
        try RecordingServer { request, _ in
            guard request.line.contains(" /healthz") else { return [.answer(200, name)] }
            switch state.now {
            case "good": return [.answer(200)]
            case "busy": return [.answer(503)]
            case "closed": return [.close]
            default: return [.hang]
            }
        }
    }

    @Test(arguments: ["busy", "closed", "hung"]) func whoFailsChecksGetsNoRequests(fault: String) throws {
        let state = Switch()
        let (bad, good) = (try server(state, "bad"), try server(Switch(), "good"))
        var upstream = UpstreamConfiguration(ports: [bad.port, good.port])
        upstream.health = health { if fault == "hung" { $0.timeoutNs = 20_000_000 } }
        let gateway = try TestGateway(upstream)
        #expect(gateway.eventually { $0.snapshot.servers.allSatisfy { $0.checks >= 2 } })
        #expect(gateway.snapshot.servers.allSatisfy { $0.isHealthy })
        #expect(try Set((0..<4).map { _ in try gateway.get().bodyText }) == ["bad", "good"])
        let check = try #require(bad.requests.first { $0.line.contains("healthz") })
        #expect(check.line == "GET /healthz?deep HTTP/1.1")
        #expect(check.values("host") == ["orders.internal"])

        state.now = fault
        #expect(gateway.eventually { !$0.snapshot.servers[0].isHealthy })
        #expect(try Set((0..<4).map { _ in try gateway.get().bodyText }) == ["good"])
        #expect(gateway.log.filter { $0.contains("orders (127.0.0.1:\(bad.port)) is unhealthy") }.count == 1, "\(gateway.log)")
        state.now = "good"
        #expect(gateway.eventually { $0.snapshot.servers[0].isHealthy })
        #expect(gateway.eventually { $0.log.contains { $0.contains("orders (127.0.0.1:\(bad.port)) is healthy again") } })
        #expect(try Set((0..<4).map { _ in try gateway.get().bodyText }) == ["bad", "good"])
        #expect(gateway.snapshot.servers[0].healthTransitions == 2)
        #expect(gateway.snapshot.servers[0].failedChecks >= 2)
        #expect(gateway.snapshot.servers[1].healthTransitions == 0)
        // A kept connection serves more than one check.
        #expect(good.connections < gateway.snapshot.servers[1].checks)
    }

    @Test func aReloadKeepsWhatIsKnownAndEndsWhatIsGone() throws {
        let state = Switch()
        state.now = "busy"
        let (bad, good) = (try server(state, "bad"), try server(Switch(), "good"))
        var upstream = UpstreamConfiguration(ports: [bad.port, good.port])
        upstream.health = health { ($0.method, $0.unhealthyAfter) = ("HEAD", 1) }
        let gateway = try TestGateway(upstream)
        #expect(gateway.eventually { !$0.snapshot.servers[0].isHealthy })
        let before = gateway.snapshot.servers[0].checks
        var changed = TestGateway.configuration([upstream])
        changed.timeouts.drainNs = 5_000_000_000
        changed.listeners[0].address = .ipv4([127, 0, 0, 1], port: try #require(gateway.endpoint.port))
        _ = try gateway.gateway.reload(changed)
        #expect(!gateway.snapshot.servers[0].isHealthy)
        #expect(gateway.eventually { $0.snapshot.servers[0].checks > before })
        #expect(bad.requests.allSatisfy { $0.line.hasPrefix("HEAD ") })

        // Another configuration with the same servers begins with what is known of them.
        let failed = gateway.log.filter { $0.contains("is unhealthy") }.count
        changed.upstreams[0].health?.healthyAfter = 3
        _ = try gateway.gateway.reload(changed)
        #expect(gateway.eventually { $0.snapshot.servers[0].checks > 2 })
        #expect(!gateway.snapshot.servers[0].isHealthy)
        #expect(gateway.log.filter { $0.contains("is unhealthy") }.count == failed)
        state.now = "good"
        #expect(gateway.eventually { $0.snapshot.servers[0].isHealthy })

        let old = gateway.gateway.upstreams[0]
        changed.upstreams[0].health = nil
        _ = try gateway.gateway.reload(changed)
        #expect(gateway.snapshot.servers[0].isHealthy)
        usleep(20_000)
        let asked = old.snapshot().servers[0].checks
        usleep(20_000)
        #expect(old.snapshot().servers[0].checks == asked)
    }

    /// A check that waits for a server that hangs does not hold up the end.
    @Test func stopsAtOnce() throws {
        let state = Switch()
        state.now = "hung"
        let server = try server(state, "x")
        var upstream = UpstreamConfiguration(ports: [server.port])
        upstream.health = health { $0.timeoutNs = 600_000_000_000 }
        let began = MonotonicClock.now
        do {
            let gateway = try TestGateway(upstream)
            #expect(gateway.eventually { _ in !server.requests.isEmpty })
        }
        #expect(MonotonicClock.now - began < 4_000_000_000)
    }

    /// A reload gives requests to a server that it removes `drain`, and those to servers that stay as long as they take.
    @Test func removedServersAreDrained() throws {
        let slow: RecordingServer.Script = { request, _ in
            request.line.contains("/begun")
                ? [.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + String(repeating: "x", count: 50_000)), .hang] : request.line.contains("/hung") ? [.hang] : [.answer()]
        }
        let (removed, stays) = (try RecordingServer(slow), try RecordingServer(slow))
        var upstream = UpstreamConfiguration(ports: [removed.port, stays.port])
        upstream.drainNs = 30_000_000
        let gateway = try TestGateway(upstream)
        var clients: [(client: RawClient, server: Int)] = []
        for path in ["/hung", "/hung", "/begun", "/begun"] {
            let before = removed.requests.count
            let client = try RawClient(gateway.endpoint)
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let expected = clients.count + 1
            #expect(gateway.eventually { _ in removed.requests.count + stays.requests.count == expected })
            clients.append((client, removed.requests.count > before ? 0 : 1))
        }
        #expect(clients.map(\.server).sorted() == [0, 0, 1, 1])
        upstream.servers.removeFirst()
        var changed = TestGateway.configuration([upstream])
        changed.listeners[0].address = .ipv4([127, 0, 0, 1], port: try #require(gateway.endpoint.port))
        let old = gateway.gateway.upstreams[0]
        _ = try gateway.gateway.reload(changed)
        #expect(try gateway.get().status == 200)
        for (number, entry) in clients.enumerated() where entry.server == 0 {
            if number < 2 { #expect(try entry.client.readFinalResponse().status == 503) } else { #expect(throws: (any Error).self) { try entry.client.readFinalResponse() } }
        }
        #expect(gateway.eventually { _ in old.snapshot().servers[0].active == 0 })
        #expect(old.snapshot().servers[1].active == 2)
        #expect(gateway.log.contains { $0.contains("orders: 2 requests to servers that were removed") }, "\(gateway.log)")
    }

    /// Beyond `max-streams` another connection is made.
    @Test func streamsPerConnectionAreBounded() throws {
        var options = ServerOptions()
        options.loops = .count(1)
        let server = try Server(
            listeners: [Listener("127.0.0.1:0", http2: .only)], options: options,
            application: Application(async: { request, response in
                try await request.loop.sleep(for: .milliseconds(30))
                response.write("\(request.connectionID)")
            })
        ).start()
        defer { server.stop(within: .seconds(5)) }
        var upstream = UpstreamConfiguration(ports: [try #require(server.addresses[0].split(separator: ":").last.flatMap { UInt16($0) })])
        upstream.version = .http2
        upstream.connections.streamsMax = 2
        let gateway = try TestGateway(upstream)
        let clients = try (0..<6).map { _ in
            let client = try RawClient(gateway.endpoint)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        let connections = try clients.map { try $0.readFinalResponse().bodyText }
        #expect(Set(connections).count >= 2)
        #expect(Dictionary(grouping: connections) { $0 }.count <= 3)
    }

    @Test func whoFailsRequestsIsEjected() throws {
        let dead = try RecordingServer { _, _ in [] }
        dead.stop()
        let good = try RecordingServer { _, _ in [.answer(200, "good")] }
        var upstream = UpstreamConfiguration(ports: [dead.port, good.port])
        var outlier = OutlierConfiguration.standard
        (outlier.consecutiveFailures, outlier.ejectNs, outlier.intervalNs) = (3, 60_000_000_000, 5_000_000)
        upstream.outlier = outlier
        let gateway = try TestGateway(upstream)
        // Each finds an answer: by a retry until the server is out, and without one afterwards.
        for _ in 0..<12 { #expect(try gateway.get().bodyText == "good") }
        let snapshot = gateway.snapshot
        #expect(snapshot.servers[0].isEjected && snapshot.servers[0].ejectedForNs > 0)
        #expect(snapshot.servers[0].ejections == 1)
        #expect(snapshot.servers[0].failures(.connect) == 3)
        #expect(snapshot.retries == 3)
        #expect(snapshot.servers[1].requests == 12 && snapshot.servers[1].responses[1] == 12)
        #expect(snapshot.servers.allSatisfy { $0.active == 0 })
        #expect(gateway.log.contains { $0.contains("orders (127.0.0.1:\(dead.port)) is ejected for 60 s: 3 ") }, "\(gateway.log)")
        #expect(gateway.log.filter { $0.contains("connect-failure") }.count == 1, "\(gateway.log)")
    }

    @Test func whoWasEjectedComesBack() throws {
        let state = Switch()
        state.now = "busy"
        let server = try RecordingServer { _, _ in [.answer(state.now == "good" ? 200 : 500)] }
        let other = try RecordingServer { _, _ in [.answer(200)] }
        var upstream = UpstreamConfiguration(ports: [server.port, other.port])
        var outlier = OutlierConfiguration.standard
        (outlier.consecutive5xx, outlier.ejectNs, outlier.intervalNs) = (2, 20_000_000, 5_000_000)
        upstream.outlier = outlier
        let gateway = try TestGateway(upstream)
        for _ in 0..<4 { _ = try gateway.get() }
        #expect(gateway.snapshot.servers[0].ejections == 1)
        state.now = "good"
        #expect(gateway.eventually { $0.log.contains { $0.contains("is used again") } })
        #expect(!gateway.snapshot.servers[0].isEjected)
        #expect(gateway.snapshot.servers[0].responses[4] == 2)
    }
}
