// Responder: who answers a request after its handler has returned, by calls on the loop and without a task: a proxy that waits for another server. The seam between the loop
// and such code; it knows none of it. The loop's thread.
//
// A request that is left to a responder waits as one with an async handler does: in the machine's state `handling`, its connection's further input held back, its client
// watched. The response that middleware has begun (fields, steps, values) goes with it, and comes back to be finished:
//
//   handler ── Response.leave(to:) ──▶ begun ── body* ──▶ answer ── relay*, wake* ──▶ endRelay
//                                        └── cancelled: the client has gone, a limit was met, or the loop ends; nothing may be sent any more
//
// Pointers: a responder's memory lives as long as it; links are good for the call that makes them, because a connection's slot stays in place until the end of the turn.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

/// Subclasses answer. One request at a time; it may be used for another when `isFree`.
@safe
package class Responder {
    /// The response under construction, while the handler's call is over and the answer is not given. Empty otherwise; it keeps its memory.
    let state: UnsafeMutablePointer<ResponseState>
    /// Of the request, for the framing of the answer. Its offsets name bytes that are gone.
    fileprivate(set) var head = RequestHead()
    /// The connection, or stream, that waits.
    fileprivate var waiting: Handle?
    /// Its head has been written, and content follows by `ResponderLink.relay`.
    fileprivate(set) var isRelaying = false
    /// What the last request of this responder was kept in, for the next one: unless somebody still has it.
    private var lastExchange: Exchange?
    private var lastLogged: LoggedExchange?

    init() {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: ResponseState())
    }

    deinit {
        unsafe state.pointee.destroy()
        unsafe state.deallocate()
    }

    /// An exchange that nobody else has.
    fileprivate final func freshExchange() -> Exchange { Exchange.fresh(&lastExchange) }

    /// The request that `context` lays out, copied.
    fileprivate final func log(_ context: UnsafeMutablePointer<RequestContext>, _ response: UnsafeMutablePointer<ResponseState>, began: UInt64) -> LoggedExchange {
        if isKnownUniquelyReferenced(&lastLogged), let logged = lastLogged {
            unsafe logged.take(context, response, began: began)
            return logged
        }
        let logged = unsafe LoggedExchange(context, response, began: began)
        lastLogged = logged
        return logged
    }

    /// No exchange is left to it.
    final var isFree: Bool { waiting == nil }

    /// The exchange is set up. `link` answers, now or later (`Loop.link`).
    func begun(_ link: ResponderLink) { preconditionFailure("BUG: a responder that does not answer") }

    /// Bytes of the request's body, of a request that is streamed.
    /// - Returns: true: hold the client back until `ResponderLink.resumeBody`.
    func body(_ bytes: UnsafePointer<UInt8>, _ count: Int, isLast: Bool, _ trailers: RequestHeaders, _ link: ResponderLink) -> Bool { false }

    /// There may be room in the output again, or the time of `ResponderLink.wake` has come.
    func wake(_ link: ResponderLink) {}

    /// Nobody waits for the answer any more. Last of all calls, and not made when the answer was complete.
    func cancelled() {}
}

/// A responder's way to the exchange that waits for it.
@safe
struct ResponderLink {
    fileprivate let loop: Unmanaged<Loop>
    let connection: UnsafeMutablePointer<Connection>

    fileprivate init(_ loop: Loop, _ connection: UnsafeMutablePointer<Connection>) {
        unsafe self.loop = .passUnretained(loop)
        unsafe self.connection = unsafe connection
    }

    /// The output is below the size from which more is not worth writing.
    var hasRoom: Bool { unsafe loop._withUnsafeGuaranteedRef { unsafe connection.pointee.machine.hasRoom($0.settings.pointee.policy) } }

    /// Sends what the responder's `state` holds. With content `.relayed` it goes on by `relay` when `isRelaying` says so; otherwise the exchange is over.
    func answer(_ responder: Responder) { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.answer(responder, connection) } }

    /// Sends content behind the head.
    /// - Returns: whether more is worth writing now. Without room it is taken all the same.
    func relay(_ responder: Responder, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        unsafe loop._withUnsafeGuaranteedRef { unsafe $0.relay(responder, connection, bytes, count) }
    }

    /// The content is complete.
    func endRelay(_ responder: Responder, _ trailers: RequestHeaders) {
        unsafe loop._withUnsafeGuaranteedRef { unsafe $0.endRelay(responder, connection, trailers) }
    }

    /// The content cannot be completed: the connection, or stream, is cut, so that the client sees it (RFC 9112 section 8).
    func abort(_ responder: Responder) { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.abort(responder, connection) } }

    /// What a call of gRPC came to, for whoever observes the exchange: behind the head, when trailers say so.
    func note(grpcStatus: UInt8) { unsafe connection.pointee.exchange?.takeUnretainedValue().logged?.grpcStatus = grpcStatus }

    /// Takes more of the request's body.
    func resumeBody() {
        guard unsafe connection.pointee.flags.contains(.bodyPaused) else { return }
        // Not within the call of whoever found room: at the end of this turn.
        unsafe loop._withUnsafeGuaranteedRef { loop in
            unsafe loop.state.pointee.hasWork = true
            unsafe loop.state.pointee.pausedBodies.append(connection.pointee.handle)
        }
    }

    /// Asks for `wake` at that time, ns on the loop's clock, in place of what was asked for before.
    func wake(at time: UInt64) {
        unsafe loop._withUnsafeGuaranteedRef { loop in
            unsafe connection.pointee.producerWakeAt = time
            unsafe loop.armTimer(connection)
        }
    }
}

