// Spans of requests as a collector gets them: a gateway, servers behind it, and a recording server for the collector, whose bodies are decoded here. The protocol's own definitions read them in
// Tests/Tracing/run.

import Glibc
import TestSupport
import Testing
import UringBase

@testable import UringGateway
@testable import UringServer

/// A field of protobuf: its number, and what it holds.
private struct Field {
    let number: UInt64
    var value: UInt64 = 0
    var bytes: [UInt8] = []

    static func all(_ message: [UInt8]) -> [Field] {
        var (rest, fields): (ArraySlice<UInt8>, [Field]) = (message[...], [])
        func varint() -> UInt64 {
            var (value, shift): (UInt64, UInt64) = (0, 0)
            while let byte = rest.popFirst() {
                value |= UInt64(byte & 127) << shift
                shift += 7
                if byte < 128 || shift > 63 { break }
            }
            return value
        }
        func fixed(_ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(rest.popFirst() ?? 0) << UInt64(8 * $1) } }
        while !rest.isEmpty {
            let tag = varint()
            var field = Field(number: tag >> 3)
            switch tag & 7 {
            case 0: field.value = varint()
            case 1: field.value = fixed(8)
            case 5: field.value = fixed(4)
            default:
                let count = min(Int(varint()), rest.count)
                field.bytes = Array(rest.prefix(count))
                rest = rest.dropFirst(count)
            }
            fields.append(field)
        }
        return fields
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
    var hex: String { bytes.map { let text = String($0, radix: 16); return text.count == 1 ? "0" + text : text }.joined() }
}

private struct Span {
    var (trace, id, parent, name) = ("", "", "", "")
    var (kind, start, end, status): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var attributes: [String: String] = [:]

    init(_ message: [UInt8]) {
        for field in Field.all(message) {
            switch field.number {
            case 1: trace = field.hex
            case 2: id = field.hex
            case 4: parent = field.hex
            case 5: name = field.text
            case 6: kind = field.value
            case 7: start = field.value
            case 8: end = field.value
            case 9:
                let (key, value) = Span.attribute(field.bytes)
                attributes[key] = value
            case 15: status = Field.all(field.bytes).first { $0.number == 3 }?.value ?? 0
            default: break
            }
        }
    }

    static func attribute(_ message: [UInt8]) -> (String, String) {
        let fields = Field.all(message)
        let value = Field.all(fields.first { $0.number == 2 }?.bytes ?? []).first
        return (fields.first { $0.number == 1 }?.text ?? "", value.map { $0.number == 1 ? $0.text : "\($0.value)" } ?? "")
    }

    /// Of ExportTraceServiceRequests.
    static func all(_ requests: [RecordedRequest]) -> [Span] {
        let resources: [Field] = requests.flatMap { Field.all($0.body) }
        let scopes: [Field] = resources.flatMap { Field.all($0.bytes) }.filter { $0.number == 2 }
        let spans: [Field] = scopes.flatMap { Field.all($0.bytes) }.filter { $0.number == 2 }
        return spans.map { Span($0.bytes) }
    }
}

@Suite struct SpanExportTests {
    private func configuration(_ collector: RecordingServer, _ ports: [UInt16], _ edit: (inout TracingConfiguration) -> Void = { _ in }) throws -> Configuration {
        var upstream = UpstreamConfiguration(ports: ports)
        upstream.outlier = nil
        var configuration = TestGateway.configuration([upstream]) { $0.retry.reasons = [.connectFailure, .status(503)] }
        configuration.routes[0].match = RouteMatchRule(paths: [try PathPattern.parse("/v1/*").get()])
        var respond = RespondConfiguration(status: 200)
        respond.body = Array("ok".utf8)
        configuration.routes.append(RouteConfiguration(name: "health", match: RouteMatchRule(paths: [try PathPattern.parse("/healthz").get()]), action: .respond(respond)))
        var tracing = TracingConfiguration(
            endpoint: try EndpointURL.parse("http://127.0.0.1:\(collector.port)/v1/traces").get(), sample: .hundred, serviceName: "edge", queue: 64, batch: 64, flushNs: 100_000_000,
            timeoutNs: 5_000_000_000, headers: [SecretHeader(name: "x-token", value: Secret(bytes: Array("secret".utf8)))], trust: .all)
        edit(&tracing)
        configuration.tracing = tracing
        return configuration
    }

