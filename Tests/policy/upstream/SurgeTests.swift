import Testing

@testable import UringPolicy

@Suite("The surge detector")
struct SurgeTests {
    private static let second: UInt64 = 1_000_000_000

    @Test("sees growth within its window, and not a slow one")
    func growth() {
        var detector = SurgeDetector(SurgeSettings(), now: 0)
        var now: UInt64 = 0
        var events: [SurgeEvent] = []
        func sample(_ connections: UInt32, seconds: Int = 1) {
            for _ in 0..<seconds {
                if let event = detector.sample(connections, now: now) { events.append(event) }
                now += Self.second
            }
        }
        // From nothing, and threefold every two minutes.
        for connections in [0, 1, 3, 10, 99, 300] as [UInt32] { sample(connections) }
        for connections in [300, 890, 2600, 7000] as [UInt32] { sample(connections, seconds: 120) }
        #expect(events.isEmpty)
        sample(21_000, seconds: 5)
        #expect(events.isEmpty && !detector.isSurging)
        sample(21_001)
        #expect(events == [.began(connections: 21_001, base: 7000)] && detector.isSurging)
        // It stays one while it stays high, and between the bounds.
        sample(50_000, seconds: 300)
        sample(14_001, seconds: 300)
        #expect(events.count == 1)
        sample(14_000, seconds: 29)
        sample(14_001)
        sample(13_000, seconds: 30)
        #expect(events.count == 1)
        sample(13_000)
        #expect(events.count == 2)
        guard case .ended(connections: 13_000, _, byTime: false) = events.last else {
            Issue.record("\(events)")
            return
        }
        sample(39_000, seconds: 10)
        #expect(events.count == 2)
        sample(39_001)
        #expect(events.count == 3)
        // What lasts is no surge.
        sample(39_001, seconds: 1801)
        guard case .ended(connections: 39_001, lastedNs: 1_800_000_000_000, byTime: true) = events.last else {
            Issue.record("\(events)")
            return
        }
        sample(100_000, seconds: 500)
        #expect(events.count == 4)
    }

    @Test("compares with the fewest of the window", arguments: policySeeds(20))
    func model(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        var detector = SurgeDetector(SurgeSettings(), now: 0)
        var history: [(time: UInt64, connections: UInt32)] = []
        var now: UInt64 = 0
        var level: UInt64 = 200
        for _ in 0..<2000 {
            now += random.below(3 * Self.second)
            if random.below(30) == 0 { level = 100 + random.below(1000) }
            let connections = UInt32(level + random.below(50))
            let event = detector.sample(connections, now: now)
            history.append((now, connections))
            // The base is the fewest of 15 to 16 parts of the window.
            let least = history.filter { $0.time + 60 * Self.second >= now }.map(\.connections).min()!
            let leastOfFifteen = history.filter { $0.time + 56 * Self.second > now }.map(\.connections).min()!
            switch event {
            case .began(let present, let base):
                #expect(base >= max(least, 100) && base <= max(leastOfFifteen, 100) && present > base * 3)
                detector = SurgeDetector(SurgeSettings(), now: now)
                history = []
            case .ended: Issue.record("no surge was on")
            case nil: #expect(UInt64(connections) <= UInt64(max(leastOfFifteen, 100)) * 3, "seed \(seed)")
            }
        }
    }
}
