// What a user of UringTesting does first: whole requests and responses, several on a connection, errors that say what is wrong.

import Testing
import UringTesting

/// What most tests here talk to.
func makeRouter() -> Router {
    var router = Router()
    router.get("/hello/{name}") { request, response in response.json { json in json["hello"] = request.parameter("name") } }
    router.post("/echo") { request, response in
        if let type = request.headers["content-type"] { response.headers["content-type"] = String(type) }
        response.write(request.body)
    }
    router.get("/bye") { request, response in
        response.closeConnection()
        response.write("bye")
    }
    router.get("/large") { request, response in response.write([UInt8](repeating: 0x61, count: 3_000_000)) }
    router.get("/never") { request, response in response.stream { _ in .wait(milliseconds: 1_000_000) } }
    router.get("/peer") { request, response in response.write("\(request.remoteAddress)") }
    router.get("/failing") { request, response in throw Broken() }
    router.get("/refused") { request, response in response.headers.add(dynamicName: "x-injected", "a\r\nb: c") }
    return router
}

struct Broken: Error {}

@Suite struct TestServerTests {
    @Test func answers() throws {
        let test = try TestServer(router: makeRouter())
        let response = try test.request(.get, "/hello/world", headers: ["accept": "application/json"])
        #expect(response.status == .ok)
        #expect(response.headers["Content-Type"] == "application/json")
        #expect(response.body == #"{"hello":"world"}"#)
        #expect(response.headers["date"] == "Sat, 01 Jun 2024 12:00:00 GMT")
        #expect(!response.closesConnection && response.trailers.isEmpty && response.interim.isEmpty)
        try test.finish()
    }

    @Test func handlerAndApplication() throws {
        #expect(try TestServer { request, response in response.write(request.path) }.request(.get, "/a?b").body == "/a")
        let application = Application { request, response in response.status = .noContent }
        #expect(try TestServer(application: application).request(.delete, "/a").status == .noContent)
    }

    @Test func bodies() throws {
        let test = try TestServer(router: makeRouter())
        let response = try test.request(.post, "/echo", headers: ["content-type": "text/plain"], body: "höher")
        #expect(response.body == "höher" && response.headers["content-type"] == "text/plain" && response.headers["content-length"] == "6")
        #expect(try test.request(.post, "/echo", body: [0, 255]).body == [0, 255])
        #expect(try test.request(.post, "/echo", body: "").body == "")
        let large = TestBytes([UInt8](repeating: 7, count: 1_000_000))
        #expect(try test.request(.post, "/echo", body: large).body == large)
        #expect(try test.request(.get, "/large").body.count == 3_000_000)
        try test.finish()
    }

    @Test func headHasNoContent() throws {
        let response = try TestServer(router: makeRouter()).request(.head, "/hello/a")
        #expect(response.status == .ok && response.body.isEmpty && response.headers["content-length"] == "13")
    }

    @Test func optionsHold() throws {
        var options = ServerOptions()
        options.limits.bodyBytes = 10
        options.serverName = "tested"
        let test = try TestServer(router: makeRouter(), options: options)
        #expect(try test.request(.post, "/echo", body: "0123456789").headers["server"] == "tested")
        #expect(try test.request(.post, "/echo", body: "0123456789a").status == .contentTooLarge)
    }

    @Test func routersMistakesAreThrown() {
        var router = Router()
        router.get("no-slash") { request, response in }
        #expect(throws: RouterError.self) { try TestServer(router: router) }
    }

    // MARK: connections

