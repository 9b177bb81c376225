// Large bodies that are handed over as they come: received into memory that is larger than receive buffers, a system call for each 64 KiB instead of a completion for each
// buffer. Only while a client is that fast: one that waits for its network holds no memory. What is proxied goes on in the same memory: it becomes a segment of
// the other connection's output (`queueBulk`). The loop's thread.
// Pointers: the memory is the kernel's from `armBulk` to the receive's completion, cancelled or not; the connection's slot is kept as long. Then it is the loop's, for the call
// that hands the bytes on, or the output's that has taken it.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// As much as a handler may have waiting (`AsyncBodySource`), and what the clients that send most write at once.
    static var bulkBytes: Int { 64 * 1024 }
    /// Of a server's response more: its head is in front of the first piece.
    private static var bulkMemoryBytes: Int { ChunkPool.largeBytes }
    /// What is smaller is copied: memory of this size is not worth being held for it.
    private static var queuedBulkMin: Int { bulkBytes / 4 }
    /// A body that is longer by as much than what has come is received in bulk from there on. Less is four receive buffers, which cost no more.
    private static var bulkMin: UInt64 { 32 * 1024 }
    /// Connections with such memory at a time, 4.5 MiB of it: others go on with receive buffers.
    private static var bulksMax: Int { 64 }

    /// Arms a receive into memory of the connection's own. False: it receives as ever.
    func armBulk(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        let body = unsafe connection.pointee.body
        guard unsafe mayBeBulky(connection) else { return false }
        guard unsafe body.chunked || body.remaining > UInt64(buffers.pointee.bytesEach), let memory = unsafe takeBulk() else { return false }
        let sqe = unsafe entry()
        let room = unsafe connection.pointee.flags.contains(.outgoing) ? Self.bulkMemoryBytes : Self.bulkBytes
        unsafe ur_prep_recv_into(sqe, connection.pointee.fd, memory, UInt32(room))
        unsafe ur_sqe_tag(sqe, Operation(.receive, connection.pointee.handle).raw, 0)
        unsafe connection.pointee.bulk = unsafe memory
        unsafe connection.pointee.receive = .bulk
        unsafe connection.pointee.operations &+= 1
        return true
    }

    /// A body under way is handed on as it comes: a client's, or a server's to us (`TunnelLink.expect`).
    @inline(__always)
    func mayBeBulky(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        unsafe connection.pointee.body.mode == .stream || connection.pointee.body.mode == .tunnel && connection.pointee.flags.contains(.outgoing)
    }

    /// A piece of such a body has come: is it worth more memory than a receive buffer, from the next receive on?
    /// - Parameter awaited: what was to come before.
    func watchSpeed(_ connection: UnsafeMutablePointer<Connection>, _ count: Int, isBulk: Bool, awaited: UInt64) {
        let remaining = unsafe connection.pointee.body.remaining
        // A server's head, which comes alone as often as not: it says itself how long its body is. Clients must show that they are fast, or promises would take all such memory.
        let beginsLong = unsafe connection.pointee.flags.contains(.outgoing) && awaited == 0 && remaining > Self.bulkMin && remaining < .max
        // A quarter, or a client whose writes are somewhat smaller would change to and fro.
        guard unsafe beginsLong || count >= (isBulk ? Self.bulkBytes / 4 : buffers.pointee.bytesEach) else {
            // Not the last piece of a body, which is as large as it is; nor what a multishot brings before its cancellation is seen.
            let saysNothing = unsafe isBulk ? remaining == 0 : connection.pointee.receive == .cancelling
            if !saysNothing { unsafe connection.pointee.flags.remove(.bulky) }
            return
        }
        unsafe connection.pointee.flags.insert(.bulky)
        // What its multishot still brings comes before that has ended.
        // The connection stays so from one body to the next (`armReceive`): it is cancelled once.
        let isWorthIt = unsafe connection.pointee.body.chunked || remaining > Self.bulkMin
        if unsafe isWorthIt && connection.pointee.receive == .multishot && state.pointee.bulks < Self.bulksMax { unsafe cancelReceive(connection) }
    }

    private func takeBulk() -> UnsafeMutablePointer<UInt8>? {
        if let memory = unsafe state.pointee.spareBulk {
            unsafe state.pointee.spareBulk = nil
            return unsafe memory
        }
        guard unsafe state.pointee.bulks < Self.bulksMax, let memory = unsafe pool.pointee.takeLarge(Self.bulkMemoryBytes) else { return nil }
        unsafe state.pointee.bulks &+= 1
        return unsafe memory.bindMemory(to: UInt8.self, capacity: Self.bulkMemoryBytes)
    }

    /// Gives such memory back; nil is none.
    @inline(__always)
    func dropBulk(_ memory: UnsafeMutablePointer<UInt8>?) {
        guard let memory = unsafe memory else { return }
        unsafe state.pointee.bulks &-= 1
        unsafe pool.pointee.giveLarge(memory, Self.bulkMemoryBytes)
    }

    // MARK: on in the same memory

    /// Input that a bulk receive has brought: whoever hands its bytes on to another connection may take the memory with them.
    /// - Returns: false when it was taken.
    func bulkInput(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        unsafe state.pointee.bulkAtHand = unsafe bytes
        unsafe input(connection, bytes, count)
        let isLeft = unsafe state.pointee.bulkAtHand != nil
        unsafe state.pointee.bulkAtHand = nil
        return isLeft
    }

    /// Makes bytes that a bulk receive has just brought output of `connection`, as they lie. Once for each receive: what is behind them in the same memory stays readable during
    /// the call that hands them over, for a connection's memory goes at the end of a turn.
    /// - Returns: false: they are not such bytes, or too few; copy them.
    func queueBulk(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard unsafe mayQueueBulk(connection, bytes, count), let memory = unsafe state.pointee.bulkAtHand else { return false }
        unsafe state.pointee.bulkAtHand = nil
        // Counted by the pool as output's from here on.
        unsafe state.pointee.bulks &-= 1
        unsafe connection.pointee.queue.append(
            OutputSegment(owner: .block, base: bytes, count: UInt64(count), memory: UnsafeMutableRawPointer(memory), memoryBytes: Self.bulkMemoryBytes))
        unsafe markDirty(connection)
        return true
    }

    private func mayQueueBulk(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard let memory = unsafe state.pointee.bulkAtHand, count >= Self.queuedBulkMin else { return false }
        return unsafe bytes >= memory && bytes + count <= memory + Self.bulkMemoryBytes && connection.pointee.flags.isDisjoint(with: [.stream, .closing])
    }

    /// The same as one chunk of the chunked coding; answers its bytes with the coding's. nil: copy it, or memory is refused and the connection gone.
    func queueBulkChunk(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        guard unsafe mayQueueBulk(connection, bytes, count), let out = unsafe reserve(connection, ResponseEncoder.chunkHeaderBytesMax) else { return nil }
        let header = unsafe ResponseEncoder.writeChunkHeader(size: UInt64(count), to: out)
        unsafe commit(connection, header)
        guard unsafe queueBulk(connection, bytes, count), let end = unsafe reserve(connection, 2) else { return nil }
        let behind = unsafe ByteWriting.write(ResponseEncoder.chunkEnd, to: end)
        unsafe commit(connection, behind)
        return header &+ count &+ behind
    }

    /// The first piece of a long body has been handed on, and the next ones come in bulk: the other side's output waits for one enter that does not block,
    /// because they are here already as a rule, and leave in the same send.
    func delayRelayed() {
        guard let other = unsafe state.pointee.relayedTo else { return }
        if unsafe other.pointee.flags.contains(.dirty) { unsafe other.pointee.flags.insert(.delayed) }
    }
}
