// What arrives on a WebSocket. See WebSocketSession.swift.

internal import Glibc
internal import UringBase
internal import UringWebSocket

extension WebSocketSession {
    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        // What came before this in the turn is not the handler's time.
        unsafe _ = link.loop._withUnsafeGuaranteedRef { $0.lap() }
        return unsafe work(bytes, count, link)
    }

    /// Takes up what is whole, as long as there is room for what it causes; answers how many bytes were used.
    func work(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        // The loop's memory: `count` bytes readable and writable for this call. Not read behind the tunnel's end, with which it may go.
        var used = 0
        while link.isOpen {
            if link.isPaused { return used }
            guard link.hasRoom else {
                // A client that sends and does not read is held back by its own connection.
                link.tellWhenRoom()
                return used
            }
            let input = unsafe bytes + used
            let step = unsafe state.pointee.engine.next(input, count: count &- used, now: link.now)
            used &+= step.used
            switch step.event {
            case .needMore: return used
            case .nothing: break
            case .data(let part): unsafe takePart(part, input, link)
            case .ping, .pong: break
            case .close(let code, let offset, let length):
                flushControl(link)
                unsafe tellClosed(code, input + Int(offset), Int(length), isClean: true, link)
            case .failed(let code):
                flushControl(link)
                unsafe tellClosed(code, input, 0, isClean: false, link)
            }
            if unsafe state.pointee.engine.controlCount > 0 { flushControl(link) }
            if unsafe state.pointee.isClosed {
                finish(link)
                return count
            }
        }
        return count
    }

    func roomAgain(_ link: TunnelLink) {
        if unsafe state.pointee.owesWritable {
            unsafe state.pointee.owesWritable = false
            unsafe _ = link.loop._withUnsafeGuaranteedRef { $0.lap() }
            emit(.writable, link)
        }
        // A message may be half inflated with none of its bytes left; otherwise those are what comes next.
        guard link.isOpen, !link.hasInput, unsafe state.pointee.engine.holdsCompressionState else { return }
        // Never read: 0 bytes.
        _ = unsafe work(UnsafeMutableRawPointer(state).assumingMemoryBound(to: UInt8.self), 0, link)
    }

    @inline(__always)
    private func takePart(_ part: WebSocketPart, _ input: UnsafeMutablePointer<UInt8>, _ link: TunnelLink) {
        // The engine's input, or the room of the loop's compression, which stays as it is until the next call of any engine of the loop: behind the handler.
        let from = unsafe part.isInflated ? link.loop._withUnsafeGuaranteedRef { unsafe $0.webSocketCompression.pointee.room } : input
        let bytes = unsafe from + Int(part.offset)
        guard unsafe !state.pointee.ignoresMessages else { return }
        guard part.begins && part.ends else { return unsafe collect(part, bytes, link) }
        unsafe deliver(part.kind, bytes, Int(part.count), link)
    }

    private func deliver(_ kind: WebSocketMessageKind, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ link: TunnelLink) {
        unsafe state.pointee.lastMessageAt = link.now
        // Readable during the handler's call: the callers say whose memory it is.
        let view = unsafe ByteView(Span<UInt8>(_unsafeStart: bytes, count: count))
        emit(.message(WebSocket.Message(kind == .text ? .text : .binary, view)), link)
    }

    /// A piece of a message: kept until the last is there.
    @inline(never)
    private func collect(_ part: WebSocketPart, _ bytes: UnsafePointer<UInt8>, _ link: TunnelLink) {
        let count = unsafe state.pointee.messageCount
        guard makeRoom(count &+ Int(part.count), link) else {
            dropMessage(link)
            unsafe state.pointee.ignoresMessages = true
            return close(.tryAgainLater, "no memory for the message", link)
        }
        if part.count > 0 { unsafe memcpy(state.pointee.message! + count, bytes, Int(part.count)) }
        unsafe state.pointee.messageCount = count &+ Int(part.count)
        guard part.ends else { return }
        // Out of the session's hands before its handler is called, which may end it.
        let (message, length, capacity) = unsafe (state.pointee.message, state.pointee.messageCount, state.pointee.messageCapacity)
        unsafe (state.pointee.message, state.pointee.messageCount, state.pointee.messageCapacity) = (nil, 0, 0)
        unsafe deliver(part.kind, message ?? UnsafeMutablePointer(mutating: bytes), length, link)
        unsafe Self.give(message, capacity, link)
    }

    /// Doubles with what arrives, never with what a frame's length promises: a promise costs the client nothing.
    private func makeRoom(_ needed: Int, _ link: TunnelLink) -> Bool {
        guard unsafe needed > state.pointee.messageCapacity else { return true }
        let capacity = unsafe max(needed, state.pointee.messageCapacity &* 2, ChunkPool.chunkBytes)
        let taken = unsafe link.loop._withUnsafeGuaranteedRef { unsafe $0.pool.pointee.takeLarge(capacity) }
        guard let memory = unsafe taken?.bindMemory(to: UInt8.self, capacity: capacity) else { return false }
        if let old = unsafe state.pointee.message {
            unsafe memcpy(memory, old, state.pointee.messageCount)
            unsafe Self.give(old, state.pointee.messageCapacity, link)
        }
        unsafe (state.pointee.message, state.pointee.messageCapacity) = unsafe (memory, capacity)
        return true
    }

    func dropMessage(_ link: TunnelLink) {
        unsafe Self.give(state.pointee.message, state.pointee.messageCapacity, link)
        unsafe (state.pointee.message, state.pointee.messageCount, state.pointee.messageCapacity) = (nil, 0, 0)
    }

    private static func give(_ memory: UnsafeMutablePointer<UInt8>?, _ capacity: Int, _ link: TunnelLink) {
        guard let memory = unsafe memory else { return }
        unsafe link.loop._withUnsafeGuaranteedRef { unsafe $0.pool.pointee.giveLarge(memory, capacity) }
    }
}
