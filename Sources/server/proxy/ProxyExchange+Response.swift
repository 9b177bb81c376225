// What comes of the server: the response's head, written anew for the client; its content, handed on as it comes; its end. The loop's thread.
//
// Pointers: what a server sends is readable during the call that hands it over; the responder's state lives as long as the exchange.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1

extension ProxyExchange: ClientConsumer {
    package func head(_ head: ClientResponseHead, _ fields: RequestHeaders) {
        guard phase == .awaiting, let director else { return }
        // It has not switched, and says that all is well: to a CONNECT that would be a tunnel.
        if request.isConnect, head.status.isSuccess { return refusedSwitch() }
        let outcome = ProxyOutcome.status(head.status)
        director.attempted(self, outcome, nanoseconds: sinceAttempt)
        if mayTryElsewhere, let at = director.retry(self, outcome, .responseBegan) { return retryElsewhere(at) }
        guard loop.link(self) != nil else { return }
        take(head, switches: false, fields)
        edit()
        phase = .held
        guard head.hasBody else {
            guard request.method == .head || head.status.forbidsContent else { return }
            // It says what GET would have had (RFC 9110 section 9.3.2).
            unsafe (state.pointee.content, state.pointee.hasSpecialContent) = (.relayed(length: head.contentLength), true)
            return
        }
        switch head.contentLength {
        // All of it comes with the head as a rule, and then leaves with it.
        case .some(let length) where unsafe length <= UInt64(ResponseState.copiedBodyMax): announced = length
        case .some(let length): beginRelay(length)
        case nil: beginRelay(nil)
        }
    }

    package func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        if phase == .held {
            if UInt64(count) == announced {
                unsafe state.pointee.body.append(bytes, count)
                return false
            }
            beginRelay(announced)
        }
        guard phase == .relaying, let link = loop.link(self) else { return false }
        holdsServer = unsafe !link.relay(self, bytes, count)
        return holdsServer
    }

    package func ended(_ trailers: RequestHeaders) {
        exchange = nil
        guard let link = loop.link(self) else { return finish() }
        switch phase {
        case .held where trailers.count > 0:
            // Fields behind content need a coding that has a place for them (RFC 9112 section 7.1.2).
            let content = unsafe Array(UnsafeBufferPointer(start: state.pointee.body.base, count: state.pointee.body.count))
            unsafe state.pointee.body.count = 0
            beginRelay(nil)
            guard phase == .relaying else { return finish() }
            noteGRPC(trailers, link)
            _ = unsafe content.withUnsafeBufferPointer { unsafe $0.count > 0 ? link.relay(self, $0.baseAddress!, $0.count) : true }
            link.endRelay(self, trailers)
        case .held: link.answer(self)
        case .relaying:
            noteGRPC(trailers, link)
            link.endRelay(self, trailers)
        case .free, .begun, .waiting, .awaiting: break
        }
        finish()
    }

    private func noteGRPC(_ trailers: RequestHeaders, _ link: ResponderLink) {
        guard request.isGRPC, let status = trailers["grpc-status"] else { return }
        link.note(grpcStatus: GRPC.status(status.span))
    }

    package func failed(_ failure: ClientExchangeFailure) {
        let wasWaitingForHead = phase == .awaiting
        exchange = nil
        fault = HTTPClientError(failure)
        guard wasWaitingForHead else {
            // The client sees that something is missing: its connection, or stream, ends without an end of the content.
            director?.attempted(self, .failed(.truncated), nanoseconds: sinceAttempt)
            loop.link(self)?.abort(self)
            return finish()
        }
        if failure.isReused, staleConnections < Self.staleConnectionsMax, failure.mayRepeat(isIdempotent: request.method.isIdempotent, canRepeatBody: isWhole), loop.link(self) != nil {
            return retryStale()
        }
        attemptEnded(.failed(ProxyFailure(failure)), ProxyProgress(failure.progress))
    }

    package func maySend() {
        guard let link = loop.link(self) else { return }
        link.resumeBody()
    }

    package func stopSending() {
        dropsBody = true
        loop.link(self)?.resumeBody()
    }

    /// What was to become a WebSocket is none.
    func refusedSwitch() {
        exchange?.cancel()
        attemptEnded(.failed(.malformed), .responseBegan)
    }

    // MARK: the head

    /// Writes status and fields of the response for the client, without what is of the server's connection only (RFC 9110 section 7.6.1).
    func take(_ head: ClientResponseHead, switches: Bool, _ headers: RequestHeaders) {
        unsafe state.pointee.status = head.status
        // A response of trailers alone has it here.
        if request.isGRPC {
            unsafe state.pointee.grpcStatus = GRPC.statusMissing
            if let status = headers["grpc-status"] { unsafe state.pointee.grpcStatus = GRPC.status(status.span) }
        }
        let (base, slots, count) = unsafe (headers.base, headers.fields, headers.count)
        let listed = unsafe ConnectionOptions(base, slots, count)
        for index in 0..<count {
            let slot = unsafe slots[index]
            switch slot.known {
            case .connection, .keepAlive, .proxyConnection, .transferEncoding, .contentLength, .te: continue
            case .upgrade: guard switches else { continue }
            case .date: unsafe state.pointee.setFields.insert(.date)
            case .server: unsafe state.pointee.setFields.insert(.server)
            case .contentType: unsafe state.pointee.setFields.insert(.contentType)
            case .secWebsocketAccept where request.isConnect: continue
            default: if unsafe listed.hasOthers && listed.lists(base + Int(slot.nameOffset), Int(slot.nameLength)) { continue }
            }
            unsafe state.pointee.fields.append(base + Int(slot.nameOffset), Int(slot.nameLength))
            unsafe state.pointee.fields.append(": ")
            unsafe state.pointee.fields.append(base + Int(slot.valueOffset), Int(slot.valueLength))
            unsafe state.pointee.fields.append("\r\n")
        }
    }

    /// The head goes to the client, and content follows as it comes.
    func beginRelay(_ length: UInt64?) {
        guard let link = loop.link(self) else { return }
        unsafe (state.pointee.content, state.pointee.hasSpecialContent) = (.relayed(length: length), true)
        phase = .relaying
        link.answer(self)
        // Content that the client must not get: a response to HEAD has none, so none comes either.
        guard isRelaying else {
            phase = .begun
            return
        }
        if abortsAt != .max { loop.link(self)?.wake(at: abortsAt) }
    }
}

extension ProxyProgress {
    init(_ progress: ClientProgress) {
        self =
            switch progress {
            case .nothingSent: .nothingSent
            case .sent: .sent
            case .responseBegan: .responseBegan
            }
    }
}

extension ProxyFailure {
    init(_ failure: ClientExchangeFailure) {
        self =
            switch failure.reason {
            case .closed, .transport, .reset, .connection, .bodyLength: .reset
            case .truncated: .truncated
            case .malformed, .unexpectedUpgrade, .tooManyInterimResponses: .malformed
            case .timeout: .timeout
            }
    }
}
