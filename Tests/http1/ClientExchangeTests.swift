// The client's exchange machine: every transition, what an end means in every state, and the clocks.

import Testing
import UringHTTP
import UringHTTP1

private let second: UInt64 = 1_000_000_000

private struct Client {
    var policy = ClientPolicy()
    var now: UInt64 = 1000 * second
    var machine: ClientExchangeMachine

    init(_ change: (inout ClientPolicy) -> Void = { _ in }) {
        change(&policy)
        machine = ClientExchangeMachine(connectedAt: now, policy)
    }

    mutating func start(_ request: ClientExchangeMachine.Request = .whole, upgrade: Bool = false, bytes: UInt64 = 100) {
        machine.requestStarted(request, asksUpgrade: upgrade, now: now, policy)
        machine.outputQueued(bytes, now: now, policy)
    }
    mutating func queue(_ bytes: UInt64) { machine.outputQueued(bytes, now: now, policy) }
    mutating func sent(_ bytes: UInt64 = 100) -> ClientStep { machine.outputSent(bytes, now: now, policy) }
    mutating func requestEnded() { machine.requestEnded(now: now, policy) }
    mutating func received() -> ClientStep { machine.received(now: now, policy) }
    mutating func head(_ status: UInt16 = 200, framing: ResponseBodyFraming = .length(5), keepAlive: Bool = true) -> ClientStep {
        #expect(received() == .wait)
        var head = ResponseHead()
        head.status = HTTPStatus(status)
        head.framing = framing
        head.keepAlive = keepAlive
        return machine.responseHead(head, now: now, policy)
    }
    mutating func ended(more: Bool = false) -> ClientStep { machine.responseEnded(hasMore: more, now: now, policy) }
    mutating func timer() -> ClientTimerAnswer { machine.timer(now: now, policy) }

    /// One exchange that leaves the connection free.
    mutating func exchange() {
        start()
        #expect(sent() == .wait)
        #expect(head() == .wait)
        #expect(ended() == .reuse)
    }

    func failure(_ reason: ClientFailure.Reason, _ progress: ClientProgress, reused: Bool = false) -> ClientStep {
        .fail(ClientFailure(reason, progress: progress, isReused: reused))
    }
}

/// A client in each state in which an exchange can be.
private enum Stage: CaseIterable { case idle, unsent, partlySent, sendingBody, expecting, head, headBegan, body, pausedBody, done, tunnel, closed }

private func client(_ stage: Stage) -> Client {
    var client = Client()
    switch stage {
    case .idle: break
    case .unsent: client.start()
    case .partlySent:
        client.start()
        _ = client.sent(1)
    case .sendingBody:
        client.start(.body)
        _ = client.sent()
    case .expecting:
        client.start(.expecting)
        _ = client.sent()
    case .head:
        client.start()
        _ = client.sent()
    case .headBegan:
        client.start()
        _ = client.sent()
        _ = client.received()
    case .body:
        client.start()
        _ = client.sent()
        _ = client.head()
    case .pausedBody:
        client = client_(.body)
        client.machine.bodyPaused()
    case .done:
        client.start()
        _ = client.sent(99)
        _ = client.head()
        #expect(client.ended() == .wait)
    case .tunnel:
        client.start(upgrade: true)
        _ = client.sent()
        #expect(client.head(101, framing: .tunnel, keepAlive: false) == .tunnel)
    case .closed:
        client.start()
        _ = client.machine.cancel()
    }
    return client
}

private func client_(_ stage: Stage) -> Client { client(stage) }

@Suite struct ClientExchangeTests {
    @Test func exchangesFollowOneAnother() {
        var client = Client()
        #expect(client.machine.isIdle && !client.machine.isLastRequest(client.policy))
        for number in 1...3 {
            client.exchange()
            #expect(client.machine.isIdle && client.machine.requests == UInt32(number))
        }
    }

