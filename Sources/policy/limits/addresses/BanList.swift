// Which addresses are not served: bans by operators, files, Redis and rules, and the addresses that no ban touches. Owned by one thread, the one that answers the admin; loops have snapshots
// (BanSnapshot), made after each change and sent as messages. Times are ns since 1970: bans outlive a restart.

/// Who put a ban there.
package enum BanSource: String, CaseIterable, Sendable { case config, admin, file, redis, rule }

/// A ban.
package struct BanEntry: Hashable, Sendable {
    package var prefix: Prefix
    /// ns since 1970; `.max`: for good.
    package var until: UInt64
    package var source: BanSource
    /// For people: one line, at most `reasonBytesMax`.
    package private(set) var reason: String

    package static var reasonBytesMax: Int { 200 }

    /// - Parameter reason: cut to its length, line ends and other controls become spaces.
    package init(_ prefix: Prefix, until: UInt64 = .max, source: BanSource, reason: String = "") {
        (self.prefix, self.until, self.source) = (prefix, until, source)
        let bytes = reason.utf8.prefix(Self.reasonBytesMax).map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }
        self.reason = String(decoding: bytes, as: UTF8.self)
        // A letter cut in two has become a mark of three bytes.
        while self.reason.utf8.count > Self.reasonBytesMax || self.reason.hasSuffix("\u{fffd}") { self.reason.removeLast() }
        while self.reason.hasSuffix(" ") { self.reason.removeLast() }
        self.reason = String(self.reason.drop { $0 == " " })
    }

    package var isPermanent: Bool { until == .max }
}

/// All bans. A value: what a reload tries out it does not change.
package struct BanList: Sendable {
    package enum Addition: Equatable, Sendable {
        case added
        /// There was one for the same prefix. A rule shortens nobody's ban; everybody else's word is the last.
        case replaced
        /// The one that was there lasts longer.
        case kept
        /// `entriesMax` bans that hold.
        case full
    }

    /// More is the business of a packet filter.
    package static var entriesMax: Int { 1_000_000 }

    private var entries: [Prefix: BanEntry] = [:]
    /// Never banned, whatever else is said: the operators' own networks, health checks.
    package var allowed: [Prefix]
    private let entriesMax: Int

    package init(allowed: [Prefix] = [], entriesMax: Int = BanList.entriesMax) {
        self.allowed = allowed
        self.entriesMax = min(max(1, entriesMax), Self.entriesMax)
    }

    package var count: Int { entries.count }

    package mutating func add(_ entry: BanEntry, now: UInt64) -> Addition {
        if let old = entries[entry.prefix] {
            if entry.source == .rule && old.until >= entry.until { return .kept }
            entries[entry.prefix] = entry
            return .replaced
        }
        if entries.count >= entriesMax { expire(now: now) }
        guard entries.count < entriesMax else { return .full }
        entries[entry.prefix] = entry
        return .added
    }

    /// The same with room for more.
    package func widened() -> BanList {
        var wide = BanList(allowed: allowed)
        wide.entries = entries
        return wide
    }

    /// The ban of this very prefix, over or not.
    package subscript(_ prefix: Prefix) -> BanEntry? { entries[prefix] }

    package mutating func remove(_ prefix: Prefix) -> BanEntry? { entries.removeValue(forKey: prefix) }

    /// Forgets bans whose time has passed.
    @discardableResult
    package mutating func expire(now: UInt64) -> Int {
        let before = entries.count
        entries = entries.filter { $0.value.until > now }
        return before - entries.count
    }

    /// Bans that hold, by address.
    package func list(now: UInt64) -> [BanEntry] {
        entries.values.filter { $0.until > now }.sorted { ($0.prefix.address, $0.prefix.length) < ($1.prefix.address, $1.prefix.length) }
    }

    /// For the loops. Takes tens of ms for 100,000 bans: not on a loop.
    package func snapshot(now: UInt64) -> BanSnapshot { BanSnapshot(list(now: now), allowed: allowed) }

    /// Bans that hold of either list; of two for one prefix the longer. As `list`, in no order.
    package func merged(with other: BanList, now: UInt64) -> [BanEntry] {
        let mine = entries.values.filter { $0.until > now && (other.entries[$0.prefix]?.until ?? 0) <= $0.until }
        return mine + other.entries.values.filter { $0.until > now && (entries[$0.prefix]?.until ?? 0) < $0.until }
    }
}

/// What loops ask: immutable, any thread.
@safe
package final class BanSnapshot: @unchecked Sendable {
    package enum Verdict: Equatable, Sendable {
        case pass
        /// The address is on the list of those that no ban touches.
        case allowed
        /// - Parameter index: of the entry (`entry`).
        case banned(index: Int, until: UInt64)
    }

    private let denied: PrefixSet
    private let allowed: PrefixSet
    private let entries: [BanEntry]
    /// Owned: as many as entries, allocated in `init`, freed in `deinit`.
    private let until: UnsafeMutableBufferPointer<UInt64>

    package static let empty = BanSnapshot([], allowed: [])

    package init(_ entries: [BanEntry], allowed: [Prefix]) {
        self.entries = entries
        denied = PrefixSet(entries.map(\.prefix))
        self.allowed = PrefixSet(allowed)
        unsafe until = .allocate(capacity: entries.count)
        _ = unsafe until.initialize(from: entries.map(\.until))
    }

    deinit { unsafe until.deallocate() }

    package var isEmpty: Bool { denied.isEmpty }
    package var count: Int { entries.count }
    package var memoryBytes: Int { denied.memoryBytes + allowed.memoryBytes + entries.count * 8 }

    /// Of bans around an address the longest that holds. No allocation, no lock.
    ///
    /// - Parameter now: ns since 1970.
    package func verdict(_ address: IPAddress, now: UInt64) -> Verdict {
        var index = denied.match(address)
        while let place = index {
            // SAFETY: places of the set are those of its entries.
            let end = unsafe until[place]
            if end > now { return allowed.contains(address) ? .allowed : .banned(index: place, until: end) }
            index = denied.parent(of: place)
        }
        return .pass
    }

    package func entry(_ index: Int) -> BanEntry { entries[index] }
}
