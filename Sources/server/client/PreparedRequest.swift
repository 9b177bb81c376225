// PreparedRequest: a request of a task, looked at before a connection is asked for. Any thread.

internal import UringHTTP
internal import UringHTTP1

struct PreparedRequest {
    let url: HTTPURL
    let method: HTTPMethod
    let headers: [(String, String)]
    let framing: BodyFraming
    let content: [UInt8]
    let stream: AsyncThrowingStream<[UInt8], any Error>?
    private let fieldBytes: Int
    var canRepeatBody: Bool { stream == nil }

    init(_ request: HTTPClientRequest) throws {
        switch HTTPURL.parse(request.url) {
        case .success(let parsed): url = parsed
        case .failure(let error): throw HTTPClientError(.invalidRequest, "the URL \(request.url): \(error)")
        }
        (method, headers) = (request.method, request.headers)
        var length: UInt64?
        var hasBody = true
        switch request.body {
        case .none: (content, stream, hasBody) = ([], nil, false)
        case .bytes(let bytes): (content, stream, length) = (bytes, nil, UInt64(bytes.count))
        case .stream(let known, let pieces): (content, stream, length) = ([], pieces, known)
        }
        framing = RequestEncoder.framing(method: method, hasBody: hasBody, bodyLength: length)
        fieldBytes = request.headers.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 4 }
        try check()
    }

    /// Whether it can be sent: without room nothing is written, but all is looked at.
    private func check() throws {
        guard unsafe RequestEncoder.name(of: method) != nil else { throw HTTPClientError(.invalidRequest, "an extension method needs a name") }
        var fault: RequestEncodeFault?
        var nothing: UInt8 = 0
        unsafe withUnsafeMutablePointer(to: &nothing) { out in
            unsafe withHead { head in
                if case .invalid(let found) = unsafe RequestEncoder.encodeHead(
                    into: out, capacity: 0, method: head.method, target: head.target, authority: head.authority, framing: framing, expectsContinue: false, connection: [])
                {
                    fault = found
                }
            }
            var writer = unsafe ClientFieldWriter(out, capacity: 0)
            write(to: &writer)
            fault = fault ?? writer.fault
        }
        if let fault { throw HTTPClientError(fault) }
    }

    private func withHead<T>(_ body: (ClientRequestHead) -> T) -> T {
        // SAFETY: the texts are readable while the closure runs.
        unsafe url.target.utf8.span.withUnsafeBufferPointer { target in
            unsafe url.authority.utf8.span.withUnsafeBufferPointer { authority in
                var head = unsafe ClientRequestHead(method: RequestEncoder.name(of: method)!, target: target, authority: authority, body: framing)
                unsafe head.fieldBytes = fieldBytes
                return unsafe body(head)
            }
        }
    }

    private func write(to writer: inout ClientFieldWriter) { for (name, value) in headers { writer.add(name, value) } }

    func start(_ consumer: any ClientConsumer, on connection: ClientConnection) -> ClientStart {
        unsafe withHead { unsafe connection.start(consumer, $0, fields: write) }
    }
}
