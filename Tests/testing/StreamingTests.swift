// Bodies and responses piece by piece, and the clock that the test moves.

import Synchronization
import Testing
import UringTesting

/// Left by a handler for the test. One thread.
private final class Shared: @unchecked Sendable {
    var handle: ExchangeHandle?
    var pieces: [Int] = []
    var isOpen = false
    var alive = 0
}

/// Counts as long as somebody holds it.
private final class Token {
    let shared: Shared
    init(_ shared: Shared) {
        self.shared = shared
        shared.alive += 1
    }
    deinit { shared.alive -= 1 }
}

@Suite struct StreamingTests {
    private static func ticker(_ shared: Shared = Shared()) -> Handler {
        { request, response in
            response.headers["content-type"] = "text/event-stream"
            response.disableTimeout()
            let token = Token(shared)
            var tick = 0
            response.stream { writer in
                tick += 1
                withExtendedLifetime(token) { writer.write("data: \(tick)\n\n") }
                return .wait(milliseconds: 1000)
            }
        }
    }

    @Test func eventsComeWithTime() throws {
        let test = TestServer(handler: Self.ticker())
        let events = try test.start(.get, "/events")
        #expect(events.status == .ok && events.headers["content-type"] == "text/event-stream")
        #expect(try events.read() == "data: 1\n\n")
        #expect(try events.read() == "")
        try test.advance(by: .milliseconds(999))
        #expect(try events.read() == "")
        try test.advance(by: .milliseconds(1))
        #expect(try events.read() == "data: 2\n\n")
        try test.advance(by: .seconds(3))
        #expect(try events.read() == "data: 3\n\ndata: 4\n\ndata: 5\n\n")
        #expect(!events.isComplete && test.elapsed >= .seconds(4) && test.elapsed < .milliseconds(4001))
        try test.advance(by: .seconds(3600))
        #expect(try events.read().count(where: { $0 == 10 }) == 7200)
    }

    /// A client that goes away takes its producer along.
    @Test(arguments: [true, false]) func clientsThatLeave(_ resets: Bool) throws {
        let shared = Shared()
        let test = TestServer(handler: Self.ticker(shared))
        let events = try test.start(.get, "/events")
        #expect(shared.alive == 1)
        if resets { events.connection.reset() } else { events.connection.close() }
        try test.advance(by: .seconds(3))
        #expect(shared.alive == 0)
        #expect(events.connection.state == (resets ? .reset : .closedByClient))
        try test.finish()
    }

    @Test func resumedByHandle() throws {
        let shared = Shared()
        let test = TestServer { request, response in
            shared.handle = response.exchange
            response.stream { writer in
                guard shared.isOpen else { return .wait(milliseconds: 10_000) }
                writer.write("now")
                return .end
            }
        }
        let exchange = try test.start(.get, "/")
        shared.handle?.resume()
        try test.settle()
        #expect(!exchange.isComplete)
        shared.isOpen = true
        shared.handle?.resume()
        #expect(try exchange.response().body == "now")
        // After its end it does nothing.
        shared.handle?.resume()
        try test.settle()
        try test.finish()
    }

    /// What another thread has of an exchange.
    private final class Door: Sendable {
        private let handle = Mutex<ExchangeHandle?>(nil)
        private let opened = Atomic(false)
        var isOpen: Bool { opened.load(ordering: .acquiring) }
        func wait(_ exchange: ExchangeHandle) {
            opened.store(false, ordering: .releasing)
            handle.withLock { $0 = exchange }
        }
        func open() {
            opened.store(true, ordering: .releasing)
            handle.withLock { $0 }?.resume()
        }
    }

    @Test func resumedByAnotherThread() async throws {
        let door = Door()
        let test = TestServer { request, response in
            door.wait(response.exchange)
            response.stream { writer in
                guard door.isOpen else { return .wait(milliseconds: 10_000) }
                writer.write("now")
                return .end
            }
        }
        let exchange = try test.start(.get, "/")
        await Task.detached { door.open() }.value
        #expect(try exchange.response().body == "now")

        let second = try exchange.connection.start(.get, "/")
        let opening = Task.detached { door.open() }
        test.threadPatience = .seconds(30)
        #expect(try second.response().body == "now")
        await opening.value
    }

    @Test func timeWithinARequest() throws {
        let test = TestServer { request, response in
            var left = 3
            response.stream { writer in
                left -= 1
                writer.write("\(left)")
                return left == 0 ? .end : .wait(milliseconds: 500)
            }
        }
        #expect(throws: TestFailure.self) { try test.request(.get, "/") }
        #expect(throws: TestFailure.self) { try test.request(.get, "/", within: .milliseconds(600)) }
        let before = test.elapsed
        #expect(try test.request(.get, "/", within: .seconds(60)).body == "210")
        #expect(test.elapsed - before < .milliseconds(1001))
    }

    @Test func trailers() throws {
        let test = TestServer { request, response in
            response.stream { writer in
                writer.write("abc")
                writer.addTrailer("checksum", "1")
                return .end
            }
        }
        let response = try test.request(.get, "/")
        #expect(response.body == "abc" && response.trailers == ["checksum": "1"] && response.headers["transfer-encoding"] == "chunked")
    }

