// Async handlers in memory: their jobs are turns of the loop, their timers are on the test's clock.

import Testing
import UringTesting

@Suite struct AsyncTests {
    private static func makeRouter() -> Router {
        var router = Router()
        router.get("/yield") { request, response in
            for _ in 0..<10 { await Task.yield() }
            response.write(request.path)
        }
        router.get("/sleep") { request, response in
            try await ServerLoop.current?.sleep(for: .seconds(5))
            response.write("slept")
        }
        return router
    }

    @Test func answers() throws {
        let test = try TestServer(router: Self.makeRouter())
        #expect(try test.request(.get, "/yield").body == "/yield")
        try test.finish()
    }

    /// The test's thread is not always the same.
    @Test func answersToAsyncTests() async throws {
        let test = try TestServer(router: Self.makeRouter())
        for _ in 0..<10 {
            #expect(try test.request(.get, "/yield").body == "/yield")
            try await Task.sleep(for: .milliseconds(1))
        }
        try test.finish()
    }

    @Test func sleepsOnTheTestsClock() throws {
        let test = try TestServer(router: Self.makeRouter())
        let exchange = try test.start(.get, "/sleep")
        let failure = #expect(throws: TestFailure.self) { try exchange.response() }
        #expect(failure?.description.contains("waits for the handler's answer") == true, "\(String(describing: failure))")
        try test.advance(by: .milliseconds(4999))
        #expect(!exchange.isComplete)
        try test.advance(by: .milliseconds(1))
        #expect(try exchange.response().body == "slept")
        try test.finish()
    }
}
