// Outgoing connections: to servers, on the loop's ring, in the slots and with the sending, receiving, TLS and timers of any other connection. What is spoken on one is its
// tunnel's business. The loop's thread.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing
package import UringTLS

/// What speaks on an outgoing connection. `opened` is called when it is connected.
package protocol OutgoingTunnel: Tunnel {
    /// It could not be connected; `closed` is not called.
    /// - Parameter code: as in errno, positive.
    func connectFailed(_ code: Int32)
    /// How to secure the connection, once it is connected; nil: not at all. `opened` comes behind the handshake.
    var security: OutgoingSecurity? { get }
    /// The handshake failed, or what came after it cannot be decrypted; `closed` is not called.
    func securityFailed(_ failure: TLSFailure)
}

/// TLS for an outgoing connection.
package struct OutgoingSecurity {
    /// The loop's own.
    let context: TLSClientContext
    /// What the server's certificate must name.
    let host: String
    let port: UInt16
}

/// A socket address as the kernel reads it, which must not move until it has.
@safe
final class SystemAddress {
    let memory: UnsafeMutableRawPointer
    let length: UInt32

    init(_ address: SocketAddress) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<sockaddr_storage>.size, alignment: MemoryLayout<sockaddr_storage>.alignment)
        length = unsafe address.withSockaddr {
            unsafe memory.copyMemory(from: $0, byteCount: Int($1))
            return $1
        }
        unsafe self.memory = unsafe memory
    }

    deinit { unsafe memory.deallocate() }
}

extension Loop {
    /// Connects to a server. How long that may take is the tunnel's to watch (`TunnelLink.wake`).
    /// - Returns: the connection; or a negative errno, and the tunnel hears nothing.
    func connect(_ address: SocketAddress, _ tunnel: any OutgoingTunnel) -> Result<Handle, SystemError> {
        let fd = kernel.socket(address.family)
        guard fd >= 0 else { return .failure(SystemError("making a socket", code: -fd)) }
        guard let handle = unsafe connections.pointee.claim(), let connection = unsafe connections.pointee.pointer(handle) else {
            kernel.close(fd)
            return .failure(SystemError("finding room for a connection", code: ENOBUFS))
        }
        let (now, policy) = unsafe (state.pointee.now, settings.pointee.policy)
        let id = unsafe UInt64(index) << 48 | state.pointee.nextConnectionID
        unsafe state.pointee.nextConnectionID &+= 1
        unsafe connection.initialize(to: Connection(handle: handle, fd: fd, listener: 0, id: id, machine: KeepAliveMachine(openedAt: now, policy)))
        unsafe connection.pointee.flags = [.open, .outgoing, .connecting, .keptAlive]
        // For the keep-alive machine it is a response that is being streamed, the last of its connection.
        unsafe connection.pointee.machine.headParsed(hasBody: false, clientKeepsAlive: true, expectsContinue: false, now: now, policy)
        unsafe connection.pointee.machine.handlerStarted(now: now, policy)
        unsafe connection.pointee.machine.handlerUntimed()
        _ = unsafe connection.pointee.machine.responseHead(handlerCloses: true, unreadBodyBytes: 0, now: now, policy)
        unsafe connection.pointee.tunnel = .passRetained(TunnelBox(tunnel))
        unsafe connection.pointee.body.mode = .tunnel
        unsafe state.pointee.tunnels &+= 1
        unsafe state.pointee.outgoing &+= 1
        let target = SystemAddress(address)
        unsafe makeExchange(connection).address = target
        let sqe = unsafe entry()
        unsafe ur_prep_connect(sqe, fd, target.memory.assumingMemoryBound(to: sockaddr.self), target.length)
        unsafe ur_sqe_tag(sqe, Operation(.connect, handle).raw, 0)
        unsafe connection.pointee.operations &+= 1
        return .success(handle)
    }

    func connected(_ handle: Handle, _ result: Int32) {
        guard let connection = unsafe connections.pointee.pointer(handle) else {
            unsafe meter.pointee.staleCompletions &+= 1
            return
        }
        unsafe connection.pointee.operations &-= 1
        unsafe connection.pointee.flags.remove(.connecting)
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        unsafe dropExchange(connection)
        guard result >= 0 else { return unsafe connectFailed(connection, -result) }
        unsafe begin(connection)
        unsafe armReceive(connection)
        unsafe armTimer(connection)
    }

