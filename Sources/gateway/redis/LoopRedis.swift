// LoopRedis: a loop's one connection to a Redis server, over which all its questions go, pipelined. Joins policy's RedisClient with a channel of the loop, makes the connection again with growing pauses, and
// answers every question within the server's timeout. The loop's thread.
//
//   down ──connect──▶ connecting ──stands, login sent──▶ open ──ended, stalled, garbage, login refused──▶ down
//
// While it connects questions wait, at most as long as an answer may take; while it is down they fail at once.

internal import UringPolicy
internal import UringServer

/// Its loop's thread alone calls it; it is Sendable so that tasks of that loop can have it.
@safe
final class LoopRedis: ChannelOwner, @unchecked Sendable {
    /// Questions in flight or waiting, of one loop.
    static let pendingMax = 1024
    /// The first pause between connections; it doubles up to the longest as long as Redis answers nothing.
    static let pauseNs: UInt64 = 100_000_000
    static let pauseMaxNs: UInt64 = 5_000_000_000

    private enum Phase { case down, connecting, open }

    /// Each continuation is resumed once: by whoever takes the question out of where it waits.
    @safe private enum Question {
        case rate([UInt8], RatePolicy, UnsafeContinuation<RateDecision?, Never>)
        case script(StaticString, keys: Int, words: [[UInt8]], UnsafeContinuation<[UInt8]?, Never>)

        /// Room for it in the output.
        var bytesMax: Int {
            switch self {
            case .rate: RedisClient.requestBytesMax
            case .script(let script, _, let words, _): RedisClient.evalBytes(script, words)
            }
        }

        func answerNothing() {
            switch self {
            case .rate(_, _, let continuation): unsafe continuation.resume(returning: nil)
            case .script(_, _, _, let continuation): unsafe continuation.resume(returning: nil)
            }
        }
    }

    private let server: RedisServer
    private let index: Int
    private let loop: ServerLoop
    private var client: RedisClient
    private var channel: OutgoingChannel?
    private var phase = Phase.down
    /// Redis has taken the login: told to the server.
    private var isReady = false
    private var isRetired = false
    /// Failures since an answer.
    private var failures: UInt64 = 0
    private var retryAt: UInt64 = 0
    /// Of the connection that is being made.
    private var attempt: UInt64 = 0
    private var random = PolicyRandom(seed: MonotonicClock.now)
    /// By the client's token: those in flight.
    private var questions: [Question?]
    private var free: [Int]
    /// Not sent yet.
    private var waiting: [Question] = []

    init(_ server: RedisServer, _ index: Int, _ loop: ServerLoop) {
        (self.server, self.index, self.loop) = (server, index, loop)
        client = RedisClient(login: server.login, timeout: server.configuration.timeoutNs, pipelineMax: Self.pendingMax)
        questions = Array(repeating: nil, count: Self.pendingMax)
        free = Array((0..<Self.pendingMax).reversed())
    }

    // MARK: questions

    /// Counts a request of a key. In a task of the loop.
    /// - Returns: nil when Redis did not answer in time or as it should; that is counted and told.
    func check(_ key: [UInt8], _ policy: RatePolicy) async -> RateDecision? {
        server.countRequest(index)
        return unsafe await withUnsafeContinuation { ask(unsafe .rate(key, policy, $0)) }
    }

    /// Runs a script that answers a string, whose first words are its keys. In a task of the loop.
    /// - Returns: as `check`.
    func eval(_ script: StaticString, keys: [[UInt8]], words: [[UInt8]]) async -> [UInt8]? {
        server.countRequest(index)
        return unsafe await withUnsafeContinuation { ask(unsafe .script(script, keys: keys.count, words: keys + words, $0)) }
    }

