// ClientConnection: an HTTP/1.1 connection of ours to a server. It joins the bytes of an outgoing connection with the client's exchange machine and parser, and tells the
// exchange under way what comes. The loop's thread.
//
// Pointers: bytes that the loop hands over are good for that call; heads and slots of the loop's clients live as long as these.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing
internal import UringTLS

/// Who hears of a response. All calls come from the connection that the exchange was started on, within its loop's turn; the last is `ended` or `failed`.
protocol ClientConsumer: AnyObject {
    /// The response's final head. Views are good for this call.
    func head(_ head: ResponseHead, _ fields: RequestHeaders)
    /// Bytes of its body. True: hold the server back until `ClientConnection.resumeBody`.
    func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool
    /// The response is complete.
    func ended(_ trailers: RequestHeaders)
    func failed(_ failure: ClientFailure)
    /// The body of the request may be sent: now, or anew after there was no room.
    func maySend()
    /// The server does not want the rest of the request.
    func stopSending()
}

/// Its loop's thread alone calls it; it is Sendable so that tasks of that loop can be handed one.
final class ClientConnection: OutgoingTunnel, @unchecked Sendable {
    let pool: ClientPool
    private let clients: LoopClients
    private(set) var machine: ClientExchangeMachine?
    private var reader: ResponseBodyReader?
    private var method = HTTPMethod.get
    /// Bytes of the head under way that were searched already.
    private var scanned = 0
    private var isPaused = false
    /// Whose response is awaited or read.
    private var consumer: (any ClientConsumer)?
    /// The connection's slot in its loop.
    var handle: Handle?
    let connectDeadline: UInt64
    let address: SocketAddress

    let security: OutgoingSecurity?

    init(_ pool: ClientPool, _ address: SocketAddress, _ security: OutgoingSecurity?, connectDeadline: UInt64) {
        (self.pool, clients, self.address, self.connectDeadline) = (pool, pool.clients, address, connectDeadline)
        self.security = security
    }

    /// The pool has been told that it is over.
    private var hasLeft = false
    private var link: TunnelLink? { handle.flatMap { clients.loop.tunnelLink($0) } }
    private var now: UInt64 { unsafe clients.loop.state.pointee.now }
    private var policy: ClientPolicy { pool.policy }
    var isIdle: Bool { machine?.isIdle ?? false }

    // MARK: the life of the connection

    func opened(_ link: TunnelLink) {
        machine = ClientExchangeMachine(connectedAt: now, policy)
        link.wake(at: .max)
        pool.connected(self)
        arm(link)
    }

    func connectFailed(_ code: Int32) { pool.connectFailed(self, code) }

    func securityFailed(_ failure: TLSFailure) {
        guard machine != nil else { return pool.securityFailed(self, failure) }
        step(machine!.transportFailed(), nil)
        leave()
    }

    func closed(_ link: TunnelLink) {
        guard machine != nil else { return pool.connectFailed(self, ECONNRESET) }
        step(machine!.transportFailed(), nil)
        leave()
    }

    func drain(_ link: TunnelLink) {
        guard machine != nil else { return }
        step(machine!.retire(), link)
    }

    func take(_ order: any TunnelOrder, _ link: TunnelLink) {}

    func timer(_ link: TunnelLink) {
        guard machine != nil else {
            if now >= connectDeadline {
                link.close()
                pool.connectFailed(self, ETIMEDOUT)
            } else {
                link.wake(at: connectDeadline)
            }
            return
        }
        switch machine!.timer(now: now, policy) {
        case .unarmed: break
        case .rearm(let at): link.wake(at: at)
        case .expired(_, let next):
            step(next, link)
            arm(link)
        }
    }

    private func arm(_ link: TunnelLink) {
        guard link.isOpen, let at = machine?.deadlineToArm() else { return }
        link.wake(at: at)
    }

    // MARK: the request

    /// Starts an exchange on a connection that is idle.
    /// - Parameters:
    ///   - head: of the request, whole.
    ///   - content: sent with it.
    ///   - request: whether a body follows in pieces.
    /// - Returns: false when the connection has gone meanwhile: nothing was sent.
    func start(_ consumer: any ClientConsumer, method: HTTPMethod, head: [UInt8], content: [UInt8], _ request: ClientExchangeMachine.Request) -> Bool {
        guard isIdle, let link else { return false }
        machine!.requestStarted(request, now: now, policy)
        (self.consumer, self.method, reader, scanned) = (consumer, method, nil, 0)
        guard send(head, link), send(content, link) else { return false }
        arm(link)
        return true
    }

    /// Queues bytes. What was queued counts as sent: it leaves in this turn, and a server may have acted on it.
    private func send(_ bytes: [UInt8], _ link: TunnelLink) -> Bool {
        var done = 0
        // In pieces: memory for output comes in these sizes.
        while done < bytes.count {
            let count = min(bytes.count - done, 64 * 1024)
            guard let out = unsafe link.reserve(count) else { return false }
            unsafe bytes.withUnsafeBufferPointer { unsafe out.update(from: $0.baseAddress! + done, count: count) }
            link.commit(count)
            done += count
        }
        machine!.outputQueued(UInt64(bytes.count), now: now, policy)
        step(machine!.outputSent(UInt64(bytes.count), now: now, policy), link)
        return true
    }

