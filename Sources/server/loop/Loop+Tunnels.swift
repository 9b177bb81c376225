// Tunnels: connections and streams whose protocol was switched. Their input goes to a `Tunnel` in place of the request parser, their output is the
// connection's; the keep-alive machine sees a response that is being streamed, without a handler's timeout. The loop's thread.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension ResponseState {
    /// The tunnel that follows this response.
    var tunnel: (any Tunnel)? {
        guard unsafe hasSpecialContent, case .tunnel(let tunnel) = unsafe content else { return nil }
        return tunnel
    }
}

extension Loop {
    /// Whether the response may be followed by a tunnel: 101 on HTTP/1.1 (RFC 9110 section 15.2.2), 2xx to CONNECT (section 9.3.6, RFC 8441 section 5).
    func maySwitch(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        if unsafe head.pointee.method == .connect { return unsafe response.pointee.status.isSuccess }
        return unsafe response.pointee.status == .switchingProtocols && !connection.pointee.flags.contains(.stream) && head.pointee.minorVersion > 0
    }

    /// The response that switches is in the output.
    func beginTunnel(_ connection: UnsafeMutablePointer<Connection>, _ tunnel: any Tunnel) {
        // Nobody else's: the next request begins with an empty response.
        unsafe (response.pointee.content, response.pointee.hasSpecialContent) = (.written, false)
        unsafe connection.pointee.machine.handlerUntimed()
        // For the stream's head too: it is in its connection's output.
        unsafe responseWritten(connection, on: connection.pointee.flags.contains(.stream) ? carrier(connection)?.connection ?? connection : connection)
        unsafe connection.pointee.tunnel = .passRetained(TunnelBox(tunnel))
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe connection.pointee.body.mode = .tunnel
        // Bytes will come in many receives.
        unsafe connection.pointee.flags.insert(.keptAlive)
        unsafe meter.pointee.tunnels &+= 1
        unsafe state.pointee.tunnels &+= 1
        tunnel.opened(unsafe TunnelLink(self, connection))
        if unsafe state.pointee.phase == .draining { unsafe drainTunnel(connection) }
        if unsafe connection.pointee.flags.isSuperset(of: [.stream, .endOfInput]) { unsafe tunnelInputEnded(connection) }
        unsafe armTimer(connection)
    }

    /// Calls the tunnel, as long as it has not ended.
    @inline(__always)
    func withTunnel(_ connection: UnsafeMutablePointer<Connection>, _ body: (any Tunnel, TunnelLink) -> Void) {
        guard unsafe connection.pointee.body.mode == .tunnel, unsafe connection.pointee.flags.isDisjoint(with: .closing),
            let box = unsafe connection.pointee.tunnel
        else { return }
        // The connection holds the box until its slot is free, at the end of the turn at the earliest.
        unsafe box._withUnsafeGuaranteedRef { body($0.tunnel, unsafe TunnelLink(self, connection)) }
    }

    /// Another tunnel has the connection from here on.
    func handOver(_ connection: UnsafeMutablePointer<Connection>, _ tunnel: any Tunnel) {
        guard unsafe connection.pointee.body.mode == .tunnel, unsafe connection.pointee.flags.isDisjoint(with: .closing),
            let box = unsafe connection.pointee.tunnel
        else { return }
        // The first may be in a call: its box stays as long as the connection.
        unsafe connection.pointee.tunnel = .passRetained(TunnelBox(tunnel, behind: box.takeRetainedValue()))
        unsafe connection.pointee.flags.subtract([.bodyPaused, .awaitsRoom])
        // What the first leaves of the bytes it is called for.
        unsafe state.pointee.hasWork = true
        if unsafe !connection.pointee.flags.contains(.resuming) {
            unsafe connection.pointee.flags.insert(.resuming)
            unsafe state.pointee.resuming.append(connection)
        }
        tunnel.opened(unsafe TunnelLink(self, connection))
    }

    // MARK: input

    /// Input is held back: the tunnel has paused, or waits for room.
    func isTunnelBlocked(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        // To a server both directions go on: it may well wait for us to read before it reads itself.
        unsafe connection.pointee.flags.contains(.bodyPaused)
            || !connection.pointee.flags.contains(.outgoing) && !connection.pointee.machine.hasRoom(settings.pointee.policy)
    }

    /// Hands bytes to the tunnel; answers how many it used.
    func tunnelInput(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        guard count > 0, unsafe connection.pointee.flags.isDisjoint(with: [.bodyPaused, .closing]), let box = unsafe connection.pointee.tunnel else { return 0 }
        // As above.
        return unsafe box._withUnsafeGuaranteedRef { unsafe $0.tunnel.received(bytes, count, TunnelLink(self, connection)) }
    }

