// SpanExport: sends the spans of all loops to the collector (`tracing`): OTLP over HTTP with protobuf (the OTLP specification 1.x, "OTLP/HTTP"). One task, on a loop and a thread of its own beside those
// that serve: requests wait neither for the collector nor for TLS with it, and what ends during the drain is still sent behind it. Made with a configuration and kept by reloads that leave `tracing` as
// it is; any thread.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class SpanExport: Sendable {
    let configuration: TracingConfiguration
    /// By loop.
    let queues: [SpanQueue]
    let counters: SpanCounters
    private let handoff: SpanHandoff
    private let log: OperationalLog?
    private let state = Locked(State())
    /// The task is over.
    private let ended = Answer<Bool>()

    private struct State {
        var server: RunningServer?
        var task: Task<Void, Never>?
        var isFailing = false
        var isFinished = false
    }

    /// Between two attempts at the same spans; doubled each time up to `pauseMax`, and drawn from its upper half, so that a fleet does not come back at once.
    private static let pauseFirst: UInt64 = 1_000_000_000
    private static let pauseMax: UInt64 = 30_000_000_000
    /// The longest that a collector's Retry-After is heeded; the spans behind these fill the queue meanwhile.
    private static let retryAfterMax: UInt64 = 300_000_000_000
    /// Then they are given up, after about two minutes; those behind them have their own.
    private static let attemptsMax = 8
    /// How long an exchange that is cancelled may take to end.
    private static let cancelMs: Int32 = 1000
    /// Of an answer, which says why a collector refuses.
    private static let answerBytesMax = 64 * 1024
    /// Of that, in a log line.
    private static let reasonBytesMax = 200

    /// - Parameter counters: of the export before this one, which go on.
    init(_ configuration: TracingConfiguration, loops: Int, counters: SpanCounters?, log: OperationalLog?) {
        let (resource, counters) = (Self.resource(configuration), counters ?? SpanCounters())
        let handoff = SpanHandoff(batch: configuration.batch, flushNs: configuration.flushNs)
        (self.configuration, self.counters, self.handoff, self.log) = (configuration, counters, handoff, log)
        queues = (0..<loops).map {
            SpanQueue(loop: $0, limit: configuration.queue / loops, batch: configuration.batch, resource: resource, handoff, counters)
        }
    }

    /// OpenTelemetry's semantic conventions for resources: the service, its version, what made the spans.
    private static func resource(_ configuration: TracingConfiguration) -> [UInt8] {
        let attributes = [
            ("service.name", configuration.serviceName), ("service.version", GatewayVersion.current), ("telemetry.sdk.language", "swift"), ("telemetry.sdk.name", "uring-server"),
            ("telemetry.sdk.version", GatewayVersion.current),
        ]
        let room = attributes.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 32 }
        return unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            // SAFETY: the array's own memory, during this call.
            var sink = unsafe ByteSink(base, capacity: room)
            SpanBatch.encodeResource(attributes, to: &sink)
            count = sink.count
        }
    }

    var figures: SpanFigures {
        var figures = counters.figures
        figures.waiting = UInt64(queues.reduce(0) { $0 + max(0, $1.waiting) })
        return figures
    }

    // MARK: life

    /// Begins, unless it has begun. Not from a loop's thread. Without a thread or memory for it spans are dropped, and the log says so.
    func start(_ backend: ServerOptions.Backend) {
        state.withLock { state in
            guard state.server == nil, !state.isFinished else { return }
            var options = ServerOptions()
            (options.loops, options.pinsLoops, options.backend, options.limits.connections) = (.count(1), false, backend, 1)
            var server = Server(listeners: [], options: options, application: Application { _, response in response.status = .notFound })
            server.listensNowhere = true
            do {
                let running = try server.start()
                guard let loop = running.serverLoop(0) else { throw GatewayError("its loop has ended") }
                state.server = running
                state.task = Task(executorPreference: loop.taskExecutor) { [self] in
                    await run(loop)
                    ended.send(true)
                }
            } catch {
                log?.error("tracing: no spans are sent, there is no loop for it: \(error)")
            }
        }
    }

    /// Sends what there is and ends, as soon as the collector has answered, and `tracing.timeout` later at the latest. The queues' loops have ended, or were told (`SpanQueue.retire`). Once; the thread waits.
    func finish() {
        let (server, task) = state.withLock { state in
            defer { (state.server, state.isFinished) = (nil, true) }
            return (state.server, state.task)
        }
        handoff.end()
        if let task {
            if ended.wait(milliseconds: Int32(clamping: configuration.timeoutNs / 1_000_000)) == nil {
                task.cancel()
                // What it was about is counted before the loop goes.
                _ = ended.wait(milliseconds: Self.cancelMs)
                log?.warning("tracing: \(configuration.endpoint.text) did not take the last spans in time")
            }
        }
        server?.stop(within: .zero)
        for body in handoff.takeRest() { settle([body], .stopped) }
    }

    private func run(_ loop: ServerLoop) async {
        let client = HTTPClient(options: clientOptions)
        var random = PolicyRandom(seed: MonotonicClock.now)
        while !Task.isCancelled {
            switch handoff.next(sleep: { Self.sleeper(loop, $0) }) {
            case .end: return
            case .wait(let sleeper):
                await sleeper.value
                // The loop is over: nothing waits on it any more.
                if ServerLoop.current == nil { return }
            case .send(let bodies): await send(bodies, client, &random, loop)
            }
        }
    }

    private var clientOptions: HTTPClientOptions {
        var options = HTTPClientOptions()
        let timeout = Duration.nanoseconds(Int64(clamping: configuration.timeoutNs))
        (options.connectTimeout, options.headTimeout, options.bodyTimeout) = (timeout, timeout, timeout)
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 1)
        options.connectsTo = configuration.endpoint.address.connectsTo
        return options
    }

    private static func sleeper(_ loop: ServerLoop, _ ns: UInt64) -> Task<Void, Never> {
        Task(executorPreference: loop.taskExecutor) {
            let time = Duration.nanoseconds(Int64(clamping: ns))
            do { try await loop.sleep(for: time) } catch is CancellationError {} catch {
                // The loop has no place for another timer now.
                try? await Task.sleep(for: time)
            }
        }
    }

    // MARK: sending

    private enum Outcome {
        /// All but so many, which the collector would not have.
        case taken(refused: Int)
        /// It may be taken later; after so many ns, if the collector says so.
        case later(reason: String, ns: UInt64?)
        case refused(reason: String)
    }

    private func send(_ bodies: [SpanBody], _ client: HTTPClient, _ random: inout PolicyRandom, _ loop: ServerLoop) async {
        // Messages of protobuf behind each other are one message with all that is in them.
        let bytes = bodies.count == 1 ? bodies[0].bytes : Array(bodies.map(\.bytes).joined())
        let endpoint = configuration.endpoint.text
        var wait = Self.pauseFirst
        for attempt in 1...Self.attemptsMax {
            let outcome = await post(bytes, client, loop)
            if case .taken = outcome {} else { counters.failed() }
            switch outcome {
            case .taken(let refused):
                if endsFailure() { log?.notice("tracing: \(endpoint) takes spans again") }
                return settle(bodies, nil, refused: refused)
            case .refused(let reason):
                tell("tracing: \(endpoint) refuses spans, which are lost: \(reason)")
                return settle(bodies, .refused)
            case .later(let reason, let ns):
                tell("tracing: spans cannot be sent to \(endpoint), and wait: \(reason)")
                let time = ns.map { min($0, Self.retryAfterMax) } ?? wait / 2 + random.below(wait / 2 + 1)
                // With the end near there is no later, but for whom it finds in a pause.
                guard attempt < Self.attemptsMax, !Task.isCancelled, let pause = handoff.pause(time, sleep: { Self.sleeper(loop, $0) }) else {
                    return settle(bodies, handoff.isEnding ? .stopped : .unreachable)
                }
                await pause.value
                wait = min(wait * 2, Self.pauseMax)
            }
        }
    }

    private func post(_ bytes: [UInt8], _ client: HTTPClient, _ loop: ServerLoop) async -> Outcome {
        let headers = [("content-type", "application/x-protobuf"), ("user-agent", "uringd/\(GatewayVersion.current)")]
            + configuration.headers.map { ($0.name, String(decoding: $0.value.bytes, as: UTF8.self)) }
        do {
            let answer = try await client.send(HTTPClientRequest(.post, configuration.endpoint.text, headers: headers, body: .bytes(bytes)), on: loop)
            let status = answer.status.code
            let text = try await answer.collect(upTo: Self.answerBytesMax)
            switch status {
            case 200..<300: return .taken(refused: told(OTLPAnswer(text.span)))
            // The specification's list ("Retryable Response Codes").
            case 429, 502, 503, 504: return .later(reason: "status \(status)", ns: answer.header("retry-after").flatMap { RetryAfter.ns($0, now: Gateway.wallNs()) })
            default: return .refused(reason: "status \(status)\(Self.quoted(OTLPAnswer.statusMessage(text.span) ?? text))")
            }
        } catch {
            return .later(reason: "\(error)", ns: nil)
        }
    }

    /// The collector's partial success.
    private func told(_ answer: OTLPAnswer) -> Int {
        if answer.rejected > 0 { log?.warning("tracing: \(configuration.endpoint.text) has refused \(answer.rejected) spans\(Self.quoted(answer.message))") }
        return Int(clamping: answer.rejected)
    }

    /// For a log line: what others say, cut, and without control codes, which the log escapes.
    private static func quoted(_ text: [UInt8]) -> String { text.isEmpty ? "" : ": \(String(decoding: text.prefix(reasonBytesMax), as: UTF8.self))" }

    /// Once until it works again.
    private func tell(_ line: String) {
        let isNews = state.withLock { state in
            defer { state.isFailing = true }
            return !state.isFailing
        }
        if isNews { log?.warning(line) }
    }

    private func endsFailure() -> Bool {
        state.withLock { state in
            defer { state.isFailing = false }
            return state.isFailing
        }
    }

    /// - Parameter loss: nil: they have arrived, but for `refused`.
    private func settle(_ bodies: [SpanBody], _ loss: SpanLoss?, refused: Int = 0) {
        var spans = 0
        for body in bodies {
            spans += body.spans
            queues[body.loop].settle(body.spans)
        }
        if let loss { return counters.lost(spans, loss) }
        let refused = min(refused, spans)
        counters.exported(spans - refused)
        if refused > 0 { counters.lost(refused, .refused) }
    }
}
