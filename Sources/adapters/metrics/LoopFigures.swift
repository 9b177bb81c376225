// LoopFigures: one loop's snapshots as metrics. Whoever collects, under the lock of ServerMetrics.

#if Metrics
internal import CoreMetrics
internal import UringServer

struct LoopFigures {
    private let connections: Gauge
    private let lag: [Gauge]
    private let queueDepth: Gauge
    private var counts: [Growing]
    private var handshakes: [Growing]
    private var timeouts: [String: Growing] = [:]
    private let loop: String
    private let metrics: ServerMetrics

    /// A counter of a figure that the loop counts from its start.
    private struct Growing {
        let counter: Counter
        var last: UInt64 = 0

        init(_ counter: Counter) { self.counter = counter }

        mutating func take(_ value: UInt64) {
            // A server that was started anew counts from 0.
            let change = value >= last ? value - last : value
            last = value
            if change > 0 { counter.increment(by: change) }
        }
    }

    private static let countNames = [
        "connections_accepted", "connections_closed", "connections_refused", "connections_aborted", "request_faults", "handler_errors", "loop_stalls", "http2_connections",
    ]
    private static let handshakeKinds = ["full", "fallback", "ticket", "session_id", "psk", "failed", "abandoned"]

    init(loop: Int, _ metrics: ServerMetrics) {
        let label = "\(loop)"
        self.loop = label
        self.metrics = metrics
        connections = metrics.gauge("connections", [("loop", label)])
        lag = ["mean", "p50", "p99", "max"].map { metrics.gauge("loop_lag_seconds", [("loop", label), ("stat", $0)]) }
        queueDepth = metrics.gauge("loop_queue_depth", [("loop", label)])
        counts = Self.countNames.map { Growing(metrics.counter($0, [("loop", label)])) }
        handshakes = Self.handshakeKinds.map { Growing(metrics.counter("tls_handshakes", [("loop", label), ("kind", $0)])) }
    }

    mutating func take(_ figures: LoopSnapshot) {
        connections.record(figures.connections)
        let lagNs = figures.lagNs
        let nanoseconds = [Double(lagNs.slidingMeanThousandths) / 1000, Double(lagNs.p50), Double(lagNs.p99), Double(lagNs.max)]
        for (gauge, value) in zip(lag, nanoseconds) { gauge.record(value / 1e9) }
        queueDepth.record(Double(figures.queueDepth.slidingMeanThousandths) / 1000)
        let values = [
            figures.connectionsAccepted, figures.connectionsClosed, figures.connectionsRefused, figures.connectionsAborted, figures.requestFaults, figures.handlerErrors,
            figures.stalls, figures.http2Connections,
        ]
        for index in counts.indices { counts[index].take(values[index]) }
        let kinds = figures.handshakes
        // The fall-backs are among the full ones: here each handshake is counted once.
        let byKind = [kinds.full - kinds.fallback, kinds.fallback, kinds.ticket, kinds.sessionID, kinds.preSharedKey, kinds.failed, kinds.abandoned]
        for index in handshakes.indices { handshakes[index].take(byKind[index]) }
        for (name, count) in figures.timeouts where count > 0 {
            timeouts[name, default: Growing(metrics.counter("timeouts", [("loop", loop), ("clock", name)]))].take(count)
        }
    }
}
#endif
