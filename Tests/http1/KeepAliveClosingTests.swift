// Who closes, what is announced, and how a connection ends.

import Testing
import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

@Suite struct KeepAliveClosingTests {
    @Test func persistenceOfTheFastPath() {
        var policy = KeepAlivePolicy()
        policy.requestsPerConnectionMax = 2
        var connection = KeepAliveHarness(policy)
        #expect(connection.persistence() == .keepAlive)
        #expect(connection.persistence(keepAlive: false) == .closedByClient)
        #expect(connection.persistence(close: true) == .closedByServer)
        #expect(connection.persistence(keepAlive: false, close: true) == .closedByClient)
        _ = connection.exchanged()
        #expect(connection.persistence() == .closedByServer)  // the second of two
        #expect(connection.exchanged(connection.persistence()) == .wait)
        #expect(connection.machine.stepWhenSent == .linger)
        #expect(connection.flushed() == .linger)
    }

    @Test func limitReachedOnTheLongWay() {
        var policy = KeepAlivePolicy()
        policy.requestsPerConnectionMax = 2
        var connection = KeepAliveHarness(policy)
        connection.makeHandling()
        #expect(connection.respond() == .keepAlive)
        #expect(connection.ended() == .nextRequest)
        connection.makeHandling()
        #expect(connection.respond() == .closedByServer)
        #expect(connection.ended() == .linger)
    }

    @Test func limitLoweredBelowTheCountCloses() {
        var connection = KeepAliveHarness()
        for _ in 0..<5 { connection.makeIdle() }
        connection.policy.requestsPerConnectionMax = 3
        #expect(connection.persistence() == .closedByServer)
    }

    @Test func clientThatAskedIsClosedWithoutLingering() {
        var connection = KeepAliveHarness()
        #expect(connection.exchanged(.closedByClient) == .wait)
        #expect(connection.machine.stepWhenSent == .close)
        #expect(connection.flushed() == .close)
        var long = KeepAliveHarness()
        long.makeHandling(keepAlive: false)
        #expect(long.respond() == .closedByClient)
        long.queue(4)
        #expect(long.ended() == .wait)
        #expect(long.sent(4) == .close)
    }

