// `uringd` as a process: what it prints, where it listens, how it ends.

import Glibc
import Testing
import TestSupport

@Suite struct ProcessTests {
    private func expectServed(_ server: ServerProcess, at endpoint: Endpoint) throws {
        let client = try RawClient(endpoint)
        try client.send(nextRequest)
        expectAnswer(try client.readResponse(), "\(endpoint)")
    }

    @Test func listeningLine() throws {
        let server = try Uringd.respond(["--loops", "1"])
        let port = try #require(server.endpoint.port)
        #expect(port != 0)
        #expect(server.output.contains("listening on http://127.0.0.1:\(port) (loops: 1, "))
        try expectServed(server, at: server.endpoint)
    }

    @Test func listensOnIPv6() throws {
        let server = try Uringd.respond(listen: "[::1]:0")
        guard case .ipv6(host: "::1", _) = server.endpoint else { throw RawClientError.malformed("endpoint", received: server.output) }
        try expectServed(server, at: server.endpoint)
    }

    @Test func listensOnAUnixSocket() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/socket"
        let server = try Uringd.respond(listen: "unix:\(path)")
        try expectServed(server, at: .unix(path: path))
    }

    /// With several loops each has a socket of its own on the one port that was chosen for port 0.
    @Test func severalLoopsShareOnePort() throws {
        let server = try Uringd.respond(["--loops", "2"])
        for _ in 0..<50 { try expectServed(server, at: server.endpoint) }
    }

    @Test func optionsOfRespond() throws {
        let server = try ServerProcess([
            "respond", "--listen", "127.0.0.1:0", "--status", "404", "--header", "X-One: 1", "--header", "X-Two: a: b", "--json", #"{"a":1}"#,
        ])
        let client = try RawClient(server.endpoint)
        try client.send(nextRequest)
        let response = try client.readResponse()
        #expect(response.status == 404)
        #expect(response.bodyText == #"{"a":1}"#)
        #expect(response.value("content-type") == "application/json")
        #expect(response.value("x-one") == "1")
        #expect(response.value("x-two") == "a: b")
    }

    @Test func sigtermEndsAnIdleServer() throws {
        let server = try Uringd.respond()
        let idle = try RawClient(server.endpoint)
        try idle.send(nextRequest)
        expectAnswer(try idle.readResponse(), "before")
        server.send(signal: SIGTERM)
        expectEnd(idle, "idle connections are closed")
        #expect(try server.waitForExit() == .code(0))
    }

    /// A request that has begun is answered, and told that it was the last.
    @Test func sigtermDrains() throws {
        let directory = try TemporaryDirectory()
        // One loop: each begins to drain when the message reaches it, and the idle connection shall speak for both.
        let server = try Uringd.respond(["--loops", "1"], listen: "unix:\(directory.path)/socket")
        let client = try RawClient(server.endpoint)
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        try client.waitUntilTaken()
        let idle = try RawClient(server.endpoint)
        try idle.send(nextRequest)
        expectAnswer(try idle.readResponse(), "before the drain")
        server.send(signal: SIGTERM)
        // The drain closes idle connections at once: when this one ends, the drain has begun. (One that has not had an answer yet would be
        // given time for its request.)
        expectEnd(idle, "idle")
        try client.send("lo")
        let response = try client.readResponse()
        expectAnswer(response, "during the drain")
        #expect(response.tokens("connection").contains("close"))
        expectEnd(client, "drained")
        #expect(try server.waitForExit() == .code(0))
    }

    @Test(arguments: ["0", "100000", "0,0", "x", "9999"])
    func impossibleLoopsAreRefusedInWords(value: String) throws {
        let server = try ServerProcess(["respond", "--listen", "127.0.0.1:0", "--body", "x", "--loops", value], listeners: 0)
        let exit = try server.waitForExit()
        #expect(exit != .code(0))
        if case .signal = exit { Issue.record("ended by \(exit)") }
        #expect(server.output.contains("loops"))
        #expect(!server.output.contains("listening on"))
    }

    /// The address is taken by a socket that does not share it.
    @Test func portInUseIsSaid() throws {
        let taken = try #require(try Self.takePort())
        defer { close(taken.socket) }
        let server = try ServerProcess(["respond", "--listen", "127.0.0.1:\(taken.port)", "--body", "x"], listeners: 0)
        #expect(try server.waitForExit() != .code(0))
        #expect(server.output.contains("127.0.0.1:\(taken.port)"))
        #expect(!server.output.contains("listening on"))
    }

    private static func takePort() throws -> (socket: Int32, port: UInt16)? {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The kernel reads and writes the address during each call only.
        let name = unsafe withUnsafeMutableBytes(of: &address) { bytes -> Int32 in
            let pointer = unsafe bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard unsafe bind(socket, pointer, size) == 0, listen(socket, 1) == 0 else { return -1 }
            return unsafe getsockname(socket, pointer, &size)
        }
        return name == 0 ? (socket, UInt16(bigEndian: address.sin_port)) : nil
    }

    @Test func doctorJudgesThisMachine() throws {
        let doctor = try ServerProcess(["doctor"], listeners: 0)
        // A machine that runs these tests has io_uring.
        #expect(try doctor.waitForExit() == .code(0))
        #expect(doctor.output.contains("io_uring"))
        #expect(doctor.output.contains("0 failed"))
    }
}
