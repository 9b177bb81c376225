// Surges: what routes do about them, and what the operator is told.

import TestSupport
import Testing
import UringPolicy

@testable import UringGateway

@Suite struct SurgeFilterTests {
    private static func text(_ then: String) -> String {
        """
        surge: { connections-growth: 200%, within: 1m, minimum-connections: 30, then: \(then) }
        routes:
          - { name: extra, match: { path: /extra }, degradable: true, respond: { status: 200 } }
          - { name: core, match: { path: /core }, respond: { status: 200 } }
        """
    }

    private static let second: UInt64 = 1_000_000_000

    @Test func degradableRoutesGiveWayWhileItLasts() throws {
        let gateway = try RunningGateway(Self.text("{ degrade: true }"))
        let surge = try #require(gateway.gateway.surge)
        #expect(try gateway.ask("/extra").status == 200)
        surge.sample(10, now: Self.second)
        #expect(!surge.isSurging)
        surge.sample(31, now: 2 * Self.second)
        #expect(surge.isSurging)
        let refused = try gateway.ask("/extra")
        #expect(refused.status == 503 && refused.value("content-type") == "application/problem+json" && refused.value("retry-after") == "10")
        #expect(try gateway.ask("/core").status == 200)
        surge.sample(10, now: 3 * Self.second)
        surge.sample(10, now: 70 * Self.second)
        #expect(!surge.isSurging)
        #expect(try gateway.ask("/extra").status == 200)
    }

    @Test func itsRateLimitHoldsForAllRoutes() throws {
        let text = Self.text("{ degrade: false, rate-limit: { key: address, rate: 1/h, burst: 1 } }")
        let gateway = try RunningGateway(text)
        for _ in 0..<3 { #expect(try gateway.ask("/core").status == 200) }
        gateway.gateway.surge?.sample(10, now: Self.second)
        gateway.gateway.surge?.sample(1000, now: 2 * Self.second)
        #expect(try gateway.ask("/core").status == 200)
        #expect(try gateway.ask("/extra").status == 429)
        // The same configuration goes on where it was; without it the surge is over.
        try gateway.reload(text)
        #expect(try gateway.ask("/core").status == 429)
        try gateway.reload("routes: [{ name: core, match: { path: /core }, respond: { status: 200 } }]")
        #expect(gateway.gateway.surge == nil)
        #expect(try gateway.ask("/core").status == 200)
    }

    @Test func theOperatorIsTold() {
        #expect(SurgeControl.text(.began(connections: 900, base: 100)) == "a surge began: 900 connections, where there were 100")
        #expect(SurgeControl.text(.ended(connections: 50, lastedNs: 61 * Self.second, byTime: false)) == "the surge ended after 61 s with 50 connections")
    }
}