    private func ask(_ question: Question) {
        // A task that has outlived its loop.
        guard ServerLoop.current != nil else { return fail(question, .unconnected) }
        if phase == .down, !isRetired, MonotonicClock.now >= retryAt { connect() }
        switch phase {
        case .open: send(question)
        case .connecting where waiting.count < Self.pendingMax: waiting.append(question)
        case .connecting: fail(question, .overloaded)
        case .down: fail(question, .unconnected)
        }
    }

    private func send(_ question: Question) {
        guard let link = channel?.link, let slot = free.popLast() else { return fail(question, channel?.link == nil ? .disconnected : .overloaded) }
        var admission = RedisClient.Admission.noRoom
        let room = question.bytesMax
        if let memory = unsafe link.reserve(room) {
            // SAFETY: the output's memory until the commit below.
            var sink = unsafe ByteSink(memory, capacity: room)
            switch question {
            case .rate(let key, let policy, _): admission = client.check(key.span, policy, token: UInt64(slot), now: link.now, to: &sink)
            case .script(let script, let keys, let words, _): admission = client.eval(script, keys: keys, words: words, token: UInt64(slot), now: link.now, to: &sink)
            }
            link.commit(admission == .sent ? sink.count : 0)
        }
        guard admission == .sent else {
            free.append(slot)
            return fail(question, admission == .full ? .overloaded : .disconnected)
        }
        questions[slot] = question
        link.wake(at: client.nextDeadline)
    }

    private func fail(_ question: Question, _ trouble: RedisServer.Trouble, _ detail: @autoclosure () -> String = "") {
        server.count(trouble, index, detail())
        question.answerNothing()
    }

    /// The question with a token; it is asked no more.
    private func take(_ token: UInt64) -> Question? {
        guard let slot = Int(exactly: token), questions.indices.contains(slot), let question = questions[slot] else { return nil }
        questions[slot] = nil
        free.append(slot)
        return question
    }

    // MARK: the connection

    /// Begins to connect; may end within the call.
    func connect() {
        guard phase == .down, !isRetired else { return }
        phase = .connecting
        attempt &+= 1
        let options = server.options
        guard let made = try? OutgoingChannel(on: loop, isSecure: server.configuration.tls != nil, host: server.host, port: server.port, client: server.client, options, owner: self)
        else {
            // The loop is over.
            phase = .down
            return
        }
        channel = made
        made.connect()
        guard phase == .connecting else { return }
        // A name that nobody answers for, and addresses one after the other, take longer than a question may.
        let (attempt, limit) = (attempt, Duration.nanoseconds(Int64(clamping: server.configuration.timeoutNs)))
        Task(executorPreference: loop.taskExecutor) { [weak self, loop] in
            try? await loop.sleep(for: limit)
            self?.stopWaiting(for: attempt)
        }
    }

    private func stopWaiting(for attempt: UInt64) {
        guard ServerLoop.current != nil, attempt == self.attempt, phase == .connecting else { return }
        failWaiting(.timeout)
    }

    private func failWaiting(_ trouble: RedisServer.Trouble) {
        let all = waiting
        waiting = []
        for question in all { fail(question, trouble) }
    }

    func opened(_ link: TunnelLink) {
        guard let memory = unsafe link.reserve(RedisLogin.bytesMax) else { return breakDown("out of memory") }
        // SAFETY: the output's memory until the commit below.
        var sink = unsafe ByteSink(memory, capacity: RedisLogin.bytesMax)
        client.connected(now: link.now, to: &sink)
        link.commit(sink.count)
        phase = .open
        // Without a login there is nothing that Redis could say.
        if sink.count == 0 { ready() }
        link.wake(at: client.nextDeadline)
        let all = waiting
        waiting = []
        for question in all { send(question) }
        closeIfDraining()
    }

