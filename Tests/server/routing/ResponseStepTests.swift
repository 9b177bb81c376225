// Steps before sending, and values that middleware leaves for handlers: on every kind of response, HTTP/1.1 and HTTP/2.

import Foundation
import TestSupport
import Testing
import UringBase
import UringHTTP
import UringServer

@Suite struct ResponseStepTests {
    private static let stamp = ResponseStep { response, note in response.headers.add("x-stamp", "\(note) \(response.status.code)") }

    private static func server() throws -> TestServer {
        let directory = FileManager.default.temporaryDirectory.appending(path: "uring-steps-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Data("file".utf8).write(to: directory.appending(path: "a.txt"))
        let files = try StaticFiles(root: directory.path)
        let shared = SharedBytes("shared")
        var router = Router()
        router.use { request, response, next in
            response.beforeSending(stamp, note: 1)
            response.beforeSending(stamp, note: 2)
            try next(request, &response)
        }
        router.get("/plain") { _, response in response.write("plain") }
        router.get("/large") { _, response in response.write([UInt8](repeating: 65, count: 100_000)) }
        router.get("/shared") { _, response in response.write(shared) }
        router.get("/stream") { _, response in
            response.stream { writer in
                writer.write("stream")
                return .end
            }
        }
        router.get("/throws") { _, response in
            response.headers["x-gone"] = "gone"
            throw HTTPError(.conflict, "thrown")
        }
        router.get("/redirect") { _, response in response.redirect(to: "/plain") }
        router.get("/interim") { _, response in response.status = HTTPStatus(102) }
        router.post("/body", streamingBody: true) { _, response in
            response.receiveBody { part, response in
                if part.isLast { response.write("received") }
                return .more
            }
        }
        router.get("/a.txt") { request, response in files.respond(to: request, &response) }
        return try TestServer(router: router)
    }

    @Test func everyKindOfResponse() throws {
        let server = try Self.server()
        for (path, status) in ["/plain": 200, "/large": 200, "/shared": 200, "/stream": 200, "/throws": 409, "/redirect": 302, "/none": 404, "/interim": 500, "/a.txt": 200] {
            let response = try server.get(path)
            #expect(response.status == status, "\(path)")
            // The last registered runs first.
            #expect(response.values("x-stamp") == ["2 \(status)", "1 \(status)"], "\(path)")
            #expect(response.value("x-gone") == nil)
            #expect(try server.request("HEAD", path).values("x-stamp").count == 2, "\(path)")
        }
        let body = try server.exchange("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(body.bodyText == "received")
        #expect(body.values("x-stamp") == ["2 200", "1 200"])
    }

    /// On one connection: nothing of a response is left for the next.
    @Test func leavesNothing() throws {
        let server = try TestServer { request, response in
            if request.path == "/with" { response.beforeSending(Self.stamp, note: 7) }
        }
        let client = try server.client()
        for path in ["/with", "/without", "/with", "/without"] {
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().values("x-stamp").count == (path == "/with" ? 1 : 0))
        }
    }

    @Test func onHTTP2() throws {
        let counted = Counter()
        let step = ResponseStep { response, note in
            counted.add(note)
            if response.status == .ok { response.status = .accepted }
        }
        var router = Router()
        router.use { request, response, next in
            response.beforeSending(step, note: 3)
            try next(request, &response)
        }
        router.get("/plain") { _, response in response.write("plain") }
        router.get("/large") { _, response in response.write([UInt8](repeating: 65, count: 100_000)) }
        router.get("/stream") { _, response in response.stream { _ in .end } }
        router.get("/throws") { _, _ in throw HTTPError(.notFound) }
        router.post("/body", streamingBody: true) { _, response in
            response.receiveBody { part, response in .more }
        }
        let server = try TestServer(router: router)
        let client = try FrameClient(server.endpoint)
        for (index, path) in ["/plain", "/large", "/stream", "/throws"].enumerated() {
            #expect(try client.ask(UInt32(2 * index + 1), "GET", path).status == (path == "/throws" ? 404 : 202))
        }
        try client.send(FrameClient.request(9, "POST", "/body", ends: false), FrameClient.data(9, [1, 2], ends: true))
        #expect(try client.answer(9).status == 202)
        #expect(counted.sum == 15)
    }

    /// A step may set what cannot be sent; then it is as if the handler had.
    @Test func refusedField() throws {
        let step = ResponseStep { response, _ in response.headers["x-bad"] = "a\r\nb" }
        let server = try TestServer { _, response in response.beforeSending(step) }
        #expect(try server.get("/").status == 500)
        #expect(server.reports.all == ["refused /"])
    }

    /// More steps than there is room for at first, and steps that register steps.
    @Test func many() throws {
        let inner = ResponseStep { response, note in response.write("i\(note)") }
        let outer = ResponseStep { response, note in
            response.write("o\(note)")
            response.beforeSending(inner, note: note)
        }
        let server = try TestServer { _, response in
            for note in 0..<20 { response.beforeSending(outer, note: UInt64(note)) }
        }
        let text = (0..<20).reversed().map { "o\($0)i\($0)" }.joined()
        for _ in 0..<2 { #expect(try server.get("/").bodyText == text) }
    }

    /// The client goes before the response is there: the steps go with it.
    @Test func clientLeaves() throws {
        final class Token: Sendable {
            let gone: Counter
            init(_ gone: Counter) { self.gone = gone }
            deinit { gone.add(1) }
        }
        let gone = Counter()
        let server = try TestServer(application: {
            var application = Application { request, response in
                let token = Token(gone)
                response.beforeSending(ResponseStep { _, _ in withExtendedLifetime(token) {} })
                response[Self.token] = token
                if request.path == "/body" { response.receiveBody { _, _ in .more } }
            }
            application.wantsStream = { _ in true }
            return application
        }())
        do {
            let client = try server.client()
            try client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            client.resetOnClose()
        }
        _ = try server.get("/plain")
        server.running.stop(within: .seconds(20))
        #expect(gone.sum == 2)
    }

    private static let token = RequestKey<any Sendable>()
}

@Suite struct RequestValueTests {
    struct User: Equatable {
        var id: UInt64
        var isAdmin: Bool
    }

    final class Session: Sendable {
        let name: String
        let gone: Counter
        init(_ name: String, _ gone: Counter) { (self.name, self.gone) = (name, gone) }
        deinit { gone.add(1) }
    }

    private enum Keys {
        static let user = RequestKey<User>()
        static let number = RequestKey<Int>()
        static let session = RequestKey<Session>()
        static let name = RequestKey<String>()
    }

    @Test func reachHandlers() throws {
        let gone = Counter()
        var router = Router()
        router.use { request, response, next in
            if request.path != "/none" {
                response[Keys.user] = User(id: 7, isAdmin: true)
                response[Keys.session] = Session("long enough to be on the heap", gone)
                response[Keys.number] = 1
                response[Keys.number] = 2
            }
            try next(request, &response)
            response.headers["x-user"] = response[Keys.user].map { "\($0.id)" }
        }
        router.get("/user") { _, response in
            guard response[Keys.user] == User(id: 7, isAdmin: true) else { throw HTTPError(.unauthorized) }
            response.write("\(response[Keys.session]?.name ?? "") \(response[Keys.number] ?? 0) \(response[Keys.name] ?? "none")")
            response[Keys.number] = nil
            if response[Keys.number] != nil { response.write("still there") }
            response[Keys.number] = 3
            response.write(" \(response[Keys.number] ?? 0)")
        }
        router.get("/none") { _, response in response.write("\(response[Keys.user] == nil && response[Keys.session] == nil && response[Keys.number] == nil)") }
        router.post("/body", streamingBody: true) { _, response in
            response.receiveBody { part, response in
                if part.isLast { response.write(response[Keys.session]?.name ?? "nobody") }
                return .more
            }
        }
        let server = try TestServer(router: router)
        let client = try server.client()
        for _ in 0..<3 {
            try client.send("GET /user HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n")
            let first = try client.readResponse()
            #expect(first.bodyText == "long enough to be on the heap 2 none 3")
            #expect(first.value("x-user") == "7")
            #expect(try client.readResponse().bodyText == "true")
        }
        try client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        try client.send("ab")
        #expect(try client.readResponse().bodyText == "long enough to be on the heap")
        #expect(gone.sum == 3)
        try client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().bodyText == "true")
        server.running.stop(within: .seconds(20))
        #expect(gone.sum == 4)
    }

    /// More and larger values than the first block has room for.
    @Test func manyAndLarge() throws {
        struct Large { var text = InlineArray<2000, UInt8>(repeating: 9) }
        let large = (0..<5).map { _ in RequestKey<Large>() }
        let names = (0..<40).map { _ in RequestKey<String>() }
        let server = try TestServer { _, response in
            for key in large { response[key] = Large() }
            for (index, key) in names.enumerated() { response[key] = "a name that is long enough to be on the heap \(index)" }
            let isRight = large.allSatisfy { response[$0]?.text[1999] == 9 } && names.enumerated().allSatisfy { response[$1]?.hasSuffix(" \($0)") == true }
            response.write("\(isRight)")
        }
        for _ in 0..<3 { #expect(try server.get("/").bodyText == "true") }
    }
}

/// Counts from any thread.
final class Counter: Sendable {
    private let value = Locked<UInt64>(0)
    var sum: UInt64 { value.withLock { $0 } }
    func add(_ more: UInt64) { value.withLock { $0 += more } }
}
