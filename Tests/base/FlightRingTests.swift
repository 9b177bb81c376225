// The memory of a flight recorder: what is kept, and that a reader beside the writer never sees a torn event.

import Foundation
import Glibc
import Synchronization
import Testing

@testable import UringBase

@Suite struct FlightRingTests {
    @Test func theLastEventsAreKeptInOrder() {
        let ring = FlightRing(events: 5)
        #expect(ring.capacity == 8 && ring.copy().isEmpty && ring.written == 0)
        for number: UInt64 in 0..<5 { ring.write(number, number + 1, number + 2, number + 3) }
        #expect(ring.copy().map(\.0) == [0, 1, 2, 3, 4])
        #expect(ring.copy()[2] == (2, 3, 4, 5))
        for number: UInt64 in 5..<21 { ring.write(number, 0, 0, 0) }
        // The place of the next event counts as being written: one less than there is room for.
        #expect(ring.copy().map(\.0) == Array(14...20) && ring.written == 21)
    }

    @Test func sizesArePowersOfTwoAndBounded() {
        #expect(FlightRing(events: 0).capacity == 2 && FlightRing(events: 64).capacity == 64 && FlightRing(events: 65).capacity == 128)
        #expect(FlightRing(events: .max).capacity == FlightRing.eventsMax)
    }

    @Test func aReaderBesideTheWriterSeesWholeEvents() {
        let ring = FlightRing(events: 64)
        let isDone = Atomic<Bool>(false)
        let seen = Locked((copies: 0, torn: 0, gaps: 0))
        let isRead = Atomic<Bool>(false)
        Thread.detachNewThread {
            var (copies, torn, gaps) = (0, 0, 0)
            repeat {
                let events = ring.copy()
                copies += 1
                torn += events.count { $0.1 != $0.0 ^ 0x5555 || $0.2 != $0.0 &* 3 || $0.3 != ~$0.0 }
                gaps += zip(events, events.dropFirst()).count { $1.0 != $0.0 + 1 }
            } while !isDone.load(ordering: .acquiring)
            let result = (copies: copies, torn: torn, gaps: gaps)
            seen.withLock { $0 = result }
            isRead.store(true, ordering: .releasing)
        }
        for number: UInt64 in 0..<200_000 { ring.write(number, number ^ 0x5555, number &* 3, ~number) }
        isDone.store(true, ordering: .releasing)
        while !isRead.load(ordering: .acquiring) { sched_yield() }
        let (copies, torn, gaps) = seen.withLock { $0 }
        #expect(copies > 0 && torn == 0 && gaps == 0)
    }

    @Test func ticksAreDatedBetweenWhenItWasMadeAndNow() {
        let before = Self.monotonic()
        let ring = FlightRing(events: 2)
        let clock = ring.clock()
        let after = Self.monotonic()
        #expect(clock(0) >= before && clock(0) <= after)
        #expect(clock(.max) >= clock(0) && clock(.max) <= after)
    }

    private static func monotonic() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
