// What the keep-alive machine decides is carried out here; ends of connections, timers, cold files, upgrades. The loop's thread.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    func perform(_ connection: UnsafeMutablePointer<Connection>, _ step: KeepAliveStep) {
        switch step {
        case .wait: break
        case .nextRequest: resume(connection)
        case .discardBody:
            connection.pointee.body.mode = .discard
            resumeReading(connection)
            resume(connection)
        case .resumeHandler: produce(connection)
        case .respond(let status): respondAndClose(connection, HTTPStatus(status))
        case .linger:
            kernel.shutdownWrite(connection.pointee.fd)
            dropCarry(connection)
            if connection.pointee.flags.contains(.endOfInput) { return tearDown(connection, reset: false) }
            connection.pointee.flags.remove(.readingPaused)
            armReceive(connection)
            armTimer(connection)
        case .close: tearDown(connection, reset: false)
        case .abort: tearDown(connection, reset: true)
        }
        if connection.pointee.flags.contains(.upgrading), connection.pointee.machine.pendingBytes == 0 { handOver(connection) }
    }

    /// Looks at carried input again at the end of this turn; directly would recurse with every pipelined request.
    private func resume(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.carryCount > 0 || connection.pointee.flags.contains(.readingPaused),
            state.pointee.processing != connection, !connection.pointee.flags.contains(.resuming)
        else { return }
        connection.pointee.flags.insert(.resuming)
        state.pointee.resuming.append(connection)
    }

    func resumeConnections() {
        feedStarved()
        resumeAcceptingIfDue()
        let count = state.pointee.resuming.count
        guard count > 0 else { return }
        for index in 0..<count {
            let connection = state.pointee.resuming[index]
            guard connection.pointee.flags.contains(.resuming) else { continue }
            connection.pointee.flags.remove(.resuming)
            guard connection.pointee.flags.contains(.open), connection.pointee.flags.isDisjoint(with: .closing) else { continue }
            processCarry(connection)
            if connection.pointee.flags.contains(.open), !connection.pointee.flags.contains(.closing) {
                if connection.pointee.carryCount == 0 { resumeReading(connection) }
                finishInput(connection)
            }
        }
        state.pointee.resuming.removeFirst(count)
        if state.pointee.resuming.count > 0 || state.pointee.dirty.count > 0 { state.pointee.hasWork = true }
    }

    private func resumeAcceptingIfDue() {
        if state.pointee.now >= state.pointee.acceptRetryAt { resumeAccepting() }
    }

    // MARK: the end of a connection

    /// The connection is over. Its memory goes now, its descriptor and slot when the kernel owes no completion any more.
    private func tearDown(_ connection: UnsafeMutablePointer<Connection>, reset: Bool) {
        guard !connection.pointee.flags.contains(.closing) else { return }
        connection.pointee.flags.insert(.closing)
        if reset {
            connection.pointee.flags.insert(.resetOnClose)
            meter.pointee.connectionsAborted &+= 1
        }
        wheel.pointee.cancel(connection.pointee.handle.index)
        if connection.pointee.sending == .slow || connection.pointee.sending == .poll {
            let sqe = entry()
            ur_prep_cancel_fd(sqe, connection.pointee.fd)
            ur_sqe_tag(sqe, Operation(.cancel, connection.pointee.handle).raw, 0)
            if connection.pointee.receive != .none { connection.pointee.receive = .cancelling }
        } else {
            cancelReceive(connection)
        }
        closeIfDone(connection)
    }

    func closeIfDone(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.flags.contains(.closing), connection.pointee.operations == 0, connection.pointee.sending == .none,
            connection.pointee.flags.contains(.open)
        else { return }
        let upgrade = connection.pointee.flags.contains(.upgrading) ? connection.pointee.exchange?.takeUnretainedValue().upgrade : nil
        let received = upgrade == nil ? [] : Array(UnsafeBufferPointer(start: connection.pointee.carry, count: connection.pointee.carryCount))
        discardMemory(connection)
        if ur_probe_close() { ur_fire_close(connection.pointee.id, connection.pointee.bytesSent, state.pointee.now) }
        if let upgrade {
            upgrade.run(UpgradedConnection(descriptor: connection.pointee.fd, received: received))
        } else {
            if connection.pointee.flags.contains(.resetOnClose) { kernel.resetOnClose(connection.pointee.fd) }
            kernel.close(connection.pointee.fd)
        }
        meter.pointee.connectionsClosed &+= 1
        connection.pointee.flags = []
        connections.pointee.release(connection.pointee.handle)
        if state.pointee.acceptRetryAt != .max { state.pointee.acceptRetryAt = state.pointee.now }
    }

    /// Everything a connection holds but its slot and descriptor. Nothing of it may be in the kernel's hands.
    func discardMemory(_ connection: UnsafeMutablePointer<Connection>) {
        dropCarry(connection)
        dropExchange(connection)
        connection.pointee.queue.removeAll(pool: pool)
        connection.pointee.batchCount = 0
    }

    // MARK: timers

    /// Moves the connection's timer only when a deadline lies before it: keep-alive traffic never touches the wheel.
    func armTimer(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.flags.contains(.closing) else { return }
        let wake = connection.pointee.producerWakeAt
        if let at = connection.pointee.machine.deadlineToArm() {
            wheel.pointee.arm(connection.pointee.handle.index, deadline: min(at, wake))
        } else if wake != .max, wake < connection.pointee.machine.armedAt {
            wheel.pointee.arm(connection.pointee.handle.index, deadline: wake)
        }
    }

    func runTimers() {
        let now = state.pointee.now
        wheel.pointee.expire(to: now)
        while let slot = wheel.pointee.popExpired() { timerFired(connections.pointee.pointer(at: slot), now) }
    }

    private func timerFired(_ connection: UnsafeMutablePointer<Connection>, _ now: UInt64) {
        guard connection.pointee.flags.contains(.open), !connection.pointee.flags.contains(.closing) else { return }
        if connection.pointee.producerWakeAt <= now { produce(connection) }
        guard connection.pointee.flags.contains(.open), !connection.pointee.flags.contains(.closing) else { return }
        switch connection.pointee.machine.timer(now: now, settings.pointee.policy) {
        case .unarmed: break
        case .rearm(let at): wheel.pointee.arm(connection.pointee.handle.index, deadline: at)
        case .expired(let timeout, let step):
            meter.pointee.timeouts[Int(timeout.rawValue)] &+= 1
            perform(connection, step)
        }
        armTimer(connection)
    }

    // MARK: cold files

    /// A file could not be opened without waiting for a disk: the request is kept, the ring opens it (which warms the kernel's caches),
    /// and the handler is called again.
    func suspend(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ used: Int) {
        let path = response.pointee.coldPath
        response.pointee.coldPath = nil
        guard let path else { return }
        let exchange = makeExchange(connection)
        exchange.coldPath = path
        exchange.suspendedRequest = Array(UnsafeBufferPointer(start: base, count: used))
        exchange.suspendedBody = (context.pointee.body - UnsafePointer(base), context.pointee.bodyCount)
        connection.pointee.flags.insert(.opening)
        connection.pointee.coldRetries &+= 1
        let sqe = entry()
        ur_prep_openat2(sqe, path.directory, path.path, path.how)
        ur_sqe_tag(sqe, Operation(.open, connection.pointee.handle).raw, 0)
        connection.pointee.operations &+= 1
        armTimer(connection)
    }

    func opened(_ handle: Handle, _ result: Int32) {
        if result >= 0 { kernel.close(result) }
        guard let connection = connections.pointee.pointer(handle) else { return }
        connection.pointee.operations &-= 1
        connection.pointee.flags.remove(.opening)
        if connection.pointee.flags.contains(.closing) { return closeIfDone(connection) }
        guard let exchange = connection.pointee.exchange?.takeUnretainedValue(), var request = exchange.suspendedRequest else { return }
        let body = exchange.suspendedBody
        dropExchange(connection)
        request.withUnsafeMutableBufferPointer { bytes in
            retry(connection, bytes.baseAddress!, bytes.count, bodyOffset: body.0, bodyCount: body.1)
        }
        resume(connection)
    }

    // MARK: upgrades

    func beginUpgrade(_ connection: UnsafeMutablePointer<Connection>) {
        makeExchange(connection).upgrade = response.pointee.upgrade
        connection.pointee.flags.insert(.upgrading)
        if connection.pointee.machine.pendingBytes == 0 { handOver(connection) }
    }

    private func handOver(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.flags.contains(.closing) else { return }
        connection.pointee.machine.upgraded()
        connection.pointee.flags.insert(.closing)
        wheel.pointee.cancel(connection.pointee.handle.index)
        cancelReceive(connection)
        closeIfDone(connection)
    }
}
