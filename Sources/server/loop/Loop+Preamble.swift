// Preambles (ListenerPreamble): the first bytes of a connection say who the client is, before anything else looks at them. Until it is whole the connection has `.preamble`;
// it has the time that a handshake or a head has. Limits by address hold for the client that was named. The loop's thread.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over; received bytes are readable during the call that hands them over.

internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// A connection of a listener with preambles: whoever may not send one is not listened to.
    func awaitPreamble(_ connection: UnsafeMutablePointer<Connection>, _ preamble: ListenerPreamble) -> Bool {
        // One that has left already is nobody whom to believe.
        guard let address = unsafe kernel.peerAddress(connection.pointee.fd) else { return false }
        let peer = RequestPeer(address)
        unsafe connection.pointee.peer = peer
        guard preamble.admits(peer) else {
            preamble.refused(.untrusted, peer)
            return false
        }
        unsafe connection.pointee.flags.insert(.preamble)
        return true
    }

    func receivedPreamble(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        guard unsafe !connection.pointee.machine.isEnding else {
            _ = unsafe discardInput(connection, count, count)
            return
        }
        if unsafe connection.pointee.carryCount == 0 {
            guard let used = unsafe readPreamble(connection, bytes, count) else { return }
            if used > 0 { return unsafe begin(connection, bytes + used, count &- used) }
            if unsafe !keep(connection, bytes, count) { unsafe shed(connection) }
            return
        }
        guard unsafe keep(connection, bytes, count) else { return unsafe shed(connection) }
        guard let carry = unsafe connection.pointee.carry else { return }
        let (total, capacity) = unsafe (connection.pointee.carryCount, connection.pointee.carryCapacity)
        guard let used = unsafe readPreamble(connection, carry, total), used > 0 else { return }
        // Taken from the connection: whoever reads on may keep bytes there.
        unsafe connection.pointee.carry = nil
        unsafe (connection.pointee.carryCount, connection.pointee.carryCapacity) = (0, 0)
        unsafe begin(connection, carry + used, total &- used)
        if capacity == ChunkPool.chunkBytes { unsafe pool.pointee.give(carry) } else { unsafe pool.pointee.giveLarge(carry, capacity) }
    }

    /// How many bytes the preamble is long; 0: not whole yet; nil: the connection is not taken.
    private func readPreamble(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int? {
        // A reload may have made the listener one without since this client was accepted: what it sends is no request.
        guard let preamble = unsafe state.pointee.listeners[Int(connection.pointee.listener)].preamble else {
            unsafe connection.pointee.flags.remove(.preamble)
            unsafe refuseIntroduced(connection)
            return nil
        }
        switch unsafe preamble.read(UnsafeBufferPointer(start: bytes, count: count)) {
        case .needMore where count < ListenerPreamble.bytesMax: return 0
        case .complete(let length, let client) where length > 0 && length <= count:
            return unsafe introduce(connection, client) ? length : nil
        case .malformed, .needMore, .complete:
            unsafe connection.pointee.flags.remove(.preamble)
            unsafe preamble.refused(.malformed, connection.pointee.peer ?? .local)
            unsafe refuseIntroduced(connection)
            return nil
        }
    }

    /// It is known who the client is. False when it may not connect.
    private func introduce(_ connection: UnsafeMutablePointer<Connection>, _ client: RequestPeer?) -> Bool {
        unsafe connection.pointee.flags.remove(.preamble)
        if let client {
            unsafe connection.pointee.peer = client
            unsafe connection.pointee.flags.insert(.introduced)
        }
        guard unsafe mayConnect(connection) else {
            unsafe meter.pointee.connectionsRefused &+= 1
            unsafe refuseIntroduced(connection)
            return false
        }
        // With TLS the time for the handshake goes on; a head has its own from here.
        if unsafe !connection.pointee.flags.contains(.secure) { unsafe connection.pointee.machine.established(now: state.pointee.now, settings.pointee.policy) }
        return true
    }

    private func refuseIntroduced(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe because(connection, .refused)
        unsafe perform(connection, connection.pointee.machine.abort())
    }

    /// What follows is the client's.
    private func begin(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        guard count > 0 else { return }
        if unsafe connection.pointee.flags.contains(.secure) { unsafe receivedSealed(connection, bytes, count) } else { unsafe input(connection, bytes, count) }
    }

    /// The connection ends without a whole preamble.
    func preambleBroke(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.flags.remove(.preamble)
        let (peer, number) = unsafe (connection.pointee.peer ?? .local, Int(connection.pointee.listener))
        unsafe state.pointee.listeners[number].preamble?.refused(.incomplete, peer)
    }

    /// Whose the connection is: who has connected, or whom a preamble has named. nil when the kernel does not know it any more.
    func peerAddress(_ connection: UnsafeMutablePointer<Connection>) -> SocketAddress? {
        if unsafe connection.pointee.flags.contains(.introduced), let peer = unsafe connection.pointee.peer { return SocketAddress(peer) }
        return unsafe kernel.peerAddress(connection.pointee.fd)
    }
}

extension SocketAddress {
    init(_ peer: RequestPeer) {
        switch peer {
        case .local: self = .unnamedUnix
        case .ipv4(let number, let port): self.init(ipv4: number, port: port)
        case .ipv6(let high, let low, let port): self.init(ipv6High: high, low: low, port: port)
        }
    }
}