extension Response {
    /// Leaves the request to `responder`, who is called when the handler has returned.
    func leave(to responder: Responder) {
        unsafe state.pointee.responder = responder
        unsafe state.pointee.hasSpecialContent = true
    }
}

extension Loop {
    /// The handler has left its request to a responder.
    @inline(__always) var isLeft: Bool { unsafe response.pointee.hasSpecialContent && response.pointee.responder != nil }

    /// Leaves the exchange that is laid out with the responder that the handler has chosen.
    func leave(_ connection: UnsafeMutablePointer<Connection>) {
        guard let responder = unsafe response.pointee.responder else { return }
        unsafe response.pointee.responder = nil
        if case .written = unsafe response.pointee.content { unsafe response.pointee.hasSpecialContent = false }
        if unsafe connection.pointee.exchange == nil { unsafe connection.pointee.exchange = unsafe .passRetained(responder.freshExchange()) }
        let exchange = unsafe makeExchange(connection)
        exchange.responder = responder
        responder.waiting = unsafe connection.pointee.handle
        responder.head = unsafe head.pointee
        responder.isRelaying = false
        if unsafe state.pointee.observes { exchange.logged = unsafe responder.log(context, response, began: state.pointee.now) }
        unsafe swap(&responder.state.pointee, &response.pointee)
        // Whoever answers watches the time that it takes.
        unsafe connection.pointee.machine.handlerUntimed()
        unsafe armTimer(connection)
        responder.begun(unsafe ResponderLink(self, connection))
    }

    /// Leaves an exchange whose async handler has chosen so after it had waited. What has come of a body that is streamed goes with it.
    func leaveLate(_ responder: Responder, _ worker: AsyncWorker, _ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) {
        unsafe worker.state.pointee.responder = nil
        if case .written = unsafe worker.state.pointee.content { unsafe worker.state.pointee.hasSpecialContent = false }
        let source = exchange.body
        exchange.body = nil
        exchange.responder = responder
        responder.waiting = unsafe connection.pointee.handle
        responder.head = unsafe worker.head.pointee
        responder.isRelaying = false
        unsafe swap(&responder.state.pointee, &worker.state.pointee)
        unsafe connection.pointee.machine.handlerUntimed()
        unsafe armTimer(connection)
        let link = unsafe ResponderLink(self, connection)
        guard let source, unsafe worker.context.pointee.isStreaming else { return responder.begun(link) }
        guard let (bytes, hasEnded, fields) = source.handOver() else {
            // A part is gone: nothing that anybody else can answer. The programmer's fault, and the client's to see.
            responder.cancelled()
            return unsafe abort(responder, connection)
        }
        responder.begun(link)
        let held = withHeaders(fields) { trailers in
            guard self.link(responder) != nil, !bytes.isEmpty || hasEnded else { return false }
            // SAFETY: the array, with an address of its own for none, is in place during the call.
            return unsafe (bytes + [0]).withUnsafeBufferPointer { unsafe responder.body($0.baseAddress!, bytes.count, isLast: hasEnded, trailers, link) }
        }
        // The handler's source may have held the client back; the responder decides now.
        guard !hasEnded, self.link(responder) != nil else { return }
        if !held { return link.resumeBody() }
        if unsafe !connection.pointee.flags.contains(.bodyPaused) { unsafe pauseBody(connection) }
    }

