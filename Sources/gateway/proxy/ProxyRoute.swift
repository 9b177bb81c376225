// ProxyRoute: what a route with `proxy` does with a request on its way to the upstream: path, host, fields. Compiled from the configuration, immutable, shared by all loops.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

@safe
final class ProxyRoute: Sendable {
    let upstream: Upstream
    let retry: RetryPolicy
    /// Waits for the outcome of requests that it let through; nil: none does.
    private let breaker: BreakerFilter?
    private let configuration: ProxyConfiguration
    /// What stands in Host in place of the client's; empty: the client's, or the server's.
    private let host: [UInt8]
    /// In lower case.
    private let removed: [[UInt8]]
    private let added: [(name: [UInt8], value: [UInt8])]
    private let responseRemoved: [String]
    private let responseAdded: [HeaderField]
    private let timeoutNs: UInt64
    private let wholeTimeoutNs: UInt64
    private let trusted: TrustedProxies
    /// nil: requests have no id, traces only pass through.
    private let identity: RequestIdentity?
    let tracing: TraceForwarding?
    private let time: RequestTime
    /// Of the route, for templates.
    private let patterns: [PathPattern]

    init(
        _ configuration: ProxyConfiguration, _ upstream: Upstream, trusted: TrustedProxies, _ identity: RequestIdentity? = nil, _ tracing: TraceForwarding? = nil,
        breaker: BreakerFilter? = nil, patterns: [PathPattern] = [], wholeTimeoutNs: UInt64 = 0, deadline: DeadlineConfiguration? = nil
    ) {
        time = RequestTime(deadline, trusted)
        self.wholeTimeoutNs = wholeTimeoutNs == 0 ? .max : wholeTimeoutNs
        self.patterns = patterns
        (self.identity, self.tracing, self.breaker) = (identity, tracing, breaker)
        self.upstream = upstream
        self.configuration = configuration
        self.trusted = trusted
        let edits = configuration.requestHeaders
        removed = (edits.remove + edits.set.map(\.name)).map { Array($0.lowercased().utf8) }
        added = (edits.set + edits.add).map { (Array($0.name.utf8), Array($0.value.utf8)) }
        responseRemoved = configuration.responseHeaders.remove + configuration.responseHeaders.set.map(\.name)
        responseAdded = configuration.responseHeaders.set + configuration.responseHeaders.add
        retry = RetryPolicy(RetrySettings(configuration.retry))
        let timeout = configuration.responseTimeoutNs ?? upstream.configuration.timeouts.responseNs
        timeoutNs = timeout == 0 ? .max : timeout
        host = if case .name(let name) = configuration.host { Array(name.utf8) } else { [] }
    }

    /// Forwards a request. On a loop's thread.
    /// - Parameters:
    ///   - filters: nil when none have been passed.
    ///   - pass: what they found out.
    func respond(to request: borrowing Request, _ response: inout Response, _ filters: FilterChain?, _ pass: FilterPass) {
        // A 2xx would make the stream a tunnel to nowhere (RFC 9110 section 9.3.6).
        if request.method == .connect, !configuration.webSocket { return response.fail(.notImplemented) }
        let here = upstream.onLoop(of: response)
        let exchange = here.take(response)
        let forwarded = exchange.request
        forwarded.begin(request)
        rewritePath(request, forwarded)
        switch configuration.host {
        case .preserve: break
        case .name: forwarded.setAuthority(host)
        // Known when a server is chosen.
        case .upstream: exchange.marks.1 |= LoopUpstream.takesServersAuthority
        }
        let trusts = trusted.contains(request.peer)
        var saysTime = false
        forwarded.copyFields(of: request, upgrades: configuration.webSocket) { known, name in
            if time.isField(name) {
                saysTime = true
                return true
            }
            return drops(known, name, trusts: trusts) || (filters?.drops(name) ?? false)
        }
        addForwarded(request, forwarded, trusts: trusts)
        identity?.forward(request, response, forwarded)
        tracing?.forward(request, response, exchange)
        // Behind the filters' waiting it may be over.
        let clientsTime = saysTime ? time.taken(from: request, forwarded) : .max
        for index in added.indices { forwarded.addField(added[index].name, added[index].value) }
        exchange.marks.0 = upstream.key.value(request, trusted: trusted)
        filters?.forward(request, response, pass, to: forwarded)
        if let admission = pass.admission { exchange.marks.1 |= LoopUpstream.admissionMark(admission) }
        exchange.note = self
        exchange.forward(
            response, by: here, timeoutNs: timeoutNs, attemptTimeoutNs: .max, wholeTimeoutNs: wholeTimeoutNs, clientsTimeNs: clientsTime, since: pass.began)
    }

