// RequestSpans: what is told of a request that is sampled: a span for itself, and one for each attempt at a server of an upstream (OpenTelemetry's semantic conventions for HTTP, stable names). The
// loop's thread. A request that is not sampled costs the choice, and the test of a flag.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

/// Where spans go, and what is known of routes. Immutable; shared by all loops.
final class RequestSpans: Sendable {
    let export: SpanExport
    private let trusted: TrustedProxies
    /// Of routes with one path: its pattern, by the route's name.
    private let patterns: [String: [UInt8]]

    init(_ export: SpanExport, routes: [RouteConfiguration], trusted: TrustedProxies) {
        (self.export, self.trusted) = (export, trusted)
        patterns = Dictionary(routes.compactMap { route in route.match.paths.count == 1 ? (route.name, Array(route.match.paths[0].text.utf8)) : nil }, uniquingKeysWith: { first, _ in first })
    }

    // MARK: the request

    /// The response is over: the span of the request.
    func ended(_ request: borrowing Request, _ record: ExchangeRecord) {
        let trace = record.trace
        guard trace.isKept, record.loop < export.queues.count, let context = trace.context else { return }
        let end = Gateway.wallNs()
        let span = SpanRecord(
            context, parent: trace.parent, kind: .server, start: end &- record.nanoseconds, end: end, status: record.status >= 500 ? .error : .unset)
        let route = record.route.map { String(decoding: [UInt8](ByteView($0.bytes)), as: UTF8.self) }
        let pattern = route.flatMap { patterns[$0] }
        let method = Self.method(request)
        var name = method
        if let shown = pattern ?? route.map({ Array($0.utf8) }) { name += [0x20] + shown }
        export.queues[record.loop].record(span, name: name.span) { attributes in
            describe(request, method, &attributes)
            if let pattern { attributes.add("http.route", pattern) }
            if let route { attributes.add("uringd.route", Array(route.utf8)) }
            Self.add(status: record.status, isError: record.status >= 500, &attributes)
            attributes.add("http.response.body.size", Int64(clamping: record.bodyBytes))
        }
    }

    private func describe(_ request: borrowing Request, _ method: [UInt8], _ attributes: inout SpanAttributes) {
        attributes.add("http.request.method", method)
        if request.method == .other { attributes.add("http.request.method_original", request.methodName.span) }
        attributes.add("url.scheme", Array((request.isSecure ? "https" : "http").utf8))
        // Without the query, which may hold secrets.
        attributes.add("url.path", request.path.span)
        let host = Array(request.authority)
        let name = HostPort(host)
        if !name.host.isEmpty { attributes.add("server.address", Array(name.host)) }
        if let port = name.port { attributes.add("server.port", Int64(port)) }
        let version = request.versionNumbers
        attributes.add("network.protocol.version", Array((version.major == 1 ? "1.\(version.minor)" : "\(version.major)").utf8))
        if let address = request.peer.address {
            let text = Self.text(address)
            attributes.add("network.peer.address", text)
        }
        if let client = trusted.client(of: request) { attributes.add("client.address", Self.text(client)) }
        if let agent = request.headers["user-agent"], agent.count <= 512 { attributes.add("user_agent.original", agent.span) }
    }

    static func text(_ address: IPAddress) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 64) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            // SAFETY: the array's own memory, during this call.
            var sink = unsafe ByteSink(base, capacity: 64)
            address.append(to: &sink)
            count = sink.count
        }
    }

    private static func method(_ request: borrowing Request) -> [UInt8] { request.method == .other ? Array("_OTHER".utf8) : Array(request.methodName) }

    private static func add(status: UInt16, isError: Bool, _ attributes: inout SpanAttributes) {
        guard status > 0 else { return }
        attributes.add("http.response.status_code", Int64(status))
        if isError { attributes.add("error.type", Array("\(status)".utf8)) }
    }

    // MARK: attempts

    /// An attempt at a server begins: its span's number goes into the traceparent that the server gets.
    func begin(_ exchange: ProxyExchange, _ random: inout PolicyRandom) {
        exchange.span.begin(max(1, random.next() as UInt64), at: Gateway.wallNs())
        exchange.request.overwriteHex(at: exchange.span.place, exchange.span.number)
    }

    /// The attempt's server is done with.
    func end(_ exchange: ProxyExchange, upstream: Upstream, _ servers: UpstreamServers, server: Int, loop: Int) {
        guard exchange.span.isOpen, let context = exchange.span.context, loop < export.queues.count else { return }
        let span = exchange.span
        exchange.span.close()
        let isError = span.status >= 400 || span.failure != nil
        let record = SpanRecord(context, parent: span.parent, kind: .client, start: span.start, end: max(span.start, Gateway.wallNs()), status: isError ? .error : .unset)
        let name = exchange.request.methodText
        export.queues[loop].record(record, name: name.span) { attributes in
            attributes.add("http.request.method", exchange.request.method == .other ? Array("_OTHER".utf8) : name)
            let address = HostPort(servers.authorities[server])
            attributes.add("server.address", Array(address.host))
            let isSecure = upstream.configuration.tls != nil
            attributes.add("server.port", Int64(address.port ?? (isSecure ? 443 : 80)))
            attributes.add("url.full", Array((isSecure ? "https://" : "http://").utf8) + servers.authorities[server] + exchange.request.pathText)
            attributes.add("uringd.upstream", Array(upstream.configuration.name.utf8))
            if let failure = span.failure {
                attributes.add("error.type", Array("\(failure.word)".utf8))
                if span.status > 0 { attributes.add("http.response.status_code", Int64(span.status)) }
            } else {
                Self.add(status: span.status, isError: isError, &attributes)
            }
            if span.attempt > 1 { attributes.add("http.request.resend_count", Int64(span.attempt - 1)) }
        }
    }
}

/// `host`, `host:port`, `[v6]:port`.
private struct HostPort {
    let host: ArraySlice<UInt8>
    let port: Int?

    init(_ text: [UInt8]) {
        guard let colon = text.lastIndex(of: 0x3a), text.lastIndex(of: 0x5d).map({ $0 < colon }) ?? true, let port = Int(String(decoding: text[(colon + 1)...], as: UTF8.self)) else {
            (host, port) = (text[...], nil)
            return
        }
        (host, self.port) = (text[..<colon], port)
    }
}

extension ExchangeTrace {
    var context: TraceContext? { TraceID(high: high, low: low).flatMap { TraceContext(trace: $0, span: span, flags: flags) } }
}

extension ProxySpan {
    var context: TraceContext? { TraceID(high: high, low: low).flatMap { TraceContext(trace: $0, span: number, flags: flags) } }
}
