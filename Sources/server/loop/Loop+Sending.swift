// Sending: how a batch leaves, and what happens to what the socket does not take. The loop's thread.
//
// One send per connection and batch, MSG_DONTWAIT | MSG_WAITALL, success posts no completion: when enter has returned, a send without a
// completion has left whole, and the batch arena is empty again. A short one posts its count; the rest moves to memory of the connection and
// waits for room.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    // MARK: before enter

    /// Queues one send for every connection that has output.
    func flushOutput() {
        let count = unsafe state.pointee.dirty.count
        guard count > 0 else { return }
        // Others than the first when that left somebody out (`waitForTurn`).
        var index = unsafe min(max(0, state.pointee.dirtyStart), count &- 1)
        unsafe (state.pointee.dirtyStart, state.pointee.flushing, state.pointee.fileBytesInTurn) = (-1, count, 0)
        for _ in 0..<count {
            let connection = unsafe state.pointee.dirty[index]
            index = index &+ 1 == count ? 0 : index &+ 1
            guard unsafe connection.pointee.flags.contains(.dirty) else { continue }
            if unsafe connection.pointee.flags.contains(.delayed) {
                // In the next turn, which does not wait.
                unsafe connection.pointee.flags.remove(.delayed)
                unsafe state.pointee.dirty.append(connection)
                continue
            }
            unsafe connection.pointee.flags.remove(.dirty)
            guard unsafe connection.pointee.flags.isDisjoint(with: .closing), unsafe connection.pointee.sending == .none else { continue }
            if let http2 = unsafe connection.pointee.http2 {
                unsafe frameStreams(connection, http2)
                if unsafe connection.pointee.flags.contains(.closing) { continue }
            }
            unsafe startSend(connection)
        }
        unsafe state.pointee.dirty.removeFirst(count)
        unsafe state.pointee.flushing = 0
        if unsafe state.pointee.dirty.count > 0 { unsafe state.pointee.hasWork = true }
    }

    static var fastSendFlags: Int32 { Int32(MSG_DONTWAIT) | Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL) }

    func startSend(_ connection: UnsafeMutablePointer<Connection>) {
        if let tls = unsafe connection.pointee.tls { return unsafe startSealedSend(connection, tls) }
        if unsafe !connection.pointee.queue.isEmpty { unsafe connection.pointee.queue.dropLeadingEmpty(pool: pool) }
        if unsafe connection.pointee.queue.isEmpty {
            guard unsafe connection.pointee.batchCount > 0 else { return }
            reserveEntries(2)
            let sqe = unsafe entry()
            unsafe ur_prep_send(sqe, connection.pointee.fd, connection.pointee.batchStart, UInt32(connection.pointee.batchCount), Self.fastSendFlags, false)
            unsafe connection.pointee.fastBytes = unsafe UInt64(connection.pointee.batchCount)
            unsafe submitFast(connection, sqe)
        } else if let first = unsafe connection.pointee.queue.first, unsafe first.pointee.owner == .file {
            unsafe sendFiles(connection)
        } else if let message = unsafe gather(connection) {
            let sqe = unsafe entry()
            unsafe ur_prep_sendmsg(sqe, connection.pointee.fd, message, UInt32(Self.fastSendFlags), false)
            unsafe submitFast(connection, sqe)
        } else {
            // No room for the vector: what the batch holds goes first, the queue follows in a later turn.
            unsafe sendSlowly(connection)
        }
    }

    func submitFast(_ connection: UnsafeMutablePointer<Connection>, _ sqe: UnsafeMutablePointer<ur_sqe>) {
        // The last response of a connection whose peer sends nothing more: the kernel closes behind the send, in the same enter. A send that
        // comes short breaks the link, and the close is cancelled.
        let closes = unsafe connection.pointee.machine.stepWhenSent == .close && connection.pointee.receive == .none
            && connection.pointee.operations == 0 && connection.pointee.queue.isEmpty && !connection.pointee.flags.contains(.upgrading)
        // Linked, it posts a completion in any case: a failed link whose head skips its completion would swallow that of the close too.
        let mode = closes ? UInt32(IOSQE_IO_LINK_BIT) : UInt32(IOSQE_CQE_SKIP_SUCCESS_BIT)
        unsafe ur_sqe_tag(sqe, Operation(.batchSend, connection.pointee.handle).raw, UInt32(1) << mode)
        unsafe connection.pointee.sending = .fast
        unsafe connection.pointee.flags.remove(.sendPosted)
        unsafe state.pointee.inFlight.append(connection)
        if closes {
            let close = unsafe entry()
            unsafe ur_prep_close(close, connection.pointee.fd)
            unsafe ur_sqe_tag(close, Operation(.close, connection.pointee.handle).raw, 0)
            unsafe connection.pointee.operations &+= 1
        } else if unsafe needsFollowUp(connection) {
            // The send posts nothing when it succeeds: without this the loop would sleep on what comes next.
            unsafe state.pointee.hasWork = true
        }
    }

    func needsFollowUp(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        unsafe connection.pointee.machine.stepWhenSent != .wait || connection.pointee.exchange != nil || connection.pointee.carryCount > 0
            || connection.pointee.flags.contains(.awaitsRoom)
            || !connection.pointee.queue.isEmpty || (connection.pointee.http2.map { unsafe $0.pointee.engine.hasSendable } ?? false) || !connection.pointee.flags.isDisjoint(with: [.upgrading, .endOfInput, .readingPaused])
    }

    /// Completion of a close that was linked behind the last send.
    func closed(_ handle: Handle, _ result: Int32) {
        guard let connection = unsafe connections.pointee.pointer(handle) else { return }
        unsafe connection.pointee.operations &-= 1
        // Cancelled: the send came short, and the connection goes on without the link. Anything else: the descriptor is gone.
        if result != -ECANCELED { unsafe connection.pointee.flags.insert(.descriptorClosed) }
        unsafe closeIfDone(connection)
    }

    /// Head and segments as one vector, in the batch arena, up to the first file. The kernel copies the vector at submission
    /// (IORING_FEAT_SUBMIT_STABLE); the arena is not reset before the batch is settled.
    func gather(_ connection: UnsafeMutablePointer<Connection>) -> UnsafePointer<msghdr>? {
        let partsMax = 16
        unsafe batch.pointee.align()
        let bytes = unsafe MemoryLayout<msghdr>.stride + partsMax * MemoryLayout<iovec>.stride
        guard unsafe batch.pointee.space >= bytes else { return nil }
        let memory = unsafe UnsafeMutableRawPointer(batch.pointee.cursor)
        unsafe batch.pointee.commit(bytes)
        let message = unsafe memory.bindMemory(to: msghdr.self, capacity: 1)
        let parts = unsafe (memory + MemoryLayout<msghdr>.stride).bindMemory(to: iovec.self, capacity: partsMax)
        var count = 0
        var total: UInt64 = 0
        if unsafe connection.pointee.batchCount > 0 {
            unsafe parts[0] = unsafe iovec(iov_base: connection.pointee.batchStart, iov_len: connection.pointee.batchCount)
            total = unsafe UInt64(connection.pointee.batchCount)
            count = 1
        }
        var segment = unsafe connection.pointee.queue.first
        while let part = unsafe segment, count < partsMax, unsafe part.pointee.owner != .file {
            if unsafe part.pointee.count > 0 {
                unsafe parts[count] = unsafe iovec(iov_base: UnsafeMutableRawPointer(mutating: part.pointee.base), iov_len: Int(part.pointee.count))
                unsafe total &+= part.pointee.count
                count &+= 1
            }
            unsafe segment = unsafe part.pointee.next
        }
        unsafe message.initialize(to: msghdr())
        unsafe message.pointee.msg_iov = unsafe parts
        unsafe message.pointee.msg_iovlen = count
        unsafe connection.pointee.fastBytes = total
        return unsafe UnsafePointer(message)
    }

    // MARK: after enter

    /// Concludes the sends of the last batch: those that posted nothing have left whole.
    func settleSends(_ ready: UInt32) {
        let count = unsafe state.pointee.inFlight.count
        guard count > 0 else { return emptyBatch() }
        // In any case, and before anything else: the completions will be gone after this turn.
        markPostedSends(ready)
        // What the kernel has not consumed has not been sent, and a completion may wait behind an overflow: look again after the next enter.
        guard unsafe ur_sq_pending(ring) == 0, unsafe !ur_cq_overflow(ring) else {
            unsafe state.pointee.hasWork = true
            return
        }
        // First every connection's rest moves out of the batch arena, then the arena is empty, then what follows may write to it again.
        for index in 0..<count { unsafe takeResult(state.pointee.inFlight[index]) }
        emptyBatch()
        for index in 0..<count { unsafe conclude(state.pointee.inFlight[index]) }
        unsafe state.pointee.inFlight.removeFirst(count)
    }

    /// Empties the batch arena. What was written while this batch was being flushed (a file's last bytes left at once, and its producer
    /// or the next request went on) is still in it and moves to memory of its connection first.
    func emptyBatch() {
        let count = unsafe state.pointee.dirty.count
        for index in 0..<count {
            let connection = unsafe state.pointee.dirty[index]
            guard unsafe connection.pointee.flags.contains(.dirty), unsafe connection.pointee.flags.isDisjoint(with: .closing),
                unsafe connection.pointee.batchCount > 0
            else { continue }
            if unsafe !preserveBatch(connection) { unsafe shed(connection) }
        }
        unsafe batch.pointee.reset()
    }

    func markPostedSends(_ ready: UInt32) {
        var offset: UInt32 = 0
        while offset < ready {
            let completion = unsafe ur_cq_at(ring, offset)!
            let operation = unsafe Operation(raw: completion.pointee.user_data)
            offset &+= 1
            guard operation.kind == .batchSend, let connection = unsafe connections.pointee.pointer(operation.handle), unsafe connection.pointee.sending == .fast
            else { continue }
            unsafe connection.pointee.sendResult = unsafe completion.pointee.res
            unsafe connection.pointee.flags.insert(.sendPosted)
        }
    }

    func takeResult(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.sending = .none
        guard unsafe connection.pointee.flags.contains(.sendPosted) else {
            if unsafe connection.pointee.queue.isEmpty {
                unsafe (connection.pointee.batchCount, connection.pointee.sealedCount) = (0, 0)
                unsafe connection.pointee.bytesSent &+= connection.pointee.fastBytes
            } else {
                unsafe advanceOutput(connection, connection.pointee.fastBytes)
            }
            return
        }
        let result = unsafe connection.pointee.sendResult
        if result < 0 {
            guard case .again = SocketFailure(-result) else {
                unsafe connection.pointee.flags.insert(.sendFailed)
                unsafe (connection.pointee.batchCount, connection.pointee.sealedCount) = (0, 0)
                return
            }
        }
        unsafe connection.pointee.fastBytes = unsafe min(UInt64(max(0, result)), connection.pointee.fastBytes)
        unsafe advanceOutput(connection, connection.pointee.fastBytes)
        if unsafe !preserveBatch(connection) { unsafe connection.pointee.flags.insert(.sendFailed) }
    }

    func conclude(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        if unsafe connection.pointee.flags.contains(.sendFailed) { return unsafe sendFailed(connection) }
        let sent = unsafe connection.pointee.fastBytes
        unsafe bytesLeft(connection, sent)
        let policy = unsafe settings.pointee.policy
        // The bytes left when enter was called, which may have slept since: clocks that begin with it begin then.
        let now = unsafe state.pointee.enteredAt
        let step: KeepAliveStep
        if unsafe connection.pointee.queue.isEmpty, unsafe connection.pointee.batchCount == 0 {
            step = unsafe connection.pointee.machine.flushed(now: now, policy)
        } else {
            step = unsafe connection.pointee.machine.outputSent(sent, now: now, policy)
            // Whole, with files or more segments behind it: on with them. Short: the rest waits for room in the socket.
            if unsafe connection.pointee.flags.contains(.sendPosted) { unsafe sendSlowly(connection) } else { unsafe markDirty(connection) }
        }
        if step != .wait { unsafe perform(connection, step) }
        unsafe armTimer(connection)
    }

    func sendFailed(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe (connection.pointee.batchCount, connection.pointee.sealedCount) = (0, 0)
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        unsafe perform(connection, connection.pointee.machine.abort())
    }

    /// Takes `sent` bytes off the front of the output.
    func advanceOutput(_ connection: UnsafeMutablePointer<Connection>, _ sent: UInt64) {
        let fromBatch = unsafe min(sent, UInt64(connection.pointee.batchCount))
        unsafe connection.pointee.batchStart = unsafe connection.pointee.batchStart.map { unsafe $0 + Int(fromBatch) }
        unsafe connection.pointee.batchCount &-= Int(fromBatch)
        unsafe connection.pointee.sealedCount = unsafe max(0, connection.pointee.sealedCount &- Int(fromBatch))
        let left = unsafe connection.pointee.queue.advance(sent &- fromBatch, pool: pool)
        precondition(left == 0, "BUG: more was sent than was there")
        unsafe connection.pointee.bytesSent &+= sent
    }

    /// Moves what is left in the batch arena to memory of the connection, in front of its queue.
    func preserveBatch(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        let count = unsafe connection.pointee.batchCount
        guard count > 0, let start = unsafe connection.pointee.batchStart else { return true }
        let sealed = unsafe connection.pointee.sealedCount
        unsafe (connection.pointee.batchCount, connection.pointee.sealedCount) = (0, 0)
        if sealed > 0, sealed < count {
            return unsafe preserve(connection, start + sealed, count &- sealed, isSealed: false) && preserve(connection, start, sealed, isSealed: true)
        }
        return unsafe preserve(connection, start, count, isSealed: sealed > 0)
    }

    private func preserve(
        _ connection: UnsafeMutablePointer<Connection>, _ start: UnsafePointer<UInt8>, _ count: Int, isSealed: Bool
    ) -> Bool {
        let fitsChunk = count <= ChunkPool.chunkBytes
        guard let memory = unsafe fitsChunk ? pool.pointee.take() : pool.pointee.takeLarge(count) else { return false }
        unsafe memcpy(memory, start, count)
        let bytes = unsafe memory.bindMemory(to: UInt8.self, capacity: count)
        unsafe connection.pointee.queue.prepend(
            OutputSegment(
                owner: fitsChunk ? .chunk : .block, isSealed: isSealed, base: UnsafePointer(bytes), count: UInt64(count), memory: memory,
                memoryBytes: count))
        return true
    }

    func concludeSend(_ connection: UnsafeMutablePointer<Connection>, _ sent: UInt64) {
        let step = unsafe connection.pointee.machine.outputSent(sent, now: state.pointee.now, settings.pointee.policy)
        if unsafe !connection.pointee.queue.isEmpty { unsafe sendSlowly(connection) }
        if step != .wait { unsafe perform(connection, step) }
        unsafe armTimer(connection)
    }

    /// Sends the first segment when the socket has room for it: posts a completion.
    func sendSlowly(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.sending == .none, unsafe connection.pointee.flags.isDisjoint(with: .closing) else { return }
        guard unsafe connection.pointee.batchCount == 0 || preserveBatch(connection) else { return unsafe shed(connection) }
        guard let first = unsafe connection.pointee.queue.first else { return }
        // Plaintext is encrypted when its turn comes.
        if unsafe connection.pointee.tls != nil && !first.pointee.isSealed { return unsafe markDirty(connection) }
        if unsafe first.pointee.owner == .file { return unsafe sendFiles(connection) }
        let sqe = unsafe entry()
        // A piece at a time: each completion shows the peer's progress, which the minimum rate is measured by.
        let count = unsafe UInt32(min(first.pointee.count, 1 << 20))
        unsafe ur_prep_send(sqe, connection.pointee.fd, first.pointee.base, count, Int32(MSG_NOSIGNAL), true)
        unsafe ur_sqe_tag(sqe, Operation(.send, connection.pointee.handle).raw, 0)
        unsafe connection.pointee.sending = .slow
        unsafe connection.pointee.operations &+= 1
    }

    /// Completion of a slow send. Fast ones were looked at by `settleSends`.
    func sent(_ handle: Handle, _ result: Int32) {
        guard let connection = unsafe connections.pointee.pointer(handle), unsafe connection.pointee.sending == .slow else { return }
        unsafe connection.pointee.sending = .none
        unsafe connection.pointee.operations &-= 1
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        if result < 0 {
            guard case .again = SocketFailure(-result) else { return unsafe sendFailed(connection) }
        }
        let count = UInt64(max(0, result))
        unsafe advanceOutput(connection, count)
        unsafe bytesLeft(connection, count)
        unsafe concludeSend(connection, count)
    }
}
