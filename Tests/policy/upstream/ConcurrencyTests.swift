import Testing

@testable import UringPolicy

/// A server with so many places, each busy for a service time, and a queue before them; requests come at random. Time is simulated.
private struct QueueModel {
    var places: Int
    var serviceNs: UInt64
    /// Requests per second that ask for it.
    var rate: UInt64
    var limiter: ConcurrencyLimiter
    var random: PolicyRandom
    var now: UInt64 = 0
    /// Ends of the requests under way, in order, and when they began.
    private var ends: [(end: UInt64, began: UInt64)] = []
    private var free: [UInt64]
    /// Of the last `run`.
    var answered = 0
    var latencies: [UInt64] = []

    init(places: Int, serviceNs: UInt64, rate: UInt64, seed: UInt64, _ configure: (inout ConcurrencySettings) -> Void = { _ in }) {
        (self.places, self.serviceNs, self.rate) = (places, serviceNs, rate)
        random = PolicyRandom(seed: seed)
        var settings = ConcurrencySettings()
        configure(&settings)
        limiter = ConcurrencyLimiter(settings, now: 0, random: &random)
        free = [UInt64](repeating: 0, count: places)
    }

    mutating func run(seconds: UInt64) {
        let end = now + seconds * 1_000_000_000
        (answered, latencies) = (0, [])
        while now < end {
            // Between none and two mean intervals.
            let next = now + random.below(2_000_000_000 / rate) + 1
            finish(before: next)
            now = next
            if limiter.acquire() { begin() }
        }
    }

    private mutating func begin() {
        if free.count != places { free = Array(free.sorted().suffix(places)) + [UInt64](repeating: now, count: max(places - free.count, 0)) }
        let place = free.indices.min { free[$0] < free[$1] } ?? 0
        let start = max(free[place], now)
        let jitter = serviceNs / 5
        let finished = start + serviceNs - jitter + random.below(2 * jitter + 1)
        free[place] = finished
        let after = ends.lastIndex { $0.end <= finished } ?? -1
        ends.insert((finished, now), at: after + 1)
    }

    private mutating func finish(before time: UInt64) {
        while let first = ends.first, first.end <= time {
            ends.removeFirst()
            limiter.release(.answered, latencyNs: first.end - first.began, now: first.end)
            answered += 1
            latencies.append(first.end - first.began)
        }
    }

    var medianNs: UInt64 { latencies.sorted()[latencies.count / 2] }
}

@Suite("The concurrency limiter")
struct ConcurrencyTests {
    @Test("settles near the capacity under twice the load, and keeps latency low", arguments: [(5, 1), (20, 2), (60, 3)] as [(Int, UInt64)])
    func settles(places: Int, seed: UInt64) {
        let capacity = UInt64(places) * 50
        var model = QueueModel(places: places, serviceNs: 20_000_000, rate: capacity * 2, seed: seed) { $0.probeIntervalNs = 4_000_000_000 }
        // The first probes: it begins with 20, which is more than the smallest server takes without a queue.
        model.run(seconds: 15)
        for _ in 0..<2 {
            model.run(seconds: 4)
            // All of the capacity, with a queue of a service time or so.
            #expect(model.answered > Int(capacity) * 4 * 9 / 10, "\(model.answered)")
            #expect(model.medianNs < 52_000_000, "\(model.medianNs)")
            #expect(Int(model.limiter.limit) >= places / 2 && Int(model.limiter.limit) <= places * 2 + 6, "\(model.limiter.limit)")
        }
    }

    @Test("follows a server that loses places, and gets them back")
    func recovers() {
        var model = QueueModel(places: 40, serviceNs: 20_000_000, rate: 2500, seed: 3)
        model.run(seconds: 10)
        model.places = 10
        model.run(seconds: 5)
        #expect(model.limiter.limit <= 26, "\(model.limiter.limit)")
        model.places = 40
        model.run(seconds: 20)
        model.run(seconds: 5)
        #expect(model.limiter.limit >= 36 && model.answered > 9000, "\(model.limiter.limit) \(model.answered)")
    }

    @Test("learns that a server has become slower by itself")
    func slower() {
        var model = QueueModel(places: 40, serviceNs: 20_000_000, rate: 2500, seed: 4)
        model.run(seconds: 10)
        model.serviceNs = 80_000_000
        model.run(seconds: 40)
        model.run(seconds: 5)
        #expect(model.limiter.limit >= 34 && model.answered > 2200, "\(model.limiter.limit) \(model.answered)")
        #expect(model.limiter.baseNs > 60_000_000)
        model.serviceNs = 20_000_000
        model.run(seconds: 10)
        #expect(model.limiter.baseNs < 30_000_000)
    }

    @Test("does not grow on what is not used")
    func idle() {
        var model = QueueModel(places: 40, serviceNs: 20_000_000, rate: 100, seed: 5)
        model.run(seconds: 30)
        #expect(model.limiter.limit == 20 && model.limiter.refused == 0, "\(model.limiter.limit)")
    }

    @Test("falls when the server says that it has too much")
    func overload() {
        var random = PolicyRandom(seed: 6)
        var limiter = ConcurrencyLimiter(ConcurrencySettings(), now: 0, random: &random)
        var now: UInt64 = 0
        for _ in 0..<10 {
            now += 200_000_000
            #expect(limiter.inFlight == 0)
            _ = limiter.acquire()
            limiter.release(.overloaded, latencyNs: 5, now: now)
        }
        #expect(limiter.limit == 6)
        while limiter.inFlight < limiter.limit { _ = limiter.acquire() }
        let before = limiter.refused
        let isAllowed = limiter.acquire()
        #expect(!isAllowed && limiter.refused == before + 1 && limiter.inFlight == 6)
        for _ in 0..<6 { limiter.release(.unknown, latencyNs: 0, now: now) }
    }

    @Test("keeps its bounds in every history", arguments: policySeeds(20))
    func histories(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        var settings = ConcurrencySettings()
        settings.most = 40
        settings.probeIntervalNs = 2_000_000_000
        var limiter = ConcurrencyLimiter(settings, now: 0, random: &random)
        var now: UInt64 = 0
        for _ in 0..<5000 {
            now += random.below(10_000_000)
            if random.below(2) == 0 {
                let before = limiter.inFlight
                let isAllowed = limiter.acquire()
                #expect(isAllowed == (before < limiter.limit))
            } else if limiter.inFlight > 0 {
                let outcome: ConcurrencyOutcome = random.below(20) == 0 ? .overloaded : random.below(20) == 0 ? .unknown : .answered
                limiter.release(outcome, latencyNs: random.next() >> random.below(64), now: now)
            }
            #expect(limiter.limit >= 4 && limiter.limit <= 40)
        }
    }
}
