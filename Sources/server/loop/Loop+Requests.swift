// From bytes to handler: parsing, bodies, the handler call. The loop's thread.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// Takes up every request that is complete in `bytes[..<count]`; answers how many bytes are used. What is left is the beginning of
    /// one that is not complete, or waits for its turn. `count` shrinks when chunked coding is removed from a body under way.
    func process(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: inout Int) -> Int {
        var start = 0
        state.pointee.processing = connection
        defer { state.pointee.processing = nil }
        while start < count {
            switch connection.pointee.body.mode {
            case .none:
                guard connection.pointee.machine.mayHandleNext(settings.pointee.policy), !connection.pointee.flags.contains(.opening) else {
                    return connection.pointee.machine.isEnding ? discardInput(connection, count &- start, count) : start
                }
                var available = count &- start
                guard let used = beginRequest(connection, bytes + start, &available) else {
                    count = start &+ available
                    return start
                }
                start &+= used
            case .buffer:
                var available = count &- start
                guard let used = continueBuffered(connection, bytes + start, &available) else {
                    count = start &+ available
                    return start
                }
                start &+= used
            case .stream, .discard:
                let used = consumeBody(connection, bytes + start, count &- start)
                start &+= used
                if used == 0 { return connection.pointee.machine.isEnding ? discardInput(connection, count &- start, count) : start }
            }
        }
        return min(start, count)
    }

    /// Bytes that nobody will parse: after the last request, after a fault, in a lingering close.
    private func discardInput(_ connection: UnsafeMutablePointer<Connection>, _ unused: Int, _ count: Int) -> Int {
        if connection.pointee.machine.isUpgrading { return count &- unused }
        perform(connection, connection.pointee.machine.discarded(UInt64(unused)))
        return count
    }

    /// nil when the head is not complete.
    private func beginRequest(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let outcome = RequestParser.parse(
            base, count: count, alreadyScanned: connection.pointee.scanned, head: head, fields: fields,
            fieldCapacity: settings.pointee.limits.fieldCountMax, limits: settings.pointee.limits)
        switch outcome {
        case .complete:
            connection.pointee.scanned = 0
            if ur_probe_parse() { ur_fire_parse(connection.pointee.id, UInt64(head.pointee.headLength), kernel.now()) }
            switch head.pointee.framing {
            case .none, .length(0):
                exchange(connection, base)
                return head.pointee.headLength
            case .length, .chunked:
                return beginBody(connection, base, &available)
            }
        case .needMore:
            connection.pointee.scanned = count
            connection.pointee.machine.firstBytes(now: state.pointee.now, settings.pointee.policy)
            armTimer(connection)
            return nil
        case .malformed(let fault):
            connection.pointee.scanned = 0
            self.fault(connection, fault)
            return count
        }
    }

    // MARK: requests without a body, and with one that is whole

    private func layOut(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafePointer<UInt8>, body: UnsafePointer<UInt8>, _ bodyCount: Int
    ) {
        context.pointee.base = base
        context.pointee.body = body
        context.pointee.bodyCount = bodyCount
        context.pointee.contentLength = UInt64(bodyCount)
        context.pointee.isStreaming = false
        context.pointee.connection = connection
        context.pointee.connectionID = connection.pointee.id
        captures.pointee.count = 0
    }

    /// The fast path: a request without a body, answered by what its handler wrote.
    private func exchange(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        layOut(connection, base, body: base, 0)
        response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = callHandler(connection)
        let policy = settings.pointee.policy
        guard response.pointee.isPlain else {
            connection.pointee.machine.headParsed(
                hasBody: false, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: false, now: state.pointee.now, policy)
            connection.pointee.machine.handlerStarted(now: state.pointee.now, policy)
            return finishResponse(connection, base, head.pointee.headLength, unread: 0, elapsed)
        }
        let persistence = connection.pointee.machine.persistence(
            clientKeepsAlive: head.pointee.keepAlive, handlerCloses: response.pointee.closesConnection, policy)
        let bytes = writeWhole(connection, persistence)
        if state.pointee.observer != nil { observe(UInt64(bytes), elapsed) }
        let step = connection.pointee.machine.exchanged(persistence, outputBytes: UInt64(bytes), now: state.pointee.now, policy)
        if persistence == .keepAlive { connection.pointee.flags.insert(.keptAlive) }
        switch step {
        case .nextRequest, .wait: break
        case .discardBody, .resumeHandler, .respond, .linger, .close, .abort: perform(connection, step)
        }
    }

    /// Calls the handler again for a request that waited for a cold file.
    func retry(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ count: Int, bodyOffset: Int, bodyCount: Int
    ) {
        let outcome = RequestParser.parse(
            base, count: count, alreadyScanned: 0, head: head, fields: fields, fieldCapacity: settings.pointee.limits.fieldCountMax,
            limits: settings.pointee.limits)
        guard case .complete = outcome else { return fault(connection, .badLeadingLines) }
        layOut(connection, base, body: base + bodyOffset, bodyCount)
        response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = callHandler(connection)
        finishResponse(connection, base, count, unread: 0, elapsed)
    }

    /// Calls the handler on what `layOut` prepared; answers its duration in ticks.
    private func callHandler(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        if ur_probe_handler_start() { ur_fire_handler_start(connection.pointee.id, UInt64(context.pointee.bodyCount), kernel.now()) }
        let began = kernel.ticks()
        let box = state.pointee.handler
        do {
            try box._withUnsafeGuaranteedRef { box throws in
                var response = Response(self.response, context)
                try box.handle(Request(context), &response)
            }
        } catch {
            handlerFailed(error)
        }
        let elapsed = kernel.ticks() &- began
        if ur_probe_handler_end() { ur_fire_handler_end(connection.pointee.id, UInt64(response.pointee.body.count), kernel.now()) }
        state.pointee.handledInTurn &+= 1
        if elapsed > state.pointee.stallTicks { reportStall(elapsed) }
        if response.pointee.refusedField { refusedField() }
        return elapsed
    }

    @inline(never)
    private func handlerFailed(_ error: any Error) {
        response.pointee.restart(.internalServerError)
        meter.pointee.handlerErrors &+= 1
        state.pointee.reporter?.handlerFailed(routeName, error)
    }

    @inline(never)
    private func refusedField() {
        response.pointee.restart(.internalServerError)
        state.pointee.reporter?.fieldRefused(routeName)
    }

    @inline(never)
    private func reportStall(_ elapsed: UInt64) {
        meter.pointee.stalls &+= 1
        state.pointee.reporter?.stalled(LoopStall(loop: index, route: routeName, nanoseconds: kernel.nanoseconds(ticks: elapsed)))
    }

    private var routeName: String {
        if let name = response.pointee.routeName { return name.description }
        let target = head.pointee
        return String(decoding: UnsafeBufferPointer(start: context.pointee.base + target.pathOffset, count: min(target.pathLength, 256)), as: UTF8.self)
    }

    // MARK: bodies

    private func beginBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let policy = settings.pointee.policy
        var progress = BodyProgress()
        switch head.pointee.framing {
        case .none: preconditionFailure("BUG: a body without framing")
        case .chunked:
            progress.chunked = true
            progress.decoder = ChunkedDecoder(bodyBytesMax: settings.pointee.bodyBytesMax)
        case .length(let length):
            guard length <= settings.pointee.bodyBytesMax else {
                fault(connection, .bodyTooLarge)
                return count
            }
            progress.remaining = length
        }
        progress.headLength = head.pointee.headLength
        (progress.bodyEnd, progress.rawPosition) = (progress.headLength, progress.headLength)
        let expects = head.pointee.expectContinue
        connection.pointee.machine.headParsed(
            hasBody: true, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: expects, now: state.pointee.now, policy)
        if state.pointee.streamsBodies, wantsStream(connection, base) {
            progress.mode = .stream
            connection.pointee.body = progress
            beginStreamed(connection, base)
            return progress.headLength
        }
        progress.mode = .buffer
        connection.pointee.body = progress
        // A client that sends its body at once has not waited, and needs no 100 (RFC 9110 section 10.1.1).
        if expects, count == progress.headLength { sendContinue(connection) }
        if let used = continueBuffered(connection, base, &available) { return used }
        armTimer(connection)
        return nil
    }

    func sendContinue(_ connection: UnsafeMutablePointer<Connection>) {
        let text = ResponseEncoder.continueResponse
        appendOutput(connection, text.utf8Start, text.utf8CodeUnitCount)
        connection.pointee.machine.outputQueued(UInt64(text.utf8CodeUnitCount), now: state.pointee.now, settings.pointee.policy)
        connection.pointee.machine.continueSent(now: state.pointee.now, settings.pointee.policy)
    }

    /// nil while the body is not whole. `available` shrinks by the chunked coding that was removed.
    private func continueBuffered(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int
    ) -> Int? {
        let progress = connection.pointee.body
        let fresh = available &- progress.rawPosition
        if fresh > 0 { connection.pointee.machine.bodyBytes(UInt64(fresh), now: state.pointee.now, settings.pointee.policy) }
        if !progress.chunked {
            let total = UInt64(progress.headLength) &+ progress.remaining
            guard UInt64(available) >= total else {
                connection.pointee.body.rawPosition = available
                return nil
            }
            bodyComplete(connection, base, base + progress.headLength, Int(progress.remaining))
            return Int(total)
        }
        var (to, from) = (progress.bodyEnd, progress.rawPosition)
        while true {
            switch connection.pointee.body.decoder.decode(base + from, count: available &- from) {
            case .data(let offset, let length):
                memmove(base + to, base + from + offset, length)
                to &+= length
                from &+= offset &+ length
            case .needMore(let consumed):
                from &+= consumed
                let tail = available &- from
                if tail > 0, to != from { memmove(base + to, base + from, tail) }
                (connection.pointee.body.bodyEnd, connection.pointee.body.rawPosition) = (to, to)
                available = to &+ tail
                return nil
            case .end(let consumed, _):
                bodyComplete(connection, base, base + progress.headLength, to &- progress.headLength)
                return from &+ consumed
            case .malformed(let fault):
                connection.pointee.body = BodyProgress()
                self.fault(connection, fault)
                return available
            }
        }
    }

    private func bodyComplete(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ body: UnsafeMutablePointer<UInt8>, _ bodyCount: Int
    ) {
        // The head was parsed once already; parsing it again is cheaper than keeping a table of fields for every connection with a body.
        let outcome = RequestParser.parse(
            base, count: connection.pointee.body.headLength, alreadyScanned: 0, head: head, fields: fields,
            fieldCapacity: settings.pointee.limits.fieldCountMax, limits: settings.pointee.limits)
        connection.pointee.body = BodyProgress()
        guard case .complete = outcome else { return fault(connection, .badLeadingLines) }
        layOut(connection, base, body: body, bodyCount)
        _ = connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy)
        connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = callHandler(connection)
        finishResponse(connection, base, (body - base) + bodyCount, unread: 0, elapsed)
    }

    // MARK: streamed bodies

    private func wantsStream(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) -> Bool {
        layOut(connection, base, body: base, 0)
        guard let wants = state.pointee.handler._withUnsafeGuaranteedRef({ $0.wantsStream }) else { return false }
        return wants(Request(context))
    }

    private func beginStreamed(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        context.pointee.isStreaming = true
        context.pointee.contentLength = connection.pointee.body.chunked ? nil : connection.pointee.body.remaining
        connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        response.pointee.begin(isHead: head.pointee.method == .head, streaming: true)
        let elapsed = callHandler(connection)
        if let receiver = response.pointee.receiver {
            let exchange = makeExchange(connection)
            exchange.receiver = receiver
            exchange.pendingResponse = PendingResponse(response, head: head.pointee)
            if head.pointee.expectContinue { sendContinue(connection) }
            armTimer(connection)
        } else {
            // The handler answered without the body: what is small enough is read and thrown away, else the connection closes.
            connection.pointee.body.mode = .discard
            finishResponse(connection, base, head.pointee.headLength, unread: unreadBytes(connection), elapsed)
        }
    }

    private func unreadBytes(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        switch connection.pointee.body.mode {
        case .none, .buffer: 0
        case .stream, .discard: connection.pointee.body.chunked ? .max : connection.pointee.body.remaining
        }
    }

    /// Hands body bytes to the receiver, or to nobody; answers how many bytes were used.
    private func consumeBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        let policy = settings.pointee.policy
        guard !connection.pointee.machine.isEnding else { return 0 }
        if !connection.pointee.body.chunked {
            let take = Int(min(UInt64(count), connection.pointee.body.remaining))
            connection.pointee.body.remaining &-= UInt64(take)
            connection.pointee.machine.bodyBytes(UInt64(take), now: state.pointee.now, policy)
            let ended = connection.pointee.body.remaining == 0
            deliver(connection, base, take, isLast: ended)
            if ended { streamedBodyEnded(connection) }
            return take
        }
        switch connection.pointee.body.decoder.decode(base, count: count) {
        case .data(let offset, let length):
            connection.pointee.machine.bodyBytes(UInt64(offset &+ length), now: state.pointee.now, policy)
            deliver(connection, base + offset, length, isLast: false)
            return offset &+ length
        case .needMore(let consumed):
            connection.pointee.machine.bodyBytes(UInt64(consumed), now: state.pointee.now, policy)
            return consumed
        case .end(let consumed, _):
            deliver(connection, base, 0, isLast: true)
            streamedBodyEnded(connection)
            return consumed
        case .malformed(let fault):
            connection.pointee.body = BodyProgress()
            self.fault(connection, fault)
            return count
        }
    }

    private func streamedBodyEnded(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.body.mode != .none, !connection.pointee.flags.contains(.closing) else { return }
        connection.pointee.body = BodyProgress()
        perform(connection, connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy))
        completePending(connection)
    }

    private func deliver(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool) {
        guard connection.pointee.body.mode == .stream, let held = connection.pointee.exchange else { return }
        let exchange = held.takeUnretainedValue()
        guard let receiver = exchange.receiver, let pending = exchange.pendingResponse else { return }
        pending.restore(response)
        let span = Span<UInt8>(_unsafeStart: UnsafePointer(bytes), count: count)
        let began = kernel.ticks()
        var finished = isLast
        do {
            var response = Response(self.response, context)
            switch try receiver.receive(RequestBodyPart(ByteView(span), isLast: isLast), &response) {
            case .more: break
            case .finish: finished = true
            }
        } catch {
            handlerFailed(error)
            finished = true
        }
        if kernel.ticks() &- began > state.pointee.stallTicks { reportStall(kernel.ticks() &- began) }
        pending.save(response)
        if finished {
            exchange.receiver = nil
            if !isLast {
                connection.pointee.body.mode = .discard
                completePending(connection)
            }
        }
    }

    /// The receiver has finished: its response goes out.
    private func completePending(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = connection.pointee.exchange?.takeUnretainedValue(), exchange.receiver == nil,
            let pending = exchange.pendingResponse, !connection.pointee.machine.isEnding
        else { return }
        exchange.pendingResponse = nil
        pending.restore(response)
        head.pointee = pending.head
        finishResponse(connection, nil, 0, unread: unreadBytes(connection), 0)
    }

    func makeExchange(_ connection: UnsafeMutablePointer<Connection>) -> Exchange {
        if let exchange = connection.pointee.exchange { return exchange.takeUnretainedValue() }
        let exchange = Exchange()
        connection.pointee.exchange = Unmanaged.passRetained(exchange)
        return exchange
    }

    func dropExchange(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = connection.pointee.exchange else { return }
        connection.pointee.exchange = nil
        connection.pointee.producerWakeAt = .max
        exchange.release()
    }
}

extension KeepAliveMachine {
    /// The last response is complete or the connection is gone: input is of no interest any more.
    var isEnding: Bool {
        switch writing {
        case .closing, .lingering, .closed, .upgraded: true
        case .none, .handling, .responding, .answered: false
        }
    }
    var isUpgrading: Bool { writing == .upgraded }

    /// A request could begin but for the output that has to leave first.
    func isWaitingForRoom(_ policy: KeepAlivePolicy) -> Bool { isBetweenExchanges && !hasRoom(policy) }
}