    func tunnelInputEnded(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe !connection.pointee.flags.contains(.tunnelInputEnded) else { return }
        unsafe connection.pointee.flags.insert(.tunnelInputEnded)
        unsafe withTunnel(connection) { $0.inputEnded($1) }
    }

    /// DATA of a stream's tunnel. What it keeps because it waits for room, or has paused, stays uncredited: the client's window holds it back. What it keeps
    /// because its protocol's unit is not whole is credited, or a window smaller than that unit could never be used up.
    func takeTunnelData(
        _ stream: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int,
        _ endStream: Bool
    ) {
        if endStream { unsafe stream.pointee.flags.insert(.endOfInput) }
        unsafe stream.pointee.body.remaining &+= UInt64(count)
        if unsafe stream.pointee.carryCount == 0 {
            let used = unsafe tunnelInput(stream, bytes, count)
            if used < count, unsafe stream.pointee.body.mode == .tunnel, unsafe !stream.pointee.flags.contains(.closing),
                unsafe !keep(stream, bytes + used, count &- used)
            {
                return unsafe shed(stream)
            }
        } else {
            if count > 0, unsafe !keep(stream, bytes, count) { return unsafe shed(stream) }
            unsafe workTunnelCarry(stream)
        }
        unsafe settleTunnelInput(stream, http2, slot)
    }

    /// What the stream's tunnel did not take when it came.
    func processTunnelCarry(_ stream: UnsafeMutablePointer<Connection>) {
        guard let (connection, http2) = unsafe carrier(stream) else { return }
        let slot = unsafe stream.pointee.streamSlot
        unsafe workTunnelCarry(stream)
        unsafe settleTunnelInput(stream, http2, slot)
        unsafe flushControl(connection, http2)
    }

    private func workTunnelCarry(_ stream: UnsafeMutablePointer<Connection>) {
        guard let carry = unsafe stream.pointee.carry, unsafe stream.pointee.body.mode == .tunnel else { return }
        let count = unsafe stream.pointee.carryCount
        let used = unsafe tunnelInput(stream, carry, count)
        // Memory of a stream goes at the end of the turn, whatever the tunnel did.
        if used == count {
            unsafe dropCarry(stream)
        } else if used > 0 {
            unsafe memmove(carry, carry + used, count &- used)
            unsafe stream.pointee.carryCount = count &- used
        }
    }

    private func settleTunnelInput(_ stream: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ slot: StreamSlot) {
        let isBlocked = unsafe stream.pointee.body.mode == .tunnel && isTunnelBlocked(stream)
        let uncredited = unsafe Int(clamping: stream.pointee.body.remaining)
        let held = unsafe isBlocked ? min(stream.pointee.carryCount, uncredited) : 0
        unsafe stream.pointee.body.remaining = UInt64(held)
        // Dead slots are nobody's: the engine looks.
        unsafe http2.pointee.engine.consumed(slot, uncredited &- held)
        if unsafe stream.pointee.flags.contains(.endOfInput), !isBlocked { unsafe tunnelInputEnded(stream) }
        unsafe armTimer(stream)
    }

    /// The tunnel takes input again.
    func resumeTunnel(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.flags.contains(.bodyPaused) else { return }
        unsafe connection.pointee.flags.remove(.bodyPaused)
        // Not within the tunnel's call: at the end of this turn.
        unsafe state.pointee.hasWork = true
        if unsafe !connection.pointee.flags.contains(.resuming) {
            unsafe connection.pointee.flags.insert(.resuming)
            unsafe state.pointee.resuming.append(connection)
        }
    }

    // MARK: output

