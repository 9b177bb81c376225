// Who misbehaves: denials, 4xx, malformed requests counted for each client, and the ban that follows. One table per rule, under its owner's lock: the gateway counts over all loops by a SharedRateTable, without locks,
// and comes here with a whole ban's worth of offences (`weight`), for how long it is to be and whether there is one already.

/// When a client is banned, and for how long. Times in ns.
package struct BanRule: Hashable, Sendable {
    /// Offences within `window` that lead to a ban, at least 1. They wear off evenly: one in `window` / `offences`.
    package let offences: UInt64
    package let window: UInt64
    /// The first ban's length; every following one is `growth` times as long, up to `longest`.
    package let first: UInt64
    package let growth: UInt64
    package let longest: UInt64
    /// Who behaves for so long after a ban begins anew.
    package let forgetAfter: UInt64
    let policy: RatePolicy

    /// - Returns: nil when a number is 0 or beyond its range (as for `RatePolicy`; times up to 36 years).
    package init?(offences: UInt64, within window: UInt64, ban first: UInt64, growth: UInt64 = 2, longest: UInt64, forgetAfter: UInt64) {
        guard offences > 0, first > 0, growth > 0, longest >= first, longest <= RatePolicy.toleranceMax, forgetAfter <= RatePolicy.toleranceMax,
            let policy = RatePolicy(tokens: offences, per: window, burst: offences)
        else { return nil }
        (self.offences, self.window, self.first) = (offences, window, first)
        (self.growth, self.longest, self.forgetAfter) = (growth, longest, forgetAfter)
        self.policy = policy
    }

    /// - Parameter strike: the how manieth ban of a client, from 1.
    package func length(strike: UInt32) -> UInt64 {
        var length = first
        // After 63 doublings it is the longest.
        for _ in 1..<max(1, min(strike, 64)) where length < longest {
            let (longer, overflow) = length.multipliedReportingOverflow(by: growth)
            length = overflow ? longest : min(longer, longest)
        }
        return length
    }
}

/// Offences and bans of clients, in fixed memory. No allocation after `init`.
@safe
package struct OffenceTable: ~Copyable {
    package struct Ban: Equatable, Sendable {
        /// On the clock of the call.
        package let until: UInt64
        /// The how manieth of this client, as far as it is remembered.
        package let strike: UInt32
    }

    private struct Slot: BitwiseCopyable {
        var fingerprint: UInt64 = 0
        /// Offences wear off until then.
        var paidAt: UInt64 = 0
        var bannedUntil: UInt64 = 0
        var strikes: UInt32 = 0

        /// Before this time the slot has something to remember.
        func keptUntil(_ rule: BanRule) -> UInt64 { strikes == 0 ? paidAt : max(paidAt, bannedUntil &+ rule.forgetAfter) }
    }

    private static var ways: Int { 4 }
    /// A million clients: 32 MiB.
    package static var clientsMax: Int { 1 << 20 }

    private let rule: BanRule
    private let mask: UInt64
    /// Owned: allocated in `init`, freed in `deinit`.
    private let slots: UnsafeMutablePointer<Slot>
    /// Clients that were forgotten although there was something to remember: the table is too small for what goes on.
    package private(set) var forgotten: UInt64 = 0
    package private(set) var bans: UInt64 = 0

    /// - Parameter clients: remembered at the same time, rounded up to a power of two; 32 bytes each. Of those that meet in one group of four the one that has the least to its account is forgotten.
    package init(_ rule: BanRule, clients: Int) {
        self.rule = rule
        var groups = 1
        while groups * Self.ways < min(max(clients, 1), Self.clientsMax) { groups *= 2 }
        mask = UInt64(groups - 1)
        unsafe slots = .allocate(capacity: groups * Self.ways)
        unsafe slots.initialize(repeating: Slot(), count: groups * Self.ways)
    }

    deinit { unsafe slots.deallocate() }

    /// Counts an offence.
    ///
    /// - Parameters:
    ///   - key: of the client, hashed under the process's secret.
    ///   - weight: how many offences it counts for; 0 counts nothing.
    /// - Returns: the ban that follows. While it lasts nothing more is counted.
    package mutating func record(_ key: RateKey, weight: UInt64 = 1, now: UInt64) -> Ban? {
        guard weight > 0 else { return nil }
        let slot = unsafe take(key, now)
        // SAFETY: a slot of this table; so below.
        if unsafe slot.pointee.bannedUntil > now { return nil }
        if unsafe slot.pointee.strikes > 0 && slot.pointee.bannedUntil &+ rule.forgetAfter <= now { unsafe slot.pointee.strikes = 0 }
        let (decision, paidAt) = unsafe rule.policy.decide(paidAt: slot.pointee.paidAt, cost: min(weight, rule.offences), now: now)
        if decision.isAllowed && decision.remaining > 0 {
            unsafe slot.pointee.paidAt = paidAt
            return nil
        }
        unsafe slot.pointee.strikes = min(slot.pointee.strikes, 1 << 30) + 1
        let ban = unsafe Ban(until: now &+ rule.length(strike: slot.pointee.strikes), strike: slot.pointee.strikes)
        unsafe (slot.pointee.bannedUntil, slot.pointee.paidAt) = (ban.until, 0)
        bans &+= 1
        return ban
    }

    /// Until when a client is banned by this table; nil when it is not. Bridges the time until the snapshot of all bans has arrived.
    package func bannedUntil(_ key: RateKey, now: UInt64) -> UInt64? {
        for way in 0..<Self.ways {
            let slot = unsafe group(key)[way]
            if slot.fingerprint == Self.fingerprint(key) { return slot.bannedUntil > now ? slot.bannedUntil : nil }
        }
        return nil
    }

    /// An operator has lifted the ban: all is forgotten.
    package mutating func pardon(_ key: RateKey) {
        for way in 0..<Self.ways where unsafe group(key)[way].fingerprint == Self.fingerprint(key) { unsafe group(key)[way] = Slot() }
    }

    private static func fingerprint(_ key: RateKey) -> UInt64 { key.high == 0 ? 1 : key.high }

    /// Within the table: the mask is that of its groups.
    private func group(_ key: RateKey) -> UnsafeMutablePointer<Slot> { unsafe slots + Int(key.low & mask) * Self.ways }

    private mutating func take(_ key: RateKey, _ now: UInt64) -> UnsafeMutablePointer<Slot> {
        let group = unsafe group(key)
        var least = unsafe group
        for way in 0..<Self.ways {
            let slot = unsafe group + way
            if unsafe slot.pointee.fingerprint == Self.fingerprint(key) { return unsafe slot }
            if unsafe slot.pointee.keptUntil(rule) < least.pointee.keptUntil(rule) { unsafe least = unsafe slot }
        }
        if unsafe least.pointee.keptUntil(rule) > now { forgotten &+= 1 }
        unsafe least.pointee = Slot(fingerprint: Self.fingerprint(key))
        return unsafe least
    }
}
