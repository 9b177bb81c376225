// More clients than the server has room for, and clients that take what they can get: nobody who was served is lost, memory stays bounded.

import Glibc
import Testing
import TestSupport

@Suite(.serialized) struct LimitsTests {
    private static let request = Array(nextRequest.utf8)

    /// 20,000 connections on a limit of 10,000 descriptors (fewer, in the same proportion, where this test may not have as many itself).
    /// Whoever was answered once is answered again while the rest stands in the queue; the rest gets its turn when room is made; then the
    /// server drains as ever.
    @Test(.timeLimit(.minutes(3))) func moreConnectionsThanDescriptors() throws {
        let available = raiseDescriptorLimit(to: 21_000)
        let wanted = min(20_000, available - 500)
        let server = try LimitedServer(["respond", "--listen", "127.0.0.1:0", "--body", answer], descriptors: wanted / 2)
        let crowd = try Crowd(server.process.endpoint)
        // In waves, as fast as the server takes them: otherwise the kernel's queue of half-open connections is what is tested.
        var answered = 0
        while crowd.members.count < wanted {
            for _ in 0..<min(500, wanted - crowd.members.count) { try crowd.join(from: UInt8(1 + crowd.members.count % 8)) }
            let before = answered
            crowd.run(quietMs: 300, onOpen: { crowd.send(Self.request, by: $0) }) {
                answered = crowd.members.count { $0.received > 0 }
                return answered - before >= 500
            }
        }
        let served = crowd.members.indices.filter { crowd.members[$0].state == .open && crowd.members[$0].received > 0 }
        // The server keeps some descriptors for itself.
        #expect(served.count >= wanted / 2 - 200, "\(served.count) of \(wanted) were served")
        #expect(crowd.members.count { $0.received > 0 && $0.state != .open } == 0, "somebody was served and then dropped")

        let one = crowd.members[served[0]].received
        for index in served { crowd.send(Self.request, by: index) }
        crowd.run { served.allSatisfy { crowd.members[$0].received >= 2 * one } }
        let lost = served.count { crowd.members[$0].received < 2 * one }
        #expect(lost == 0, "\(lost) of \(served.count) who were served got no second answer")

        // Half of them leave: as many of the waiting come in.
        let waiting = crowd.members.indices.filter { crowd.members[$0].state == .open && crowd.members[$0].received == 0 }
        for index in served.prefix(1000) { crowd.leave(index) }
        let wantedMore = min(500, waiting.count)
        crowd.run(onOpen: { crowd.send(Self.request, by: $0) }) { waiting.count { crowd.members[$0].received > 0 } >= wantedMore }
        #expect(waiting.count { crowd.members[$0].received > 0 } >= wantedMore, "nobody of the queue was let in")
        for index in served.dropFirst(1000).prefix(1000) { crowd.send(Self.request, by: index) }
        crowd.run { served.dropFirst(1000).prefix(1000).allSatisfy { crowd.members[$0].received >= 3 * one } }
        #expect(served.dropFirst(1000).prefix(1000).allSatisfy { crowd.members[$0].received >= 3 * one })
        #expect(server.process.isRunning)
    }

    /// Every descriptor is taken by somebody else's downloads: SIGTERM still drains.
    @Test(.timeLimit(.minutes(1))) func drainWithoutADescriptorLeft() throws {
        let directory = try TemporaryDirectory()
        try directory.write("large", "")
        try writeFile(directory.path + "/large", bytes: 8 << 20)
        let server = try LimitedServer(["files", directory.path, "--listen", "127.0.0.1:0", "--loops", "1"], descriptors: 256)
        let crowd = try Crowd(server.process.endpoint)
        for _ in 0..<250 { try crowd.join(receiveBytes: 4096) }
        // Each download holds its socket and its file.
        crowd.run(reading: false, quietMs: 1000, onOpen: { crowd.send(Array(get("/large").utf8), by: $0) }) { server.descriptors >= 256 }
        #expect(server.descriptors >= 250, "the attack does not reach the limit")
        server.process.send(signal: SIGTERM)
        try server.process.wait(forOutput: "drain")
        for index in crowd.members.indices { crowd.leave(index) }
        #expect(try server.process.waitForExit() == .code(0))
    }

    /// Clients that ask and ask and never read: the server stops reading them.
    @Test(.timeLimit(.minutes(1))) func pipeliningWithoutReading() throws {
        let server = try LimitedServer(["respond", "--listen", "127.0.0.1:0", "--loops", "1", "--body", String(repeating: "x", count: 2000)])
        let quick = try RawClient(server.process.endpoint)
        try quick.send(nextRequest)
        _ = try quick.readResponse()
        let before = server.residentKiB
        let crowd = try Crowd(server.process.endpoint)
        let count = 100
        for _ in 0..<count { try crowd.join(receiveBytes: 4096) }
        crowd.run(reading: false, quietMs: 2000) { crowd.members.allSatisfy { $0.state == .open } }
        let block = Array(String(repeating: nextRequest, count: 2000).utf8)
        // Until nobody can send any more: what one round leaves unsent is the server's back-pressure.
        var (total, idleRounds) = (0, 0)
        while idleRounds < 20 {
            let sent = crowd.members.indices.reduce(0) { $0 + crowd.send(block, by: $1) }
            total += sent
            // The server's answer to somebody else says that it has had a turn.
            try quick.send(nextRequest)
            #expect(try quick.readResponse().status == 200)
            idleRounds = sent == 0 ? idleRounds + 1 : 0
            try #require(total < 2 << 30, "the server reads without end")
        }
        // 64 KiB of output and one response, 16 KiB of input; and, over all, 4 MiB of receive buffers and the batch.
        let perClient = (server.peakKiB - before) / count
        #expect(perClient < 300, "\(perClient) KiB for a client that does not read")
    }

    /// A length that is promised costs the server nothing until the bytes come.
    @Test func promisedBodies() throws {
        let server = try LimitedServer(["respond", "--listen", "127.0.0.1:0", "--loops", "1", "--body", answer])
        let quick = try RawClient(server.process.endpoint)
        try quick.send(nextRequest)
        _ = try quick.readResponse()
        let before = server.residentKiB
        let crowd = try Crowd(server.process.endpoint)
        let count = 1000
        for _ in 0..<count { try crowd.join() }
        var asked = 0
        crowd.run(onOpen: { crowd.send(Array(post("x", "Content-Length: 10000000").utf8), by: $0); asked += 1 }) { asked == count }
        try quick.send(nextRequest)
        expectAnswer(try quick.readResponse(), "meanwhile")
        let perClient = (server.peakKiB - before) / count
        #expect(perClient < 40, "\(perClient) KiB for a promise")
    }
}
