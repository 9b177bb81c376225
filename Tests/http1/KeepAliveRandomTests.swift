// Random walks: a connection with random requests, a random peer and random pauses drives the machine; after each event
// the rules that hold in every state are checked. A failure prints the seed and the last events.

import Testing
import UringHTTP1

private let seconds: UInt64 = 1_000_000_000

/// SplitMix64: the same walk for the same seed on every platform.
private struct WalkRandom {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: UInt64) -> UInt64 { next() % bound }
    mutating func chance(_ percent: UInt64) -> Bool { below(100) < percent }
}

/// A connection that behaves: it does what the machine says, and otherwise what a peer and a handler might do.
private struct Walk {
    var connection: KeepAliveHarness
    var random: WalkRandom
    var log: [String] = []
    /// What the machine must agree with, kept independently of it.
    var responsesBegun = 0
    var responsesEnded = 0
    var queued: UInt64 = 0
    var sent: UInt64 = 0
    var closeSteps = 0
    var lingerSteps = 0
    var announcedClose = false
    var faulted = false
    /// When the timer wheel would fire.
    var timerAt: UInt64 = .max

    init(seed: UInt64, policy: KeepAlivePolicy) {
        random = WalkRandom(state: seed)
        connection = KeepAliveHarness(policy, at: random.below(1 << 40))
        armTimer()
    }

    var machine: KeepAliveMachine { connection.machine }

    mutating func armTimer() {
        if let deadline = connection.machine.deadlineToArm() {
            #expect(deadline < timerAt, "armed later than it was: \(trace)")
            timerAt = deadline
        }
        #expect(timerAt <= machine.nextDeadline, "a deadline nobody wakes up for: \(trace)")
    }

    var trace: String { log.suffix(12).joined(separator: " ") }

    // MARK: Doing what the machine says