    /// The way to what waits for a responder; nil when there is nothing any more.
    func link(_ responder: Responder) -> ResponderLink? {
        guard let handle = responder.waiting, let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing),
            unsafe connection.pointee.exchange?.takeUnretainedValue().responder === responder
        else { return nil }
        return unsafe ResponderLink(self, connection)
    }

    /// The exchange of `connection` is over without its answer.
    func cancel(_ responder: Responder) {
        guard responder.waiting != nil else { return }
        release(responder)
        responder.cancelled()
    }

    private func release(_ responder: Responder) {
        (responder.waiting, responder.isRelaying) = (nil, false)
        unsafe responder.state.pointee.begin(isHead: false, streaming: false)
    }

    // MARK: the answer

    fileprivate func answer(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.responder === responder else { return }
        let before = unsafe context.pointee
        unsafe swap(&responder.state.pointee, &response.pointee)
        unsafe head.pointee = responder.head
        unsafe context.pointee.connection = unsafe connection
        if unsafe response.pointee.refusedField { refusedField(of: exchange.logged) }
        let isRelayed = if case .relayed = unsafe response.pointee.content { true } else { false }
        if !isRelayed { unsafe endBody(connection) }
        if unsafe connection.pointee.flags.contains(.stream) {
            unsafe finishStream(connection, 0)
        } else {
            // The body goes on while content is sent: nothing of it is unread.
            let unread = unsafe isRelayed && contentPlan().sendsBody ? 0 : unreadBytes(connection)
            unsafe finishResponse(connection, nil, 0, unread: unread, 0)
        }
        unsafe context.pointee = unsafe before
        // Its content is produced by calls of `relay`.
        if exchange.isRelayed, unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange {
            responder.isRelaying = true
            unsafe state.pointee.relayedTo = unsafe connection
            return
        }
        exchange.responder = nil
        release(responder)
        if unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange {
            if unsafe connection.pointee.tunnel == nil { unsafe connection.pointee.producerWakeAt = .max }
            unsafe dropAnswered(connection, exchange)
        }
    }

    /// What is still to come of the request is nobody's business any more.
    private func endBody(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.body.mode == .stream else { return }
        unsafe connection.pointee.flags.remove(.bodyPaused)
        unsafe connection.pointee.body.mode = .discard
    }

    /// A server is held back when its client has as much output waiting, and goes on when there is room for output again (`KeepAlivePolicy.outputBytesMax`, less): so that what comes
    /// of it in one turn leaves in one send, and the next is received meanwhile.
    static var relayedBytesMax: UInt64 { 256 * 1024 }

    fileprivate func relay(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.responder === responder, exchange.isRelayed else { return true }
        if let encoder = exchange.relayEncoder {
            guard unsafe encodeRelayed(encoder, connection, exchange, bytes, count, .part) else {
                unsafe abort(responder, connection)
                return true
            }
        } else if unsafe !queuePiece(connection, exchange, bytes, count) {
            // Longer than was announced.
            unsafe state.pointee.reporter?.lengthMismatch()
            unsafe abort(responder, connection)
            return true
        }
        if unsafe connection.pointee.flags.contains(.closing) { return true }
        unsafe state.pointee.relayedTo = unsafe connection
        // A stream has its window.
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe connection.pointee.machine.hasRoom(settings.pointee.policy) }
        return unsafe connection.pointee.machine.pendingBytes < max(Self.relayedBytesMax, settings.pointee.policy.outputBytesMax)
    }

    fileprivate func endRelay(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>, _ trailers: RequestHeaders) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.responder === responder, exchange.isRelayed else { return }
        if let encoder = exchange.relayEncoder {
            guard unsafe encodeRelayed(encoder, connection, exchange, nil, 0, .last) else { return unsafe abort(responder, connection) }
            exchange.relayEncoder = nil
            // No memory for the last of it: shed.
            if unsafe connection.pointee.flags.contains(.closing) { return }
        }
        unsafe trailerText.pointee.count = 0
        for index in 0..<trailers.count {
            let (name, value) = (trailers.name(at: index), trailers.value(at: index))
            guard unsafe name.span.withUnsafeBufferPointer({ unsafe $0.count > 0 && !KnownField.lookup($0.baseAddress!, count: $0.count).isForbiddenInTrailers }) else { continue }
            unsafe trailerText.pointee.append(name)
            unsafe trailerText.pointee.append(": ")
            unsafe trailerText.pointee.append(value)
            unsafe trailerText.pointee.append("\r\n")
        }
        exchange.responder = nil
        release(responder)
        unsafe connection.pointee.producerWakeAt = .max
        unsafe endBody(connection)
        unsafe endProduced(connection, exchange)
        if unsafe !connection.pointee.flags.contains(.closing) { unsafe armTimer(connection) }
    }

    /// The content cannot go on, and the responder does not know it.
    func lost(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>) {
        unsafe perform(connection, connection.pointee.machine.abort())
        cancel(responder)
    }

    fileprivate func abort(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.responder === responder else { return }
        exchange.responder = nil
        release(responder)
        unsafe perform(connection, connection.pointee.machine.abort())
    }

    /// There may be room, or the responder's time has come.
    func wake(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.producerWakeAt <= state.pointee.now { unsafe connection.pointee.producerWakeAt = .max }
        responder.wake(unsafe ResponderLink(self, connection))
    }

    func isRelaying(_ connection: UnsafeMutablePointer<Connection>) -> Bool { unsafe connection.pointee.exchange?.takeUnretainedValue().isRelayed ?? false }

    // MARK: bodies

    func body(_ responder: Responder, _ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int, isLast: Bool) -> Bool {
        unsafe responder.body(bytes, count, isLast: isLast, trailerFields, ResponderLink(self, connection))
    }

    /// Reads on where a responder has room again.
    func resumePausedBodies() {
        guard unsafe !state.pointee.pausedBodies.isEmpty else { return }
        let handles = unsafe state.pointee.pausedBodies
        unsafe state.pointee.pausedBodies.removeAll(keepingCapacity: true)
        for handle in handles {
            guard let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing), unsafe connection.pointee.flags.contains(.bodyPaused)
            else { continue }
            unsafe resumeBody(connection)
        }
    }
}
