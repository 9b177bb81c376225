// A keep-alive machine with a clock of plain numbers, and short names for the events tests send again and again.

import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

/// A connection under test: the machine, its policy, and the time.
struct KeepAliveHarness {
    var policy: KeepAlivePolicy
    var now: UInt64
    var machine: KeepAliveMachine

    init(_ policy: KeepAlivePolicy = KeepAlivePolicy(), at now: UInt64 = 1000 * seconds) {
        self.policy = policy
        self.now = now
        machine = KeepAliveMachine(openedAt: now, policy)
    }

    mutating func advance(_ interval: UInt64) { now += interval }

    mutating func firstBytes() { machine.firstBytes(now: now, policy) }

    mutating func head(body: Bool = false, keepAlive: Bool = true, expects: Bool = false) {
        machine.headParsed(hasBody: body, clientKeepsAlive: keepAlive, expectsContinue: expects, now: now, policy)
    }

    mutating func body(_ count: UInt64) { machine.bodyBytes(count, now: now, policy) }
    mutating func bodyEnded() -> KeepAliveStep { machine.bodyEnded(now: now, policy) }
    mutating func pause() { machine.bodyPaused(now: now, policy) }
    mutating func resume() { machine.bodyResumed(now: now, policy) }
    mutating func continued() { machine.continueSent(now: now, policy) }
    mutating func handle() { machine.handlerStarted(now: now, policy) }

    mutating func respond(close: Bool = false, unread: UInt64 = 0) -> KeepAlivePersistence {
        machine.responseHead(handlerCloses: close, unreadBodyBytes: unread, now: now, policy)
    }

    mutating func queue(_ count: UInt64) { machine.outputQueued(count, now: now, policy) }
    mutating func ended(unread: UInt64 = 0) -> KeepAliveStep {
        machine.responseEnded(unreadBodyBytes: unread, now: now, policy)
    }
    mutating func sent(_ count: UInt64) -> KeepAliveStep { machine.outputSent(count, now: now, policy) }
    mutating func flushed() -> KeepAliveStep { machine.flushed(now: now, policy) }
    mutating func eof() -> KeepAliveStep { machine.peerHalfClosed(now: now, policy) }
    mutating func drain(sparesIdle: Bool = false) -> KeepAliveStep { machine.drain(now: now, policy, sparesIdle: sparesIdle) }
    mutating func fault(_ status: UInt16) -> KeepAliveStep { machine.requestFault(status: status, now: now, policy) }
    mutating func timer(acknowledged: UInt64? = nil) -> KeepAliveTimerAnswer {
        machine.timer(now: now, acknowledged: acknowledged, policy)
    }

    func persistence(keepAlive: Bool = true, close: Bool = false) -> KeepAlivePersistence {
        machine.persistence(clientKeepsAlive: keepAlive, handlerCloses: close, policy)
    }

    mutating func exchanged(_ persistence: KeepAlivePersistence = .keepAlive, bytes: UInt64 = 100) -> KeepAliveStep {
        machine.exchanged(persistence, outputBytes: bytes, now: now, policy)
    }

    /// One request answered and flushed: the connection is idle afterwards.
    mutating func makeIdle() {
        _ = exchanged()
        _ = flushed()
    }

    /// A request whose handler runs.
    mutating func makeHandling(body: Bool = false, keepAlive: Bool = true) {
        head(body: body, keepAlive: keepAlive)
        handle()
    }

    /// A request whose response has begun, with nothing pending.
    mutating func makeResponding(body: Bool = false, keepAlive: Bool = true) {
        makeHandling(body: body, keepAlive: keepAlive)
        _ = respond()
        queue(10)
        _ = flushed()
    }

    /// A connection that answered an error and lingers.
    mutating func makeLingering() {
        firstBytes()
        _ = fault(400)
        queue(10)
        _ = ended()
        _ = flushed()
    }
}
