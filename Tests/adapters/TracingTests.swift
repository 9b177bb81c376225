// Spans of requests, by the tracer of swift-distributed-tracing's own test kit.

#if Tracing
import InMemoryTracing
import TestSupport
import Testing
import Tracing
import UringServer
import UringTracing

@Suite struct TracingTests {
    private struct Failure: Error {}

    private func spans(_ requests: String...) async throws -> [FinishedInMemorySpan] {
        let tracer = InMemoryTracer()
        var router = Router()
        router.use(.tracing(tracer))
        router.get("/sync/{id}") { _, response in
            tracer.startAnySpan("inner").end()
            response.write("x")
        }
        router.get("/async") { _, response in
            try await Task.sleep(for: .milliseconds(1))
            tracer.startAnySpan("inner").end()
            response.status = .accepted
        }
        router.get("/fails") { _, _ in throw Failure() }
        router.get("/fails-later") { _, _ in
            try await Task.sleep(for: .milliseconds(1))
            throw HTTPError(.serviceUnavailable)
        }
        router.get("/gone") { _, _ in throw HTTPError(.gone) }
        do {
            let server = try LocalServer(Application(router: router))
            let endpoint = server.endpoint
            for request in requests { _ = try await offTheTask { try endpoint.get(request, "in-memory-trace-id: t", "In-Memory-Span-Id: s", "User-Agent: test/1") } }
        }
        return tracer.finishedSpans
    }

    private func value(_ span: FinishedInMemorySpan, _ name: String) -> SpanAttribute? { span.attributes[name]?.toSpanAttribute() }

    @Test func aSpanForEachRequest() async throws {
        let spans = try await spans("/sync/7?q=1")
        try #require(spans.count == 2, "\(spans.map(\.operationName)) \(spans.map(\.attributes))")
        let (inner, outer) = (spans[0], spans[1])
        #expect(outer.kind == .server && outer.traceID == "t" && outer.parentSpanID == "s" && inner.parentSpanID == outer.spanID)
        #expect(outer.operationName == "GET /sync/{id}")
        #expect(value(outer, "http.request.method") == "GET" && value(outer, "url.path") == "/sync/7" && value(outer, "url.query") == "q=1")
        #expect(value(outer, "http.route") == "/sync/{id}" && value(outer, "http.response.status_code") == 200 && value(outer, "url.scheme") == "http")
        #expect(value(outer, "network.protocol.version") == "1.1" && value(outer, "user_agent.original") == "test/1" && value(outer, "server.address") == "example.com")
        #expect(outer.status == nil && outer.errors.isEmpty)
    }

    @Test func asyncHandlersHaveTheSpanAsTaskLocal() async throws {
        let spans = try await spans("/async")
        try #require(spans.count == 2)
        #expect(spans[0].parentSpanID == spans[1].spanID)
        #expect(value(spans[1], "http.response.status_code") == 202)
    }

    @Test(arguments: [("/fails", 500), ("/fails-later", 503)])
    func failuresAreRecorded(path: String, status: Int) async throws {
        let span = try #require(try await spans(path).first)
        #expect(span.errors.count == 1 && span.status?.code == .error)
        #expect(value(span, "http.response.status_code") == .int64(Int64(status)))
    }

    @Test func whatTheClientDidWrongIsNoError() async throws {
        let span = try #require(try await spans("/gone").first)
        #expect(span.status == nil && value(span, "http.response.status_code") == 410)
    }
}
#endif
