// Requests on an HTTP/2 connection to a server: heads, bodies as the windows allow, trailers. See HTTP2ClientTransport.swift.
//
// Pointers: texts and bytes are the caller's, for the call; room in the output is the connection's until `commit`.

internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2

extension HTTP2ClientTransport {
    private static var frameHeaderBytes: Int { 9 }

    // MARK: heads

    func startExchange(_ consumer: any ClientConsumer, _ head: ClientRequestHead, _ fields: (inout ClientFieldWriter) -> Void) -> ClientStart {
        if granted > 0 { granted -= 1 }
        guard !engine.isEnding, let link, let outcome = unsafe open(head, link, fields) else {
            // It may have waited for this one.
            settle()
            return .gone
        }
        switch outcome {
        case .failure(let error):
            settle()
            return .refused(error)
        case .success(let slot):
            let place = insert(consumer, slot)
            if unsafe !head.isWhole {
                streams[place].takesBody = true
                if case .length(let length) = unsafe head.body { streams[place].bodyLeft = length }
            }
            setClock(place)
            if pool.options.requestsPerConnectionMax > 0, requests >= UInt64(clamping: pool.options.requestsPerConnectionMax) { beginRetiring() }
            arm(link)
            return .started(ClientRequestHandle(connection: self, number: streams[place].number))
        }
    }

    /// Opens a stream and writes its head; nil when the connection takes none.
    private func open(_ head: ClientRequestHead, _ link: TunnelLink, _ fields: (inout ClientFieldWriter) -> Void) -> Result<StreamSlot, HTTPClientError>? {
        if unsafe head.asksUpgrade { return .failure(HTTPClientError(.invalidRequest, "HTTP/2 has no upgrade: use connections of HTTP/1.1 for it")) }
        let (text, fault) = unsafe clients.writeFields(about: head.fieldBytes) { writer in
            if unsafe head.acceptsTrailers { writer.add("te", "trailers") }
            fields(&writer)
        }
        if let fault { return .failure(HTTPClientError(fault)) }
        flushControl(link)
        let isConnect = unsafe HTTPMethod(bytes: head.method.baseAddress!, count: head.method.count) == .connect
        let request = unsafe HTTP2Request(
            method: head.method, isSecure: pool.key.scheme == .https, authority: head.authority, path: isConnect ? UnsafeBufferPointer(start: nil, count: 0) : head.target)
        var length: UInt64?
        if case .length(let bytes) = unsafe head.body { length = bytes }
        let room = unsafe HTTP2ClientConnection.headersBound(textBytes: request.textBytes + text)
        guard let out = unsafe link.reserve(room) else { return nil }
        let field = unsafe text > 0 ? HTTP2FieldText(clients.fieldText, count: text) : nil
        switch unsafe engine.open(
            request, contentLength: length, first: field, second: nil, endStream: head.isWhole, now: now, into: out, capacity: room)
        {
        case .opened(let slot, let bytes):
            link.commit(bytes)
            return .success(slot)
        case .noStream, .ending: return nil
        case .fieldsTooLarge: return .failure(HTTPClientError(.invalidRequest, "the server accepts no head as large as this"))
        case .protocolNotOffered, .malformed: return .failure(HTTPClientError(.invalidRequest, "the method, host or path cannot be sent"))
        }
    }

    // MARK: bodies

