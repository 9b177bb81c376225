// ProxyRoute: what a route with `proxy` does with a request on its way to the upstream: path, host, fields. Compiled from the configuration, immutable, shared by all loops.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

@safe
final class ProxyRoute: Sendable {
    let upstream: Upstream
    private let configuration: ProxyConfiguration
    private let secureHost: [UInt8]
    /// In lower case.
    private let removed: [[UInt8]]
    private let added: [(name: [UInt8], value: [UInt8])]
    private let responseRemoved: [[UInt8]]
    private let responseSet: [HeaderField]
    private let responseAdded: [HeaderField]
    private let timeoutNs: UInt64
    private let trusted: TrustedProxies

    init(_ configuration: ProxyConfiguration, _ upstream: Upstream, trusted: TrustedProxies) {
        self.upstream = upstream
        self.configuration = configuration
        self.trusted = trusted
        let edits = configuration.requestHeaders
        removed = (edits.remove + edits.set.map(\.name)).map { Array($0.lowercased().utf8) }
        added = (edits.set + edits.add).map { (Array($0.name.utf8), Array($0.value.utf8)) }
        responseRemoved = configuration.responseHeaders.remove.map { Array($0.lowercased().utf8) }
        responseSet = configuration.responseHeaders.set
        responseAdded = configuration.responseHeaders.add
        let timeout = configuration.responseTimeoutNs ?? upstream.configuration.timeouts.responseNs
        timeoutNs = timeout == 0 ? .max : timeout
        secureHost = if case .name(let name) = configuration.host { Array(name.utf8) } else { [] }
    }

    /// Forwards a request. On a loop's thread.
    func respond(to request: borrowing Request, _ response: inout Response) {
        let here = upstream.onLoop(of: response)
        let exchange = here.take(response)
        let forwarded = exchange.request
        forwarded.begin(request)
        rewritePath(request, forwarded)
        if !secureHost.isEmpty { forwarded.setAuthority(secureHost.span) }
        let trusts = trusted.contains(request.peer)
        forwarded.copyFields(of: request, upgrades: configuration.webSocket) { known, name in drops(known, name, trusts: trusts) }
        addForwarded(request, forwarded, trusts: trusts)
        for (name, value) in added { forwarded.addField(name.span, value.span) }
        exchange.note = self
        exchange.forward(response, by: here, timeoutNs: timeoutNs, attemptTimeoutNs: .max)
    }

    // MARK: path

    /// A path in its normal form goes on as it came; another is sent as the one that the route was chosen by, so that the server cannot take it for something else.
    private func rewritePath(_ request: borrowing Request, _ forwarded: ProxyRequest) {
        let isNormal = RoutePath.isNormal(request.path.span)
        if isNormal, configuration.path == nil { return }
        var path = isNormal ? [UInt8](request.path) : RoutePath.normalized(request.path.span) ?? [0x2f]
        if case .prefix(let strip, let add) = configuration.path { path = Self.replacePrefix(path, strip: Array(strip.utf8), add: Array(add.utf8)) }
        var target = RoutePath.encoded(path)
        if let query = request.query {
            target.append(0x3f)
            target += [UInt8](query)
        }
        forwarded.setTarget(target.span)
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
        for other in removed where name.count == other.count && name.equalsIgnoringCase(other.span) { return true }
        return false
    }

    private func addForwarded(_ request: borrowing Request, _ forwarded: ProxyRequest, trusts: Bool) {
        guard configuration.forwarded.writesXForwarded else { return }
        var value = unsafe ByteSinkStorage()
        _ = value
    }

    func edit(_ response: inout Response) {
        for field in responseSet { response.headers[field.name] = field.value }
    }
}
