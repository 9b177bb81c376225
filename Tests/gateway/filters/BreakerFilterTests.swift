// Breakers of routes over the wire: what trips them, what clients get meanwhile, and what is said of it.

import TestSupport
import Testing
import UringPolicy

@testable import UringGateway

@Suite struct BreakerFilterTests {
    private func text(_ port: UInt16, _ breaker: String, more: String = "") -> String {
        """
        upstreams: { orders: { servers: ["127.0.0.1:\(port)"] } }
        routes:
          - { name: orders, match: { path: /orders }, breaker: \(breaker), proxy: { upstream: orders } }
        \(more)
        """
    }

    @Test func failuresInARowOpenIt() throws {
        let upstream = try RecordingServer { _, _ in [.answer(500, "broken")] }
        let gateway = try RunningGateway(text(upstream.port, "{ consecutive-failures: 3, answer: { status: 503, json: { error: unavailable } } }"))
        for _ in 0..<3 { #expect(try gateway.ask("/orders").status == 500) }
        let refused = try gateway.ask("/orders")
        #expect(refused.status == 503 && refused.bodyText == "{\"error\":\"unavailable\"}")
        // Times of a breaker are rounded up.
        #expect(["30", "31"].contains(refused.value("retry-after")))
        #expect(upstream.requests.count == 3)
    }

    @Test func goodResponsesKeepItClosed() throws {
        let upstream = try RecordingServer { _, number in [.answer(number % 2 == 0 ? 500 : 200, "")] }
        let gateway = try RunningGateway(text(upstream.port, "{ consecutive-failures: 2 }"))
        for _ in 0..<6 { _ = try gateway.ask("/orders") }
        #expect(upstream.requests.count == 6)
    }

    @Test func anUpstreamThatIsNotThereIsAFailureAndAnotherRouteAnswers() throws {
        let gateway = try RunningGateway(
            text(1, "{ consecutive-failures: 1, group: g, answer: { fallback-route: cached } }", more: """
                  - { name: other, match: { path: /other }, breaker: { group: g }, respond: { status: 200, body: "other" } }
                  - { name: cached, match: { path: /cached }, respond: { status: 200, body: "cached" } }
                """))
        #expect(try gateway.ask("/other").bodyText == "other")
        #expect(try gateway.ask("/orders").status == 502)
        #expect(try gateway.ask("/orders").bodyText == "cached")
        // Routes of one group have one breaker, and answers of their own.
        #expect(try gateway.ask("/other").status == 503)
    }

    @Test func aDryRunLetsEverythingThrough() throws {
        let upstream = try RecordingServer { _, _ in [.answer(500, "")] }
        let gateway = try RunningGateway(text(upstream.port, "{ consecutive-failures: 1, dry-run: true }"))
        for _ in 0..<3 { #expect(try gateway.ask("/orders").status == 500) }
        #expect(upstream.requests.count == 3)
    }

    @Test func aReloadKeepsTheStateOfABreakerThatIsTheSame() throws {
        let upstream = try RecordingServer { _, _ in [.answer(500, "")] }
        let same = text(upstream.port, "{ consecutive-failures: 1 }")
        let gateway = try RunningGateway(same)
        #expect(try gateway.ask("/orders").status == 500)
        try gateway.reload(same)
        #expect(try gateway.ask("/orders").status == 503)
        try gateway.reload(text(upstream.port, "{ consecutive-failures: 2 }"))
        #expect(try gateway.ask("/orders").status == 500)
    }

    @Test func eventsAreToldWithTheirFigures() throws {
        let configuration = try RunningGateway.configuration(text(1, "{ error-rate: 0.01%, latency-p95: 800ms, half-open-requests: 1000, dry-run: true }"))
        let policy = try #require(configuration.routes[0].filters.breaker?.policy)
        let settings = BreakerSettings(policy)
        #expect(settings.errorPermille == 1 && settings.latencyNs == 800_000_000 && settings.trials == 127 && settings.successes == 127)
        let event = BreakerEvent.opened(.errorRate(failures: 6, requests: 40), until: 31_000_000_000, openings: 2)
        #expect(
            SharedBreaker.text(event, "orders", policy, 1_000_000_000)
                == "the breaker orders opened for 30000 ms, opening 2 in a row: 6 of 40 requests of the window failed (dry run: requests go on)")
    }
}
