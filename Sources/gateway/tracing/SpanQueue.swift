// SpanQueue: the spans of one loop on their way to the collector. Requests put them in, on the loop's thread and without a lock; what has come together is handed to the exporter (`SpanHandoff`) when it
// is enough for a request, and when the loop flushes. Bounded: beyond the limit spans are dropped and counted, whatever the collector does.

internal import Synchronization
internal import UringBase
internal import UringPolicy

/// Why the collector has not got a span.
enum SpanLoss: Int, CaseIterable, Sendable {
    /// As many wait as may.
    case queueFull
    /// It is larger than the memory for a batch.
    case tooLarge
    /// The collector would not have it.
    case refused
    /// The collector could not be reached, or was busy, for too long.
    case unreachable
    /// The server ended, or `tracing` changed, before it could be sent.
    case stopped

    var word: String {
        switch self {
        case .queueFull: "queue-full"
        case .tooLarge: "too-large"
        case .refused: "refused"
        case .unreachable: "unreachable"
        case .stopped: "stopped"
        }
    }
}

/// What became of spans, over all loops. Outlives reloads. Any thread.
final class SpanCounters: Sendable {
    private let exports = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)
    private let losses: [Cell] = SpanLoss.allCases.map { _ in Cell() }

    private final class Cell: Sendable { let count = Atomic<UInt64>(0) }

    func exported(_ spans: Int) { exports.add(UInt64(spans), ordering: .relaxed) }
    func failed() { failures.add(1, ordering: .relaxed) }
    func lost(_ spans: Int, _ loss: SpanLoss) { losses[loss.rawValue].count.add(UInt64(spans), ordering: .relaxed) }

    var figures: SpanFigures {
        SpanFigures(
            exported: exports.load(ordering: .relaxed), dropped: SpanLoss.allCases.map { ($0.word, losses[$0.rawValue].count.load(ordering: .relaxed)) },
            exportsFailed: failures.load(ordering: .relaxed))
    }
}

/// Spans of one loop, encoded: an ExportTraceServiceRequest of its own.
struct SpanBody: Sendable {
    let bytes: [UInt8]
    let spans: Int
    let loop: Int
    /// When the oldest of them ended; monotonic ns.
    let since: UInt64
}

// Unchecked: touched on its loop's thread alone, but for `waiting`, and in `deinit`.
@safe
final class SpanQueue: @unchecked Sendable {
    private let loop: Int
    private let handoff: SpanHandoff
    private let counters: SpanCounters
    private let resource: [UInt8]
    private let limit: Int
    private let batchMax: Int
    private var batch: SpanBatch
    private var since: UInt64 = 0
    private var isRetired = false
    /// Handed over, and neither sent nor given up.
    private let handed = Atomic<Int>(0)

    /// - Parameters:
    ///   - limit: spans that wait at most.
    ///   - batch: spans of one request.
    ///   - resource: of `SpanBatch.encodeResource`.
    init(loop: Int, limit: Int, batch: Int, resource: [UInt8], _ handoff: SpanHandoff, _ counters: SpanCounters) {
        (self.loop, self.handoff, self.counters) = (loop, handoff, counters)
        (self.limit, self.resource) = (max(1, limit), resource)
        batchMax = max(1, min(batch, limit))
        self.batch = SpanBatch(capacity: min(batchMax, Self.spansAtOnceMax) * 2 * Self.spanBytes)
    }

    deinit { if !batch.isEmpty { counters.lost(batch.count, .stopped) } }

    /// What a span takes, with room for long paths; batches are handed over when half of their memory is full, so that the next span has room.
    private static let spanBytes = 1024
    private static let spansAtOnceMax = 512

    /// Adds a span, or counts it as dropped.
    func record(_ span: SpanRecord, name: Span<UInt8>, attributes: (inout SpanAttributes) -> Void) {
        if isRetired { return counters.lost(1, .stopped) }
        guard handed.load(ordering: .relaxed) + batch.count < limit else { return counters.lost(1, .queueFull) }
        if batch.isEmpty { since = MonotonicClock.now }
        let before = batch.dropped
        batch.record(span, name: name, attributes: attributes)
        if batch.dropped != before { return counters.lost(1, .tooLarge) }
        if batch.count >= batchMax || batch.isHalfFull { seal() }
    }

