// Router: routes that are WebSockets.

extension Router {
    /// A route whose requests open WebSockets, on HTTP/1.1 and HTTP/2 alike: `get` with `Response.webSocket`. What the request says (parameters, fields, credentials) is read in such a `get`.
    ///
    ///     router.webSocket("/echo") { socket in
    ///         for try await message in socket.messages { try await socket.send(message) }
    ///     }
    /// - Parameters:
    ///   - pattern: as of `on`.
    ///   - options: limits, times, extensions, and whose pages may connect.
    ///   - name: in reports and logs; the pattern when nil.
    ///   - fileID: of the call, for errors; leave it out.
    ///   - line: of the call, for errors; leave it out.
    ///   - handler: called for each socket, on its loop.
    public mutating func webSocket(
        _ pattern: String, options: WebSocketOptions = WebSocketOptions(), name: String? = nil, fileID: StaticString = #fileID, line: UInt = #line,
        _ handler: @escaping AsyncWebSocketHandler
    ) {
        let answer: Handler = { _, response in response.webSocket(options, handler) }
        get(pattern, name: name, fileID: fileID, line: line, answer)
    }
}
