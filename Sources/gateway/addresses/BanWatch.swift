// BanWatch: the rules of `addresses.ban` at work: counts offences of clients over all loops, and has those banned that go too far. Made at start and on reloads; counts of a rule that stays are kept. Any
// thread; an offence costs a compare-and-swap for each rule that minds it, a request without one nothing.

internal import UringBase
internal import UringPolicy
internal import UringServer

/// One rule, with what its clients have done.
@safe
final class WatchedRule: Sendable {
    /// Clients that can be on their way to a ban at the same time: 4 MiB for each rule. Beyond it new ones go uncounted.
    private static let clientsMax = 1 << 17
    /// Clients whose earlier bans are remembered, for those that grow.
    private static let bannedMax = 1 << 16

    let rule: BanRule
    private let policy: RatePolicy
    private let table: SharedRateTable
    private let strikes: Locked<OffenceTable>
    private let hasher = RateKeyHasher()

    /// - Throws: for a count and a time that no counter can keep.
    init(_ rule: BanRule) throws {
        let offences = UInt64(clamping: rule.count)
        guard let policy = RatePolicy(tokens: offences, per: rule.withinNs, burst: offences),
            let bans = UringPolicy.BanRule(
                offences: offences, within: rule.withinNs, ban: rule.banNs, growth: rule.growth, longest: rule.longestNs, forgetAfter: rule.forgetNs)
        else {
            throw GatewayError("addresses.ban: the rule \(rule.name) cannot be kept: \(rule.count) within \(ConfigUnit.duration.format(rule.withinNs)) is more than a hundred million a second")
        }
        (self.rule, self.policy) = (rule, policy)
        table = SharedRateTable(entries: Self.clientsMax)
        strikes = Locked(OffenceTable(bans, clients: Self.bannedMax))
    }

    /// The prefix that is counted, and banned, as one.
    private func prefix(_ address: IPAddress) -> Prefix { Prefix(address, length: address.isIPv4 ? 96 + rule.v4Bits : rule.v6Bits) }

    /// Counts an offence. Answers the ban that follows from it.
    func count(_ address: IPAddress, now: UInt64) -> (prefix: Prefix, lengthNs: UInt64, strike: UInt32)? {
        let prefix = prefix(address)
        let key = hasher.key(prefix.address, policy: 0)
        let decision = table.check(key, policy, now: now)
        // The last of so many is the one too much.
        guard decision.isCounted, !decision.isAllowed || decision.remaining == 0 else { return nil }
        // As many as a ban takes: they were counted.
        guard let ban = strikes.withLock({ $0.record(key, weight: policy.burst, now: now) }) else { return nil }
        return (prefix, ban.until - now, ban.strike)
    }

    /// A ban was lifted: what led to it is forgotten, but for what wears off within the rule's time.
    func pardon(_ prefix: Prefix) {
        let key = hasher.key(self.prefix(prefix.address).address, policy: 0)
        strikes.withLock { $0.pardon(key) }
    }

    var settings: String { "\(rule.count) of \(rule.reasons.map(\.spelling).joined(separator: ", ")) within \(ConfigUnit.duration.format(rule.withinNs))" }
}

final class BanWatch: Sendable {
    let rules: [WatchedRule]
    private let book: BanBook
    private let clients: ClientAddresses
    /// Statuses below none of the rules mind.
    private let lowestStatus: UInt16
    /// What else some rule minds, beside statuses.
    let mindsRateLimits, mindsMalformed, mindsHandshakes: Bool

    /// Nil: there are no rules.
    init?(_ wanted: [BanRule], _ book: BanBook, _ clients: ClientAddresses, previous: BanWatch?) throws {
        guard !wanted.isEmpty else { return nil }
        rules = try wanted.map { rule in try previous?.rules.first { $0.rule == rule } ?? WatchedRule(rule) }
        (self.book, self.clients) = (book, clients)
        let reasons = wanted.flatMap(\.reasons)
        lowestStatus = reasons.compactMap { if case .status(let range) = $0 { range.first } else { nil } }.min() ?? .max
        (mindsRateLimits, mindsMalformed, mindsHandshakes) = (reasons.contains(.rateLimit), reasons.contains(.malformed), reasons.contains(.handshake))
    }

    /// A response has left. On its loop's thread.
    func observe(_ request: borrowing Request, _ record: ExchangeRecord) {
        if let route = record.route, route.isSame(as: .fault) {
            // Nobody has read a head that could name another client. Beyond a limit, or too slow, is not malformed.
            if mindsMalformed, record.status == 400, let address = request.peer.address { count(address) { $0 == .malformed } }
            return
        }
        guard record.status >= lowestStatus else { return }
        // Whoever is banned asks on: that is no offence of its own.
        guard let client = clients.client(of: request), !isBanned(client, record.loop) else { return }
        count(client) { if case .status(let range) = $0 { range.contains(record.status) } else { false } }
    }

    private func isBanned(_ client: IPAddress, _ loop: Int) -> Bool {
        book.loops.hasBans(loop) && book.loops.bannedUntil(client, loop, now: MonotonicClock.now) != nil
    }

    /// A rate limit has refused a request.
    func limited(_ request: borrowing Request) {
        guard mindsRateLimits, let client = clients.client(of: request) else { return }
        count(client) { $0 == .rateLimit }
    }

    /// A handshake has failed.
    /// - Parameter peer: address and port; empty when nobody knows any more.
    func handshakeFailed(_ peer: String) {
        guard mindsHandshakes, let colon = peer.lastIndex(of: ":"), let address = IPAddress(peer[..<colon].filter { $0 != "[" && $0 != "]" }) else { return }
        count(address) { $0 == .handshake }
    }

    private func count(_ address: IPAddress, _ minds: (BanRule.Reason) -> Bool) {
        let now = MonotonicClock.now
        for watched in rules where watched.rule.reasons.contains(where: minds) {
            guard let ban = watched.count(address, now: now) else { continue }
            let wall = Gateway.wallNs()
            let reason = "rule \(watched.rule.name): \(watched.settings)"
            let entry = BanEntry(ban.prefix, until: wall + ban.lengthNs, source: .rule, reason: reason)
            if book.ban(entry, now: wall) {
                book.log?.note("banned \(ban.prefix) for \(ConfigUnit.duration.format(ban.lengthNs / 1_000_000_000 * 1_000_000_000)), the \(ban.strike). time: \(reason)")
            }
        }
    }

    /// The administration has lifted a ban.
    func pardon(_ prefix: Prefix) { for rule in rules { rule.pardon(prefix) } }
}

extension BanRule.Reason {
    /// As the configuration has it.
    var spelling: String {
        switch self {
        case .status(let range): range.first == range.last ? "\(range.first)" : range.last == range.first + 99 && range.first % 100 == 0 ? "\(range.first / 100)xx" : "\(range.first)-\(range.last)"
        case .rateLimit: "rate-limit"
        case .malformed: "malformed"
        case .handshake: "handshake"
        }
    }
}