    private func start(_ configuration: Configuration, log: @escaping @Sendable (String) -> Void = { _ in }) throws -> (gateway: Gateway, endpoint: Endpoint) {
        let gateway = try Gateway(configuration, log: OperationalLog(level: .info, to: log))
        return (gateway, try #require(gateway.listening.lazy.compactMap { Endpoint(line: $0) }.first))
    }

    private func get(_ endpoint: Endpoint, _ path: String, _ fields: String = "") throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("GET \(path) HTTP/1.1\r\nHost: example.com:8080\r\nConnection: close\r\n\(fields)\r\n")
        return try client.readFinalResponse()
    }

    @Test func aRequestAndItsAttemptsAreSpans() throws {
        let collector = try RecordingServer { _, _ in [.answer(200, "")] }
        let server = try RecordingServer { request, number in [number == 0 ? .answer(503, "later") : .answer(200, "x")] }
        let (gateway, endpoint) = try start(try configuration(collector, [server.port]))
        #expect(try get(endpoint, "/v1/orders/7?secret=1", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nUser-Agent: test\r\n").status == 200)
        #expect(try get(endpoint, "/healthz").status == 200)
        #expect(try get(endpoint, "/none").status == 404)
        // What waits is sent before the end.
        gateway.stop()
        let spans = Span.all(collector.requests)
        let request = try #require(spans.first { $0.name == "GET /v1/*" })
        #expect(request.trace == "0af7651916cd43dd8448eb211c80319c")
        #expect(request.parent == "b7ad6b7169203331")
        #expect(request.kind == 2 && request.status == 0 && request.start <= request.end)
        #expect(request.attributes["http.response.status_code"] == "200")
        #expect(request.attributes["http.route"] == "/v1/*")
        #expect(request.attributes["url.path"] == "/v1/orders/7")
        #expect(request.attributes["server.address"] == "example.com")
        #expect(request.attributes["server.port"] == "8080")
        #expect(request.attributes["user_agent.original"] == "test")
        let attempts = spans.filter { $0.kind == 3 }.sorted { $0.start < $1.start }
        try #require(attempts.count == 2)
        #expect(attempts.allSatisfy { $0.trace == request.trace && $0.parent == request.id && $0.name == "GET" })
        #expect(Set(attempts.map(\.id)).count == 2)
        #expect(attempts.map { $0.attributes["http.response.status_code"] } == ["503", "200"])
        #expect(attempts.map { $0.attributes["http.request.resend_count"] } == [nil, "1"])
        #expect(attempts.map(\.status) == [2, 0])
        #expect(attempts[0].attributes["error.type"] == "503")
        #expect(attempts[0].attributes["url.full"] == "http://127.0.0.1:\(server.port)/v1/orders/7")
        // Each attempt's span is the parent of what the server does.
        #expect(server.requests.map { $0.values("traceparent") } == attempts.map { ["00-\(request.trace)-\($0.id)-01"] })
        #expect(spans.contains { $0.name == "GET /healthz" && $0.parent.isEmpty && $0.attributes["http.response.status_code"] == "200" })
        #expect(spans.contains { $0.name == "GET" && $0.kind == 2 && $0.attributes["http.response.status_code"] == "404" })
        #expect(spans.count == 5)
        let sent = try #require(collector.requests.first)
        #expect(sent.line == "POST /v1/traces HTTP/1.1")
        #expect(sent.values("content-type") == ["application/x-protobuf"])
        #expect(sent.values("x-token") == ["secret"])
        let text = String(decoding: sent.body, as: UTF8.self)
        #expect(text.contains("service.name") && text.contains("edge"))
    }

    /// The client's decision holds; what begins here is drawn by the share.
    @Test func whatIsNotSampledIsNotTold() throws {
        let collector = try RecordingServer { _, _ in [.answer(200, "")] }
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let (gateway, endpoint) = try start(try configuration(collector, [server.port]) { $0.sample = Percentage(hundredths: 0) })
        #expect(try get(endpoint, "/v1/a", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n").status == 200)
        #expect(try get(endpoint, "/v1/b").status == 200)
        #expect(try get(endpoint, "/v1/c", "traceparent: 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n").status == 200)
        gateway.stop()
        let spans = Span.all(collector.requests)
        #expect(spans.count == 2)
        #expect(spans.allSatisfy { $0.trace == "1af7651916cd43dd8448eb211c80319c" })
        let parents = server.requests.map { $0.values("traceparent").first ?? "" }
        #expect(parents[0].hasPrefix("00-0af7651916cd43dd8448eb211c80319c-") && parents[0].hasSuffix("-00"))
        #expect(parents[1].hasSuffix("-02"))
    }

