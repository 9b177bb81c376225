// TestResponse: what came back. Plain value; any thread.

public import UringHTTP

/// A response as a client read it from the wire: status, fields, content with its chunked coding removed, trailers.
public struct TestResponse: Sendable, Equatable, CustomStringConvertible {
    /// The status of the final response.
    public internal(set) var status: HTTPStatus
    /// In the order they were sent, those of the server itself (`date`, `content-length`, …) included.
    public internal(set) var headers = TestHeaders()
    /// The content.
    public internal(set) var body = TestBytes()
    /// The fields behind a chunked body.
    public internal(set) var trailers = TestHeaders()
    /// The server closes the connection behind it (`connection: close`).
    public internal(set) var closesConnection = false
    /// The interim responses before it, in order: `.continue` where the client expected it.
    public internal(set) var interim: [HTTPStatus] = []

    init(_ status: HTTPStatus) { self.status = status }

    /// Head, empty line, content.
    public var description: String { "\(status)\n\(headers)\n\n\(body)" }
}
