// GatewayFigures: everything that /metrics tells, gathered at one moment. Made by `Gateway.figures` on a thread that may wait for loops; plain values.

package import UringServer

package struct GatewayFigures: Sendable {
    /// Loops that have not ended.
    package var loops: [LoopSnapshot] = []
    package var routes: [(label: String, row: RouteRow)] = []
    /// By loop; empty without an access log. Counted anew after each reload.
    package var accessLog: [AccessLogCounters] = []
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
    var bans = BanBook.Figures()
    var redis: [RedisServer.Figures] = []
    var uncounted: [(route: String, admitted: UInt64, refused: UInt64)] = []
    var keySources: [KeySource.Figures] = []
    /// Connections that listeners with `proxy-protocol` did not take.
    var proxyRefusals: [(reason: String, count: UInt64)] = []
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
