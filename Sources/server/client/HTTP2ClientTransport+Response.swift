// Responses on an HTTP/2 connection to a server, and what its server says of the connection. See HTTP2ClientTransport.swift.
//
// Pointers: bytes that the loop hands over are good for that call; the head of the loop's clients lives as long as these.

internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2

extension HTTP2ClientTransport {
    func receive(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        var at = 0
        while handle != nil {
            let step = unsafe engine.next(bytes + at, count: count - at, now: now, head: clients.http2Head)
            if step.event == .needMore { break }
            unsafe take(step.event, bytes + at, link)
            at += step.used
        }
        guard handle != nil else { return count }
        flushData(link)
        if handle != nil { arm(link) }
        return at
    }

    private func take(_ event: HTTP2ClientEvent, _ bytes: UnsafeMutablePointer<UInt8>, _ link: TunnelLink) {
        switch event {
        case .needMore, .nothing: break
        case .interim(let slot): interim(slot)
        case .response(let slot, let endStream): head(slot, endStream)
        case .data(let slot, let offset, let count, let endStream): unsafe data(slot, bytes + Int(offset), Int(count), endStream)
        case .trailers(let slot): if let place = place(slot) { conclude(place, fields) }
        case .ended(let slot, let end): ended(slot, end)
        case .windowOpened: flushData(link)
        case .settings:
            settingsDeadline = .max
            pool.learned(streams: active + engine.streamsToSpare)
            pool.hasRoom(self)
        case .goAway(let code): goAway(code, link)
        case .failed(let code): fail(link, .connection(code))
        }
    }

    /// Of the head that the engine has decoded last.
    private var fields: RequestHeaders {
        @_lifetime(immortal) get {
            let head = unsafe clients.http2Head!
            return unsafe RequestHeaders(head.text, head.fields, count: head.response.pointee.fieldCount)
        }
    }
    private var noFields: RequestHeaders {
        @_lifetime(immortal) get { unsafe RequestHeaders(UnsafePointer(clients.noBytes), clients.trailers, count: 0) }
    }

    private func interim(_ slot: StreamSlot) {
        guard let place = place(slot) else { return }
        let most = pool.policy.interimResponsesMax
        if most != 0, streams[place].interims >= most { return failStream(place, .tooManyInterimResponses, reset: .cancel) }
        streams[place].interims += 1
        setClock(place)
        streams[place].consumer?.interim(unsafe clients.http2Head.response.pointee.status, fields)
    }

    private func head(_ slot: StreamSlot, _ endStream: Bool) {
        guard let place = place(slot) else { return }
        let response = unsafe clients.http2Head.response.pointee
        let number = streams[place].number
        streams[place].hasHead = true
        setClock(place)
        streams[place].consumer?.head(
            ClientResponseHead(
                status: response.status, version: .http2, contentLength: response.contentLength < 0 ? nil : UInt64(response.contentLength), hasBody: !endStream), fields)
        if endStream, let place = self.place(number) { conclude(place, noFields) }
    }

    private func data(_ slot: StreamSlot, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ endStream: Bool) {
        guard let place = place(slot) else { return engine.consumed(slot, count) }
        let number = streams[place].number
        streams[place].bodyBytes += UInt64(count)
        guard streams[place].bodyBytes <= pool.bodyBytesMax else { return failStream(place, .malformed(ResponseFault.bodyTooLarge.reason), reset: .cancel) }
        if streams[place].isPaused {
            unsafe streams[place].held.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
            streams[place].uncredited += count
        } else if count > 0 {
            let pauses = unsafe streams[place].consumer?.body(bytes, count) ?? false
            // The consumer may have given the exchange up; then the engine has credited it.
            guard let place = self.place(number) else { return }
            streams[place].isPaused = pauses
            if pauses { streams[place].uncredited += count } else { engine.consumed(slot, count) }
            setClock(place)
        }
        if endStream, let place = self.place(number) { conclude(place, noFields) }
    }

    func resume(_ number: UInt64) {
        guard let place = place(number), streams[place].isPaused else { return }
        streams[place].isPaused = false
        let held = streams[place].held
        streams[place].held = []
        if !held.isEmpty {
            // The array's memory, for the call.
            let pauses = unsafe held.withUnsafeBufferPointer { unsafe streams[place].consumer?.body($0.baseAddress!, $0.count) ?? false }
            guard let place = self.place(number) else { return }
            streams[place].isPaused = pauses
            if pauses { return }
        }
        guard let place = self.place(number) else { return }
        if streams[place].hasEnded {
            let fields = streams[place].heldTrailers
            streams[place].slot = .none
            return deliverEnd(place, fields)
        }
        engine.consumed(streams[place].slot, streams[place].uncredited)
        streams[place].uncredited = 0
        setClock(place)
        if let link { flushControl(link) }
    }

    // MARK: ends

    /// The response has come whole. What is left of the request nobody wants any more.
    private func conclude(_ place: Int, _ trailers: RequestHeaders) {
        let slot = streams[place].slot
        if engine.isLive(slot) { engine.reset(slot, .noError) }
        if streams[place].isPaused {
            (streams[place].hasEnded, streams[place].takesBody, streams[place].slot) = (true, false, .none)
            if trailers.count > 0 { streams[place].heldTrailers = heldFields() }
            return setClock(place)
        }
        let consumer = remove(place)
        consumer?.ended(trailers)
        settle()
    }

    private func heldFields() -> HeldFields {
        let head = unsafe clients.http2Head!
        // The clients' memory, as far as it was decoded.
        return unsafe HeldFields(
            text: Array(UnsafeBufferPointer(start: head.text, count: head.response.pointee.textLength)),
            slots: Array(UnsafeBufferPointer(start: head.fields, count: head.response.pointee.fieldCount)))
    }

    private func deliverEnd(_ place: Int, _ trailers: HeldFields?) {
        let consumer = remove(place)
        if let trailers {
            // The arrays' memory, for the call.
            unsafe trailers.text.withUnsafeBufferPointer { text in
                unsafe trailers.slots.withUnsafeBufferPointer { slots in
                    unsafe consumer?.ended(RequestHeaders(text.baseAddress!, slots.baseAddress!, count: slots.count))
                }
            }
        } else {
            consumer?.ended(noFields)
        }
        settle()
    }

    private func ended(_ slot: StreamSlot, _ end: HTTP2StreamEnd) {
        guard let place = place(slot) else { return }
        let reason: ClientExchangeFailure.Reason =
            switch end.cause {
            case .reset: .reset(end.code)
            case .malformed: .malformed("it breaks a rule of HTTP/2")
            case .tooLarge: .malformed(ResponseFault.headTooLarge.reason)
            }
        failStream(place, reason, progress: Self.progress(end.processing))
    }
}
