// RequestIdentity: the id that requests have for logs, upstreams and clients (`request-id`): taken over from whom is believed, or made here (UUIDv7). Made when an
// application is, immutable; everything runs on the request's loop.
//
// An id that is made is two numbers: they travel with the response to the access log (`Response.exchangeMark`). One that is taken over is read from the request each
// time; only the response, which outlives the request's bytes, keeps a copy.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

package final class RequestIdentity: Sendable {
    /// In lower case.
    let name: [UInt8]
    private let trust: Trust
    private let trusted: TrustedProxies
    private let random: LoopRandom
    /// nil: responses do not carry it.
    private let step: ResponseStep?

    init(_ configuration: RequestIdentifierConfiguration, trusted: TrustedProxies, loops: Int) {
        let header = configuration.header.lowercased()
        (name, trust, self.trusted, random) = (Array(header.utf8), configuration.trust, trusted, LoopRandom(loops: loops))
        step = configuration.responds ? ResponseStep { response, _ in Self.write(header, &response) } : nil
    }

    /// Before the request is answered.
    func begin(_ request: borrowing Request, _ response: borrowing Response) {
        if given(request) != nil {
            if step != nil { keep(request, response) }
        } else {
            response.exchangeMark = random.with(response.loopIndex) { RequestID.uuid(now: Gateway.wallNs(), random: &$0) }
        }
        if let step { response.beforeSending(step) }
    }

    /// Adds it to what an upstream gets. The client's own is not among the fields.
    func forward(_ request: borrowing Request, _ response: borrowing Response, _ forwarded: ProxyRequest) {
        let name = name
        if let index = given(request) {
            forwarded.addField(name.span, request.headers.value(at: index).span)
        } else {
            Self.withText(response.exchangeMark) { _ = forwarded.addField(name.span, $0) }
        }
    }

    /// Calls `body` with the id of a finished request.
    func withID(_ request: borrowing Request, _ record: ExchangeRecord, _ body: (Span<UInt8>) -> Void) {
        if record.mark != (0, 0) { return Self.withText(record.mark, body) }
        if let index = given(request) { return body(request.headers.value(at: index).span) }
        body(Span())
    }

    func isField(_ name: ByteView) -> Bool { name.count == self.name.count && name.equalsIgnoringCase(self.name) }

    // MARK: ids of others

    /// The place of the one field with an id that is taken over.
    private func given(_ request: borrowing Request) -> Int? {
        guard trusted.believes(request.peer, trust) else { return nil }
        var found: Int?
        for index in 0..<request.headers.count where isField(request.headers.name(at: index)) {
            // Two of them are none: whoever reads the other one has another id.
            guard found == nil else { return nil }
            found = index
        }
        guard let found, RequestID.isAcceptable(request.headers.value(at: found).span) else { return nil }
        return found
    }

    private struct Kept {
        /// As long as `RequestID.isAcceptable` lets it be.
        var bytes = InlineArray<128, UInt8>(repeating: 0)
        var count = 0
    }

    private static let kept = RequestKey<Kept>()

    private func keep(_ request: borrowing Request, _ response: borrowing Response) {
        guard let index = given(request) else { return }
        let value = request.headers.value(at: index).span
        var kept = Kept()
        kept.count = value.count
        for place in 0..<value.count { kept.bytes[place] = value[place] }
        response[Self.kept] = kept
    }

    // MARK: responses

    /// An upstream's own is replaced: the log has ours.
    private static func write(_ header: String, _ response: inout Response) {
        let mark = response.exchangeMark
        if mark == (0, 0), let kept = response[Self.kept] {
            response.headers.remove(dynamicName: header)
            response.headers.add(dynamicName: header, ByteView(kept.bytes.span.extracting(0..<kept.count)))
        } else if mark != (0, 0) {
            response.headers.remove(dynamicName: header)
            let headers = response.headers
            withText(mark) { headers.add(dynamicName: header, ByteView($0)) }
        }
    }

    private static func withText(_ mark: (UInt64, UInt64), _ body: (Span<UInt8>) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RequestID.uuidBytes) { memory in
            guard let base = memory.baseAddress else { return }
            // SAFETY: the memory lives through this call, and the sink no longer.
            var sink = unsafe ByteSink(base, capacity: memory.count)
            RequestID.append(mark, to: &sink)
            sink.withBytes { body($0) }
        }
    }
}

extension TrustedProxies {
    /// Whether what this peer says about a request is believed.
    func believes(_ peer: RequestPeer, _ trust: Trust) -> Bool {
        switch trust {
        case .all: true
        case .trusted: contains(peer)
        case .none: false
        }
    }
}
