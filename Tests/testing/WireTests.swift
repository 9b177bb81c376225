// Raw bytes, faults on demand, files, upgrades: what is nearer to the wire.

import Foundation
import Testing
import UringTesting

@Suite struct WireTests {
    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ])
    func malformed(_ bytes: String) throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        try connection.send(TestBytes(bytes))
        let response = try connection.response()
        #expect(response.status == .badRequest && response.closesConnection)
        connection.close()
        try test.finish()
    }

    @Test func bytesInAndOut() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        for byte in "GET /hello/a HTTP/1.1\r\nHost: a\r\n\r".utf8 { try connection.send([byte]) }
        #expect(try connection.receive() == "")
        try connection.send("\n")
        let raw = try #require(try connection.receive().text)
        #expect(raw.hasPrefix("HTTP/1.1 200 OK\r\n") && raw.hasSuffix("\r\n\r\n" + #"{"hello":"a"}"#))
        try connection.send("HEAD /hello/a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try connection.response(to: .head).headers["content-length"] == "13")
        try connection.send("GET /hello/b HTTP/1.0\r\n\r\n")
        #expect(try connection.response().body == #"{"hello":"b"}"#)
        #expect(connection.state == .closedByServer)
    }

    /// HTTP/2 by prior knowledge, by hand.
    @Test func otherProtocols() throws {
        let connection = try TestServer(router: makeRouter()).connect()
        #expect(throws: TestFailure.self) { try connection.send("x") }
        let test = try TestServer(router: makeRouter())
        let http2 = test.connect()
        try http2.send(TestBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + [0, 0, 0, 4, 0, 0, 0, 0, 0])
        let frames = try http2.receive()
        #expect(frames.count > 9 && frames[3] == 4)
    }

    @Test func halfClosedClients() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        try connection.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.halfClose()
        #expect(try connection.response().status == .ok)
        #expect(connection.state == .closedByServer)
    }

    @Test func slowReaders() throws {
        var options = ServerOptions()
        options.timeouts.write = .seconds(3)
        options.timeouts.writeRate = .init(bytesPerSecond: 0, grace: .zero)
        let test = try TestServer(router: makeRouter(), options: options)
        let connection = test.connect(window: 10_000)
        connection.stopReading()
        let large = try connection.start(.get, "/large")
        let failure = #expect(throws: TestFailure.self) { try large.response() }
        #expect(failure?.description.contains("for the client to take") == true, "\(String(describing: failure))")
        try test.advance(by: .seconds(2))
        connection.startReading()
        #expect(try large.response().body.count == 3_000_000)
        connection.stopReading()
        let second = try connection.start(.get, "/large")
        try test.advance(by: .seconds(4))
        connection.startReading()
        #expect(throws: TestFailure.self) { try second.response() }
        #expect(connection.state == .reset)
    }

    // MARK: faults

    @Test(arguments: 1...10) func everythingGoesWrong(_ seed: UInt64) throws {
        let test = try TestServer(router: makeRouter(), seed: seed, faults: .everything)
        let connection = test.connect(window: 5000, readBytes: 2000)
        let content = TestBytes((0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        let echo = try connection.start(.post, "/echo", body: .whole(content))
        let hello = try connection.start(.get, "/hello/a")
        #expect(try echo.response(within: .seconds(10)).body == content)
        #expect(try hello.response(within: .seconds(10)).status == .ok)
        try test.finish()
    }

    @Test func oneSeedOneRun() throws {
        func run(_ seed: UInt64) throws -> [Int] {
            var faults = TestFaults()
            faults.shortSends = 1
            faults.delays = 0.5
            let test = try TestServer(router: makeRouter(), seed: seed, faults: faults)
            let exchange = try test.connect(window: 3000, readBytes: 100).start(.get, "/large")
            var counts: [Int] = []
            for _ in 0..<20 {
                try test.advance(by: .microseconds(50))
                counts.append(try exchange.read().count)
            }
            return counts + [Int(test.elapsed / .nanoseconds(1))]
        }
        #expect(try run(1) == run(1))
        #expect(try run(1) != run(2))
    }

    @Test func resets() throws {
        let test = try TestServer(router: makeRouter())
        let connection = test.connect()
        try connection.request(.get, "/hello/a")
        test.faults.resets = 1
        let failure = #expect(throws: TestFailure.self) { try connection.request(.get, "/hello/a") }
        #expect(failure?.description == "GET /hello/a: the connection is reset without a response")
        test.faults.resets = 0
        #expect(try test.request(.get, "/hello/a").status == .ok)
        try test.finish()
    }

    // MARK: files

    @Test func files() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "uring-testing-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory.appending(path: "sub"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data("<p>hello".utf8).write(to: directory.appending(path: "index.html"))
        let large = Data((0..<200_000).map { UInt8(truncatingIfNeeded: $0) })
        try large.write(to: directory.appending(path: "sub/large.bin"))
        let site = try StaticFiles(root: directory.path)
        let test = TestServer(faults: .everything) { request, response in site.respond(to: request, &response) }
        #expect(try test.request(.get, "/", within: .seconds(1)).body == "<p>hello")
        #expect(try test.request(.get, "/sub/large.bin", within: .seconds(1)).body == TestBytes(large))
        #expect(try test.request(.get, "/sub/large.bin", headers: ["range": "bytes=100-199"], within: .seconds(1)).body.count == 100)
        #expect(try test.request(.get, "/none", within: .seconds(1)).status == .notFound)
        #expect(try test.request(.get, "/../etc/passwd", within: .seconds(1)).status.isClientError)
        #expect(try test.request(.get, "/sub", within: .seconds(1)).status.isRedirection)
        try test.finish()
    }

    @Test func upgrades() throws {
        final class Kept: @unchecked Sendable { var connection: UpgradedConnection? }
        let kept = Kept()
        let test = TestServer { request, response in response.upgrade(to: "echo") { kept.connection = $0 } }
        let connection = test.connect()
        let response = try connection.request(.get, "/", headers: ["connection": "upgrade", "upgrade": "echo"])
        #expect(response.status == .switchingProtocols && response.headers["upgrade"] == "echo")
        #expect(kept.connection != nil)
    }

    // MARK: misuse by hand

    @Test func limitsPerAddress() throws {
        var options = ServerOptions()
        options.limits.connectionsPerAddress = 1
        let test = try TestServer(router: makeRouter(), options: options)
        let first = test.connect(from: "192.0.2.1:1000")
        try first.request(.get, "/hello/a")
        #expect(throws: TestFailure.self) { try test.connect(from: "192.0.2.1:1001").request(.get, "/hello/a") }
        #expect(try test.connect(from: "192.0.2.2:1001").request(.get, "/hello/a").status == .ok)
    }
}
