// Output: where response bytes are written, how a batch leaves, what happens to what the socket does not take. The loop's thread.
//
// One send per connection and batch, MSG_DONTWAIT | MSG_WAITALL, success posts no completion: when enter has returned, a send without a
// completion has left whole, and the batch arena is empty again. A short one posts its count; the rest moves to memory of the connection and
// waits for room.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    // MARK: writing

    /// `count` writable bytes at the end of the connection's output; `commit` says how many were used. nil when memory is refused: the
    /// connection was aborted.
    func reserve(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<UInt8>? {
        if connection.pointee.queue.isEmpty, connection.pointee.sending == .none, batch.pointee.space >= count {
            if connection.pointee.batchCount == 0 { connection.pointee.batchStart = batch.pointee.cursor }
            if connection.pointee.batchStart! + connection.pointee.batchCount == batch.pointee.cursor { return batch.pointee.cursor }
        }
        if let tail = connection.pointee.queue.tail, tail.pointee.room >= count {
            return UnsafeMutablePointer(mutating: tail.pointee.base! + Int(tail.pointee.count))
        }
        return newSegment(connection, count)
    }

    @inline(never)
    private func newSegment(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<UInt8>? {
        let fitsChunk = count <= ChunkPool.chunkBytes
        guard let memory = fitsChunk ? pool.pointee.take() : malloc(count) else {
            shed(connection)
            return nil
        }
        let bytes = memory.bindMemory(to: UInt8.self, capacity: count)
        connection.pointee.queue.append(
            OutputSegment(
                owner: fitsChunk ? .chunk : .block, base: UnsafePointer(bytes), count: 0, room: fitsChunk ? ChunkPool.chunkBytes : count,
                memory: memory))
        return bytes
    }

    /// The bytes written at what `reserve` answered are output now.
    func commit(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        if connection.pointee.queue.isEmpty {
            connection.pointee.batchCount &+= count
            batch.pointee.commit(count)
        } else {
            let tail = connection.pointee.queue.tail!
            tail.pointee.count &+= UInt64(count)
            tail.pointee.room &-= count
        }
        markDirty(connection)
    }

    func appendOutput(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let out = reserve(connection, count) else { return }
        memcpy(out, bytes, count)
        commit(connection, count)
    }

    func appendBlock(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        connection.pointee.queue.append(OutputSegment(owner: .block, base: UnsafePointer(bytes), count: UInt64(count), memory: UnsafeMutableRawPointer(bytes)))
    }

    func appendShared(_ connection: UnsafeMutablePointer<Connection>, _ bytes: SharedBytes) {
        connection.pointee.queue.append(
            OutputSegment(owner: .shared, base: bytes.base, count: UInt64(bytes.count), object: Unmanaged<AnyObject>.passRetained(bytes)))
    }

    /// Up to here a file is read into memory and leaves with its head; from here on sendfile(2) (io_uring.md: 64 KiB).
    private static var readFileMax: UInt64 { 64 * 1024 }

    func appendFile(_ connection: UnsafeMutablePointer<Connection>, _ content: FileContent) {
        for piece in content.pieces {
            switch piece {
            case .text(let bytes): bytes.withUnsafeBufferPointer { if $0.count > 0 { appendOutput(connection, $0.baseAddress!, $0.count) } }
            case .range(let offset, let count):
                if count > 0, count < Self.readFileMax, readSmall(connection, content.file, offset, Int(count)) { continue }
                guard count > 0 else { continue }
                connection.pointee.queue.append(
                    OutputSegment(
                        owner: .file, base: nil, count: count, object: Unmanaged<AnyObject>.passRetained(content.file), fileOffset: offset))
            }
        }
    }

    /// False when the page cache does not hold all of it.
    private func readSmall(_ connection: UnsafeMutablePointer<Connection>, _ file: OpenFile, _ offset: UInt64, _ count: Int) -> Bool {
        guard let out = reserve(connection, count) else { return true }
        let read = kernel.readCached(file.fd, into: out, count: count, offset: offset)
        guard read == count else {
            connection.pointee.queue.dropLeadingEmpty(pool: pool)
            return false
        }
        commit(connection, count)
        return true
    }

    func markDirty(_ connection: UnsafeMutablePointer<Connection>) {
        guard !connection.pointee.flags.contains(.dirty) else { return }
        connection.pointee.flags.insert(.dirty)
        state.pointee.dirty.append(connection)
    }

    // MARK: sending

    /// Queues one send for every connection that has output.
    func flushOutput() {
        let count = state.pointee.dirty.count
        guard count > 0 else { return }
        for index in 0..<count {
            let connection = state.pointee.dirty[index]
            guard connection.pointee.flags.contains(.dirty) else { continue }
            connection.pointee.flags.remove(.dirty)
            guard connection.pointee.flags.isDisjoint(with: .closing), connection.pointee.sending == .none else { continue }
            startSend(connection)
        }
        state.pointee.dirty.removeFirst(count)
        if state.pointee.dirty.count > 0 { state.pointee.hasWork = true }
    }

    private func startSend(_ connection: UnsafeMutablePointer<Connection>) {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL)
        if !connection.pointee.queue.isEmpty { connection.pointee.queue.dropLeadingEmpty(pool: pool) }
        if connection.pointee.queue.isEmpty {
            guard connection.pointee.batchCount > 0 else { return }
            let sqe = entry()
            ur_prep_send(sqe, connection.pointee.fd, connection.pointee.batchStart, UInt32(connection.pointee.batchCount), flags, false)
            connection.pointee.fastBytes = UInt64(connection.pointee.batchCount)
            submitFast(connection, sqe)
        } else if let first = connection.pointee.queue.first, first.pointee.owner == .file {
            sendFiles(connection)
        } else if let message = gather(connection) {
            let sqe = entry()
            ur_prep_sendmsg(sqe, connection.pointee.fd, message, UInt32(flags), false)
            submitFast(connection, sqe)
        } else {
            // No room for the vector: what the batch holds goes first, the queue follows in a later turn.
            sendSlowly(connection)
        }
    }

    private func submitFast(_ connection: UnsafeMutablePointer<Connection>, _ sqe: UnsafeMutablePointer<ur_sqe>) {
        ur_sqe_tag(sqe, Operation(.send, connection.pointee.handle).raw, UInt32(1) << UInt32(IOSQE_CQE_SKIP_SUCCESS_BIT))
        connection.pointee.sending = .fast
        connection.pointee.flags.remove(.sendPosted)
        state.pointee.inFlight.append(connection)
    }

    /// Head and segments as one vector, in the batch arena, up to the first file. The kernel copies the vector at submission
    /// (IORING_FEAT_SUBMIT_STABLE); the arena is not reset before the batch is settled.
    private func gather(_ connection: UnsafeMutablePointer<Connection>) -> UnsafePointer<msghdr>? {
        let partsMax = 16
        batch.pointee.align()
        let bytes = MemoryLayout<msghdr>.stride + partsMax * MemoryLayout<iovec>.stride
        guard batch.pointee.space >= bytes else { return nil }
        let memory = UnsafeMutableRawPointer(batch.pointee.cursor)
        batch.pointee.commit(bytes)
        let message = memory.bindMemory(to: msghdr.self, capacity: 1)
        let parts = (memory + MemoryLayout<msghdr>.stride).bindMemory(to: iovec.self, capacity: partsMax)
        var count = 0
        var total: UInt64 = 0
        if connection.pointee.batchCount > 0 {
            parts[0] = iovec(iov_base: connection.pointee.batchStart, iov_len: connection.pointee.batchCount)
            total = UInt64(connection.pointee.batchCount)
            count = 1
        }
        var segment = connection.pointee.queue.first
        while let part = segment, count < partsMax, part.pointee.owner != .file {
            if part.pointee.count > 0 {
                parts[count] = iovec(iov_base: UnsafeMutableRawPointer(mutating: part.pointee.base), iov_len: Int(part.pointee.count))
                total &+= part.pointee.count
                count &+= 1
            }
            segment = part.pointee.next
        }
        message.initialize(to: msghdr())
        message.pointee.msg_iov = parts
        message.pointee.msg_iovlen = count
        connection.pointee.fastBytes = total
        return UnsafePointer(message)
    }

    // MARK: after enter

    /// Concludes the sends of the last batch: those that posted nothing have left whole.
    func settleSends(_ ready: UInt32) {
        let count = state.pointee.inFlight.count
        guard count > 0 else { return batch.pointee.reset() }
        // What the kernel has not consumed has not been sent, and a completion may wait behind an overflow: look again after the next enter.
        guard ur_sq_pending(ring) == 0, !ur_cq_overflow(ring) else {
            state.pointee.hasWork = true
            return
        }
        markPostedSends(ready)
        // First every connection's rest moves out of the batch arena, then the arena is empty, then what follows may write to it again.
        for index in 0..<count { takeResult(state.pointee.inFlight[index]) }
        batch.pointee.reset()
        for index in 0..<count { conclude(state.pointee.inFlight[index]) }
        state.pointee.inFlight.removeFirst(count)
    }

    private func markPostedSends(_ ready: UInt32) {
        var offset: UInt32 = 0
        while offset < ready {
            let completion = ur_cq_at(ring, offset)!
            let operation = Operation(raw: completion.pointee.user_data)
            offset &+= 1
            guard operation.kind == .send, let connection = connections.pointee.pointer(operation.handle), connection.pointee.sending == .fast
            else { continue }
            connection.pointee.sendResult = completion.pointee.res
            connection.pointee.flags.insert(.sendPosted)
        }
    }

    private func takeResult(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.sending = .none
        guard connection.pointee.flags.contains(.sendPosted) else {
            if connection.pointee.queue.isEmpty {
                connection.pointee.batchCount = 0
                connection.pointee.bytesSent &+= connection.pointee.fastBytes
            } else {
                advanceOutput(connection, connection.pointee.fastBytes)
            }
            return
        }
        let result = connection.pointee.sendResult
        if result < 0 {
            guard case .again = SocketFailure(-result) else {
                connection.pointee.flags.insert(.sendFailed)
                connection.pointee.batchCount = 0
                return
            }
        }
        connection.pointee.fastBytes = min(UInt64(max(0, result)), connection.pointee.fastBytes)
        advanceOutput(connection, connection.pointee.fastBytes)
        if !preserveBatch(connection) { connection.pointee.flags.insert(.sendFailed) }
    }

    private func conclude(_ connection: UnsafeMutablePointer<Connection>) {
        if connection.pointee.flags.contains(.closing) { return closeIfDone(connection) }
        if connection.pointee.flags.contains(.sendFailed) { return sendFailed(connection) }
        let sent = connection.pointee.fastBytes
        if ur_probe_send() { ur_fire_send(connection.pointee.id, sent, kernel.now()) }
        let policy = settings.pointee.policy
        let now = state.pointee.now
        let step: KeepAliveStep
        if connection.pointee.queue.isEmpty, connection.pointee.batchCount == 0 {
            step = connection.pointee.machine.flushed(now: now, policy)
        } else {
            step = connection.pointee.machine.outputSent(sent, now: now, policy)
            // Whole, with files or more segments behind it: on with them. Short: the rest waits for room in the socket.
            if connection.pointee.flags.contains(.sendPosted) { sendSlowly(connection) } else { markDirty(connection) }
        }
        if step != .wait { perform(connection, step) }
        armTimer(connection)
    }

    private func sendFailed(_ connection: UnsafeMutablePointer<Connection>) {
        connection.pointee.batchCount = 0
        if connection.pointee.flags.contains(.closing) { return closeIfDone(connection) }
        perform(connection, connection.pointee.machine.abort())
    }

    /// Takes `sent` bytes off the front of the output.
    private func advanceOutput(_ connection: UnsafeMutablePointer<Connection>, _ sent: UInt64) {
        let fromBatch = min(sent, UInt64(connection.pointee.batchCount))
        connection.pointee.batchStart = connection.pointee.batchStart.map { $0 + Int(fromBatch) }
        connection.pointee.batchCount &-= Int(fromBatch)
        let left = connection.pointee.queue.advance(sent &- fromBatch, pool: pool)
        precondition(left == 0, "BUG: more was sent than was there")
        connection.pointee.bytesSent &+= sent
    }

    /// Moves what is left in the batch arena to memory of the connection, in front of its queue.
    private func preserveBatch(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        let count = connection.pointee.batchCount
        guard count > 0, let start = connection.pointee.batchStart else { return true }
        connection.pointee.batchCount = 0
        let fitsChunk = count <= ChunkPool.chunkBytes
        guard let memory = fitsChunk ? pool.pointee.take() : malloc(count) else { return false }
        memcpy(memory, start, count)
        let bytes = memory.bindMemory(to: UInt8.self, capacity: count)
        connection.pointee.queue.prepend(
            OutputSegment(owner: fitsChunk ? .chunk : .block, base: UnsafePointer(bytes), count: UInt64(count), memory: memory))
        return true
    }

    private func concludeSend(_ connection: UnsafeMutablePointer<Connection>, _ sent: UInt64) {
        let step = connection.pointee.machine.outputSent(sent, now: state.pointee.now, settings.pointee.policy)
        if !connection.pointee.queue.isEmpty { sendSlowly(connection) }
        if step != .wait { perform(connection, step) }
        armTimer(connection)
    }

    /// Sends the first segment when the socket has room for it: posts a completion.
    private func sendSlowly(_ connection: UnsafeMutablePointer<Connection>) {
        guard connection.pointee.sending == .none, connection.pointee.flags.isDisjoint(with: .closing) else { return }
        guard connection.pointee.batchCount == 0 || preserveBatch(connection) else { return shed(connection) }
        guard let first = connection.pointee.queue.first else { return }
        if first.pointee.owner == .file { return sendFiles(connection) }
        let sqe = entry()
        // A piece at a time: each completion shows the peer's progress, which the minimum rate is measured by.
        let count = UInt32(min(first.pointee.count, 1 << 20))
        ur_prep_send(sqe, connection.pointee.fd, first.pointee.base, count, Int32(MSG_NOSIGNAL), true)
        ur_sqe_tag(sqe, Operation(.send, connection.pointee.handle).raw, 0)
        connection.pointee.sending = .slow
        connection.pointee.operations &+= 1
    }

    /// Completion of a slow send. Fast ones were looked at by `settleSends`.
    func sent(_ handle: Handle, _ result: Int32) {
        guard let connection = connections.pointee.pointer(handle), connection.pointee.sending == .slow else { return }
        connection.pointee.sending = .none
        connection.pointee.operations &-= 1
        if connection.pointee.flags.contains(.closing) { return closeIfDone(connection) }
        if result < 0 {
            guard case .again = SocketFailure(-result) else { return sendFailed(connection) }
        }
        let count = UInt64(max(0, result))
        if ur_probe_send() { ur_fire_send(connection.pointee.id, count, kernel.now()) }
        advanceOutput(connection, count)
        concludeSend(connection, count)
    }

    // MARK: files

    /// Bytes of one file per turn and connection, so that a large download does not hold the others up.
    private static var fileBytesPerTurn: Int { 2 * 1024 * 1024 }

    /// Sends head and file with immediate calls: the head announces more, so that both share segments, and sendfile follows at once.
    private func sendFiles(_ connection: UnsafeMutablePointer<Connection>) {
        var budget = Self.fileBytesPerTurn
        var total: UInt64 = 0
        var failed = false
        while budget > 0 {
            let result: Int
            if connection.pointee.batchCount > 0 {
                result = kernel.send(connection.pointee.fd, connection.pointee.batchStart!, connection.pointee.batchCount, more: true)
            } else if let first = connection.pointee.queue.first {
                if first.pointee.owner == .file {
                    let file = unsafeDowncast(first.pointee.object!.takeUnretainedValue(), to: OpenFile.self)
                    let wanted = Int(min(first.pointee.count, UInt64(budget)))
                    result = kernel.sendFile(connection.pointee.fd, file: file.fd, offset: first.pointee.fileOffset, count: wanted)
                    // The file has become shorter than the length that was announced: only a cut connection can say so.
                    if result == 0 { failed = true }
                } else {
                    result = kernel.send(
                        connection.pointee.fd, first.pointee.base!, Int(first.pointee.count), more: first.pointee.next != nil)
                }
            } else {
                break
            }
            if failed { break }
            if result < 0 {
                if case .again = SocketFailure(Int32(-result)) { break }
                failed = true
                break
            }
            advanceOutput(connection, UInt64(result))
            total &+= UInt64(result)
            budget -= result
        }
        if failed { return sendFailed(connection) }
        if ur_probe_send() { ur_fire_send(connection.pointee.id, total, kernel.now()) }
        guard preserveBatch(connection) else { return shed(connection) }
        let step = connection.pointee.machine.outputSent(total, now: state.pointee.now, settings.pointee.policy)
        if !connection.pointee.queue.isEmpty {
            if budget > 0 { waitWritable(connection) } else { markDirty(connection) }
        }
        if step != .wait { perform(connection, step) }
        armTimer(connection)
    }

    private func waitWritable(_ connection: UnsafeMutablePointer<Connection>) {
        let sqe = entry()
        ur_prep_poll(sqe, connection.pointee.fd, UInt32(POLLOUT))
        ur_sqe_tag(sqe, Operation(.poll, connection.pointee.handle).raw, 0)
        connection.pointee.sending = .poll
        connection.pointee.operations &+= 1
    }

    func writable(_ handle: Handle, _ result: Int32) {
        guard let connection = connections.pointee.pointer(handle), connection.pointee.sending == .poll else { return }
        connection.pointee.sending = .none
        connection.pointee.operations &-= 1
        if connection.pointee.flags.contains(.closing) { return closeIfDone(connection) }
        if result < 0, result != -EINTR, result != -EAGAIN { return sendFailed(connection) }
        if !connection.pointee.queue.isEmpty { sendFiles(connection) }
    }
}
