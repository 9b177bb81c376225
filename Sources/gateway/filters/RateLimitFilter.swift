// RateLimitFilter: how often a client may ask. One filter for each limit of a route; the counts behind it (SharedLimit) are one for all loops and outlive reloads. The loops' threads; a request
// allocates nothing.

internal import Synchronization
internal import UringHTTP
internal import UringJWT
internal import UringPolicy
internal import UringServer

/// The counts of one limit, for all loops.
final class SharedLimit: Sendable {
    /// Clients that can owe something at the same time: 4 MiB for each limit. Beyond it new clients go uncounted (`SharedRateTable.WhenFull.admit`): a table that is full must not turn everybody away.
    private static let clientsMax = 1 << 17
    /// A dry run says no more often what it would have done.
    private static let reportNs: UInt64 = 10_000_000_000

    let configuration: RateLimitConfiguration
    let route: String
    private let index: Int
    let policy: RatePolicy
    let table: SharedRateTable
    let hasher = RateKeyHasher()
    private let unreported = Atomic<UInt64>(0)
    /// Requests that Redis did not count: let through, and refused.
    private let admittedUncounted = Atomic<UInt64>(0)
    private let refusedUncounted = Atomic<UInt64>(0)
    private let reportAt = Atomic<UInt64>(0)

    /// - Throws: for a rate that cannot be kept exactly: a burst that needs decades to come back.
    init(_ configuration: RateLimitConfiguration, route: String, index: Int) throws {
        guard let policy = RatePolicy(tokens: configuration.rate.count, per: configuration.rate.perNs, burst: configuration.burst) else {
            throw GatewayError(
                "the rate limit of the route \(route) cannot be kept: \(configuration.rate) with a burst of \(configuration.burst); a burst must come back within 36 years: lower `burst`")
        }
        (self.configuration, self.route, self.index, self.policy) = (configuration, route, index, policy)
        // In Redis nobody is in it.
        table = SharedRateTable(entries: configuration.redis == nil ? Self.clientsMax : 1)
    }

    func isFor(_ route: String, _ index: Int) -> Bool { self.route == route && self.index == index }

    /// The route's name, with a number for all but the first of its limits.
    var name: String { index == 0 ? route : "\(route)-\(index + 1)" }

    /// What responses call the limit: its name, or `default` where that would have to be escaped.
    var label: String {
        RateLimitFields.isName(Array(name.utf8).span) ? name : "default"
    }

    func uncounted(admitted: Bool) -> UInt64 { admitted ? admittedUncounted.load(ordering: .relaxed) : refusedUncounted.load(ordering: .relaxed) }

    /// Redis did not answer.
    func countUncounted(admitted: Bool) {
        if admitted { admittedUncounted.wrappingAdd(1, ordering: .relaxed) } else { refusedUncounted.wrappingAdd(1, ordering: .relaxed) }
    }

    /// Counts a request that a dry run let through. Nil: not to be told now; otherwise how many there were since it was told.
    func wouldHaveRefused(now: UInt64) -> UInt64? {
        unreported.wrappingAdd(1, ordering: .relaxed)
        let due = reportAt.load(ordering: .relaxed)
        guard now >= due, reportAt.compareExchange(expected: due, desired: now &+ Self.reportNs, ordering: .relaxed).exchanged else { return nil }
        return unreported.exchange(0, ordering: .relaxed)
    }
}

@safe
final class RateLimitFilter: Sendable {
    private enum Key: Sendable {
        case address(v4Bits: Int, v6Bits: Int)
        case header
        case claim
    }

    private let limit: SharedLimit
    private let clients: ClientAddresses
    /// Nil: nobody is banned for being refused.
    private let bans: BanWatch?
    private let log: LogReporter?
    private let key: Key
    /// The header's name in lower case, or the claim's path.
    private let name: FixedBytes
    private let status: HTTPStatus
    private let isDryRun: Bool
    /// Nil: responses do not tell of the limit.
    private let step: ResponseStep?
    /// Where it is counted; nil: in this process.
    private let fleet: FleetLimit?