    func reserveTunnel(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<UInt8>? {
        guard unsafe connection.pointee.flags.contains(.stream) else { return unsafe reserve(connection, count) }
        // A stream with nothing queued, and windows with room for all of it: as one frame straight to the connection's output.
        unsafe state.pointee.tunnelCarrier = nil
        if unsafe connection.pointee.queue.isEmpty, let (carrier, http2) = unsafe carrier(connection), unsafe !carrier.pointee.machine.isEnding,
            unsafe http2.pointee.engine.canSendWhole(connection.pointee.streamSlot, count), unsafe carrier.pointee.machine.hasRoom(settings.pointee.policy)
        {
            guard let out = unsafe reserve(carrier, count &+ Self.frameHeaderBytes) else { return nil }
            unsafe state.pointee.tunnelCarrier = unsafe carrier
            return unsafe out + Self.frameHeaderBytes
        }
        return unsafe reserve(connection, count)
    }

    /// `count` bytes are at what `reserveTunnel` has just answered.
    func commitTunnel(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        let (now, policy) = unsafe (state.pointee.now, settings.pointee.policy)
        if let carrier = unsafe state.pointee.tunnelCarrier {
            unsafe state.pointee.tunnelCarrier = nil
            guard count > 0, let http2 = unsafe carrier.pointee.http2, let out = unsafe reserve(carrier, count &+ Self.frameHeaderBytes) else { return }
            _ = unsafe http2.pointee.engine.writeDataHeader(connection.pointee.streamSlot, count: count, endStream: false, into: out)
            unsafe commit(carrier, count &+ Self.frameHeaderBytes)
            unsafe carrier.pointee.machine.outputQueued(UInt64(count &+ Self.frameHeaderBytes), now: now, policy)
            unsafe connection.pointee.bytesSent &+= UInt64(count)
            return
        }
        guard count > 0 else { return }
        unsafe commit(connection, count)
        unsafe connection.pointee.machine.outputQueued(UInt64(count), now: now, policy)
    }

    /// Output has left.
    func tunnelWritable(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.flags.contains(.awaitsRoom), unsafe connection.pointee.machine.hasRoom(settings.pointee.policy) {
            unsafe connection.pointee.flags.remove(.awaitsRoom)
            unsafe withTunnel(connection) { $0.roomAgain($1) }
        }
        unsafe resume(connection)
        // A stream's output leaves between two turns.
        if unsafe connection.pointee.flags.contains(.stream), unsafe state.pointee.resuming.count > 0 { unsafe state.pointee.hasWork = true }
    }

    // MARK: time, orders

    func wakeTunnel(_ connection: UnsafeMutablePointer<Connection>, at time: UInt64) {
        guard unsafe connection.pointee.flags.isDisjoint(with: .closing), unsafe connection.pointee.tunnel != nil else { return }
        unsafe connection.pointee.producerWakeAt = time
        unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: min(time, connection.pointee.machine.armedAt))
    }

    func tunnelTimer(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.producerWakeAt = .max
        unsafe withTunnel(connection) { $0.timer($1) }
    }

    /// Takes up an order to tunnels of this loop; those that are gone by now are passed over.
    func deliver(_ order: any TunnelOrder, to handles: [ExchangeHandle]) {
        for handle in handles {
            guard let connection = unsafe connections.pointee.pointer(handle.connection), unsafe connection.pointee.id == handle.id,
                unsafe connection.pointee.machine.requests == handle.request
            else { continue }
            unsafe withTunnel(connection) { $0.take(order, $1) }
        }
    }

    // MARK: end

    /// The tunnel has written its last: as after the end of a streamed response.
    func endTunnel(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.body.mode == .tunnel, unsafe connection.pointee.flags.isDisjoint(with: .closing) else { return }
        unsafe connection.pointee.producerWakeAt = .max
        unsafe connection.pointee.flags.subtract([.bodyPaused, .awaitsRoom])
        guard unsafe !connection.pointee.flags.contains(.stream) else {
            // What still comes is thrown away until the client has seen the end.
            unsafe connection.pointee.body.mode = .discard
            return unsafe responseQueued(connection)
        }
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe markDirty(connection)
        unsafe perform(connection, connection.pointee.machine.responseEnded(unreadBodyBytes: 0, now: state.pointee.now, settings.pointee.policy))
        unsafe armTimer(connection)
    }

    func drainTunnel(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withTunnel(connection) { $0.drain($1) }
    }

    /// Every tunnel, those on streams too.
    func drainTunnels() {
        guard unsafe state.pointee.tunnels > 0 else { return }
        for slot in unsafe 0..<connections.pointee.slotsEver {
            let connection = unsafe connections.pointee.pointer(at: slot)
            if unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.tunnel != nil { unsafe drainTunnel(connection) }
        }
    }

    /// The connection's memory goes.
    func dropTunnel(_ connection: UnsafeMutablePointer<Connection>) {
        guard let box = unsafe connection.pointee.tunnel else { return }
        if unsafe connection.pointee.body.mode == .tunnel {
            // As above. Nothing that it writes now could be sent.
            unsafe connection.pointee.flags.insert(.closing)
            unsafe box._withUnsafeGuaranteedRef { $0.tunnel.closed(unsafe TunnelLink(self, connection)) }
            unsafe connection.pointee.body = unsafe BodyProgress()
        }
        unsafe connection.pointee.tunnel = nil
        unsafe state.pointee.tunnels &-= 1
        unsafe box.release()
    }
}
