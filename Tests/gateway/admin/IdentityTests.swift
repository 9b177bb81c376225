// Request ids and trace context, and what of them reaches upstreams, clients and the access log. Over the wire.

import Testing
import TestSupport
@testable import UringGateway
@testable import UringServer

@Suite struct IdentityTests {
    private static let routes = """
        routes:
          - { name: hello, match: { path: /hello }, respond: { body: hello } }
          - { name: files, match: { path: "/files/*" }, files: { root: "/" } }
          - { name: proxy, match: { path: /p }, proxy: { upstream: app } }
        """

    private func gateway(_ server: RecordingServer, _ configuration: String) throws -> AdminGateway {
        try AdminGateway(
            """
            \(configuration)
            upstreams: { app: { servers: [{ address: "127.0.0.1:\(server.port)" }] } }
            \(Self.routes)
            """)
    }

    private func isUUID(_ text: String?) -> Bool {
        let parts = (text ?? "").split(separator: "-").map(\.count)
        return parts == [8, 4, 4, 4, 12] && text!.split(separator: "-")[2].first == "7"
    }

    @Test func everyResponseHasAnID() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "up", "X-Request-Id: of-the-upstream")] }
        let served = try gateway(server, "request-id: {}")
        var seen: Set<String> = []
        for path in ["/hello", "/nothing", "/files/none", "/p"] {
            let ids = try served.get(path, "X-Request-Id: mine\r\n").values("x-request-id")
            #expect(ids.count == 1 && isUUID(ids.first), "\(path): \(ids)")
            seen.formUnion(ids)
        }
        #expect(seen.count == 4)
        // What the upstream has been sent is what the client was told.
        let sent = try #require(server.requests.first).values("x-request-id")
        #expect(sent.count == 1 && seen.contains(sent[0]))
    }

    @Test func idsAreTakenOverFromWhomIsBelieved() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "up")] }
        let served = try gateway(server, "trusted-proxies: [127.0.0.0/8]\nrequest-id: { header: X-Correlation-Id }\naccess-log: { path: access.log, flush: 10ms }")
        #expect(try served.get("/p", "X-Correlation-ID: abc-1\r\n").values("x-correlation-id") == ["abc-1"])
        #expect(server.requests[0].values("x-correlation-id") == ["abc-1"])
        #expect(try served.get("/hello", "X-Correlation-ID: abc-2\r\n").values("x-correlation-id") == ["abc-2"])
        // Neither harmful ones nor two at once.
        #expect(isUUID(try served.get("/hello", "X-Correlation-ID: a b\r\n").value("x-correlation-id")))
        let made = try served.get("/p", "X-Correlation-ID: a\r\nX-Correlation-ID: b\r\n").value("x-correlation-id")
        #expect(isUUID(made) && server.requests[1].values("x-correlation-id") == [made ?? ""])
        served.gateway.reopenLogs()
        let log = try SystemFiles(root: "").read(served.file("access.log"))
        #expect(log.contains("\"request_id\":\"abc-1\"") && log.contains("\"request_id\":\"abc-2\"") && log.contains("\"request_id\":\"\(made ?? "?")\""), "\(log)")
    }

    @Test func responsesNeedNotCarryIt() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "up")] }
        let served = try gateway(server, "request-id: { respond: false, trust: all }")
        #expect(try served.get("/p", "X-Request-Id: given\r\n").values("x-request-id") == [])
        #expect(server.requests[0].values("x-request-id") == ["given"])
    }

    @Test func samplesOfTheLogKeepServerErrors() throws {
        let served = try AdminGateway(
            """
            access-log: { path: access.log, sample: 1% }
            routes:
              - { name: hello, match: { path: /hello }, respond: { body: hello } }
              - { name: bad, match: { path: /bad }, respond: { status: 500, body: bad } }
            """)
        for _ in 0..<50 { _ = try served.get("/hello") }
        for _ in 0..<5 { _ = try served.get("/bad") }
        served.gateway.reopenLogs()
        let lines = try SystemFiles(root: "").read(served.file("access.log")).split(separator: "\n")
        #expect(lines.count { $0.contains("\"status\":500") } == 5)
        // 1 % of 50: more than 15 have a chance below 10⁻¹⁵.
        #expect(lines.count { $0.contains("\"status\":200") } < 15)
    }

    // MARK: trace context

    private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    /// Nobody listens where spans are sent.
    private func forwarding(_ trust: String) throws -> (RecordingServer, AdminGateway) {
        let server = try RecordingServer { _, _ in [.answer(200, "up")] }
        let text = "tracing: { endpoint: \"http://127.0.0.1:1/v1/traces\", trust: \(trust), sample: 100% }"
        return (server, try gateway(server, text))
    }

    @Test func tracesGoOnWhereTheyAreBelieved() throws {
        let (server, served) = try forwarding("all")
        _ = try served.get("/p", "Traceparent: \(Self.parent)\r\nTracestate: a=1\r\ntracestate: b=2\r\n")
        _ = try served.get("/p", "Traceparent: nonsense\r\nTracestate: a=1\r\n")
        _ = try served.get("/p", "Traceparent: \(Self.parent)\r\nTracestate: a==\r\n")
        _ = try served.get("/p", "Traceparent: \(Self.parent)\r\nTraceparent: \(Self.parent)\r\n")
        _ = try served.get("/p")
        let sent = server.requests.map { ($0.values("traceparent"), $0.values("tracestate")) }
        #expect(sent.allSatisfy { $0.0.count == 1 && $0.0[0].count == 55 && $0.0[0] != Self.parent })
        #expect(sent[0].0[0].hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent[0].0[0].hasSuffix("-01") && sent[0].1 == ["a=1", "b=2"])
        #expect(!sent[1].0[0].contains("4bf92f35") && sent[1].1 == [])
        #expect(sent[2].0[0].contains("4bf92f35") && sent[2].1 == [])
        #expect(!sent[3].0[0].contains("4bf92f35"))
        #expect(Set(sent.map { $0.0[0] }).count == 5)
    }

    @Test func tracesOfStrangersEndHere() throws {
        let (server, served) = try forwarding("none")
        _ = try served.get("/p", "Traceparent: \(Self.parent)\r\nTracestate: a=1\r\n")
        #expect(server.requests[0].values("traceparent").first?.contains("4bf92f35") == false)
        #expect(server.requests[0].values("tracestate") == [])
    }
}
