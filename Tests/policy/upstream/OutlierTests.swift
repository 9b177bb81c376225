import Testing

@testable import UringPolicy

@Suite("The outlier detector")
struct OutlierTests {
    private static let second: UInt64 = 1_000_000_000

    private static func detector(_ configure: (inout OutlierSettings) -> Void = { _ in }) -> OutlierDetector {
        var settings = OutlierSettings()
        configure(&settings)
        return OutlierDetector(settings)
    }

    @Test("tells failures of the server from failures on the way")
    func outcomes() {
        #expect(UpstreamOutcome.status(500).isFailure && !UpstreamOutcome.status(500).isGatewayFailure)
        #expect(UpstreamOutcome.status(503).isGatewayFailure && !UpstreamOutcome.status(505).isGatewayFailure && !UpstreamOutcome.status(499).isFailure)
        for outcome in [UpstreamOutcome.connectFailure, .reset, .timeout] { #expect(outcome.isFailure && outcome.isGatewayFailure) }
        #expect(!UpstreamOutcome.unknown.isFailure)
    }

    @Test("ejects after failures in a row, longer each time, and forgives")
    func ejection() {
        let detector = Self.detector()
        let shared = SharedServers(count: 4)
        var now = Self.second
        detector.sweep(shared, now: now) { _ in Issue.record("nothing has happened") }
        for _ in 0..<4 { #expect(detector.record(1, .status(500), shared: shared, now: now) == nil) }
        #expect(detector.record(1, .status(200), shared: shared, now: now) == nil)
        for _ in 0..<4 { #expect(detector.record(1, .status(500), shared: shared, now: now) == nil) }
        // The client's end is no answer, neither good nor bad.
        #expect(detector.record(1, .unknown, shared: shared, now: now) == nil)
        for round in 1...7 as ClosedRange<UInt32> {
            var event: OutlierEvent?
            while event == nil { event = detector.record(1, .status(500), shared: shared, now: now) }
            guard case .ejected(server: 1, .consecutive5xx, failures: 5, until: let until, ejections: round) = event else {
                Issue.record("\(String(describing: event))")
                return
            }
            let length = min(UInt64(round) * 60, 300) * Self.second
            #expect(until >= now + length && until < now + length + 1 << 20)
            // Late answers do not count.
            for _ in 0..<20 { #expect(detector.record(1, .timeout, shared: shared, now: until - 1) == nil) }
            #expect(shared.isEjected(1, now: until - 1) && !shared.isEjected(1, now: until))
            now = until
        }
        var returned: [OutlierEvent] = []
        detector.sweep(shared, now: now) { returned.append($0) }
        #expect(returned == [.returned(server: 1)] && shared.ejections(1) == 6)
        for _ in 0..<7 {
            now += 30 * Self.second
            detector.sweep(shared, now: now) { _ in Issue.record("it has returned before") }
            // Not twice in an interval.
            detector.sweep(shared, now: now + 1) { _ in Issue.record("too early") }
        }
        #expect(shared.ejections(1) == 0)
        #expect(detector.nextSweep(shared) == now + 30 * Self.second)
    }

    @Test("counts gateway failures apart")
    func gateway() {
        let detector = Self.detector {
            $0.consecutive5xx = 0
            $0.consecutiveGatewayFailures = 3
        }
        let shared = SharedServers(count: 4)
        for outcome in [UpstreamOutcome.timeout, .reset, .status(500), .status(502), .connectFailure] {
            #expect(detector.record(0, outcome, shared: shared, now: 5) == nil)
        }
        guard case .ejected(server: 0, .consecutiveGatewayFailures, failures: 3, until: _, ejections: 1) = detector.record(0, .status(504), shared: shared, now: 5) else {
            Issue.record("not ejected")
            return
        }
        let off = Self.detector {
            $0.consecutive5xx = 0
            $0.consecutiveGatewayFailures = 0
        }
        for _ in 0..<100 { #expect(off.record(1, .timeout, shared: shared, now: 5) == nil) }
    }

    @Test("never ejects more than its share, and all of them only with 100 %")
    func allowed() {
        func allowed(_ percent: UInt32, _ count: Int) -> Int { Self.detector { $0.maxEjectedPercent = percent }.allowed(of: count) }
        #expect((0...5).map { allowed(50, $0) } == [0, 0, 1, 1, 2, 2])
        #expect((0...5).map { allowed(10, $0) } == [0, 0, 1, 1, 1, 1])
        #expect((0...3).map { allowed(99, $0) } == [0, 0, 1, 2])
        #expect(allowed(100, 3) == 3 && allowed(0, 10) == 0 && allowed(10, 50) == 5)
    }

    @Test("keeps the share in every history", arguments: policySeeds(40))
    func histories(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let count = Int(1 + random.below(12))
        let percent = UInt32(random.below(11) * 10)
        let detector = Self.detector { $0.maxEjectedPercent = percent }
        let shared = SharedServers(count: count)
        var now = Self.second
        var spared = 0
        for _ in 0..<3000 {
            now += random.below(Self.second / 4)
            let server = Int(random.below(UInt64(count)))
            if random.below(100) == 0 { detector.sweep(shared, now: now) { _ in } }
            let outcome: UpstreamOutcome = [.status(200), .status(500), .status(503), .timeout, .connectFailure][Int(random.below(random.below(8) == 0 ? 1 : 5))]
            let before = (0..<count).filter { shared.isEjected($0, now: now) }
            switch detector.record(server, outcome, shared: shared, now: now) {
            case .ejected(let ejected, _, let failures, let until, _):
                #expect(ejected == server && failures >= 5 && until > now && !before.contains(server) && outcome.isFailure)
            case .spared(_, _, _, let ejected):
                spared += 1
                #expect(ejected == before.count && ejected >= detector.allowed(of: count))
            case .returned: Issue.record("record returns nobody")
            case nil: #expect((0..<count).filter { shared.isEjected($0, now: now) } == before)
            }
            #expect((0..<count).count { shared.isEjected($0, now: now) } <= detector.allowed(of: count))
        }
        #expect(percent != 0 || spared == 0)
    }

    @Test("keeps the share when loops eject at once")
    func loops() async {
        let detector = Self.detector { $0.maxEjectedPercent = 30 }
        let shared = SharedServers(count: 20)
        let ejected = await withTaskGroup(of: Int.self) { group in
            for loop in 0..<4 as Range<UInt64> {
                group.addTask {
                    var random = PolicyRandom(seed: loop)
                    return (0..<20_000).count { _ in
                        if case .ejected = detector.record(Int(random.below(20)), .timeout, shared: shared, now: 5) { true } else { false }
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(ejected == 6)
        #expect((0..<20).count { shared.isEjected($0, now: 5) } == 6)
    }
}
