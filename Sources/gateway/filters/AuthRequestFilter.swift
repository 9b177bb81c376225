// AuthRequestFilter: asks another server whether a request may pass, as nginx's auth_request and Envoy's ext_authz over HTTP do. The question goes over the upstream's own connections while the
// request waits (FilterChain.wait); answers may be remembered for a short time, by each loop for itself. Made at start and on reloads. The loops' threads.

internal import UringHTTP
internal import UringPolicy
internal import UringServer
internal import UringTLS

@safe
final class AuthRequestFilter: Sendable {
    /// What came of a question; in the order of `FilterCounts.results`.
    private enum Decision: Int, CaseIterable {
        case allowed, cached, denied, failedClosed, failedOpen

        var word: String {
            switch self {
            case .allowed: "allowed"
            case .cached: "cached"
            case .denied: "denied"
            case .failedClosed: "failed_closed"
            case .failedOpen: "failed_open"
            }
        }
    }

    static let results = Decision.allCases.map(\.word)

    /// Of the content of a refusal; what is longer is not handed on.
    private static let contentBytesMax = 64 * 1024
    /// Servers that are tried when no connection to one can be made.
    private static let serversMax = 3
    /// Fields that say something about a refusal to the client, as its content's type and what it may do next.
    private static let passed: [StaticString] = [
        "www-authenticate", "location", "set-cookie", "cache-control", "retry-after", "content-type", "content-language", "x-request-id",
    ]

    /// The fields of a good answer, copied to memory of the response's values: each the header's number, its length and its bytes.
    /// Safe: only this file touches what it points to.
    @safe private struct Grant: BitwiseCopyable {
        let start: UnsafeMutableRawPointer
        let count: Int
    }

    private static let grant = RequestKey<Grant>()

    private let configuration: AuthRequestConfiguration
    private let upstream: Upstream
    private let clients: ClientAddresses
    private let trusted: TrustedProxies
    private let counts: FilterCounts
    private let method: HTTPMethod
    private let forwardHeaders: [[UInt8]]
    private let copyHeaders: FixedList
    let removed: [String]
    /// Nil: nothing is remembered.
    private let caches: LoopLocal<AuthAnswerCache>?
    private let digest: KeyedDigest?

    init(_ configuration: AuthRequestConfiguration, _ upstream: Upstream, _ clients: ClientAddresses, _ trusted: TrustedProxies, _ counts: FilterCounts) {
        (self.configuration, self.upstream, self.clients, self.trusted, self.counts) = (configuration, upstream, clients, trusted, counts)
        method = configuration.method == "HEAD" ? .head : configuration.method == "POST" ? .post : .get
        forwardHeaders = configuration.forwardHeaders.map { Array($0.utf8) }
        copyHeaders = FixedList(configuration.copyHeaders)
        removed = configuration.copyHeaders
        digest = configuration.cacheNs > 0 ? KeyedDigest() : nil
        let entriesMax = configuration.cacheEntriesMax
        // Without random bytes for the key nothing is remembered.
        caches = digest == nil ? nil : LoopLocal { AuthAnswerCache(entriesMax: entriesMax) }
    }

    // MARK: the question

    /// What the request is known by, and what is asked about it. Allocates: the question does in any case.
    private func lines(_ request: borrowing Request) -> [(name: [UInt8], value: [UInt8])] {
        let trusts = trusted.contains(request.peer)
        var proto = Array((request.isSecure ? "https" : "http").utf8)
        var host = [UInt8](request.authority)
        // As on the way to an upstream: said by those alone who are trusted.
        if trusts, let said = request.headers["x-forwarded-proto"] { proto = [UInt8](said) }
        if trusts, let said = request.headers["x-forwarded-host"] { host = [UInt8](said) }
        var lines: [(name: [UInt8], value: [UInt8])] = [
            (Array("x-forwarded-method".utf8), [UInt8](request.methodName)), (Array("x-forwarded-proto".utf8), proto), (Array("x-forwarded-host".utf8), host),
            (Array("x-forwarded-uri".utf8), target(request)),
        ]
        if let client = clients.client(of: request) { lines.append((Array("x-forwarded-for".utf8), Array("\(client)".utf8))) }
        for name in forwardHeaders {
            var crumbs: [UInt8] = []
            let isCookie = name == Array("cookie".utf8)
            for index in 0..<request.headers.count where request.headers.name(at: index).equalsIgnoringCase(name.span) {
                let value = [UInt8](request.headers.value(at: index))
                // Crumbs of one field on HTTP/2 (RFC 9113 section 8.2.3), which everybody else has in one line.
                if isCookie { crumbs += (crumbs.isEmpty ? [] : Array("; ".utf8)) + value } else { lines.append((name, value)) }
            }
            if isCookie, !crumbs.isEmpty { lines.append((name, crumbs)) }
        }
        return lines
    }

