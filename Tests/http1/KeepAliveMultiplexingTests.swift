// The machine of a connection that speaks HTTP/2, or TLS: what is left to it, its clocks, its end.

import Testing
import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

@Suite struct KeepAliveMultiplexingTests {
    /// An HTTP/2 connection whose preface has left.
    private func multiplexed(_ policy: KeepAlivePolicy = KeepAlivePolicy()) -> KeepAliveHarness {
        var connection = KeepAliveHarness(policy)
        connection.machine.multiplexed(now: connection.now, connection.policy)
        connection.queue(50)
        #expect(connection.flushed() == .resumeHandler)
        return connection
    }

    private func streams(_ connection: inout KeepAliveHarness, _ any: Bool) {
        connection.machine.streamsChanged(any: any, now: connection.now, connection.policy)
    }

    @Test func noRequestMayBeginOfItsOwn() {
        let connection = multiplexed()
        #expect(connection.machine.isMultiplexed)
        #expect(!connection.machine.isBetweenExchanges)
        #expect(!connection.machine.mayHandleNext(connection.policy))
    }

    /// The first request has the header timeout, although the preface has left meanwhile.
    @Test func theFirstStreamHasTheHeaderTimeout() {
        var connection = multiplexed()
        #expect(connection.machine.nextDeadline == connection.now + 10 * seconds)
        connection.advance(10 * seconds)
        #expect(connection.timer() == .expired(.idle, .goAway))
        // Told once.
        #expect(connection.machine.nextDeadline == .max)
    }

    @Test func noClockRunsWhileThereAreStreams() {
        var connection = multiplexed()
        streams(&connection, true)
        #expect(connection.machine.nextDeadline == .max)
        connection.advance(1000 * seconds)
        #expect(connection.timer() == .unarmed)
    }

    @Test func idleTimeBeginsWithTheEndOfTheLastStream() {
        var connection = multiplexed()
        streams(&connection, true)
        connection.advance(100 * seconds)
        streams(&connection, false)
        #expect(connection.machine.nextDeadline == connection.now + 75 * seconds)
        let deadline = connection.machine.nextDeadline
        connection.advance(5 * seconds)
        streams(&connection, false)  // repeated: nothing has changed
        #expect(connection.machine.nextDeadline == deadline)
    }

    /// The last response is still on its way: the peer's time begins when it has left.
    @Test func idleTimeBeginsWhenTheLastResponseHasLeft() {
        var connection = multiplexed()
        streams(&connection, true)
        connection.queue(100_000)
        streams(&connection, false)
        connection.advance(20 * seconds)
        #expect(connection.sent(50_000) == .resumeHandler)  // there is room again
        connection.advance(20 * seconds)
        #expect(connection.sent(50_000) == .resumeHandler)
        #expect(connection.machine.nextDeadline == connection.now + 75 * seconds)
    }

    /// Answers to PING are output, and no reason to wait longer.
    @Test func outputOfTheConnectionDoesNotProlongIdleTime() {
        var connection = multiplexed()
        streams(&connection, true)
        streams(&connection, false)
        let deadline = connection.machine.nextDeadline
        for _ in 0..<7 {
            connection.advance(10 * seconds)
            connection.queue(17)
            streams(&connection, false)
            _ = connection.flushed()
        }
        #expect(connection.machine.nextDeadline == deadline)
        connection.advance(5 * seconds)
        #expect(connection.timer() == .expired(.idle, .goAway))
    }

    @Test func aPeerThatTakesNothingIsAborted() {
        var connection = multiplexed()
        streams(&connection, true)
        connection.queue(100_000_000)
        connection.advance(30 * seconds)
        #expect(connection.timer() == .expired(.write, .abort))
        #expect(connection.machine.isClosed)
    }

    @Test func drainIsGoAway() {
        var connection = multiplexed()
        streams(&connection, true)
        #expect(connection.drain() == .goAway)
        #expect(connection.drain() == .goAway)  // may be repeated
        streams(&connection, false)
        connection.queue(30)
        #expect(connection.machine.multiplexedEnded(now: connection.now, connection.policy) == .wait)
        #expect(connection.machine.multiplexedEnded(now: connection.now, connection.policy) == .wait)
        #expect(connection.flushed() == .linger)
        #expect(connection.eof() == .close)
    }

