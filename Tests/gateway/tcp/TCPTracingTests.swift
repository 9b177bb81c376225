// The TCP tracer of a gateway: attached where it may be, a sample in its place where not, and what is said of either.

import TestSupport
import Testing
import UringBase
import UringServer
import UringTCPTrace

@testable import UringGateway

@Suite struct TCPTracingTests {
    private static var isPermitted: Bool {
        var groups = ControlGroups(files: .live)
        return groups.unified(process: "self").flatMap { try? TCPTracer(cgroup: $0) } != nil
    }

    @Test func withoutRightsItFallsBackAndSaysSo() throws {
        let log = OperationalLog(level: .critical)
        let lines = Lines()
        let loud = OperationalLog(level: .info) { lines.append($0) }
        let refused = TCPTracing.start(loud, attach: { _ throws(TCPTracerFailure) in try TCPTracer(cgroup: "/nowhere/at/all") })
        #expect(refused.source == "tcp_info" && refused.trace == nil)
        #expect(lines.text.contains("admin.tcp-tracer: ") && lines.text.contains("TCP_INFO of a sample of connections instead"))
        let nowhere = TCPTracing.start(log, groups: ControlGroups(files: SystemFiles(root: "/nowhere")))
        guard case .sampling(let reason) = nowhere else {
            Issue.record("attached to nothing")
            return
        }
        #expect(reason.contains("no cgroup of version 2"))
    }

    private final class Lines: Sendable {
        private let state = Locked("")
        func append(_ line: String) { state.withLock { $0 += line + "\n" } }
        var text: String { state.withLock { $0 } }
    }

    @Test func metricsTellWhereRoundTripsComeFrom() throws {
        let served = try AdminGateway("")
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample("uringd_tcp_tracer{source=\"off\"}", in: page) == 1 && served.sample("uringd_tcp_tracer{source=\"ebpf\"}", in: page) == 0)
        #expect(!page.contains("uringd_tcp_retransmits_total"))
    }

    @Test(.enabled(if: TCPTracingTests.isPermitted, "no CAP_BPF and CAP_NET_ADMIN, or no cgroup2"))
    func connectionsAreCountedByPort() throws {
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", tcp-tracer: on }")
        for _ in 0..<3 { #expect(try served.get("/hello", "Connection: close\r\n").status == 200) }
        let port = try #require(served.main.port)
        let page = try served.ask("/metrics").bodyText
        let labels = "{side=\"server\",port=\"\(port)\"}"
        #expect(served.sample("uringd_tcp_tracer{source=\"ebpf\"}", in: page) == 1)
        #expect(served.sample("uringd_tcp_connections_begun_total\(labels)", in: page) == 3)
        #expect(served.sample("uringd_tcp_connections_established_total\(labels)", in: page) == 3)
        #expect(try #require(served.sample("uringd_tcp_round_trip_seconds_count\(labels)", in: page)) >= 3)
        #expect(served.sample("uringd_tcp_counts_lost_total", in: page) == 0)
        // Off again by a reload.
        served.later.text = "admin: { address: \"\(served.gateway.configuration.admin.map { "\($0.address)" } ?? "")\" }"
        #expect(try served.ask("/reload", "Content-Length: 0\r\n", method: "POST").status == 200)
        #expect(served.gateway.tracing.source == "off")
    }
}
