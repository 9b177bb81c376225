// Every transition of the diagram in KeepAliveMachine.swift, and the answers of every event.

import Testing
import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

@Suite struct KeepAliveReadingTests {
    @Test func machineIsSmall() {
        #expect(MemoryLayout<KeepAliveMachine>.size <= 96)
    }

    @Test func opensInsideTheFirstHead() {
        let connection = KeepAliveHarness()
        #expect(connection.machine.reading == .head(deadline: connection.now + 10 * seconds, anyBytes: false))
        #expect(connection.machine.writing == .none)
        #expect(connection.machine.output == .drained)
        #expect(connection.machine.mayHandleNext(connection.policy))
    }

    @Test func firstBytesKeepTheDeadlineOfANewConnection() {
        var connection = KeepAliveHarness()
        let deadline = connection.now + 10 * seconds
        connection.advance(3 * seconds)
        connection.firstBytes()
        #expect(connection.machine.reading == .head(deadline: deadline, anyBytes: true))
        connection.advance(seconds)
        connection.firstBytes()  // repeated: a slow head does not win time
        #expect(connection.machine.reading == .head(deadline: deadline, anyBytes: true))
    }

    @Test func firstBytesStartTheHeaderClockOfALaterRequest() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        #expect(connection.machine.reading == .idle(deadline: connection.now + 75 * seconds))
        connection.advance(20 * seconds)
        connection.firstBytes()
        #expect(connection.machine.reading == .head(deadline: connection.now + 10 * seconds, anyBytes: true))
        #expect(connection.machine.mayHandleNext(connection.policy))
    }

    @Test func firstBytesWhileARequestIsAnsweredChangeNothing() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        connection.firstBytes()
        #expect(connection.machine.reading == .done)
    }

    @Test func headWithoutBodyIsDone() {
        var connection = KeepAliveHarness()
        connection.head()
        #expect(connection.machine.reading == .done)
        #expect(connection.machine.requests == 1)
        #expect(!connection.machine.mayHandleNext(connection.policy))
    }

    @Test func expectationWithoutBodyMeansNothing() {
        var connection = KeepAliveHarness()
        connection.head(body: false, expects: true)
        #expect(connection.machine.reading == .done)
    }

    @Test func headWithBodyReadsIt() {
        var connection = KeepAliveHarness()
        connection.firstBytes()
        connection.head(body: true)
        #expect(
            connection.machine.reading
                == .body(pauseDeadline: connection.now + 30 * seconds, rateDeadline: connection.now + 5 * seconds))
        connection.body(100)
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.machine.reading == .done)
    }

    @Test func expectationWaitsForContinue() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        #expect(connection.machine.reading == .expecting)
        connection.handle()
        connection.advance(seconds)
        connection.queue(25)
        connection.continued()
        #expect(
            connection.machine.reading
                == .body(pauseDeadline: connection.now + 30 * seconds, rateDeadline: connection.now + 5 * seconds))
        let before = connection.machine.reading
        connection.advance(seconds)
        connection.continued()  // too late to matter
        #expect(connection.machine.reading == before)
    }

    @Test func clientMayNotWaitForContinue() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        connection.body(10)
        guard case .body = connection.machine.reading else { Issue.record("not in the body"); return }
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.machine.reading == .done)
    }

    @Test func emptyBodyMayEndAnExpectation() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.machine.reading == .done)
    }

    @Test func pauseAndResume() {
        var connection = KeepAliveHarness()
        connection.makeHandling(body: true)
        connection.pause()
        #expect(connection.machine.reading == .paused)
        connection.body(5)  // was in flight
        #expect(connection.machine.reading == .paused)
        connection.advance(9 * seconds)
        connection.resume()
        #expect(
            connection.machine.reading
                == .body(pauseDeadline: connection.now + 30 * seconds, rateDeadline: connection.now + 5 * seconds))
        connection.pause()
        #expect(connection.bodyEnded() == .wait)  // the rest was in the buffer already
        #expect(connection.machine.reading == .done)
        connection.pause()
        connection.resume()
        #expect(connection.machine.reading == .done)
    }

    @Test func endOfIdleConnectionCloses() {
        var fresh = KeepAliveHarness()
        #expect(fresh.eof() == .close)
        #expect(fresh.machine.isClosed)
        var idle = KeepAliveHarness()
        idle.makeIdle()
        #expect(idle.eof() == .close)
    }

    @Test func endOfIdleConnectionWaitsForOutput() {
        var connection = KeepAliveHarness()
        _ = connection.exchanged()
        #expect(connection.eof() == .wait)
        #expect(connection.machine.stepWhenSent == .close)
        #expect(connection.flushed() == .close)
    }

    @Test func endWithinAHeadIsAnswered() {
        var connection = KeepAliveHarness()
        connection.firstBytes()
        #expect(connection.eof() == .respond(status: 400))
        connection.queue(50)
        #expect(connection.ended() == .wait)
        #expect(connection.flushed() == .close)  // no lingering: the peer has ended
    }

    @Test(arguments: [false, true]) func endWithinABodyIsAnswered(handling: Bool) {
        var connection = KeepAliveHarness()
        connection.head(body: true)
        if handling { connection.handle() }
        #expect(connection.eof() == .respond(status: 400))
    }

    @Test func endWithinABodyAbortsABegunResponse() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        #expect(connection.eof() == .abort)
        #expect(connection.machine.isClosed)
    }

    @Test func endWhileTheRestOfABodyIsDiscarded() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        #expect(connection.ended(unread: 5) == .discardBody)
        #expect(connection.eof() == .close)
        var pending = KeepAliveHarness()
        pending.makeResponding(body: true)
        pending.queue(7)
        #expect(pending.ended(unread: 5) == .discardBody)
        #expect(pending.eof() == .wait)
        #expect(pending.sent(7) == .close)
    }

    @Test func halfClosedPeerGetsItsResponse() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        #expect(connection.eof() == .wait)
        #expect(connection.machine.reading == .ended)
        #expect(connection.eof() == .wait)
        #expect(connection.respond() == .closedByServer)
        connection.queue(10)
        #expect(connection.ended() == .wait)
        #expect(connection.flushed() == .close)
    }

    @Test func halfClosedBeforeItsHandlerStarts() {
        var connection = KeepAliveHarness()
        connection.head()
        #expect(connection.eof() == .wait)
        connection.handle()
        #expect(connection.respond().mustSayClose)
        #expect(connection.ended() == .close)
    }
}

