// Every clock: when it runs, when it rests, and what is done when it is met. Time is a number; nothing sleeps.

import Testing
import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

@Suite struct KeepAliveTimeoutTests {
    /// One nanosecond before `interval` has passed nothing is late; at `interval` the timer answers `expected`.
    private func expect(
        _ expected: KeepAliveTimerAnswer, after interval: UInt64, _ connection: KeepAliveHarness,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        var connection = connection
        let deadline = connection.now + interval
        #expect(connection.machine.nextDeadline == deadline, sourceLocation: sourceLocation)
        connection.advance(interval - 1)
        #expect(connection.timer() == .rearm(at: deadline), sourceLocation: sourceLocation)
        connection.advance(1)
        #expect(connection.timer() == expected, sourceLocation: sourceLocation)
        if case .expired(_, .respond) = expected {
            #expect(!connection.machine.isClosed, sourceLocation: sourceLocation)
            connection.queue(10)
            #expect(connection.ended() == .wait, sourceLocation: sourceLocation)
            #expect(connection.flushed() == .linger, sourceLocation: sourceLocation)
        } else {
            #expect(connection.machine.isClosed, sourceLocation: sourceLocation)
        }
    }

    @Test func defaultsAreTheContract() {
        let policy = KeepAlivePolicy()
        #expect(policy.headerTimeoutNs == 10 * seconds)
        #expect(policy.bodyTimeoutNs == 30 * seconds)
        #expect(policy.handlerTimeoutNs == 30 * seconds)
        #expect(policy.writeTimeoutNs == 30 * seconds)
        #expect(policy.idleTimeoutNs == 75 * seconds)
        #expect(policy.requestsPerConnectionMax == 0)
        #expect(policy.bodyRateMin == KeepAliveRate(bytesPerSecond: 240, graceNs: 5 * seconds))
        #expect(policy.drainRateMin == KeepAliveRate(bytesPerSecond: 240, graceNs: 5 * seconds))
    }