    private func ready() {
        isReady = true
        server.connected(index)
    }

    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        var used = 0
        while true {
            guard let memory = unsafe link.reserve(RedisClient.requestBytesMax) else { return count }
            // SAFETY: the output's memory until the commit below; what was received for this call.
            var sink = unsafe ByteSink(memory, capacity: RedisClient.requestBytesMax)
            let (event, consumed) = client.receive(unsafe Span(_unsafeStart: bytes + used, count: count - used), to: &sink)
            link.commit(sink.count)
            used += consumed
            switch event {
            case .needMore:
                link.wake(at: client.nextDeadline)
                closeIfDraining()
                return used
            case .needRoom: break
            case .ready: ready()
            case .decided(let token, let decision):
                failures = 0
                if case .rate(_, _, let continuation)? = take(token) { unsafe continuation.resume(returning: decision) }
            case .answered(let token, let range):
                failures = 0
                // SAFETY: the range is within what this pass was given.
                let text = unsafe Array(UnsafeBufferPointer(start: bytes + (used - consumed) + range.lowerBound, count: range.count))
                if case .script(_, _, _, let continuation)? = take(token) { unsafe continuation.resume(returning: text) }
            case .failed(let token, let failure):
                if let question = take(token) { fail(question, RedisServer.Trouble(failure), client.lastError) }
            case .broken(let breakage):
                breakDown(Self.text(breakage, client.lastError))
                return count
            }
        }
    }

    private static func text(_ breakage: RedisClient.Breakage, _ error: String) -> String {
        switch breakage {
        case .malformed(let fault): "what it sends is not Redis's protocol (\(fault))"
        case .loginRefused: "it refuses the login: \(error)"
        case .unasked: "it answers what nobody has asked"
        }
    }

    func timer(_ link: TunnelLink) {
        while let token = client.expire(now: link.now) {
            if let question = take(token) { fail(question, .timeout) }
        }
        if client.isStalled { return breakDown("it does not answer") }
        link.wake(at: client.nextDeadline)
        closeIfDraining()
    }

    /// Closes the connection, which is of no use any more.
    private func breakDown(_ reason: String) {
        channel?.close()
        ended(reason)
    }

    func ended(_ reason: String) {
        let wasReady = isReady
        (channel, phase, isReady) = (nil, .down, false)
        while let token = client.disconnected() {
            if let question = take(token) { fail(question, .disconnected) }
        }
        failWaiting(.disconnected)
        guard !isRetired else { return server.lost(index, wasConnected: wasReady, reason, again: nil) }
        let pause = min(Self.pauseNs << min(failures, 6), Self.pauseMaxNs)
        failures += 1
        // So that loops and instances do not all come at once.
        let wait = pause - random.below(pause / 4)
        retryAt = MonotonicClock.now + wait
        server.lost(index, wasConnected: wasReady, reason, again: wait)
        Task(executorPreference: loop.taskExecutor) { [weak self, loop] in
            try? await loop.sleep(for: .nanoseconds(Int64(wait)))
            self?.connectAgain()
        }
    }

    private func connectAgain() {
        // While the server stops, who has a question connects.
        if ServerLoop.current != nil, !isDraining { connect() }
    }

    // MARK: the end

    private var isDraining = false

    func drain() {
        isDraining = true
        closeIfDraining()
    }

    /// A loop that stops does not end before its connections.
    private func closeIfDraining() {
        guard isDraining || isRetired || channel?.isDraining == true, phase == .open, client.requestsInFlight == 0, waiting.isEmpty else { return }
        channel?.close()
        (channel, phase) = (nil, .down)
        _ = client.disconnected()
        retryAt = 0
        if isReady { server.lost(index, wasConnected: true, "", again: nil) }
        isReady = false
    }

    /// No new questions come; those that there are get their answers.
    func retire() {
        isRetired = true
        if phase == .connecting {
            channel?.close()
            ended("")
        }
        closeIfDraining()
    }
}

extension RedisServer.Trouble {
    init(_ failure: RedisClient.Failure) {
        self =
            switch failure {
            case .timeout: .timeout
            case .disconnected: .disconnected
            case .refused: .refused
            case .unexpectedReply: .unexpected
            }
    }
}
