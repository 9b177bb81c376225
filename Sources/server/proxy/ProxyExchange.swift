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
    /// Of a request that is traced.
    package var span = ProxySpan()
    /// Attempts so far.
    package private(set) var attempts = 0
    /// Servers that were tried, by the director's numbers.
    package private(set) var tried: [Int] = []
    /// When the request was taken up, ns on the loop's clock.
    package private(set) var beganAt: UInt64 = 0
    /// When it is answered 504 at the latest, if no response has begun; `.max`: never.
    package private(set) var deadline: UInt64 = .max
    /// When the whole must be over, the response's end included; `.max`: never.
    package private(set) var abortsAt: UInt64 = .max
    /// The client gives it less time than this server would: when that is over nobody else is at fault.
    package private(set) var hasClientsTime = false
    /// Of the attempt under way: `.max` when there is none.
    package private(set) var server = Int.max

    /// The director's, who may find it by that.
    package var place = 0
    /// Why the last attempt failed, in words; nil when there are no more than its outcome has.
    package internal(set) var fault: HTTPClientError?

    /// It outlives what its application keeps for it, so nothing is counted.
    private unowned(unsafe) let itsLoop: Loop
    var loop: Loop { unsafe itsLoop }
    var director: (any ProxyDirector)?
    var phase = Phase.free
    /// With the server that has been asked.
    var exchange: ClientRequestHandle?
    private var pool: ClientPool?
    /// When the next attempt begins; `.max`: none waits.
    private var retryAt: UInt64 = .max
    /// Of the place in the pool's line.
    private var ticket: UInt64 = 0
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
        unsafe itsLoop = unsafe response.context.pointee.loop._withUnsafeGuaranteedRef { $0 }
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
    ///   - wholeTimeoutNs: to the end of the response, which is cut then; `.max`: none.
    ///   - clientsTimeNs: the same, as the client wants it; `.max`: it has not said.
    ///   - since: when the last two began, ns on the loop's clock; 0: now.
    package func forward(
        _ response: borrowing Response, by director: any ProxyDirector, timeoutNs: UInt64, attemptTimeoutNs: UInt64, wholeTimeoutNs: UInt64 = .max, clientsTimeNs: UInt64 = .max,
        since: UInt64 = 0
    ) {
        precondition(phase == .free && isFree, "BUG: a proxied exchange is used twice")
        self.director = director
        (attempts, server, staleConnections) = (0, .max, 0)
        tried.removeAll(keepingCapacity: true)
        (holdsBody, bodyEnded, dropsBody, bodyIsGone, holdsServer) = (false, false, false, false, false)
        retryAt = .max
        beganAt = now
        abortsAt = Self.sum(since == 0 ? now : since, min(wholeTimeoutNs, clientsTimeNs))
        hasClientsTime = clientsTimeNs < wholeTimeoutNs && abortsAt <= Self.sum(now, timeoutNs)
        deadline = min(Self.sum(now, timeoutNs), abortsAt)
        self.attemptTimeoutNs = attemptTimeoutNs
        phase = .begun
        response.leave(to: self)
    }

    /// Another director decides about further attempts, with numbers of its own for servers. Between two attempts.
    package func changeDirector(_ director: any ProxyDirector) {
        precondition(server == .max, "BUG: an attempt's director is replaced")
        self.director = director
        tried.removeAll(keepingCapacity: true)
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
            guard let exchange else { return false }
            bodyIsGone = bodyIsGone || count > 0
            let endsWithTrailers = isLast && trailers.count > 0
            let hasRoom = unsafe exchange.sendBody(UnsafeRawBufferPointer(start: bytes, count: count), isLast: isLast && !endsWithTrailers)
            if endsWithTrailers {
                exchange.endBody { writer in for index in 0..<trailers.count { writer.add(trailers.name(at: index), trailers.value(at: index)) } }
            }
            holdsBody = !hasRoom && !isLast
            return holdsBody
        }
    }

    override func wake(_ link: ResponderLink) {
        switch phase {
        case .free: break
        case .relaying:
            if now >= abortsAt { return cutShort(link) }
            guard holdsServer, link.hasRoom else { return }
            holdsServer = false
            exchange?.resumeBody()
        case .held:
            // Its head is here, and its content is late: what there is goes to the client, and the rest as it comes.
            guard now >= deadline else { return link.wake(at: deadline) }
            beginRelay(announced)
        case .begun, .waiting, .awaiting:
            let at = min(deadline, attemptDeadline, retryAt)
            guard now >= at else { return link.wake(at: at) }
            if now >= deadline { return timedOut(link) }
            if now >= retryAt {
                if deadline != .max { link.wake(at: deadline) }
                return attempt()
            }
            giveUpAttempt()
            attemptEnded(.failed(.timeout), .sent)
        }
    }

    private var attemptDeadline: UInt64 { server == .max || phase == .held ? .max : Self.sum(attemptBegan, attemptTimeoutNs) }

    private func timedOut(_ link: ResponderLink) {
        let (wasTrying, isSent) = (server != .max, phase == .awaiting)
        giveUpAttempt()
        // The server is not to blame for what it never got, nor for the time of a client.
        if wasTrying { director?.attempted(self, isSent && !hasClientsTime ? .failed(.timeout) : .cancelled, nanoseconds: now &- attemptBegan) }
        if !isSent { director?.expired(self) }
        release()
        fail(.gatewayTimeout, "the server did not answer in time", .deadlineExceeded)
    }

    /// Its server is out of use for good: the client is told, or sees its response break off. Nothing when no attempt is under way.
    package func cut() {
        guard server != .max else { return }
        // A head that is here has been written for the client already.
        guard phase == .relaying || phase == .held else {
            giveUpAttempt()
            release()
            return fail(.serviceUnavailable, "the server is no longer in use")
        }
        if let link = loop.link(self) { return cutShort(link) }
        giveUpAttempt()
        finish()
    }

    /// The client has a part of the response already: that its connection, or stream, ends without an end of the content tells it so.
    private func cutShort(_ link: ResponderLink) {
        giveUpAttempt()
        link.abort(self)
        finish()
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
        if now >= deadline, let link = loop.link(self) { return timedOut(link) }
        (retryAt, fault) = (.max, nil)
        switch director.choose(self) {
        case .answer(let status, let reason): fail(status, reason)
        case .to(let choice):
            (server, attempts, attemptBegan) = (choice.server, attempts + 1, now)
            tried.append(choice.server)
            if attemptTimeoutNs != .max { loop.link(self)?.wake(at: min(deadline, attemptDeadline)) }
            phase = .waiting
            pool = choice.pool
            join(choice.pool)
        }
    }

    /// Asks for a connection, which may be there at once.
    private func join(_ pool: ClientPool) {
        ticket = 0
        let ticket = pool.acquire(self)
        if phase == .waiting { self.ticket = ticket }
    }

    /// The client's request is at fault.
    private func refuseRequest() {
        release()
        fail(.badRequest, "the request cannot be forwarded")
    }

    /// The server's connection goes, or the place in the line for one.
    private func giveUpAttempt() {
        if phase == .waiting { pool?.cancel(ticket) }
        exchange?.cancel()
        exchange = nil
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

    /// Ns since the attempt under way began.
    var sinceAttempt: UInt64 { now &- attemptBegan }
    /// A status of this server's need not be the last word.
    var mayTryElsewhere: Bool { isWhole && now < deadline }

    /// The response that has begun is not the one that the client gets.
    func retryElsewhere(_ at: UInt64) {
        exchange?.cancel()
        exchange = nil
        phase = .begun
        release()
        attempt(at: at)
    }

    /// The next attempt begins then.
    private func attempt(at time: UInt64) {
        guard time > now else { return attempt() }
        retryAt = time
        loop.link(self)?.wake(at: min(deadline, time))
    }

    /// The kept connection had been closed by its server: not the server's failure, and not an attempt.
    func retryStale() {
        staleConnections += 1
        exchange = nil
        phase = .waiting
        if let pool { join(pool) }
    }

    /// An attempt has come to nothing, or to a status that another server may do better than.
    func attemptEnded(_ outcome: ProxyOutcome, _ progress: ProxyProgress) {
        guard let director else { return }
        exchange = nil
        phase = .begun
        director.attempted(self, outcome, nanoseconds: now &- attemptBegan)
        release()
        guard loop.link(self) != nil else { return }
        if mayTryElsewhere, let at = director.retry(self, outcome, progress) { return attempt(at: at) }
        switch outcome {
        case .failed(let failure): fail(failure.status, failure.word, failure == .timeout ? .deadlineExceeded : nil)
        case .status, .cancelled: preconditionFailure("BUG: a response that came is not failed")
        }
    }

    /// Answers without a server.
    /// - Parameter code: what a client of gRPC is told; nil: what the status means to it.
    private func fail(_ status: HTTPStatus, _ reason: StaticString, _ code: GRPC.Code? = nil) {
        guard let link = loop.link(self) else { return finish() }
        dropsBody = true
        unsafe state.pointee.status = status
        if request.isGRPC { writeGRPC(code ?? GRPC.code(for: status), reason) } else { writeProblem(status, reason) }
        edit()
        // A client of gRPC reads the field; the status is for whoever counts failures here.
        if request.isGRPC { unsafe state.pointee.status = .ok }
        link.answer(self)
        finish()
    }

    /// A response of trailers alone (gRPC over HTTP/2, "Responses").
    private func writeGRPC(_ code: GRPC.Code, _ reason: StaticString) {
        unsafe state.pointee.grpcStatus = code.rawValue
        unsafe state.pointee.fields.append("content-type: application/grpc\r\ngrpc-status: ")
        unsafe state.pointee.fields.appendDecimal(UInt64(code.rawValue))
        unsafe state.pointee.fields.append("\r\ngrpc-message: ")
        unsafe state.pointee.fields.append(reason)
        unsafe state.pointee.fields.append("\r\n")
        unsafe state.pointee.setFields.insert(.contentType)
    }

    private func writeProblem(_ status: HTTPStatus, _ reason: StaticString) {
        unsafe state.pointee.fields.append("content-type: application/problem+json\r\n")
        unsafe state.pointee.setFields.insert(.contentType)
        unsafe state.pointee.body.append(#"{"type":"about:blank","title":""#)
        unsafe state.pointee.body.append(status.reasonPhrase)
        unsafe state.pointee.body.append(#"","status":"#)
        unsafe state.pointee.body.appendDecimal(UInt64(status.code))
        unsafe state.pointee.body.append(#","detail":""#)
        unsafe state.pointee.body.append(reason)
        unsafe state.pointee.body.append("\"}\n")
    }

    /// The gateway's edits of the response.
    func edit() {
        var response = unsafe Response(state, loop.context)
        director?.edit(self, &response)
    }

    /// Nothing is left to do.
    func finish() {
        release()
        (exchange, pool) = (nil, nil)
        phase = .free
        let director = director
        self.director = nil
        fault = nil
        // The director may look at them for the last time.
        director?.finished(self)
        guard phase == .free else { return }
        note = nil
        marks = (0, 0)
        if span.isKept { span = ProxySpan() }
    }
}

// MARK: connections

extension ProxyExchange: ClientWaiter {
    package func granted(_ connection: ClientConnection) {
        guard phase == .waiting else { return connection.giveBack() }
        if now >= deadline, let link = loop.link(self) {
            // Nobody waits any more for what would be sent.
            connection.giveBack()
            phase = .begun
            return timedOut(link)
        }
        if abortsAt != .max { director?.starts(self) }
        phase = .awaiting
        switch start(on: connection) {
        case .started: break
        // Between being handed out and now: nothing was sent.
        case .gone: return staleConnections < Self.staleConnectionsMax ? retryStale() : attemptEnded(.failed(.reset), .nothingSent)
        case .refused:
            // What a client asks for cannot be said to a server, such as a target of a form that fits no method.
            return refuseRequest()
        }
        if holdsBody {
            holdsBody = false
            loop.link(self)?.resumeBody()
        }
    }

    package func refused(_ error: HTTPClientError) {
        guard phase == .waiting else { return }
        fault = error
        let failure: ProxyFailure =
            switch error.reason {
            case .overloaded: .overloaded
            case .timeout, .connect(ETIMEDOUT): .connectTimeout
            default: .connect
            }
        attemptEnded(.failed(failure), .nothingSent)
    }

    /// Sends the request, with as much of its content as is here.
    private func start(on connection: ClientConnection) -> ClientStart {
        func text(_ buffer: UnsafeMutablePointer<GrowingBytes>) -> UnsafeBufferPointer<UInt8> { unsafe UnsafeBufferPointer(start: buffer.pointee.base, count: buffer.pointee.count) }
        // The request's buffers stay as they are during the call.
        var head = unsafe ClientRequestHead(method: text(request.methodName), target: text(request.target), authority: text(request.authority), body: request.framing)
        unsafe (head.asksUpgrade, head.acceptsTrailers, head.fieldBytes) = unsafe (request.asksUpgrade, request.takesTrailers, request.fields.pointee.count)
        let started = unsafe connection.start(self, head) { writer in unsafe writer.add(lines: text(request.fields)) }
        guard case .started(let handle) = started else { return started }
        exchange = handle
        let isLast = !request.isStreamed || bodyEnded
        let content = unsafe text(request.content)
        guard request.framing != .none, request.framing != .length(0) else { return started }
        if content.count > 0 || isLast { unsafe handle.sendBody(UnsafeRawBufferPointer(content), isLast: isLast) }
        return started
    }
}
