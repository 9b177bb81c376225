// Large bodies that are handed over as they come: received into memory that is larger than receive buffers, a system call for each 64 KiB instead of a completion for each
// buffer. Only while a client is that fast: one that waits for its network holds no memory. The loop's thread.
// Pointers: the memory is the kernel's from `armBulk` to the receive's completion, cancelled or not; the connection's slot is kept as long.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// As much as a handler may have waiting (`AsyncBodySource`), and what the clients that send most write at once.
    static var bulkBytes: Int { 64 * 1024 }
    /// Connections with such memory at a time, 4 MiB of it: others go on with receive buffers.
    private static var bulksMax: Int { 64 }

    /// Arms a receive into memory of the connection's own. False: it receives as ever.
    func armBulk(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        let body = unsafe connection.pointee.body
        guard unsafe mayBeBulky(connection) else {
            unsafe connection.pointee.flags.remove(.bulky)
            return false
        }
        guard unsafe body.chunked || body.remaining > UInt64(buffers.pointee.bytesEach), let memory = unsafe takeBulk() else { return false }
        let sqe = unsafe entry()
        unsafe ur_prep_recv_into(sqe, connection.pointee.fd, memory, UInt32(Self.bulkBytes))
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
    func watchSpeed(_ connection: UnsafeMutablePointer<Connection>, _ count: Int, isBulk: Bool) {
        // A quarter, or a client whose writes are somewhat smaller would change to and fro.
        guard unsafe count >= (isBulk ? Self.bulkBytes / 4 : buffers.pointee.bytesEach) else {
            unsafe connection.pointee.flags.remove(.bulky)
            return
        }
        unsafe connection.pointee.flags.insert(.bulky)
        // What its multishot still brings comes before that has ended.
        // A server's connection is used again and again, each time by multishot: only a long body is worth its cancellation.
        let least = unsafe UInt64(connection.pointee.flags.contains(.outgoing) ? 4 * Self.bulkBytes : Self.bulkBytes)
        let isWorthIt = unsafe connection.pointee.body.chunked || connection.pointee.body.remaining > least
        if unsafe isWorthIt && connection.pointee.receive == .multishot && state.pointee.bulks < Self.bulksMax { unsafe cancelReceive(connection) }
    }

    private func takeBulk() -> UnsafeMutablePointer<UInt8>? {
        if let memory = unsafe state.pointee.spareBulk {
            unsafe state.pointee.spareBulk = nil
            return unsafe memory
        }
        guard unsafe state.pointee.bulks < Self.bulksMax, let memory = unsafe pool.pointee.takeLarge(Self.bulkBytes) else { return nil }
        unsafe state.pointee.bulks &+= 1
        return unsafe memory.bindMemory(to: UInt8.self, capacity: Self.bulkBytes)
    }

    /// Gives such memory back; nil is none.
    @inline(__always)
    func dropBulk(_ memory: UnsafeMutablePointer<UInt8>?) {
        guard let memory = unsafe memory else { return }
        unsafe state.pointee.bulks &-= 1
        unsafe pool.pointee.giveLarge(memory, Self.bulkBytes)
    }
}
