// One connection to Redis, from the client's side: what to say first, requests in flight, their replies in order. Sans-I/O; owned by a loop, which connects, sends and receives.
//
// closed ─connected→ open: AUTH, SELECT are sent, requests behind them ─protocol error, refused login→ broken ─disconnected→ closed
//
// A request that times out is answered to its caller at once; its reply still comes, and is dropped. A script that Redis does not know (NOSCRIPT: it was restarted) is sent whole, behind what is in
// flight.

/// Rate decisions from Redis, pipelined. No allocation after `init`.
@safe
package struct RedisClient: ~Copyable {
    package enum Admission: Equatable, Sendable {
        case sent
        /// No connection: `connected` was not called, or the connection is broken.
        case closed
        /// `pipelineMax` requests are in flight.
        case full
        /// The key is empty or longer than `keyBytesMax`.
        case badKey
        /// The sink had less than `requestBytesMax` left.
        case noRoom
    }

    package enum Failure: Equatable, Sendable {
        case timeout
        /// The connection ended before the reply.
        case disconnected
        /// Redis answered an error: `lastError`.
        case refused
        /// A reply of another form.
        case unexpectedReply
    }

    package enum Event: Equatable, Sendable {
        /// All input is used but for the bytes from `consumed` on.
        case needMore
        /// The sink had less than `requestBytesMax` left: send it, and call again.
        case needRoom
        /// Login and database are accepted.
        case ready
        case decided(token: UInt64, RateDecision)
        /// Of `eval`: the string that it answered, as a range of the call's input; empty for what is no string.
        case answered(token: UInt64, Range<Int>)
        case failed(token: UInt64, Failure)
        /// Close the connection, then `disconnected`.
        case broken(Breakage)
    }

    package enum Breakage: Equatable, Sendable {
        case malformed(RESPParser.Fault)
        /// AUTH or SELECT was answered by an error: `lastError`.
        case loginRefused
        /// A reply that nothing had asked for.
        case unasked
    }

    enum Phase: Equatable { case closed, opening, open, broken }

    /// Keys are short: a prefix, a policy's name, 32 digits of a hash.
    package static var keyBytesMax: Int { 128 }
    /// The longest request: EVAL with the whole script.
    package static var requestBytesMax: Int { RedisRateScript.source.utf8CodeUnitCount + keyBytesMax + 7 * RESPEncoder.partOverheadMax + 3 * 20 + 32 }
    /// Timeouts in a row after which the connection is given up (`isStalled`): one slow script stops all that stand behind it.
    package static var stallAfter: Int { 16 }

    private let login: RedisLogin
    private let timeout: UInt64
    private var parser = RESPParser()
    private var phase = Phase.closed
    private var inFlight: PendingReplies
    private var reply = RedisReply()
    private var error = InlineArray<128, UInt8>(repeating: 0)
    private var errorCount = 0
    private var timeoutsInRow = 0

    /// - Parameters:
    ///   - timeout: ns from request to reply.
    ///   - pipelineMax: requests in flight, rounded up to a power of two; 192 bytes each.
    package init(login: RedisLogin = RedisLogin(), timeout: UInt64, pipelineMax: Int = 256) {
        self.login = login
        self.timeout = timeout
        inFlight = PendingReplies(capacity: pipelineMax)
    }

    package var requestsInFlight: Int { inFlight.count }
    package var isOpen: Bool { phase == .open || phase == .opening }
    /// Nothing has come back for `stallAfter` requests: close the connection and begin anew.
    package var isStalled: Bool { timeoutsInRow >= Self.stallAfter }
    /// What Redis said in its last error, at most 128 bytes of it.
    package var lastError: String {
        String(decoding: (0..<errorCount).map { error[$0] }, as: UTF8.self)
    }

    // MARK: The connection

    /// The connection stands. Writes login and database; requests may follow at once.
    ///
    /// - Parameter sink: `RedisLogin.bytesMax` of room at least, else the programmer's mistake.
    package mutating func connected(now: UInt64, to sink: inout ByteSink) {
        precondition(phase == .closed, "BUG: a connection is opened once")
        parser = RESPParser()
        timeoutsInRow = 0
        phase = .opening
        let commands = login.write(to: &sink)
        precondition(!sink.isTruncated, "BUG: the login needs RedisLogin.bytesMax of room")
        for _ in 0..<commands { inFlight.append(PendingReply(kind: .login, deadline: now &+ timeout)) }
        if commands == 0 { phase = .open }
    }

    /// The connection has ended, by whomever. Answers one of those who wait for replies; call until nil.
    package mutating func disconnected() -> UInt64? {
        phase = .closed
        reply = RedisReply()
        while let pending = inFlight.popFirst() {
            if pending.isAwaited { return pending.token }
        }
        return nil
    }

    // MARK: Requests

    /// Asks whether `key` may have `cost` tokens. The answer comes as an event with this token.
    package mutating func check(_ key: Span<UInt8>, _ policy: RatePolicy, cost: UInt64 = 1, token: UInt64, now: UInt64, to sink: inout ByteSink) -> Admission {
        guard isOpen else { return .closed }
        guard !key.isEmpty, key.count <= Self.keyBytesMax else { return .badKey }
        guard !inFlight.isFull else { return .full }
        guard sink.remaining >= Self.requestBytesMax, !sink.isTruncated else { return .noRoom }
        var pending = PendingReply(kind: .script, deadline: now &+ timeout)
        pending.token = token
        pending.setKey(key)
        (pending.interval, pending.burst, pending.cost) = (RedisRateScript.intervalMicroseconds(policy), policy.burst, cost)
        pending.write(isWhole: false, to: &sink)
        inFlight.append(pending)
        return .sent
    }

    /// Runs a script that answers a string. The answer comes as an event with this token. For what is rare: the whole script is sent each time.
    ///
    /// - Parameters:
    ///   - keys: how many of the words are keys; they come first.
    ///   - sink: with `evalBytes` of room.
    package mutating func eval(_ script: StaticString, keys: Int, words: [[UInt8]], token: UInt64, now: UInt64, to sink: inout ByteSink) -> Admission {
        guard isOpen else { return .closed }
        guard !inFlight.isFull else { return .full }
        guard sink.remaining >= Self.evalBytes(script, words), !sink.isTruncated else { return .noRoom }
        RESPEncoder.begin(parts: 3 + words.count, to: &sink)
        RESPEncoder.part("EVAL", to: &sink)
        RESPEncoder.part(script, to: &sink)
        RESPEncoder.part(UInt64(clamping: keys), to: &sink)
        for word in words { RESPEncoder.part(word.span, to: &sink) }
        var pending = PendingReply(kind: .words, deadline: now &+ timeout)
        pending.token = token
        inFlight.append(pending)
        return .sent
    }

    /// Most bytes that `eval` writes.
    package static func evalBytes(_ script: StaticString, _ words: [[UInt8]]) -> Int {
        words.reduce(script.utf8CodeUnitCount + 64) { $0 + $1.count } + (3 + words.count) * RESPEncoder.partOverheadMax
    }

    /// When `expire` has something to do; `.max`: never.
    package var nextDeadline: UInt64 { inFlight.nextDeadline }

    /// Answers one of those whose time is up; call until nil. (A request that was sent a second time stands behind later ones, and is told when these are.)
    package mutating func expire(now: UInt64) -> UInt64? {
        while let pending = inFlight.abandonFirst(at: now) {
            timeoutsInRow += 1
            if pending.kind != .login { return pending.token }
            // Whoever does not answer a login answers nothing.
            timeoutsInRow = Self.stallAfter
        }
        return nil
    }

    // MARK: Replies

    /// The next event of `input`, and how many bytes of it are done with. Call again with the rest until it needs more.
    ///
    /// - Parameter sink: for what is to be sent: a script that Redis has forgotten.
    package mutating func receive(_ input: Span<UInt8>, to sink: inout ByteSink) -> (event: Event, consumed: Int) {
        var at = 0
        while true {
            guard isOpen else { return (.needMore, input.count) }
            if at == input.count { return (.needMore, at) }
            guard sink.remaining >= Self.requestBytesMax, !sink.isTruncated else { return (.needRoom, at) }
            let rest = input.extracting(at..<input.count)
            switch parser.next(rest) {
            case .needMore: return (.needMore, at)
            case .malformed(let fault): return (fail(.malformed(fault)), at)
            case .token(let token, let isLast, let consumed):
                var text = 0..<0
                if reply.isEmpty, case .bulk(let range) = token { text = at + range.lowerBound..<at + range.upperBound }
                note(token, rest)
                at += consumed
                guard isLast else { continue }
                if let event = finish(text, &sink) { return (event, at) }
            }
        }
    }

    private mutating func fail(_ breakage: Breakage) -> Event {
        phase = .broken
        return .broken(breakage)
    }

    private mutating func note(_ token: RESPParser.Token, _ input: Span<UInt8>) {
        if case .error(let range) = token, reply.isEmpty {
            errorCount = min(range.count, 128)
            for place in 0..<errorCount { error[place] = input[range.lowerBound + place] }
        }
        reply.note(token)
    }

    /// A reply is complete.
    private mutating func finish(_ text: Range<Int>, _ sink: inout ByteSink) -> Event? {
        let reply = reply
        self.reply = RedisReply()
        if reply.isPush { return nil }
        timeoutsInRow = 0
        guard let pending = inFlight.popFirst() else { return fail(.unasked) }
        switch pending.kind {
        case .login: return finishLogin(reply)
        case .script, .wholeScript: return finishScript(reply, pending, &sink)
        case .words:
            guard pending.isAwaited else { return nil }
            return reply.isError ? .failed(token: pending.token, .refused) : .answered(token: pending.token, text)
        }
    }

    private mutating func finishLogin(_ reply: RedisReply) -> Event? {
        if reply.isError { return fail(.loginRefused) }
        guard !inFlight.hasLogin else { return nil }
        phase = .open
        return .ready
    }

    private mutating func finishScript(_ reply: RedisReply, _ pending: PendingReply, _ sink: inout ByteSink) -> Event? {
        if reply.isError, pending.kind == .script, errorBegins(with: "NOSCRIPT") {
            // Who has given up is not asked for again.
            guard pending.isAwaited else { return nil }
            var again = pending
            again.kind = .wholeScript
            again.write(isWhole: true, to: &sink)
            inFlight.append(again)
            return nil
        }
        guard pending.isAwaited else { return nil }
        if reply.isError { return .failed(token: pending.token, .refused) }
        guard let decision = reply.decision(burst: pending.burst) else { return .failed(token: pending.token, .unexpectedReply) }
        return .decided(token: pending.token, decision)
    }

    private func errorBegins(with word: StaticString) -> Bool {
        guard errorCount >= word.utf8CodeUnitCount else { return false }
        // SAFETY: a literal, read within its length.
        for place in 0..<word.utf8CodeUnitCount where unsafe error[place] != word.utf8Start[place] { return false }
        return true
    }
}
