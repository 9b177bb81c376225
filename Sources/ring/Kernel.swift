// Kernel: the seam. Every operation that reaches the outside world passes through an object of this class: queued operations through
// the submission ring's memory, immediate ones through its methods. UringKernel stands on Linux; SimulatedKernel (UringSimulation)
// consumes the same submission entries and produces the same completions from seeded faults and its own clock.
//
// Why the ring's memory layout is the seam and not a generic parameter: docs/ARCHITECTURE.md, "The kernel seam".

package import CUring
internal import Glibc

/// What the running kernel can do, as probed at start.
package struct KernelFeatures: Sendable, Equatable {
    /// IORING_SETUP_SINGLE_ISSUER + DEFER_TASKRUN (Linux 6.1): completions are worked off in our own enter.
    package var deferTaskrun = false
    /// IORING_SETUP_NO_SQARRAY (Linux 6.6).
    package var noSubmissionArray = false
    /// Multishot receive (Linux 6.0); single-shot otherwise.
    package var multishotReceive = false
    /// Provided-buffer rings (Linux 5.19): the floor.
    package var bufferRings = false
    /// IORING_OP_MSG_RING (Linux 5.18).
    package var messages = false

    package init() {}

    /// For the start-up log.
    package var description: String {
        let parts = [
            deferTaskrun ? "single-issuer+defer-taskrun" : "cooperative task work",
            noSubmissionArray ? "no-sqarray" : nil,
            multishotReceive ? "multishot receive" : "single-shot receive",
            "buffer rings",
        ]
        return parts.compactMap(\.self).joined(separator: ", ")
    }
}

/// What fstat(2) says of an open file, reduced to what serving it needs.
@frozen
package struct FileStatus: Sendable, Equatable {
    package var size: UInt64
    package var modifiedSeconds: Int64
    package var modifiedNanoseconds: UInt32
    package var inode: UInt64
    package var isRegular: Bool
    package var isDirectory: Bool

    package init(size: UInt64, modifiedSeconds: Int64, modifiedNanoseconds: UInt32, inode: UInt64, isRegular: Bool, isDirectory: Bool) {
        (self.size, self.modifiedSeconds, self.modifiedNanoseconds) = (size, modifiedSeconds, modifiedNanoseconds)
        (self.inode, self.isRegular, self.isDirectory) = (inode, isRegular, isDirectory)
    }
}

