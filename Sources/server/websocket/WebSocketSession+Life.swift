// Beginning, time and end of a WebSocket. See WebSocketSession.swift.

internal import Glibc
internal import UringWebSocket

extension WebSocketSession {
    func opened(_ link: TunnelLink) {
        unsafe state.pointee.lastMessageAt = link.now
        unsafe _ = link.loop._withUnsafeGuaranteedRef { $0.lap() }
        emit(.opened, link)
        arm(link)
    }

    // MARK: time

    /// Asks for the timer. Traffic only moves deadlines later, so it leaves the timer alone; that comes early and looks again.
    func arm(_ link: TunnelLink) {
        guard link.isOpen else { return }
        let silence = unsafe state.pointee.engine.silenceDeadline(state.pointee.keepAlive)
        let close = unsafe state.pointee.engine.closeDeadline(state.pointee.keepAlive)
        link.wake(at: min(silence, close, idleDeadline))
    }

    private var idleDeadline: UInt64 {
        guard unsafe state.pointee.idleNs > 0, unsafe state.pointee.engine.isOpen else { return .max }
        let (deadline, overflow) = unsafe state.pointee.lastMessageAt.addingReportingOverflow(state.pointee.idleNs)
        return overflow ? .max : deadline
    }

    func timer(_ link: TunnelLink) {
        let now = link.now
        if unsafe state.pointee.engine.closeDeadline(state.pointee.keepAlive) <= now { return lost(link) }
        if idleDeadline <= now {
            guard link.isPaused else { return close(.normal, "idle", link) }
            // Messages wait for the handler.
            unsafe state.pointee.lastMessageAt = now
        }
        if unsafe state.pointee.engine.silenceDeadline(state.pointee.keepAlive) <= now {
            if link.isPaused {
                // The answer would lie behind messages that the handler has not read. What is sent to a client that has gone tells its connection so.
                unsafe state.pointee.engine.pingAgain(now: now)
                flushControl(link)
                return arm(link)
            }
            if unsafe state.pointee.engine.pingOutstandingSince != nil { return lost(link) }
            // Behind bytes that a slow client has not read yet the question would come too late; the write timeout watches over those.
            if link.pendingBytes == 0 {
                unsafe state.pointee.engine.ping(now: now)
                flushControl(link)
            } else {
                unsafe state.pointee.engine.postponePing(now: now)
            }
        }
        arm(link)
    }

    // MARK: end

    /// The server is stopping (RFC 6455 section 7.4.1): the client has `closeTimeout` to say that it has understood.
    func drain(_ link: TunnelLink) {
        close(.goingAway, "the server is stopping", link)
        guard let source else { return }
        ignoreMessages(link)
        source.drain(link)
    }

    /// The async handler is over: its socket ends as well.
    func handlerReturned(_ code: WebSocket.CloseCode, _ link: TunnelLink) {
        ignoreMessages(link)
        close(code, "", link)
    }

    /// Only the client's Close is of interest any more.
    private func ignoreMessages(_ link: TunnelLink) {
        unsafe state.pointee.ignoresMessages = true
        dropMessage(link)
    }

    /// Input that was held back comes: the client's silence was not its own.
    func heardAgain(_ link: TunnelLink) {
        unsafe state.pointee.engine.postponePing(now: link.now)
        arm(link)
    }

    /// The client is not there any more, or does not read.
    private func lost(_ link: TunnelLink) {
        tellLost(link)
        // A connection that takes nothing would hold what waits for it until the write timeout.
        if link.pendingBytes > 0 { link.abort() } else { finish(link) }
    }

    /// A connection that ends without a Close.
    func inputEnded(_ link: TunnelLink) {
        tellLost(link)
        finish(link)
    }

    func closed(_ link: TunnelLink) {
        tellLost(link)
        unsafe state.pointee.engine.abandon()
        dropMessage(link)
    }

    private func tellLost(_ link: TunnelLink) {
        // Never read: 0 bytes.
        unsafe tellClosed(.abnormal, UnsafeMutableRawPointer(state).assumingMemoryBound(to: UInt8.self), 0, isClean: false, link)
    }

    func tellClosed(_ code: WebSocketCloseCode, _ reason: UnsafePointer<UInt8>, _ count: Int, isClean: Bool, _ link: TunnelLink) {
        guard unsafe !state.pointee.isClosed else { return }
        unsafe state.pointee.isClosed = true
        // Nothing can be sent from here on.
        if !isClean { unsafe state.pointee.engine.abandon() }
        // The caller's memory, readable during the handler's call.
        let view = unsafe ByteView(Span<UInt8>(_unsafeStart: reason, count: count))
        emit(.closed(WebSocket.Close(WebSocket.CloseCode(rawValue: code.rawValue), view, isClean: isClean)), link)
    }

    /// All is said: the connection ends behind it.
    func finish(_ link: TunnelLink) {
        flushControl(link)
        dropMessage(link)
        link.end()
    }
}