    // MARK: path

    /// A path in its normal form goes on as it came; another is sent as the one that the route was chosen by, so that the server cannot take it for something else.
    private func rewritePath(_ request: borrowing Request, _ forwarded: ProxyRequest) {
        let isNormal = RoutePath.isNormal(request.path.span)
        if isNormal, configuration.path == nil { return }
        var path = isNormal ? [UInt8](request.path) : RoutePath.normalized(request.path.span) ?? [0x2f]
        switch configuration.path {
        case nil: break
        case .prefix(let strip, let add): path = Self.replacePrefix(path, strip: Array(strip.utf8), add: Array(add.utf8))
        case .template(let template): path = fill(template, path)
        }
        var target = RoutePath.encoded(path)
        if let query = request.query {
            target.append(0x3f)
            target += [UInt8](query)
        }
        forwarded.setTarget(target)
    }

    /// The template with what the route's pattern took of the path.
    private func fill(_ template: PathTemplate, _ path: [UInt8]) -> [UInt8] {
        let text = String(decoding: path, as: UTF8.self)
        let captures = patterns.lazy.compactMap { $0.captures(of: text) }.first ?? [:]
        let filled = template.parts.map { part in
            switch part {
            case .literal(let literal): literal
            case .path: text
            case .rest: captures["rest"] ?? ""
            case .capture(let name): captures[name] ?? ""
            }
        }.joined()
        return Array(filled.hasPrefix("/") ? filled.utf8 : "/\(filled)".utf8)
    }

    private static func replacePrefix(_ path: [UInt8], strip: [UInt8], add: [UInt8]) -> [UInt8] {
        var rest = path[...]
        if path.starts(with: strip), path.count == strip.count || strip.last == 0x2f || path[strip.count] == 0x2f { rest = path[strip.count...] }
        var result = add
        if result.last == 0x2f, rest.first == 0x2f { rest = rest.dropFirst() }
        if result.last != 0x2f, rest.first != 0x2f, !rest.isEmpty || result.isEmpty { result.append(0x2f) }
        return result + rest
    }

    // MARK: fields

    private func drops(_ known: KnownField, _ name: ByteView, trusts: Bool) -> Bool {
        switch known {
        // What others say about the client is believed from those alone who are trusted, and then said on with more.
        case .xForwardedFor, .xForwardedHost, .xForwardedProto, .forwarded, .xRealIP: return true
        default: break
        }
        // Written anew behind these.
        if let identity, identity.isField(name) { return true }
        if tracing != nil, TraceForwarding.isField(name) { return true }
        for other in removed where name.count == other.count && name.equalsIgnoringCase(other) { return true }
        return false
    }

    /// Says who the client is (X-Forwarded-*, or RFC 7239): behind what a trusted peer has said, or alone.
    private func addForwarded(_ request: borrowing Request, _ forwarded: ProxyRequest, trusts: Bool) {
        guard configuration.forwarded != .off else { return }
        let peer = request.peer.address
        if configuration.forwarded.writesXForwarded {
            let proto = trusts ? request.headers["x-forwarded-proto"] : nil
            let host = trusts ? request.headers["x-forwarded-host"] : nil
            Self.withText { text in
                if trusts { Self.join(request, .xForwardedFor, &text) }
                if let peer {
                    if text.count > 0 { text.append(", ") }
                    peer.append(to: &text)
                }
                Self.add("x-forwarded-for", text, forwarded)
            }
            Self.withText { text in
                if let proto { text.append(proto.span) } else { text.append(request.isSecure ? "https" : "http") }
                Self.add("x-forwarded-proto", text, forwarded)
            }
            Self.withText { text in
                if let host { text.append(host.span) } else { text.append(request.authority.span) }
                Self.add("x-forwarded-host", text, forwarded)
            }
        }
        if configuration.forwarded.writesForwarded {
            Self.withText { text in
                if trusts { Self.join(request, .forwarded, &text) }
                if text.count > 0 { text.append(", ") }
                Self.writeElement(peer, request, &text)
                Self.add("forwarded", text, forwarded)
            }
        }
    }

