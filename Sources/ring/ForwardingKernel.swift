// ForwardingKernel: lets a module above this one stand in for Linux. Swift forbids subclassing a package class from another module
// and Kernel stays a class because the loop reads `ring` from it on every turn, so the stand-in implements a protocol instead.

package import CUring

/// The calls of `Kernel`, for an implementation outside this module. Each has the meaning that `Kernel` documents.
package protocol KernelCalls: AnyObject {
    func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32
    func now() -> UInt64
    func unixTime() -> Int64
    func ticks() -> UInt64
    var ticksPerSecond: UInt64 { get }
    func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError>
    func socket(_ family: SocketAddress.Family) -> Int32
    func localAddress(_ fd: Int32) -> SocketAddress?
    func peerAddress(_ fd: Int32) -> SocketAddress?
    func acceptWaiting(_ fd: Int32) -> Int32
    func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int
    func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int
    func unacknowledgedBytes(_ fd: Int32) -> Int
    func shutdownWrite(_ fd: Int32)
    func resetOnClose(_ fd: Int32)
    func close(_ fd: Int32)
    func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32
    func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError>
    func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int
    func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32
    var messageTarget: Int32 { get }
    /// The loop has let go of its kernel: the ring is gone with everything armed on it, and no memory lent to it may be touched again.
    func destroy()
}

/// A kernel whose every call goes to `calls`. The ring's memory is owned by `calls`, which this object keeps alive.
package final class ForwardingKernel: Kernel {
    private let calls: any KernelCalls

    package init(ring: UnsafeMutablePointer<ur_ring>, features: KernelFeatures, calls: any KernelCalls) {
        self.calls = calls
        unsafe super.init(ring: ring, features: features)
    }

    deinit {
        calls.destroy()
        releaseRetired()
    }

    package override func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 { calls.enter(waitFor: minimum, timeoutNs: timeoutNs) }
    package override func now() -> UInt64 { calls.now() }
    package override func unixTime() -> Int64 { calls.unixTime() }
    package override func ticks() -> UInt64 { calls.ticks() }
    package override var ticksPerSecond: UInt64 { calls.ticksPerSecond }
    package override func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        calls.listen(address, backlog: backlog, deferAcceptSeconds: deferAcceptSeconds)
    }
    package override func socket(_ family: SocketAddress.Family) -> Int32 { calls.socket(family) }
    package override func localAddress(_ fd: Int32) -> SocketAddress? { calls.localAddress(fd) }
    package override func peerAddress(_ fd: Int32) -> SocketAddress? { calls.peerAddress(fd) }
    package override func acceptWaiting(_ fd: Int32) -> Int32 { calls.acceptWaiting(fd) }
    package override func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int {
        unsafe calls.send(fd, bytes, count, more: more)
    }
    package override func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int {
        calls.sendFile(fd, file: file, offset: offset, count: count)
    }
    package override func unacknowledgedBytes(_ fd: Int32) -> Int { calls.unacknowledgedBytes(fd) }
    package override func shutdownWrite(_ fd: Int32) { calls.shutdownWrite(fd) }
    package override func resetOnClose(_ fd: Int32) { calls.resetOnClose(fd) }
    package override func close(_ fd: Int32) { calls.close(fd) }
    package override func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        unsafe calls.openFile(directory: directory, path: path, cachedOnly: cachedOnly, resolve: resolve)
    }
    package override func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError> { calls.fileStatus(fd) }
    package override func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int {
        unsafe calls.readCached(fd, into: into, count: count, offset: offset)
    }
    package override func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        unsafe calls.registerBufferRing(memory, entries: entries, group: group)
    }
    package override var messageTarget: Int32 { calls.messageTarget }
}
