// /metrics: what it says of requests that were served, in both formats, to a real scraper's taste.

import Glibc
import Testing
import TestSupport
@testable import UringGateway
@testable import UringServer

@Suite struct MetricsTests {
    @Test func requestsAreCountedByRouteAndClass() throws {
        let served = try AdminGateway(
            """
            routes:
              - { name: hello, match: { path: /hello }, respond: { body: hello } }
              - { name: odd, match: { path: /odd }, respond: { status: 503, body: no } }
            """)
        for _ in 0..<3 { #expect(try served.get("/hello").status == 200) }
        #expect(try served.get("/odd").status == 503)
        #expect(try served.get("/nothing").status == 404)
        let response = try served.ask("/metrics")
        #expect(response.status == 200)
        #expect(response.value("content-type") == "text/plain; version=0.0.4; charset=utf-8")
        let page = response.bodyText
        #expect(served.sample(#"uringd_http_requests_total{route="hello",code="2xx"}"#, in: page) == 3)
        #expect(served.sample(#"uringd_http_requests_total{route="odd",code="5xx"}"#, in: page) == 1)
        #expect(served.sample(#"uringd_http_requests_total{route="none",code="4xx"}"#, in: page) == 1)
        #expect(served.sample(#"uringd_http_request_duration_seconds_count{route="hello"}"#, in: page) == 3)
        #expect(served.sample(#"uringd_http_request_duration_seconds_bucket{route="hello",le="+Inf"}"#, in: page) == 3)
        #expect((served.sample(#"uringd_http_response_bytes_total{route="hello"}"#, in: page) ?? 0) > 3 * 5)
        #expect(served.sample("uringd_ready", in: page) == 1)
        let loops = (0..<2).compactMap { served.sample("uringd_loop_requests_total{loop=\"\($0)\"}", in: page) }
        #expect(loops.count == 2 && loops.reduce(0, +) == 5)
        #expect((served.sample("process_resident_memory_bytes", in: page) ?? 0) > 1_000_000)
        #expect((served.sample("process_open_fds", in: page) ?? 0) > 3)
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        let start = try #require(served.sample("process_start_time_seconds", in: page))
        #expect(start < Double(now.tv_sec) + 1 && start > Double(now.tv_sec) - 86_400)
    }

    /// A reload makes new routes, and sets no counter back.
    @Test func countersOutliveAReload() throws {
        let served = try AdminGateway("")
        _ = try served.get("/hello")
        served.later.text = "routes: [{ name: hello, match: { path: /hello }, respond: { body: other } }]"
        #expect(try served.ask("/reload", "Content-Length: 0\r\n", method: "POST").status == 200)
        #expect(try served.get("/hello").bodyText == "other")
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample(#"uringd_http_requests_total{route="hello",code="2xx"}"#, in: page) == 2)
        #expect(served.sample(#"uringd_config_reloads_total{result="success"}"#, in: page) == 1)
    }

    @Test func openMetricsIsChosenByAccept() throws {
        let served = try AdminGateway("")
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        let response = try served.ask("/metrics", "Accept: \(prometheus)\r\n")
        #expect(response.value("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(response.bodyText.hasSuffix("# EOF\n"))
        #expect(MetricsAccept.isOpenMetrics("application/openmetrics-text"))
        #expect(!MetricsAccept.isOpenMetrics(""))
        #expect(!MetricsAccept.isOpenMetrics("*/*"))
        #expect(!MetricsAccept.isOpenMetrics("text/plain, application/openmetrics-text;q=0.5"))
        #expect(!MetricsAccept.isOpenMetrics("application/openmetrics-text;version=1.0.0;q=0"))
        #expect(!MetricsAccept.isOpenMetrics("application/openmetrics-text; version=2.0.0"))
        #expect(MetricsAccept.isOpenMetrics("Application/OpenMetrics-Text; version=1.0.0 ; q=0.3 , text/*;q=0.2"))
    }

    /// As Prometheus asks with native histograms; bytes are looked at by ProtobufFamilyTests, and by a Prometheus in Tests/Operability.
    @Test func protobufIsForWhoNamesIt() throws {
        let served = try AdminGateway("")
        _ = try served.get("/hello")
        let type = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
        let response = try served.ask("/metrics", "Accept: \(type),application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n")
        #expect(response.status == 200 && response.value("content-type") == "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
        // The first family: its length, then its name.
        #expect(response.body.count > 1000 && Array(response.body.dropFirst(1).prefix(19)) == [0x0a, 17] + Array("uringd_build_info".utf8))
        for accept in ["*/*", "application/*", "application/vnd.google.protobuf", "\(type);q=0", "\(type);q=0.5,text/plain", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text"] {
            let other = try served.ask("/metrics", "Accept: \(accept)\r\n")
            #expect(other.value("content-type")?.hasPrefix("text/plain") == true, "\(accept)")
        }
    }

    /// Every family is on the page for operators.
    @Test func everyNameIsDocumented() throws {
        let served = try AdminGateway(
            """
            access-log: { path: access.log }
            surge: { connections-growth: 200%, within: 1m, then: { rate-limit: { key: address, rate: 10/s } } }
            upstreams: { orders: { servers: ["127.0.0.1:1"] } }
            routes:
              - { name: keys, match: { path: /keys }, jwt: { keys: "http://127.0.0.1:1/jwks.json" }, respond: {} }
              - { name: orders, match: { path: /* }, breaker: { error-rate: 5%, over: 2m }, compression: {}, proxy: { upstream: orders } }
            """)
        #expect(try served.get("/keys", "Authorization: Bearer a.b.c\r\n").status == 503)
        served.gateway.reporter.stalls.add("orders", nanoseconds: 1_500_000_000, nowMs: 1)
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample("uringd_route_stall_seconds_total{route=\"orders\"}", in: page) == 1.5)
        #expect(served.sample("uringd_breaker_state{group=\"orders\",state=\"closed\"}", in: page) == 1)
        #expect(served.sample("uringd_breaker_state{group=\"orders\",state=\"open\"}", in: page) == 0)
        #expect(served.sample("uringd_surge", in: page) == 0)
        let url = "{url=\"http://127.0.0.1:1/jwks.json\"}"
        #expect(served.sample("uringd_jwt_keys\(url)", in: page) == 0 && served.sample("uringd_jwt_keys_missing_total\(url)", in: page) == 1)
        let file = "\(#filePath)".split(separator: "/").dropLast(4).joined(separator: "/")
        let documented = try SystemFiles(root: "").read("/" + file + "/docs/operators/metrics.md")
        let names = page.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map { String($0.split(separator: " ")[2]) }
        #expect(names.count > 50 && Set(names).count == names.count)
        for name in names { #expect(documented.contains("`\(name)`"), "\(name)") }
    }

    @Test(.enabled(if: MetricsTests.hasPromtool, "promtool is not installed"))
    func promtoolFindsNothing() throws {
        let served = try AdminGateway("access-log: { path: access.log }")
        _ = try served.get("/hello")
        let page = try served.ask("/metrics").body
        let (input, output) = (served.file("metrics"), served.file("judgement"))
        let file = unsafe open(input, O_WRONLY | O_CREAT, 0o600)
        #expect(unsafe write(file, page, page.count) == page.count)
        close(file)
        let status = unsafe system("promtool check metrics <\(input) >\(output) 2>&1")
        #expect(status == 0, "\((try? SystemFiles(root: "").read(output)) ?? "")")
    }

    static var hasPromtool: Bool { unsafe system("command -v promtool >/dev/null 2>&1") == 0 }

    // MARK: counting

    @Test func bucketsAreThoseOfTheBounds() {
        for (index, bound) in RouteRow.bounds.enumerated() {
            #expect(RouteRow.bucket(of: bound) == index)
            #expect(RouteRow.bucket(of: bound + 1) == index + 1)
        }
        #expect(RouteRow.bucket(of: 0) == 0)
        #expect(RouteRow.bucket(of: .max) == RouteRow.bounds.count)
    }

    private func record(_ route: String?, _ status: UInt16 = 200, loop: Int = 0, ns: UInt64 = 1) -> ExchangeRecord {
        ExchangeRecord(status: status, bytes: 10, bodyBytes: 5, nanoseconds: ns, time: 0, route: route.map { RouteName(registering: $0) }, loop: loop)
    }

    /// What there are too many of is counted as `other`, and nothing is lost.
    @Test func routesBeyondTheTableAreOther() {
        let meters = RouteMeters(loops: 2)
        for number in 0..<2000 { meters.record(record("route \(number)")) }
        for number in 0..<2000 { meters.record(record("route \(number)", 500)) }
        // A loop that was not started is no reason to trap.
        meters.record(record("x", loop: 2))
        #expect(meters.rows(loop: 1).isEmpty && meters.rows(loop: 2).isEmpty)
        let merged = meters.rows(loop: 0).merged
        #expect(merged.count == 1025)
        let other = merged.first { $0.label == "other" }
        #expect(other?.row.requests == 2 * 976)
        #expect(merged.reduce(0) { $0 + $1.row.requests } == 4000)
    }

    @Test func loopsAreAddedUp() {
        let meters = RouteMeters(loops: 2)
        meters.record(record("a", ns: .max))
        meters.record(record("a", 404, loop: 1, ns: 900_000_000))
        meters.record(record(nil, 99, loop: 1))
        // A configured route of that name and the server's own word for no route are one row.
        meters.record(record("none"))
        let merged = (meters.rows(loop: 0) + meters.rows(loop: 1)).merged
        #expect(merged.map(\.label) == ["a", "none"])
        #expect(merged[0].row.requests == 2 && merged[0].row.requests(class: 4) == 1 && merged[0].row.sumNs == .max)
        #expect(merged[0].row.counts[13] == 1 && merged[0].row.counts[17] == 1)
        #expect(merged[1].row.requests == 2 && merged[1].row.requests(class: 1) == 1)
    }

    @Test func statNamesMayHaveAnything() {
        let stat = ProcessStat("7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 9 0 1234 5678 90 1 2")
        #expect(stat?.cpuTicks == 110 && stat?.threads == 9 && stat?.startTicks == 1234 && stat?.virtualBytes == 5678 && stat?.residentPages == 90)
        #expect(ProcessStat("") == nil && ProcessStat("1 (a) S 1") == nil)
    }
}
