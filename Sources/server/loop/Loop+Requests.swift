// Requests: from bytes to the handler's call. The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    /// Takes up every request that is complete in `bytes[..<count]`; answers how many bytes are used. What is left is the beginning of
    /// one that is not complete, or waits for its turn. `count` shrinks when chunked coding is removed from a body under way.
    func process(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: inout Int) -> Int {
        var start = 0
        unsafe state.pointee.processing = unsafe connection
        defer { unsafe state.pointee.processing = nil }
        mark(.dispatch)
        if let http2 = unsafe connection.pointee.http2 { return unsafe processHTTP2(connection, http2, bytes, count) }
        // A head that was begun as HTTP/1.1 is finished as such, whatever a reload made of the listener meanwhile.
        if unsafe connection.pointee.machine.requests == 0 && connection.pointee.scanned == 0 && connection.pointee.tls == nil && connection.pointee.body.mode == .none {
            switch unsafe Self.firstBytes(bytes, count, state.pointee.listeners[Int(connection.pointee.listener)].http2) {
            case .http1: break
            case .unclear:
                unsafe connection.pointee.machine.firstBytes(now: state.pointee.now, settings.pointee.policy)
                unsafe armTimer(connection)
                return 0
            case .http2:
                guard unsafe connection.pointee.machine.isBetweenExchanges else { break }
                unsafe beginHTTP2(connection)
                return unsafe connection.pointee.http2.map { unsafe processHTTP2(connection, $0, bytes, count) } ?? count
            }
        }
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
            case .tunnel:
                let used = unsafe tunnelInput(connection, bytes + start, count &- start)
                start &+= used
                // When it has ended the tunnel, what is left is nobody's.
                if unsafe connection.pointee.body.mode == .tunnel { return start }
            }
        }
        return min(start, count)
    }

    /// Bytes that nobody will parse: after the last request, after a fault, in a lingering close.
    func discardInput(_ connection: UnsafeMutablePointer<Connection>, _ unused: Int, _ count: Int) -> Int {
        if unsafe connection.pointee.machine.isUpgrading { return count &- unused }
        unsafe perform(connection, connection.pointee.machine.discarded(UInt64(unused)))
        return count
    }

    /// nil when the head is not complete.
    func beginRequest(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let outcome = unsafe RequestParser.parse(
            base, count: count, alreadyScanned: connection.pointee.scanned, head: head, fields: fields,
            fieldCapacity: settings.pointee.fieldCapacity, limits: settings.pointee.limits)
        switch outcome {
        case .complete:
            unsafe connection.pointee.scanned = 0
            unsafe requestParsed(connection)
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

    func layOut(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafePointer<UInt8>, body: UnsafePointer<UInt8>, _ bodyCount: Int
    ) {
        unsafe context.pointee.base = unsafe base
        unsafe context.pointee.body = unsafe body
        unsafe context.pointee.bodyCount = bodyCount
        unsafe context.pointee.contentLength = UInt64(bodyCount)
        unsafe context.pointee.isStreaming = false
        unsafe context.pointee.opensPatiently = false
        unsafe context.pointee.connection = unsafe connection
        unsafe context.pointee.connectionID = unsafe connection.pointee.id
        unsafe captures.pointee.count = 0
        unsafe context.pointee.trailerCount = 0
        if unsafe arena.pointee.used > 0 { unsafe arena.pointee.reset() }
        if unsafe head.pointee.pathLength == 0, unsafe head.pointee.targetForm == .absolute {
            // `http://host` asks for "/" (RFC 9110 section 4.2.3): the slash before the authority stands for it.
            unsafe (head.pointee.pathOffset, head.pointee.pathLength) = unsafe (head.pointee.authorityOffset &- 1, 1)
        }
    }

    /// The fast path: a request without a body, answered by what its handler wrote.
    func exchange(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>) {
        unsafe layOut(connection, base, body: base, 0)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        var elapsed = unsafe callHandler(connection)
        let policy = unsafe settings.pointee.policy
        if goesOnAsync, let worker = startAsync(&elapsed) {
            unsafe connection.pointee.machine.headParsed(
                hasBody: false, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: false, now: state.pointee.now, policy)
            unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, policy)
            return unsafe attach(worker, connection)
        }
        if unsafe response.pointee.hasSteps, !isLeft { runStepsEarly() }
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
        unsafe responseWritten(connection, on: connection)
        if persistence == .keepAlive { unsafe connection.pointee.flags.insert(.keptAlive) }
        switch step {
        case .nextRequest, .wait: break
        case .discardBody, .resumeHandler, .respond, .goAway, .linger, .close, .abort: unsafe perform(connection, step)
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
    func callHandler(_ connection: UnsafeMutablePointer<Connection>) -> UInt64 {
        unsafe handlerBegins(connection)
        var threw = false
        let box = unsafe state.pointee.handler
        do {
            try unsafe box._withUnsafeGuaranteedRef { box throws in
                var response = unsafe Response(self.response, context)
                try unsafe box.handle(Request(context), &response)
            }
        } catch {
            threw = true
            handlerFailed(error)
        }
        if unsafe response.pointee.receiver != nil, unsafe !context.pointee.isStreaming { receiveWhole() }
        let elapsed = lap()
        // A 2xx to CONNECT promises a tunnel (RFC 9110 section 9.3.6).
        if unsafe head.pointee.method == .connect && response.pointee.status.isSuccess && response.pointee.upgrade == nil,
            unsafe response.pointee.tunnel == nil && response.pointee.responder == nil
        {
            unsafe response.pointee.restart(.notImplemented)
        }
        unsafe handlerReturned(connection, threw: threw)
        unsafe state.pointee.handledInTurn &+= 1
        if unsafe flight != nil, unsafe goesOnAsync || !response.pointee.isPlain { unsafe noteBegun(connection, elapsed) }
        if unsafe elapsed > state.pointee.stallTicks { reportStall(elapsed) }
        if unsafe response.pointee.refusedField { refusedField() }
        return elapsed
    }

    /// Where the decoder left the trailer fields of the body that has just ended.
    func layOutTrailers(_ base: UnsafePointer<UInt8>, _ count: Int) {
        unsafe (context.pointee.trailerBase, context.pointee.trailerCount) = unsafe (base, count)
    }

    var trailerFields: RequestHeaders {
        @_lifetime(immortal) get {
            unsafe RequestHeaders(context.pointee.trailerBase, context.pointee.trailerFields, count: context.pointee.trailerCount)
        }
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
    func receiveWhole() {
        guard let receiver = unsafe response.pointee.receiver else { return }
        unsafe response.pointee.receiver = nil
        do {
            var response = unsafe Response(self.response, context)
            // The loop keeps the body in place until this call returns.
            let body = unsafe Span<UInt8>(_unsafeStart: context.pointee.body, count: context.pointee.bodyCount)
            _ = try receiver.receive(RequestBodyPart(ByteView(body), isLast: true, trailerFields), &response)
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
    func refusedField(of kept: LoggedExchange? = nil) {
        unsafe response.pointee.restart(.internalServerError)
        unsafe state.pointee.reporter?.fieldRefused(routeName(kept))
    }

    @inline(never)
    func reportStall(_ elapsed: UInt64, of kept: LoggedExchange? = nil) {
        unsafe meter.pointee.stalls &+= 1
        unsafe note(.stall, connection: context.pointee.connectionID, value: kernel.nanoseconds(ticks: elapsed), detail: (kept?.route ?? response.pointee.routeName)?.address ?? 0)
        unsafe state.pointee.reporter?.stalled(LoopStall(loop: index, route: routeName(kept), nanoseconds: kernel.nanoseconds(ticks: elapsed)))
    }

    func routeName(_ kept: LoggedExchange?) -> String {
        if let name = unsafe response.pointee.routeName { return name.description }
        if let kept { return String(decoding: kept.bytes.dropFirst(Int(kept.head.pathOffset)).prefix(min(Int(kept.head.pathLength), 256)), as: UTF8.self) }
        let target = unsafe head.pointee
        return unsafe String(decoding: UnsafeBufferPointer(start: context.pointee.base + target.pathOffset, count: min(target.pathLength, 256)), as: UTF8.self)
    }
}