    @Test func aServerThatIsDownIsAnErrorOfItsAttempt() throws {
        let collector = try RecordingServer { _, _ in [.answer(200, "")] }
        let dead = try RecordingServer { _, _ in [] }.port
        let (gateway, endpoint) = try start(try configuration(collector, [dead]))
        #expect(try get(endpoint, "/v1/a").status == 502)
        gateway.stop()
        let spans = Span.all(collector.requests)
        let attempts = spans.filter { $0.kind == 3 }
        #expect(attempts.count == 2)
        #expect(attempts.allSatisfy { $0.status == 2 && $0.attributes["error.type"] == "connect-failure" && $0.attributes["http.response.status_code"] == nil })
        #expect(spans.contains { $0.kind == 2 && $0.status == 2 && $0.attributes["error.type"] == "502" })
    }

    /// The collector hangs: requests are answered all the same, what has no room is counted, and the end waits no longer than the collector may take.
    @Test func aQueueThatIsFullDropsAndCounts() throws {
        let collector = try RecordingServer { _, _ in [.hang] }
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let (gateway, endpoint) = try start(try configuration(collector, [server.port]) { ($0.batch, $0.timeoutNs) = (1, 200_000_000) })
        for _ in 0..<100 { #expect(try get(endpoint, "/healthz").status == 200) }
        #expect(gateway.figures().spans.map { $0.dropped(.queueFull) > 0 && $0.exported == 0 } == true)
        gateway.stop()
        let figures = try #require(gateway.current.tracing?.spans.export.figures)
        #expect(figures.exported == 0 && figures.waiting == 0 && figures.dropped(.stopped) > 0)
        #expect(figures.dropped.reduce(0) { $0 + $1.count } == 100)
    }

    /// 503 is tried again, when the collector says so; 400 is not.
    @Test func aCollectorThatRefusesIsNotAskedAgain() throws {
        let collector = try RecordingServer { _, number in [number == 0 ? .answer(503, "", "Retry-After: 0") : .answer(number == 1 ? 200 : 400, "bad")] }
        let (gateway, endpoint) = try start(try configuration(collector, [1]) { $0.batch = 1 })
        defer { gateway.stop() }
        #expect(try get(endpoint, "/healthz").status == 200)
        #expect(try get(endpoint, "/healthz").status == 200)
        let figures = try settled(gateway) { $0.exported + $0.dropped(.refused) == 2 }
        #expect(figures.exported == 1 && figures.dropped(.refused) == 1 && figures.exportsFailed == 2 && figures.waiting == 0)
        #expect(collector.requests.count == 3)
        #expect(collector.requests[0].body == collector.requests[1].body)
    }

    /// A date an hour ahead: nobody comes back before it, and new spans do not change that.
    @Test func retryAfterIsHeeded() throws {
        let date = "Sun, 06 Nov 2094 08:49:37 GMT"
        let collector = try RecordingServer { _, _ in [.answer(429, "", "Retry-After: \(date)")] }
        let (gateway, endpoint) = try start(try configuration(collector, [1]) { $0.batch = 1 })
        #expect(try get(endpoint, "/healthz").status == 200)
        _ = try settled(gateway) { $0.exportsFailed == 1 }
        for _ in 0..<5 { #expect(try get(endpoint, "/healthz").status == 200) }
        let figures = try #require(gateway.figures().spans)
        #expect(figures.exportsFailed == 1 && figures.waiting == 6)
        // The end shortens it: each is tried once more.
        gateway.stop()
        #expect(gateway.current.tracing?.spans.export.figures.dropped(.stopped) == 6)
        #expect((2...8).contains(collector.requests.count))
    }

    @Test func aPartialSuccessIsCounted() throws {
        // ExportTracePartialSuccess: one span rejected, "no".
        let collector = try RecordingServer { _, _ in [.sendBytes(Array("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n".utf8) + [0x0a, 6, 0x08, 1, 0x12, 2, 0x6e, 0x6f])] }
        let lines = Locked<[String]>([])
        let (gateway, endpoint) = try start(try configuration(collector, [1]) { ($0.batch, $0.flushNs) = (64, 600_000_000_000) }, log: { line in lines.withLock { $0.append(line) } })
        #expect(try get(endpoint, "/healthz").status == 200)
        #expect(try get(endpoint, "/healthz").status == 200)
        // Nothing leaves before its time.
        #expect(collector.requests.isEmpty)
        gateway.stop()
        let figures = try #require(gateway.current.tracing?.spans.export.figures)
        #expect(figures.exported == 1 && figures.dropped(.refused) == 1 && figures.exportsFailed == 0)
        #expect(lines.withLock { $0.contains { $0.contains("has refused 1 spans: no") } })
    }

    /// Counters go on, and what waited for the old collector still gets there.
    @Test func aReloadGoesToAnotherCollector() throws {
        let (first, second) = (try RecordingServer { _, _ in [.answer(200, "")] }, try RecordingServer { _, _ in [.answer(200, "")] })
        let (gateway, endpoint) = try start(try configuration(first, [1]) { $0.flushNs = 600_000_000_000 })
        #expect(try get(endpoint, "/healthz").status == 200)
        _ = try gateway.reload(try configuration(second, [1]) { $0.batch = 1 })
        #expect(try get(endpoint, "/healthz").status == 200)
        let figures = try settled(gateway) { $0.exported == 2 }
        #expect(figures.exported == 2)
        #expect(figures.dropped.allSatisfy { $0.count == 0 })
        #expect(first.requests.count == 1 && second.requests.count == 1)
        // And to none.
        var none = try configuration(second, [1])
        none.tracing = nil
        _ = try gateway.reload(none)
        #expect(try get(endpoint, "/healthz").status == 200)
        gateway.stop()
        #expect(gateway.figures().spans == nil && second.requests.count == 1)
    }

    @Test func theAccessLogHasTheTrace() throws {
        let collector = try RecordingServer { _, _ in [.answer(200, "")] }
        let served = try AdminGateway("access-log: { path: access.log, flush: 10ms }\ntracing: { endpoint: \"http://127.0.0.1:\(collector.port)/v1/traces\", sample: 0 }")
        #expect(try served.get("/hello", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n").status == 200)
        #expect(try served.get("/nothing").status == 404)
        served.gateway.reopenLogs()
        let lines = try SystemFiles(root: "").read(served.file("access.log")).split(separator: "\n")
        #expect(lines.contains { $0.contains(#""status":200"#) && $0.contains(#""trace_id":"0af7651916cd43dd8448eb211c80319c""#) })
        #expect(lines.contains { $0.contains(#""status":404"#) && $0.contains(#""trace_id":""#) })
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample("uringd_spans_exported_total", in: page) == 0 && served.sample("uringd_spans_waiting", in: page) == 0)
        #expect(served.sample(#"uringd_spans_dropped_total{reason="queue-full"}"#, in: page) == 0 && served.sample("uringd_span_exports_failed_total", in: page) == 0)
    }

    @Test func whenToComeBack() {
        let now: UInt64 = 1_700_000_000_000_000_000
        #expect(RetryAfter.ns("0", now: now) == 0 && RetryAfter.ns("120", now: now) == 120_000_000_000)
        #expect(RetryAfter.ns("99999999999", now: now) == .max && RetryAfter.ns("9999999999", now: now) == 9_999_999_999_000_000_000)
        #expect(RetryAfter.ns("Tue, 14 Nov 2023 22:13:30 GMT", now: now) == 10_000_000_000)
        #expect(RetryAfter.ns("Tue, 14 Nov 2023 22:13:10 GMT", now: now) == 0)
        for text in ["", "-1", "1.5", "soon", "1 ", String(repeating: "1", count: 100)] { #expect(RetryAfter.ns(text, now: now) == nil) }
    }

    private func settled(_ gateway: Gateway, _ isThere: (SpanFigures) -> Bool) throws -> SpanFigures {
        var figures = SpanFigures()
        // Ten seconds at most, on a machine that is busy.
        for _ in 0..<10_000 {
            figures = try #require(gateway.figures().spans)
            if isThere(figures) { break }
            usleep(1000)
        }
        return figures
    }
}

extension SpanFigures {
    fileprivate func dropped(_ loss: SpanLoss) -> UInt64 { dropped.first { $0.reason == loss.word }?.count ?? 0 }
}