    func sendPart(_ number: UInt64, _ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Bool {
        guard let place = place(number), streams[place].takesBody, let link else { return false }
        if streams[place].bodyLeft != .max {
            guard UInt64(bytes.count) <= streams[place].bodyLeft, !isLast || UInt64(bytes.count) == streams[place].bodyLeft else {
                failStream(place, .bodyLength, reset: .cancel)
                return false
            }
            streams[place].bodyLeft -= UInt64(bytes.count)
        }
        if isLast { streams[place].takesBody = false }
        let slot = streams[place].slot
        var done = 0
        if streams[place].pendingCount == 0 { done = unsafe writeData(slot, bytes, endsBehind: isLast, link) }
        if done < bytes.count {
            unsafe streams[place].pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[done...]))
            streams[place].endsBehind = isLast
            engine.setReady(slot, true)
        } else if isLast, unsafe bytes.isEmpty {
            endRequest(place, slot, [], link)
        }
        setClock(place)
        if isLast { return false }
        if streams[place].pendingCount == 0, link.hasRoom { return true }
        streams[place].wantsRoom = true
        if !link.hasRoom { link.tellWhenRoom() }
        return false
    }

    /// Writes as much as windows and output take; answers how much that was.
    private func writeData(_ slot: StreamSlot, _ bytes: UnsafeRawBufferPointer, endsBehind: Bool, _ link: TunnelLink) -> Int {
        var done = 0
        flushControl(link)
        while done < bytes.count, link.hasRoom {
            let count = min(bytes.count - done, engine.sendWindow(slot), engine.maxFrameBytes)
            guard count > 0, let out = unsafe link.reserve(count + Self.frameHeaderBytes) else { break }
            let header = unsafe engine.writeDataHeader(slot, count: count, endStream: endsBehind && done + count == bytes.count, into: out)
            guard header > 0 else { break }
            unsafe UnsafeMutableRawPointer(out + header).copyMemory(from: bytes.baseAddress! + done, byteCount: count)
            link.commit(header + count)
            done += count
        }
        return done
    }

    /// Ends a request whose bytes have all left.
    private func endRequest(_ place: Int, _ slot: StreamSlot, _ trailers: [UInt8], _ link: TunnelLink) {
        flushControl(link)
        let room = trailers.isEmpty ? Self.frameHeaderBytes : HTTP2ClientConnection.headersBound(textBytes: trailers.count)
        guard let out = unsafe link.reserve(room) else { return }
        if trailers.isEmpty {
            link.commit(unsafe engine.writeDataHeader(slot, count: 0, endStream: true, into: out))
        } else {
            // The array's memory, for the call.
            link.commit(unsafe trailers.withUnsafeBufferPointer { unsafe engine.writeTrailers(slot, HTTP2FieldText($0.baseAddress!, count: $0.count), into: out, capacity: room) })
        }
    }

    func end(_ number: UInt64) { end(number, []) }

    func end(_ number: UInt64, trailers: (inout ClientFieldWriter) -> Void) {
        let (count, _) = clients.writeFields(about: 256, isTrailers: true, trailers)
        // The clients' memory, until the next fields are written.
        end(number, unsafe Array(UnsafeBufferPointer(start: clients.fieldText, count: count)))
    }

    private func end(_ number: UInt64, _ text: [UInt8]) {
        guard let place = place(number), streams[place].takesBody, let link else { return }
        guard streams[place].bodyLeft == .max || streams[place].bodyLeft == 0 else { return failStream(place, .bodyLength, reset: .cancel) }
        streams[place].takesBody = false
        if streams[place].pendingCount > 0 {
            (streams[place].endsBehind, streams[place].trailers) = (true, text)
        } else {
            endRequest(place, streams[place].slot, text, link)
        }
        setClock(place)
    }

    // MARK: what waited

    /// Whatever the engine has to say goes ahead of what is written next.
    /// - Parameter isForced: also when the output is full. Not for what a server makes us say, which it may not read: that stays in the engine, whose bound ends it.
    func flushControl(_ link: TunnelLink, isForced: Bool = true) {
        while engine.controlCount > 0, isForced || link.hasRoom {
            let room = engine.controlCount
            guard let out = unsafe link.reserve(room) else { return }
            let taken = unsafe engine.takeControl(into: out, capacity: room)
            link.commit(taken)
            if taken == 0 { return }
        }
    }

    /// Sends bytes that waited for a window or for room, as their turns come.
    func flushData(_ link: TunnelLink) {
        flushControl(link, isForced: false)
        while link.isOpen, link.hasRoom, let slot = engine.nextSendable() {
            guard let place = place(slot), streams[place].pendingCount > 0 else {
                engine.setReady(slot, false)
                continue
            }
            sendPending(place, slot, link)
        }
        if link.isOpen, engine.hasSendable || engine.controlCount > 0 { link.tellWhenRoom() }
    }

    /// One frame's worth.
    private func sendPending(_ place: Int, _ slot: StreamSlot, _ link: TunnelLink) {
        let count = min(streams[place].pendingCount, engine.sendWindow(slot), engine.maxFrameBytes)
        guard count > 0, let out = unsafe link.reserve(count + Self.frameHeaderBytes) else { return engine.setReady(slot, false) }
        let isRest = count == streams[place].pendingCount
        let endsHere = isRest && streams[place].endsBehind && streams[place].trailers.isEmpty
        let header = unsafe engine.writeDataHeader(slot, count: count, endStream: endsHere, into: out)
        // The array's memory, for the copy.
        unsafe streams[place].pending.withUnsafeBytes { unsafe UnsafeMutableRawPointer(out + header).copyMemory(from: $0.baseAddress! + streams[place].pendingAt, byteCount: count) }
        link.commit(header + count)
        streams[place].pendingAt += count
        if isRest {
            streams[place].pending.removeAll(keepingCapacity: true)
            streams[place].pendingAt = 0
            if !endsHere { engine.setReady(slot, false) }
            if streams[place].endsBehind, !endsHere { endRequest(place, slot, streams[place].trailers, link) }
        }
        setClock(place)
        if isRest, streams[place].wantsRoom, link.hasRoom { tellRoom(place) }
    }

    private func tellRoom(_ place: Int) {
        streams[place].wantsRoom = false
        if streams[place].takesBody { streams[place].consumer?.maySend() }
    }

    func hasRoomAgain(_ link: TunnelLink) {
        flushData(link)
        var place = 0
        // Consumers may start requests within their calls.
        while place < streams.count, link.isOpen, link.hasRoom {
            if streams[place].wantsRoom, streams[place].pendingCount == 0 { tellRoom(place) }
            place += 1
        }
        if link.isOpen, !link.hasRoom, streams.contains(where: { $0.wantsRoom && $0.pendingCount == 0 }) { link.tellWhenRoom() }
    }
}
