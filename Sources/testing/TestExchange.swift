// TestExchange: one request and its response, piece by piece. One thread at a time.

public import UringHTTP

/// A request that was begun and whose response may be under way. Made by `TestServer.start` and `TestConnection.start`.
public final class TestExchange {
    /// The connection that it uses: close it to be a client that goes away.
    public let connection: TestConnection
    /// `GET /events`.
    let name: String
    private var parser: ResponseParser
    private var body: TestRequestBody
    /// Bytes of the body that are to be sent.
    private var left: Int?
    private(set) var isSent: Bool
    private var readCount = 0

    init(_ connection: TestConnection, _ name: String, isHead: Bool, _ body: TestRequestBody) {
        (self.connection, self.name, self.body) = (connection, name, body)
        parser = ResponseParser(isHead: isHead)
        switch body {
        case .none, .whole: isSent = true
        case .length(let count): (left, isSent) = (count, count == 0)
        case .chunked: isSent = false
        }
    }

    // MARK: the request's body

    /// Sends a piece of the body, a chunk where the body is chunked.
    public func send(_ piece: TestBytes) throws {
        switch body {
        case .chunked where !isSent: try connection.transmit(RequestText.chunk(piece))
        case .length where !isSent:
            guard let left, piece.count <= left else { throw TestFailure("\(name): \(piece.count) bytes are more than the \(left ?? 0) that the body still has") }
            self.left = left - piece.count
            isSent = left == piece.count
            try connection.transmit(piece.bytes)
        default: throw TestFailure("\(name): its body is sent already; pieces need body: .chunked or .length")
        }
    }

    /// Ends a chunked body.
    /// - Parameter trailers: sent behind it.
    public func finish(trailers: TestHeaders = [:]) throws {
        guard case .chunked = body, !isSent else { throw TestFailure("\(name): only a chunked body is finished, and once") }
        isSent = true
        try connection.transmit(try RequestText.lastChunk(trailers))
    }

    // MARK: the response

    /// The status, as soon as the response's head has come.
    public var status: HTTPStatus? { parser.hasHead ? parser.response.status : nil }
    /// The fields, as soon as the response's head has come.
    public var headers: TestHeaders { parser.hasHead ? parser.response.headers : TestHeaders() }
    /// The interim responses so far.
    public var interim: [HTTPStatus] { parser.response.interim }
    /// The whole response has come.
    public var isComplete: Bool { parser.isComplete }

    /// The content that has come since the last call. Lets the server do what it can without time first. The client reads ahead of this by a megabyte at most, and then holds
    /// the server back.
    public func read() throws -> TestBytes {
        try connection.drive()
        defer { readCount = parser.response.body.count }
        return TestBytes(parser.response.body.bytes[readCount...])
    }

    /// The whole response.
    /// - Parameter limit: how much simulated time may pass.
    /// - Throws: `TestFailure` when it does not come, with what the server waits for.
    public func response(within limit: Duration = .zero) throws -> TestResponse {
        if !isComplete { try connection.complete(self, within: limit) }
        return parser.response
    }

    // MARK: for the connection

    private var isCollecting = false
    /// The test waits for the whole of this response, or for one behind it.
    func readsAll() { isCollecting = true }

    var hasHead: Bool { parser.hasHead }
    var contentCount: Int { parser.response.body.count }
    var unreadCount: Int { isCollecting ? 0 : contentCount - readCount }
    var switchesProtocol: Bool { parser.response.status == .switchingProtocols }

    func take(_ input: inout ArraySlice<UInt8>, ended: Bool) throws { try parser.consume(&input, ended: ended) }
}
