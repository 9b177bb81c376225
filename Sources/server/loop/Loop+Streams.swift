// Bodies that are handed over as they come, or thrown away. The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    func wantsStream(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) -> Bool {
        unsafe layOut(connection, base, body: base, 0)
        guard let wants = unsafe state.pointee.handler._withUnsafeGuaranteedRef({ $0.wantsStream }) else { return false }
        return unsafe wants(Request(context))
    }

    /// The most bytes that the body of the request that was just parsed may have.
    func bodyLimit(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) -> UInt64 {
        guard unsafe state.pointee.limitsBodies else { return unsafe settings.pointee.bodyBytesMax }
        unsafe layOut(connection, base, body: base, 0)
        let own = unsafe state.pointee.handler._withUnsafeGuaranteedRef { handler in unsafe handler.bodyLimit?(Request(context)) }
        return unsafe own ?? settings.pointee.bodyBytesMax
    }

    func beginStreamed(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        unsafe context.pointee.isStreaming = true
        unsafe context.pointee.opensPatiently = true
        unsafe context.pointee.contentLength = unsafe connection.pointee.body.chunked ? nil : connection.pointee.body.remaining
        unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: true)
        var elapsed = unsafe callHandler(connection)
        if goesOnAsync {
            let body = AsyncBodySource(executor)
            body.connection = unsafe connection.pointee.handle
            if let worker = startAsync(&elapsed, body: body) {
                unsafe attach(worker, connection)
                if unsafe head.pointee.expectContinue { unsafe sendContinue(connection) }
                return
            }
        }
        if isLeft {
            let expectsContinue = unsafe head.pointee.expectContinue
            unsafe leave(connection)
            // Not behind an answer, which may have been given at once.
            guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.responder != nil, !exchange.isRelayed else { return }
            if expectsContinue { unsafe sendContinue(connection) }
            return
        }
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

    func unreadBytes(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        // Of no consequence for a connection that others use.
        if unsafe connection.pointee.flags.contains(.stream) { return 0 }
        return switch unsafe connection.pointee.body.mode {
        case .none, .buffer, .tunnel: 0
        case .stream, .discard: unsafe connection.pointee.body.chunked ? .max : connection.pointee.body.remaining
        }
    }

    /// The largest piece that is handed over: what a bulk receive brings. In `carry` there may be more, because a multishot receive goes on until its cancellation is seen. 64 KiB.
    static var pieceBytesMax: Int { bulkBytes }

    /// Hands body bytes to the receiver, or to nobody; answers how many bytes were used.
    func consumeBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        let policy = unsafe settings.pointee.policy
        guard unsafe !connection.pointee.machine.isEnding else { return 0 }
        if unsafe !connection.pointee.body.chunked {
            let take = unsafe Int(min(UInt64(min(count, Self.pieceBytesMax)), connection.pointee.body.remaining))
            unsafe connection.pointee.body.remaining &-= UInt64(take)
            unsafe connection.pointee.machine.bodyBytes(UInt64(take), now: state.pointee.now, policy)
            let ended = unsafe connection.pointee.body.remaining == 0
            unsafe deliver(connection, base, take, isLast: ended)
            if ended { unsafe streamedBodyEnded(connection) }
            return take
        }
        // Fields behind the last chunk are taken when they are whole: they have fewer bytes than a piece (`ParserLimits.trailerBytesMax`).
        switch unsafe connection.pointee.body.decoder.decode(
            base, count: min(count, Self.pieceBytesMax), trailers: trailers, trailerCapacity: ParserLimits.trailerCountMax)
        {
        case .data(let offset, let length):
            unsafe connection.pointee.machine.bodyBytes(UInt64(offset &+ length), now: state.pointee.now, policy)
            unsafe deliver(connection, base + offset, length, isLast: false)
            return offset &+ length
        case .needMore(let consumed):
            unsafe connection.pointee.machine.bodyBytes(UInt64(consumed), now: state.pointee.now, policy)
            return consumed
        case .end(let consumed, let trailerCount):
            unsafe layOutTrailers(base, trailerCount)
            unsafe deliver(connection, base, 0, isLast: true)
            unsafe context.pointee.trailerCount = 0
            unsafe streamedBodyEnded(connection)
            return consumed
        case .malformed(let fault):
            unsafe connection.pointee.body = unsafe BodyProgress()
            unsafe self.fault(connection, fault)
            return count
        }
    }

    func streamedBodyEnded(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.body.mode != .none, unsafe !connection.pointee.flags.contains(.closing) else { return }
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe perform(connection, connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy))
        unsafe completePending(connection)
    }

    func deliver(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool) {
        guard unsafe connection.pointee.body.mode == .stream, let held = unsafe connection.pointee.exchange else { return }
        let exchange = unsafe held.takeUnretainedValue()
        if let body = exchange.body {
            if unsafe body.take(bytes, count, isLast: isLast, trailerFields) { unsafe pauseBody(connection) }
            return
        }
        if let responder = exchange.responder {
            if unsafe self.body(responder, connection, bytes, count, isLast: isLast) { unsafe pauseBody(connection) }
            return
        }
        guard let receiver = exchange.receiver, let pending = exchange.pendingResponse else { return }
        unsafe pending.exchange(response)
        unsafe context.pointee.connection = unsafe connection
        unsafe context.pointee.opensPatiently = true
        let span = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(bytes), count: count)
        _ = lap()
        var finished = isLast
        do {
            var response = unsafe Response(self.response, context)
            switch try receiver.receive(RequestBodyPart(ByteView(span), isLast: isLast, trailerFields), &response) {
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
    func completePending(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), exchange.receiver == nil,
            let pending = exchange.pendingResponse, unsafe !connection.pointee.machine.isEnding
        else { return }
        exchange.pendingResponse = nil
        unsafe pending.exchange(response)
        unsafe head.pointee = pending.head
        if unsafe response.pointee.refusedField { refusedField(of: exchange.logged) }
        unsafe finishResponse(connection, nil, 0, unread: unreadBytes(connection), 0)
        unsafe dropAnswered(connection, exchange)
    }

    /// The response of an exchange is queued, and what made it is gone. Produced content, trailers and upgrades still need the exchange; otherwise it would speak for the
    /// connection's next request.
    func dropAnswered(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) {
        guard exchange.producer == nil, exchange.upgrade == nil, exchange.trailers.isEmpty, unsafe connection.pointee.exchange?.takeUnretainedValue() === exchange
        else { return }
        unsafe dropExchange(connection)
    }

    func makeExchange(_ connection: UnsafeMutablePointer<Connection>) -> Exchange {
        if let exchange = unsafe connection.pointee.exchange { return unsafe exchange.takeUnretainedValue() }
        return unsafe give(connection, Exchange())
    }

    /// Begins an exchange where there is none.
    func give(_ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange) -> Exchange {
        unsafe connection.pointee.exchange = unsafe Unmanaged.passRetained(exchange)
        return exchange
    }

    func dropExchange(_ connection: UnsafeMutablePointer<Connection>) {
        guard let exchange = unsafe connection.pointee.exchange else { return }
        unsafe connection.pointee.exchange = nil
        if unsafe connection.pointee.tunnel == nil { unsafe connection.pointee.producerWakeAt = .max }
        if let worker = unsafe exchange.takeUnretainedValue().worker { cancelAsync(worker) }
        if let responder = unsafe exchange.takeUnretainedValue().responder { cancel(responder) }
        if unsafe exchange.takeUnretainedValue().isKept { unsafe exchange.takeUnretainedValue().reuse() }
        unsafe exchange.release()
    }
}