    mutating func perform(_ step: KeepAliveStep) {
        log.append("→\(step)")
        switch step {
        case .wait, .resumeHandler:
            break
        case .nextRequest:
            #expect(machine.isBetweenExchanges && machine.hasRoom(connection.policy), "no request is due: \(trace)")
        case .discardBody:
            guard case .answered = machine.writing else { Issue.record("nothing to discard: \(trace)"); return }
        case .respond(let status):
            #expect([400, 408, 413, 503].contains(status))
            faulted = true
            responsesBegun += 1
            queue(1 + random.below(200))
            endResponse(unread: 0)
        case .goAway:
            Issue.record("GOAWAY on HTTP/1.1: \(trace)")
        case .linger:
            lingerSteps += 1
            #expect(queued == sent, "lingers with output unsent: \(trace)")
            guard case .lingering = machine.writing else { Issue.record("does not linger: \(trace)"); return }
        case .close, .abort:
            closeSteps += 1
            #expect(machine.isClosed, "closed and alive: \(trace)")
            if step == .close { #expect(queued == sent, "closes with output unsent: \(trace)") }
        }
    }

    mutating func queue(_ count: UInt64) {
        connection.queue(count)
        queued += count
    }

    mutating func endResponse(unread: UInt64) {
        responsesEnded += 1
        perform(connection.ended(unread: unread))
    }

    // MARK: One random event that is possible in this state

    mutating func event() {
        switch random.below(20) {
        case 0..<4: output()
        case 4..<6: pass(random.below(random.chance(10) ? 40 * seconds : seconds))
        case 6 where random.chance(10): log.append("eof"); perform(connection.eof())
        case 7 where random.chance(5): log.append("drain"); perform(connection.drain())
        case 8 where random.chance(3): log.append("abort"); perform(connection.machine.abort())
        case 9 where random.chance(20): log.append("discarded"); perform(connection.machine.discarded(random.below(5000)))
        default: exchange()
        }
        armTimer()
        check()
    }

    mutating func output() {
        let pending = machine.pendingBytes
        guard pending > 0 else { return }
        if random.chance(60) {
            sent += pending
            log.append("flushed")
            perform(connection.flushed())
        } else {
            let count = random.below(pending + 1)
            sent += count
            log.append("sent(\(count))")
            perform(connection.sent(count))
        }
    }

    mutating func pass(_ interval: UInt64) {
        connection.now += interval
        log.append("+\(interval / 1_000_000)ms")
        while timerAt <= connection.now {
            let wanted = machine.wantsAcknowledged(connection.policy)
            timerAt = .max
            let answer = connection.timer(acknowledged: wanted ? sent : nil)
            log.append("timer")
            switch answer {
            case .unarmed:
                #expect(machine.nextDeadline == .max, "a clock runs: \(trace)")
            case .rearm(let at):
                #expect(at > connection.now, "armed in the past: \(trace)")
                timerAt = at
            case .expired(let kind, let step):
                log.append("\(kind)")
                perform(step)
                armTimer()
            }
        }
    }

    mutating func exchange() {
        switch machine.writing {
        case .none: betweenOrReading()
        case .handling: handling()
        case .responding: responding()
        case .answered: body()
        case .closing, .lingering, .multiplexed, .upgraded, .closed: break
        }
    }

    mutating func betweenOrReading() {
        switch machine.reading {
        case .idle, .head:
            guard machine.mayHandleNext(connection.policy) else { return }
            request()
        case .expecting:
            log.append("continue")
            queue(25)
            connection.continued()
        case .body, .paused:
            if random.chance(30) { start() } else { body() }
        case .done, .ended:
            start()
        }
    }

    mutating func request() {
        let keepsAlive = random.chance(90)
        if random.chance(30) {
            log.append("firstBytes")
            connection.firstBytes()
            if random.chance(10) { perform(connection.fault(400)) }
        } else if random.chance(50) {
            let persistence = connection.persistence(keepAlive: keepsAlive, close: random.chance(3))
            let bytes = 1 + random.below(30_000)
            log.append("exchanged(\(persistence))")
            responsesBegun += 1
            responsesEnded += 1
            queued += bytes
            announcedClose = persistence.mustSayClose
            perform(connection.exchanged(persistence, bytes: bytes))
        } else {
            log.append("head")
            connection.head(body: random.chance(60), keepAlive: keepsAlive, expects: random.chance(20))
            if random.chance(80) { start() }
        }
    }

    mutating func start() {
        log.append("handler")
        connection.handle()
    }

    mutating func body() {
        switch random.below(8) {
        case 0:
            switch machine.reading {
            case .body, .paused: log.append("bodyEnded"); perform(connection.bodyEnded())
            case .idle, .head, .expecting, .done, .ended: break
            }
        case 1: log.append("pause"); connection.pause()
        case 2: log.append("resume"); connection.resume()
        case 3 where random.chance(5): log.append("413"); perform(connection.fault(413))
        default:
            switch machine.reading {
            case .body, .paused, .expecting: log.append("body"); connection.body(random.below(3000))
            case .idle, .head, .done, .ended: break
            }
        }
    }

    mutating func handling() {
        guard random.chance(40) else { return body() }
        let persistence = connection.respond(close: random.chance(3), unread: random.chance(20) ? .max : 0)
        log.append("response(\(persistence))")
        responsesBegun += 1
        announcedClose = persistence.mustSayClose
        queue(1 + random.below(300))
    }

    mutating func responding() {
        if faulted { return }
        if random.chance(50) { return body() }
        if random.chance(60), machine.hasRoom(connection.policy) {
            queue(1 + random.below(40_000))
        } else {
            log.append("ended")
            endResponse(unread: random.chance(10) ? .max : random.below(1000))
        }
    }

    // MARK: What holds in every state

    func check() {
        #expect(isLegal, "illegal pair \(machine.reading) \(machine.writing): \(trace)")
        #expect(closeSteps == (machine.isClosed ? 1 : 0), "told to close \(closeSteps) times: \(trace)")
        #expect(lingerSteps <= 1, "lingers twice: \(trace)")
        if !machine.isClosed {
            #expect(machine.pendingBytes == queued - sent, "output is counted wrongly: \(trace)")
        }
        if announcedClose {
            // A close that was announced is kept.
            #expect(!machine.isBetweenExchanges, "announced a close and takes a request: \(trace)")
        }
        #expect(responsesEnded <= responsesBegun)
        if connection.policy == .unlimited || machine.isClosed {
            #expect(machine.nextDeadline == .max, "a clock runs: \(trace)")
        }
    }

    /// The pairs of the diagram.
    var isLegal: Bool {
        switch (machine.reading, machine.writing) {
        case (_, .none): true
        case (.expecting, .handling), (.body, .handling), (.paused, .handling), (.done, .handling), (.ended, .handling): true
        case (.expecting, .responding), (.body, .responding), (.paused, .responding), (.done, .responding), (.ended, .responding): true
        case (.body, .answered): true
        case (.ended, .closing), (.ended, .lingering), (.ended, .upgraded), (.ended, .closed): true
        case (.idle, _), (.head, _), (.expecting, _), (.paused, _), (.done, _), (.body, _), (.ended, _): false
        }
    }

    /// With timeouts every connection ends by the clock alone, whatever its peer and its handler leave undone.
    mutating func abandon() {
        for _ in 0..<10 where !machine.isClosed {
            if case .none = machine.writing {
                // Not a state to rest in: a request that was read and given to nobody.
                switch machine.reading {
                case .expecting, .paused, .done, .ended: start()
                case .idle, .head, .body: break
                }
            }
            armTimer()
            guard timerAt != .max else { Issue.record("nothing would ever end it: \(machine) \(trace)"); return }
            connection.now = max(connection.now, timerAt)
            pass(0)
        }
        #expect(machine.isClosed, "ten timers did not end it: \(trace)")
    }
}

@Suite struct KeepAliveRandomTests {
    static let policies: [KeepAlivePolicy] = {
        var limited = KeepAlivePolicy()
        limited.requestsPerConnectionMax = 5
        limited.lingerBytesMax = 10_000
        var acknowledged = KeepAlivePolicy()
        acknowledged.drainMeasure = .peerAcknowledges
        acknowledged.outputBytesMax = 0
        return [KeepAlivePolicy(), limited, acknowledged]
    }()

