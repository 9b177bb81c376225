// ProxyExchange: one request that another server answers. Joins the exchange of a client with an exchange of the loop's own client: bytes go from one connection's receive buffer
// to the other's output. Attempts, timeouts and ends are here, what comes of the server in ProxyExchange+Response.swift. The loop's thread.
//
//   free ── forward ──▶ begun ──▶ waiting (for a connection) ──▶ awaiting (a head) ──▶ held (for its content) ──▶ relaying ──▶ free
//                         ▲            │ refused                    │ failed              └─ whole ─▶ free
//                         └── another attempt, if the director wants one and nothing is lost ──┘      └─ switched ─▶ (ProxyTunnel)
//
// Every attempt that was begun (`ProxyDirector.choose`) is told to be over once (`released`), whatever ends it.
//
// Pointers: as in ProxyRequest and Responder; what a server sends is readable during the call that hands it over.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1

@safe
package final class ProxyExchange: Responder {
    enum Phase {
        case free
        /// Between two attempts, or before the first.
        case begun
        case waiting
        case awaiting
        /// The head is here and its content, which is hoped to be whole, is not.
        case held
        case relaying
    }

    package let request = ProxyRequest()
    /// What the gateway knows of this request; released when it is over.
    package var note: AnyObject?
    /// Numbers of the gateway's, 0 when the exchange begins.
    package var marks: (UInt64, UInt64) = (0, 0)
    /// Attempts so far.
    package private(set) var attempts = 0
    /// Servers that were tried, by the director's numbers.
    package private(set) var tried: [Int] = []
    /// When the request was taken up, ns on the loop's clock.
    package private(set) var beganAt: UInt64 = 0
    /// When it is answered 504 at the latest, if no response has begun; `.max`: never.
    package private(set) var deadline: UInt64 = .max
    /// Of the attempt under way: `.max` when there is none.
    package private(set) var server = Int.max

    unowned let loop: Loop
    var director: (any ProxyDirector)?
    var phase = Phase.free
    var connection: ClientConnection?
    private var pool: ClientPool?
    private var attemptBegan: UInt64 = 0
    /// How long each attempt may take to its response's head.
    private var attemptTimeoutNs: UInt64 = .max
    /// The client is held back until there is room towards the server.
    private var holdsBody = false
    /// The body's last byte has come.
    private var bodyEnded = false
    /// Nobody wants the rest of the body.
    var dropsBody = false
    /// A piece of a streamed body has been handed on, and is gone.
    private var bodyIsGone = false
    /// The server is held back until there is room towards the client.
    var holdsServer = false
    /// Length of the content that is awaited with the head.
    var announced: UInt64 = 0
    /// Kept connections that turned out to be closed, one after the other.
    var staleConnections = 0

    /// A free one of this loop.
    package init(on response: borrowing Response) {
        // SAFETY: the loop is the one that runs this, and outlives what its application keeps for it.
        loop = unsafe response.context.pointee.loop._withUnsafeGuaranteedRef { $0 }
    }

    /// That many closed ones are passed over without asking.
    static let staleConnectionsMax = 3
    package var now: UInt64 { unsafe loop.state.pointee.now }
    /// How long the exchange has been under way.
    package var elapsedNs: UInt64 { now &- beganAt }

    // MARK: the client's side

    /// Forwards the request, which `request` holds, when the handler has returned.
    /// - Parameters:
    ///   - timeoutNs: to the head of the response, all attempts together.
    ///   - attemptTimeoutNs: the same for each attempt.
    package func forward(_ response: borrowing Response, by director: any ProxyDirector, timeoutNs: UInt64, attemptTimeoutNs: UInt64) {
        precondition(phase == .free && isFree, "BUG: a proxied exchange is used twice")
        self.director = director
        (attempts, server, staleConnections) = (0, .max, 0)
        tried.removeAll(keepingCapacity: true)
        (holdsBody, bodyEnded, dropsBody, bodyIsGone, holdsServer) = (false, false, false, false, false)
        beganAt = now
        deadline = Self.sum(now, timeoutNs)
        self.attemptTimeoutNs = attemptTimeoutNs
        phase = .begun
        response.leave(to: self)
    }

    private static func sum(_ time: UInt64, _ ns: UInt64) -> UInt64 {
        let (sum, overflow) = time.addingReportingOverflow(ns)
        return overflow ? .max : sum
    }

    override func begun(_ link: ResponderLink) {
        if deadline != .max { link.wake(at: deadline) }
        attempt()
    }

    override func body(_ bytes: UnsafePointer<UInt8>, _ count: Int, isLast: Bool, _ trailers: RequestHeaders, _ link: ResponderLink) -> Bool {
        if isLast { bodyEnded = true }
        guard !dropsBody else { return false }
        switch phase {
        case .free: return false
        case .begun, .waiting:
            // Its first pieces come with the head: they wait for the connection, and the client with them.
            unsafe request.content.pointee.append(bytes, count)
            holdsBody = !isLast
            return holdsBody
        case .awaiting, .held, .relaying:
            guard let connection else { return false }
            bodyIsGone = bodyIsGone || count > 0
            let hasRoom = unsafe connection.sendBody(bytes, count, isChunked: request.framing == .chunked)
            if isLast { connection.endBody(isChunked: request.framing == .chunked) }
            holdsBody = !hasRoom && !isLast
            return holdsBody
        }
    }

    override func wake(_ link: ResponderLink) {
        switch phase {
        case .free: break
        case .relaying:
            guard holdsServer, link.hasRoom else { return }
            holdsServer = false
            connection?.resumeBody()
        case .begun, .waiting, .awaiting, .held:
            let at = min(deadline, attemptDeadline)
            guard now >= at else { return link.wake(at: at) }
            if now >= deadline { return timedOut(link) }
            giveUpAttempt()
            attemptEnded(.failed(.timeout), isSafe: mayRepeat(.sent))
        }
    }

    private var attemptDeadline: UInt64 { server == .max || phase == .held ? .max : Self.sum(attemptBegan, attemptTimeoutNs) }

    private func timedOut(_ link: ResponderLink) {
        let wasTrying = server != .max
        giveUpAttempt()
        if wasTrying { director?.attempted(self, .failed(.timeout), nanoseconds: now &- attemptBegan) }
        release()
        fail(.gatewayTimeout, "the server did not answer in time")
    }

    override func cancelled() {
        guard phase != .free else { return }
        let wasTrying = server != .max && (phase == .waiting || phase == .awaiting)
        giveUpAttempt()
        if wasTrying { director?.attempted(self, .cancelled, nanoseconds: now &- attemptBegan) }
        release()
        finish()
    }

    // MARK: attempts

    private func attempt() {
        guard let director else { return }
        switch director.choose(self) {
        case .answer(let status, let reason): fail(status, reason)
        case .to(let choice):
            (server, attempts, attemptBegan) = (choice.server, attempts + 1, now)
            tried.append(choice.server)
            if attemptTimeoutNs != .max { loop.link(self)?.wake(at: min(deadline, attemptDeadline)) }
            phase = .waiting
            pool = choice.pool
            choice.pool.lease(self)
        }
    }

    /// The server's connection goes, or the place in the line for one.
    private func giveUpAttempt() {
        if phase == .waiting { pool?.withdraw(self) }
        connection?.cancel(self)
        connection = nil
        if phase != .free { phase = .begun }
    }

    /// The attempt's server is done with.
    func release() {
        guard server != .max else { return }
        let released = server
        server = .max
        director?.released(self, server: released)
    }

    /// The request can be sent once more as it was: what is left to ask is whether it should.
    var isWhole: Bool { !bodyIsGone }

    func mayRepeat(_ progress: ClientProgress) -> Bool { progress.mayRetry(isIdempotent: request.method.isIdempotent, canRepeatBody: isWhole) }

    /// Ns since the attempt under way began.
    var sinceAttempt: UInt64 { now &- attemptBegan }
    /// A status of this server's need not be the last word.
    var mayTryElsewhere: Bool { isWhole && now < deadline }

    /// The response that has begun is not the one that the client gets.
    func retryElsewhere() {
        connection?.cancel(self)
        connection = nil
        phase = .begun
        release()
        attempt()
    }

    /// The kept connection had been closed by its server: not the server's failure, and not an attempt.
    func retryStale() {
        staleConnections += 1
        connection = nil
        phase = .waiting
        pool?.lease(self)
    }

    /// An attempt has come to nothing, or to a status that another server may do better than.
    func attemptEnded(_ outcome: ProxyOutcome, isSafe: Bool) {
        guard let director else { return }
        connection = nil
        phase = .begun
        director.attempted(self, outcome, nanoseconds: now &- attemptBegan)
        release()
        guard loop.link(self) != nil else { return }
        if isWhole, now < deadline, director.retries(self, outcome, isSafe: isSafe) { return attempt() }
        switch outcome {
        case .failed(let failure): fail(failure.status, failure.word)
        case .status, .cancelled: break
        }
    }

    /// Answers without a server.
    private func fail(_ status: HTTPStatus, _ reason: StaticString) {
        guard let link = loop.link(self) else { return finish() }
        dropsBody = true
        unsafe state.pointee.status = status
        unsafe state.pointee.fields.append("content-type: application/problem+json\r\n")
        unsafe state.pointee.setFields.insert(.contentType)
        unsafe state.pointee.body.append(#"{"type":"about:blank","title":""#)
        unsafe state.pointee.body.append(status.reasonPhrase)
        unsafe state.pointee.body.append(#"","status":"#)
        unsafe state.pointee.body.appendDecimal(UInt64(status.code))
        unsafe state.pointee.body.append(#","detail":""#)
        unsafe state.pointee.body.append(reason)
        unsafe state.pointee.body.append("\"}\n")
        edit()
        link.answer(self)
        finish()
    }

    /// The gateway's edits of the response.
    func edit() {
        var response = unsafe Response(state, loop.context)
        director?.edit(self, &response)
    }

    /// Nothing is left to do.
    func finish() {
        release()
        (connection, pool) = (nil, nil)
        phase = .free
        let director = director
        self.director = nil
        note = nil
        marks = (0, 0)
        director?.finished(self)
    }
}

// MARK: connections

extension ProxyExchange: ClientWaiter {
    func granted(_ connection: ClientConnection) {
        guard phase == .waiting else { return }
        phase = .awaiting
        self.connection = connection
        guard start(on: connection) else {
            // It has gone between being handed out and now: nothing was sent.
            self.connection = nil
            staleConnections += 1
            return attemptEnded(.failed(.reset), isSafe: true)
        }
        if holdsBody {
            holdsBody = false
            loop.link(self)?.resumeBody()
        }
    }

    func refused(_ error: HTTPClientError) {
        guard phase == .waiting else { return }
        let failure: ProxyFailure =
            switch error.reason {
            case .overloaded: .overloaded
            case .timeout, .connect(ETIMEDOUT): .connectTimeout
            default: .connect
            }
        attemptEnded(.failed(failure), isSafe: true)
    }
}

extension ProxyExchange {
    /// Sends the request, with as much of its content as is here. False when the connection has gone.
    private func start(on connection: ClientConnection) -> Bool {
        let target = unsafe request.target.pointee
        let room = unsafe request.methodName.pointee.count + target.count + request.authority.pointee.count + RequestEncoder.headBytesBeside + request.fields.pointee.count + 2
        var isValid = true
        let head = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let out = buffer.baseAddress else { return }
            let outcome = unsafe RequestEncoder.encodeHead(
                into: out, capacity: room, method: UnsafeBufferPointer(start: request.methodName.pointee.base, count: request.methodName.pointee.count),
                target: UnsafeBufferPointer(start: target.base, count: target.count),
                authority: UnsafeBufferPointer(start: request.authority.pointee.base, count: request.authority.pointee.count), framing: request.framing,
                expectsContinue: false, connection: [])
            guard case .written(let bytes) = outcome else {
                isValid = false
                return
            }
            unsafe memcpy(out + bytes, request.fields.pointee.base, request.fields.pointee.count)
            count = unsafe bytes + request.fields.pointee.count
            unsafe count += ResponseEncoder.endHead(out + count)
        }
        guard isValid else { return false }
        let content = unsafe Array(UnsafeBufferPointer(start: request.content.pointee.base, count: request.content.pointee.count))
        return connection.start(self, method: request.method, head: head, content: content, request.isStreamed ? .body : .whole)
    }
}
