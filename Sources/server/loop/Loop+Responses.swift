// From what a handler left to bytes in the output. The loop's thread.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension ResponseState {
    /// Nothing but status, fields and written bytes, below the size from which a body is handed over instead of copied.
    var isPlain: Bool { !hasSpecialContent && receiver == nil && upgrade == nil && !needsColdFile && body.count <= Self.copiedBodyMax }
    /// Up to here a second copy is cheaper than a segment of its own and sendmsg.
    static let copiedBodyMax = 32 * 1024
}

extension Loop {
    // MARK: whole responses

    /// Writes head and body of a plain response; answers the bytes written.
    func writeWhole(_ connection: UnsafeMutablePointer<Connection>, _ persistence: KeepAlivePersistence) -> Int {
        if response.pointee.status.code < 200 { response.pointee.restart(.internalServerError) }
        let bodyCount = response.pointee.body.count
        let isNotModified = response.pointee.status.code == 304
        let plan = ResponseFraming.plan(
            status: response.pointee.status, method: head.pointee.method, minorVersion: head.pointee.minorVersion,
            length: isNotModified && bodyCount == 0 ? nil : announcedLength(bodyCount))
        let bytes = writeHead(connection, plan.framing, persistence, following: plan.sendsBody ? bodyCount : 0)
        return bytes &+ (plan.sendsBody ? bodyCount : 0)
    }

    /// What `Content-Length` says: the bytes written, or what the handler of a HEAD request says that GET would send.
    private func announcedLength(_ bodyCount: Int) -> UInt64 {
        guard response.pointee.setFields.contains(.contentLength) else { return UInt64(bodyCount) }
        let said = ResponseHeaders(response).removeContentLength()
        return response.pointee.isHead && bodyCount == 0 ? said ?? 0 : UInt64(bodyCount)
    }

    /// Writes the head, and the first `following` bytes of the written body behind it; answers the head's bytes.
    func writeHead(
        _ connection: UnsafeMutablePointer<Connection>, _ framing: ResponseFraming, _ persistence: KeepAlivePersistence, following: Int
    ) -> Int {
        let serverLine = settings.pointee.serverLineCount
        let fieldsCount = response.pointee.fields.count
        let room = ResponseEncoder.headBytesMax &+ serverLine &+ fieldsCount &+ 2 &+ following
        guard let out = reserve(connection, room) else { return 0 }
        let field: ConnectionHeader =
            persistence != .keepAlive ? .close : head.pointee.minorVersion == 0 ? .keepAlive : .implicit
        let hasDate = response.pointee.setFields.contains(.date)
        var at = ResponseEncoder.encodeHead(
            into: out, capacity: room, status: response.pointee.status, date: hasDate ? nil : UnsafePointer(state.pointee.date),
            framing: framing, connection: response.pointee.upgrade == nil ? field : .implicit)!
        if serverLine > 0, !response.pointee.setFields.contains(.server) {
            memcpy(out + at, settings.pointee.serverLine, serverLine)
            at &+= serverLine
        }
        memcpy(out + at, response.pointee.fields.base, fieldsCount)
        at &+= fieldsCount
        at &+= ResponseEncoder.endHead(out + at)
        memcpy(out + at, response.pointee.body.base, following)
        commit(connection, at &+ following)
        return at
    }

