// Server spans for requests, by swift-distributed-tracing. A middleware; the loops' threads.

#if Tracing
internal import Synchronization
public import Tracing
public import UringServer

extension Middleware {
    /// A span for each request: the client's context (W3C `traceparent`, or what the tracer reads) is its parent, the context of the handler's call is its own.
    ///
    ///     var router = Router()
    ///     router.use(.tracing())
    ///
    /// The span is named `METHOD route`, of kind `server`, and has OpenTelemetry's stable HTTP attributes: `http.request.method`, `url.path`, `url.query`, `url.scheme`, `http.route`,
    /// `http.response.status_code`, `network.protocol.version`, `server.address`, `client.address`, `user_agent.original`. What a handler throws is recorded; a status of 500 and
    /// above sets the span's status to error. It ends when the handler has returned, the async one of a route too; content that a producer makes comes later.
    ///
    /// Below it `ServiceContext.current` is the span's context: spans that a handler starts, and requests of clients that inject, are its children.
    /// - Parameters:
    ///   - tracer: nil = the one that the program bootstrapped.
    ///   - recordsQuery: whether `url.query` is recorded: queries may hold secrets.
    ///   - peer: whether `client.address` is recorded, which costs a system call.
    public static func tracing(_ tracer: (any Tracer)? = nil, recordsQuery: Bool = true, peer: Bool = true) -> Middleware {
        Middleware { request, response, next in
            let tracer = tracer ?? InstrumentationSystem.tracer
            if tracer is NoOpTracer { return try next(request, &response) }
            let tracing = RequestTracing(tracer: tracer, recordsQuery: recordsQuery, peer: peer)
            let span = tracing.start(request)
            do {
                try InstrumentationContext.$current.withValue(span.context) { try next(request, &response) }
            } catch {
                tracing.end(span, response, error)
                throw error
            }
            guard response.goesOnAsync else { return tracing.end(span, response, nil) }
            response.wrapAsync { handler in tracing.around(handler, span) }
        }
    }
}

/// One request's span.
private struct RequestTracing: Sendable {
    let tracer: any Tracer
    let recordsQuery: Bool
    let peer: Bool

    func start(_ request: borrowing Request) -> any Span {
        var context = InstrumentationContext.topLevel
        tracer.extract(FieldCarrier(request.headers), into: &context, using: FieldExtractor())
        let span = tracer.startAnySpan("\(String(request.methodName))", context: context, ofKind: .server)
        guard span.isRecording else { return span }
        span.updateAttributes { attributes in
            attributes["http.request.method"] = String(request.methodName)
            attributes["url.path"] = String(request.path)
            attributes["url.scheme"] = request.isSecure ? "https" : "http"
            if recordsQuery, let query = request.query { attributes["url.query"] = String(query) }
            attributes["network.protocol.version"] = request.protocolVersion.number
            if !request.authority.isEmpty { attributes["server.address"] = String(request.authority) }
            if peer { attributes["client.address"] = request.remoteAddress }
            if let agent = request.headers["user-agent"] { attributes["user_agent.original"] = String(agent) }
        }
        return span
    }

    func end(_ span: any Span, _ response: borrowing Response, _ error: (any Error)?) {
        if let error { span.recordError(error) }
        // An error that says no status of its own becomes a 500.
        let status = error.map { ($0 as? any ResponseError)?.status ?? .internalServerError } ?? response.status
        span.attributes["http.response.status_code"] = Int(status.code)
        if let route = response.routeName {
            span.attributes["http.route"] = "\(route)"
            span.operationName += " \(route)"
        }
        if status.isServerError {
            span.attributes["error.type"] = error.map { "\(type(of: $0))" } ?? "\(status.code)"
            span.setStatus(SpanStatus(code: .error))
        }
        span.end()
    }

    func around(_ handler: @escaping AsyncHandler, _ span: any Span) -> AsyncHandler {
        { request, response in
            do {
                try await InstrumentationContext.$current.withValue(span.context) { try await handler(request, &response) }
            } catch {
                end(span, response, error)
                throw error
            }
            end(span, response, nil)
        }
    }
}

extension HTTPVersion {
    fileprivate var number: String {
        switch self {
        case .http10: "1.0"
        case .http11: "1.1"
        case .http2: "2"
        }
    }
}

/// The fields of a request, copied: tracers decide what they read.
private struct FieldCarrier: Sendable {
    private var fields: [(name: String, value: String)] = []

    init(_ headers: borrowing RequestHeaders) {
        fields.reserveCapacity(headers.count)
        for index in 0..<headers.count { fields.append((String(headers.name(at: index)).lowercased(), String(headers.value(at: index)))) }
    }

    /// The first of that name.
    subscript(name: String) -> String? {
        let name = name.lowercased()
        return fields.first { $0.name == name }?.value
    }
}

private struct FieldExtractor: Extractor {
    func extract(key: String, from carrier: FieldCarrier) -> String? { carrier[key] }
}
#endif