    /// A client that reads a little at a time holds the producer back.
    @Test func endlessContent() throws {
        let shared = Shared()
        let test = TestServer { request, response in
            response.stream { writer in
                shared.alive += 1
                writer.write([UInt8](repeating: 0x61, count: 65_536))
                return .more
            }
        }
        let exchange = try test.start(.get, "/")
        let calls = shared.alive
        #expect(calls > 16 && calls < 64)
        #expect(try exchange.read().count > 1_000_000)
        _ = try exchange.read()
        #expect(shared.alive > calls && shared.alive < 128)
        exchange.connection.reset()
        try test.finish()
    }

    @Test func lengthsAreKept() throws {
        let test = TestServer { request, response in
            response.stream(length: 10) { writer in
                writer.write("abc")
                return .end
            }
        }
        let failure = #expect(throws: TestFailure.self) { try test.request(.get, "/") }
        #expect(failure?.description.contains("the connection is reset without a response") == true, "\(String(describing: failure))")
        #expect(failure?.description.contains("longer or shorter than the length it announced") == true)
        guard case .lengthMismatch = try #require(test.reports.first) else {
            Issue.record("\(test.reports)")
            return
        }
    }

    // MARK: request bodies

    private static func upload(_ shared: Shared) -> Router {
        var router = Router()
        router.put("/upload", streamingBody: true) { request, response in
            if request.headers["authorization"] == nil, request.headers["expect"] != nil { throw HTTPError(.unauthorized) }
            shared.handle = response.exchange
            response.receiveBody { part, response in
                shared.pieces.append(part.bytes.count)
                if part.isLast {
                    response.write("\(shared.pieces.reduce(0, +)) bytes")
                    if let sum = part.trailers["sum"] { response.write(", sum \(String(sum))") }
                }
                return part.bytes.count == 5 && !shared.isOpen ? .pause : .more
            }
        }
        return router
    }

    @Test func bodyInPieces() throws {
        let shared = Shared()
        let test = try TestServer(router: Self.upload(shared))
        let upload = try test.start(.put, "/upload", body: .chunked)
        try upload.send("abc")
        #expect(shared.pieces == [3])
        try upload.send("de")
        #expect(shared.pieces == [3, 2] && upload.status == nil)
        try upload.finish(trailers: ["sum": "7"])
        #expect(try upload.response().body == "5 bytes, sum 7")
        shared.pieces = []
        let counted = try upload.connection.start(.put, "/upload", body: .length(4))
        try counted.send("ab")
        #expect(shared.pieces == [2])
        let failure = #expect(throws: TestFailure.self) { try counted.response() }
        #expect(failure?.description.contains("waits for the rest of a request's body") == true, "\(String(describing: failure))")
        try counted.send("cd")
        #expect(try counted.response().body == "4 bytes")
        try test.finish()
    }

    @Test func backPressure() throws {
        let shared = Shared()
        let test = try TestServer(router: Self.upload(shared))
        let upload = try test.start(.put, "/upload", body: .chunked)
        try upload.send("12345")
        try upload.send("678")
        #expect(shared.pieces == [5])
        let failure = #expect(throws: TestFailure.self) { try upload.response() }
        #expect(failure?.description.contains("waits for ExchangeHandle.resume(): the receiver of the body has paused") == true)
        shared.isOpen = true
        shared.handle?.resume()
        try test.settle()
        #expect(shared.pieces == [5, 3])
        try upload.finish()
        #expect(try upload.response().body == "8 bytes")
    }

    @Test func expectContinue() throws {
        let test = try TestServer(router: Self.upload(Shared()))
        let upload = try test.start(.put, "/upload", headers: ["expect": "100-continue", "authorization": "me"], body: .length(3))
        #expect(upload.interim == [.continue] && upload.status == nil)
        try upload.send("abc")
        let response = try upload.response()
        #expect(response.body == "3 bytes" && response.interim == [.continue])
        let refused = try test.start(.put, "/upload", headers: ["expect": "100-continue"], body: .length(3))
        #expect(refused.status == .unauthorized && refused.interim.isEmpty)
    }

    // MARK: timeouts

    @Test func timeouts() throws {
        var options = ServerOptions()
        options.timeouts.header = .seconds(10)
        options.timeouts.body = .seconds(4)
        options.timeouts.idle = .seconds(20)
        options.timeouts.handler = .seconds(2)
        var router = makeRouter()
        router.get("/silent") { request, response in response.stream { _ in .wait(milliseconds: 1_000_000) } }
        let test = try TestServer(router: router, options: options)

        let half = test.connect()
        try half.send("GET / HTTP/1.1\r\nHo")
        try test.advance(by: .milliseconds(9999))
        #expect(try half.receive() == "")
        try test.advance(by: .milliseconds(1))
        #expect(try half.response().status == .requestTimeout)

        let slow = try test.start(.post, "/echo", body: .length(10))
        try slow.send("abc")
        try test.advance(by: .seconds(4))
        #expect(try slow.response().status == .requestTimeout)

        let idle = test.connect()
        try idle.request(.get, "/hello/a")
        try test.advance(by: .seconds(19))
        #expect(idle.state == .open)
        try test.advance(by: .seconds(1))
        #expect(idle.state == .closedByServer)

        // A head has left: only a reset tells that the content is not whole.
        let silent = try test.start(.get, "/silent")
        try test.advance(by: .seconds(2))
        #expect(silent.connection.state == .reset)
        try test.finish()
    }

    @Test func calendar() throws {
        let test = try TestServer(router: makeRouter())
        #expect(test.unixTime == 1_717_243_200)
        test.unixTime = 0
        try test.advance(by: .seconds(1))
        #expect(try test.request(.get, "/hello/a").headers["date"] == "Thu, 01 Jan 1970 00:00:01 GMT")
    }
}