    @Test func peerEndsInEveryState() {
        for stage in Stage.allCases {
            var client = client(stage)
            let step = client.machine.peerEnded(.truncated)
            switch stage {
            case .idle, .done: #expect(step == .close, "\(stage)")
            case .unsent: #expect(step == client.failure(.closed, .nothingSent))
            case .partlySent, .sendingBody, .expecting, .head: #expect(step == client.failure(.closed, .sent), "\(stage)")
            case .headBegan: #expect(step == client.failure(.closed, .responseBegan))
            case .body, .pausedBody: #expect(step == client.failure(.truncated, .responseBegan), "\(stage)")
            case .tunnel, .closed: #expect(step == .wait, "\(stage)")
            }
            #expect(client.machine.isClosed == (stage != .tunnel))
        }
        var client = client(.body)
        #expect(client.machine.peerEnded(.assumedComplete) == .close)
    }

    @Test func transportFailsInEveryState() {
        for stage in Stage.allCases {
            var client = client(stage)
            let progress = client.machine.progress
            let step = client.machine.transportFailed()
            switch stage {
            case .idle, .done: #expect(step == .close, "\(stage)")
            case .tunnel, .closed: #expect(step == .wait, "\(stage)")
            default: #expect(step == client.failure(.transport, progress), "\(stage)")
            }
        }
    }

