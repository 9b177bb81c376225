// What the server is to a Hummingbird application beside answering: life cycle, clients that go, TLS and HTTP/2, loggers, services.

#if Hummingbird
import Foundation
import Hummingbird
import InMemoryLogging
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import UringHummingbird
import UringServer

@Suite struct HummingbirdServerTests {
    @Test func requestsUnderWayAreFinishedOnShutdown() async throws {
        let app = try await RunningApplication.uring()
        let endpoint = try app.endpoint
        async let answer = offTheTask { try endpoint.get("/soon") }
        try await eventually { app.witness.all.contains("begun") }
        try await app.stop()
        #expect(try await answer.bodyText == "done")
        await #expect(throws: (any Error).self) { try await offTheTask { try endpoint.get("/hello") } }
    }

    @Test func aHandlerIsCancelledWhenItsClientGoes() async throws {
        let app = try await RunningApplication.uring()
        let endpoint = try app.endpoint
        let client = try RawClient(endpoint)
        try client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        try await eventually { app.witness.all == ["waiting"] }
        client.resetOnClose()
        withExtendedLifetime(consume client) {}
        try await eventually { app.witness.all == ["waiting", "cancelled"] }
        try await app.stop()
    }

    @Test func servicesAndProcessesComeBeforeTheServer() async throws {
        let events = Witness()
        let service = NotingService(events: events)
        let app = try await RunningApplication.uring(before: { events.note("before the server") }, services: [service])
        #expect(Set(events.all) == ["service", "before the server"])
        try await app.stop()
        #expect(events.all.last == "service ends")
    }

    @Test func aProcessThatFailsKeepsTheServerFromStarting() async throws {
        struct Refused: Error {}
        var app = UringApplication(
            router: TestRouter.make(Witness()), configuration: .init(address: .hostname("127.0.0.1", port: 0)), onServerRunning: { _ in Issue.record("it runs") },
            logger: RunningApplication.quiet)
        app.beforeServerStarts { throw Refused() }
        await #expect(throws: Refused.self) { try await app.run() }
    }

    @Test func aPortInUseIsSaidWithItsRemedy() async throws {
        let first = try await RunningApplication.uring()
        let app = UringApplication(
            router: TestRouter.make(Witness()), configuration: .init(address: .hostname("127.0.0.1", port: first.port)), logger: RunningApplication.quiet)
        await #expect(throws: ServerError.self) { try await app.run() }
        try await first.stop()
    }

    @Test(arguments: ["--http2", "--http1.1"])
    func bothProtocolsOverTLS(version: String) async throws {
        let app = try await RunningApplication.uring(tls: .selfSigned())
        let (text, status) = try await curl("-k", version, "-w", "\n%{http_version} %{http_code}", "-d", "hello", "-H", "content-type: text/x", "https://127.0.0.1:\(app.port)/echo")
        #expect(status == 0)
        #expect(text == (version == "--http2" ? "hello\n2 200" : "hello\n1.1 200"))
        let (head, _) = try await curl("-k", version, "https://127.0.0.1:\(app.port)/head")
        #expect(head.hasPrefix("https 127.0.0.1:\(app.port) /head\n"))
        let (big, _) = try await curl("-k", version, "-o", "/dev/null", "-w", "%{size_download}", "https://127.0.0.1:\(app.port)/big")
        #expect(big == "\(TestRouter.pieces * TestRouter.pattern.count)")
        try await app.stop()
    }

    @Test func aClientThatWaitsForContinueIsToldTo() async throws {
        let app = try await RunningApplication.uring()
        let endpoint = try app.endpoint
        let interim = try await offTheTask {
            let client = try RawClient(endpoint)
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
            let interim = try client.readResponse()
            try client.send([UInt8](repeating: 65, count: 100_000))
            #expect(try client.readFinalResponse().body.count == 100_000)
            return interim
        }
        #expect(interim.status == 100)
        try await app.stop()
    }

    @Test func connectionsAreKept() async throws {
        let app = try await RunningApplication.uring()
        let endpoint = try app.endpoint
        try await offTheTask {
            let client = try RawClient(endpoint)
            for _ in 0..<3 {
                try client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + String(repeating: "x", count: 70_000))
                #expect(try client.readFinalResponse().bodyText == "Hello, world!")
                #expect(try client.readFinalResponse().bodyText == "ignored")
            }
            try client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try client.readFinalResponse().tokens("connection") == ["close"])
            #expect(try client.readToEnd().isEmpty)
        }
        try await app.stop()
    }

    @Test func loggersHaveTheRequestsId() async throws {
        let memory = InMemoryLogHandler()
        let app = try await RunningApplication.uring(logger: Logger(label: "test", factory: { _ in memory }))
        let endpoint = try app.endpoint
        let id = try await offTheTask { try endpoint.get("/logged") }.bodyText
        let other = try await offTheTask { try endpoint.get("/logged") }.bodyText
        #expect(id != other && !id.isEmpty)
        let lines = memory.entries.filter { $0.metadata["hb.request.id"]?.description == id }
        #expect(lines.map(\.message) == ["within", "by task", "changed"])
        #expect(lines.map { $0.metadata["user"] } == [nil, nil, "ann"])
        try await app.stop()
    }

    @Test func addressesOfEveryKind() {
        func text(_ address: BindAddress) -> String {
            UringApplication(router: Router(), configuration: .init(address: address)).listeners[0].address
        }
        #expect(text(.hostname("127.0.0.1", port: 8081)) == "127.0.0.1:8081")
        #expect(text(.hostname("::1", port: 1)) == "[::1]:1")
        #expect(text(.hostname("localhost")) == "localhost:8080")
        #expect(text(.unixDomainSocket(path: "/run/x.sock")) == "unix:/run/x.sock")
    }

    private func curl(_ arguments: String...) async throws -> (text: String, status: Int32) {
        try await offTheTask {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["curl", "-s", "--max-time", "30"] + arguments
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let bytes = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (String(decoding: bytes, as: UTF8.self), process.terminationStatus)
        }
    }
}

private struct NotingService: Service {
    let events: Witness
    func run() async throws {
        events.note("service")
        try? await gracefulShutdown()
        events.note("service ends")
    }
}
#endif