    /// Hands over what there is. Also on the thread that has waited for the loop's end.
    func seal() {
        guard !batch.isEmpty else { return }
        let count = batch.count
        let resource = resource
        let room = batch.requestBytes(resource.span)
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            // SAFETY: the array's own memory, during this call.
            var sink = unsafe ByteSink(base, capacity: room)
            if batch.takeRequest(resource: resource.span, to: &sink) { count = sink.count }
        }
        handed.add(count, ordering: .relaxed)
        handoff.add(SpanBody(bytes: bytes, spans: count, loop: loop, since: since))
    }

    /// Hands over what there is, and takes nothing more.
    func retire() {
        seal()
        isRetired = true
    }

    /// What was handed over is done with. Any thread.
    func settle(_ spans: Int) { handed.subtract(spans, ordering: .relaxed) }

    /// Handed over and not done with. Any thread.
    var waiting: Int { handed.load(ordering: .relaxed) }
}

/// Where loops leave what they have for the exporter. Locked for a moment, once for each batch.
final class SpanHandoff: Sendable {
    private struct State {
        var bodies: [SpanBody] = []
        var spans = 0
        var sleeper: Task<Void, Never>?
        var isEnding = false
        /// The sleeper is one that new spans do not wake.
        var isPausing = false
    }

    /// What the exporter does next.
    enum Turn {
        case send([SpanBody])
        case wait(Task<Void, Never>)
        case end
    }

    private let state = Locked(State())
    private let batch: Int
    private let flushNs: UInt64
    /// Collectors take 20 MiB and more.
    private static let bytesMax = 4 << 20
    /// Without anything to send.
    private static let idleNs: UInt64 = 3_600_000_000_000

    init(batch: Int, flushNs: UInt64) { (self.batch, self.flushNs) = (batch, flushNs) }

    /// Any thread.
    func add(_ body: SpanBody) {
        let sleeper = state.withLock { state -> Task<Void, Never>? in
            state.bodies.append(body)
            state.spans += body.spans
            // The first says how long it may take.
            return !state.isPausing && (state.bodies.count == 1 || state.spans >= batch) ? state.sleeper : nil
        }
        sleeper?.cancel()
    }

    /// Nothing more is added: what there is goes out at once. Any thread.
    func end() {
        let sleeper = state.withLock { state in
            state.isEnding = true
            return state.sleeper
        }
        sleeper?.cancel()
    }

    var isEnding: Bool { state.withLock { $0.isEnding } }

    /// The exporter's side.
    /// - Parameter sleep: makes a task that ends after so many ns, or when it is cancelled.
    func next(sleep: (UInt64) -> Task<Void, Never>) -> Turn {
        state.withLock { state in
            (state.sleeper, state.isPausing) = (nil, false)
            guard let first = state.bodies.first else {
                if state.isEnding { return .end }
                return wait(Self.idleNs, &state, sleep)
            }
            let (now, due) = (MonotonicClock.now, first.since &+ flushNs)
            guard state.isEnding || state.spans >= batch || now >= due else { return wait(due - now, &state, sleep) }
            var (count, spans, bytes) = (1, first.spans, first.bytes.count)
            while count < state.bodies.count, spans + state.bodies[count].spans <= batch, bytes + state.bodies[count].bytes.count <= Self.bytesMax {
                spans += state.bodies[count].spans
                bytes += state.bodies[count].bytes.count
                count += 1
            }
            let taken = Array(state.bodies.prefix(count))
            state.bodies.removeFirst(count)
            state.spans -= spans
            return .send(taken)
        }
    }

    /// Between two attempts at the same spans; `end` shortens it. nil: there is no time for that.
    func pause(_ ns: UInt64, sleep: (UInt64) -> Task<Void, Never>) -> Task<Void, Never>? {
        state.withLock { state in
            guard !state.isEnding else { return nil }
            let sleeper = sleep(ns)
            (state.sleeper, state.isPausing) = (sleeper, true)
            return sleeper
        }
    }

    private func wait(_ ns: UInt64, _ state: inout State, _ sleep: (UInt64) -> Task<Void, Never>) -> Turn {
        let sleeper = sleep(ns)
        state.sleeper = sleeper
        return .wait(sleeper)
    }

    /// What nobody will send.
    func takeRest() -> [SpanBody] {
        state.withLock { state in
            defer { (state.bodies, state.spans) = ([], 0) }
            return state.bodies
        }
    }
}
