// The response's side of an HTTP/1.1 connection to a server. See HTTP1ClientTransport.swift.
//
// Pointers: bytes that the loop hands over are good for that call; heads and slots of the loop's clients live as long as these.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1

extension HTTP1ClientTransport {
    func receive(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        step(machine.received(now: now, policy), link)
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
        // Another tunnel's connection, and its bytes.
        guard handle != nil else { return link.isOpen ? at : count }
        link.expect(reader?.bytesAhead ?? 0)
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
            step(machine.responseFault(fault), link)
            return nil
        case .complete:
            scanned = 0
            let found = unsafe head.pointee
            unsafe tell(found, RequestHeaders(bytes, fields, count: found.fieldCount), link)
            return found.headLength
        }
    }

    private func tell(_ head: ResponseHead, _ fields: RequestHeaders, _ link: TunnelLink) {
        let next = machine.responseHead(head, now: now, policy)
        if case .fail = next { return step(next, link) }
        if next == .tunnel { return switchProtocols(head, fields, link) }
        if head.isInterim {
            consumer?.interim(head.status, fields)
        } else {
            reader = ResponseBodyReader(head.framing, bodyBytesMax: pool.bodyBytesMax)
            consumer?.head(Self.head(head), fields)
        }
        step(next, link)
    }

    private static func head(_ head: ResponseHead) -> ClientResponseHead {
        ClientResponseHead(
            status: head.status, version: head.minorVersion == 0 ? .http10 : .http11, contentLength: head.contentLength,
            hasBody: head.framing != .none && head.framing != .length(0))
    }

    private func switchProtocols(_ head: ResponseHead, _ fields: RequestHeaders, _ link: TunnelLink) {
        let switched = consumer
        consumer = nil
        // None of our clocks runs any more.
        link.wake(at: .max)
        link.watchesOutput(false)
        leave()
        switched?.upgraded(Self.head(head), fields, link)
        if link.belongs(to: self) { link.close() }
    }

    /// nil: more is needed, or the consumer wants no more for now.
    private func receiveBody(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int? {
        switch unsafe reader!.next(bytes, count: count, trailers: clients.trailers, trailerCapacity: LoopClients.trailersMax) {
        case .data(let start, let length):
            // Behind the last byte nothing comes that could be held back, and nothing would wake whoever waits for the end.
            if unsafe consumer?.body(bytes + start, length) ?? false, !(reader?.isDone ?? true) { pause(link) }
            return start + length
        case .needMore(let consumed):
            return consumed > 0 ? consumed : nil
        case .end(let consumed, let trailerCount):
            conclude(unsafe RequestHeaders(bytes, clients.trailers, count: trailerCount))
            step(machine.responseEnded(hasMore: consumed < count, now: now, policy), link)
            return consumed
        case .malformed(let fault):
            step(machine.responseFault(fault), link)
            return nil
        }
    }

    /// Told before the connection is somebody else's.
    private func conclude(_ trailers: RequestHeaders) {
        let ended = consumer
        (consumer, reader) = (nil, nil)
        ended?.ended(trailers)
    }

    private func pause(_ link: TunnelLink) {
        // The consumer may have given the exchange up within its call.
        guard consumer != nil, link.isOpen else { return }
        isPaused = true
        machine.bodyPaused()
        link.pause()
    }

    func resume(_ number: UInt64) {
        guard number == exchange, consumer != nil, isPaused, let link else { return }
        isPaused = false
        machine.bodyResumed(now: now, policy)
        link.resume()
        arm(link)
    }

    func receiveEnd(_ link: TunnelLink) {
        let end = reader?.endOfConnection ?? .truncated
        let next = link.hasEndedInOrder ? machine.peerEnded(end) : machine.transportFailed()
        if next == .close, consumer != nil {
            // A body that ends with the connection.
            conclude(unsafe RequestHeaders(UnsafePointer(clients.noBytes), clients.trailers, count: 0))
        }
        step(next, link)
        if link.isOpen { close(link) }
    }

    func giveUp(_ number: UInt64) {
        guard number == exchange, consumer != nil else { return }
        (consumer, reader) = (nil, nil)
        guard let link, machine.cancel() == .close else { return }
        // Not in order: a server takes that for a client that still waits, and works on.
        link.abort()
        leave()
    }
}
