// The timer wheel against a plain dictionary of deadlines, and the edges by hand.

import Testing
import UringBase

/// SplitMix64: the same test for the same seed on every platform.
private struct WheelRandom {
    var state: UInt64

    mutating func below(_ bound: UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return (z ^ (z >> 31)) % bound
    }
}

private let second: UInt64 = 1_000_000_000
private let tick: UInt64 = 1 << TimerWheel.defaultTickShift

/// The wheel in a copyable box: `#expect` copies what it is called on.
private final class WheelUnderTest {
    private var wheel: TimerWheel

    init(now: UInt64, tickShift: UInt64 = TimerWheel.defaultTickShift, capacity: Int = 256) {
        wheel = TimerWheel(now: now, tickShift: tickShift, capacity: capacity)
    }

    var count: Int { wheel.count }
    var nextExpiry: UInt64 { wheel.nextExpiry }
    func isArmed(_ index: UInt32) -> Bool { wheel.isArmed(index) }
    func arm(_ index: UInt32, deadline: UInt64) { wheel.arm(index, deadline: deadline) }
    func cancel(_ index: UInt32) { wheel.cancel(index) }
    func expire(to now: UInt64) { wheel.expire(to: now) }
    func popExpired() -> UInt32? { wheel.popExpired() }
    func advance(to now: UInt64, _ body: (inout TimerWheel, UInt32) -> Void) { wheel.advance(to: now, body) }

    /// What expires, in order.
    func expired(at now: UInt64) -> [UInt32] {
        var indices: [UInt32] = []
        wheel.advance(to: now) { _, index in indices.append(index) }
        return indices
    }
}

@Suite struct TimerWheelTests {
    @Test func firesOnceAndNotEarly() {
        let wheel = WheelUnderTest(now: 5 * second)
        wheel.arm(3, deadline: 6 * second)
        #expect(wheel.isArmed(3))
        #expect(wheel.count == 1)
        #expect(wheel.expired(at: 6 * second - 1).isEmpty)
        #expect(wheel.expired(at: 6 * second + tick) == [3])
        #expect(!wheel.isArmed(3))
        #expect(wheel.count == 0)
        #expect(wheel.expired(at: 100 * second).isEmpty)
    }

    @Test func exactTickFiresOnTime() {
        let wheel = WheelUnderTest(now: 0)
        wheel.arm(0, deadline: 10 * tick)
        #expect(wheel.expired(at: 10 * tick - 1).isEmpty)
        #expect(wheel.expired(at: 10 * tick) == [0])
    }

    @Test func cancelAndMove() {
        let wheel = WheelUnderTest(now: 0)
        wheel.arm(0, deadline: second)
        wheel.arm(1, deadline: second)
        wheel.arm(2, deadline: second)
        wheel.cancel(1)
        wheel.cancel(1)
        wheel.cancel(4_000_000)  // never seen
        wheel.arm(2, deadline: 3 * second)
        #expect(wheel.count == 2)
        #expect(wheel.expired(at: 2 * second) == [0])
        #expect(wheel.expired(at: 4 * second) == [2])
    }

    @Test func neverCancels() {
        let wheel = WheelUnderTest(now: 0)
        wheel.arm(0, deadline: second)
        wheel.arm(0, deadline: .max)
        #expect(!wheel.isArmed(0))
        #expect(wheel.nextExpiry == .max)
    }

    @Test func pastDeadlinesFireAtTheNextTick() {
        let wheel = WheelUnderTest(now: 50 * second)
        wheel.arm(0, deadline: 0)
        #expect(wheel.nextExpiry > 50 * second)
        #expect(wheel.expired(at: 50 * second).isEmpty)
        #expect(wheel.expired(at: 50 * second + tick) == [0])
    }

