// Accepting: multishot accept per listener, and what happens when descriptors or slots run out. The loop's thread.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// How long accepting pauses when descriptors run out and no connection closes meanwhile. Clients wait in the backlog.
    private static var acceptPauseNs: UInt64 { 50_000_000 }

    func armAccept(_ number: Int) {
        guard unsafe !state.pointee.listeners[number].armed, unsafe !state.pointee.listeners[number].retired else { return }
        let sqe = unsafe entry()
        unsafe ur_prep_multishot_accept(sqe, state.pointee.listeners[number].listener.fd)
        unsafe ur_sqe_tag(sqe, Operation(.accept, Handle(index: UInt32(number), generation: 0)).raw, 0)
        unsafe state.pointee.listeners[number].armed = true
    }

    func accepted(_ number: Int, _ result: Int32, _ flags: UInt32) {
        let terminated = flags & UInt32(IORING_CQE_F_MORE) == 0
        if terminated { unsafe state.pointee.listeners[number].armed = false }
        if result >= 0 {
            open(result, number)
        } else if result != -ECANCELED {
            unsafe meter.pointee.acceptErrors &+= 1
            note(.acceptFailed, value: UInt64(-Int64(result)))
        }
        guard terminated else { return }
        if unsafe state.pointee.listeners[number].retired { return closeRetired(number) }
        if result >= 0 { return rearm(number) }
        switch SocketFailure(-result) {
        case .again, .peerGone, .cancelled: rearm(number)
        case .exhausted, .noBuffers, .programming, .unknown:
            // EMFILE, ENFILE, ENOMEM: whoever is connected is served on; the backlog waits until a connection closes or the pause is over.
            pauseAccepting()
        }
    }

    private func rearm(_ number: Int) {
        if connectionCount >= connectionsMax { pauseAccepting() } else { armAccept(number) }
    }

    /// Every slot is taken: further clients wait in the backlog until a connection closes.
    private func stopAccepting() {
        for number in unsafe 0..<state.pointee.listeners.count where unsafe state.pointee.listeners[number].armed { cancelAccept(number) }
    }

    func cancelAccept(_ number: Int) {
        let sqe = unsafe entry()
        unsafe ur_prep_cancel(sqe, Operation(.accept, Handle(index: UInt32(number), generation: 0)).raw)
        unsafe ur_sqe_tag(sqe, Operation(.cancel, Handle(index: 0, generation: 0)).raw, 0)
    }

    private func pauseAccepting() {
        guard unsafe state.pointee.acceptRetryAt == .max else { return }
        note(.backlog)
        unsafe state.pointee.acceptRetryAt = unsafe state.pointee.now &+ Self.acceptPauseNs
    }

    /// Arms every listener that is not: a slot or a descriptor has become free, or the pause is over.
    func resumeAccepting() {
        unsafe state.pointee.acceptRetryAt = .max
        guard unsafe state.pointee.phase == .serving else { return }
        guard connectionCount < connectionsMax else { return pauseAccepting() }
        for number in unsafe 0..<state.pointee.listeners.count { armAccept(number) }
    }

    func open(_ fd: Int32, _ listener: Int) {
        guard let handle = unsafe connections.pointee.claim(), let connection = unsafe connections.pointee.pointer(handle) else {
            // The accept that was armed before the last slot was taken. The client sees a close, not silence.
            unsafe meter.pointee.connectionsRefused &+= 1
            note(.refused)
            kernel.close(fd)
            pauseAccepting()
            return
        }
        let isSecure = unsafe state.pointee.listeners[listener].context != nil
        var policy = unsafe settings.pointee.policy
        if isSecure { policy.headerTimeoutNs = unsafe state.pointee.listeners[listener].handshakeTimeoutNs }
        let id = unsafe UInt64(index) << 48 | state.pointee.nextConnectionID
        unsafe state.pointee.nextConnectionID &+= 1
        unsafe connection.initialize(
            to: Connection(
                handle: handle, fd: fd, listener: UInt16(truncatingIfNeeded: listener), id: id,
                machine: KeepAliveMachine(openedAt: state.pointee.now, policy)))
        unsafe connection.pointee.flags = isSecure ? [.open, .secure] : .open
        if let preamble = unsafe state.pointee.listeners[listener].preamble {
            // Limits by address are for whom it names.
            guard unsafe awaitPreamble(connection, preamble) else { return unsafe refuse(connection) }
        } else if unsafe !mayConnect(connection) {
            return unsafe refuse(connection)
        }
        unsafe meter.pointee.connectionsAccepted &+= 1
        unsafe connectionOpened(connection)
        if connectionCount >= connectionsMax { stopAccepting() }
        if unsafe state.pointee.phase == .draining {
            unsafe perform(connection, connection.pointee.machine.drain(now: state.pointee.now, settings.pointee.policy))
        }
        unsafe armReceive(connection)
        unsafe armTimer(connection)
    }

    /// Whether the application and the limit by address let it.
    func mayConnect(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        if unsafe state.pointee.asksWhoConnects, unsafe !asksApplication(connection) { return false }
        guard let limiter = unsafe state.pointee.addressLimiter else { return true }
        return unsafe admit(connection, limiter)
    }

    private func admit(_ connection: UnsafeMutablePointer<Connection>, _ limiter: AddressLimiter) -> Bool {
        guard limiter.limit > 0, let address = unsafe peerAddress(connection), !address.isLocal else { return true }
        guard let ticket = limiter.enter(address) else { return false }
        unsafe connection.pointee.addressTicket = ticket
        return true
    }

    /// Asks the application. A peer that has gone already, whose address the kernel does not know any more, may.
    private func asksApplication(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        guard let address = unsafe peerAddress(connection) else { return true }
        let peer = RequestPeer(address)
        unsafe connection.pointee.peer = peer
        // SAFETY: the loop's state retains the box.
        return unsafe state.pointee.handler._withUnsafeGuaranteedRef { $0.admits?(peer, index) ?? true }
    }

    /// An address that may not connect, or has more connections than it may: reset, which costs the least on both sides.
    private func refuse(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe meter.pointee.connectionsRefused &+= 1
        unsafe note(.refused, connection: connection.pointee.id)
        unsafe kernel.resetOnClose(connection.pointee.fd)
        unsafe kernel.close(connection.pointee.fd)
        unsafe connection.pointee.flags = []
        unsafe connections.pointee.release(connection.pointee.handle)
    }

    // MARK: draining

    /// Stops accepting, lets every connection finish what it is doing. `isFinished` when the last has gone.
    /// - Parameter sparesIdle: idle ones may send one more request. A second call without it ends them.
    func drain(sparesIdle: Bool = false) {
        let isFirst = unsafe state.pointee.phase == .serving
        guard unsafe isFirst || (state.pointee.sparesIdle && !sparesIdle) else { return }
        unsafe state.pointee.phase = .draining
        note(.drain)
        unsafe state.pointee.sparesIdle = sparesIdle
        for number in unsafe 0..<state.pointee.listeners.count { retireListener(number) }
        unsafe forEachConnection { connection in
            // An HTTP/2 connection has heard of it.
            if unsafe !isFirst && connection.pointee.http2 != nil { return }
            unsafe perform(connection, connection.pointee.machine.drain(now: state.pointee.now, settings.pointee.policy, sparesIdle: sparesIdle))
            unsafe armTimer(connection)
        }
        if isFirst { drainTunnels() }
        unsafe state.pointee.hasWork = true
    }

    /// Gives up on whoever is still connected: the drain timeout is over.
    func abortAll() {
        drain()
        unsafe forEachConnection { connection in
            unsafe because(connection, .stopped)
            unsafe perform(connection, connection.pointee.machine.abort())
        }
        unsafe state.pointee.hasWork = true
    }

    func forEachConnection(_ body: (UnsafeMutablePointer<Connection>) -> Void) {
        for slot in unsafe 0..<connections.pointee.slotsEver {
            let connection = unsafe connections.pointee.pointer(at: slot)
            if unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.flags.isDisjoint(with: [.closing, .stream]) { unsafe body(connection) }
        }
    }
}
