// Receiving: arming, completions, back-pressure, and the memory of input that has not been used yet. The loop's thread.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// The first receive is single-shot: a connection that makes one request needs no cancelling. The following are multishot.
    func armReceive(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.receive == .none, connection.pointee.flags.isDisjoint(with: [.closing, .endOfInput, .readingPaused]) else { return }
        let multishot = connection.pointee.flags.contains(.keptAlive) && kernel.features.multishotReceive
        let sqe = entry()
        ur_prep_recv(sqe, connection.pointee.fd, BufferRing.group, multishot)
        ur_sqe_tag(sqe, Operation(.receive, connection.pointee.handle).raw, UInt32(1) << UInt32(IOSQE_BUFFER_SELECT_BIT))
        connection.pointee.receive = multishot ? .multishot : .single
        connection.pointee.operations &+= 1
    }

    /// Stops reading until `resumeReading`: the peer feels it through TCP.
    func pauseReading(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.flags.contains(.readingPaused) else { return }
        connection.pointee.flags.insert(.readingPaused)
        cancelReceive(connection)
    }

    func resumeReading(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.flags.contains(.readingPaused) else { return }
        connection.pointee.flags.remove(.readingPaused)
        armReceive(connection)
    }

    func cancelReceive(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.receive == .multishot || connection.pointee.receive == .single else { return }
        connection.pointee.receive = .cancelling
        let sqe = entry()
        ur_prep_cancel(sqe, Operation(.receive, connection.pointee.handle).raw)
        ur_sqe_tag(sqe, Operation(.cancel, connection.pointee.handle).raw, 0)
    }

    func received(_ handle: Handle, _ result: Int32, _ flags: UInt32) {
        let hasBuffer = flags & UInt32(IORING_CQE_F_BUFFER) != 0
        let buffer = UInt16(truncatingIfNeeded: flags >> 16)
        // The buffer is ours from here to recycle; nothing keeps a pointer into it: what is not used is copied to `carry`.
        let bytes = hasBuffer ? buffers.pointee.take(buffer) : nil
        defer { if hasBuffer { buffers.pointee.recycle(buffer) } }
        guard let connection = connections.pointee.pointer(handle) else {
            meter.pointee.staleCompletions &+= 1
            return
        }
        if flags & UInt32(IORING_CQE_F_MORE) == 0 {
            connection.pointee.receive = .none
            connection.pointee.operations &-= 1
        }
        guard !connection.pointee.flags.contains(.closing) else { return closeIfDone(connection) }
        if result > 0, let bytes {
            input(connection, bytes.assumingMemoryBound(to: UInt8.self), Int(result))
        } else if result == 0 {
            endOfInput(connection)
        } else {
            switch SocketFailure(-result) {
            case .again, .cancelled: break
            case .noBuffers:
                // Re-armed when buffers are back, at the end of this turn; not on a timer (io_uring.md).
                meter.pointee.buffersExhausted &+= 1
                if !connection.pointee.flags.contains(.starved) {
                    connection.pointee.flags.insert(.starved)
                    state.pointee.starved.append(connection)
                }
                return
            case .peerGone: return perform(connection, connection.pointee.machine.abort())
            case .exhausted, .programming, .unknown:
                meter.pointee.receiveErrors &+= 1
                return perform(connection, connection.pointee.machine.abort())
            }
        }
        if connection.pointee.receive == .none { armReceive(connection) }
    }

    /// Buffers are back: connections that found none receive again.
    func feedStarved() {
        let count = state.pointee.starved.count
        guard count > 0 else { return }
        for index in 0..<count {
            let connection = state.pointee.starved[index]
            guard connection.pointee.flags.contains(.starved) else { continue }
            connection.pointee.flags.remove(.starved)
            guard connection.pointee.flags.contains(.open) else { continue }
            armReceive(connection)
        }
        state.pointee.starved.removeAll()
    }

    private func endOfInput(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.flags.insert(.endOfInput)
        // Requests that wait for their turn in `carry` are answered first; the end is reported after them (`finishInput`).
        if connection.pointee.carryCount > 0, connection.pointee.machine.isBetweenExchanges { processCarry(connection) }
        finishInput(connection)
    }

    /// Reports the end of input once every whole request before it was taken up.
    func finishInput(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.flags.contains(.endOfInput), !connection.pointee.flags.contains(.closing) else { return }
        if connection.pointee.carryCount > 0, connection.pointee.machine.isWaitingForRoom(settings.pointee.policy) { return }
        if connection.pointee.carryCount > 0, !connection.pointee.machine.isBetweenExchanges, connection.pointee.body.mode == .none { return }
        perform(connection, connection.pointee.machine.peerHalfClosed(now: state.pointee.now, settings.pointee.policy))
        armTimer(connection)
    }

    private func input(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        if connection.pointee.carryCount == 0 {
            var count = count
            let used = process(connection, bytes, &count)
            if used < count, !connection.pointee.flags.contains(.closing) {
                guard keep(connection, bytes + used, count &- used) else { return shed(connection) }
            }
        } else {
            guard keep(connection, bytes, count) else { return shed(connection) }
            processCarry(connection)
        }
        limitCarry(connection)
    }

    /// Input that nobody can take now stops at this much: the receive is paused and TCP holds the rest.
    private func limitCarry(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.carryCount > 0, connection.pointee.body.mode == .none || connection.pointee.flags.contains(.opening) else { return }
        if !connection.pointee.machine.mayHandleNext(settings.pointee.policy), connection.pointee.carryCount >= ChunkPool.chunkBytes {
            pauseReading(connection)
        }
    }

    /// Works off what `carry` holds, then moves what is left to its front.
    func processCarry(_ connection: UnsafeMutablePointer<Connection>) {
        guard let carry = connection.pointee.carry, connection.pointee.carryCount > 0 else { return }
        var count = connection.pointee.carryCount
        let used = process(connection, carry, &count)
        guard connection.pointee.carry != nil else { return }  // torn down meanwhile
        let left = count &- used
        if left == 0 {
            dropCarry(connection)
        } else if used > 0 {
            memmove(carry, carry + used, left)
        }
        if left > 0 { connection.pointee.carryCount = left }
        if connection.pointee.carryCount < ChunkPool.chunkBytes, connection.pointee.machine.mayHandleNext(settings.pointee.policy) {
            resumeReading(connection)
        }
    }

    /// Copies bytes to the end of `carry`. False when memory is refused.
    func keep(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let needed = connection.pointee.carryCount &+ count
        if needed > connection.pointee.carryCapacity, !growCarry(connection, needed) { return false }
        memcpy(connection.pointee.carry! + connection.pointee.carryCount, bytes, count)
        connection.pointee.carryCount = needed
        return true
    }

    private func growCarry(_ connection: UnsafeMutablePointer<Connection>, _ needed: Int) -> Bool {
        if connection.pointee.carry == nil, needed <= ChunkPool.chunkBytes {
            guard let chunk = pool.pointee.take() else { return false }
            connection.pointee.carry = chunk.bindMemory(to: UInt8.self, capacity: ChunkPool.chunkBytes)
            connection.pointee.carryCapacity = ChunkPool.chunkBytes
            return true
        }
        // Doubling with what arrives, never with what a Content-Length promises: a promise costs the peer nothing.
        let capacity = max(needed, connection.pointee.carryCapacity * 2, ChunkPool.chunkBytes * 2)
        guard let memory = malloc(capacity) else { return false }
        if let old = connection.pointee.carry { memcpy(memory, old, connection.pointee.carryCount) }
        let count = connection.pointee.carryCount
        dropCarry(connection)
        connection.pointee.carry = memory.bindMemory(to: UInt8.self, capacity: capacity)
        (connection.pointee.carryCapacity, connection.pointee.carryCount) = (capacity, count)
        return true
    }

    func dropCarry(_ connection: UnsafeMutablePointer<Connection>) {
        if let carry = connection.pointee.carry {
            if connection.pointee.carryCapacity == ChunkPool.chunkBytes { pool.pointee.give(carry) } else { free(carry) }
        }
        connection.pointee.carry = nil
        (connection.pointee.carryCount, connection.pointee.carryCapacity) = (0, 0)
    }

    /// No memory for this connection's bytes: it goes, the others stay.
    func shed(_ connection: UnsafeMutablePointer<Connection>) {
        meter.pointee.connectionsShed &+= 1
        perform(connection, connection.pointee.machine.abort())
    }
}