    @Test func idle() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        expect(.expired(.idle, .close), after: 75 * seconds, connection)
    }

    @Test func idleRestsWhileOutputIsPending() {
        var connection = KeepAliveHarness()
        connection.policy.drainRateMin = .off
        _ = connection.exchanged()
        #expect(connection.machine.nextDeadline == connection.now + 30 * seconds)  // write
        connection.advance(20 * seconds)
        _ = connection.flushed()
        expect(.expired(.idle, .close), after: 75 * seconds, connection)
    }

    @Test func headerWithoutAByteClosesSilently() {
        expect(.expired(.header, .close), after: 10 * seconds, KeepAliveHarness())
    }

    @Test func headerWithBytesIsAnswered() {
        var fresh = KeepAliveHarness()
        fresh.firstBytes()
        expect(.expired(.header, .respond(status: 408)), after: 10 * seconds, fresh)
        var later = KeepAliveHarness()
        later.makeIdle()
        later.advance(70 * seconds)
        later.firstBytes()
        expect(.expired(.header, .respond(status: 408)), after: 10 * seconds, later)
    }

    private func withoutRates() -> KeepAliveHarness {
        var policy = KeepAlivePolicy()
        policy.bodyRateMin = .off
        policy.drainRateMin = .off
        return KeepAliveHarness(policy)
    }

    @Test func bodyPauseIsAnsweredBeforeTheHandler() {
        var connection = withoutRates()
        connection.head(body: true)
        connection.advance(29 * seconds)
        connection.body(1)
        expect(.expired(.body, .respond(status: 408)), after: 30 * seconds, connection)
    }

    @Test func bodyPauseIsAnsweredWhileTheHandlerRuns() {
        var connection = withoutRates()
        connection.makeHandling(body: true)
        connection.advance(20 * seconds)
        connection.body(1)
        // The handler waits for the body and not the other way round: its clock rests.
        expect(.expired(.body, .respond(status: 408)), after: 30 * seconds, connection)
    }

    @Test func bodyPauseAbortsABegunResponse() {
        var connection = withoutRates()
        connection.makeResponding(body: true)
        expect(.expired(.body, .abort), after: 30 * seconds, connection)
    }

    @Test func bodyPauseAfterTheResponseCloses() {
        var connection = withoutRates()
        connection.makeResponding(body: true)
        #expect(connection.ended(unread: 5) == .discardBody)
        expect(.expired(.body, .close), after: 30 * seconds, connection)
    }

    @Test func bodyClockOfADiscardedBodyRestsWhileTheResponseLeaves() {
        var connection = withoutRates()
        connection.makeResponding(body: true)
        connection.queue(2)
        #expect(connection.ended(unread: 5) == .discardBody)
        connection.advance(25 * seconds)
        #expect(connection.sent(1) == .wait)
        connection.advance(25 * seconds)
        #expect(connection.timer() == .rearm(at: connection.now + 5 * seconds))  // write
        #expect(connection.sent(1) == .wait)
        expect(.expired(.body, .close), after: 30 * seconds, connection)
    }

    @Test func bodyRateAfterTheGracePeriod() {
        var connection = KeepAliveHarness()
        connection.head(body: true)
        expect(.expired(.bodyRate, .respond(status: 408)), after: 5 * seconds, connection)
    }

    @Test func bodyAtTheMinimumRateMayTakeForever() {
        var connection = KeepAliveHarness()
        connection.head(body: true)
        for _ in 0..<1000 {
            connection.advance(seconds)
            connection.body(240)
            #expect(connection.machine.nextDeadline > connection.now + 4 * seconds)
        }
    }

    @Test func bodyJustBelowTheMinimumRateIsTooSlow() {
        var connection = KeepAliveHarness()
        connection.head(body: true)
        var served: UInt64 = 0
        while true {
            connection.advance(seconds)
            if case .expired(let kind, let step) = connection.timer() {
                #expect(kind == .bodyRate)
                #expect(step == .respond(status: 408))
                break
            }
            connection.body(239)
            served += 1
            guard served < 10_000 else { Issue.record("never too slow"); return }
        }
        // 239 bytes earn 995.8 ms of each second. 5 s are granted, the last second's bytes are not there yet at its check:
        // (5 s - 995,833,174 ns) / 4,166,826 ns = 960.96 seconds.
        #expect(served == 960)
    }

    @Test func burstsDoNotBuySilence() {
        var connection = KeepAliveHarness()
        connection.head(body: true)
        connection.body(100 << 20)
        expect(.expired(.body, .respond(status: 408)), after: 30 * seconds, connection)
        // 30 s are all that the burst bought: a trickle thereafter is too slow.
        connection.advance(20 * seconds)
        connection.body(1)
        connection.advance(10 * seconds - 1)
        #expect(connection.timer() == .rearm(at: connection.now + 1 + 4_166_666))
        connection.advance(1 + 4_166_666)
        #expect(connection.timer() == .expired(.bodyRate, .respond(status: 408)))
    }

    @Test func bodyRateWithoutPauseLimitIsAMean() {
        var connection = KeepAliveHarness()
        connection.policy.bodyTimeoutNs = 0
        connection.head(body: true)
        connection.body(24_000)
        let bought = 24_000 * (seconds / 240)
        expect(.expired(.bodyRate, .respond(status: 408)), after: 5 * seconds + bought, connection)
    }

    @Test func handlerIsAnsweredWhenNothingWasSent() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        expect(.expired(.handler, .respond(status: 503)), after: 30 * seconds, connection)
    }

    @Test func handlerClockStartsWhenTheBodyIsThere() {
        var connection = withoutRates()
        connection.makeHandling(body: true)
        connection.advance(29 * seconds)
        _ = connection.bodyEnded()
        expect(.expired(.handler, .respond(status: 503)), after: 30 * seconds, connection)
    }

    @Test func handlerClockRunsWhileTheBodyIsPaused() {
        var connection = withoutRates()
        connection.makeHandling(body: true)
        connection.advance(20 * seconds)
        connection.pause()
        expect(.expired(.handler, .respond(status: 503)), after: 30 * seconds, connection)
    }

    @Test func handlerClockRunsWhileTheClientWaitsForContinue() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        connection.handle()
        expect(.expired(.handler, .respond(status: 503)), after: 30 * seconds, connection)
    }

    @Test func handlerThatStopsStreamingIsAborted() {
        var connection = withoutRates()
        connection.makeResponding()
        connection.advance(29 * seconds)
        connection.queue(5)
        connection.advance(10 * seconds)
        #expect(connection.flushed() == .resumeHandler)
        expect(.expired(.handler, .abort), after: 30 * seconds, connection)
    }

    @Test func handlerMayBeUntimed() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        connection.machine.handlerUntimed()
        #expect(connection.machine.nextDeadline == .max)
        _ = connection.respond()
        connection.machine.handlerUntimed()
        connection.queue(5)
        _ = connection.flushed()
        #expect(connection.timer() == .unarmed)
        #expect(connection.ended() == .nextRequest)
        connection.makeHandling()  // the exemption was the request's
        #expect(connection.machine.nextDeadline == connection.now + 30 * seconds)
        _ = connection.respond()
        #expect(connection.machine.nextDeadline == connection.now + 30 * seconds)
    }

    @Test func writePauseAborts() {
        var connection = withoutRates()
        connection.makeResponding()
        connection.queue(10)
        connection.advance(20 * seconds)
        #expect(connection.sent(1) == .wait)
        expect(.expired(.write, .abort), after: 30 * seconds, connection)
    }

    /// Whoever writes may have clocks of its own; behind the last byte of the response, and when it gives them up, the machine's hold.
    @Test func outputOfWhoWatchesItself() {
        for endsItself in [true, false] {
            var connection = withoutRates()
            connection.makeResponding(keepAlive: false)
            connection.machine.handlerUntimed()
            connection.machine.outputTimed(false)
            connection.queue(10)
            #expect(connection.machine.nextDeadline == .max)
            connection.advance(100 * seconds)
            #expect(connection.timer() == .unarmed)
            #expect(connection.sent(1) == .wait)
            if endsItself { _ = connection.ended() } else { connection.machine.outputTimed(true) }
            expect(.expired(.write, .abort), after: 30 * seconds, connection)
        }
    }

    @Test func writeClockRunsWhileTheLastResponseLeaves() {
        var connection = withoutRates()
        _ = connection.exchanged(.closedByServer)
        expect(.expired(.write, .abort), after: 30 * seconds, connection)
    }

    @Test func sendsOfNothingAreNoProgress() {
        var connection = withoutRates()
        _ = connection.exchanged()
        connection.advance(20 * seconds)
        #expect(connection.sent(0) == .wait)
        expect(.expired(.write, .abort), after: 10 * seconds, connection)
    }

    @Test func drainRateByWhatTheKernelAccepts() {
        var connection = KeepAliveHarness()
        connection.policy.writeTimeoutNs = 0
        _ = connection.exchanged(bytes: 2400)
        expect(.expired(.writeRate, .abort), after: 5 * seconds + 2400 * (seconds / 240), connection)
        _ = connection.exchanged(bytes: 240)  // more output, more time
        #expect(connection.machine.nextDeadline == connection.now + 5 * seconds + 2640 * (seconds / 240))
    }

    @Test func drainRateByAcknowledgements() {
        var connection = KeepAliveHarness()
        connection.policy.drainMeasure = .peerAcknowledges
        #expect(!connection.machine.wantsAcknowledged(connection.policy))
        connection.makeResponding()
        connection.queue(1 << 30)
        #expect(connection.machine.wantsAcknowledged(connection.policy))
        let start = connection.now
        connection.advance(5 * seconds)
        // Exactly the minimum in the grace period: 5 s more.
        #expect(connection.timer(acknowledged: 1200) == .rearm(at: start + 5 * seconds + 1200 * (seconds / 240)))
        connection.advance(5 * seconds)
        // 1 byte since then: 4 ms.
        #expect(connection.timer(acknowledged: 1201) == .rearm(at: start + 5 * seconds + 1201 * (seconds / 240)))
        connection.advance(seconds)
        #expect(connection.timer(acknowledged: 1201) == .expired(.writeRate, .abort))
    }

    @Test func acknowledgementsRenewTheWriteClock() {
        var connection = withoutRates()
        connection.policy.drainMeasure = .peerAcknowledges
        connection.makeResponding()
        connection.queue(1 << 30)
        for tick in 1...10 as ClosedRange<UInt64> {
            connection.advance(30 * seconds)
            #expect(connection.timer(acknowledged: tick) == .rearm(at: connection.now + 30 * seconds))
        }
        connection.advance(30 * seconds)
        #expect(connection.timer(acknowledged: 10) == .expired(.write, .abort))
    }

    @Test func linger() {
        var connection = KeepAliveHarness()
        connection.makeLingering()
        connection.advance(2 * seconds)
        _ = connection.machine.discarded(1000)  // does not extend it
        expect(.expired(.linger, .close), after: 3 * seconds, connection)
    }

    @Test func ofSeveralLateClocksTheEarliestIsNamed() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        connection.queue(1)
        connection.advance(10_000 * seconds)
        #expect(connection.timer() == .expired(.bodyRate, .abort))
    }

    @Test func timersThatFireEarlyAreArmedAnew() {
        var connection = KeepAliveHarness()
        #expect(connection.machine.deadlineToArm() == connection.now + 10 * seconds)
        #expect(connection.machine.deadlineToArm() == nil)
        connection.makeIdle()
        #expect(connection.machine.deadlineToArm() == nil)
        connection.advance(10 * seconds)
        #expect(connection.timer() == .rearm(at: connection.now + 65 * seconds))
        #expect(connection.machine.deadlineToArm() == nil)
    }

    @Test func keepAliveTrafficNeverArmsATimer() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        _ = connection.machine.deadlineToArm()
        connection.advance(10 * seconds)
        _ = connection.timer()
        for _ in 0..<10_000 {
            connection.advance(1_000_000)
            for _ in 0..<3 { _ = connection.exchanged(connection.persistence()) }
            _ = connection.flushed()
            #expect(connection.machine.deadlineToArm() == nil)
        }
    }

    @Test func aSlowHeadArmsAnEarlierTimer() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        #expect(connection.machine.deadlineToArm() == connection.now + 75 * seconds)
        connection.firstBytes()
        #expect(connection.machine.deadlineToArm() == connection.now + 10 * seconds)
    }

    @Test func zeroSwitchesEachTimeoutOff() {
        var connection = KeepAliveHarness(.unlimited)
        #expect(connection.machine.nextDeadline == .max)
        connection.firstBytes()
        #expect(connection.timer() == .unarmed)
        connection.head(body: true)
        #expect(connection.timer() == .unarmed)
        connection.handle()
        connection.body(1)
        _ = connection.bodyEnded()
        #expect(connection.timer() == .unarmed)
        _ = connection.respond()
        connection.queue(1 << 40)
        #expect(connection.timer() == .unarmed)
        #expect(connection.ended() == .nextRequest)
        _ = connection.flushed()
        #expect(connection.timer() == .unarmed)
    }

    @Test func deadlinesBeyondTheClockAreNever() {
        var policy = KeepAlivePolicy()
        policy.headerTimeoutNs = .max
        policy.idleTimeoutNs = .max - 1
        var connection = KeepAliveHarness(policy)
        #expect(connection.machine.nextDeadline == .max)
        connection.makeIdle()
        #expect(connection.machine.nextDeadline == .max)
        connection.policy.writeTimeoutNs = 0
        _ = connection.exchanged(bytes: .max)
        #expect(connection.machine.nextDeadline == .max)
        _ = connection.exchanged(bytes: .max)
        #expect(connection.machine.pendingBytes == .max)
    }

    @Test func ratesRound() {
        #expect(KeepAliveRate(bytesPerSecond: 0, graceNs: 1).nanosecondsPerByte == 0)
        #expect(KeepAliveRate(bytesPerSecond: 0, graceNs: 1).begin(now: 5) == .max)
        #expect(KeepAliveRate(bytesPerSecond: 1, graceNs: 1).nanosecondsPerByte == seconds)
        #expect(KeepAliveRate(bytesPerSecond: .max, graceNs: 1).nanosecondsPerByte == 1)
        #expect(KeepAliveRate(bytesPerSecond: 1, graceNs: 1).earn(.max, deadline: 5, now: 5, pauseNs: 0) == .max)
    }
}
