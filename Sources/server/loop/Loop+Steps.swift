// What the keep-alive machine decides is carried out here; ends of connections, timers, cold files, upgrades. The loop's thread.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    func perform(_ connection: UnsafeMutablePointer<Connection>, _ step: KeepAliveStep) {
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe performOnStream(connection, step) }
        switch step {
        case .wait: break
        case .nextRequest: unsafe resume(connection)
        case .discardBody:
            unsafe connection.pointee.body.mode = .discard
            unsafe resumeReading(connection)
            unsafe resume(connection)
        // A producer that waits has nothing to write, however much room there is.
        case .resumeHandler:
            if let http2 = unsafe connection.pointee.http2 {
                if unsafe http2.pointee.engine.hasSendable || http2.pointee.inputEnded { unsafe markDirty(connection) }
                unsafe resume(connection)
            } else if unsafe connection.pointee.body.mode == .tunnel {
                unsafe tunnelWritable(connection)
            } else if unsafe connection.pointee.producerWakeAt == .max || isRelaying(connection) {
                unsafe produce(connection)
            }
        case .respond(let status): unsafe respondAndClose(connection, HTTPStatus(status))
        case .goAway: unsafe goAway(connection)
        case .linger:
            unsafe kernel.shutdownWrite(connection.pointee.fd)
            unsafe dropCarry(connection)
            // However the client takes the end.
            unsafe because(connection, state.pointee.phase == .draining ? .stopped : .server)
            if unsafe connection.pointee.flags.contains(.endOfInput) { return unsafe tearDown(connection, reset: false) }
            unsafe connection.pointee.flags.remove(.readingPaused)
            unsafe armReceive(connection)
            unsafe armTimer(connection)
        case .close: unsafe tearDown(connection, reset: false)
        case .abort: unsafe tearDown(connection, reset: true)
        }
        if unsafe connection.pointee.flags.contains(.upgrading), unsafe connection.pointee.machine.pendingBytes == 0 { unsafe handOver(connection) }
    }

    /// The same for a stream, whose end is not its connection's.
    private func performOnStream(_ stream: UnsafeMutablePointer<Connection>, _ step: KeepAliveStep) {
        switch step {
        // What is left of the request is dealt with when the response has left (`streamAnswered`).
        case .wait, .nextRequest, .goAway, .linger, .close: break
        case .discardBody: unsafe stream.pointee.body.mode = .discard
        case .resumeHandler:
            if unsafe stream.pointee.body.mode == .tunnel {
                unsafe tunnelWritable(stream)
            } else if unsafe stream.pointee.producerWakeAt == .max || isRelaying(stream) {
                unsafe produce(stream)
            }
        case .respond(let status): unsafe respondAndClose(stream, HTTPStatus(status))
        case .abort: unsafe abortStream(stream)
        }
    }

    /// Looks at carried input again at the end of this turn; directly would recurse with every pipelined request.
    func resume(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.carryCount > 0 || connection.pointee.flags.contains(.readingPaused),
            unsafe state.pointee.processing != connection, unsafe !connection.pointee.flags.contains(.resuming)
        else { return }
        unsafe connection.pointee.flags.insert(.resuming)
        unsafe state.pointee.resuming.append(connection)
    }

    func resumeConnections() {
        feedStarved()
        flushHeldRelays()
        resumePausedBodies()
        resumeAcceptingIfDue()
        let count = unsafe state.pointee.resuming.count
        guard count > 0 else { return }
        for index in 0..<count {
            let connection = unsafe state.pointee.resuming[index]
            guard unsafe connection.pointee.flags.contains(.resuming) else { continue }
            unsafe connection.pointee.flags.remove(.resuming)
            guard unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.flags.isDisjoint(with: .closing) else { continue }
            unsafe processCarry(connection)
            if unsafe connection.pointee.flags.contains(.open), unsafe !connection.pointee.flags.contains(.closing) {
                if unsafe connection.pointee.carryCount == 0 { unsafe resumeReading(connection) }
                unsafe finishInput(connection)
            }
        }
        unsafe state.pointee.resuming.removeFirst(count)
        if unsafe state.pointee.resuming.count > 0 || state.pointee.dirty.count > 0 { unsafe state.pointee.hasWork = true }
    }

    private func resumeAcceptingIfDue() {
        if unsafe state.pointee.now >= state.pointee.acceptRetryAt { resumeAccepting() }
    }

    // MARK: the end of a connection

    /// The connection is over. Its memory goes now, its descriptor and slot when the kernel owes no completion any more.
    func tearDown(_ connection: UnsafeMutablePointer<Connection>, reset: Bool) {
        guard unsafe !connection.pointee.flags.contains(.closing) else { return }
        unsafe connection.pointee.flags.insert(.closing)
        if unsafe connection.pointee.flags.contains(.preamble) { unsafe preambleBroke(connection) }
        if unsafe connection.pointee.flags.contains(.stream) && connection.pointee.trace != nil { unsafe traceStreamEnded(connection) }
        // The 101 has not left: the other protocol never begins.
        unsafe connection.pointee.flags.remove(.upgrading)
        if reset {
            unsafe connection.pointee.flags.insert(.resetOnClose)
            if unsafe !connection.pointee.flags.contains(.outgoing) { unsafe meter.pointee.connectionsAborted &+= 1 }
        }
        if !reset { unsafe sayGoodbye(connection) }
        if let http2 = unsafe connection.pointee.http2 { unsafe dropStreams(http2) }
        unsafe wheel.pointee.cancel(connection.pointee.handle.index)
        let pending: OperationKind? =
            switch unsafe connection.pointee.sending {
            case .none, .fast: nil
            case .slow: .send
            case .poll: .poll
            case .read: .read
            }
        if let kind = pending {
            // By what it is and not by its descriptor: that may be closed, and be somebody else's, before this entry is submitted.
            let sqe = unsafe entry()
            unsafe ur_prep_cancel(sqe, Operation(kind, connection.pointee.handle).raw)
            unsafe ur_sqe_tag(sqe, Operation(.cancel, connection.pointee.handle).raw, 0)
        }
        if unsafe connection.pointee.flags.contains(.connecting) {
            let sqe = unsafe entry()
            unsafe ur_prep_cancel(sqe, Operation(.connect, connection.pointee.handle).raw)
            unsafe ur_sqe_tag(sqe, Operation(.cancel, connection.pointee.handle).raw, 0)
        }
        unsafe cancelReceive(connection)
        unsafe state.pointee.ending.append(connection)
    }

    /// Ends what was torn down. Not at once: whoever works on a connection may find out only later that a call of his ended it, and until
    /// he does, its slot must not be somebody else's.
    func closeEnded() {
        let count = unsafe state.pointee.ending.count
        guard count > 0 else { return }
        for index in 0..<count { unsafe closeIfDone(state.pointee.ending[index]) }
        unsafe state.pointee.ending.removeFirst(count)
    }

    func closeIfDone(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.flags.contains(.closing), unsafe connection.pointee.operations == 0, unsafe connection.pointee.sending == .none,
            unsafe connection.pointee.flags.contains(.open)
        else { return }
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe releaseStream(connection) }
        let upgrade = unsafe connection.pointee.flags.contains(.upgrading) ? connection.pointee.exchange?.takeUnretainedValue().upgrade : nil
        let received = unsafe upgrade == nil ? [] : Array(UnsafeBufferPointer(start: connection.pointee.carry, count: connection.pointee.carryCount))
        unsafe connectionEnded(connection)
        unsafe discardMemory(connection)
        if unsafe connection.pointee.trace != nil { unsafe endTrace(connection) }
        if let upgrade {
            unsafe upgrade.run(UpgradedConnection(descriptor: connection.pointee.fd, received: received))
        } else {
            if unsafe !connection.pointee.flags.contains(.descriptorClosed) {
                if unsafe connection.pointee.flags.contains(.resetOnClose) { unsafe kernel.resetOnClose(connection.pointee.fd) }
                unsafe kernel.close(connection.pointee.fd)
            }
        }
        if let ticket = unsafe connection.pointee.addressTicket { unsafe state.pointee.addressLimiter?.leave(ticket) }
        if unsafe connection.pointee.flags.contains(.outgoing) { unsafe state.pointee.outgoing &-= 1 } else { unsafe meter.pointee.connectionsClosed &+= 1 }
        unsafe connection.pointee.flags = []
        unsafe connections.pointee.release(connection.pointee.handle)
        if unsafe state.pointee.acceptRetryAt != .max { unsafe state.pointee.acceptRetryAt = unsafe state.pointee.now }
    }

    private func releaseStream(_ stream: UnsafeMutablePointer<Connection>) {
        unsafe discardMemory(stream)
        unsafe stream.pointee.flags = []
        unsafe state.pointee.streams &-= 1
        unsafe connections.pointee.release(stream.pointee.handle)
    }

    /// Everything a connection holds but its slot and descriptor. Nothing of it may be in the kernel's hands.
    func discardMemory(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe dropCarry(connection)
        unsafe dropExchange(connection)
        unsafe dropTunnel(connection)
        unsafe endHTTP2(connection)
        unsafe endTLS(connection)
        unsafe connection.pointee.queue.removeAll(pool: pool)
        unsafe (connection.pointee.batchCount, connection.pointee.sealedCount) = (0, 0)
    }

    // MARK: timers

    /// Moves the connection's timer only when a deadline lies before it: keep-alive traffic never touches the wheel.
    func armTimer(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe !connection.pointee.flags.contains(.closing) else { return }
        if let http2 = unsafe connection.pointee.http2 { return unsafe armTimer(connection, http2) }
        let wake = unsafe connection.pointee.producerWakeAt
        if let at = unsafe connection.pointee.machine.deadlineToArm() {
            unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: min(at, wake))
        } else if wake != .max, unsafe wake < connection.pointee.machine.armedAt, unsafe connection.pointee.tunnel == nil {
            // A tunnel's is armed when it is set.
            unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: wake)
        }
    }

    /// The same for a connection that speaks HTTP/2. Two clocks share its timer, and whichever it was armed for, both are looked at.
    private func armTimer(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        let silence = unsafe silenceToArm(http2)
        if let at = unsafe connection.pointee.machine.deadlineToArm() {
            unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: min(at, http2.pointee.silenceArmedAt))
        } else if let silence, unsafe silence < connection.pointee.machine.armedAt {
            unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: silence)
        }
    }

    func runTimers() {
        let now = unsafe state.pointee.now
        unsafe wheel.pointee.expire(to: now)
        while let slot = unsafe wheel.pointee.popExpired() { unsafe timerFired(connections.pointee.pointer(at: slot), now) }
    }

    private func timerFired(_ connection: UnsafeMutablePointer<Connection>, _ now: UInt64) {
        guard unsafe connection.pointee.flags.contains(.open), unsafe !connection.pointee.flags.contains(.closing) else { return }
        if unsafe connection.pointee.producerWakeAt <= now {
            if unsafe connection.pointee.tunnel == nil { unsafe produce(connection) } else { unsafe tunnelTimer(connection) }
        }
        guard unsafe connection.pointee.flags.contains(.open), unsafe !connection.pointee.flags.contains(.closing) else { return }
        if let http2 = unsafe connection.pointee.http2 {
            unsafe watchSilence(connection, http2)
            guard unsafe !connection.pointee.flags.contains(.closing) else { return }
        }
        switch unsafe connection.pointee.machine.timer(now: now, settings.pointee.policy) {
        case .unarmed: break
        case .rearm(let at): unsafe wheel.pointee.arm(connection.pointee.handle.index, deadline: at)
        case .expired(let timeout, let step):
            unsafe meter.pointee.timeouts[Int(timeout.rawValue)] &+= 1
            unsafe because(connection, .timeout)
            unsafe note(.timeout, connection: connection.pointee.id, value: UInt64(timeout.rawValue))
            unsafe perform(connection, step)
        }
        if unsafe connection.pointee.tunnel != nil { unsafe wakeTunnel(connection, at: connection.pointee.producerWakeAt) }
        unsafe armTimer(connection)
    }

    // MARK: cold files

    /// A file could not be opened without waiting for a disk: the request is kept, the ring opens it (which warms the kernel's caches),
    /// and the handler is called again.
    func suspend(_ connection: UnsafeMutablePointer<Connection>, _ request: [UInt8], body: (Int, Int)) {
        let path = unsafe response.pointee.coldPath
        unsafe response.pointee.coldPath = nil
        guard let path else { return }
        let exchange = unsafe makeExchange(connection)
        exchange.coldPath = path
        exchange.suspendedRequest = request
        exchange.suspendedBody = body
        unsafe connection.pointee.flags.insert(.opening)
        unsafe connection.pointee.coldRetries &+= 1
        let sqe = unsafe entry()
        unsafe ur_prep_openat2(sqe, path.directory, path.path, path.how)
        unsafe ur_sqe_tag(sqe, Operation(.open, connection.pointee.handle).raw, 0)
        unsafe connection.pointee.operations &+= 1
        unsafe armTimer(connection)
    }

    func opened(_ handle: Handle, _ result: Int32) {
        if result >= 0 { kernel.close(result) }
        guard let connection = unsafe connections.pointee.pointer(handle) else { return }
        unsafe connection.pointee.operations &-= 1
        unsafe connection.pointee.flags.remove(.opening)
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        // Answered meanwhile: the handler's time was up.
        if unsafe connection.pointee.machine.isEnding { return unsafe dropExchange(connection) }
        guard let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), var request = exchange.suspendedRequest else { return }
        let body = exchange.suspendedBody
        unsafe dropExchange(connection)
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe retryStream(connection, body) }
        unsafe request.withUnsafeMutableBufferPointer { bytes in
            unsafe retry(connection, bytes.baseAddress!, bytes.count, bodyOffset: body.0, bodyCount: body.1)
        }
        unsafe resume(connection)
    }

    // MARK: upgrades

    func beginUpgrade(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe makeExchange(connection).upgrade = unsafe response.pointee.upgrade
        unsafe responseWritten(connection, on: connection)
        unsafe connection.pointee.flags.insert(.upgrading)
        if unsafe connection.pointee.machine.pendingBytes == 0 { unsafe handOver(connection) }
    }

    private func handOver(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe !connection.pointee.flags.contains(.closing) else { return }
        unsafe connection.pointee.machine.upgraded()
        unsafe connection.pointee.flags.insert(.closing)
        unsafe wheel.pointee.cancel(connection.pointee.handle.index)
        unsafe cancelReceive(connection)
        unsafe state.pointee.ending.append(connection)
    }
}
