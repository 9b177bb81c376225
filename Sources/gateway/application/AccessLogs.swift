// AccessLogs: one writer per loop, reached by the loop's number. Made at start and on each reload; each writer is used on its loop's thread
// only, and by deinit when no loop holds this object any more.

internal import Glibc
internal import UringHTTP
internal import UringPolicy
package import UringServer

// Unchecked: a slot is touched by its own loop's thread alone, see above.
@safe
package final class AccessLogs: @unchecked Sendable {
    /// Retained by this object; freed in deinit.
    private let writers: UnsafeMutableBufferPointer<Unmanaged<AccessLogWriter>>
    package let flushNs: UInt64
    /// Of the requests that were not answered with 5xx, in hundredths of a percent.
    private let sample: UInt64
    private let random: LoopRandom

    /// Opens the log once per loop.
    package init(_ configuration: AccessLogConfiguration, loops: Int) throws(TextProblem) {
        var opened: [AccessLogWriter] = []
        for _ in 0..<loops {
            let file = try AccessLogFile.open(path: configuration.path).get()
            opened.append(AccessLogWriter(format: configuration.format, bufferBytes: configuration.bufferBytes, sink: file))
        }
        flushNs = configuration.flushNs
        (sample, random) = (UInt64(configuration.sample.hundredths), LoopRandom(loops: loops))
        unsafe writers = .allocate(capacity: loops)
        _ = unsafe writers.initialize(from: opened.map { unsafe Unmanaged.passRetained($0) })
    }

    deinit {
        for loop in unsafe writers.indices {
            withWriter(loop) { $0.close() }
            unsafe writers[loop].release()
        }
        unsafe writers.deallocate()
    }

    private func withWriter(_ loop: Int, _ body: (AccessLogWriter) -> Void) {
        guard unsafe writers.indices.contains(loop) else { return }
        // SAFETY: retained until deinit.
        unsafe writers[loop]._withUnsafeGuaranteedRef(body)
    }

    /// On the loop's thread.
    package func flush(_ loop: Int) { withWriter(loop) { $0.flush() } }

    /// On the loop's thread.
    package func counters(_ loop: Int) -> AccessLogCounters {
        var counters = AccessLogCounters()
        withWriter(loop) { counters = $0.counters }
        return counters
    }

    /// On the loop's thread. Answers 0 or an errno; then the old file stays.
    package func reopen(_ loop: Int) -> CInt {
        var code: CInt = 0
        withWriter(loop) { code = $0.reopen() }
        return code
    }

    /// Adds a line, unless it is not drawn. On the loop's thread.
    /// - Parameter identity: what gave the request its id; nil logs what the client calls `x-request-id`.
    package func record(_ request: borrowing Request, _ record: ExchangeRecord, _ identity: RequestIdentity? = nil) {
        guard unsafe writers.indices.contains(record.loop), isDrawn(record) else { return }
        if let identity {
            identity.withID(request, record) { write(request, record, requestID: $0) }
        } else {
            write(request, record, requestID: Self.field("x-request-id", request))
        }
    }

    private func isDrawn(_ record: ExchangeRecord) -> Bool {
        guard sample < UInt64(Percentage.hundred.hundredths), record.status < 500 else { return true }
        return random.with(record.loop) { $0.below(UInt64(Percentage.hundred.hundredths)) < sample }
    }

    private func write(_ request: borrowing Request, _ record: ExchangeRecord, requestID: Span<UInt8>) {
        var entry = AccessLogEntry(
            peer: PeerAddress(request.peer), wallNs: Self.wallNs() &- record.nanoseconds, durationNs: record.nanoseconds,
            status: record.status, bytes: record.bodyBytes, version: request.versionNumbers,
            method: request.methodName.span, target: request.target.span, host: request.authority.span,
            userAgent: Self.field("user-agent", request), referer: Self.field("referer", request),
            route: Self.route(record), requestID: requestID, tls: .of(request))
        entry.trace = (record.trace.high, record.trace.low)
        // SAFETY: as in withWriter.
        unsafe writers[record.loop]._withUnsafeGuaranteedRef { $0.append(entry) }
    }

    @_lifetime(borrow request)
    private static func field(_ name: StaticString, _ request: borrowing Request) -> Span<UInt8> {
        if let value = request.headers[name] { return value.span }
        return Span()
    }

    @_lifetime(immortal)
    private static func route(_ record: ExchangeRecord) -> Span<UInt8> {
        if let name = record.route { return name.bytes }
        return Span()
    }

    private static func wallNs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
    }
}

extension PeerAddress {
    init(_ peer: RequestPeer) {
        switch peer {
        case .local: self = .unix
        case .ipv4(let address, let port): self = .ipv4(address, port: port)
        case .ipv6(let high, let low, let port): self = .ipv6(high: high, low: low, port: port)
        }
    }
}
