// TraceForwarding: the W3C trace context of requests (`tracing`): the client's trace continued, where it is believed, or a new one begun, and told to the upstream. Made when an application is,
// immutable; runs on the request's loop.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class TraceForwarding: Sendable {
    private let sampler: TraceSampler
    private let trust: Trust
    private let trusted: TrustedProxies
    private let random: LoopRandom
    let spans: RequestSpans

    init(_ configuration: TracingConfiguration, _ spans: RequestSpans, trusted: TrustedProxies, loops: Int) {
        self.spans = spans
        sampler = TraceSampler(ratio: configuration.sample.fraction)
        (trust, self.trusted, random) = (configuration.trust, trusted, LoopRandom(loops: loops))
    }

    /// The fields that are written anew here, and not passed on as they came.
    static func isField(_ name: ByteView) -> Bool {
        (name.count == 11 && name.equalsIgnoringCase("traceparent")) || (name.count == 10 && name.equalsIgnoringCase("tracestate"))
    }

    /// Before the request is answered: its place in the trace that it belongs to, or in a new one.
    func begin(_ request: borrowing Request, _ response: borrowing Response) {
        let parent = trusted.believes(request.peer, trust) ? Self.parent(request) : nil
        let context = random.with(response.loopIndex) { sampler.context(parent: parent, random: &$0) }
        response.exchangeTrace = ExchangeTrace(
            high: context.trace.high, low: context.trace.low, span: context.span, parent: parent?.span ?? 0, flags: context.flags, isKept: context.isSampled)
    }

    /// Adds traceparent, and tracestate where the trace goes on. Of a trace that is kept each attempt has a span of its own, whose number is written in later (`ProxyExchange.span`).
    func forward(_ request: borrowing Request, _ response: borrowing Response, _ exchange: ProxyExchange) {
        let (trace, forwarded) = (response.exchangeTrace, exchange.request)
        guard let context = trace.context else { return }
        let before = forwarded.fieldBytes
        Self.withText { text in
            context.append(to: &text)
            Self.add("traceparent", text, forwarded)
        }
        // `traceparent: 00-` 32 `-` is before the number.
        if trace.isKept { exchange.span = ProxySpan(trace, place: before + 49) }
        if trace.parent != 0 { Self.forwardState(request, forwarded) }
    }

    /// An attempt begins.
    func begin(_ exchange: ProxyExchange, loop: Int) { random.with(loop) { spans.begin(exchange, &$0) } }

    private static func parent(_ request: borrowing Request) -> TraceContext? {
        var found: TraceContext?
        var lines = 0
        for index in 0..<request.headers.count {
            let name = request.headers.name(at: index)
            guard name.count == 11, name.equalsIgnoringCase("traceparent") else { continue }
            lines += 1
            found = TraceContext(request.headers.value(at: index).span)
        }
        // More than one is none (Trace Context section 3.2).
        return lines == 1 ? found : nil
    }

    /// All lines, or none when one of them is malformed.
    private static func forwardState(_ request: borrowing Request, _ forwarded: ProxyRequest) {
        var members = 0
        for index in 0..<request.headers.count where isState(request.headers.name(at: index)) {
            guard TraceState.isValid(request.headers.value(at: index).span, members: &members) else { return }
        }
        let name: StaticString = "tracestate"
        for index in 0..<request.headers.count where isState(request.headers.name(at: index)) {
            // A literal lives as long as the program.
            let bytes = unsafe Span<UInt8>(_unsafeStart: name.utf8Start, count: name.utf8CodeUnitCount)
            forwarded.addField(bytes, request.headers.value(at: index).span)
        }
    }

    private static func isState(_ name: ByteView) -> Bool { name.count == 10 && name.equalsIgnoringCase("tracestate") }

    private static func withText(_ body: (inout ByteSink) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: TraceContext.textBytes) { memory in
            guard let base = memory.baseAddress else { return }
            // SAFETY: the memory lives through this call, and the sink no longer.
            var sink = unsafe ByteSink(base, capacity: memory.count)
            body(&sink)
        }
    }

    private static func add(_ name: StaticString, _ text: borrowing ByteSink, _ forwarded: ProxyRequest) {
        // As above.
        let name = unsafe Span<UInt8>(_unsafeStart: name.utf8Start, count: name.utf8CodeUnitCount)
        text.withBytes { _ = forwarded.addField(name, $0) }
    }
}