    @Test func timeThatStandsStillOrGoesBackDoesNothing() {
        let wheel = WheelUnderTest(now: 50 * second)
        wheel.arm(0, deadline: 51 * second)
        #expect(wheel.expired(at: 50 * second).isEmpty)
        #expect(wheel.expired(at: 0).isEmpty)
        #expect(wheel.isArmed(0))
        #expect(wheel.expired(at: 52 * second) == [0])
    }

    @Test func growsWithItsIndices() {
        let wheel = WheelUnderTest(now: 0, capacity: 1)
        for index in 0..<5000 as Range<UInt32> { wheel.arm(index, deadline: UInt64(index) * tick + 1) }
        #expect(wheel.count == 5000)
        #expect(wheel.expired(at: 5000 * tick) == Array(0..<5000))
    }

    /// One timer in every slot of every level, and beyond the top one, each alone.
    @Test func everyLevel() {
        for level in 0...6 as ClosedRange<UInt64> {
            for slot in 1...63 as ClosedRange<UInt64> {
                for start in [0, 63, 4095, (1 << 30) - 1, 1 << 30] as [UInt64] {
                    let due = start + (slot << (6 * level))
                    let wheel = WheelUnderTest(now: start << 10, tickShift: 10)
                    wheel.arm(7, deadline: due << 10)
                    var wakes = 0
                    while true {
                        let wake = wheel.nextExpiry
                        guard wake <= due << 10, wake > 0 else {
                            Issue.record("wakes at \(wake) for \(due << 10)")
                            return
                        }
                        wakes += 1
                        if wheel.expired(at: wake) == [7] {
                            #expect(wake == due << 10)
                            break
                        }
                    }
                    // Four levels down; beyond the top level one more each time that it comes round.
                    #expect(wakes <= 5 + Int((slot << (6 * level)) / (63 << 24)))
                }
            }
        }
    }

    @Test func horizonIsEndless() {
        let wheel = WheelUnderTest(now: 0)
        let day: UInt64 = 86_400 * second
        wheel.arm(0, deadline: day)
        wheel.arm(1, deadline: 365 * day)
        wheel.arm(2, deadline: 100 * 365 * day)
        wheel.arm(3, deadline: .max - 1)
        #expect(wheel.expired(at: day - 1).isEmpty)
        #expect(wheel.expired(at: day + tick) == [0])
        #expect(wheel.expired(at: 366 * day) == [1])
        #expect(wheel.expired(at: 101 * 365 * day) == [2])
        #expect(wheel.isArmed(3))
        #expect(wheel.nextExpiry > 101 * 365 * day)
    }

    @Test func oneJumpExpiresAllInOrder() {
        let wheel = WheelUnderTest(now: 0)
        let deadlines: [UInt64] = [300, 1, 5000, 77, 4096, 64, 63, 300_000, 20_000_000, 2_000_000_000]
        for (index, deadline) in deadlines.enumerated() { wheel.arm(UInt32(index), deadline: deadline * tick) }
        let order = deadlines.indices.sorted { deadlines[$0] < deadlines[$1] }.map(UInt32.init)
        #expect(wheel.expired(at: 3_000_000_000 * tick) == order)
        #expect(wheel.nextExpiry == .max)
    }

    @Test func bodyMayArmItselfAgainInThePast() {
        let wheel = WheelUnderTest(now: 0)
        wheel.arm(0, deadline: tick)
        var fired = 0
        wheel.advance(to: 1_000_000 * tick) { wheel, index in
            fired += 1
            wheel.arm(index, deadline: 0)
        }
        #expect(fired == 1)
        #expect(wheel.isArmed(0))
        #expect(wheel.expired(at: 1_000_001 * tick) == [0])
    }