    /// Sends a piece of the request's body.
    /// - Returns: whether there is room for more now; `maySend` tells when there is again.
    func sendBody(_ bytes: [UInt8], isChunked: Bool) -> Bool {
        guard let link, machine?.maySendBody ?? false else { return false }
        guard !bytes.isEmpty else { return true }
        var piece = bytes
        if isChunked {
            // At most 16 digits and CRLF (ResponseEncoder).
            var header = [UInt8](repeating: 0, count: 20)
            let count = unsafe header.withUnsafeMutableBufferPointer { unsafe ResponseEncoder.writeChunkHeader(size: UInt64(bytes.count), to: $0.baseAddress!) }
            piece = header.prefix(count) + bytes + [13, 10]
        }
        guard send(piece, link) else { return false }
        arm(link)
        if link.hasRoom { return true }
        link.tellWhenRoom()
        return false
    }

    /// The request's body is complete.
    func endBody(isChunked: Bool) {
        guard let link, machine?.maySendBody ?? false else { return }
        if isChunked { guard send(Array("0\r\n\r\n".utf8), link) else { return } }
        machine!.requestEnded(now: now, policy)
        arm(link)
    }

    func roomAgain(_ link: TunnelLink) { consumer?.maySend() }

    // MARK: the response

    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        guard machine != nil else { return count }
        step(machine!.received(now: now, policy), link)
        var at = 0
        while link.isOpen, consumer != nil, !isPaused {
            if reader == nil {
                guard count > at, let used = unsafe receiveHead(bytes + at, count - at, link) else { break }
                at += used
            } else {
                guard let used = unsafe receiveBody(bytes + at, count - at, link) else { break }
                at += used
            }
        }
        arm(link)
        // Nobody waits for what is left, unless it is the beginning of more.
        return consumer == nil && link.isOpen ? count : at
    }

    /// nil: more is needed.
    private func receiveHead(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int? {
        let (head, fields) = unsafe (clients.head, clients.fields)
        switch unsafe ResponseParser.parse(
            bytes, count: count, alreadyScanned: scanned, method: method, head: head, fields: fields, fieldCapacity: LoopClients.fieldsMax, limits: pool.limits)
        {
        case .needMore:
            scanned = count
            return nil
        case .malformed(let fault):
            step(machine!.responseFault(fault), link)
            return nil
        case .complete:
            scanned = 0
            let next = unsafe machine!.responseHead(head.pointee, now: now, policy)
            if unsafe !head.pointee.isInterim, next != .tunnel {
                if case .fail = next {} else {
                    reader = unsafe ResponseBodyReader(head.pointee.framing, bodyBytesMax: pool.bodyBytesMax)
                    unsafe consumer?.head(head.pointee, RequestHeaders(bytes, fields, count: head.pointee.fieldCount))
                }
            }
            step(next, link)
            return unsafe head.pointee.headLength
        }
    }

    /// nil: more is needed, or the consumer wants no more for now.
    private func receiveBody(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int? {
        switch unsafe reader!.next(bytes, count: count, trailers: clients.trailers, trailerCapacity: LoopClients.trailersMax) {
        case .data(let start, let length):
            if unsafe consumer?.body(bytes + start, length) ?? false { pause(link) }
            return start + length
        case .needMore(let consumed):
            return consumed > 0 ? consumed : nil
        case .end(let consumed, let trailerCount):
            reader = nil
            let ended = consumer
            consumer = nil
            // Told before the connection is somebody else's.
            unsafe ended?.ended(RequestHeaders(bytes, clients.trailers, count: trailerCount))
            step(machine!.responseEnded(hasMore: consumed < count, now: now, policy), link)
            return consumed
        case .malformed(let fault):
            step(machine!.responseFault(fault), link)
            return nil
        }
    }

    private func pause(_ link: TunnelLink) {
        isPaused = true
        machine!.bodyPaused()
        link.pause()
    }

    /// The consumer takes bytes again.
    func resumeBody() {
        guard isPaused, let link else { return }
        isPaused = false
        machine!.bodyResumed(now: now, policy)
        link.resume()
        arm(link)
    }

    func inputEnded(_ link: TunnelLink) {
        guard machine != nil else { return }
        let end = reader?.endOfConnection ?? .truncated
        let next = link.hasEndedInOrder ? machine!.peerEnded(end) : machine!.transportFailed()
        if next == .close, let ended = consumer {
            // A body that ends with the connection.
            (consumer, reader) = (nil, nil)
            unsafe ended.ended(RequestHeaders(UnsafePointer(clients.noBytes), clients.trailers, count: 0))
        }
        step(next, link)
        if link.isOpen { close(link) }
    }

    /// Nobody wants the response any more.
    func cancel(_ canceller: any ClientConsumer) {
        guard consumer === canceller, machine != nil else { return }
        consumer = nil
        guard let link, machine!.cancel() == .close else { return }
        // Not in order: a server takes that for a client that still waits, and works on.
        link.abort()
        leave()
    }

    /// Ends it between two exchanges.
    func retire() {
        guard machine != nil, let link else { return }
        step(machine!.retire(), link)
    }

    // MARK: steps

    private func step(_ step: ClientStep, _ link: TunnelLink?) {
        switch step {
        case .wait: break
        case .sendBody: consumer?.maySend()
        case .stopSending: consumer?.stopSending()
        case .reuse: pool.isFree(self)
        case .close: if let link { close(link) }
        // Nobody asks for other protocols yet (`requestStarted` says so).
        case .tunnel: if let link { close(link) }
        case .fail(let failure):
            let failed = consumer
            (consumer, reader) = (nil, nil)
            failed?.failed(failure)
            if let link { close(link) }
        }
    }

    private func close(_ link: TunnelLink) {
        guard link.isOpen else { return }
        link.close()
        leave()
    }

    private func leave() {
        guard !hasLeft else { return }
        (hasLeft, handle) = (true, nil)
        pool.closed(self)
    }
}
