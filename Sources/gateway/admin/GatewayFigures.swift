// GatewayFigures: everything that /metrics tells, gathered at one moment. Made by `Gateway.figures` on a thread that may wait for loops; plain values.

package import UringServer
internal import UringTCPTrace

package struct GatewayFigures: Sendable {
    /// Loops that have not ended.
    package var loops: [LoopSnapshot] = []
    package var routes: [(label: String, row: RouteRow)] = []
    /// By loop; empty without an access log. Counted anew after each reload.
    package var accessLog: [AccessLogCounters] = []
    package var refusals: [RefusalFigure] = []
    /// nil: no spans are sent.
    package var spans: SpanFigures?
    package var process = ProcessFigures()
    var stalls: [StallTable.Row] = []
    var upstreams: [UpstreamSnapshot] = []
    var breakers: [BreakerFigure] = []
    /// Nil: nothing is done about surges.
    var isSurging: Bool?
    /// `uring` or `epoll`.
    package var backend = ""
    package var connectionsMax = 0
    package var isReady = false
    package var reloads = ReloadCounters()
    var filters: [FilterFigure] = []
    var bans = BanBook.Figures()
    var redis: [RedisServer.Figures] = []
    var uncounted: [(route: String, admitted: UInt64, refused: UInt64)] = []
    var keySources: [KeySource.Figures] = []
    /// Connections that listeners with `proxy-protocol` did not take.
    /// Where round trips come from, and what the tracer has counted; nil without one.
    var tcpSource = "off"
    var tcp: TCPTrace?
    /// What the gateway listens on.
    var listeningPorts: Set<UInt16> = []
    var flight = FlightRecorder.Counts()
    /// Events that recorders ever wrote.
    var flightEvents: UInt64 = 0
    var proxyRefusals: [(reason: String, count: UInt64)] = []
}

/// What became of spans, over all loops.
package struct SpanFigures: Sendable {
    package var exported: UInt64 = 0
    /// By reason: the words of `SpanLoss`.
    package var dropped: [(reason: String, count: UInt64)] = []
    /// Requests to the collector that failed, those that were repeated included.
    package var exportsFailed: UInt64 = 0
    package var waiting: UInt64 = 0
}

/// What became of reloads, by SIGHUP and by the administration.
package struct ReloadCounters: Sendable {
    package var succeeded: UInt64 = 0
    package var failed: UInt64 = 0
    package var wasLastGood = true
    /// When the configuration in use was taken up, ns since 1970.
    package var loadedNs: UInt64 = 0

    package init() {}
}
