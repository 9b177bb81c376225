// HTTP2ClientTransport: an HTTP/2 connection of ours to a server, shared by many exchanges. It joins the bytes of an outgoing connection with the client's engine
// (HTTP2ClientConnection) and tells each stream's consumer what comes. +Request, +Sending, +Response, +Ending. The loop's thread.
//
//   bytes ──▶ received ──▶ engine.next ──▶ event ──▶ the stream's consumer
//   start, sendBody … ──▶ engine.open, writeDataHeader ──▶ the connection's output      engine.takeControl goes ahead of each (`flushControl`)
//
// The engine is never in a call when a consumer is: consumers start requests, send and cancel from within theirs.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing
internal import UringTLS

final class HTTP2ClientTransport: ClientConnection, @unchecked Sendable {
    var engine: HTTP2ClientConnection
    /// Exchanges, at places that their numbers name; grows to as many as there ever were at once.
    var streams: [ClientStream] = []
    private var freePlaces: [Int] = []
    /// The place of each of the engine's slots.
    private var places: [Int] = []
    /// Exchanges whose consumer has not heard the last.
    private(set) var active = 0
    /// Requests so far.
    var requests: UInt64 = 0
    /// When the server must have sent its settings; `.max`: it has.
    var settingsDeadline: UInt64
    private var idleDeadline: UInt64
    /// When the connection's timer fires.
    private var armedAt = UInt64.max

    override init(_ pool: ClientPool, _ handle: Handle) {
        let now = unsafe pool.clients.loop.state.pointee.now
        engine = HTTP2ClientConnection(settings: HTTP2ClientSettings(streamsMax: pool.options.streamsPerConnectionMax), limits: pool.http2Limits, now: now)
        settingsDeadline = pool.clients.deadline(in: pool.options.connectTimeoutNs)
        idleDeadline = Self.deadline(now, pool.policy.idleTimeoutNs)
        super.init(pool, handle)
    }

    override var isShared: Bool { true }
    override var isIdle: Bool { active == 0 && granted == 0 }
    override var room: Int {
        guard !isRetiring, handle != nil else { return 0 }
        let streamsMax = min(engine.streamsToSpare, engine.settings.streamsMax - active)
        guard pool.options.requestsPerConnectionMax > 0 else { return streamsMax - granted }
        return min(streamsMax, Int(clamping: UInt64(pool.options.requestsPerConnectionMax) - min(requests, UInt64(pool.options.requestsPerConnectionMax)))) - granted
    }