    @Test func bodyMayCancelAndMoveOthers() {
        let wheel = WheelUnderTest(now: 0)
        for index in 0..<6 as Range<UInt32> { wheel.arm(index, deadline: UInt64(index + 1) * tick) }
        var fired: [UInt32] = []
        wheel.advance(to: 10 * tick) { wheel, index in
            fired.append(index)
            if index == 0 {
                wheel.cancel(1)  // expired, not handed out
                wheel.cancel(5)  // the last of the expired
                wheel.arm(2, deadline: 20 * tick)
                wheel.arm(100, deadline: 20 * tick)
            }
        }
        #expect(fired == [0, 3, 4])
        #expect(wheel.count == 2)
        #expect(wheel.expired(at: 20 * tick).sorted() == [2, 100])
    }

    @Test func expiredTimersWaitToBeHandedOut() {
        let wheel = WheelUnderTest(now: 0)
        wheel.arm(0, deadline: tick)
        wheel.arm(1, deadline: 3 * tick)
        wheel.expire(to: 2 * tick)
        #expect(wheel.nextExpiry == 0)
        #expect(wheel.isArmed(0))
        wheel.expire(to: 4 * tick)
        #expect(wheel.popExpired() == 0)
        #expect(wheel.popExpired() == 1)
        #expect(wheel.popExpired() == nil)
        #expect(wheel.nextExpiry == .max)
    }

    /// Random arming, moving, cancelling and jumps of all sizes against a dictionary.
    @Test(arguments: [0, 10, 20, 26] as [UInt64]) func agreesWithTheReference(tickShift: UInt64) {
        for seed in 0..<60 as Range<UInt64> {
            var random = WheelRandom(state: seed)
            var now = random.below(1 << 50)
            let wheel = WheelUnderTest(now: now, tickShift: tickShift, capacity: 4)
            var reference: [UInt32: UInt64] = [:]  // index → tick
            var elapsed = now >> tickShift
            for _ in 0..<600 {
                let index = UInt32(random.below(100))
                switch random.below(10) {
                case 0..<5:
                    let span = UInt64(1) << random.below(tickShift + 34)
                    let deadline = random.below(10) == 0 ? now - random.below(now + 1) : now + random.below(span)
                    wheel.arm(index, deadline: deadline)
                    reference[index] = max((deadline + (1 << tickShift) - 1) >> tickShift, elapsed + 1)
                case 5, 6:
                    wheel.cancel(index)
                    reference[index] = nil
                default:
                    // Either a jump of any size, or exactly to where the wheel says.
                    let jump = random.below(UInt64(1) << random.below(tickShift + 34))
                    let wake = wheel.nextExpiry
                    let earliest = reference.values.min()
                    if let earliest {
                        guard wake <= earliest << tickShift else {
                            Issue.record("seed \(seed): would sleep until \(wake) past \(earliest << tickShift)")
                            return
                        }
                    }
                    #expect((wake == .max) == reference.isEmpty, "seed \(seed)")
                    now = random.below(2) == 0 && wake != .max ? max(now, wake) : now + jump
                    elapsed = max(elapsed, now >> tickShift)
                    let due = reference.filter { $0.value <= elapsed }
                    var ticks: [UInt64] = []
                    var fired: Set<UInt32> = []
                    wheel.advance(to: now) { wheel, index in
                        ticks.append(reference[index] ?? .max)
                        #expect(fired.insert(index).inserted, "seed \(seed): \(index) fired twice")
                        if wheel.isArmed(index) { Issue.record("seed \(seed): handed out and armed") }
                    }
                    #expect(fired == Set(due.keys), "seed \(seed)")
                    #expect(wheel.nextExpiry > now, "seed \(seed): the loop would spin")
                    #expect(ticks == ticks.sorted(), "seed \(seed): out of order")
                    for index in due.keys { reference[index] = nil }
                }
                #expect(wheel.count == reference.count, "seed \(seed)")
                #expect(wheel.isArmed(index) == (reference[index] != nil), "seed \(seed)")
            }
        }
    }

    @Test func badIndexIsABug() async {
        await #expect(processExitsWith: .failure) {
            let wheel = WheelUnderTest(now: 0)
            wheel.arm(.max, deadline: 1)
        }
    }
}
