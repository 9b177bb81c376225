// What is sent on a WebSocket: messages, Close, and what the engine says of its own. See WebSocketSession.swift.

internal import Glibc
internal import UringBase
internal import UringWebSocket

extension WebSocketSession {
    func isOpen(_ link: TunnelLink) -> Bool { unsafe link.isOpen && state.pointee.engine.isOpen }

    /// - Parameter isBounded: false: the caller has waited for room, and its message is let through whatever its size.
    func send(_ kind: WebSocket.Kind, _ bytes: UnsafeBufferPointer<UInt8>, _ link: TunnelLink, isBounded: Bool = true) -> WebSocket.Sent {
        guard isOpen(link) else { return .closed }
        // The caller's memory, readable for this call.
        let count = bytes.count
        let pending = link.pendingBytes
        // One message is always let through, or none larger than the limit could ever be sent.
        guard unsafe !isBounded || pending == 0 || pending &+ UInt64(count) <= state.pointee.queuedBytesMax else { return refuse(link) }
        unsafe state.pointee.lastMessageAt = link.now
        let engineKind: WebSocketMessageKind = kind == .text ? .text : .binary
        if unsafe count >= state.pointee.engine.deflatesFrom, let sent = unsafe sendDeflated(engineKind, bytes, link) { return sent }
        guard let out = unsafe link.reserve(WebSocketFrame.headBytes(count) &+ count) else { return .closed }
        let head = unsafe state.pointee.engine.writeMessageHead(engineKind, count: count, into: out)
        if count > 0 { unsafe memcpy(out + head, bytes.baseAddress!, count) }
        link.commit(head &+ count)
        return .queued
    }

    /// nil when the message goes out as it is.
    @inline(never)
    private func sendDeflated(_ kind: WebSocketMessageKind, _ bytes: UnsafeBufferPointer<UInt8>, _ link: TunnelLink) -> WebSocket.Sent? {
        guard let out = unsafe link.reserve(WebSocketConnection.deflatedBytesMax(bytes.count)) else { return .closed }
        // Messages of such a size have an address.
        switch unsafe state.pointee.engine.writeDeflated(kind, bytes.baseAddress!, count: bytes.count, into: out) {
        case .written(let written):
            link.commit(written)
            return .queued
        case .plain:
            link.commit(0)
            return nil
        case .refused:
            link.commit(0)
            return .closed
        }
    }

    @inline(never)
    private func refuse(_ link: TunnelLink) -> WebSocket.Sent {
        if unsafe state.pointee.closesSlowClients {
            close(.policyViolation, "reads too slowly", link)
        } else {
            tellWhenRoom(link)
        }
        return .refused
    }

    func close(_ code: WebSocket.CloseCode, _ reason: String, _ link: TunnelLink) {
        guard isOpen(link) else { return }
        let wanted = WebSocketCloseCode(rawValue: code.rawValue)
        let sent = wanted.mayBeSent || wanted == .noStatus ? wanted : .internalError
        // Readable during this call; the engine copies what it keeps.
        unsafe reason.utf8.span.withUnsafeBufferPointer {
            unsafe state.pointee.engine.close(sent, reason: $0.baseAddress, count: $0.count, now: link.now)
        }
        unsafe state.pointee.saidCode = sent.rawValue
        flushControl(link)
        arm(link)
    }

    /// The code of the Close that was said here; nil when none was.
    var saidCode: WebSocket.CloseCode? { unsafe state.pointee.saidCode == 0 ? nil : WebSocket.CloseCode(rawValue: state.pointee.saidCode) }

    func ping(_ link: TunnelLink) {
        unsafe state.pointee.engine.ping(now: link.now)
        flushControl(link)
        arm(link)
    }

    /// Asks for `.writable`.
    func tellWhenRoom(_ link: TunnelLink) {
        unsafe state.pointee.owesWritable = true
        link.tellWhenRoom()
    }

    /// Moves PONG, PING and Close to the output.
    func flushControl(_ link: TunnelLink) {
        let count = unsafe state.pointee.engine.controlCount
        guard count > 0, let out = unsafe link.reserve(count) else { return }
        link.commit(unsafe state.pointee.engine.takeControl(into: out, capacity: count))
    }

    func take(_ order: any TunnelOrder, _ link: TunnelLink) {
        guard let order = order as? WebSocketOrder else { return }
        switch order.content {
        case .message(let kind, let bytes): _ = unsafe bytes.span.withUnsafeBufferPointer { unsafe send(kind, $0, link) }
        case .close(let code, let reason): close(code, reason, link)
        }
    }
}
