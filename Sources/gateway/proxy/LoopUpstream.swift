// LoopUpstream: an upstream as one loop uses it: its connections to each server, which server gets the next request, what outcomes mean. The loop's thread.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class LoopUpstream: ProxyDirector {
    /// Exchanges that are kept for the next requests, some 10 KiB each.
    private static let freeMax = 256

    private unowned let upstream: Upstream
    private var balancer: Balancer
    private var random: PolicyRandom
    private let pools: [UpstreamPool]
    private var free: [ProxyExchange] = []
    private let retry: RetryConfiguration
    private var budget: RetryBudget

    init(_ upstream: Upstream, _ response: borrowing Response) {
        self.upstream = upstream
        retry = upstream.configuration.retry
        let now = response.monotonicNanoseconds
        var settings = BalancerSettings(method: BalanceMethod(upstream.configuration.balance))
        settings.panicThresholdPercent = upstream.configuration.panicThreshold.hundredths / 100
        settings.slowStart = SlowStart(windowNs: upstream.configuration.slowStartNs)
        balancer = Balancer(upstream.balancerServers, settings, shared: upstream.shared, table: upstream.table, now: now)
        random = PolicyRandom(seed: now ^ UInt64(response.loopIndex) << 56)
        budget = RetryBudget(upstream.configuration.retry, loops: upstream.loops, now: now)
        pools = upstream.configuration.servers.map { UpstreamPool(on: response, upstream.clientOptions($0)) }
    }

    // MARK: exchanges

    /// An exchange for a request of this loop.
    func take(_ response: borrowing Response) -> ProxyExchange { free.popLast() ?? ProxyExchange(on: response) }

    func finished(_ exchange: ProxyExchange) {
        if free.count < Self.freeMax { free.append(exchange) }
    }

    func retire() { for pool in pools { pool.retire() } }

    // MARK: decisions

    func choose(_ exchange: ProxyExchange) -> ProxyDecision {
        var tried = TriedServers()
        for server in exchange.tried { tried.insert(server) }
        switch balancer.acquire(now: exchange.now, key: exchange.marks.0, tried: tried, random: &random) {
        case .server(let server): return .to(ProxyChoice(pool: pools[server], server: server))
        case .busy: return .answer(.serviceUnavailable, reason: "every server has as many requests as it may")
        case .tried: return .answer(.badGateway, reason: "every server was tried")
        case .unavailable: return .answer(.serviceUnavailable, reason: "no server is available")
        }
    }

    func attempted(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, nanoseconds: UInt64) {}

    func released(_ exchange: ProxyExchange, server: Int) { balancer.release(server) }

    func retries(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, isSafe: Bool) -> Bool { false }

    func edit(_ exchange: ProxyExchange, _ response: inout Response) {
        guard let route = exchange.note as? ProxyRoute else { return }
        route.edit(&response)
    }
}