    // What overrides is here, for extensions cannot; what it does is in these.
    override func start(_ consumer: any ClientConsumer, _ head: ClientRequestHead, fields: (inout ClientFieldWriter) -> Void) -> ClientStart {
        unsafe startExchange(consumer, head, fields)
    }
    override func sendBody(_ number: UInt64, _ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Bool { unsafe sendPart(number, bytes, isLast: isLast) }
    override func endBody(_ number: UInt64) { end(number) }
    override func endBody(_ number: UInt64, trailers: (inout ClientFieldWriter) -> Void) { end(number, trailers: trailers) }
    override func resumeBody(_ number: UInt64) { resume(number) }
    override func cancel(_ number: UInt64) { giveUp(number) }
    override func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int { unsafe receive(bytes, count, link) }
    override func roomAgain(_ link: TunnelLink) { hasRoomAgain(link) }
    override func retire() { beginRetiring() }

    // MARK: the life of the connection

    override func opened(_ link: TunnelLink) {
        armedAt = .max
        link.wake(at: .max)
        flushControl(link)
        arm(link)
    }

    override func inputEnded(_ link: TunnelLink) {
        let reason: ClientExchangeFailure.Reason = link.hasEndedInOrder ? .closed : .transport
        leave()
        link.close()
        engine.transportEnded()
        loseStreams(reason)
    }

    override func securityFailed(_ failure: TLSFailure) { transportEnded() }
    override func closed(_ link: TunnelLink) { transportEnded() }

    private func transportEnded() {
        leave()
        engine.transportEnded()
        loseStreams(.transport)
    }

    // MARK: exchanges

    /// The place of an exchange that has not ended.
    func place(_ number: UInt64) -> Int? {
        let place = Int(number & 0xffff)
        return place < streams.count && streams[place].number == number && number != 0 ? place : nil
    }

    /// The place of the engine's stream, whether it is live or has just ended.
    func place(_ slot: StreamSlot) -> Int? {
        guard Int(slot.index) < places.count, places[Int(slot.index)] < streams.count else { return nil }
        let place = places[Int(slot.index)]
        return streams[place].slot == slot && streams[place].number != 0 ? place : nil
    }

    func insert(_ consumer: any ClientConsumer, _ slot: StreamSlot) -> Int {
        let place = freePlaces.popLast() ?? streams.count
        if place == streams.count { streams.append(ClientStream()) }
        requests += 1
        active += 1
        idleDeadline = .max
        streams[place].number = requests << 16 | UInt64(place)
        streams[place].slot = slot
        streams[place].consumer = consumer
        while places.count <= Int(slot.index) { places.append(0) }
        places[Int(slot.index)] = place
        return place
    }

    /// Ends an exchange; answers whom to tell, before `settle`.
    func remove(_ place: Int) -> (any ClientConsumer)? {
        let consumer = streams[place].consumer
        streams[place] = ClientStream()
        freePlaces.append(place)
        active -= 1
        if active == 0 { idleDeadline = Self.deadline(now, pool.policy.idleTimeoutNs) }
        return consumer
    }

    /// After an exchange, when its consumer was told: the connection takes another, or ends with its last.
    func settle() {
        guard handle != nil, let link else { return }
        if engine.isEnding || isRetiring {
            if isIdle { close(link) }
        } else {
            pool.hasRoom(self)
        }
        if handle != nil { arm(link) }
    }

    // MARK: clocks

    static func deadline(_ now: UInt64, _ timeout: UInt64) -> UInt64 {
        let (sum, overflow) = now.addingReportingOverflow(timeout)
        return timeout == 0 || overflow ? .max : sum
    }

    /// Begins the clock that belongs to where the exchange is: it runs while only the server can move it on.
    func setClock(_ place: Int) {
        let policy = pool.policy
        let clock: ClientTimeout
        let timeout: UInt64
        // By fields: a copy of the whole would count references.
        if streams[place].isPaused || streams[place].hasEnded {
            (clock, timeout) = (.body, 0)
        } else if streams[place].pendingCount > 0 {
            (clock, timeout) = (.write, policy.writeTimeoutNs)
        } else if streams[place].takesBody {
            (clock, timeout) = (.body, 0)
        } else if streams[place].hasHead {
            (clock, timeout) = (.body, policy.bodyTimeoutNs)
        } else {
            (clock, timeout) = (.head, policy.headTimeoutNs)
        }
        streams[place].clock = clock
        streams[place].deadline = Self.deadline(now, timeout)
        if streams[place].deadline < armedAt { armNow(streams[place].deadline) }
    }

    private func armNow(_ deadline: UInt64) {
        armedAt = deadline
        link?.wake(at: deadline)
    }

    /// Behind whatever may have begun a clock of the connection's; those of streams arm themselves.
    func arm(_ link: TunnelLink) {
        guard link.isOpen else { return }
        let deadline = min(settingsDeadline, isIdle ? idleDeadline : .max, engine.silenceDeadline(pool.http2KeepAlive))
        guard deadline < armedAt else { return }
        armedAt = deadline
        link.wake(at: deadline)
    }

    override func timer(_ link: TunnelLink) {
        armedAt = .max
        if now >= settingsDeadline { return fail(link, .timeout(.head)) }
        if isIdle, now >= idleDeadline { return close(link) }
        watchSilence(link)
        guard handle != nil else { return }
        for place in streams.indices where streams[place].number != 0 && streams[place].deadline <= now {
            failStream(place, .timeout(streams[place].clock), reset: .cancel)
        }
        guard handle != nil else { return }
        flushControl(link)
        armedAt = streams.reduce(UInt64.max) { min($0, $1.deadline) }
        link.wake(at: armedAt)
        arm(link)
    }

    /// Is the server there? Asked by PING while streams are open (RFC 9113 section 6.7).
    private func watchSilence(_ link: TunnelLink) {
        guard now >= engine.silenceDeadline(pool.http2KeepAlive) else { return }
        if engine.pingOutstandingSince != nil { return fail(link, .timeout(.body)) }
        if link.pendingBytes > 0 { return engine.postponePing(now: now) }
        engine.ping(now: now)
        flushControl(link)
    }
}