@Suite struct KeepAliveWritingTests {
    @Test func wholeExchange() {
        var connection = KeepAliveHarness()
        connection.head()
        connection.handle()
        #expect(connection.machine.writing == .handling(deadline: connection.now + 30 * seconds))
        connection.advance(seconds)
        #expect(connection.respond() == .keepAlive)
        #expect(connection.machine.writing == .responding(deadline: connection.now + 30 * seconds))
        connection.queue(10)
        #expect(connection.ended() == .nextRequest)
        #expect(connection.machine.reading == .idle(deadline: connection.now + 75 * seconds))
        #expect(connection.machine.writing == .none)
        #expect(connection.machine.pendingBytes == 10)
        connection.advance(seconds)
        #expect(connection.flushed() == .nextRequest)
        #expect(connection.machine.output == .drained)
        #expect(connection.machine.reading == .idle(deadline: connection.now + 75 * seconds))
        #expect(connection.flushed() == .wait)
    }

    @Test func exchangedEqualsTheLongWay() {
        var short = KeepAliveHarness()
        var long = KeepAliveHarness()
        for _ in 0..<3 {
            short.advance(seconds)
            long.advance(seconds)
            #expect(short.exchanged(short.persistence(), bytes: 123) == .nextRequest)
            long.makeHandling()
            #expect(long.respond() == .keepAlive)
            long.queue(123)
            #expect(long.ended() == .nextRequest)
            #expect(short.machine.reading == long.machine.reading)
            #expect(short.machine.writing == long.machine.writing)
            #expect(short.machine.output == long.machine.output)
            #expect(short.machine.requests == long.machine.requests)
            #expect(short.flushed() == long.flushed())
        }
    }

