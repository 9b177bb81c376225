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
        unsafe state.pointee.processing = unsafe connection
        defer { unsafe state.pointee.processing = nil }
        while start < count {
            switch unsafe connection.pointee.body.mode {
            case .none:
                guard unsafe connection.pointee.machine.mayHandleNext(settings.pointee.policy), unsafe !connection.pointee.flags.contains(.opening) else {
                    return unsafe connection.pointee.machine.isEnding ? discardInput(connection, count &- start, count) : start
                }
                var available = count &- start
                guard let used = unsafe beginRequest(connection, bytes + start, &available) else {
                    count = start &+ available
                    return start
                }
                start &+= used
            case .buffer:
                var available = count &- start
                guard let used = unsafe continueBuffered(connection, bytes + start, &available) else {
                    count = start &+ available
                    return start
                }
                start &+= used
            case .stream, .discard:
                if unsafe connection.pointee.flags.contains(.bodyPaused) { return start }
                let used = unsafe consumeBody(connection, bytes + start, count &- start)
                start &+= used
                if used == 0 { return unsafe connection.pointee.machine.isEnding ? discardInput(connection, count &- start, count) : start }
            }
        }
        return min(start, count)
    }

    /// Bytes that nobody will parse: after the last request, after a fault, in a lingering close.
    private func discardInput(_ connection: UnsafeMutablePointer<Connection>, _ unused: Int, _ count: Int) -> Int {
        if unsafe connection.pointee.machine.isUpgrading { return count &- unused }
        unsafe perform(connection, connection.pointee.machine.discarded(UInt64(unused)))
        return count
    }

    /// nil when the head is not complete.
    private func beginRequest(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let outcome = unsafe RequestParser.parse(
            base, count: count, alreadyScanned: connection.pointee.scanned, head: head, fields: fields,
            fieldCapacity: settings.pointee.fieldCapacity, limits: settings.pointee.limits)
        switch outcome {
        case .complete:
            unsafe connection.pointee.scanned = 0
            if ur_probe_parse() { unsafe ur_fire_parse(connection.pointee.id, UInt64(head.pointee.headLength), kernel.now()) }
            switch unsafe head.pointee.framing {
            case .none, .length(0):
                unsafe exchange(connection, base)
                return unsafe head.pointee.headLength
            case .length, .chunked:
                return unsafe beginBody(connection, base, &available)
            }
        case .needMore:
            unsafe connection.pointee.scanned = count
            unsafe connection.pointee.machine.firstBytes(now: state.pointee.now, settings.pointee.policy)
            unsafe armTimer(connection)
            return nil
        case .malformed(let fault):
            unsafe connection.pointee.scanned = 0
            unsafe self.fault(connection, fault)
            return count
        }
    }

    // MARK: requests without a body, and with one that is whole

    private func layOut(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafePointer<UInt8>, body: UnsafePointer<UInt8>, _ bodyCount: Int
    ) {
        unsafe context.pointee.base = unsafe base
        unsafe context.pointee.body = unsafe body
        unsafe context.pointee.bodyCount = bodyCount
        unsafe context.pointee.contentLength = UInt64(bodyCount)
        unsafe context.pointee.isStreaming = false
        unsafe context.pointee.connection = unsafe connection
        unsafe context.pointee.connectionID = unsafe connection.pointee.id
        unsafe captures.pointee.count = 0
        if unsafe arena.pointee.used > 0 { unsafe arena.pointee.reset() }
        if unsafe head.pointee.pathLength == 0, unsafe head.pointee.targetForm == .absolute {
            // `http://host` asks for "/" (RFC 9110 section 4.2.3): the slash before the authority stands for it.
            unsafe (head.pointee.pathOffset, head.pointee.pathLength) = unsafe (head.pointee.authorityOffset &- 1, 1)
        }
    }

    /// The fast path: a request without a body, answered by what its handler wrote.
    private func exchange(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        unsafe layOut(connection, base, body: base, 0)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = unsafe callHandler(connection)
        let policy = unsafe settings.pointee.policy
        guard unsafe response.pointee.isPlain else {
            unsafe connection.pointee.machine.headParsed(
                hasBody: false, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: false, now: state.pointee.now, policy)
            unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, policy)
            return unsafe finishResponse(connection, base, head.pointee.headLength, unread: 0, elapsed)
        }
        let persistence = unsafe connection.pointee.machine.persistence(
            clientKeepsAlive: head.pointee.keepAlive, handlerCloses: response.pointee.closesConnection, policy)
        let bytes = unsafe writeWhole(connection, persistence)
        if unsafe connection.pointee.flags.contains(.closing) { return }  // no memory for the response: shed
        if unsafe state.pointee.observes { observe(UInt64(bytes), elapsed) }
        let step = unsafe connection.pointee.machine.exchanged(persistence, outputBytes: UInt64(bytes), now: state.pointee.now, policy)
        if persistence == .keepAlive { unsafe connection.pointee.flags.insert(.keptAlive) }
        switch step {
        case .nextRequest, .wait: break
        case .discardBody, .resumeHandler, .respond, .linger, .close, .abort: unsafe perform(connection, step)
        }
    }

    /// Calls the handler again for a request that waited for a cold file.
    func retry(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ count: Int, bodyOffset: Int, bodyCount: Int
    ) {
        let outcome = unsafe RequestParser.parse(
            base, count: count, alreadyScanned: 0, head: head, fields: fields, fieldCapacity: settings.pointee.fieldCapacity,
            limits: settings.pointee.limits)
        guard case .complete = outcome else { return unsafe fault(connection, .badLeadingLines) }
        unsafe layOut(connection, base, body: base + bodyOffset, bodyCount)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = unsafe callHandler(connection)
        unsafe finishResponse(connection, base, count, unread: 0, elapsed)
    }

    /// Calls the handler on what `layOut` prepared; answers its duration in ticks.
    private func callHandler(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        if ur_probe_handler_start() { unsafe ur_fire_handler_start(connection.pointee.id, UInt64(context.pointee.bodyCount), kernel.now()) }
        let box = unsafe state.pointee.handler
        do {
            try unsafe box._withUnsafeGuaranteedRef { box throws in
                var response = unsafe Response(self.response, context)
                try unsafe box.handle(Request(context), &response)
            }
        } catch {
            handlerFailed(error)
        }
        if unsafe response.pointee.receiver != nil, unsafe !context.pointee.isStreaming { receiveWhole() }
        let elapsed = lap()
        // A 2xx to CONNECT promises a tunnel (RFC 9110 section 9.3.6), which only an upgrade handler could make.
        if unsafe head.pointee.method == .connect && response.pointee.status.isSuccess && response.pointee.upgrade == nil {
            unsafe response.pointee.restart(.notImplemented)
        }
        if ur_probe_handler_end() { unsafe ur_fire_handler_end(connection.pointee.id, UInt64(response.pointee.body.count), kernel.now()) }
        unsafe state.pointee.handledInTurn &+= 1
        if unsafe elapsed > state.pointee.stallTicks { reportStall(elapsed) }
        if unsafe response.pointee.refusedField { refusedField() }
        return elapsed
    }

    /// Ticks since the last lap or the beginning of the turn. One reading per request serves as the end of one handler and the beginning
    /// of the next, so a duration includes parsing its request: nanoseconds, against a threshold of milliseconds.
    func lap() -> UInt64 {
        let now = kernel.ticks()
        let elapsed = unsafe now &- state.pointee.lastTicks
        unsafe state.pointee.lastTicks = now
        return elapsed
    }

    /// A receiver whose body is here already, or is empty, gets it in one piece.
    @inline(never)
    private func receiveWhole() {
        guard let receiver = unsafe response.pointee.receiver else { return }
        unsafe response.pointee.receiver = nil
        do {
            var response = unsafe Response(self.response, context)
            // The loop keeps the body in place until this call returns.
            let body = unsafe Span<UInt8>(_unsafeStart: context.pointee.body, count: context.pointee.bodyCount)
            _ = try receiver.receive(RequestBodyPart(ByteView(body), isLast: true), &response)
        } catch {
            handlerFailed(error)
        }
    }

    /// Answers for an error that a handler threw.
    /// - Parameter kept: the request, when its bytes are gone.
    @inline(never)
    func handlerFailed(_ error: any Error, of kept: LoggedExchange? = nil) {
        let answer = ErrorAnswer(error)
        unsafe answer.write(to: Response(response, context))
        guard answer.isReported else { return }
        unsafe meter.pointee.handlerErrors &+= 1
        unsafe state.pointee.reporter?.handlerFailed(routeName(kept), error)
    }

    @inline(never)
    private func refusedField(of kept: LoggedExchange? = nil) {
        unsafe response.pointee.restart(.internalServerError)
        unsafe state.pointee.reporter?.fieldRefused(routeName(kept))
    }

    @inline(never)
    func reportStall(_ elapsed: UInt64, of kept: LoggedExchange? = nil) {
        unsafe meter.pointee.stalls &+= 1
        unsafe state.pointee.reporter?.stalled(LoopStall(loop: index, route: routeName(kept), nanoseconds: kernel.nanoseconds(ticks: elapsed)))
    }

    private func routeName(_ kept: LoggedExchange?) -> String {
        if let name = unsafe response.pointee.routeName { return name.description }
        if let kept { return String(decoding: kept.bytes.dropFirst(Int(kept.head.pathOffset)).prefix(min(Int(kept.head.pathLength), 256)), as: UTF8.self) }
        let target = unsafe head.pointee
        return unsafe String(decoding: UnsafeBufferPointer(start: context.pointee.base + target.pathOffset, count: min(target.pathLength, 256)), as: UTF8.self)
    }

    // MARK: bodies

    private func beginBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let policy = unsafe settings.pointee.policy
        var progress = unsafe BodyProgress()
        switch unsafe head.pointee.framing {
        case .none: preconditionFailure("BUG: a body without framing")
        case .chunked:
            unsafe progress.chunked = true
            unsafe progress.decoder = unsafe ChunkedDecoder(bodyBytesMax: settings.pointee.bodyBytesMax)
        case .length(let length):
            guard unsafe length <= settings.pointee.bodyBytesMax else {
                unsafe fault(connection, .bodyTooLarge)
                return count
            }
            unsafe progress.remaining = length
        }
        unsafe progress.headLength = unsafe head.pointee.headLength
        unsafe (progress.bodyEnd, progress.rawPosition) = unsafe (progress.headLength, progress.headLength)
        let expects = unsafe head.pointee.expectContinue
        unsafe connection.pointee.machine.headParsed(
            hasBody: true, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: expects, now: state.pointee.now, policy)
        if unsafe state.pointee.streamsBodies, unsafe wantsStream(connection, base) {
            unsafe progress.mode = .stream
            unsafe connection.pointee.body = unsafe progress
            unsafe beginStreamed(connection, base)
            return unsafe progress.headLength
        }
        unsafe progress.mode = .buffer
        unsafe connection.pointee.body = unsafe progress
        // A client that sends its body at once has not waited, and needs no 100 (RFC 9110 section 10.1.1).
        if expects, unsafe count == progress.headLength { unsafe sendContinue(connection) }
        if let used = unsafe continueBuffered(connection, base, &available) { return used }
        unsafe armTimer(connection)
        return nil
    }

    func sendContinue(_ connection: UnsafeMutablePointer<Connection>) {
        let text = ResponseEncoder.continueResponse
        unsafe appendOutput(connection, text.utf8Start, text.utf8CodeUnitCount)
        if unsafe connection.pointee.flags.contains(.closing) { return }
        unsafe connection.pointee.machine.outputQueued(UInt64(text.utf8CodeUnitCount), now: state.pointee.now, settings.pointee.policy)
        unsafe connection.pointee.machine.continueSent(now: state.pointee.now, settings.pointee.policy)
    }

    /// nil while the body is not whole. `available` shrinks by the chunked coding that was removed.
    private func continueBuffered(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int
    ) -> Int? {
        let progress = unsafe connection.pointee.body
        let fresh = unsafe available &- progress.rawPosition
        if fresh > 0 { unsafe connection.pointee.machine.bodyBytes(UInt64(fresh), now: state.pointee.now, settings.pointee.policy) }
        if unsafe !progress.chunked {
            let total = unsafe UInt64(progress.headLength) &+ progress.remaining
            guard UInt64(available) >= total else {
                unsafe connection.pointee.body.rawPosition = available
                return nil
            }
            unsafe bodyComplete(connection, base, base + progress.headLength, Int(progress.remaining))
            return Int(total)
        }
        var (to, from) = unsafe (progress.bodyEnd, progress.rawPosition)
        while true {
            switch unsafe connection.pointee.body.decoder.decode(base + from, count: available &- from) {
            case .data(let offset, let length):
                unsafe memmove(base + to, base + from + offset, length)
                to &+= length
                from &+= offset &+ length
            case .needMore(let consumed):
                from &+= consumed
                let tail = available &- from
                if tail > 0, to != from { unsafe memmove(base + to, base + from, tail) }
                unsafe (connection.pointee.body.bodyEnd, connection.pointee.body.rawPosition) = (to, to)
                available = to &+ tail
                return nil
            case .end(let consumed, _):
                unsafe bodyComplete(connection, base, base + progress.headLength, to &- progress.headLength)
                return from &+ consumed
            case .malformed(let fault):
                unsafe connection.pointee.body = unsafe BodyProgress()
                unsafe self.fault(connection, fault)
                return available
            }
        }
    }

    private func bodyComplete(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ body: UnsafeMutablePointer<UInt8>, _ bodyCount: Int
    ) {
        // The head was parsed once already; parsing it again is cheaper than keeping a table of fields for every connection with a body.
        let outcome = unsafe RequestParser.parse(
            base, count: connection.pointee.body.headLength, alreadyScanned: 0, head: head, fields: fields,
            fieldCapacity: settings.pointee.fieldCapacity, limits: settings.pointee.limits)
        unsafe connection.pointee.body = unsafe BodyProgress()
        guard case .complete = outcome else { return unsafe fault(connection, .badLeadingLines) }
        unsafe layOut(connection, base, body: body, bodyCount)
        _ = unsafe connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy)
        unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = unsafe callHandler(connection)
        unsafe finishResponse(connection, base, (body - base) + bodyCount, unread: 0, elapsed)
    }

    // MARK: streamed bodies

    private func wantsStream(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) -> Bool {
        unsafe layOut(connection, base, body: base, 0)
        guard let wants = unsafe state.pointee.handler._withUnsafeGuaranteedRef({ $0.wantsStream }) else { return false }
        return unsafe wants(Request(context))
    }

    private func beginStreamed(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        unsafe context.pointee.isStreaming = true
        unsafe context.pointee.contentLength = unsafe connection.pointee.body.chunked ? nil : connection.pointee.body.remaining
        unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: true)
        let elapsed = unsafe callHandler(connection)
        if let receiver = unsafe response.pointee.receiver {
            let exchange = unsafe makeExchange(connection)
            exchange.receiver = receiver
            unsafe response.pointee.receiver = nil
            // The request's bytes are gone when the receiver runs: logs and reports need a copy.
            exchange.logged = unsafe LoggedExchange(context, response, began: state.pointee.now)
            exchange.pendingResponse = unsafe PendingResponse(response, head: head.pointee)
            if unsafe head.pointee.expectContinue { unsafe sendContinue(connection) }
            unsafe armTimer(connection)
        } else {
            // The handler answered without the body: what is small enough is read and thrown away, else the connection closes.
            unsafe connection.pointee.body.mode = .discard
            unsafe finishResponse(connection, base, head.pointee.headLength, unread: unreadBytes(connection), elapsed)
        }
    }

    private func unreadBytes(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        switch unsafe connection.pointee.body.mode {
        case .none, .buffer: 0
        case .stream, .discard: unsafe connection.pointee.body.chunked ? .max : connection.pointee.body.remaining
        }
    }

    /// Hands body bytes to the receiver, or to nobody; answers how many bytes were used.
    private func consumeBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        let policy = unsafe settings.pointee.policy
        guard unsafe !connection.pointee.machine.isEnding else { return 0 }
        if unsafe !connection.pointee.body.chunked {
            let take = unsafe Int(min(UInt64(count), connection.pointee.body.remaining))
            unsafe connection.pointee.body.remaining &-= UInt64(take)
            unsafe connection.pointee.machine.bodyBytes(UInt64(take), now: state.pointee.now, policy)
            let ended = unsafe connection.pointee.body.remaining == 0
            unsafe deliver(connection, base, take, isLast: ended)
            if ended { unsafe streamedBodyEnded(connection) }
            return take
        }
        switch unsafe connection.pointee.body.decoder.decode(base, count: count) {
        case .data(let offset, let length):
            unsafe connection.pointee.machine.bodyBytes(UInt64(offset &+ length), now: state.pointee.now, policy)
            unsafe deliver(connection, base + offset, length, isLast: false)
            return offset &+ length
        case .needMore(let consumed):
            unsafe connection.pointee.machine.bodyBytes(UInt64(consumed), now: state.pointee.now, policy)
            return consumed
        case .end(let consumed, _):
            unsafe deliver(connection, base, 0, isLast: true)
            unsafe streamedBodyEnded(connection)
            return consumed
        case .malformed(let fault):
            unsafe connection.pointee.body = unsafe BodyProgress()
            unsafe self.fault(connection, fault)
            return count
        }
    }

    private func streamedBodyEnded(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.body.mode != .none, unsafe !connection.pointee.flags.contains(.closing) else { return }
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe perform(connection, connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy))
        unsafe completePending(connection)
    }

    private func deliver(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool) {
        guard unsafe connection.pointee.body.mode == .stream, let held = unsafe connection.pointee.exchange else { return }
        let exchange = unsafe held.takeUnretainedValue()
        guard let receiver = exchange.receiver, let pending = exchange.pendingResponse else { return }
        unsafe pending.exchange(response)
        unsafe context.pointee.connection = unsafe connection
        let span = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(bytes), count: count)
        _ = lap()
        var finished = isLast
        do {
            var response = unsafe Response(self.response, context)
            switch try receiver.receive(RequestBodyPart(ByteView(span), isLast: isLast), &response) {
            case .more: break
            case .pause: if !isLast { unsafe pauseBody(connection) }
            case .finish: finished = true
            }
        } catch {
            handlerFailed(error, of: exchange.logged)
            finished = true
        }
        let elapsed = lap()
        if unsafe elapsed > state.pointee.stallTicks { reportStall(elapsed, of: exchange.logged) }
        unsafe pending.exchange(response)
        if finished {
            exchange.receiver = nil
            if !isLast {
                unsafe connection.pointee.flags.remove(.bodyPaused)
                unsafe connection.pointee.body.mode = .discard
                unsafe completePending(connection)
            }
        }
    }

    /// The receiver has finished: its response goes out.
    private func completePending(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.receiver == nil,
            let pending = exchange.pendingResponse, unsafe !connection.pointee.machine.isEnding
        else { return }
        exchange.pendingResponse = nil
        unsafe pending.exchange(response)
        unsafe head.pointee = pending.head
        if unsafe response.pointee.refusedField { refusedField(of: exchange.logged) }
        unsafe finishResponse(connection, nil, 0, unread: unreadBytes(connection), 0)
        // Produced content and upgrades still need it; otherwise it would speak for the connection's next request.
        if exchange.producer == nil, exchange.upgrade == nil { unsafe dropExchange(connection) }
    }

    func makeExchange(_ connection: UnsafeMutablePointer<Connection>) -> Exchange {
        if let exchange = unsafe connection.pointee.exchange { return unsafe exchange.takeUnretainedValue() }
        let exchange = Exchange()
        unsafe connection.pointee.exchange = unsafe Unmanaged.passRetained(exchange)
        return exchange
    }

    func dropExchange(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange else { return }
        unsafe connection.pointee.exchange = nil
        unsafe connection.pointee.producerWakeAt = .max
        unsafe exchange.release()
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
