// Receiving: arming, completions, back-pressure, and the memory of input that has not been used yet. The loop's thread.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// The first receive is single-shot: a connection that makes one request needs no cancelling. The following are multishot.
    func armReceive(_ connection: UnsafeMutablePointer<Connection>) {
        // Whoever calls may have just ended the connection: its slot is free then, and its descriptor perhaps somebody else's.
        guard unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.receive == .none,
            unsafe connection.pointee.flags.isDisjoint(with: [.closing, .endOfInput, .readingPaused, .stream]),
            // The last response is on its way and the peer sends nothing more: nothing is left to receive.
            unsafe connection.pointee.machine.stepWhenSent != .close
        else { return }
        if unsafe connection.pointee.flags.contains(.bulky), unsafe armBulk(connection) { return }
        // The last body came in bulk: the next message begins in a receive buffer, and a multishot would have to be cancelled behind that.
        let multishot = unsafe connection.pointee.flags.contains(.keptAlive) && !connection.pointee.flags.contains(.bulky) && kernel.features.multishotReceive
        let sqe = unsafe entry()
        unsafe ur_prep_recv(sqe, connection.pointee.fd, BufferRing.group, multishot)
        unsafe ur_sqe_tag(sqe, Operation(.receive, connection.pointee.handle).raw, UInt32(1) << UInt32(IOSQE_BUFFER_SELECT_BIT))
        unsafe connection.pointee.receive = multishot ? .multishot : .single
        unsafe connection.pointee.operations &+= 1
    }

    /// Stops reading until `resumeReading`: the peer feels it through TCP.
    func pauseReading(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe !connection.pointee.flags.contains(.readingPaused) else { return }
        unsafe connection.pointee.flags.insert(.readingPaused)
        unsafe cancelReceive(connection)
    }

    func resumeReading(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.flags.contains(.readingPaused) else { return }
        unsafe connection.pointee.flags.remove(.readingPaused)
        unsafe armReceive(connection)
    }

    func cancelReceive(_ connection: UnsafeMutablePointer<Connection>) {
        switch unsafe connection.pointee.receive {
        case .none, .cancelling: return
        case .single, .multishot, .bulk: break
        }
        unsafe connection.pointee.receive = .cancelling
        let sqe = unsafe entry()
        unsafe ur_prep_cancel(sqe, Operation(.receive, connection.pointee.handle).raw)
        unsafe ur_sqe_tag(sqe, Operation(.cancel, connection.pointee.handle).raw, 0)
    }

    func received(_ handle: Handle, _ result: Int32, _ flags: UInt32) {
        let hasBuffer = flags & UInt32(IORING_CQE_F_BUFFER) != 0
        let buffer = UInt16(truncatingIfNeeded: flags >> 16)
        // The buffer is ours from here to recycle; nothing keeps a pointer into it: what is not used is copied to `carry`.
        var bytes = unsafe hasBuffer ? buffers.pointee.take(buffer) : nil
        defer { if hasBuffer { unsafe buffers.pointee.recycle(buffer) } }
        guard let connection = unsafe connections.pointee.pointer(handle) else {
            unsafe meter.pointee.staleCompletions &+= 1
            return
        }
        // Ours again, from here to `dropBulk`.
        var bulk: UnsafeMutablePointer<UInt8>?
        if !hasBuffer, unsafe connection.pointee.bulk != nil {
            unsafe swap(&bulk, &connection.pointee.bulk)
            unsafe bytes = UnsafeMutableRawPointer(bulk)
        }
        defer { unsafe dropBulk(bulk) }
        let isBulk = unsafe bulk != nil
        unsafe state.pointee.relayedTo = nil
        let awaited = unsafe connection.pointee.body.remaining
        if flags & UInt32(IORING_CQE_F_MORE) == 0 {
            unsafe connection.pointee.receive = .none
            unsafe connection.pointee.operations &-= 1
        }
        guard unsafe !connection.pointee.flags.contains(.closing) else {
            // Bytes for the protocol that takes over.
            if unsafe connection.pointee.flags.contains(.upgrading), result > 0, let bytes = unsafe bytes {
                _ = unsafe keep(connection, bytes.assumingMemoryBound(to: UInt8.self), Int(result))
            }
            return unsafe closeIfDone(connection)
        }
        if result > 0, let bytes = unsafe bytes {
            let bytes = unsafe bytes.assumingMemoryBound(to: UInt8.self)
            if unsafe connection.pointee.flags.isDisjoint(with: [.secure, .preamble]), !isBulk {
                unsafe input(connection, bytes, Int(result))
            } else if unsafe connection.pointee.flags.contains(.preamble) {
                unsafe receivedPreamble(connection, bytes, Int(result))
            } else if unsafe connection.pointee.flags.contains(.secure) {
                unsafe receivedSealed(connection, bytes, Int(result))
            } else {
                if unsafe !bulkInput(connection, bytes, Int(result)) { unsafe bulk = nil }
            }
        } else if result == 0 {
            unsafe endOfInput(connection)
        } else {
            switch SocketFailure(-result) {
            case .again, .cancelled: break
            case .noBuffers:
                // Re-armed when buffers are back, at the end of this turn; not on a timer (io_uring.md).
                unsafe meter.pointee.buffersExhausted &+= 1
                unsafe note(.noBuffers, connection: connection.pointee.id)
                if unsafe !connection.pointee.flags.contains(.starved) {
                    unsafe connection.pointee.flags.insert(.starved)
                    unsafe state.pointee.starved.append(connection)
                }
                return
            case .peerGone: return unsafe perform(connection, connection.pointee.machine.abort())
            case .exhausted, .programming, .unknown:
                unsafe meter.pointee.receiveErrors &+= 1
                unsafe because(connection, .failure)
                return unsafe perform(connection, connection.pointee.machine.abort())
            }
        }
        if result > 0 {
            if unsafe mayBeBulky(connection) {
                unsafe watchSpeed(connection, Int(result), isBulk: isBulk, awaited: awaited)
            } else if !isBulk {
                unsafe connection.pointee.flags.remove(.bulky)
            }
        }
        guard unsafe connection.pointee.receive == .none else { return }
        unsafe swap(&bulk, &state.pointee.spareBulk)
        unsafe armReceive(connection)
        unsafe swap(&bulk, &state.pointee.spareBulk)
        if unsafe !isBulk && connection.pointee.receive == .bulk { delayRelayed() }
    }

    /// Buffers are back: connections that found none receive again.
    func feedStarved() {
        let count = unsafe state.pointee.starved.count
        guard count > 0 else { return }
        for index in 0..<count {
            let connection = unsafe state.pointee.starved[index]
            guard unsafe connection.pointee.flags.contains(.starved) else { continue }
            unsafe connection.pointee.flags.remove(.starved)
            guard unsafe connection.pointee.flags.contains(.open) else { continue }
            unsafe armReceive(connection)
        }
        unsafe state.pointee.starved.removeAll()
    }

    func endOfInput(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe !connection.pointee.flags.contains(.endOfInput) else { return }
        unsafe connection.pointee.flags.insert(.endOfInput)
        if unsafe connection.pointee.flags.contains(.preamble) { return unsafe perform(connection, connection.pointee.machine.closeNow()) }
        // Requests that wait for their turn in `carry` are answered first; the end is reported after them (`finishInput`).
        if unsafe connection.pointee.carryCount > 0, unsafe connection.pointee.machine.isBetweenExchanges || connection.pointee.machine.isMultiplexed {
            unsafe processCarry(connection)
        }
        unsafe finishInput(connection)
    }

    /// Reports the end of input once every whole request before it was taken up.
    func finishInput(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.flags.contains(.endOfInput), unsafe connection.pointee.flags.isDisjoint(with: [.closing, .stream]) else { return }
        if unsafe connection.pointee.machine.isMultiplexed {
            if let http2 = unsafe connection.pointee.http2 { unsafe http2InputEnded(connection, http2) }
            return
        }
        if unsafe connection.pointee.carryCount > 0, unsafe connection.pointee.flags.contains(.bodyPaused) { return }
        if unsafe connection.pointee.carryCount > 0, unsafe connection.pointee.machine.isWaitingForRoom(settings.pointee.policy) { return }
        if unsafe connection.pointee.carryCount > 0, unsafe !connection.pointee.machine.isBetweenExchanges, unsafe connection.pointee.body.mode == .none { return }
        if unsafe connection.pointee.carryCount > 0, unsafe connection.pointee.body.mode == .tunnel && isTunnelBlocked(connection) { return }
        // A tunnel that has just been given the connection gets first what lies here for it (`handOver`).
        if unsafe connection.pointee.carryCount > 0, unsafe connection.pointee.body.mode == .tunnel && connection.pointee.flags.contains(.resuming) { return }
        unsafe perform(connection, connection.pointee.machine.peerHalfClosed(now: state.pointee.now, settings.pointee.policy))
        if unsafe connection.pointee.body.mode == .tunnel { unsafe tunnelInputEnded(connection) }
        unsafe armTimer(connection)
    }

    func input(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        if unsafe connection.pointee.carryCount == 0 {
            var count = count
            let used = unsafe process(connection, bytes, &count)
            if used < count, unsafe !connection.pointee.flags.contains(.closing) {
                guard unsafe keep(connection, bytes + used, count &- used) else { return unsafe shed(connection) }
            }
        } else {
            guard unsafe keep(connection, bytes, count) else { return unsafe shed(connection) }
            unsafe processCarry(connection)
        }
        unsafe limitCarry(connection)
    }

    /// Input that nobody can take now stops at this much: the receive is paused and TCP holds the rest.
    private func limitCarry(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe holdsEnough(connection) { unsafe pauseReading(connection) }
    }

    /// More input would only pile up, at once when a body's receiver takes no more. A body under way, and a head longer than this, need more however much there is.
    private func holdsEnough(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        if unsafe connection.pointee.machine.isMultiplexed {
            return unsafe connection.pointee.carryCount >= ChunkPool.chunkBytes && !connection.pointee.machine.hasRoom(settings.pointee.policy)
        }
        if unsafe connection.pointee.body.mode == .tunnel {
            return unsafe connection.pointee.carryCount >= ChunkPool.chunkBytes ? isTunnelBlocked(connection) : connection.pointee.flags.contains(.bodyPaused)
        }
        return unsafe connection.pointee.flags.contains(.bodyPaused) || connection.pointee.carryCount >= ChunkPool.chunkBytes
            && (connection.pointee.body.mode == .none || connection.pointee.flags.contains(.opening))
            && !connection.pointee.machine.mayHandleNext(settings.pointee.policy)
    }

    /// Works off what `carry` holds, then moves what is left to its front.
    func processCarry(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe processStreamCarry(connection) }
        guard let carry = unsafe connection.pointee.carry, unsafe connection.pointee.carryCount > 0 else { return }
        var count = unsafe connection.pointee.carryCount
        let used = unsafe process(connection, carry, &count)
        guard unsafe connection.pointee.carry != nil else { return }  // torn down meanwhile
        let left = count &- used
        if left == 0 {
            unsafe dropCarry(connection)
        } else if used > 0 {
            unsafe memmove(carry, carry + used, left)
        }
        if left > 0 { unsafe connection.pointee.carryCount = left }
        // The exact contrary of what paused it, or a connection could wait for bytes that it does not read.
        if unsafe !holdsEnough(connection) { unsafe resumeReading(connection) }
    }

    /// Copies bytes to the end of `carry`. False when memory is refused.
    func keep(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let needed = unsafe connection.pointee.carryCount &+ count
        if unsafe needed > connection.pointee.carryCapacity, unsafe !growCarry(connection, needed) { return false }
        unsafe memcpy(connection.pointee.carry! + connection.pointee.carryCount, bytes, count)
        unsafe connection.pointee.carryCount = needed
        return true
    }

    private func growCarry(_ connection: UnsafeMutablePointer<Connection>, _ needed: Int) -> Bool {
        if unsafe connection.pointee.carry == nil, needed <= ChunkPool.chunkBytes {
            guard let chunk = unsafe pool.pointee.take() else { return false }
            unsafe connection.pointee.carry = unsafe chunk.bindMemory(to: UInt8.self, capacity: ChunkPool.chunkBytes)
            unsafe connection.pointee.carryCapacity = ChunkPool.chunkBytes
            return true
        }
        // Doubling with what arrives, never with what a Content-Length promises: a promise costs the peer nothing.
        let capacity = unsafe max(needed, connection.pointee.carryCapacity * 2, ChunkPool.chunkBytes * 2)
        guard let memory = unsafe pool.pointee.takeLarge(capacity) else { return false }
        if let old = unsafe connection.pointee.carry { unsafe memcpy(memory, old, connection.pointee.carryCount) }
        let count = unsafe connection.pointee.carryCount
        unsafe dropCarry(connection)
        unsafe connection.pointee.carry = unsafe memory.bindMemory(to: UInt8.self, capacity: capacity)
        unsafe (connection.pointee.carryCapacity, connection.pointee.carryCount) = (capacity, count)
        return true
    }

    func dropCarry(_ connection: UnsafeMutablePointer<Connection>) {
        if let carry = unsafe connection.pointee.carry {
            let capacity = unsafe connection.pointee.carryCapacity
            if capacity == ChunkPool.chunkBytes { unsafe pool.pointee.give(carry) } else { unsafe pool.pointee.giveLarge(carry, capacity) }
        }
        unsafe connection.pointee.carry = nil
        unsafe (connection.pointee.carryCount, connection.pointee.carryCapacity) = (0, 0)
    }

    /// No memory for this connection's bytes: it goes, the others stay.
    func shed(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe meter.pointee.connectionsShed &+= 1
        unsafe because(connection, .overload)
        unsafe perform(connection, connection.pointee.machine.abort())
    }
}