    @Test func pipelineStopsAtTheOutputLimit() {
        var connection = KeepAliveHarness()
        #expect(connection.exchanged(bytes: 64 * 1024 - 1) == .nextRequest)
        #expect(connection.exchanged(bytes: 1) == .wait)
        #expect(!connection.machine.mayHandleNext(connection.policy))
        #expect(connection.sent(1) == .nextRequest)
        #expect(connection.machine.mayHandleNext(connection.policy))
        #expect(connection.sent(1) == .wait)  // there was room already
        #expect(connection.flushed() == .nextRequest)
    }

    @Test func outputLimitOfZeroHandlesOneRequestAtATime() {
        var policy = KeepAlivePolicy()
        policy.outputBytesMax = 0
        var connection = KeepAliveHarness(policy)
        #expect(connection.machine.mayHandleNext(policy))
        #expect(connection.exchanged(bytes: 1) == .wait)
        #expect(connection.flushed() == .nextRequest)
    }

    @Test func streamingHandlerWaitsForRoom() {
        var connection = KeepAliveHarness()
        connection.makeResponding()
        connection.queue(64 * 1024 + 5)
        #expect(!connection.machine.hasRoom(connection.policy))
        #expect(connection.sent(5) == .wait)
        #expect(connection.sent(1) == .resumeHandler)
        #expect(connection.sent(1) == .wait)
        #expect(connection.flushed() == .resumeHandler)
    }

    @Test func continueIsNoRoomForAHandlerThatHasNotResponded() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        connection.handle()
        connection.queue(25)
        #expect(connection.flushed() == .wait)
    }

    @Test func unreadBodyWithinTheLimitIsDiscarded() {
        var connection = KeepAliveHarness()
        connection.makeHandling(body: true)
        #expect(connection.respond(unread: 256 * 1024) == .keepAlive)
        connection.queue(10)
        #expect(connection.ended(unread: 256 * 1024) == .discardBody)
        #expect(connection.machine.writing == .answered)
        #expect(!connection.machine.mayHandleNext(connection.policy))
        #expect(connection.flushed() == .wait)
        connection.body(256 * 1024)
        connection.pause()  // nobody is behind: without effect
        #expect(connection.machine.reading != .paused)
        #expect(connection.bodyEnded() == .nextRequest)
        #expect(connection.machine.writing == .none)
        #expect(connection.machine.reading == .idle(deadline: connection.now + 75 * seconds))
    }

    @Test func pausedBodyIsDiscardedToo() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        connection.pause()
        #expect(connection.ended(unread: 1) == .discardBody)
        #expect(connection.bodyEnded() == .nextRequest)
    }

    @Test func discardedBodyMayEndBeforeThereIsRoom() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        connection.queue(64 * 1024)
        #expect(connection.ended(unread: 1) == .discardBody)
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.flushed() == .nextRequest)
    }

    @Test(arguments: [UInt64(256 * 1024 + 1), UInt64.max]) func unreadBodyBeyondTheLimitCloses(unread: UInt64) {
        var connection = KeepAliveHarness()
        connection.makeHandling(body: true)
        #expect(connection.respond(unread: unread) == .closedByServer)
        connection.queue(10)
        #expect(connection.ended(unread: unread) == .wait)
        #expect(connection.flushed() == .linger)
    }

    @Test func unreadBodyFoundAtTheEndCloses() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)  // kept alive so far
        #expect(connection.ended(unread: .max) == .linger)
    }

    @Test func unreadExpectationCloses() {
        var connection = KeepAliveHarness()
        connection.head(body: true, expects: true)
        connection.handle()
        #expect(connection.respond(unread: 1) == .closedByServer)
        #expect(connection.ended(unread: 1) == .linger)
    }

    @Test func bodyMayEndAfterTheResponseBegan() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        connection.body(5)
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.ended() == .nextRequest)
    }

    @Test func upgradeTakesTheConnectionAway() {
        var connection = KeepAliveHarness()
        connection.makeResponding()
        connection.machine.upgraded()
        #expect(connection.machine.writing == .upgraded)
        #expect(connection.machine.nextDeadline == .max)
        #expect(connection.timer() == .unarmed)
        #expect(connection.eof() == .wait)
        #expect(connection.drain() == .wait)
        #expect(connection.sent(100) == .wait)
        #expect(connection.fault(400) == .wait)
        #expect(connection.machine.discarded(1) == .wait)
        #expect(connection.machine.abort() == .abort)
        #expect(connection.machine.isClosed)
    }
}
