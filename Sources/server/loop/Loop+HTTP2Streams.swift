// Streams: requests on HTTP/2. One without a body whose response fits the windows is answered at once and leaves no trace; any other works in a
// slot of the slab, with the machine, timers, body handling and output queue of an HTTP/1.1 connection. The loop's thread.
//
// Pointers: as in Loop+HTTP2.swift; a stream's slot stays valid until the turn that ends it is over.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    // MARK: requests

    /// The head of a request is in the loop's storage.
    func takeRequest(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, _ endStream: Bool) {
        unsafe requestParsed(connection, stream: http2.pointee.engine.streamID(slot))
        unsafe countRequest(connection)
        nameHost()
        guard endStream else {
            // CONNECT has no body: its data is the tunnel's (RFC 9113 section 8.5).
            if unsafe head.pointee.method == .connect { return unsafe beginConnect(connection, http2, slot) }
            return unsafe beginStreamBody(connection, http2, slot)
        }
        unsafe layOut(connection, headText, body: headText, 0)
        unsafe state.pointee.requestSlot = slot
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        var elapsed = unsafe callHandler(connection)
        let worker = goesOnAsync ? startAsync(&elapsed) : nil
        unsafe state.pointee.requestSlot = .none
        if let worker {
            guard let stream = unsafe openStream(connection, http2, slot) else { return cancelAsync(worker) }
            return unsafe attach(worker, stream)
        }
        if unsafe response.pointee.hasSteps, !isLeft { runStepsEarly() }
        let count = unsafe response.pointee.body.count
        if unsafe response.pointee.isPlain, unsafe http2.pointee[slot] == nil, unsafe http2.pointee.engine.canSendWhole(slot, count) {
            let bytes = unsafe writeWhole(connection, http2, slot)
            if unsafe connection.pointee.flags.contains(.closing) { return }
            if unsafe state.pointee.observes { observe(UInt64(bytes), elapsed) }
            unsafe responseWritten(connection, on: connection)
            if unsafe response.pointee.closesConnection { unsafe goAway(connection) }
            return
        }
        guard let stream = unsafe openStream(connection, http2, slot) else { return }
        unsafe context.pointee.connection = unsafe stream
        unsafe stream.pointee.flags.insert(.endOfInput)
        unsafe finishStream(stream, elapsed)
    }

    /// The handler answers at once, and the stream stays open when its answer is a tunnel.
    private func beginConnect(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) {
        guard let stream = unsafe openStream(connection, http2, slot) else { return }
        unsafe stream.pointee.body.mode = .discard
        unsafe layOut(stream, headText, body: headText, 0)
        unsafe response.pointee.begin(isHead: false, streaming: false)
        let elapsed = unsafe callHandler(stream)
        unsafe finishStream(stream, elapsed)
    }

    /// Handlers that look for Host find what `:authority` says, as on HTTP/1.1 (RFC 9113 section 8.3.1): one more field at the end, whose value lies
    /// where it was decoded.
    private func nameHost() {
        let (count, end) = unsafe (head.pointee.fieldCount, head.pointee.headLength)
        let name: StaticString = "host"
        guard unsafe head.pointee.authorityLength > 0, unsafe end &+ name.utf8CodeUnitCount <= http2Head.textCapacity, unsafe count < settings.pointee.fieldCapacity
        else { return }
        for index in 0..<count where unsafe fields[index].known == .host { return }
        unsafe (headText + end).update(from: name.utf8Start, count: name.utf8CodeUnitCount)
        unsafe fields[count] = unsafe FieldSlot(
            nameOffset: UInt32(truncatingIfNeeded: end), valueOffset: UInt32(truncatingIfNeeded: head.pointee.authorityOffset),
            valueLength: UInt32(truncatingIfNeeded: head.pointee.authorityLength), nameLength: UInt16(name.utf8CodeUnitCount), known: .host)
        unsafe (head.pointee.fieldCount, head.pointee.headLength) = (count &+ 1, end &+ name.utf8CodeUnitCount)
    }

    /// A request has arrived: idle time is over.
    private func countRequest(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.requestsServed &+= 1
        unsafe connection.pointee.machine.streamsChanged(any: true, now: state.pointee.now, settings.pointee.policy)
    }

    /// The slot of a stream; made now when the stream has none. nil when there is none left: the client may try again.
    func openStream(
        _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, hasBody: Bool = false, refuses: Bool = true
    ) -> UnsafeMutablePointer<Connection>? {
        if let handle = unsafe http2.pointee[slot] {
            let stream = unsafe connections.pointee.pointer(handle)
            // While its handler runs the request is the connection's: a handle that the handler makes changes nothing of that.
            if refuses, let stream = unsafe stream { unsafe adoptMark(stream, from: connection) }
            return unsafe stream
        }
        guard let handle = unsafe connections.pointee.claim(), let stream = unsafe connections.pointee.pointer(handle) else {
            guard refuses else { return nil }
            unsafe meter.pointee.streamsRefused &+= 1
            if unsafe connection.pointee.trace != nil { unsafe traceAborted(connection, .overload) }
            unsafe http2.pointee.engine.reset(slot, .refusedStream)
            unsafe flushControl(connection, http2)
            return nil
        }
        let (now, policy) = unsafe (state.pointee.now, settings.pointee.policy)
        unsafe stream.initialize(
            to: Connection(
                handle: handle, fd: -1, listener: connection.pointee.listener, id: connection.pointee.id,
                machine: KeepAliveMachine(openedAt: now, policy)))
        unsafe stream.pointee.flags = [.open, .stream]
        unsafe (stream.pointee.carrier, stream.pointee.streamSlot) = unsafe (connection.pointee.handle, slot)
        if refuses { unsafe adoptMark(stream, from: connection) }
        unsafe http2.pointee[slot] = handle
        unsafe state.pointee.streams &+= 1
        unsafe stream.pointee.machine.headParsed(
            hasBody: hasBody, clientKeepsAlive: true, expectsContinue: head.pointee.expectContinue, now: now, policy)
        if !hasBody { unsafe stream.pointee.machine.handlerStarted(now: now, policy) }
        return unsafe stream
    }

    /// The carrier of a stream, while it lives.
    func carrier(
        _ stream: UnsafeMutablePointer<Connection>
    ) -> (connection: UnsafeMutablePointer<Connection>, http2: UnsafeMutablePointer<HTTP2Transport>)? {
        guard let connection = unsafe connections.pointee.pointer(stream.pointee.carrier), let http2 = unsafe connection.pointee.http2,
            unsafe !connection.pointee.flags.contains(.closing)
        else { return nil }
        return unsafe (connection, http2)
    }

    /// A field list that is larger than the limit: nothing of it is known but that it was asked.
    func refuseHead(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, _ endStream: Bool) {
        unsafe head.pointee = RequestHead()
        unsafe countRequest(connection)
        if unsafe connection.pointee.trace != nil { unsafe traceNumber(connection, http2.pointee.engine.streamID(slot)) }
        guard let stream = unsafe openStream(connection, http2, slot, hasBody: !endStream) else { return }
        if !endStream { unsafe stream.pointee.body.mode = .discard }
        unsafe fault(stream, .headTooLarge)
    }

    // MARK: bodies

    private func beginStreamBody(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) {
        guard let stream = unsafe openStream(connection, http2, slot, hasBody: true) else { return }
        var progress = unsafe BodyProgress()
        let limit = unsafe bodyLimit(stream, headText)
        if case .length(let length) = unsafe head.pointee.framing {
            guard length <= limit else { return unsafe fault(stream, .bodyTooLarge) }
            unsafe progress.remaining = length
        } else {
            // What may still come. A length that was said is kept by the engine.
            unsafe (progress.chunked, progress.remaining) = (true, limit)
        }
        if unsafe state.pointee.streamsBodies, unsafe wantsStream(stream, headText) {
            // Who takes a stream counts for himself, unless the application says how much it may be.
            if unsafe progress.chunked && !state.pointee.limitsBodies { unsafe progress.remaining = .max }
            unsafe progress.mode = .stream
            unsafe stream.pointee.body = unsafe progress
            unsafe beginStreamed(stream, headText)
        } else {
            unsafe progress.mode = .buffer
            unsafe stream.pointee.body = unsafe progress
            guard unsafe keepHead(stream) else { return unsafe shed(stream) }
            unsafe stream.pointee.body.headLength = unsafe stream.pointee.carryCount
            if unsafe head.pointee.expectContinue { unsafe sendContinue(stream) }
        }
        unsafe armTimer(stream)
    }

    func takeData(
        _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ endStream: Bool
    ) {
        guard let handle = unsafe http2.pointee[slot], let stream = unsafe connections.pointee.pointer(handle), unsafe !stream.pointee.flags.contains(.closing) else {
            return unsafe http2.pointee.engine.consumed(slot, count)
        }
        let (now, policy) = unsafe (state.pointee.now, settings.pointee.policy)
        switch unsafe stream.pointee.body.mode {
        case .none, .discard: unsafe http2.pointee.engine.consumed(slot, count)
        case .tunnel: unsafe takeTunnelData(stream, http2, slot, bytes, count, endStream)
        case .buffer:
            unsafe stream.pointee.machine.bodyBytes(UInt64(count), now: now, policy)
            unsafe http2.pointee.engine.consumed(slot, count)
            let held = unsafe stream.pointee.carryCount &- stream.pointee.body.headLength
            guard unsafe !stream.pointee.body.chunked || UInt64(held &+ count) <= stream.pointee.body.remaining else { return unsafe fault(stream, .bodyTooLarge) }
            if count > 0, unsafe !keep(stream, bytes, count) { return unsafe shed(stream) }
            if endStream { unsafe streamBodyComplete(stream, trailerBase: headText, 0) }
        case .stream:
            if unsafe stream.pointee.body.chunked {
                guard unsafe UInt64(count) <= stream.pointee.body.remaining else {
                    unsafe http2.pointee.engine.consumed(slot, count)
                    return unsafe fault(stream, .bodyTooLarge)
                }
                unsafe stream.pointee.body.remaining &-= UInt64(count)
            }
            if endStream { unsafe stream.pointee.flags.insert(.endOfInput) }
            if unsafe stream.pointee.flags.contains(.bodyPaused) || stream.pointee.carryCount > 0 {
                // Not used yet, so its window stays as it is: at most that much is ever held.
                if count > 0, unsafe !keep(stream, bytes, count) { unsafe shed(stream) }
                return
            }
            unsafe stream.pointee.machine.bodyBytes(UInt64(count), now: now, policy)
            unsafe http2.pointee.engine.consumed(slot, count)
            unsafe deliverToStream(stream, bytes, count, isLast: endStream)
        }
    }

    /// The trailer fields of a request are in the loop's storage; they end it.
    func takeTrailers(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) {
        guard let handle = unsafe http2.pointee[slot], let stream = unsafe connections.pointee.pointer(handle), unsafe !stream.pointee.flags.contains(.closing)
        else { return }
        // The request's own head takes the loop's storage in a moment: its trailers move to theirs.
        let count = unsafe min(head.pointee.fieldCount, ParserLimits.trailerCountMax)
        unsafe trailers.update(from: fields, count: count)
        switch unsafe stream.pointee.body.mode {
        case .none, .discard: break
        // They end it and say nothing (RFC 9113 section 8.5 knows none).
        case .tunnel: unsafe takeTunnelData(stream, http2, slot, headText, 0, true)
        case .buffer: unsafe streamBodyComplete(stream, trailerBase: headText, count)
        case .stream:
            unsafe stream.pointee.flags.insert(.endOfInput)
            unsafe layOutTrailers(headText, count)
            // A receiver that is behind learns of the end, not of the trailers: they would have to be kept for it. An async handler's source keeps them.
            if unsafe stream.pointee.flags.contains(.bodyPaused) || stream.pointee.carryCount > 0 {
                if let body = unsafe stream.pointee.exchange?.takeUnretainedValue().body { body.keep(trailerFields) }
                unsafe context.pointee.trailerCount = 0
                return
            }
            unsafe deliverToStream(stream, headText, 0, isLast: true)
            unsafe context.pointee.trailerCount = 0
        }
    }

    private func deliverToStream(_ stream: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, isLast: Bool) {
        if count > 0 || isLast { unsafe deliver(stream, bytes, count, isLast: isLast) }
        if isLast { unsafe streamedBodyEnded(stream) }
        unsafe armTimer(stream)
    }

    /// What a receiver that paused has not had yet.
    func processStreamCarry(_ stream: UnsafeMutablePointer<Connection>) {
        if unsafe stream.pointee.body.mode == .tunnel { return unsafe processTunnelCarry(stream) }
        guard unsafe stream.pointee.body.mode == .stream, unsafe !stream.pointee.flags.contains(.bodyPaused) else { return }
        let isLast = unsafe stream.pointee.flags.contains(.endOfInput)
        let count = unsafe stream.pointee.carryCount
        guard count > 0 || isLast else { return }
        unsafe stream.pointee.machine.bodyBytes(UInt64(count), now: state.pointee.now, settings.pointee.policy)
        if let (connection, http2) = unsafe carrier(stream) {
            unsafe http2.pointee.engine.consumed(stream.pointee.streamSlot, count)
            unsafe flushControl(connection, http2)
        }
        // Out of the stream's hands before its receiver is called, which may end the stream.
        let (memory, capacity) = unsafe (stream.pointee.carry, stream.pointee.carryCapacity)
        unsafe (stream.pointee.carry, stream.pointee.carryCount, stream.pointee.carryCapacity) = (nil, 0, 0)
        unsafe deliverToStream(stream, memory ?? headText, count, isLast: isLast)
        if let memory = unsafe memory {
            if capacity == ChunkPool.chunkBytes { unsafe pool.pointee.give(memory) } else { unsafe pool.pointee.giveLarge(memory, capacity) }
        }
    }

    /// The body of a request that was kept is whole: now its handler is called.
    private func streamBodyComplete(_ stream: UnsafeMutablePointer<Connection>, trailerBase: UnsafePointer<UInt8>, _ trailerCount: Int) {
        let bodyOffset = unsafe stream.pointee.body.headLength
        let bodyCount = unsafe stream.pointee.carryCount &- bodyOffset
        unsafe stream.pointee.body = unsafe BodyProgress()
        _ = unsafe stream.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy)
        unsafe stream.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        unsafe callKept(stream, bodyOffset: bodyOffset, bodyCount, trailerBase: trailerBase, trailerCount)
    }

    // MARK: kept requests

    /// Copies the head in the loop's storage to the stream's `carry`: HPACK cannot be decoded a second time, as an HTTP/1.1 head is parsed again.
    private func keepHead(_ stream: UnsafeMutablePointer<Connection>) -> Bool {
        let fieldBytes = unsafe head.pointee.fieldCount &* MemoryLayout<FieldSlot>.stride
        return unsafe keep(stream, UnsafeRawPointer(head).assumingMemoryBound(to: UInt8.self), MemoryLayout<RequestHead>.stride)
            && keep(stream, UnsafeRawPointer(fields).assumingMemoryBound(to: UInt8.self), fieldBytes)
            && keep(stream, headText, head.pointee.headLength)
    }

    /// Puts a kept head back into the loop's storage; answers where its text lies in `carry`.
    private func restoreHead(_ stream: UnsafeMutablePointer<Connection>) -> UnsafeMutablePointer<UInt8> {
        let carry = unsafe stream.pointee.carry!
        unsafe memcpy(head, carry, MemoryLayout<RequestHead>.stride)
        let fieldBytes = unsafe head.pointee.fieldCount &* MemoryLayout<FieldSlot>.stride
        unsafe memcpy(fields, carry + MemoryLayout<RequestHead>.stride, fieldBytes)
        return unsafe carry + (MemoryLayout<RequestHead>.stride &+ fieldBytes)
    }

    private func callKept(
        _ stream: UnsafeMutablePointer<Connection>, bodyOffset: Int, _ bodyCount: Int, trailerBase: UnsafePointer<UInt8>, _ trailerCount: Int
    ) {
        let text = unsafe restoreHead(stream)
        unsafe layOut(stream, text, body: stream.pointee.carry! + bodyOffset, bodyCount)
        unsafe layOutTrailers(trailerBase, trailerCount)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = unsafe callHandler(stream)
        unsafe finishStream(stream, elapsed)
        // A request that waits for a cold file is still needed.
        if unsafe !stream.pointee.flags.contains(.opening) { unsafe dropCarry(stream) }
    }

    /// Keeps a request whose handler wants a file that would have to be waited for.
    func suspendStream(_ stream: UnsafeMutablePointer<Connection>) {
        let (bodyOffset, bodyCount): (Int, Int)
        if unsafe stream.pointee.carryCount > 0 {
            (bodyOffset, bodyCount) = unsafe (stream.pointee.carryCount &- context.pointee.bodyCount, context.pointee.bodyCount)
        } else {
            guard unsafe keepHead(stream) else { return unsafe shed(stream) }
            (bodyOffset, bodyCount) = unsafe (stream.pointee.carryCount, 0)
        }
        unsafe suspend(stream, [], body: (bodyOffset, bodyCount))
    }

    /// Calls the handler again for a stream that waited for a cold file.
    func retryStream(_ stream: UnsafeMutablePointer<Connection>, _ body: (Int, Int)) {
        guard unsafe stream.pointee.carry != nil else { return }
        unsafe callKept(stream, bodyOffset: body.0, body.1, trailerBase: headText, 0)
    }

    // MARK: end

    /// The peer, or the engine on its behalf, has reset a stream: the engine has forgotten it.
    func streamReset(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) {
        guard let handle = unsafe http2.pointee[slot], let stream = unsafe connections.pointee.pointer(handle) else { return }
        unsafe meter.pointee.streamsReset &+= 1
        unsafe endStream(stream)
    }

    /// A stream is over, for the engine too. Its memory goes at the end of the turn.
    func endStream(_ stream: UnsafeMutablePointer<Connection>) {
        guard unsafe !stream.pointee.flags.contains(.closing) else { return }
        _ = unsafe stream.pointee.machine.abort()
        if let (_, http2) = unsafe carrier(stream) { unsafe http2.pointee[stream.pointee.streamSlot] = nil }
        unsafe tearDown(stream, reset: false)
    }

    /// The server gives a stream up.
    func abortStream(_ stream: UnsafeMutablePointer<Connection>) {
        if let (connection, http2) = unsafe carrier(stream), unsafe http2.pointee[stream.pointee.streamSlot] == stream.pointee.handle {
            unsafe http2.pointee.engine.reset(stream.pointee.streamSlot, .internalError)
            unsafe because(stream, .failure)
            unsafe flushControl(connection, http2)
            unsafe endStream(stream)
            unsafe settleStreams(connection, http2)
        } else {
            unsafe endStream(stream)
        }
    }
}