    /// As the route was chosen by, so that nobody decides about another path than the upstream gets.
    private func target(_ request: borrowing Request) -> [UInt8] {
        var target = RoutePath.target(request.path)
        if let query = request.query {
            target.append(0x3f)
            target += [UInt8](query)
        }
        return target
    }

    /// Of everything that is asked with: the answer to one question is none to another.
    private func code(_ lines: [(name: [UInt8], value: [UInt8])]) -> KeyedDigest.Code? {
        guard let digest else { return nil }
        var bytes: [UInt8] = []
        for (name, value) in lines {
            // With lengths, so that no two questions are the same bytes.
            unsafe withUnsafeBytes(of: (UInt64(name.count), UInt64(value.count))) { unsafe bytes.append(contentsOf: $0) }
            bytes += name
            bytes += value
        }
        // The array lives through the call.
        return unsafe bytes.withUnsafeBufferPointer { unsafe digest.code($0) }
    }

    /// Whether the answer is known. On a loop's thread.
    func judge(_ request: borrowing Request, _ response: inout Response) -> FilterVerdict {
        guard let caches, let code = code(lines(request)) else { return .waits(0) }
        let now = response.monotonicNanoseconds
        guard let fields = caches.with(response, { $0.find(code, now: now) }) else { return .waits(0) }
        keep(fields, response)
        counts.add(Decision.cached.rawValue, loop: response.loopIndex)
        return .pass
    }

    /// Asks. In an async handler, on the loop.
    /// - Returns: false when the response is written.
    func ask(_ request: borrowing Request, _ response: inout Response) async throws -> Bool {
        let lines = lines(request)
        var here = upstream.onLoop(of: response)
        let began = response.monotonicNanoseconds
        var tried = TriedServers()
        while true {
            // A name may have got other addresses meanwhile.
            let latest = upstream.onLoop(of: response)
            if latest !== here { (here, tried) = (latest, TriedServers()) }
            guard let (server, pool) = here.lease(tried: tried, now: response.monotonicNanoseconds) else { return fail("no server is available", &response) }
            let asked = response.monotonicNanoseconds
            let spent = asked &- began
            var question = ProbeRequest(method, target: Array(configuration.path.utf8), authority: here.servers.authorities[server])
            question.lines = lines
            let probe = UpstreamProbe(question, pool, on: request.loop, contentBytesMax: Self.contentBytesMax)
            let answer = await probe.ask(timeout: .nanoseconds(Int64(clamping: configuration.timeoutNs - min(spent, configuration.timeoutNs))))
            let now = response.monotonicNanoseconds
            here.settle(server, Task.isCancelled ? .cancelled : ProxyOutcome(answer), nanoseconds: now &- asked, now: now)
            try Task.checkCancellation()
            switch answer {
            case .success:
                guard let found = probe.response else { return fail("no answer", &response) }
                return decide(found, lines, &response)
            case .failure(let error):
                // Another server may do better, where this one cannot have acted on it.
                tried.insert(server)
                let isOver = now &- began >= configuration.timeoutNs
                guard error.wasNotSent, !isOver, tried.count < min(Self.serversMax, here.servers.authorities.count) else { return fail(error.description, &response) }
            }
        }
    }

    // MARK: the answer

    private func decide(_ answer: ProbeResponse, _ lines: [(name: [UInt8], value: [UInt8])], _ response: inout Response) -> Bool {
        switch answer.status.code {
        case 200..<300:
            let fields = copied(answer)
            keep(fields, response)
            remember(answer, fields, lines, response)
            counts.add(Decision.allowed.rawValue, loop: response.loopIndex)
            return true
        // 304 is an answer to a condition, which the question had not.
        case 300..<304, 305..<500:
            refuse(answer, &response)
            counts.add(Decision.denied.rawValue, loop: response.loopIndex)
            return false
        default: return fail("status \(answer.status.code)", &response)
        }
    }