    init(_ limit: SharedLimit, _ clients: ClientAddresses, _ bans: BanWatch?, _ log: LogReporter?, _ redis: RedisServer? = nil) {
        let configuration = limit.configuration
        (self.limit, self.clients, self.bans, self.log) = (limit, clients, bans, log)
        switch configuration.key {
        case .address(let v4Bits, let v6Bits):
            key = .address(v4Bits: v4Bits, v6Bits: v6Bits)
            name = FixedBytes("")
        case .header(let header):
            key = .header
            name = FixedBytes(header)
        case .claim(let claim):
            key = .claim
            name = FixedBytes(claim)
        }
        status = HTTPStatus(UInt16(clamping: configuration.status))
        isDryRun = configuration.isDryRun
        fleet = redis.map { FleetLimit($0, limit) }
        guard configuration.writesHeaders else {
            step = nil
            return
        }
        let label = RateLimitLabel(limit)
        step = ResponseStep { response, note in label.write(&response, note) }
    }

    /// Requests wait for its decision.
    var waits: Bool { fleet != nil }

    /// As `admits`, where it does not have to wait. On a loop's thread.
    func judge(_ request: borrowing Request, _ response: inout Response, _ pass: FilterPass) -> FilterVerdict {
        if fleet != nil { return .waits(0) }
        return admits(request, &response, pass) ? .pass : .answered
    }

    /// Has Redis count a request, and answers it when there were too many. In an async handler, on the loop.
    func decide(_ request: borrowing Request, _ response: inout Response, _ pass: FilterPass) async -> Bool {
        guard let fleet, let key = fleetKey(fleet, request, pass) else { return true }
        guard let decision = await fleet.server.onLoop(response.loopIndex, request.loop).check(key, limit.policy) else {
            let isOpen = limit.configuration.failsOpen || isDryRun
            limit.countUncounted(admitted: isOpen)
            if !isOpen {
                response.problem(.serviceUnavailable, "how often this client has asked cannot be found out now")
                response.headers["retry-after"] = "1"
            }
            return isOpen
        }
        return settle(decision, request, &response, now: MonotonicClock.now)
    }

    /// Counts a request, and answers it when there were too many. On a loop's thread.
    func admits(_ request: borrowing Request, _ response: inout Response, _ pass: FilterPass) -> Bool {
        guard let key = client(request, pass) else { return true }
        let now = response.monotonicNanoseconds
        return settle(limit.table.check(key, limit.policy, now: now), request, &response, now: now)
    }

    private func settle(_ decision: RateDecision, _ request: borrowing Request, _ response: inout Response, now: UInt64) -> Bool {
        if let step { response.beforeSending(step, note: RateLimitLabel.note(decision)) }
        if decision.isAllowed { return true }
        if isDryRun {
            tellDryRun(now)
            return true
        }
        refuse(&response, decision)
        bans?.limited(request)
        return false
    }

    private func refuse(_ response: inout Response, _ decision: RateDecision) {
        response.problem(status, "too many requests")
        // As short as to need no memory of its own.
        if let seconds = RateLimitFields.retryAfterSeconds(decision) { response.headers["retry-after"] = "\(seconds)" }
    }

    @inline(never)
    private func tellDryRun(_ now: UInt64) {
        guard let count = limit.wouldHaveRefused(now: now) else { return }
        log?.note("the rate limit of \(limit.route) (\(limit.configuration.rate)) would have refused \(count) requests since it was last told of (dry run)")
    }