    private func begin(_ connection: UnsafeMutablePointer<Connection>) {
        var security: OutgoingSecurity?
        unsafe withTunnel(connection) { tunnel, _ in security = (tunnel as? any OutgoingTunnel)?.security }
        guard let security else { return unsafe withTunnel(connection) { $0.opened($1) } }
        security.context.update(nowSeconds: kernel.unixTime())
        guard let session = unsafe security.context.makeSession(host: security.host, port: security.port) else { return unsafe connectFailed(connection, ENOMEM) }
        let tls = UnsafeMutablePointer<TLSTransport>.allocate(capacity: 1)
        unsafe tls.initialize(to: TLSTransport(session: session, client: .passRetained(security.context)))
        unsafe connection.pointee.tls = unsafe tls
        unsafe connection.pointee.flags.insert(.secure)
        // The first flight is ours.
        _ = unsafe shakeHands(connection, tls)
    }

    /// The handshake is complete. True when the connection goes on.
    func outgoingSecured(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        unsafe withTunnel(connection) { $0.opened($1) }
        return unsafe !connection.pointee.flags.contains(.closing)
    }

    /// The server does not speak TLS as it should, or is not who it should be. The alert is in the output.
    func outgoingFailed(_ connection: UnsafeMutablePointer<Connection>, _ failure: TLSFailure) {
        if unsafe connection.pointee.flags.contains(.closing) { return }
        let box = unsafe connection.pointee.tunnel
        let wasOpen = unsafe connection.pointee.body.mode == .tunnel
        // Any other tunnel is told as of any end (`closed`).
        if unsafe box?._withUnsafeGuaranteedRef({ $0.tunnel is any OutgoingTunnel }) ?? true { unsafe connection.pointee.body = unsafe BodyProgress() }
        unsafe dropPlaintext(connection)
        unsafe perform(connection, connection.pointee.machine.transportFailed(now: state.pointee.now, settings.pointee.policy))
        // The connection holds the box until its slot is free, at the end of the turn at the earliest.
        if wasOpen { unsafe box?._withUnsafeGuaranteedRef { ($0.tunnel as? any OutgoingTunnel)?.securityFailed(failure) } }
    }

    /// Tells the tunnel, which is told nothing more, and gives the connection up.
    private func connectFailed(_ connection: UnsafeMutablePointer<Connection>, _ code: Int32) {
        let box = unsafe connection.pointee.tunnel
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe tearDown(connection, reset: false)
        // The connection holds the box until its slot is free, at the end of the turn at the earliest.
        unsafe box?._withUnsafeGuaranteedRef { ($0.tunnel as? any OutgoingTunnel)?.connectFailed(code) }
    }

    /// The way to a tunnel's connection from outside of its calls; nil when the connection is gone.
    func tunnelLink(_ handle: Handle) -> TunnelLink? {
        guard let connection = unsafe connections.pointee.pointer(handle), unsafe connection.pointee.body.mode == .tunnel, unsafe !connection.pointee.flags.contains(.closing)
        else { return nil }
        return unsafe TunnelLink(self, connection)
    }
}

extension TunnelLink {
    /// The other side has ended as its transport asks: with TLS only behind a close_notify (RFC 8446 section 6.1).
    package var hasEndedInOrder: Bool {
        guard let tls = unsafe connection.pointee.tls else { return true }
        return unsafe tls.pointee.session.isClosedByPeer
    }

    /// ALPN chose HTTP/2. False without TLS.
    var isHTTP2: Bool {
        guard let tls = unsafe connection.pointee.tls else { return false }
        return unsafe tls.pointee.session.isHTTP2
    }

    /// Closes at once, in order; the tunnel is told nothing more.
    package func close() {
        unsafe connection.pointee.body = unsafe BodyProgress()
        unsafe loop._withUnsafeGuaranteedRef { unsafe $0.perform(connection, connection.pointee.machine.closeNow()) }
    }
}
