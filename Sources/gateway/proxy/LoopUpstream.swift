// LoopUpstream: an upstream as one loop uses it: its connections to each server, which server gets the next request, what outcomes mean. The loop's thread.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class LoopUpstream: ProxyDirector {
    /// Exchanges that are kept for the next requests, some 15 KiB each.
    private static let freeMax = 256

    private unowned let upstream: Upstream
    let servers: UpstreamServers
    private let loop: Int
    /// What TLS needs, the pools share.
    private let client: UInt64
    private let upgradeClient: UInt64
    private var balancer: Balancer
    private var random: PolicyRandom
    private let pools: [UpstreamPool]
    /// Of HTTP/1.1, for requests that ask for another protocol, where `pools` may be of HTTP/2; made when the first such request comes.
    private var upgradePools: [UpstreamPool?]
    /// Those that are under way, then the free ones.
    private var exchanges: [ProxyExchange] = []
    private var live = 0
    /// Has taken this one's place: further attempts are its business.
    private var successor: LoopUpstream?
    private var budget: RetryBudget
    private var failureLines: FailureLines

    init(_ upstream: Upstream, _ servers: UpstreamServers, _ response: borrowing Response) {
        let (configuration, now) = (upstream.configuration, response.monotonicNanoseconds)
        (self.upstream, self.servers, loop) = (upstream, servers, response.loopIndex)
        balancer = Balancer(servers.balancerServers, Self.settings(configuration), shared: servers.shared, table: servers.table, now: now)
        // Loops that begin at the same server would fill it first.
        random = PolicyRandom(seed: now ^ UInt64(response.loopIndex) << 56)
        budget = RetryBudget(
            percent: min(configuration.retry.budget.hundredths / 100, 1000), reserve: UInt32(clamping: configuration.retry.budgetPerSecondMin * 10 / upstream.loops))
        failureLines = FailureLines(servers: servers.list.count)
        let client = UpstreamPool.makeClient()
        (self.client, upgradeClient) = (client, UpstreamPool.makeClient())
        pools = servers.list.map { server in
            UpstreamPool(
                on: response, isSecure: configuration.tls != nil, host: upstream.host(of: server), port: server.address.port ?? 0, client: client,
                upstream.clientOptions(server, of: servers))
        }
        upgradePools = Array(repeating: nil, count: pools.count)
    }

    /// With other servers in place of another's, whose connections to those that stay it takes over. On the loop's thread.
    init(_ upstream: Upstream, _ servers: UpstreamServers, after old: LoopUpstream) {
        let (configuration, now) = (upstream.configuration, MonotonicClock.now)
        (self.upstream, self.servers, loop, client, upgradeClient) = (upstream, servers, old.loop, old.client, old.upgradeClient)
        balancer = Balancer(servers.balancerServers, Self.settings(configuration), shared: servers.shared, table: servers.table, now: now)
        (random, budget) = (old.random, old.budget)
        failureLines = FailureLines(servers: servers.list.count)
        let before = servers.list.map { server in old.servers.index(of: server) }
        pools = zip(servers.list, before).map { server, before in
            if let before { return old.pools[before] }
            return UpstreamPool(
                beside: old.pools[0], host: upstream.host(of: server), port: server.address.port ?? 0, client: old.client, upstream.clientOptions(server, of: servers))
        }
        upgradePools = before.map { $0.flatMap { old.upgradePools[$0] } }
        let shares = upstream.shares(of: servers)
        for pool in pools + upgradePools.compactMap({ $0 }) { pool.resize(connections: shares.connections, pending: shares.pending) }
    }

    private static func settings(_ configuration: UpstreamConfiguration) -> BalancerSettings {
        var settings = BalancerSettings(method: BalanceMethod(configuration.balance))
        settings.panicThresholdPercent = configuration.panicThreshold.hundredths / 100
        if configuration.slowStartNs > 0 { settings.slowStart = SlowStart(windowNs: configuration.slowStartNs) }
        return settings
    }

    // MARK: exchanges

    /// An exchange for a request of this loop.
    func take(_ response: borrowing Response) -> ProxyExchange {
        budget.request(now: response.monotonicNanoseconds)
        if live == exchanges.count { exchanges.append(ProxyExchange(on: response)) }
        let exchange = exchanges[live]
        exchange.place = live
        live += 1
        return exchange
    }

    func finished(_ exchange: ProxyExchange) {
        if exchange.marks.1 & Self.hasAdmission != 0 { (exchange.note as? ProxyRoute)?.abandon(exchange) }
        live -= 1
        let (place, last) = (exchange.place, exchanges[live])
        exchanges.swapAt(place, live)
        (last.place, exchange.place) = (place, live)
        if exchanges.count - live > Self.freeMax { exchanges.removeLast() }
    }

    /// Ends what these servers still have to do.
    /// - Returns: how many requests that were.
    func cut(_ servers: Set<Int>) -> Int {
        let doomed = exchanges[..<live].filter { servers.contains($0.server) }
        for exchange in doomed { exchange.cut() }
        return doomed.count
    }

    /// No requests come any more.
    func retire() { retire(Set(pools.indices), successor: nil) }

    /// Connections to these servers go when they are idle; those to others are the successor's now.
    func retire(_ servers: Set<Int>, successor: LoopUpstream?) {
        self.successor = successor
        for server in servers {
            pools[server].retire()
            upgradePools[server]?.retire()
        }
        // Those that wait for their next attempt go over by themselves (`choose`).
        guard let successor else { return }
        successor.exchanges += exchanges[live...]
        exchanges.removeSubrange(live...)
    }

    /// An exchange whose next attempt is the successor's business, which it counts from now on.
    private func pass(_ exchange: ProxyExchange, to successor: LoopUpstream) {
        live -= 1
        let (place, last) = (exchange.place, exchanges[live])
        exchanges.swapAt(place, live)
        last.place = place
        exchanges.remove(at: live)
        successor.exchanges.append(exchange)
        successor.exchanges.swapAt(successor.live, successor.exchanges.count - 1)
        exchange.place = successor.live
        successor.live += 1
        exchange.changeDirector(successor)
    }

    var poolFigures: [UpstreamPoolFigures] {
        pools.indices.map { server in
            var figures = UpstreamPoolFigures()
            figures.add(pools[server])
            if let beside = upgradePools[server] { figures.add(beside) }
            return figures
        }
    }

    private func pool(_ server: Int, for exchange: ProxyExchange) -> UpstreamPool {
        guard exchange.request.asksUpgrade, upstream.maySpeakHTTP2 else { return pools[server] }
        if let known = upgradePools[server] { return known }
        let made = UpstreamPool(http1Beside: pools[server], client: upgradeClient)
        upgradePools[server] = made
        return made
    }

    // MARK: requests of the gateway's own

    /// A server for a request that is no client's, and its connections. Its time is up with `settle`, whatever came of it.
    /// - Returns: nil: there is none besides those that were tried.
    func lease(tried: TriedServers, now: UInt64) -> (server: Int, pool: UpstreamPool)? {
        switch balancer.acquire(now: now, tried: tried, random: &random) {
        case .server(let server):
            servers.counters.add(.requests, loop: loop, server: server)
            if tried.count > 0 { servers.counters.add(.retries, loop: loop) }
            return (server, pools[server])
        case .busy: servers.counters.add(.busy, loop: loop)
        case .unavailable: servers.counters.add(.unavailable, loop: loop)
        case .tried: break
        }
        return nil
    }

    func settle(_ server: Int, _ outcome: ProxyOutcome, nanoseconds: UInt64, now: UInt64) {
        count(server, outcome, nanoseconds)
        if let event = upstream.outlier?.record(server, UpstreamOutcome(outcome), shared: servers.shared, now: now) { upstream.note(event, servers) }
        balancer.release(server)
        servers.counters.add(.ended, loop: loop, server: server)
    }

    // MARK: decisions

    func choose(_ exchange: ProxyExchange) -> ProxyDecision {
        if let successor {
            pass(exchange, to: successor)
            return successor.choose(exchange)
        }
        var tried = TriedServers()
        for server in exchange.tried { tried.insert(server) }
        var choice = balancer.acquire(now: exchange.now, key: exchange.marks.0, tried: tried, random: &random)
        // Each was tried: the same ones once more are better than none.
        if choice == .tried { choice = balancer.acquire(now: exchange.now, key: exchange.marks.0, random: &random) }
        switch choice {
        case .server(let server):
            if exchange.marks.1 & Self.takesServersAuthority != 0 { exchange.request.setAuthority(servers.authorities[server]) }
            count(exchange, server)
            if exchange.span.isKept { (exchange.note as? ProxyRoute)?.tracing?.begin(exchange, loop: loop) }
            return .to(ProxyChoice(pool(server, for: exchange), server: server))
        case .busy:
            servers.counters.add(.busy, loop: loop)
            return .answer(.serviceUnavailable, reason: "every server has as many requests as it may")
        case .tried, .unavailable:
            servers.counters.add(.unavailable, loop: loop)
            return .answer(.serviceUnavailable, reason: "no server is available")
        }
    }

    /// An attempt begins.
    private func count(_ exchange: ProxyExchange, _ server: Int) {
        servers.counters.add(.requests, loop: loop, server: server)
        if exchange.attempts > 0 { servers.counters.add(.retries, loop: loop) }
    }

    private func count(_ server: Int, _ outcome: ProxyOutcome, _ nanoseconds: UInt64) {
        let counters = servers.counters
        switch outcome {
        case .status(let status):
            counters.add(.responses, plus: min(max(Int(status.code) / 100, 1), 5) - 1, loop: loop, server: server)
            counters.add(.headNs, loop: loop, server: server, nanoseconds)
        case .failed(let failure): counters.add(.failures, plus: Int(failure.rawValue), loop: loop, server: server)
        case .cancelled: counters.add(.cancelled, loop: loop, server: server)
        }
    }

    private func tell(_ failure: ProxyFailure, _ exchange: ProxyExchange, _ nanoseconds: UInt64) {
        guard let log = upstream.log, let more = failureLines.admit(exchange.server, failure, now: exchange.now) else { return }
        let reason = exchange.fault?.description ?? "after \(nanoseconds / 1_000_000) ms"
        log.warning("a request to upstream \(servers.names[exchange.server]) failed (\(failure.word)): \(reason)\(more > 0 ? "; \(more) more since the last such line" : "")")
    }

    /// Bit of `ProxyExchange.marks.1`: Host is the server's address.
    static let takesServersAuthority: UInt64 = 1

    /// Bit of `ProxyExchange.marks.1`: the upper half is the admission of a breaker that waits for the outcome.
    private static let hasAdmission: UInt64 = 2

    static func admissionMark(_ admission: BreakerAdmission) -> UInt64 { UInt64(admission.bits) << 32 | hasAdmission }

    /// Once for each exchange.
    static func takeAdmission(_ exchange: ProxyExchange) -> BreakerAdmission? {
        guard exchange.marks.1 & hasAdmission != 0 else { return nil }
        let bits = UInt32(truncatingIfNeeded: exchange.marks.1 >> 32)
        exchange.marks.1 &= 0xffff_ffff & ~hasAdmission
        return BreakerAdmission(bits: bits)
    }

    func attempted(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, nanoseconds: UInt64) {
        guard exchange.server != .max else { return }
        if exchange.span.isKept { exchange.span.note(outcome) }
        count(exchange.server, outcome, nanoseconds)
        if case .failed(let failure) = outcome { tell(failure, exchange, nanoseconds) }
        if let outlier = upstream.outlier {
            if let event = outlier.record(exchange.server, UpstreamOutcome(outcome), shared: servers.shared, now: exchange.now) { upstream.note(event, servers) }
        }
    }

    func released(_ exchange: ProxyExchange, server: Int) {
        balancer.release(server)
        if exchange.span.isKept { (exchange.note as? ProxyRoute)?.tracing?.spans.end(exchange, upstream: upstream, servers, server: server, loop: loop) }
        servers.counters.add(.ended, loop: loop, server: server)
    }

    func starts(_ exchange: ProxyExchange) { (exchange.note as? ProxyRoute)?.tellTime(exchange) }

    func expired(_ exchange: ProxyExchange) { servers.counters.add(.expired, loop: loop) }

    func retry(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, _ progress: ProxyProgress) -> UInt64? {
        guard let cause = RetryCause(outcome) else { return nil }
        let policy = (exchange.note as? ProxyRoute)?.retry ?? upstream.retry
        var state = RetryState(retries: exchange.attempts - 1, wasStale: true)
        let attempt = RetryPolicy.Attempt(
            cause: cause, progress: AttemptProgress(progress), isIdempotent: exchange.request.method.isIdempotent, canRepeatBody: true)
        switch policy.decide(attempt, state: &state, budget: &budget, now: exchange.now, deadline: exchange.deadline, random: &random) {
        case .retry(let at): return at
        case .giveUp(.budgetUsed):
            servers.counters.add(.retriesOverBudget, loop: loop)
            return nil
        case .giveUp: return nil
        }
    }

    func edit(_ exchange: ProxyExchange, _ response: inout Response) {
        guard let route = exchange.note as? ProxyRoute else { return }
        route.settle(exchange, response)
        route.edit(&response)
    }
}