    /// The key in Redis, the same on every instance. Nil: nobody to count for.
    private func fleetKey(_ fleet: FleetLimit, _ request: borrowing Request, _ pass: FilterPass) -> [UInt8]? {
        switch key {
        case .address(let v4Bits, let v6Bits):
            guard let address = clients.client(of: request) else { return nil }
            return fleet.key(Prefix(address, length: address.isIPv4 ? 96 + v4Bits : v6Bits))
        case .header:
            // SAFETY: as below.
            for index in 0..<request.headers.count where unsafe request.headers.name(at: index).equalsIgnoringCase(Span(_unsafeElements: name.buffer)) {
                return fleet.key(request.headers.value(at: index).span)
            }
        case .claim:
            // SAFETY: as below.
            if let claims = pass.claims, let claim = unsafe claims.claim(at: name.buffer), claim.kind == .string || claim.kind == .number {
                return fleet.key(unsafe Span(_unsafeElements: claim.bytes))
            }
        }
        return fleet.keyWithout
    }

    /// Nil: nobody to count for, as on Unix sockets.
    private func client(_ request: borrowing Request, _ pass: FilterPass) -> RateKey? {
        switch key {
        case .address(let v4Bits, let v6Bits):
            guard let address = clients.client(of: request) else { return nil }
            return limit.hasher.key(address.masked(address.isIPv4 ? 96 &+ v4Bits : v6Bits), policy: 0)
        case .header:
            // SAFETY: the name is this object's.
            for index in 0..<request.headers.count where unsafe request.headers.name(at: index).equalsIgnoringCase(Span(_unsafeElements: name.buffer)) {
                return limit.hasher.key(request.headers.value(at: index).span, policy: 0)
            }
        case .claim:
            // SAFETY: the name is this object's; the claim's bytes lie in the loop's memory during this call.
            if let claims = pass.claims, let claim = unsafe claims.claim(at: name.buffer), claim.kind == .string || claim.kind == .number {
                return limit.hasher.key(unsafe Span(_unsafeElements: claim.bytes), policy: 0)
            }
        }
        // All that lack it are one client, which is not the one with an empty value.
        return limit.hasher.key(Span(), policy: 1)
    }
}

/// RateLimit and RateLimit-Policy of one limit, written when a response's head is.
private final class RateLimitLabel: Sendable {
    private let name: FixedBytes
    private let policy: RatePolicy

    init(_ limit: SharedLimit) {
        name = FixedBytes(limit.label)
        policy = limit.policy
    }

    /// What is left in the upper half, in how many seconds all of it is there again in the lower.
    static func note(_ decision: RateDecision) -> UInt64 {
        let seconds = decision.resetAfter / 1_000_000_000 + (decision.resetAfter % 1_000_000_000 > 0 ? 1 : 0)
        return min(decision.remaining, 0xffff_ffff) << 32 | min(seconds, 0xffff_ffff)
    }

    func write(_ response: inout Response, _ note: UInt64) {
        let room = RateLimitFields.valueBytesMax
        let memory = unsafe response.valueMemory(2 * room).bindMemory(to: UInt8.self, capacity: 2 * room)
        // SAFETY: the memory lives as long as the response's values, beyond this call; the name is this object's.
        var policyText = unsafe ByteSink(memory, capacity: room)
        unsafe RateLimitFields.appendPolicy(policy, name: Span(_unsafeElements: name.buffer), to: &policyText)
        response.headers.add("ratelimit-policy", ByteView(unsafe Span(_unsafeStart: memory, count: policyText.count)))
        var limitText = unsafe ByteSink(memory + room, capacity: room)
        let (remaining, reset) = (note >> 32, (note & 0xffff_ffff) * 1_000_000_000)
        let decision = RateDecision(isAllowed: true, isCounted: true, limit: policy.burst, remaining: remaining, resetAfter: reset, retryAfter: 0)
        unsafe RateLimitFields.appendLimit(decision, name: Span(_unsafeElements: name.buffer), to: &limitText)
        response.headers.add("ratelimit", ByteView(unsafe Span(_unsafeStart: memory + room, count: limitText.count)))
    }
}