    @Test(arguments: 0..<3) func walksObeyTheRules(policy index: Int) {
        for seed in 0..<700 as Range<UInt64> {
            var walk = Walk(seed: seed, policy: Self.policies[index])
            walk.log.append("seed \(seed)")
            for _ in 0..<(1 + seed % 200) where !walk.machine.isClosed { walk.event() }
            walk.abandon()
            walk.check()
        }
    }

    @Test func walksWithoutTimeoutsHaveNoClock() {
        for seed in 0..<700 as Range<UInt64> {
            var walk = Walk(seed: seed, policy: .unlimited)
            for _ in 0..<200 { walk.event() }
            #expect(walk.timerAt == .max, "seed \(seed): \(walk.trace)")
        }
    }

    /// The walks are worth something only if they get everywhere.
    @Test func walksReachEveryStateAndTimeout() {
        var writings: Set<String> = []
        var readings: Set<String> = []
        var words: Set<String> = []
        for seed in 0..<700 as Range<UInt64> {
            var walk = Walk(seed: seed, policy: Self.policies[Int(seed % 3)])
            for _ in 0..<(1 + seed % 200) where !walk.machine.isClosed {
                walk.event()
                writings.insert(name(walk.machine.writing))
                readings.insert(name(walk.machine.reading))
            }
            walk.abandon()
            words.formUnion(walk.log)
        }
        #expect(writings.isSuperset(of: ["none", "handling", "responding", "answered", "closing", "lingering", "closed"]))
        #expect(readings.isSuperset(of: ["idle", "head", "expecting", "body", "paused", "done", "ended"]))
        for kind in KeepAliveTimeout.allCases { #expect(words.contains("\(kind)"), "no walk met \(kind)") }
    }

    private func name<State>(_ state: State) -> String {
        String("\(state)".prefix { $0 != "(" })
    }
}
