// From what a handler left to bytes in the output. The loop's thread.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension ResponseState {
    /// Nothing but status, fields and written bytes, below the size from which a body is handed over instead of copied.
    var isPlain: Bool { unsafe !hasSpecialContent && receiver == nil && upgrade == nil && !needsColdFile && !hasSteps && body.count <= Self.copiedBodyMax }
    /// Up to here a second copy is cheaper than a segment of its own and sendmsg.
    static let copiedBodyMax = 32 * 1024
}

extension Loop {
    // MARK: whole responses

    /// Writes head and body of a plain response; answers the bytes written.
    func writeWhole(_ connection: UnsafeMutablePointer<Connection>, _ persistence: KeepAlivePersistence) -> Int {
        if unsafe response.pointee.status.code < 200 { unsafe response.pointee.restart(.internalServerError) }
        let bodyCount = unsafe response.pointee.body.count
        let isNotModified = unsafe response.pointee.status.code == 304
        let plan = unsafe ResponseFraming.plan(
            status: response.pointee.status, method: head.pointee.method, minorVersion: head.pointee.minorVersion,
            length: isNotModified && bodyCount == 0 ? nil : announcedLength(bodyCount))
        let bytes = unsafe writeHead(connection, plan.framing, persistence, following: plan.sendsBody ? bodyCount : 0)
        return bytes &+ (plan.sendsBody ? bodyCount : 0)
    }

    /// What `Content-Length` says: the bytes written, or what the handler of a HEAD request says that GET would send.
    private func announcedLength(_ bodyCount: Int) -> UInt64 {
        guard unsafe response.pointee.setFields.contains(.contentLength) else { return UInt64(bodyCount) }
        let said = unsafe ResponseHeaders(response).removeContentLength()
        return unsafe response.pointee.isHead && bodyCount == 0 ? said ?? 0 : UInt64(bodyCount)
    }

    /// Writes the head, and the first `following` bytes of the written body behind it; answers the head's bytes.
    func writeHead(
        _ connection: UnsafeMutablePointer<Connection>, _ framing: ResponseFraming, _ persistence: KeepAlivePersistence, following: Int
    ) -> Int {
        let serverLine = unsafe settings.pointee.serverLineCount
        let fieldsCount = unsafe response.pointee.fields.count
        let room = ResponseEncoder.headBytesMax &+ serverLine &+ fieldsCount &+ 2 &+ following
        guard let out = unsafe reserve(connection, room) else { return 0 }
        let field: ConnectionHeader =
            unsafe persistence != .keepAlive ? .close : head.pointee.minorVersion == 0 ? .keepAlive : .implicit
        let hasDate = unsafe response.pointee.setFields.contains(.date)
        var at = unsafe ResponseEncoder.encodeHead(
            into: out, capacity: room, status: response.pointee.status, date: hasDate ? nil : UnsafePointer(state.pointee.date),
            framing: framing, connection: response.pointee.upgrade == nil && response.pointee.tunnel == nil ? field : .implicit)!
        if serverLine > 0, unsafe !response.pointee.setFields.contains(.server) {
            unsafe memcpy(out + at, settings.pointee.serverLine, serverLine)
            at &+= serverLine
        }
        unsafe memcpy(out + at, response.pointee.fields.base, fieldsCount)
        at &+= fieldsCount
        unsafe at &+= ResponseEncoder.endHead(out + at)
        unsafe memcpy(out + at, response.pointee.body.base, following)
        unsafe commit(connection, at &+ following)
        unsafe response.pointee.headBytes = UInt64(at)
        unsafe responseBegun(connection)
        return at
    }

