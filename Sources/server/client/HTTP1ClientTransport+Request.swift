// The request's side of an HTTP/1.1 connection to a server: heads, bodies and trailers go straight into its output. See HTTP1ClientTransport.swift.
//
// Pointers: texts and bytes are the caller's, for the call; room in the output is the connection's until `commit`.

internal import UringHTTP
internal import UringHTTP1

extension HTTP1ClientTransport {
    /// Memory for output comes in pieces of at most this.
    static var pieceBytes: Int { 64 * 1024 }

    func startExchange(_ consumer: any ClientConsumer, _ head: ClientRequestHead, _ fields: (inout ClientFieldWriter) -> Void) -> ClientStart {
        if granted > 0 { granted -= 1 }
        guard machine.isIdle, let link else { return .gone }
        switch unsafe writeHead(head, link, fields) {
        case nil: return .gone
        case .invalid(let fault):
            pool.hasRoom(self)
            return .refused(HTTPClientError(fault))
        case .noRoom: preconditionFailure("BUG: a request head is longer than was reckoned")
        case .written(let count):
            let request: ClientExchangeMachine.Request = unsafe head.isWhole ? .whole : head.expectsContinue ? .expecting : .body
            machine.requestStarted(request, asksUpgrade: unsafe head.asksUpgrade, now: now, policy)
            exchange &+= 1
            self.consumer = consumer
            (reader, scanned, isPaused) = (nil, 0, false)
            method = unsafe HTTPMethod(bytes: head.method.baseAddress!, count: head.method.count)
            isChunked = unsafe head.body == .chunked
            if case .length(let length) = unsafe head.body { bodyLeft = length } else { bodyLeft = 0 }
            link.commit(count)
            queued(count, link)
            arm(link)
            return .started(ClientRequestHandle(connection: self, number: exchange))
        }
    }

    /// Writes a head to where output goes, without committing it; nil when there is no memory.
    private func writeHead(_ head: ClientRequestHead, _ link: TunnelLink, _ fields: (inout ClientFieldWriter) -> Void) -> RequestEncodeOutcome? {
        var options: RequestConnection = machine.isLastRequest(policy) ? .close : []
        if unsafe head.asksUpgrade { options.insert(.upgrade) }
        if unsafe head.acceptsTrailers { options.insert(.te) }
        var room = unsafe head.method.count + head.target.count + head.authority.count + RequestEncoder.headBytesBeside + max(0, head.fieldBytes) + 16
        while true {
            guard let out = unsafe link.reserve(room) else { return nil }
            let outcome = unsafe RequestEncoder.encodeHead(
                into: out, capacity: room, method: head.method, target: head.target, authority: head.authority, framing: head.body,
                expectsContinue: head.expectsContinue, connection: options)
            guard case .written(let first) = outcome else { return outcome }
            var writer = unsafe ClientFieldWriter(out + first, capacity: room - first - 2)
            if unsafe head.acceptsTrailers { writer.add("TE", "trailers") }
            fields(&writer)
            if let fault = writer.fault { return .invalid(fault) }
            if let count = writer.count { return unsafe .written(first + count + ResponseEncoder.endHead(out + first + count)) }
            room = first + writer.needed + 2
        }
    }

    /// What was queued counts as sent: it leaves in this turn, and a server may have acted on it.
    private func queued(_ count: Int, _ link: TunnelLink) {
        machine.outputQueued(UInt64(count), now: now, policy)
        step(machine.outputSent(UInt64(count), now: now, policy), link)
    }

    // MARK: the body

    func sendPart(_ number: UInt64, _ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Bool {
        guard number == exchange, consumer != nil, let link, machine.maySendBody else { return false }
        if !isChunked {
            guard UInt64(bytes.count) <= bodyLeft else {
                failLength(link)
                return false
            }
            bodyLeft -= UInt64(bytes.count)
        }
        if unsafe !bytes.isEmpty { guard unsafe sendPiece(bytes, link) else { return false } }
        if isLast {
            end(number)
            return false
        }
        if link.hasRoom {
            arm(link)
            return true
        }
        holdBack(link)
        arm(link)
        link.tellWhenRoom()
        return false
    }

    private func sendPiece(_ bytes: UnsafeRawBufferPointer, _ link: TunnelLink) -> Bool {
        var (done, sent) = (0, 0)
        while done < bytes.count {
            let count = min(bytes.count - done, Self.pieceBytes)
            guard let out = unsafe link.reserve(count + ResponseEncoder.chunkHeaderBytesMax + 2) else { return false }
            var at = 0
            // One chunk for all.
            if isChunked, done == 0 { unsafe at = ResponseEncoder.writeChunkHeader(size: UInt64(bytes.count), to: out) }
            unsafe UnsafeMutableRawPointer(out + at).copyMemory(from: bytes.baseAddress! + done, byteCount: count)
            at += count
            done += count
            if isChunked, done == bytes.count { unsafe at += ByteWriting.write(ResponseEncoder.chunkEnd, to: out + at) }
            link.commit(at)
            sent += at
        }
        queued(sent, link)
        return true
    }

    func end(_ number: UInt64) {
        guard number == exchange, consumer != nil, let link, machine.maySendBody else { return }
        if isChunked {
            guard let out = unsafe link.reserve(8) else { return }
            let count = unsafe ByteWriting.write(ResponseEncoder.lastChunk, to: out)
            link.commit(count)
            queued(count, link)
        } else if bodyLeft > 0 {
            return failLength(link)
        }
        machine.requestEnded(now: now, policy)
        arm(link)
    }

    func end(_ number: UInt64, trailers: (inout ClientFieldWriter) -> Void) {
        guard isChunked else { return end(number) }
        guard number == exchange, consumer != nil, let link, machine.maySendBody else { return }
        var room = 1024
        while true {
            guard let out = unsafe link.reserve(room) else { return }
            let first = unsafe ByteWriting.write(ResponseEncoder.lastChunkBeforeTrailers, to: out)
            var writer = unsafe ClientFieldWriter(out + first, capacity: room - first - 2, isTrailers: true)
            trailers(&writer)
            if let count = writer.count {
                let whole = unsafe first + count + ResponseEncoder.endHead(out + first + count)
                link.commit(whole)
                queued(whole, link)
                break
            }
            room = first + writer.needed + 2
        }
        machine.requestEnded(now: now, policy)
        arm(link)
    }

    /// Only a cut connection can tell the server that the request is not whole.
    private func failLength(_ link: TunnelLink) {
        let failed = consumer
        (consumer, reader) = (nil, nil)
        _ = machine.cancel()
        link.abort()
        leave()
        failed?.failed(ClientExchangeFailure(.bodyLength, progress: machine.progress, isReused: exchange > 1))
    }
}
