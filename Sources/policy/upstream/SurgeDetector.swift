// SurgeDetector: whether connections grow too fast. One value per process, asked once a second or so with the sum over the loops; what it says goes to the loops as a flag. Sans-I/O.

package struct SurgeSettings: Sendable, Equatable {
    /// A surge begins when there are more connections than the fewest of the last window by more than this, per cent.
    package var growthPercent: UInt32 = 200
    /// ns.
    package var windowNs: UInt64 = 60_000_000_000
    /// Fewer than this count as this many: from one connection to three is no surge.
    package var baseMin: UInt32 = 100
    /// A surge is over when growth over the same base has been below this share of `growthPercent`, per cent, …
    package var exitPercent: UInt32 = 50
    /// … for so long, ns.
    package var calmNs: UInt64 = 30_000_000_000
    /// Or after this time, ns: what has lasted so long is no surge but the new state of things, and the limiter's job is done by the limits that are always on.
    package var longestNs: UInt64 = 1_800_000_000_000

    package init() {}
}

package enum SurgeEvent: Sendable, Equatable {
    case began(connections: UInt32, base: UInt32)
    /// After `lastedNs`; `byTime` with connections still high.
    case ended(connections: UInt32, lastedNs: UInt64, byTime: Bool)
}

/// Compares with the fewest connections of the window, so that slow growth, and the return of what was there a moment ago, are no surges beyond what the percentage says. The base stays what it was for as long as the
/// surge lasts: otherwise a surge that stays would be its own base one window later, and the limiter would end with the attack going on.
package struct SurgeDetector: Sendable {
    /// Parts of the window: the base is the fewest of 15 to 16 of them.
    private static var parts: Int { 16 }

    package let settings: SurgeSettings
    private var fewest = InlineArray<16, UInt32>(repeating: .max)
    private var part: UInt64
    private let partNs: UInt64
    /// Of the surge that is on.
    private var surge: Surge?

    private struct Surge: Sendable {
        var base: UInt32
        var began: UInt64
        /// Since when there has been no more than the exit's growth; nil: there is.
        var calmSince: UInt64?
    }

    package init(_ settings: SurgeSettings, now: UInt64) {
        precondition(settings.windowNs >= UInt64(Self.parts) && settings.growthPercent > 0 && settings.exitPercent <= 100, "BUG: a surge is a growth within a window")
        self.settings = settings
        partNs = settings.windowNs / UInt64(Self.parts)
        part = now / partNs
    }

    package var isSurging: Bool { surge != nil }

    /// Takes the number of connections at `now`.
    package mutating func sample(_ connections: UInt32, now: UInt64) -> SurgeEvent? {
        advance(now)
        fewest[place] = min(fewest[place], connections)
        if let surge { return during(surge, connections, now) }
        let base = max(baseNow, settings.baseMin)
        guard connections > Self.bound(base, settings.growthPercent) else { return nil }
        surge = Surge(base: base, began: now)
        return .began(connections: connections, base: base)
    }

    private mutating func during(_ present: Surge, _ connections: UInt32, _ now: UInt64) -> SurgeEvent? {
        let lasted = now &- present.began
        let isCalm = connections <= Self.bound(present.base, settings.growthPercent, share: settings.exitPercent)
        let calmSince = isCalm ? present.calmSince ?? now : nil
        surge?.calmSince = calmSince
        let isOver = calmSince.map { now &- $0 >= settings.calmNs } ?? false
        guard isOver || lasted >= settings.longestNs else { return nil }
        surge = nil
        // What is now is what growth is measured by from here.
        fewest = InlineArray(repeating: .max)
        fewest[place] = connections
        return .ended(connections: connections, lastedNs: lasted, byTime: !isOver)
    }

    private static func bound(_ base: UInt32, _ percent: UInt32, share: UInt32 = 100) -> UInt64 {
        UInt64(base) + UInt64(base) * UInt64(percent) / 100 * UInt64(share) / 100
    }

    private var place: Int { Int(truncatingIfNeeded: part % UInt64(Self.parts)) }

    private var baseNow: UInt32 {
        var least = UInt32.max
        for place in 0..<Self.parts { least = min(least, fewest[place]) }
        return least
    }

    private mutating func advance(_ now: UInt64) {
        let present = now / partNs
        guard present > part else { return }
        for _ in 0..<min(present - part, UInt64(Self.parts)) {
            part &+= 1
            fewest[place] = .max
        }
        // Whatever was skipped beyond has no samples; all parts are empty then, and this one comes next.
        if part != present {
            part = present
            fewest[place] = .max
        }
    }
}