    @Test func clientThatAskedButStillSendsIsLingered() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true, keepAlive: false)
        #expect(connection.ended(unread: 3) == .linger)
    }

    @Test func handlerMayClose() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        #expect(connection.respond(close: true) == .closedByServer)
        #expect(connection.ended() == .linger)
    }

    @Test func lingeringReadsUpToItsLimit() {
        var policy = KeepAlivePolicy()
        policy.lingerBytesMax = 100
        var connection = KeepAliveHarness(policy)
        connection.makeLingering()
        #expect(connection.machine.writing == .lingering(deadline: connection.now + 5 * seconds, bytesLeft: 100))
        #expect(connection.machine.discarded(60) == .wait)
        #expect(connection.machine.discarded(40) == .wait)
        #expect(connection.machine.discarded(1) == .close)
        #expect(connection.machine.isClosed)
    }

    @Test func lingeringEndsWithThePeer() {
        var connection = KeepAliveHarness()
        connection.makeLingering()
        #expect(connection.eof() == .close)
    }

    @Test func lingeringCanBeOff() {
        var policy = KeepAlivePolicy()
        policy.lingerTimeoutNs = 0
        var connection = KeepAliveHarness(policy)
        connection.firstBytes()
        _ = connection.fault(400)
        connection.queue(1)
        _ = connection.ended()
        #expect(connection.flushed() == .close)
    }

    @Test func peerThatEndsBeforeTheLastByteIsSentIsNotLingered() {
        var connection = KeepAliveHarness()
        _ = connection.exchanged(.closedByServer)
        #expect(connection.machine.discarded(10) == .wait)
        #expect(connection.machine.stepWhenSent == .linger)
        #expect(connection.eof() == .wait)
        #expect(connection.machine.stepWhenSent == .close)
        #expect(connection.flushed() == .close)
    }

    @Test func faultWhileReading() {
        var connection = KeepAliveHarness()
        connection.firstBytes()
        #expect(connection.fault(431) == .respond(status: 431))
        #expect(connection.machine.reading == .ended)
        connection.queue(10)
        #expect(connection.machine.discarded(1000) == .wait)
        #expect(connection.ended() == .wait)
        #expect(connection.fault(400) == .wait)  // closing already
        #expect(connection.flushed() == .linger)
        #expect(connection.fault(400) == .wait)
    }

    @Test func faultOfABodyWhileTheHandlerRuns() {
        var connection = KeepAliveHarness()
        connection.makeHandling(body: true)
        #expect(connection.fault(413) == .respond(status: 413))
        connection.body(10)  // more of it arrives
        #expect(connection.bodyEnded() == .wait)
        connection.queue(5)
        _ = connection.ended()
        #expect(connection.flushed() == .linger)
    }

    @Test func faultAfterTheResponseBeganAborts() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        #expect(connection.fault(400) == .abort)
        #expect(connection.machine.isClosed)
    }

    @Test func faultInADiscardedBodyClosesAfterTheResponse() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        connection.queue(3)
        #expect(connection.ended(unread: 5) == .discardBody)
        #expect(connection.fault(400) == .wait)
        #expect(connection.flushed() == .linger)
    }

    @Test func drainClosesIdleConnections() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        #expect(connection.drain() == .close)
        var pending = KeepAliveHarness()
        _ = pending.exchanged()
        #expect(pending.drain() == .wait)
        #expect(pending.drain() == .wait)
        #expect(pending.flushed() == .linger)
    }

    @Test func drainMaySpareIdleConnectionsForOneRequest() {
        var connection = KeepAliveHarness()
        connection.makeIdle()
        #expect(connection.drain(sparesIdle: true) == .wait)
        #expect(connection.machine.isBetweenExchanges)
        // Its next response announces the close.
        #expect(connection.machine.persistence(clientKeepsAlive: true, handlerCloses: false, connection.policy) != .keepAlive)
        // The second call has no more patience.
        #expect(connection.drain() == .close)
    }

    @Test func drainGivesANewConnectionALittleTime() {
        var connection = KeepAliveHarness()
        connection.advance(seconds)
        #expect(connection.drain() == .wait)
        #expect(connection.machine.nextDeadline == connection.now + 5 * seconds)
        connection.advance(seconds)
        #expect(connection.drain() == .wait)
        #expect(connection.machine.nextDeadline == connection.now + 4 * seconds)  // asking again does not extend it
        #expect(connection.exchanged(connection.persistence()) == .wait)
        #expect(connection.flushed() == .linger)
    }

    @Test func drainClosesANewConnectionWhenLingeringIsOff() {
        var connection = KeepAliveHarness(.unlimited)
        #expect(connection.drain() == .close)
    }

    @Test func drainLetsActiveConnectionsFinish() {
        var head = KeepAliveHarness()
        head.firstBytes()
        #expect(head.drain() == .wait)
        #expect(head.persistence() == .closedByServer)

        var handling = KeepAliveHarness()
        handling.makeHandling()
        #expect(handling.drain() == .wait)
        #expect(handling.respond() == .closedByServer)
        #expect(handling.ended() == .linger)

        var responding = KeepAliveHarness()
        responding.makeResponding()
        #expect(responding.drain() == .wait)
        #expect(responding.ended() == .linger)

        var answered = KeepAliveHarness()
        answered.makeResponding(body: true)
        #expect(answered.ended(unread: 5) == .discardBody)
        #expect(answered.drain() == .wait)
        #expect(answered.bodyEnded() == .linger)
    }

    @Test func drainDuringAnUnreadBodyCloses() {
        var connection = KeepAliveHarness()
        connection.makeResponding(body: true)
        #expect(connection.drain() == .wait)
        #expect(connection.ended(unread: 5) == .linger)
    }

    @Test func closedIsTerminal() {
        var connection = KeepAliveHarness()
        connection.makeHandling(body: true)
        connection.queue(10)
        #expect(connection.machine.abort() == .abort)
        #expect(connection.machine.abort() == .wait)
        connection.firstBytes()
        connection.body(1)
        connection.pause()
        connection.resume()
        connection.continued()
        #expect(connection.bodyEnded() == .wait)
        #expect(connection.eof() == .wait)
        #expect(connection.drain() == .wait)
        #expect(connection.fault(400) == .wait)
        #expect(connection.machine.discarded(1) == .wait)
        #expect(connection.sent(10) == .wait)  // a late completion
        #expect(connection.flushed() == .wait)
        #expect(connection.timer() == .unarmed)
        #expect(connection.machine.deadlineToArm() == nil)
        #expect(connection.machine.isClosed)
        #expect(!connection.machine.mayHandleNext(connection.policy))
    }
}

/// The connection's own mistakes trap; these are all there are.
@Suite struct KeepAliveBugTests {
    @Test func secondRequestWhileOneIsUnderWay() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.makeHandling()
            connection.head()
        }
    }

    @Test func exchangeWhileARequestIsUnderWay() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.makeHandling()
            _ = connection.exchanged()
        }
    }

    @Test func requestAfterClose() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            _ = connection.machine.abort()
            connection.head()
        }
    }

    @Test func responseWithoutHandler() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.head()
            _ = connection.respond()
        }
    }

    @Test func endWithoutResponse() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.makeHandling()
            _ = connection.ended()
        }
    }

    @Test func handlerWithoutRequest() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.handle()
        }
    }

    @Test func bodyWithoutRequest() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            connection.body(1)
        }
    }

    @Test func moreSentThanQueued() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            _ = connection.exchanged(bytes: 10)
            _ = connection.sent(11)
        }
    }

    @Test func outputAfterTheLastResponse() async {
        await #expect(processExitsWith: .failure) {
            var connection = KeepAliveHarness()
            _ = connection.exchanged(.closedByServer)
            connection.queue(1)
        }
    }
}
