// Where a loop's time goes, and what its connections are doing, as snapshots tell it.

import Testing
import TestSupport
import UringBase
@testable import UringServer

@Suite struct PhaseTests {
    private var period: UInt32 { unsafe PhaseMeter.period }

    @Test func onlySampledTurnsAreCounted() {
        var meter = unsafe PhaseMeter()
        var now: UInt64 = 1000
        var sampled = 0
        for _ in 0..<3 * period {
            unsafe meter.turnBegins(now)
            guard unsafe meter.isSampling else { continue }
            sampled += 1
            now += 10
            unsafe meter.mark(.dispatch, now)
            now += 20
            unsafe meter.parsed(now) { $0 }
            now += 400
            unsafe meter.handled(now) { $0 }
            now += 5
            unsafe meter.mark(.serialise, now)
            unsafe meter.turnEnds(kernelNs: 77, now + 25) { $0 }
        }
        let phases = unsafe meter.snapshot { $0 }
        #expect(sampled == 3 && phases.turns == 3 && phases.requests == 3)
        let spent = Dictionary(uniqueKeysWithValues: zip(LoopPhase.allCases, phases.nanoseconds))
        #expect(spent[.dispatch] == 30 && spent[.parse] == 60 && spent[.handler] == 1200 && spent[.serialise] == 15 && spent[.kernel] == 231)
        #expect(spent[.encrypt] == 0 && spent[.handshake] == 0)
        // The wait of a request is the time since its turn began, until it was parsed.
        #expect(phases.queue.count == 3 && phases.queue.sum == 90 && phases.queue.p50 == 30)
        #expect(phases.handler.count == 3 && phases.handler.sum == 1200)
        #expect(phases.handler.slidingMeanThousandths == 400_000)
    }

    @Test func theWaitBeforeAndTheSendBehindAreTold() {
        var meter = unsafe PhaseMeter()
        var (now, sampled): (UInt64, UInt64) = (1000, 0)
        for turn in 0..<4 * period {
            // Every other sampled turn ends a sleep.
            if unsafe meter.isNext { unsafe meter.waited(mayWait: sampled % 2 == 0, offNs: 20_000) }
            unsafe meter.turnBegins(now, sinceNs: 700)
            guard unsafe meter.isSampling else { continue }
            sampled += 1
            for _ in 0..<100 {
                now += 1
                unsafe meter.parsed(now) { $0 }
                now += 9
                unsafe meter.handled(now) { $0 }
            }
            unsafe meter.turnEnds(kernelNs: 0, now + 50) { $0 }
            #expect(turn % period == 0)
        }
        let phases = unsafe meter.snapshot { $0 }
        #expect(sampled == 4 && phases.ready.count == 400 && phases.ready.sum == 200 * 700)
        // Of each turn the first 64: the first waits for the 99 behind it.
        #expect(phases.send.count == 4 * 64 && phases.send.max == 50 + 990 && phases.send.sum == 4 * (0..<64).reduce(0) { $0 + 50 + 10 * (99 - UInt64($1)) })
    }

    @Test func aShortWaitIsNoSleep() {
        var meter = unsafe PhaseMeter()
        unsafe meter.waited(mayWait: true, offNs: 10_000)
        unsafe meter.turnBegins(5, sinceNs: 300)
        unsafe meter.parsed(6) { $0 }
        #expect(unsafe meter.snapshot { $0 }.ready.sum == 300)
    }

    @Test func requestsAreSampledAsTheyPass() throws {
        let server = try TestServer { _, response in response.write("ok") }
        let client = try server.client()
        // A request is a turn or two: some of these are sampled, whatever the number of the turn it began with.
        for _ in 0..<4 * period {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).status == 200)
        }
        let loop = try #require(server.running.snapshots().first)
        let spent = Dictionary(uniqueKeysWithValues: zip(LoopPhase.allCases, loop.phases.nanoseconds))
        #expect(loop.phases.turns >= 4)
        #expect(loop.phases.requests >= 1 && loop.phases.requests < loop.requests)
        #expect(loop.phases.queue.count == loop.phases.requests && loop.phases.handler.count == loop.phases.requests)
        for phase in [LoopPhase.kernel, .dispatch, .parse, .handler, .serialise, .send] { #expect(spent[phase, default: 0] > 0, "\(phase)") }
        for phase in [LoopPhase.handshake, .decrypt, .encrypt] { #expect(spent[phase] == 0, "\(phase)") }
    }

    @Test func connectionsAreCountedByWhatTheyDo() throws {
        let server = try TestServer { request, response in
            if request.path == "/waits" {
                response.stream { writer in
                    if writer.written == 0 { writer.write("first") }
                    return .wait(milliseconds: 60_000)
                }
            } else {
                response.write("ok")
            }
        }
        let (idle, head, streams) = (try server.client(), try server.client(), try server.client())
        try idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try idle.readFinalResponse(toHead: false).status == 200)
        try streams.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try streams.readSome(12)
        try head.send("GET / HT")
        // Until the server has read it.
        while true {
            let census = try #require(server.running.snapshots().first).census
            let counts = Dictionary(uniqueKeysWithValues: zip(ConnectionActivity.allCases, census.counts))
            guard census.sample == 3 else { continue }
            #expect(counts[.idle] == 1 && counts[.head] == 1 && counts[.responding] == 1)
            // TCP over loopback has a round trip; only connections of TCP have.
            #expect(census.roundTripsUs.count == 3)
            break
        }
    }

    @Test func unixSocketsHaveNoRoundTrip() throws {
        let server = try TestServer(unix: true) { _, response in response.write("ok") }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: false).status == 200)
        let census = try #require(server.running.snapshots().first).census
        #expect(census.sample == 1 && census.roundTripsUs.isEmpty)
    }
}
