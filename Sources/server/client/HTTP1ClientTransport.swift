// HTTP1ClientTransport: an HTTP/1.1 connection of ours to a server. It joins the bytes of an outgoing connection with the client's exchange machine and parser, and tells the
// consumer of the exchange under way what comes. +Request, +Response. The loop's thread.
//
// Pointers: bytes that the loop hands over are good for that call; heads and slots of the loop's clients live as long as these.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing
internal import UringTLS

final class HTTP1ClientTransport: ClientConnection, @unchecked Sendable {
    var machine: ClientExchangeMachine
    var reader: ResponseBodyReader?
    var method = HTTPMethod.get
    /// Of the request under way; and what is left of a counted body.
    var isChunked = false
    var bodyLeft: UInt64 = 0
    /// Bytes of the head under way that were searched already.
    var scanned = 0
    var isPaused = false
    /// What waited for the server when the write clock began.
    var heldBack: UInt64 = 0
    /// Whose response is awaited or read.
    var consumer: (any ClientConsumer)?
    /// Of the exchange under way, or the last one.
    var exchange: UInt64 = 0

    override init(_ pool: ClientPool, _ handle: Handle) {
        machine = ClientExchangeMachine(connectedAt: unsafe pool.clients.loop.state.pointee.now, pool.policy)
        super.init(pool, handle)
    }

    var policy: ClientPolicy { pool.policy }
    override var isIdle: Bool { machine.isIdle && granted == 0 }
    override var room: Int { machine.isIdle && granted == 0 && !isRetiring ? 1 : 0 }

    // What overrides is here, for extensions cannot; what it does is in these.
    override func start(_ consumer: any ClientConsumer, _ head: ClientRequestHead, fields: (inout ClientFieldWriter) -> Void) -> ClientStart {
        unsafe startExchange(consumer, head, fields)
    }
    override func sendBody(_ number: UInt64, _ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Bool { unsafe sendPart(number, bytes, isLast: isLast) }
    override func endBody(_ number: UInt64) { end(number) }
    override func endBody(_ number: UInt64, trailers: (inout ClientFieldWriter) -> Void) { end(number, trailers: trailers) }
    override func resumeBody(_ number: UInt64) { resume(number) }
    override func cancel(_ number: UInt64) { giveUp(number) }
    override func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int { unsafe receive(bytes, count, link) }
    override func inputEnded(_ link: TunnelLink) { receiveEnd(link) }
    override func roomAgain(_ link: TunnelLink) {
        machine.outputFlows()
        consumer?.maySend()
    }

    // MARK: the life of the connection

    override func opened(_ link: TunnelLink) {
        link.wake(at: .max)
        arm(link)
    }

    override func securityFailed(_ failure: TLSFailure) {
        step(machine.transportFailed(), nil)
        leave()
    }

    override func closed(_ link: TunnelLink) {
        step(machine.transportFailed(), nil)
        leave()
    }

    override func timer(_ link: TunnelLink) {
        // Slow is not late: it has taken some of what waited.
        if machine.isWriteLate(now: now), link.pendingBytes < heldBack { holdBack(link) }
        switch machine.timer(now: now, policy) {
        case .unarmed: break
        case .rearm(let at): link.wake(at: at)
        case .expired(_, let next):
            step(next, link)
            arm(link)
        }
    }

    /// The server takes less than there is to send: its clock runs.
    func holdBack(_ link: TunnelLink) {
        heldBack = link.pendingBytes
        machine.outputHeldBack(now: now, policy)
    }

    /// Behind whatever may have begun a clock. Not when the connection has become somebody else's.
    func arm(_ link: TunnelLink) {
        guard handle != nil, link.isOpen, let at = machine.deadlineToArm() else { return }
        link.wake(at: at)
    }

    override func retire() {
        isRetiring = true
        step(machine.retire(), link)
    }

    func step(_ step: ClientStep, _ link: TunnelLink?) {
        switch step {
        case .wait, .tunnel: break
        case .sendBody: consumer?.maySend()
        case .stopSending: consumer?.stopSending()
        case .reuse: pool.hasRoom(self)
        case .close: if let link { close(link) }
        case .fail(let failure): fail(ClientExchangeFailure(failure), link)
        }
    }

    func fail(_ failure: ClientExchangeFailure, _ link: TunnelLink?) {
        let failed = consumer
        (consumer, reader) = (nil, nil)
        if let link { close(link) }
        // Told when the pool has a place again.
        failed?.failed(failure)
    }

    func close(_ link: TunnelLink) {
        guard link.isOpen else { return }
        link.close()
        leave()
    }
}