    /// The long way: for requests with a body, and for responses that are more than a few written bytes.
    /// - Parameters:
    ///   - base: the request's first byte and `used` its length, for a request that has to be kept; nil when it is gone already.
    ///   - unread: bytes of the request body that the handler has not seen; `.max` when unknown.
    func finishResponse(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>?, _ used: Int, unread: UInt64, _ elapsed: UInt64
    ) {
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe finishStream(connection, elapsed) }
        var elapsed = elapsed
        if goesOnAsync, let worker = startAsync(&elapsed) { return unsafe attach(worker, connection) }
        if isLeft { return unsafe leave(connection) }
        if unsafe response.pointee.needsColdFile, let base = unsafe base {
            let body = unsafe (context.pointee.body - UnsafePointer(base), context.pointee.bodyCount)
            return unsafe suspend(connection, Array(UnsafeBufferPointer(start: base, count: used)), body: body)
        }
        if unsafe response.pointee.upgrade != nil && connection.pointee.tls != nil {
            // What takes over gets the socket, and could not read what is on it.
            unsafe response.pointee.restart(.notImplemented)
        }
        unsafe connection.pointee.coldRetries = 0
        // A body that was not read would be the tunnel's first bytes.
        if unsafe response.pointee.tunnel != nil, unsafe !maySwitch(connection) || unread > 0 { unsafe response.pointee.restart(.internalServerError) }
        let tunnel = unsafe response.pointee.tunnel
        if unsafe response.pointee.status.code < 200, unsafe response.pointee.upgrade == nil, tunnel == nil { unsafe response.pointee.restart(.internalServerError) }
        if unsafe response.pointee.hasSteps { runSteps() }
        let policy = unsafe settings.pointee.policy
        let now = unsafe state.pointee.now
        let isUpgrade = unsafe response.pointee.upgrade != nil
        let plan = contentPlan()
        let persistence = unsafe connection.pointee.machine.responseHead(
            handlerCloses: response.pointee.closesConnection || plan.mustClose || tunnel != nil, unreadBodyBytes: unread, now: now, policy)
        if persistence == .keepAlive { unsafe connection.pointee.flags.insert(.keptAlive) }
        var written = UInt64(0)
        let content = unsafe response.pointee.content
        // Below, a head of 0 bytes: no memory for it, and the connection is gone.
        var ended = true
        switch content {
        case .written:
            written = unsafe UInt64(writeWritten(connection, plan, persistence))
        case .shared(let bytes):
            written = unsafe UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody, bytes.count > 0, written > 0 {
                unsafe appendShared(connection, bytes)
                written &+= UInt64(bytes.count)
            }
        case .file(let content):
            written = unsafe UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody, written > 0 {
                unsafe appendFile(connection, content)
                written &+= content.length
            }
        case .produced(let producer, let length):
            written = unsafe UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody, written > 0 {
                let exchange = unsafe makeExchange(connection)
                exchange.producer = producer
                exchange.isChunked = plan.framing == .chunked
                exchange.remaining = length
                ended = false
            }
        case .relayed(let length, let encoder):
            written = unsafe UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody, length != 0, written > 0 {
                let exchange = unsafe makeExchange(connection)
                (exchange.isRelayed, exchange.isChunked, exchange.remaining) = (true, plan.framing == .chunked, length)
                if let encoder { exchange.relayEncoder = encoder }
                ended = false
            }
        case .tunnel: written = unsafe UInt64(writeHead(connection, plan.framing, persistence, following: 0))
        }
        // The connection has it now. Here it would live until the loop's next request, and with it whatever a closure captured.
        if unsafe response.pointee.hasSpecialContent { unsafe response.pointee.forgetContent() }
        if unsafe connection.pointee.flags.contains(.closing) { return }  // no memory for the response: shed
        if unsafe response.pointee.untimed, !ended { unsafe connection.pointee.machine.handlerUntimed() }
        unsafe connection.pointee.machine.outputQueued(written, now: now, policy)
        unsafe markDirty(connection)
        if unsafe state.pointee.observes { unsafe observeResponse(connection, written, elapsed, ended: ended) }
        if isUpgrade { return unsafe beginUpgrade(connection) }
        if let tunnel { return unsafe beginTunnel(connection, tunnel) }
        guard ended else { return unsafe produce(connection) }
        unsafe responseWritten(connection, on: connection)
        unsafe perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: unread, now: now, policy))
    }

    func contentPlan() -> ResponsePlan {
        let length: UInt64?
        switch unsafe response.pointee.content {
        case .written:
            length = unsafe response.pointee.status.code == 304 && response.pointee.body.count == 0 ? nil : announcedLength(response.pointee.body.count)
        case .shared(let bytes):
            if unsafe response.pointee.setFields.contains(.contentLength) { _ = unsafe ResponseHeaders(response).removeContentLength() }
            length = UInt64(bytes.count)
        case .file(let file): length = file.length
        case .produced(_, let announced), .relayed(let announced, _): length = announced
        case .tunnel: return ResponsePlan(framing: .none, sendsBody: false, mustClose: false)
        }
        if unsafe response.pointee.upgrade != nil { return ResponsePlan(framing: .none, sendsBody: false, mustClose: false) }
        return unsafe ResponseFraming.plan(
            status: response.pointee.status, method: head.pointee.method, minorVersion: head.pointee.minorVersion, length: length)
    }

    /// A body that was written: small ones are copied behind the head, large ones hand their memory over.
    private func writeWritten(_ connection: UnsafeMutablePointer<Connection>, _ plan: ResponsePlan, _ persistence: KeepAlivePersistence) -> Int {
        let count = unsafe response.pointee.body.count
        guard plan.sendsBody, unsafe count > ResponseState.copiedBodyMax else {
            let following = plan.sendsBody ? count : 0
            return unsafe writeHead(connection, plan.framing, persistence, following: following) &+ following
        }
        let headBytes = unsafe writeHead(connection, plan.framing, persistence, following: 0)
        guard headBytes > 0 else { return 0 }
        let (memory, bytes) = unsafe response.pointee.body.detach(replacement: 8192)
        unsafe appendBlock(connection, memory, bytes)
        return headBytes &+ bytes
    }

    // MARK: produced content

    /// Calls the producer while there is room for what it makes.
    func produce(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue() else { return }
        if let responder = exchange.responder { return unsafe wake(responder, connection) }
        guard let producer = exchange.producer else { return }
        let policy = unsafe settings.pointee.policy
        unsafe connection.pointee.producerWakeAt = .max
        while unsafe connection.pointee.machine.hasRoom(policy), unsafe !connection.pointee.flags.contains(.closing) {
            unsafe (scratch.pointee.count, trailerText.pointee.count) = (0, 0)
            var step = StreamStep.end
            do {
                var writer = unsafe ResponseWriter(scratch, trailerText)
                step = try producer.next(&writer)
            } catch {
                // The head has left: only a cut connection can tell the client that the content is not whole.
                unsafe state.pointee.reporter?.handlerFailed("", error)
                unsafe because(connection, .failure)
                return unsafe perform(connection, connection.pointee.machine.abort())
            }
            guard unsafe queuePiece(connection, exchange, scratch.pointee.base, scratch.pointee.count) else {
                unsafe state.pointee.reporter?.lengthMismatch()
                unsafe because(connection, .failure)
                return unsafe perform(connection, connection.pointee.machine.abort())
            }
            if unsafe connection.pointee.flags.contains(.closing) { return }  // no memory for the piece: shed
            switch step {
            case .more: if unsafe scratch.pointee.count == 0 { return unsafe wake(connection, afterMs: 1) }
            case .wait(let milliseconds): return unsafe wake(connection, afterMs: milliseconds)
            case .end: return unsafe endProduced(connection, exchange)
            }
        }
        unsafe armTimer(connection)
    }

    private func wake(_ connection: UnsafeMutablePointer<Connection>, afterMs milliseconds: UInt32) {
        unsafe connection.pointee.producerWakeAt = unsafe state.pointee.now &+ UInt64(max(1, milliseconds)) &* 1_000_000
        unsafe markDirty(connection)
        unsafe armTimer(connection)
    }

    /// Sends a piece of content. False when there is more than was announced.
    func queuePiece(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange, _ piece: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard count > 0 else { return true }
        var bytes = count
        if let remaining = exchange.remaining {
            guard UInt64(count) <= remaining else { return false }
            exchange.remaining = remaining &- UInt64(count)
        }
        if exchange.isChunked {
            guard let framed = unsafe queueBulkChunk(connection, piece, count) ?? appendChunk(connection, piece, count) else { return true }
            bytes = framed
        } else if unsafe !queueBulk(connection, piece, count) {
            unsafe appendOutput(connection, piece, count)
            if unsafe connection.pointee.flags.contains(.closing) { return true }
        }
        unsafe connection.pointee.machine.outputQueued(UInt64(bytes), now: state.pointee.now, settings.pointee.policy)
        unsafe markDirty(connection)
        return true
    }

    /// A piece as one chunk; answers its bytes with the coding's, nil when memory is refused.
    private func appendChunk(_ connection: UnsafeMutablePointer<Connection>, _ piece: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        guard let out = unsafe reserve(connection, count &+ 20) else { return nil }
        var at = unsafe ResponseEncoder.writeChunkHeader(size: UInt64(count), to: out)
        unsafe memcpy(out + at, piece, count)
        at &+= count
        unsafe out[at] = 13
        unsafe out[at &+ 1] = 10
        unsafe commit(connection, at &+ 2)
        return at &+ 2
    }

    /// All content is queued; `trailerText` holds the fields behind it.
    func endProduced(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) {
        if let remaining = exchange.remaining, remaining > 0 {
            unsafe state.pointee.reporter?.lengthMismatch()
            unsafe because(connection, .failure)
            return unsafe perform(connection, connection.pointee.machine.abort())
        }
        if unsafe connection.pointee.flags.contains(.stream) {
            if unsafe trailerText.pointee.count > 0 {
                exchange.trailers = unsafe Array(UnsafeBufferPointer(start: trailerText.pointee.base, count: trailerText.pointee.count))
            }
            exchange.producer = nil
            if let logged = exchange.logged { unsafe observe(logged, connection) }
            return unsafe responseQueued(connection)
        }
        if exchange.isChunked {
            let begin = ResponseEncoder.lastChunkBeforeTrailers
            let bytes = unsafe begin.utf8CodeUnitCount &+ trailerText.pointee.count &+ 2
            guard let out = unsafe reserve(connection, bytes) else { return }
            unsafe memcpy(out, begin.utf8Start, begin.utf8CodeUnitCount)
            unsafe memcpy(out + begin.utf8CodeUnitCount, trailerText.pointee.base, trailerText.pointee.count)
            _ = unsafe ResponseEncoder.endHead(out + (bytes &- 2))
            unsafe commit(connection, bytes)
            unsafe connection.pointee.machine.outputQueued(UInt64(bytes), now: state.pointee.now, settings.pointee.policy)
        }
        exchange.producer = nil
        let unread = unsafe connection.pointee.body.mode == .none ? 0 : connection.pointee.body.chunked ? UInt64.max : connection.pointee.body.remaining
        if let logged = exchange.logged { unsafe observe(logged, connection) }
        if exchange.receiver == nil { unsafe dropExchange(connection) }
        unsafe responseWritten(connection, on: connection)
        unsafe markDirty(connection)
        unsafe perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: unread, now: state.pointee.now, settings.pointee.policy))
    }

    // MARK: errors

    /// A request that cannot be served, by the peer's fault.
    func fault(_ connection: UnsafeMutablePointer<Connection>, _ fault: RequestFault) {
        unsafe meter.pointee.requestFaults &+= 1
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe state.pointee.faultReason = fault.reason
        if unsafe connection.pointee.trace != nil { unsafe because(connection, .refused) }
        unsafe perform(connection, connection.pointee.machine.requestFault(status: fault.status.code, now: state.pointee.now, settings.pointee.policy))
        // Not answered when a response had begun: then the reason is not for the next one who is.
        unsafe state.pointee.faultReason = nil
    }

    /// Carries out `KeepAliveStep.respond`.
    func respondAndClose(_ connection: UnsafeMutablePointer<Connection>, _ status: HTTPStatus) {
        // A file that is being opened for this request reads its path from the exchange: `opened` drops it.
        if unsafe !connection.pointee.flags.contains(.opening) { unsafe dropExchange(connection) }
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe connection.pointee.flags.remove(.bodyPaused)
        unsafe response.pointee.begin(isHead: false, streaming: false)
        unsafe response.pointee.status = status
        if unsafe connection.pointee.trace != nil { unsafe traceRefused(connection, status) }
        unsafe response.pointee.fields.append("content-type: text/plain; charset=utf-8\r\n")
        unsafe response.pointee.body.append(status.description)
        if let reason = unsafe state.pointee.faultReason {
            unsafe response.pointee.body.append(": ")
            unsafe response.pointee.body.append(reason)
        }
        unsafe response.pointee.body.append("\n")
        unsafe state.pointee.faultReason = nil
        unsafe head.pointee = RequestHead()
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe respondOnStream(connection) }
        let bytes = unsafe writeWhole(connection, .closedByServer)
        if unsafe connection.pointee.flags.contains(.closing) { return }
        if unsafe state.pointee.observes { unsafe observeFault(connection, status, UInt64(bytes)) }
        unsafe connection.pointee.machine.outputQueued(UInt64(bytes), now: state.pointee.now, settings.pointee.policy)
        unsafe responseWritten(connection, on: connection)
        unsafe perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: .max, now: state.pointee.now, settings.pointee.policy))
    }
}

extension ResponseHeaders {
    /// Takes a Content-Length that the handler set out of the fields: the framing is the server's. Answers its value.
    func removeContentLength() -> UInt64? {
        let said = self["content-length"]
        self["content-length"] = nil
        return said.flatMap { UInt64($0) }
    }
}