    /// Told of the end, a peer has the linger time for what it still has to say, also when its last stream ends only then.
    @Test func afterGoAwayIdleTimeIsShort() {
        var connection = multiplexed()
        streams(&connection, true)
        streams(&connection, false)
        connection.machine.goAwaySaid(now: connection.now, connection.policy)
        #expect(connection.machine.nextDeadline == connection.now + 5 * seconds)
        streams(&connection, true)
        #expect(connection.machine.nextDeadline == .max)
        connection.advance(100 * seconds)
        connection.queue(10)
        streams(&connection, false)
        connection.advance(2 * seconds)
        #expect(connection.flushed() == .resumeHandler)
        #expect(connection.machine.nextDeadline == connection.now + 5 * seconds)
        connection.advance(5 * seconds)
        #expect(connection.timer() == .expired(.idle, .goAway))
    }

    /// Without a linger time the idle time stays as it is: it is not 0, which would be never.
    @Test func afterGoAwayWithoutLingering() {
        var policy = KeepAlivePolicy()
        policy.lingerTimeoutNs = 0
        var connection = multiplexed(policy)
        streams(&connection, true)
        connection.machine.goAwaySaid(now: connection.now, connection.policy)
        streams(&connection, false)
        #expect(connection.machine.nextDeadline == connection.now + 75 * seconds)
    }

    @Test func endsAtOnceWhenNothingIsQueued() {
        var connection = multiplexed()
        #expect(connection.machine.multiplexedEnded(now: connection.now, connection.policy) == .linger)
    }

    /// A peer that has half-closed is not waited for.
    @Test func aHalfClosedPeerIsNotLingeredFor() {
        var connection = multiplexed()
        streams(&connection, true)
        #expect(connection.eof() == .wait)
        connection.queue(30)
        streams(&connection, false)
        #expect(connection.machine.multiplexedEnded(now: connection.now, connection.policy) == .wait)
        #expect(connection.flushed() == .close)
    }

    @Test func roomReturns() {
        var policy = KeepAlivePolicy()
        policy.outputBytesMax = 1000
        var connection = multiplexed(policy)
        connection.queue(1500)
        #expect(!connection.machine.hasRoom(policy))
        #expect(connection.sent(1000) == .resumeHandler)
        #expect(connection.machine.hasRoom(policy))
    }

    @Test func aFaultCannotBeAnswered() {
        var connection = multiplexed()
        #expect(connection.fault(400) == .abort)
    }

    // MARK: TLS

    /// The handshake has its own time (here as long as the policy says), the first head another.
    @Test func establishedBeginsTheHeaderTimeout() {
        var connection = KeepAliveHarness()
        connection.advance(8 * seconds)
        connection.machine.established(now: connection.now, connection.policy)
        #expect(connection.machine.nextDeadline == connection.now + 10 * seconds)
        // Whatever else it is said to: a request under way keeps its clocks.
        connection.head()
        connection.machine.established(now: connection.now, connection.policy)
        #expect(connection.machine.reading == .done)
    }

    /// Ciphertext is longer than the plaintext that was queued: what came on top must leave too.
    @Test func outputGrows() {
        var connection = KeepAliveHarness()
        connection.makeHandling()
        _ = connection.respond(close: true)
        connection.queue(1000)
        connection.machine.outputGrew(29, now: connection.now, connection.policy)
        #expect(connection.ended() == .wait)
        #expect(connection.machine.pendingBytes == 1029)
        #expect(connection.sent(1000) == .wait)
        #expect(connection.sent(29) == .linger)
    }

    /// Output of TLS alone (a handshake's flight) is output: its peer must take it.
    @Test func outputGrowsFromNothing() {
        var connection = KeepAliveHarness()
        connection.machine.outputGrew(3000, now: connection.now, connection.policy)
        #expect(connection.machine.pendingBytes == 3000)
        _ = connection.flushed()
        #expect(connection.machine.pendingBytes == 0)
        #expect(connection.machine.reading == .head(deadline: connection.now + 10 * seconds, anyBytes: false))
        connection.machine.outputGrew(0, now: connection.now, connection.policy)
        #expect(connection.machine.output == .drained)
    }

    @Test func transportFailedSendsWhatIsQueued() {
        var connection = KeepAliveHarness()
        connection.machine.outputGrew(7, now: connection.now, connection.policy)
        #expect(connection.machine.transportFailed(now: connection.now, connection.policy) == .wait)
        #expect(connection.flushed() == .linger)
        #expect(connection.machine.transportFailed(now: connection.now, connection.policy) == .wait)
    }

    @Test func transportFailedWithNothingQueued() {
        var handling = KeepAliveHarness()
        handling.makeHandling()
        #expect(handling.machine.transportFailed(now: handling.now, handling.policy) == .linger)
        var streaming = multiplexed()
        streams(&streaming, true)
        #expect(streaming.machine.transportFailed(now: streaming.now, streaming.policy) == .linger)
        var gone = KeepAliveHarness()
        _ = gone.machine.abort()
        #expect(gone.machine.transportFailed(now: gone.now, gone.policy) == .wait)
    }
}