/// The loop's contract with the outside world, in three verbs (reap, submit, wait) plus the immediate calls.
///
/// - **submit**: `ur_get_sqe(ring)` and the `ur_prep_…` shims fill an entry; never blocks; nil means the queue is full.
/// - **reap**: `ur_cq_ready` / `ur_cq_at` / `ur_cq_advance`; never blocks.
/// - **wait**: `enter`, the only method that may block.
///
/// One object belongs to one loop and is used on that loop's thread from creation to destruction (`DEFER_TASKRUN` demands it).
/// Immediate calls return their result or a negative errno and never block, `close` of a socket included.
@safe
package class Kernel {
    /// The rings' memory. Valid as long as this object.
    package let ring: UnsafeMutablePointer<ur_ring>
    package let features: KernelFeatures

    package init(ring: UnsafeMutablePointer<ur_ring>, features: KernelFeatures) {
        unsafe self.ring = unsafe ring
        self.features = features
    }

    // MARK: wait

    /// Hands every queued entry to the kernel, then waits until `minimum` completions are there or the timeout passes.
    /// - Parameter timeoutNs: nanoseconds; negative waits without limit. Ignored when `minimum` is 0: the call does not block then.
    /// - Returns: entries consumed, or a negative errno; -ETIME, -EINTR, -EBUSY and -EAGAIN are ordinary.
    package func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 { fatalError("BUG: abstract kernel") }

    // MARK: clocks

    /// Monotonic nanoseconds, from an arbitrary start. Never 0.
    package func now() -> UInt64 { fatalError("BUG: abstract kernel") }
    /// Seconds since 1970, UTC.
    package func unixTime() -> Int64 { fatalError("BUG: abstract kernel") }

    /// A counter of constant rate for durations of a few nanoseconds up.
    package func ticks() -> UInt64 { fatalError("BUG: abstract kernel") }
    /// CPU time of the calling thread, user and system, in nanoseconds. Some tenths of a microsecond. A kernel whose threads have no such clock answers its time.
    package func threadTime() -> UInt64 { now() }
    package var ticksPerSecond: UInt64 { fatalError("BUG: abstract kernel") }
    package final func nanoseconds(ticks: UInt64) -> UInt64 {
        let product = ticks.multipliedFullWidth(by: 1_000_000_000)
        return product.high >= ticksPerSecond ? .max : ticksPerSecond.dividingFullWidth(product).quotient
    }

    package final func ticks(nanoseconds: UInt64) -> UInt64 {
        let product = nanoseconds.multipliedFullWidth(by: ticksPerSecond)
        return product.high >= 1_000_000_000 ? .max : UInt64(1_000_000_000).dividingFullWidth(product).quotient
    }

    // MARK: sockets

    /// A listening socket with SO_REUSEADDR and SO_REUSEPORT (inet), TCP_NODELAY (inherited by what it accepts).
    /// - Parameters:
    ///   - backlog: most connections waiting to be accepted; the kernel caps it at net.core.somaxconn.
    ///   - deferAcceptSeconds: TCP_DEFER_ACCEPT; 0 = off.
    package func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        fatalError("BUG: abstract kernel")
    }
    /// A stream socket to connect, with TCP_NODELAY where it has that, or a negative errno.
    package func socket(_ family: SocketAddress.Family) -> Int32 { fatalError("BUG: abstract kernel") }
    /// The address a listening socket is bound to: the port is known only now when 0 was asked for.
    package func localAddress(_ fd: Int32) -> SocketAddress? { fatalError("BUG: abstract kernel") }
    package func peerAddress(_ fd: Int32) -> SocketAddress? { fatalError("BUG: abstract kernel") }
    /// accept(2) of a connection that waits in the backlog; -EAGAIN when there is none. For a listener that no operation is armed on any more.
    package func acceptWaiting(_ fd: Int32) -> Int32 { fatalError("BUG: abstract kernel") }
    /// send(2) with MSG_DONTWAIT | MSG_NOSIGNAL, plus MSG_MORE when more follows at once.
    package func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int { fatalError("BUG: abstract kernel") }
    /// sendfile(2): bytes of `file` from `offset`, straight from the page cache.
    package func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int { fatalError("BUG: abstract kernel") }
    /// Bytes that were sent and that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)); 0 where nobody can tell.
    package func unacknowledgedBytes(_ fd: Int32) -> Int { fatalError("BUG: abstract kernel") }
    /// The smoothed round-trip time of a TCP connection in microseconds (tcp(7), TCP_INFO); nil for other sockets, and before anything was measured.
    package func roundTripUs(_ fd: Int32) -> UInt32? { nil }
    /// shutdown(2) of the writing side: the peer reads to the end and sees a FIN.
    package func shutdownWrite(_ fd: Int32) { fatalError("BUG: abstract kernel") }
    /// Makes the coming close send RST and discard what is unsent (SO_LINGER 0): for peers that have forfeited the rest.
    package func resetOnClose(_ fd: Int32) { fatalError("BUG: abstract kernel") }
    package func close(_ fd: Int32) { fatalError("BUG: abstract kernel") }

    // MARK: files

    /// openat2(2) beneath `directory`, read-only, never out of it (RESOLVE_BENEATH, no magic links; symlinks stay inside).
    /// - Parameter cachedOnly: answer -EAGAIN instead of waiting for a disk; the caller then queues the ring's open operation.
    /// - Parameter resolve: `openResolve`, with RESOLVE_NO_SYMLINKS where symlinks are not followed.
    package func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        fatalError("BUG: abstract kernel")
    }
    package final func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool) -> Int32 {
        unsafe openFile(directory: directory, path: path, cachedOnly: cachedOnly, resolve: Self.openResolve)
    }
    /// The flags and resolve mode that `openFile` uses, for the ring operation.
    package static let openFlags = UInt64(UInt32(bitPattern: O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY))
    package static let openResolve = UInt64(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    package static let openResolveWithoutSymlinks = openResolve | UInt64(RESOLVE_NO_SYMLINKS)
    package func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError> { fatalError("BUG: abstract kernel") }
    /// Reads what the page cache holds; -EAGAIN when a disk would have to be waited for.
    package func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int { fatalError("BUG: abstract kernel") }

    /// Whether the page cache seems to hold these bytes of a file, so that sendfile(2), which has no flag that forbids waiting, will not wait for a
    /// disk. One byte is tried at the end of the range and every `cacheProbeStride` before it: the kernel reads ahead in longer runs than that.
    /// A file system that cannot tell (EOPNOTSUPP) is taken at its word: there is nothing better to ask.
    package final func isCached(_ fd: Int32, offset: UInt64, count: Int) -> Bool {
        var probe: UInt8 = 0
        var behind = count
        while behind > 0 {
            let result = unsafe readCached(fd, into: &probe, count: 1, offset: offset &+ UInt64(behind &- 1))
            // 0: the file has become shorter, which whoever sends it finds out.
            if result < 0, result != -Int(EOPNOTSUPP) { return false }
            behind -= Self.cacheProbeStride
        }
        return true
    }
    private static let cacheProbeStride = 256 * 1024

    // MARK: set-up

    /// Registers the ring of provided buffers. 0 or a negative errno.
    package func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        fatalError("BUG: abstract kernel")
    }
    /// Takes over the receive buffers' memory; released after the rings that lend it.
    package final func retire(_ buffers: UnsafeMutablePointer<BufferRing>) { unsafe retiredBuffers = buffers }
    package final func releaseRetired() {
        guard let buffers = unsafe retiredBuffers else { return }
        unsafe retiredBuffers = nil
        unsafe buffers.deinitialize(count: 1)
        unsafe buffers.deallocate()
    }
    private var retiredBuffers: UnsafeMutablePointer<BufferRing>?

    /// What other loops address their messages to.
    package var messageTarget: Int32 { fatalError("BUG: abstract kernel") }
}
