// Responses on HTTP/2: heads as HEADERS frames at once, bodies as DATA frames when their stream has its turn and its window room. The loop's
// thread.
//
// Pointers: as in Loop+HTTP2.swift.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    /// DATA that one connection is given in a turn while its streams have it. More would keep the other connections waiting, less would leave in
    /// sends that are not worth a system call.
    static var framedBytesPerTurn: Int { 128 * 1024 }
    /// Less room than this in the batch is not worth beginning with: the connection has its turn when the batch has left, in a moment. Memory
    /// beyond the batch is cold, and 256 KiB of it from malloc cost more than the copy.
    static var framedBytesMin: Int { 32 * 1024 }
    static var frameHeaderBytes: Int { 9 }
    /// Heads of frames and records, and what the engine itself has to say.
    private static var frameSlack: Int { 8 * 1024 }

    // MARK: heads

    private func headersBound(_ textBytes: Int) -> Int { HTTP2Connection.headersBound(textBytes: textBytes) }

    /// Writes HEADERS; answers their bytes, 0 when memory was refused and the connection is gone.
    private func writeHead(
        _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, _ framing: ResponseFraming, endStream: Bool,
        following: Int = 0
    ) -> Int {
        let (text, serverLine) = unsafe (response.pointee.fields.count, settings.pointee.serverLineCount)
        let room = headersBound(text &+ serverLine) &+ following
        guard let out = unsafe reserve(connection, room) else { return 0 }
        let length: UInt64? = if case .length(let length) = framing { length } else { nil }
        let hasDate = unsafe response.pointee.setFields.contains(.date)
        let hasServer = unsafe serverLine == 0 || response.pointee.setFields.contains(.server)
        let count = unsafe http2.pointee.engine.writeHead(
            slot, status: response.pointee.status, date: hasDate ? nil : UnsafePointer(state.pointee.date), contentLength: length,
            first: hasServer ? nil : HTTP2FieldText(settings.pointee.serverLine, count: serverLine),
            second: HTTP2FieldText(response.pointee.fields.base, count: text), endStream: endStream, into: out, capacity: room &- following)
        unsafe response.pointee.headBytes = UInt64(count)
        if unsafe connection.pointee.trace != nil { unsafe responseBegun(http2.pointee[slot].flatMap { unsafe connections.pointee.pointer($0) } ?? connection) }
        unsafe commit(connection, count)
        unsafe connection.pointee.machine.outputQueued(UInt64(count), now: state.pointee.now, settings.pointee.policy)
        return count
    }

    func sendContinueOnStream(_ stream: UnsafeMutablePointer<Connection>) {
        guard let (connection, http2) = unsafe carrier(stream), let out = unsafe reserve(connection, headersBound(0))
        else { return }
        let count = unsafe http2.pointee.engine.writeInterim(
            stream.pointee.streamSlot, status: HTTPStatus(100), fields: nil, into: out, capacity: headersBound(0))
        unsafe commit(connection, count)
        unsafe connection.pointee.machine.outputQueued(UInt64(count), now: state.pointee.now, settings.pointee.policy)
        unsafe stream.pointee.machine.continueSent(now: state.pointee.now, settings.pointee.policy)
    }

    /// The fast path: a plain response that the windows have room for, as HEADERS and one DATA frame. Answers its bytes.
    func writeWhole(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) -> Int {
        if unsafe response.pointee.status.code < 200 { unsafe response.pointee.restart(.internalServerError) }
        let plan = contentPlan()
        let count = unsafe plan.sendsBody ? response.pointee.body.count : 0
        let headBytes = unsafe writeHead(connection, http2, slot, plan.framing, endStream: count == 0, following: count &+ Self.frameHeaderBytes)
        guard count > 0, headBytes > 0 else { return headBytes }
        guard let out = unsafe reserve(connection, count &+ Self.frameHeaderBytes) else { return 0 }
        _ = unsafe http2.pointee.engine.writeDataHeader(slot, count: count, endStream: true, into: out)
        unsafe memcpy(out + Self.frameHeaderBytes, response.pointee.body.base, count)
        unsafe commit(connection, count &+ Self.frameHeaderBytes)
        unsafe connection.pointee.machine.outputQueued(UInt64(count &+ Self.frameHeaderBytes), now: state.pointee.now, settings.pointee.policy)
        // The frame's header is not content: logs and metrics count what a handler gave.
        return headBytes &+ count
    }

    // MARK: responses of streams

    /// From what a handler left to a head in the connection's output and a body in the stream's queue: `finishResponse` for HTTP/2.
    func finishStream(_ stream: UnsafeMutablePointer<Connection>, _ elapsed: UInt64) {
        var elapsed = elapsed
        if goesOnAsync, let worker = startAsync(&elapsed) { return unsafe attach(worker, stream) }
        if isLeft { return unsafe leave(stream) }
        if unsafe response.pointee.needsColdFile { return unsafe suspendStream(stream) }
        unsafe stream.pointee.coldRetries = 0
        let status = unsafe response.pointee.status.code
        if unsafe response.pointee.tunnel != nil, unsafe !maySwitch(stream) { unsafe response.pointee.restart(.internalServerError) }
        // 1xx is no answer; and HTTP/2 has no Upgrade (RFC 9113 section 8.6).
        if unsafe status < 200 || response.pointee.upgrade != nil {
            unsafe response.pointee.restart(response.pointee.upgrade == nil ? .internalServerError : .notImplemented)
        }
        if unsafe response.pointee.hasSteps { runSteps() }
        _ = unsafe stream.pointee.machine.responseHead(handlerCloses: false, unreadBodyBytes: 0, now: state.pointee.now, settings.pointee.policy)
        guard let (connection, http2) = unsafe carrier(stream) else { return unsafe endStream(stream) }
        let closes = unsafe response.pointee.closesConnection
        unsafe sendResponse(stream, connection, http2, elapsed)
        if closes, unsafe !connection.pointee.flags.contains(.closing) { unsafe goAway(connection) }
    }

    private func sendResponse(
        _ stream: UnsafeMutablePointer<Connection>, _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>,
        _ elapsed: UInt64
    ) {
        if let tunnel = unsafe response.pointee.tunnel { return unsafe switchStream(stream, connection, http2, tunnel, elapsed) }
        let plan = contentPlan()
        let hasContent = plan.sendsBody && plan.framing != .length(0)
        let headBytes = unsafe writeHead(connection, http2, stream.pointee.streamSlot, plan.framing, endStream: !hasContent)
        guard headBytes > 0, unsafe !stream.pointee.flags.contains(.closing) else { return }
        let ended = unsafe hasContent ? queueContent(stream) : true
        if unsafe stream.pointee.flags.contains(.closing) { return }  // no memory for the body: shed
        if unsafe response.pointee.untimed, !ended { unsafe stream.pointee.machine.handlerUntimed() }
        if unsafe state.pointee.observes {
            unsafe observeResponse(stream, UInt64(headBytes) &+ stream.pointee.machine.pendingBytes, elapsed, ended: ended)
        }
        guard hasContent else { return unsafe streamAnswered(stream, connection, http2) }
        guard ended else { return unsafe produce(stream) }
        unsafe responseQueued(stream)
    }

    private func switchStream(
        _ stream: UnsafeMutablePointer<Connection>, _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>,
        _ tunnel: any Tunnel, _ elapsed: UInt64
    ) {
        let headBytes = unsafe writeHead(connection, http2, stream.pointee.streamSlot, .none, endStream: false)
        guard headBytes > 0, unsafe !stream.pointee.flags.contains(.closing) else { return }
        if unsafe state.pointee.observes { unsafe observeResponse(stream, UInt64(headBytes), elapsed, ended: true) }
        unsafe beginTunnel(stream, tunnel)
    }

    /// Puts the content into the stream's queue; false when a producer has more of it.
    private func queueContent(_ stream: UnsafeMutablePointer<Connection>) -> Bool {
        var queued: UInt64 = 0
        var ended = true
        switch unsafe response.pointee.content {
        case .written:
            queued = unsafe UInt64(response.pointee.body.count)
            if unsafe response.pointee.body.count > ResponseState.copiedBodyMax {
                let (memory, count) = unsafe response.pointee.body.detach(replacement: 8192)
                unsafe appendBlock(stream, memory, count)
            } else {
                unsafe appendOutput(stream, response.pointee.body.base, response.pointee.body.count)
            }
        case .shared(let bytes):
            queued = UInt64(bytes.count)
            unsafe appendShared(stream, bytes)
        case .file(let content):
            queued = content.length
            unsafe appendFile(stream, content)
        case .produced(let producer, let length):
            let exchange = unsafe makeExchange(stream)
            exchange.producer = producer
            exchange.isChunked = false
            exchange.remaining = length
            ended = false
        case .relayed(let length, let encoder):
            let exchange = unsafe makeExchange(stream)
            (exchange.isRelayed, exchange.isChunked, exchange.remaining) = (true, false, length)
            if let encoder { exchange.relayEncoder = encoder }
            ended = false
        case .tunnel: preconditionFailure("BUG: a tunnel is no content")
        }
        // As in `finishResponse`: the stream has it now.
        if unsafe response.pointee.hasSpecialContent { unsafe response.pointee.forgetContent() }
        if unsafe stream.pointee.flags.contains(.closing) { return true }
        unsafe stream.pointee.machine.outputQueued(queued, now: state.pointee.now, settings.pointee.policy)
        unsafe markDirty(stream)
        return ended
    }

    /// All of the response is in the stream's queue.
    func responseQueued(_ stream: UnsafeMutablePointer<Connection>) {
        unsafe stream.pointee.flags.insert(.responseQueued)
        unsafe markDirty(stream)
        unsafe perform(stream, stream.pointee.machine.responseEnded(unreadBodyBytes: 0, now: state.pointee.now, settings.pointee.policy))
        unsafe armTimer(stream)
        // An end without bytes needs no window, and its stream's turn may never come without one.
        if unsafe stream.pointee.queue.isEmpty && !stream.pointee.flags.contains(.closing), let (connection, http2) = unsafe carrier(stream) {
            _ = unsafe frame(stream, stream.pointee.streamSlot, connection, http2, 0)
        }
    }

    /// END_STREAM of the response is in the output.
    private func streamAnswered(
        _ stream: UnsafeMutablePointer<Connection>, _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>
    ) {
        unsafe responseWritten(stream, on: connection)
        // Nobody wants the rest of a request that is answered (RFC 9113 section 8.1).
        if unsafe stream.pointee.body.mode != .none {
            unsafe http2.pointee.engine.stopReading(stream.pointee.streamSlot)
            unsafe flushControl(connection, http2)
        }
        unsafe endStream(stream)
        unsafe settleStreams(connection, http2)
    }

    /// Carries out `KeepAliveStep.respond` on a stream: a time limit, or a request that cannot be served.
    func respondOnStream(_ stream: UnsafeMutablePointer<Connection>) {
        guard let (connection, http2) = unsafe carrier(stream) else { return unsafe endStream(stream) }
        let plan = contentPlan()
        let headBytes = unsafe writeHead(connection, http2, stream.pointee.streamSlot, plan.framing, endStream: false)
        guard headBytes > 0 else { return }
        let count = unsafe response.pointee.body.count
        unsafe appendOutput(stream, response.pointee.body.base, count)
        if unsafe stream.pointee.flags.contains(.closing) { return }
        // What is still to come of the request is not wanted: `streamAnswered` says so when the answer has left.
        unsafe stream.pointee.body.mode = .discard
        if unsafe state.pointee.observes { unsafe observeFault(stream, response.pointee.status, UInt64(headBytes &+ count)) }
        unsafe stream.pointee.machine.outputQueued(UInt64(count), now: state.pointee.now, settings.pointee.policy)
        unsafe responseQueued(stream)
    }

    // MARK: frames

    /// Cuts what the connection's streams have into DATA frames, the most urgent first, as far as windows and the turn's share go.
    func frameStreams(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        defer { if unsafe http2.pointee.inputEnded { unsafe resetBlockedStreams(connection, http2) } }
        guard unsafe http2.pointee.engine.hasSendable else { return }
        // With TLS the ciphertext comes behind the plaintext.
        let space = unsafe connection.pointee.tls == nil ? batch.pointee.space : batch.pointee.space / 2
        var budget = min(Self.framedBytesPerTurn, space &- Self.frameSlack)
        guard unsafe budget >= Self.framedBytesMin || batch.pointee.used == 0 else { return unsafe markDirty(connection) }
        while budget > 0, unsafe !connection.pointee.flags.contains(.closing), unsafe !connection.pointee.machine.isEnding,
            let slot = unsafe http2.pointee.engine.nextSendable()
        {
            guard let handle = unsafe http2.pointee[slot], let stream = unsafe connections.pointee.pointer(handle) else {
                preconditionFailure("BUG: a stream without a slot has something to send")
            }
            let wanted = unsafe min(http2.pointee.engine.sendWindow(slot), http2.pointee.engine.maxFrameBytes, budget)
            budget &-= unsafe frame(stream, slot, connection, http2, max(0, wanted)) &+ Self.frameHeaderBytes
        }
        // Streams that were answered are gone at the end of the turn; what they leave behind is looked at in the next.
        if unsafe http2.pointee.engine.hasSendable { unsafe state.pointee.hasWork = true }
    }

    /// One frame of at most `wanted` bytes; answers how many they were.
    private func frame(
        _ stream: UnsafeMutablePointer<Connection>, _ slot: StreamSlot, _ connection: UnsafeMutablePointer<Connection>,
        _ http2: UnsafeMutablePointer<HTTP2Transport>, _ wanted: Int
    ) -> Int {
        let held = unsafe Int(clamping: stream.pointee.queue.bytes(upTo: UInt64(wanted)))
        let room = min(held, wanted)
        guard let out = unsafe reserve(connection, room &+ Self.frameHeaderBytes) else { return 0 }
        var count = 0
        if room > 0 {
            switch unsafe takeBytes(stream, into: out + Self.frameHeaderBytes, room) {
            case .bytes(let taken): count = taken
            case .wait:
                unsafe http2.pointee.engine.setReady(slot, false)
                return 0
            case .failed:
                unsafe because(stream, .failure)
                unsafe perform(stream, stream.pointee.machine.abort())
                return 0
            }
        }
        let isEmpty = unsafe stream.pointee.queue.isEmpty
        let isLast = unsafe isEmpty && stream.pointee.flags.contains(.responseQueued)
        let trailers = unsafe isLast ? stream.pointee.exchange?.takeUnretainedValue().trailers ?? [] : []
        if count > 0 || (isLast && trailers.isEmpty) {
            _ = unsafe http2.pointee.engine.writeDataHeader(slot, count: count, endStream: isLast && trailers.isEmpty, into: out)
            unsafe commit(connection, count &+ Self.frameHeaderBytes)
            unsafe connection.pointee.machine.outputQueued(UInt64(count &+ Self.frameHeaderBytes), now: state.pointee.now, settings.pointee.policy)
        }
        if isLast {
            if !trailers.isEmpty { unsafe writeTrailers(trailers, connection, http2, slot) }
            unsafe streamAnswered(stream, connection, http2)
        } else {
            if isEmpty { unsafe http2.pointee.engine.setReady(slot, false) }
            unsafe stream.pointee.bytesSent &+= UInt64(count)
            unsafe perform(stream, stream.pointee.machine.outputSent(UInt64(count), now: state.pointee.now, settings.pointee.policy))
            unsafe armTimer(stream)
        }
        return count
    }

    private func writeTrailers(
        _ text: [UInt8], _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot
    ) {
        let room = headersBound(text.count)
        guard let out = unsafe reserve(connection, room) else { return }
        let count = unsafe text.withUnsafeBufferPointer {
            unsafe http2.pointee.engine.writeTrailers(slot, HTTP2FieldText($0.baseAddress!, count: $0.count), into: out, capacity: room)
        }
        unsafe commit(connection, count)
        unsafe connection.pointee.machine.outputQueued(UInt64(count), now: state.pointee.now, settings.pointee.policy)
    }

    enum TakenBytes {
        case bytes(Int)
        /// A file's bytes are on their way from a disk.
        case wait
        case failed
    }

    /// Takes up to `count` bytes off the front of a stream's queue.
    private func takeBytes(_ stream: UnsafeMutablePointer<Connection>, into out: UnsafeMutablePointer<UInt8>, _ count: Int) -> TakenBytes {
        var taken = 0
        while taken < count, let first = unsafe stream.pointee.queue.first {
            var part = unsafe Int(min(first.pointee.count, UInt64(count &- taken)))
            if unsafe first.pointee.owner == .file {
                // While a read is under way its bytes are not here.
                if unsafe stream.pointee.sending == .read { return taken > 0 ? .bytes(taken) : .wait }
                let file = unsafe unsafeDowncast(first.pointee.object!.takeUnretainedValue(), to: OpenFile.self)
                part = unsafe kernel.readCached(file.fd, into: out + taken, count: part, offset: first.pointee.fileOffset)
                if part == -Int(EAGAIN) || part == -Int(EOPNOTSUPP) {
                    if taken > 0 { return .bytes(taken) }
                    unsafe readAhead(stream)
                    return .wait
                }
                // An error of the disk, or the file has become shorter than was announced.
                guard part > 0 else { return .failed }
            } else {
                unsafe memcpy(out + taken, first.pointee.base!, part)
            }
            _ = unsafe stream.pointee.queue.advance(UInt64(part), pool: pool)
            taken &+= part
        }
        return .bytes(taken)
    }
}
