// LoopUpstream: an upstream as one loop uses it: its connections to each server, which server gets the next request, what outcomes mean. The loop's thread.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class LoopUpstream: ProxyDirector {
    /// Exchanges that are kept for the next requests, some 15 KiB each.
    private static let freeMax = 256

    private unowned let upstream: Upstream
    private var balancer: Balancer
    private var random: PolicyRandom
    private let pools: [UpstreamPool]
    private var free: [ProxyExchange] = []
    private var budget: RetryBudget

    init(_ upstream: Upstream, _ response: borrowing Response) {
        self.upstream = upstream
        let (configuration, now) = (upstream.configuration, response.monotonicNanoseconds)
        var settings = BalancerSettings(method: BalanceMethod(configuration.balance))
        settings.panicThresholdPercent = configuration.panicThreshold.hundredths / 100
        if configuration.slowStartNs > 0 { settings.slowStart = SlowStart(windowNs: configuration.slowStartNs) }
        balancer = Balancer(upstream.balancerServers, settings, shared: upstream.shared, table: upstream.table, now: now)
        // Loops that begin at the same server would fill it first.
        random = PolicyRandom(seed: now ^ UInt64(response.loopIndex) << 56)
        budget = RetryBudget(
            percent: min(configuration.retry.budget.hundredths / 100, 1000), reserve: UInt32(clamping: configuration.retry.budgetPerSecondMin * 10 / upstream.loops))
        pools = configuration.servers.map { server in
            UpstreamPool(
                on: response, isSecure: configuration.tls != nil, host: upstream.host(of: server), port: server.address.port ?? 0, upstream.clientOptions(server))
        }
    }

    // MARK: exchanges

    /// An exchange for a request of this loop.
    func take(_ response: borrowing Response) -> ProxyExchange {
        budget.request(now: response.monotonicNanoseconds)
        return free.popLast() ?? ProxyExchange(on: response)
    }

    func finished(_ exchange: ProxyExchange) {
        if exchange.marks.1 & Self.hasAdmission != 0 { (exchange.note as? ProxyRoute)?.abandon(exchange) }
        if free.count < Self.freeMax { free.append(exchange) }
    }

    /// No requests come any more.
    func retire() { for pool in pools { pool.retire() } }

    // MARK: decisions

    func choose(_ exchange: ProxyExchange) -> ProxyDecision {
        var tried = TriedServers()
        for server in exchange.tried { tried.insert(server) }
        var choice = balancer.acquire(now: exchange.now, key: exchange.marks.0, tried: tried, random: &random)
        // Each was tried: the same ones once more are better than none.
        if choice == .tried { choice = balancer.acquire(now: exchange.now, key: exchange.marks.0, random: &random) }
        switch choice {
        case .server(let server):
            if exchange.marks.1 & Self.takesServersAuthority != 0 { exchange.request.setAuthority(upstream.authorities[server]) }
            return .to(ProxyChoice(pools[server], server: server))
        case .busy: return .answer(.serviceUnavailable, reason: "every server has as many requests as it may")
        case .tried, .unavailable: return .answer(.serviceUnavailable, reason: "no server is available")
        }
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
        if let outlier = upstream.outlier {
            _ = outlier.record(exchange.server, UpstreamOutcome(outcome), shared: upstream.shared, now: exchange.now)
        }
    }

    func released(_ exchange: ProxyExchange, server: Int) { balancer.release(server) }

    func retry(_ exchange: ProxyExchange, _ outcome: ProxyOutcome, _ progress: ProxyProgress) -> UInt64? {
        guard let cause = RetryCause(outcome) else { return nil }
        let policy = (exchange.note as? ProxyRoute)?.retry ?? upstream.retry
        var state = RetryState(retries: exchange.attempts - 1, wasStale: true)
        let attempt = RetryPolicy.Attempt(
            cause: cause, progress: AttemptProgress(progress), isIdempotent: exchange.request.method.isIdempotent, canRepeatBody: true)
        switch policy.decide(attempt, state: &state, budget: &budget, now: exchange.now, deadline: exchange.deadline, random: &random) {
        case .retry(let at): return at
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
