// Where the time of a handshake goes, by a counter that the test moves.

import Testing
@testable import UringServer

@Suite struct HandshakeClockTests {
    /// Two nanoseconds a tick.
    private func phases(_ clock: HandshakeClock, at now: UInt64) -> HandshakePhases { clock.phases(endingAt: now) { $0 * 2 } }

    private func expect(
        _ phases: HandshakePhases, hello: UInt64, flight: UInt64, computing: UInt64, waiting: UInt64, total: UInt64,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(phases.helloNs == hello && phases.flightNs == flight, "\(phases)", sourceLocation: sourceLocation)
        #expect(phases.computingNs == computing && phases.waitingNs == waiting, "\(phases)", sourceLocation: sourceLocation)
        #expect(phases.totalNs == total && computing + waiting == total, "\(phases)", sourceLocation: sourceLocation)
    }

    /// The usual one: hello, our flight, the client's time, its end.
    @Test func helloAtOnce() {
        var clock = HandshakeClock()
        clock.begin(at: 100)
        clock.step(from: 101, to: 301, wroteFlight: true)
        clock.step(from: 1301, to: 1311, wroteFlight: false)
        expect(phases(clock, at: 1311), hello: 2, flight: 400, computing: 420, waiting: 2002, total: 2422)
    }

    /// A hello in three pieces: what comes before the flight is for the client.
    @Test func helloInPieces() {
        var clock = HandshakeClock()
        clock.begin(at: 10)
        for start in [10, 110] as [UInt64] { clock.step(from: start, to: start + 5, wroteFlight: false) }
        clock.step(from: 210, to: 260, wroteFlight: true)
        clock.step(from: 300, to: 310, wroteFlight: false)
        expect(phases(clock, at: 310), hello: 400, flight: 100, computing: 140, waiting: 460, total: 600)
    }

    /// A HelloRetryRequest is an output too, and no flight.
    @Test func helloRetried() {
        var clock = HandshakeClock()
        clock.begin(at: 10)
        clock.step(from: 10, to: 12, wroteFlight: true)
        clock.step(from: 112, to: 162, wroteFlight: true)
        clock.step(from: 200, to: 210, wroteFlight: false)
        expect(phases(clock, at: 210), hello: 204, flight: 100, computing: 124, waiting: 276, total: 400)
    }

    /// Garbage, and a client that leaves within its hello.
    @Test func endsBeforeTheFlight() {
        var clock = HandshakeClock()
        clock.begin(at: 10)
        clock.step(from: 10, to: 14, wroteFlight: false)
        expect(phases(clock, at: 14), hello: 0, flight: 0, computing: 8, waiting: 0, total: 8)
        expect(phases(clock, at: 1014), hello: 0, flight: 0, computing: 8, waiting: 2000, total: 2008)
    }

    /// A counter that went back, as that of another core may be: nothing is less than none.
    @Test func counterBehind() {
        var clock = HandshakeClock()
        clock.begin(at: 100)
        clock.step(from: 90, to: 95, wroteFlight: true)
        clock.step(from: 95, to: 80, wroteFlight: false)
        expect(phases(clock, at: 99), hello: 0, flight: 10, computing: 0, waiting: 0, total: 0)
    }

    @Test func nobodyLooks() {
        var clock = HandshakeClock()
        #expect(!clock.isRunning)
        clock.step(from: 5, to: 10, wroteFlight: true)
        #expect(phases(clock, at: 99) == HandshakePhases())
    }
}
