// The same bytes in different pieces get the same answers. Over a unix socket, where the sender can tell that the server has
// taken what was sent, so that each piece truly arrives alone and nothing sleeps.

import Testing
import TestSupport

@Suite struct SplitTests {
    private let directory: TemporaryDirectory
    private let server: ServerProcess

    init() throws {
        directory = try TemporaryDirectory()
        server = try Uringd.respond(listen: "unix:\(directory.path)/socket")
    }

    private static let stream =
        get("/a?b=c", "X: y") + post("hello", "Content-Length: 5") + chunked("3;e=f\r\nhel\r\n02\r\nlo\r\n0\r\nT: u\r\n\r\n")
        + get("http://b/") + get("/last", "Connection: close")
    private static let responses = 5

    private func expectAllAnswers(_ client: RawClient, _ name: String) throws {
        for number in 0..<Self.responses { expectAnswer(try client.readFinalResponse(), "\(name), response \(number)") }
        expectEnd(client, name)
    }

    @Test func goodRequestsCutAtEveryByte() throws {
        let bytes = RawClient.bytes(Self.stream)
        for cut in 1..<bytes.count {
            let client = try RawClient(server.endpoint)
            try client.send(bytes[..<cut])
            try client.waitUntilTaken()
            try client.send(bytes[cut...])
            try expectAllAnswers(client, "cut at \(cut)")
        }
    }

    @Test func goodRequestsByteByByte() throws {
        let client = try RawClient(server.endpoint)
        for byte in RawClient.bytes(Self.stream) {
            try client.send([byte])
            try client.waitUntilTaken()
        }
        try expectAllAnswers(client, "byte by byte")
    }

    /// The status must not depend on where the pieces end. Rows that are long for the length's sake have their own tests.
    @Test func refusedRequestsCutAtEveryByte() throws {
        for row in RefusedRequests.all where row.text.count < 300 {
            let bytes = RawClient.bytes(row.text)
            for cut in 1..<bytes.count {
                do {
                    let client = try RawClient(server.endpoint)
                    try client.send(bytes[..<cut])
                    try client.waitUntilTaken()
                    // The first piece may already be enough to refuse: then the second may find the connection closed.
                    try? client.send(bytes[cut...] + RawClient.bytes(nextRequest))
                    #expect(try client.readResponse().status == row.status, "\(row.name), cut at \(cut)")
                } catch {
                    Issue.record("\(row.name), cut at \(cut): \(error)")
                }
            }
        }
        #expect(server.isRunning)
    }
}