    @Test func cancelRetireFaultInEveryState() {
        for stage in Stage.allCases {
            var cancelled = client(stage)
            let ends = stage != .idle && stage != .tunnel && stage != .closed
            #expect(cancelled.machine.cancel() == (ends ? .close : .wait), "\(stage)")
            #expect(cancelled.machine.cancel() == .wait)
            var retired = client(stage)
            #expect(retired.machine.retire() == (stage == .idle ? .close : .wait), "\(stage)")
            var faulty = client(stage)
            let step = faulty.machine.responseFault(.bareLF)
            if stage == .tunnel || stage == .closed { #expect(step == .wait) } else if case .fail(let failure) = step { #expect(failure.reason == .malformed(.bareLF)) } else { Issue.record("\(stage)") }
        }
    }

    @Test func aRetiredConnectionClosesBehindItsResponse() {
        var client = client(.body)
        #expect(client.machine.retire() == .wait)
        #expect(client.ended() == .close)
    }

    @Test func staleConnection() {
        // Closed while nobody used it: no exchange is harmed.
        var idle = Client()
        idle.exchange()
        #expect(idle.machine.peerEnded(.complete) == .close)
        // The close crossed the request on its way.
        var crossed = Client()
        crossed.exchange()
        crossed.start()
        #expect(crossed.sent() == .wait)
        let step = crossed.machine.peerEnded(.truncated)
        #expect(step == crossed.failure(.closed, .sent, reused: true))
        // It was known before a byte left.
        var early = Client()
        early.exchange()
        early.start()
        #expect(early.machine.transportFailed() == early.failure(.transport, .nothingSent, reused: true))
    }

    @Test func unaskedBytes() {
        var client = Client()
        client.exchange()
        #expect(client.received() == .close)
        var behind = Client()
        behind.start()
        _ = behind.sent()
        _ = behind.head()
        #expect(behind.ended(more: true) == .close)
        var whileSending = Self.done()
        #expect(whileSending.received() == .wait)
        #expect(whileSending.sent(1) == .close)
    }

    private static func done() -> Client { client(.done) }

    @Test func completeWhenTheRequestHasLeft() {
        var client = Self.done()
        #expect(client.sent(1) == .reuse)
        client.exchange()
        var closing = Client()
        closing.start()
        _ = closing.sent(99)
        _ = closing.head(keepAlive: false)
        #expect(closing.ended() == .close)
    }

    @Test func lastRequest() {
        var client = Client { $0.requestsPerConnectionMax = 2 }
        #expect(!client.machine.isLastRequest(client.policy))
        client.exchange()
        #expect(client.machine.isLastRequest(client.policy))
        client.start()
        _ = client.sent()
        _ = client.head()
        #expect(client.ended() == .close)
    }

    @Test func serverCloses() {
        var client = Client()
        client.start()
        _ = client.sent()
        #expect(client.head(keepAlive: false) == .wait)
        #expect(client.ended() == .close)
    }

    // MARK: Early responses

    @Test func earlyRefusalStopsTheBody() {
        var client = client(.sendingBody)
        #expect(client.machine.maySendBody)
        #expect(client.head(413, keepAlive: false) == .stopSending)
        #expect(!client.machine.maySendBody)
        client.requestEnded()
        #expect(client.ended() == .close)
    }

    @Test func earlyResponseOfAServerThatReadsOn() {
        for (status, keepAlive) in [(UInt16(413), true), (200, false), (200, true)] {
            var client = client(.sendingBody)
            #expect(client.head(status, keepAlive: keepAlive) == .wait)
            #expect(client.machine.maySendBody)
            client.queue(10)
            #expect(client.sent(10) == .wait)
            client.requestEnded()
            #expect(client.ended() == (keepAlive ? .reuse : .close))
        }
        // The response is complete first.
        var client = client(.sendingBody)
        _ = client.head()
        #expect(client.ended() == .close)
        client.requestEnded()
    }

    @Test func aRefusalOfTheLastRequestSaysNothingAboutItsBody() {
        var client = Client { $0.requestsPerConnectionMax = 1 }
        client.start(.body)
        _ = client.sent()
        #expect(client.head(400, keepAlive: false) == .wait)
        #expect(client.machine.maySendBody)
    }

    @Test func brokenPipeStillReads() {
        var client = client(.sendingBody)
        client.queue(50)
        #expect(client.machine.sendFailed(now: client.now, client.policy) == .stopSending)
        #expect(client.machine.pendingBytes == 0 && !client.machine.maySendBody)
        #expect(client.head(413) == .wait)
        #expect(client.ended() == .close)
        var silent = Self.sendingBody()
        _ = silent.machine.sendFailed(now: silent.now, silent.policy)
        silent.now += silent.policy.headTimeoutNs
        #expect(silent.timer() == .expired(.head, silent.failure(.timeout(.head), .sent)))
        for stage in Stage.allCases {
            var client = client_(stage)
            let step = client.machine.sendFailed(now: client.now, client.policy)
            switch stage {
            case .idle, .done: #expect(step == .close)
            case .tunnel, .closed: #expect(step == .wait)
            default: #expect(step == .stopSending, "\(stage)")
            }
        }
    }

    private static func sendingBody() -> Client { client(.sendingBody) }

    // MARK: Interim responses

    @Test func expectations() {
        var client = client(.expecting)
        #expect(!client.machine.maySendBody)
        #expect(client.head(100, framing: .none) == .sendBody)
        #expect(client.machine.maySendBody)
        #expect(client.head(100, framing: .none) == .wait)
        client.queue(10)
        client.requestEnded()
        #expect(client.sent(10) == .wait)
        #expect(client.head() == .wait)
        #expect(client.ended() == .reuse)
    }

    @Test func anOtherInterimResponseIsNoPermission() {
        var client = client(.expecting)
        #expect(client.head(103, framing: .none) == .wait)
        #expect(!client.machine.maySendBody)
    }

    @Test func finalResponseInsteadOfContinue() {
        for status: UInt16 in [200, 417, 401] {
            var client = client(.expecting)
            #expect(client.head(status) == .stopSending)
            client.requestEnded()
            #expect(client.ended() == .close)
        }
    }

    @Test func continueTimesOut() {
        var client = client(.expecting)
        client.now += client.policy.continueTimeoutNs - 1
        #expect(client.timer() == .rearm(at: client.now + 1))
        client.now += 1
        #expect(client.timer() == .expired(.continue, .sendBody))
        #expect(client.machine.maySendBody)
        #expect(client.timer() == .unarmed)
        // A late 100 changes nothing.
        #expect(client.head(100, framing: .none) == .wait)
    }

    @Test func interimResponsesAreCounted() {
        var client = Client { $0.interimResponsesMax = 2 }
        client.start()
        _ = client.sent()
        #expect(client.head(102, framing: .none) == .wait)
        #expect(client.head(103, framing: .none) == .wait)
        #expect(client.head(102, framing: .none) == client.failure(.tooManyInterimResponses, .responseBegan))
        var endless = Client { $0.interimResponsesMax = 0 }
        endless.start()
        _ = endless.sent()
        for _ in 0..<600 { #expect(endless.head(102, framing: .none) == .wait) }
    }

    // MARK: Tunnels

    @Test func tunnels() {
        var client = client(.tunnel)
        #expect(client.received() == .wait && client.machine.transportFailed() == .wait && client.machine.cancel() == .wait)
        #expect(client.timer() == .unarmed)
        var unasked = Client()
        unasked.start()
        _ = unasked.sent()
        #expect(unasked.head(101, framing: .tunnel, keepAlive: false) == unasked.failure(.unexpectedUpgrade, .responseBegan))
        var early = Client()
        early.start(.body, upgrade: true)
        _ = early.sent()
        #expect(early.head(101, framing: .tunnel, keepAlive: false) == early.failure(.unexpectedUpgrade, .responseBegan))
        // Refused: an exchange like any other.
        var refused = Client()
        refused.start(upgrade: true)
        _ = refused.sent()
        #expect(refused.head(200) == .wait)
        #expect(refused.ended() == .reuse)
    }

    // MARK: Clocks

    @Test func clocks() {
        let cases: [(Stage, ClientTimeout, UInt64, ClientProgress?)] = [
            (.unsent, .write, ClientPolicy().writeTimeoutNs, .nothingSent), (.partlySent, .write, ClientPolicy().writeTimeoutNs, .sent),
            (.head, .head, ClientPolicy().headTimeoutNs, .sent), (.headBegan, .head, ClientPolicy().headTimeoutNs, .responseBegan),
            (.body, .body, ClientPolicy().bodyTimeoutNs, .responseBegan), (.idle, .idle, ClientPolicy().idleTimeoutNs, nil),
        ]
        for (stage, clock, after, progress) in cases {
            var client = client(stage)
            #expect(client.machine.deadlineToArm() == client.now + after, "\(stage)")
            #expect(client.machine.deadlineToArm() == nil)
            client.now += after - 1
            #expect(client.timer() == .rearm(at: client.now + 1))
            client.now += 1
            let step = progress.map { client.failure(.timeout(clock), $0) } ?? .close
            #expect(client.timer() == .expired(clock, step), "\(stage)")
            #expect(client.machine.isClosed)
            #expect(client.timer() == .unarmed)
        }
        for stage in [Stage.sendingBody, .pausedBody, .tunnel, .closed] {
            var client = client(stage)
            #expect(client.timer() == .unarmed, "\(stage)")
            #expect(client.machine.deadlineToArm() == nil)
        }
    }

    @Test func clocksMoveOn() {
        var client = client(.body)
        client.now += 20 * second
        #expect(client.received() == .wait)
        #expect(client.machine.nextDeadline == client.now + client.policy.bodyTimeoutNs)
        client.machine.bodyPaused()
        #expect(client.received() == .wait && client.machine.nextDeadline == .max)
        client.machine.bodyResumed(now: client.now, client.policy)
        #expect(client.machine.nextDeadline == client.now + client.policy.bodyTimeoutNs)

        var writing = client_(.partlySent)
        writing.now += 20 * second
        #expect(writing.sent(1) == .wait)
        #expect(writing.machine.nextDeadline == writing.now + writing.policy.writeTimeoutNs)

        var waiting = client_(.head)
        waiting.now += 20 * second
        #expect(waiting.head(102, framing: .none) == .wait)
        #expect(waiting.machine.nextDeadline == waiting.now + waiting.policy.headTimeoutNs)
    }

    @Test func timeoutsCanBeOff() {
        for stage in Stage.allCases {
            var policy = ClientPolicy()
            policy.writeTimeoutNs = 0
            policy.headTimeoutNs = 0
            policy.bodyTimeoutNs = 0
            policy.continueTimeoutNs = 0
            policy.idleTimeoutNs = 0
            var machine = ClientExchangeMachine(connectedAt: 5, policy)
            if stage != .idle {
                machine.requestStarted(.expecting, now: 5, policy)
                machine.outputQueued(1, now: 5, policy)
                _ = machine.outputSent(1, now: 5, policy)
            }
            #expect(machine.nextDeadline == .max)
        }
    }

    // MARK: Another attempt

    @Test func retries() {
        for idempotent in [false, true] {
            for repeatable in [false, true] {
                #expect(ClientProgress.nothingSent.mayRetry(isIdempotent: idempotent, canRepeatBody: repeatable) == repeatable)
                #expect(ClientProgress.sent.mayRetry(isIdempotent: idempotent, canRepeatBody: repeatable) == (idempotent && repeatable))
                #expect(!ClientProgress.responseBegan.mayRetry(isIdempotent: idempotent, canRepeatBody: repeatable))
            }
        }
    }

    /// Random events that a server and a kernel may cause: nothing traps, progress never falls, the end is said once.
    @Test func randomWalks() {
        for seed: UInt64 in 0..<2000 {
            var random = SeededGenerator(state: seed)
            var client = Client { $0.requestsPerConnectionMax = UInt32(seed % 4) }
            var ends = 0
            for _ in 0..<60 {
                let before = client.machine
                var step = ClientStep.wait
                switch Int.random(in: 0..<14, using: &random) {
                case 0, 1, 2:
                    if before.isIdle { client.start([.whole, .body, .expecting].randomElement(using: &random)!, upgrade: Bool.random(using: &random)) }
                case 3, 4: if before.pendingBytes > 0 { step = client.sent(UInt64.random(in: 1...before.pendingBytes, using: &random)) }
                case 5: if before.maySendBody { client.queue(10) }
                case 6: if before.sending != .none { client.requestEnded() }
                case 7, 8:
                    if case .head = before.receiving {
                        let interim = Int.random(in: 0..<4, using: &random) == 0
                        let keepAlive = Bool.random(using: &random)
                        step = interim ? client.head([100, 102].randomElement(using: &random)!, framing: .none) : client.head([200, 404].randomElement(using: &random)!, keepAlive: keepAlive)
                    } else if before.receiving != .closed { step = client.received() }
                case 9, 10: if case .body = before.receiving { step = client.ended(more: Int.random(in: 0..<8, using: &random) == 0) }
                case 11:
                    client.now += UInt64.random(in: 0...3, using: &random) * second
                    if case .expired(_, let answer) = client.timer() { step = answer }
                case 12: if Int.random(in: 0..<6, using: &random) == 0 { step = client.machine.peerEnded(.truncated) }
                default:
                    if Int.random(in: 0..<6, using: &random) == 0 { step = client.machine.sendFailed(now: client.now, client.policy) }
                }
                if client.machine.requests == before.requests { #expect(client.machine.progress >= before.progress) }
                switch step {
                case .close, .fail: ends += 1
                case .reuse: #expect(client.machine.isIdle && client.machine.pendingBytes == 0 && client.machine.sending == .none)
                case .sendBody: #expect(client.machine.maySendBody)
                case .stopSending: #expect(!client.machine.maySendBody)
                case .wait, .tunnel: break
                }
                #expect(client.machine.isClosed == (ends > 0), "seed \(seed)")
                if client.machine.isIdle { #expect(client.machine.sending == .none) }
            }
            #expect(ends <= 1, "seed \(seed)")
        }
    }
}