    /// The long way: for requests with a body, and for responses that are more than a few written bytes.
    /// - Parameters:
    ///   - base: the request's first byte and `used` its length, for a request that has to be kept; nil when it is gone already.
    ///   - unread: bytes of the request body that the handler has not seen; `.max` when unknown.
    func finishResponse(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>?, _ used: Int, unread: UInt64, _ elapsed: UInt64
    ) {
        if response.pointee.needsColdFile, let base { return suspend(connection, base, used) }
        connection.pointee.coldRetries = 0
        if response.pointee.status.code < 200, response.pointee.upgrade == nil { response.pointee.restart(.internalServerError) }
        let policy = settings.pointee.policy
        let now = state.pointee.now
        let isUpgrade = response.pointee.upgrade != nil
        let plan = contentPlan()
        let persistence = connection.pointee.machine.responseHead(
            handlerCloses: response.pointee.closesConnection || plan.mustClose, unreadBodyBytes: unread, now: now, policy)
        if persistence == .keepAlive { connection.pointee.flags.insert(.keptAlive) }
        var written = UInt64(0)
        let content = response.pointee.content
        var ended = true
        switch content {
        case .written:
            written = UInt64(writeWritten(connection, plan, persistence))
        case .shared(let bytes):
            written = UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody, bytes.count > 0 {
                appendShared(connection, bytes)
                written &+= UInt64(bytes.count)
            }
        case .file(let content):
            written = UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody {
                appendFile(connection, content)
                written &+= content.length
            }
        case .produced(let producer, let length):
            written = UInt64(writeHead(connection, plan.framing, persistence, following: 0))
            if plan.sendsBody {
                let exchange = makeExchange(connection)
                exchange.producer = producer
                exchange.isChunked = plan.framing == .chunked
                exchange.remaining = length
                ended = false
            }
        }
        if response.pointee.untimed, !ended { connection.pointee.machine.handlerUntimed() }
        connection.pointee.machine.outputQueued(written, now: now, policy)
        markDirty(connection)
        if state.pointee.observer != nil {
            if ended || base == nil { observe(written, elapsed) } else { makeExchange(connection).logged = LoggedExchange(context, response, began: now) }
        }
        if isUpgrade { return beginUpgrade(connection) }
        guard ended else { return produce(connection) }
        if connection.pointee.flags.contains(.closing) { return }
        perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: unread, now: now, policy))
    }

    private func contentPlan() -> ResponsePlan {
        let length: UInt64?
        switch response.pointee.content {
        case .written:
            length = response.pointee.status.code == 304 && response.pointee.body.count == 0 ? nil : announcedLength(response.pointee.body.count)
        case .shared(let bytes):
            if response.pointee.setFields.contains(.contentLength) { _ = ResponseHeaders(response).removeContentLength() }
            length = UInt64(bytes.count)
        case .file(let file): length = file.length
        case .produced(_, let announced): length = announced
        }
        if response.pointee.upgrade != nil { return ResponsePlan(framing: .none, sendsBody: false, mustClose: false) }
        return ResponseFraming.plan(
            status: response.pointee.status, method: head.pointee.method, minorVersion: head.pointee.minorVersion, length: length)
    }

    /// A body that was written: small ones are copied behind the head, large ones hand their memory over.
    private func writeWritten(_ connection: UnsafeMutablePointer<Connection>, _ plan: ResponsePlan, _ persistence: KeepAlivePersistence) -> Int {
        let count = response.pointee.body.count
        guard plan.sendsBody, count > ResponseState.copiedBodyMax else {
            let following = plan.sendsBody ? count : 0
            return writeHead(connection, plan.framing, persistence, following: following) &+ following
        }
        let headBytes = writeHead(connection, plan.framing, persistence, following: 0)
        let (memory, bytes) = response.pointee.body.detach(replacement: 8192)
        appendBlock(connection, memory, bytes)
        return headBytes &+ bytes
    }

    // MARK: produced content

    /// Calls the producer while there is room for what it makes.
    func produce(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = connection.pointee.exchange?.takeUnretainedValue(), let producer = exchange.producer else { return }
        let policy = settings.pointee.policy
        connection.pointee.producerWakeAt = .max
        while connection.pointee.machine.hasRoom(policy), !connection.pointee.flags.contains(.closing) {
            scratch.pointee.count = 0
            var step = StreamStep.end
            do {
                var writer = ResponseWriter(scratch)
                step = try producer.next(&writer)
            } catch {
                // The head has left: only a cut connection can tell the client that the content is not whole.
                state.pointee.reporter?.handlerFailed("", error)
                return perform(connection, connection.pointee.machine.abort())
            }
            guard queuePiece(connection, exchange) else {
                state.pointee.reporter?.lengthMismatch()
                return perform(connection, connection.pointee.machine.abort())
            }
            switch step {
            case .more: if scratch.pointee.count == 0 { return wake(connection, afterMs: 1) }
            case .wait(let milliseconds): return wake(connection, afterMs: milliseconds)
            case .end: return endProduced(connection, exchange)
            }
        }
        armTimer(connection)
    }

    private func wake(_ connection: UnsafeMutablePointer<Connection>, afterMs milliseconds: UInt32) {
        connection.pointee.producerWakeAt = state.pointee.now &+ UInt64(max(1, milliseconds)) &* 1_000_000
        markDirty(connection)
        armTimer(connection)
    }

    /// False when the producer wrote more than it had announced.
    private func queuePiece(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) -> Bool {
        let count = scratch.pointee.count
        guard count > 0 else { return true }
        var bytes = count
        if let remaining = exchange.remaining {
            guard UInt64(count) <= remaining else { return false }
            exchange.remaining = remaining &- UInt64(count)
        }
        if exchange.isChunked {
            guard let out = reserve(connection, count &+ 20) else { return true }
            var at = ResponseEncoder.writeChunkHeader(size: UInt64(count), to: out)
            memcpy(out + at, scratch.pointee.base, count)
            at &+= count
            out[at] = 13
            out[at &+ 1] = 10
            bytes = at &+ 2
            commit(connection, bytes)
        } else {
            appendOutput(connection, scratch.pointee.base, count)
        }
        connection.pointee.machine.outputQueued(UInt64(bytes), now: state.pointee.now, settings.pointee.policy)
        markDirty(connection)
        return true
    }

    private func endProduced(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) {
        if let remaining = exchange.remaining, remaining > 0 {
            state.pointee.reporter?.lengthMismatch()
            return perform(connection, connection.pointee.machine.abort())
        }
        if exchange.isChunked {
            let text = ResponseEncoder.lastChunk
            appendOutput(connection, text.utf8Start, text.utf8CodeUnitCount)
            connection.pointee.machine.outputQueued(UInt64(text.utf8CodeUnitCount), now: state.pointee.now, settings.pointee.policy)
        }
        exchange.producer = nil
        let unread = connection.pointee.body.mode == .none ? 0 : connection.pointee.body.chunked ? UInt64.max : connection.pointee.body.remaining
        if let logged = exchange.logged { observe(logged, connection) }
        if exchange.receiver == nil { dropExchange(connection) }
        markDirty(connection)
        perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: unread, now: state.pointee.now, settings.pointee.policy))
    }

    // MARK: errors

    /// A request that cannot be served, by the peer's fault.
    func fault(_ connection: UnsafeMutablePointer<Connection>, _ fault: RequestFault) {
        meter.pointee.requestFaults &+= 1
        connection.pointee.body = BodyProgress()
        state.pointee.faultReason = fault.reason
        perform(connection, connection.pointee.machine.requestFault(status: fault.status.code, now: state.pointee.now, settings.pointee.policy))
    }

    /// Carries out `KeepAliveStep.respond`.
    func respondAndClose(_ connection: UnsafeMutablePointer<Connection>, _ status: HTTPStatus) {
        dropExchange(connection)
        connection.pointee.body = BodyProgress()
        connection.pointee.flags.remove(.opening)
        response.pointee.begin(isHead: false, streaming: false)
        response.pointee.status = status
        response.pointee.fields.append("content-type: text/plain; charset=utf-8\r\n")
        response.pointee.body.append(status.description)
        if let reason = state.pointee.faultReason {
            response.pointee.body.append(": ")
            response.pointee.body.append(reason)
        }
        response.pointee.body.append("\n")
        state.pointee.faultReason = nil
        head.pointee = RequestHead()
        let bytes = writeWhole(connection, .closedByServer)
        if state.pointee.observer != nil { observeFault(connection, status, UInt64(bytes)) }
        connection.pointee.machine.outputQueued(UInt64(bytes), now: state.pointee.now, settings.pointee.policy)
        perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: .max, now: state.pointee.now, settings.pointee.policy))
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