extension UpstreamOutcome {
    init(_ outcome: ProxyOutcome) {
        self =
            switch outcome {
            case .status(let status): .status(status.code)
            case .failed(.connect), .failed(.connectTimeout): .connectFailure
            case .failed(.reset), .failed(.malformed), .failed(.truncated): .reset
            case .failed(.timeout): .timeout
            case .failed(.overloaded), .cancelled: .unknown
            }
    }
}

extension RetryCause {
    init?(_ outcome: ProxyOutcome) {
        switch outcome {
        case .status(let status): self = .status(status.code)
        case .failed(.connect), .failed(.connectTimeout): self = .connectFailure
        case .failed(.reset), .failed(.malformed): self = .reset
        case .failed(.timeout): self = .timeout
        case .failed(.overloaded), .failed(.truncated), .cancelled: return nil
        }
    }
}

extension AttemptProgress {
    init(_ progress: ProxyProgress) {
        self =
            switch progress {
            case .nothingSent: .nothingSent
            case .sent: .sent
            case .responseBegan: .responseBegan
            }
    }
}

extension BalanceMethod {
    init(_ balance: BalanceConfiguration) {
        self =
            switch balance {
            case .roundRobin: .roundRobin
            case .leastRequests: .leastRequests
            case .randomTwo: .randomTwo
            case .hash: .hash
            }
    }
}
