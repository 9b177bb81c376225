// The time that a request of a route has as a whole.

import TestSupport
import Testing

@testable import UringGateway

@Suite struct TimeoutFilterTests {
    private func text(_ port: UInt16) -> String {
        """
        upstreams: { orders: { servers: ["127.0.0.1:\(port)"] } }
        routes: [{ name: orders, match: {}, timeout: 50ms, proxy: { upstream: orders } }]
        """
    }

    @Test func aServerThatSaysNothingIsA504() throws {
        let upstream = try RecordingServer { _, _ in [.hang] }
        let gateway = try RunningGateway(text(upstream.port))
        #expect(try gateway.ask().status == 504)
    }

    @Test func aResponseThatHasBegunIsCut() throws {
        let upstream = try RecordingServer { _, _ in [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), .hang] }
        let gateway = try RunningGateway(text(upstream.port))
        do {
            let response = try gateway.ask()
            Issue.record("a whole response: \(response.bodyText)")
        } catch let error as RawClientError {
            // Cut, not silent until the client gives up.
            #expect(!"\(error)".contains("nothing more came"))
        }
    }

    @Test func whatIsQuickEnoughPasses() throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "ok")] }
        let gateway = try RunningGateway(text(upstream.port))
        #expect(try gateway.ask().bodyText == "ok")
    }

    @Test func otherRoutesHaveNoneYet() {
        var options = ConfigLoadOptions.test
        options.unwired = ConfigSchema.unwired
        let text = "listen: [{ address: 127.0.0.1:8080 }]\nroutes: [{ name: a, match: {}, timeout: 1s, respond: {} }]\n"
        let result = ConfigLoader.load(bytes: Array(text.utf8), file: "test.yaml", directory: "", options)
        #expect(result.configuration == nil && result.render().contains("only routes with `proxy` have one"))
    }
}
