// The same requests to Hummingbird's own server and to ours: the same answers.

#if Hummingbird
import Foundation
import TestSupport
import Testing

@Suite struct HummingbirdComparisonTests {
    private static let host = "Host: example.com\r\n"
    private static let large = String(repeating: "x", count: 5000)

    private static let requests: [String] =
        [
            "/hello", "/hello?a=1", "/users/17/posts/3", "/users/17/posts/x", "/users/%C3%A4/posts/3", "/files/a/b/c", "/files", "/query?a=1&b=%20x&c", "/head?x=y", "/order", "/empty",
            "/redirect", "/cookies", "/address", "/id", "/inner/trail", "/none", "/hello/", "/bad", "/unauthorized", "/unknown-error", "/teapot", "/parts", "/trailers", "/soon",
        ].map { "GET \($0) HTTP/1.1\r\n\(host)\r\n" } + [
            "HEAD /hello HTTP/1.1\r\n\(host)\r\n", "HEAD /none HTTP/1.1\r\n\(host)\r\n", "HEAD /parts HTTP/1.1\r\n\(host)\r\n", "HEAD /teapot HTTP/1.1\r\n\(host)\r\n",
            "PURGE /hello HTTP/1.1\r\n\(host)\r\n", "PUT /hello HTTP/1.1\r\n\(host)Content-Length: 0\r\n\r\n", "OPTIONS /hello HTTP/1.1\r\n\(host)\r\n",
            "GET /head HTTP/1.1\r\n\(host)X-One: 1\r\nx-two: 2\r\nX-One: 3\r\nCookie: a=1; b=2\r\nX-Empty:\r\nX-A-Name-That-Is-Longer-Than-Thirty-Two-Bytes: v\r\n\r\n",
            "GET http://example.com/head?q HTTP/1.1\r\n\(host)\r\n",
            "POST /echo HTTP/1.1\r\n\(host)Content-Type: text/x\r\nContent-Length: 5\r\n\r\nhello",
            "POST /echo HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            "POST /echo HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n",
            "POST /echo HTTP/1.1\r\n\(host)Content-Length: 0\r\n\r\n",
            "POST /order HTTP/1.1\r\n\(host)Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"id\":1,\"name\":\"ab\"}",
            "POST /order HTTP/1.1\r\n\(host)Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\":1,}",
            "POST /order HTTP/1.1\r\n\(host)Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":1}",
            "POST /order HTTP/1.1\r\n\(host)Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n\(large)",
            "POST /ignore HTTP/1.1\r\n\(host)Content-Length: 5000\r\n\r\n\(large)",
            "POST /back HTTP/1.1\r\n\(host)Content-Length: 5000\r\n\r\n\(large)",
        ]

    @Test func answersAreTheSame() async throws {
        let (ours, theirs) = (try await RunningApplication.uring(), try await RunningApplication.nio())
        for request in Self.requests {
            let (a, b) = (try ours.endpoint, try theirs.endpoint)
            let (here, there) = (try await offTheTask { try a.exchange(request) }, try await offTheTask { try b.exchange(request) })
            #expect(Answer(here) == Answer(there), "\(request.prefix(200))")
        }
        try await ours.stop()
        try await theirs.stop()
    }

    @Test func tenMegabytesGoBothWays() async throws {
        let (ours, theirs) = (try await RunningApplication.uring(), try await RunningApplication.nio())
        for application in [ours, theirs] {
            let endpoint = try application.endpoint
            let down = try await offTheTask { try endpoint.get("/big") }
            #expect(down.body.count == TestRouter.pieces * TestRouter.pattern.count)
            #expect(down.body.prefix(TestRouter.pattern.count).elementsEqual(TestRouter.pattern))
            #expect(try await offTheTask { try endpoint.get("/big-known") }.body.count == 3_000_000)
        }
        let (a, b) = (try ours.endpoint, try theirs.endpoint)
        #expect(try await offTheTask { try Self.upload(a, "/count") }.body == (try await offTheTask { try Self.upload(b, "/count") }.body))
        let back = try await offTheTask { try Self.upload(a, "/back") }
        #expect(back.body.count == 10 * 1024 * 1024)
        try await ours.stop()
        try await theirs.stop()
    }

    /// 10 MiB with an announced length; sent beside reading, since some routes answer meanwhile.
    private static func upload(_ endpoint: Endpoint, _ path: String) throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("POST \(path) HTTP/1.1\r\nHost: example.com\r\nContent-Length: \(160 * 65_536)\r\n\r\n")
        // The thread sends and looks at nothing else of the client; this one reads.
        nonisolated(unsafe) let sender = client
        Thread.detachNewThread { for _ in 0..<160 { try? unsafe sender.send(TestRouter.pattern) } }
        return try client.readFinalResponse()
    }
}

/// What must be the same of two answers. `Date` is a matter of time; how a length is told is told by the body; the server's own fields keep no order.
private struct Answer: Equatable, CustomStringConvertible {
    let status: Int
    let fields: [String]
    let body: String
    let trailers: [RawResponse.Field]
    let isChunked: Bool

    init(_ response: RawResponse) {
        let own: Set = ["date", "connection", "transfer-encoding"]
        status = response.status
        fields = response.fields.filter { !own.contains($0.name.lowercased()) }.map { "\($0.name.lowercased()): \($0.value)" }.sorted()
        // Foundation's encoder orders an object's members anew in each call.
        let isJSON = response.value("content-type")?.hasPrefix("application/json") == true
        body = isJSON ? String(response.bodyText.sorted()) : response.bodyText
        trailers = response.trailers
        isChunked = response.tokens("transfer-encoding") == ["chunked"]
    }
    var description: String { "\(status) \(fields) \(trailers) chunked: \(isChunked)\n\(body.prefix(300))" }
}
#endif