    /// `for=192.0.2.1;proto=https;host=…` (RFC 7239 section 4).
    private static func writeElement(_ peer: IPAddress?, _ request: borrowing Request, _ text: inout ByteSink) {
        text.append("for=")
        if let peer {
            if peer.isIPv4 { peer.append(to: &text) } else {
                text.append("\"[")
                peer.append(to: &text)
                text.append("]\"")
            }
        } else {
            text.append("unknown")
        }
        text.append(request.isSecure ? ";proto=https" : ";proto=http")
        guard !request.authority.isEmpty else { return }
        text.append(";host=\"")
        text.append(request.authority.span)
        text.append("\"")
    }

    /// All lines of a field, as one list.
    private static func join(_ request: borrowing Request, _ field: KnownField, _ text: inout ByteSink) {
        for index in 0..<request.headers.count where request.headers.isField(field, at: index) {
            if text.count > 0 { text.append(", ") }
            text.append(request.headers.value(at: index).span)
        }
    }

    /// Lists of addresses are not longer than this; what does not fit is left out whole, so that nobody takes a part for all.
    private static let textBytesMax = 1024

    private static func withText(_ body: (inout ByteSink) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: textBytesMax) { memory in
            guard let base = memory.baseAddress else { return }
            // SAFETY: the memory lives through this call, and the sink no longer.
            var sink = unsafe ByteSink(base, capacity: memory.count)
            body(&sink)
        }
    }

    private static func add(_ name: StaticString, _ text: borrowing ByteSink, _ forwarded: ProxyRequest) {
        guard !text.isTruncated, text.count > 0 else { return }
        // A literal lives as long as the program.
        let name = unsafe Span<UInt8>(_unsafeStart: name.utf8Start, count: name.utf8CodeUnitCount)
        text.withBytes { _ = forwarded.addField(name, $0) }
    }

    /// Whether the body is to be handed on as it comes, rather than waited for.
    func wantsStream(_ request: borrowing Request) -> Bool {
        guard let length = request.announcedLength else { return true }
        return length > max(configuration.requestBufferBytes, Self.smallBodyBytes)
    }

    /// The longest body of a request; nil: what the server says.
    var bodyBytesMax: UInt64? { configuration.bodyBytesMax.map { $0 == 0 ? .max : $0 } }

    /// Bodies up to here are one receive as a rule, and can be sent again when they are whole.
    private static let smallBodyBytes: UInt64 = 16 * 1024

    /// The outcome is there: the response that the client gets.
    func settle(_ exchange: ProxyExchange, _ response: borrowing Response) {
        guard let admission = LoopUpstream.takeAdmission(exchange) else { return }
        // No fault of those behind the breaker: its client wanted it sooner.
        if exchange.hasClientsTime, exchange.now >= exchange.abortsAt { return breaker?.abandon(admission) ?? () }
        breaker?.record(admission, status: response.status, latencyNs: exchange.elapsedNs, loop: response.loopIndex, now: exchange.now)
    }

    /// An attempt is about to be sent: what is left of its time.
    func tellTime(_ exchange: ProxyExchange) { time.tell(exchange) }

    /// There is none: the client left.
    func abandon(_ exchange: ProxyExchange) {
        guard let admission = LoopUpstream.takeAdmission(exchange) else { return }
        breaker?.abandon(admission)
    }

    func edit(_ response: inout Response) {
        for name in responseRemoved { response.headers.remove(dynamicName: name) }
        for field in responseAdded { response.headers.add(dynamicName: field.name, field.value) }
    }
}