    @Test func keepAliveAndClose() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect(from: "192.0.2.7:4000")
        #expect(try connection.request(.get, "/peer").body == "192.0.2.7:4000")
        #expect(try connection.request(.get, "/hello/a").status == .ok)
        #expect(connection.state == .open)
        let bye = try connection.request(.get, "/bye")
        #expect(bye.closesConnection)
        #expect(connection.state == .closedByServer)
        #expect(throws: TestFailure.self) { try connection.request(.get, "/hello/a") }
        try test.finish()
    }

    @Test func pipelining() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect(window: 4000)
        let exchanges = try ["a", "b", "c"].map { try connection.start(.get, "/hello/\($0)") }
        let large = try connection.start(.get, "/large")
        let last = try connection.start(.post, "/echo", body: .whole("end"))
        #expect(try last.response().body == "end")
        #expect(try large.response().body.count == 3_000_000)
        #expect(try exchanges.map { try $0.response().body } == [#"{"hello":"a"}"#, #"{"hello":"b"}"#, #"{"hello":"c"}"#])
        try test.finish()
    }

    @Test func whatIsBehindACloseIsNotAnswered() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        let bye = try connection.start(.get, "/bye")
        #expect(try bye.response().body == "bye")
        let failure = #expect(throws: TestFailure.self) { try connection.start(.get, "/hello/a").response() }
        #expect(failure?.description.contains("GET /hello/a cannot be sent: the connection is closedByServer") == true)
    }

    // MARK: what goes wrong

    @Test func reports() throws {
        let test = try TestServer(router: makeRouter())
        #expect(test.reports.isEmpty)
        #expect(try test.request(.get, "/failing").status == .internalServerError)
        guard case .handlerFailed("/failing", let error) = try #require(test.reports.first) else {
            Issue.record("\(test.reports)")
            return
        }
        #expect(error is Broken)
        test.clearReports()
        #expect(try test.request(.get, "/refused").headers["x-injected"] == nil)
        #expect(test.reports.map(\.description) == ["a response field of /refused was refused: its value contains CR, LF or NUL"])
    }

    @Test func theApplicationsReporterHearsToo() throws {
        final class Reporter: ServerReporter, @unchecked Sendable {
            var heard = 0
            func stalled(_ stall: LoopStall) {}
            func handlerFailed(_ route: String, _ error: any Error) { heard += 1 }
            func fieldRefused(_ route: String) {}
            func lengthMismatch() {}
        }
        let reporter = Reporter()
        var application = Application { request, response in throw Broken() }
        application.reporter = reporter
        let test = TestServer(application: application)
        try test.request(.get, "/")
        #expect(reporter.heard == 1 && test.reports.count == 1)
    }

    /// A response that does not come is an error that says what the server waits for.
    @Test func silenceIsExplained() throws {
        let test = try TestServer(router: makeRouter())
        let failure = #expect(throws: TestFailure.self) { try test.request(.get, "/never") }
        let text = failure?.description ?? ""
        #expect(text.contains("the response to GET /never is not complete") && text.contains("waits for ExchangeHandle.resume(), or for 1001 s to pass"), "\(text)")
        #expect(text.contains("its timeout: in 31 s") || text.contains("its timeout: in 30000 ms"), "\(text)")
    }

    @Test func callersMistakesAreExplained() throws {
        let test = try TestServer(router: makeRouter())
        for target in ["/a b", "/a\r\nx: y", ""] { #expect(throws: TestFailure.self) { try test.request(.get, target) } }
        #expect(throws: TestFailure.self) { try test.request(.get, "/", headers: ["a b": "c"]) }
        #expect(throws: TestFailure.self) { try test.request(.get, "/", headers: ["a": "b\r\nc: d"]) }
        #expect(throws: TestFailure.self) { try test.request(.other, "/") }
        let upload = try test.start(.post, "/echo", body: .length(3))
        #expect(throws: TestFailure.self) { try upload.send("1234") }
        #expect(throws: TestFailure.self) { try upload.finish() }
        #expect(throws: TestFailure.self) { try upload.connection.start(.get, "/hello/a") }
        try upload.send("123")
        #expect(throws: TestFailure.self) { try upload.send("4") }
        #expect(try upload.response().body == "123")
    }

    @Test func aServerThatHasEndedSaysSo() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        try connection.request(.get, "/hello/a")
        try test.finish()
        #expect(connection.state == .closedByServer)
        #expect(throws: TestFailure.self) { try test.request(.get, "/hello/a") }
    }

    /// Connections outlive the server that they were made by without harm.
    @Test func connectionsMayOutliveTheServer() throws {
        var test: TestServer? = try TestServer(router: makeRouter())
        let exchange = try #require(try test?.start(.get, "/never"))
        test = nil
        let failure = #expect(throws: TestFailure.self) { try exchange.response() }
        #expect(failure?.description.contains("the server has ended") == true)
    }
}
