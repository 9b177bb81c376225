// Which of Linux's interfaces a server stands on: asked for, found out, told.

import Glibc
import Testing
import TestSupport

@testable import UringServer

@Suite struct BackendTests {
    private func start(_ backend: ServerOptions.Backend) throws -> RunningServer {
        var options = ServerOptions()
        options.loops = .count(2)
        options.backend = backend
        return try Server(listen: ["127.0.0.1:0"], options: options) { _, response in response.write("hello") }.start()
    }

    @Test func whatWasChosenIsTold() throws {
        for backend in ServerOptions.Backend.allCases {
            guard backend != .uring || hasRing else { continue }
            let server = try start(backend)
            defer { server.stop(within: .seconds(5)) }
            #expect(server.backend != .automatic)
            if backend != .automatic { #expect(server.backend == backend && server.backendNote == nil) }
            #expect(server.summary.count == server.addresses.count + server.plan.notes.count + (server.backendNote == nil ? 0 : 1))
            // Messages go both ways: asked on each loop's thread, answered from it.
            #expect(server.snapshots().count == 2)
            let client = try RawClient(#require(Endpoint(line: server.summary[0])))
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).bodyText == "hello")
        }
    }

    private var hasRing: Bool { if case .available = RingProbe.live() { true } else { false } }
}
