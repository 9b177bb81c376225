// LoopSocket: a connection of a task to some other server, through the ring of its loop. Each call is carried out on that loop.
//
// Pointers: each call makes the memory that the kernel works on and frees it when the completion has come, which it waits for even when it is cancelled.

internal import CUring
internal import Glibc
internal import UringRing

/// A stream connection to another server: databases, queues, anything that speaks a protocol of its own. One task reads and one writes at a time.
public final class LoopSocket: Sendable {
    private let executor: LoopExecutor
    private let descriptor: Int32
    private let address: String

    init(_ executor: LoopExecutor, _ descriptor: Int32, _ address: String) { (self.executor, self.descriptor, self.address) = (executor, descriptor, address) }

    /// Closed with its last reference.
    deinit { _ = Glibc.close(descriptor) }

    /// What has come, up to `count` bytes; none when the other side has ended.
    /// - Parameters:
    ///   - count: 1…2³⁰.
    ///   - timeout: throws a `LoopError` with ETIME; nil waits for ever.
    /// - Throws: `LoopError`.
    public func read(upTo count: Int, timeout: Duration? = nil) async throws -> [UInt8] {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.read(upTo: count, timeout: timeout) } }
        let count = max(1, min(count, 1 << 30))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
        defer { unsafe memory.deallocate() }
        let result = try unsafe await executor.makeWaits().perform(timeoutNs: timeout?.nanosecondsClamped ?? .max) {
            unsafe ur_prep_recv_into($0, descriptor, memory, UInt32(count))
        }
        guard result >= 0 else { throw try LoopError(result, "reading from \(address)") }
        return unsafe Array(UnsafeRawBufferPointer(start: memory, count: Int(result)))
    }

    /// Sends all bytes.
    /// - Parameter timeout: for each piece that the other side takes; throws a `LoopError` with ETIME.
    /// - Throws: `LoopError`; some may have been sent then.
    public func write(_ bytes: [UInt8], timeout: Duration? = nil) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.write(bytes, timeout: timeout) } }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 16)
        defer { unsafe memory.deallocate() }
        unsafe bytes.withUnsafeBytes { if $0.count > 0 { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
        var done = 0
        while done < bytes.count {
            let piece = min(bytes.count - done, 1 << 30)
            let result = try unsafe await executor.makeWaits().perform(timeoutNs: timeout?.nanosecondsClamped ?? .max) {
                unsafe ur_prep_send($0, descriptor, memory + done, UInt32(piece), Int32(MSG_NOSIGNAL), false)
            }
            guard result > 0 else { throw try LoopError(result == 0 ? -EPIPE : result, "sending to \(address)") }
            done += Int(result)
        }
    }

    /// Says that nothing more will be sent; reading goes on.
    public func endOutput() { _ = Glibc.shutdown(descriptor, Int32(SHUT_WR)) }
}

extension ServerLoop {
    /// Connects to `HOST:PORT` with a numeric host, `[V6]:PORT` or `unix:PATH`.
    /// - Parameter timeout: throws a `LoopError` with ETIME.
    /// - Throws: `LoopError`; EINVAL for text that is no address.
    public func connect(to address: String, timeout: Duration = .seconds(10)) async throws -> LoopSocket {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.connect(to: address, timeout: timeout) } }
        let target: SocketAddress
        switch SocketAddress.parse(address) {
        case .success(let parsed): target = parsed
        case .failure(let error): throw LoopError(code: EINVAL, operation: error.description)
        }
        let waits = try executor.makeWaits()
        let opened = waits.openSocket(target)
        guard opened >= 0 else { throw LoopError(code: -opened, operation: "making a socket for \(address)") }
        // Closed by this object, whatever comes.
        let socket = LoopSocket(executor, opened, address)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<sockaddr_storage>.size, alignment: MemoryLayout<sockaddr_storage>.alignment)
        defer { unsafe memory.deallocate() }
        let length = unsafe target.withSockaddr { unsafe memory.copyMemory(from: $0, byteCount: Int($1)); return $1 }
        let result = unsafe await waits.perform(timeoutNs: timeout.nanosecondsClamped) {
            unsafe ur_prep_connect($0, opened, memory.assumingMemoryBound(to: sockaddr.self), length)
        }
        guard result >= 0 else { throw try LoopError(result, "connecting to \(address)") }
        return socket
    }
}
