// What async handlers outlive: their client, their application, their server; and what outlives them. Under AddressSanitizer these tests look for use after free.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct AsyncLifetimeTests {
    private final class Notes: Sendable {
        private let lines = Locked<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        func wait(for count: Int) {
            let deadline = ContinuousClock.now + .seconds(20)
            while all.count < count, ContinuousClock.now < deadline { sched_yield() }
        }
    }

    private static func application(_ build: (inout Router) -> Void) throws -> Application {
        var router = Router()
        build(&router)
        return try Application(router: router)
    }

    /// The names of parameters belong to the router, which a reload lets go of.
    @Test func parametersAcrossAReload() throws {
        let (gate, entered) = (Gate(), Notes())
        func application(_ text: String) throws -> Application {
            try Self.application { router in
                router.get("/wait/{a-name-that-is-not-short}") { request, response in
                    entered.add("in")
                    await gate.wait()
                    guard let value = request.parameter("a-name-that-is-not-short") else { return response.write("none") }
                    response.write(value)
                }
                router.get("/{other}") { (_: borrowing Request, response: inout Response) throws in response.write(text) }
            }
        }
        let server = try TestServer(application: try application("old"))
        let client = try server.client()
        try client.send("GET /wait/value HTTP/1.1\r\nHost: a\r\n\r\n")
        entered.wait(for: 1)
        for _ in 0..<3 { try server.running.replace(options: ServerOptions(), application: application("new")) }
        let deadline = ContinuousClock.now + .seconds(20)
        while try server.get("/x").bodyText != "new", ContinuousClock.now < deadline {}
        gate.open()
        #expect(try client.readResponse().bodyText == "value")
    }

    /// A handler that takes no notice of its cancellation goes on when its server is gone: with its request, with its scratch memory, and with nobody to answer.
    @Test func outlivesItsServer() async throws {
        let (gate, notes) = (Gate(), Notes())
        do {
            let server = try TestServer(
                application: try Self.application { router in
                    router.post("/{name}") { request, response in
                        guard var scratch = request.scratch(1000) else { return }
                        scratch[999] = 7
                        notes.add("in")
                        await gate.wait()
                        // Wherever this runs now.
                        var text = "\(String(request.path)) \(String(request.parameter("name")!)) \(String(request.body)) \(scratch[999]) '\(request.remoteAddress)'"
                        text += " \(request.protocolVersion) \(request.isSecure) \(request.tls == nil) \(request.scratch(1) == nil) \(Task.isCancelled)"
                        response.exchange.resume()
                        response.headers["x-late"] = "late"
                        response.write("late")
                        do { try await request.loop.sleep(for: .seconds(1)) } catch { text += " \(type(of: error))" }
                        do { _ = try response.startStream() } catch { text += " \(type(of: error))" }
                        do { _ = try request.bodyStream } catch { text += " \(type(of: error))" }
                        notes.add(text)
                    }
                })
            let client = try server.client()
            try client.send("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
            notes.wait(for: 1)
            server.running.stop(within: .milliseconds(20))
            withExtendedLifetime(client) {}
        }
        gate.open()
        // It goes on in the global pool, whose threads the tests beside this one may block for long: this one must not.
        let deadline = ContinuousClock.now + .seconds(300)
        while notes.all.count < 2, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
        #expect(notes.all.last == "/late late body 7 '' HTTP/1.1 false true true true CancellationError CancellationError CancellationError")
    }

    /// Tasks that outlive their handler and still read and write learn that it has returned.
    @Test func outlivedByItsTasks() throws {
        let notes = Notes()
        let server = try TestServer(
            application: try Self.application { router in
                router.post("/{way}", streamingBody: true) { request, response in
                    let (body, loop) = (try request.bodyStream, request.loop)
                    let stream = request.path == "/read" ? nil : try response.startStream()
                    Task(executorPreference: loop.taskExecutor) {
                        do {
                            if let stream { while true { try await stream.write([UInt8](repeating: 1, count: 30_000)) } }
                            while try await body.next() != nil {}
                        } catch { notes.add("\(type(of: error))") }
                    }
                    try await loop.sleep(for: .milliseconds(2))
                    if request.path == "/fail" { throw CancellationError() }
                }
                router.get("/nothing") { _, _ in }
            })
        for (index, way) in ["read", "write", "fail"].enumerated() {
            let client = try server.client()
            // The body never ends.
            try client.send("POST /\(way) HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            notes.wait(for: index + 1)
            #expect(notes.all == [String](repeating: "CancellationError", count: index + 1), "\(way)")
        }
        #expect(try server.get("/nothing").status == 200)
    }

    /// A wait that is cancelled ends, whatever it waits for, and what comes next is not cancelled with it.
    @Test func cancelledReadsAndWrites() throws {
        let server = try TestServer(
            application: try Self.application { router in
                router.post("/", streamingBody: true) { request, response in
                    let (body, loop) = (try request.bodyStream, request.loop)
                    let stream = try response.startStream()
                    func cancelled(_ operation: @escaping @Sendable () async throws -> Void) async -> String {
                        await withTaskGroup(of: String.self) { group in
                            group.addTask {
                                do {
                                    try await operation()
                                    return "ended"
                                } catch { return "\(type(of: error))" }
                            }
                            try? await loop.sleep(for: .milliseconds(5))
                            group.cancelAll()
                            return await group.next() ?? ""
                        }
                    }
                    var text = await cancelled { _ = try await body.next() }
                    // Two at a time.
                    async let first = body.next()
                    await Task.yield()
                    do { _ = try await body.next() } catch { text += " \(type(of: error))" }
                    try await stream.write(".")
                    text += " \(String(decoding: try await first ?? [], as: UTF8.self))"
                    // The client does not read: this fills everything on the way.
                    text += " " + (await cancelled { while true { try await stream.write([UInt8](repeating: 46, count: 60_000)) } })
                    try await stream.write("|\(text)|")
                }
            })
        let client = try server.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        _ = try client.read(until: "1\r\n.")
        try client.send("5\r\nhello\r\n")
        usleep(100_000)
        try client.send("0\r\n\r\n")
        let content = try client.readToEnd()
        #expect(String(decoding: content, as: UTF8.self).contains("|CancellationError AsyncUseError hello CancellationError|"))
    }
}