    /// The fields of a good answer that go upstream, as `Grant` has them.
    private func copied(_ answer: ProbeResponse) -> [UInt8] {
        var bytes: [UInt8] = []
        for index in 0..<copyHeaders.count {
            for (name, value) in answer.fields {
                // SAFETY: the list is this object's.
                guard unsafe ByteView(name.span).equalsIgnoringCase(Span(_unsafeElements: copyHeaders.buffer(index))) else { continue }
                unsafe withUnsafeBytes(of: (UInt32(index), UInt32(clamping: value.count))) { unsafe bytes.append(contentsOf: $0) }
                bytes += value
            }
        }
        return bytes
    }

    private func keep(_ fields: [UInt8], _ response: borrowing Response) {
        guard !fields.isEmpty else { return }
        let memory = unsafe response.valueMemory(fields.count)
        unsafe fields.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        response[Self.grant] = unsafe Grant(start: memory, count: fields.count)
    }

    /// Sets what the answer said on the request to the upstream. Values that could end their line are refused there once more.
    func forward(_ response: borrowing Response, to forwarded: ProxyRequest) {
        guard let grant = response[Self.grant] else { return }
        var at = 0
        let head = MemoryLayout<UInt32>.size * 2
        // SAFETY: the memory lives as long as the response's values; `keep` has written it, lengths included; the list is this object's.
        while at + head <= grant.count {
            let index = Int(unsafe grant.start.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            let count = Int(unsafe grant.start.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
            at += head
            guard index < copyHeaders.count, count <= grant.count - at else { return }
            let value = unsafe Span<UInt8>(_unsafeStart: (grant.start + at).assumingMemoryBound(to: UInt8.self), count: count)
            forwarded.addField(unsafe Span(_unsafeElements: copyHeaders.buffer(index)), value)
            at += count
        }
    }

    private func remember(_ answer: ProbeResponse, _ fields: [UInt8], _ lines: [(name: [UInt8], value: [UInt8])], _ response: borrowing Response) {
        guard let caches, fields.count <= AuthAnswerCache.fieldBytesMax, let lifetime = AuthAnswerCache.lifetime(configuration.cacheNs, answer.fields), let code = code(lines) else { return }
        let now = response.monotonicNanoseconds
        caches.with(response) { $0.add(code, fields, until: now &+ lifetime) }
    }

    private func refuse(_ answer: ProbeResponse, _ response: inout Response) {
        response.restart(answer.status)
        let isEncoded = answer.fields.contains { Self.isNamed($0.name, "content-encoding") }
        let hasContent = !answer.content.isEmpty && !isEncoded
        // What it is about is not handed on, but what to do about it.
        if !hasContent { response.problem(answer.status, "the authorisation server does not let this request pass") }
        for name in Self.passed where hasContent || !ByteView(name.bytes).hasPrefix("content-") {
            for (found, value) in answer.fields where Self.isNamed(found, name) { response.headers.add(name, ByteView(value.span)) }
        }
        if hasContent { response.write(answer.content) }
    }

    private static func isNamed(_ name: [UInt8], _ wanted: StaticString) -> Bool { ByteView(name.span).equalsIgnoringCase(wanted) }

    /// No answer, or none that says yes or no.
    private func fail(_ reason: String, _ response: inout Response) -> Bool {
        let result = configuration.failsOpen ? Decision.failedOpen : .failedClosed
        counts.add(
            result.rawValue, loop: response.loopIndex, now: response.monotonicNanoseconds,
            "the upstream \(configuration.upstream) does not say whether requests may pass (\(reason)); \(configuration.failsOpen ? "they pass" : "they get 503")")
        if configuration.failsOpen { return true }
        response.problem(.serviceUnavailable, "the authorisation server does not answer")
        return false
    }
}

extension ProxyOutcome {
    /// What came of a request of the gateway's own.
    init(_ answer: UpstreamProbe.Answer) {
        switch answer {
        case .success(let status): self = .status(status)
        case .failure(let error):
            switch error.reason {
            case .connect, .resolve, .tls: self = .failed(.connect)
            case .overloaded: self = .failed(.overloaded)
            case .timeout: self = .failed(.timeout)
            case .malformedResponse: self = .failed(.malformed)
            case .closed, .invalidRequest: self = .failed(.reset)
            }
        }
    }
}
