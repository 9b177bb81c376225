// Ends of an HTTP/2 connection to a server, and of streams otherwise than by their response. See HTTP2ClientTransport.swift. The loop's thread.

internal import UringHTTP1
internal import UringHTTP2

extension HTTP2ClientTransport {
    /// How far the server has come, in the words that both versions have.
    static func progress(_ processing: HTTP2Processing) -> ClientProgress {
        switch processing {
        case .none: .nothingSent
        case .unknown: .sent
        case .begun: .responseBegan
        }
    }

    // MARK: one stream

    /// The exchange has failed, and only that.
    /// - Parameters:
    ///   - code: what the server is told; nil when the stream has ended already.
    ///   - progress: nil: as the engine knows it.
    func failStream(_ place: Int, _ reason: ClientExchangeFailure.Reason, reset code: HTTP2ErrorCode? = nil, progress: ClientProgress? = nil) {
        let slot = streams[place].slot
        let progress = progress ?? Self.progress(engine.processing(slot))
        let isReused = streams[place].number >> 16 > 1
        if let code { engine.reset(slot, code) }
        let consumer = remove(place)
        if let link { flushControl(link) }
        consumer?.failed(ClientExchangeFailure(reason, progress: progress, isReused: isReused))
        settle()
    }

    func giveUp(_ number: UInt64) {
        guard let place = place(number) else { return }
        engine.reset(streams[place].slot, .cancel)
        _ = remove(place)
        if let link { flushControl(link) }
        settle()
    }

    // MARK: the connection

    func beginRetiring() {
        guard let link else { return }
        isRetiring = true
        pool.isLeaving(self)
        if isIdle { return close(link) }
        // Said once.
        engine.drain()
        flushControl(link)
    }

    /// Nothing is under way: says so, and closes when that has left.
    func close(_ link: TunnelLink) {
        engine.drain()
        flushControl(link)
        leave()
        link.end()
    }

    /// The server takes no more streams (RFC 9113 section 6.8). Those that it has not looked at may be sent again elsewhere; the others go on.
    func goAway(_ code: HTTP2ErrorCode, _ link: TunnelLink) {
        pool.isLeaving(self)
        var lost: [(any ClientConsumer, Bool)] = []
        while let slot = engine.nextUnprocessed() {
            guard let place = place(slot) else { continue }
            let isReused = streams[place].number >> 16 > 1
            if let consumer = remove(place) { lost.append((consumer, isReused)) }
        }
        for (consumer, isReused) in lost { consumer.failed(ClientExchangeFailure(.connection(code), progress: .nothingSent, isReused: isReused)) }
        settle()
    }

    /// The connection is over, by the server's fault or ours.
    func fail(_ link: TunnelLink, _ reason: ClientExchangeFailure.Reason) {
        // Unless the engine has said why.
        engine.drain()
        flushControl(link)
        leave()
        link.end()
        engine.transportEnded()
        loseStreams(reason)
    }

    /// Tells those who were under way when the connection ended. Streams that have ended, whose consumers have paused, go on.
    func loseStreams(_ reason: ClientExchangeFailure.Reason) {
        var lost: [(any ClientConsumer, ClientExchangeFailure)] = []
        while let stream = engine.nextLost() {
            guard let place = place(stream.slot) else { continue }
            let failure = ClientExchangeFailure(
                streams[place].hasHead ? Self.within(reason) : reason, progress: Self.progress(stream.processing), isReused: streams[place].number >> 16 > 1)
            if let consumer = remove(place) { lost.append((consumer, failure)) }
        }
        for (consumer, failure) in lost { consumer.failed(failure) }
    }

    /// The same within a response.
    private static func within(_ reason: ClientExchangeFailure.Reason) -> ClientExchangeFailure.Reason {
        if case .closed = reason { .truncated } else { reason }
    }
}
