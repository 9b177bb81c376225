// BufferRing: the receive buffers of one loop, lent to the kernel through a provided-buffer ring (Linux 5.19). The kernel picks a buffer
// only when data is there, so an idle connection holds none. Used on the loop's thread only.

internal import CUring
internal import Glibc

/// A buffer is the kernel's from `publish()` until the completion that names it, and ours from then until `recycle`.
///
/// The loop copies what a request leaves unconsumed before it recycles, so every buffer is back in the ring when a batch of
/// completions has been worked off; `outstanding` is therefore 0 between batches, which the simulation asserts.
@safe
package struct BufferRing: ~Copyable {
    package static let group: Int32 = 0

    package let count: UInt32
    package let bytesEach: Int
    private let ring: UnsafeMutablePointer<ur_buf_ring>
    private let memory: UnsafeMutableRawPointer
    private var unpublished: Int32 = 0
    /// Buffers that completions have named and that are not recycled yet.
    package private(set) var outstanding = 0

    /// - Parameters:
    ///   - count: a power of two up to 32768. More than one reap can fill, so that -ENOBUFS is the exception.
    ///   - bytesEach: size of one buffer; 4096 or more.
    /// - Throws: `SystemError` when memory is refused or the kernel lacks buffer rings.
    package static func make(kernel: Kernel, count: UInt32, bytesEach: Int) throws(SystemError) -> BufferRing {
        precondition(count > 0 && count <= 32768 && count & (count - 1) == 0, "BUG: buffer count must be a power of two up to 32768")
        let ringBytes = Int(count) * 16
        let memoryBytes = Int(count) * bytesEach
        guard let ringMemory = unsafe map(ringBytes), let memory = unsafe map(memoryBytes) else {
            throw SystemError("mmap of \(memoryBytes) bytes of receive buffers", code: ENOMEM)
        }
        // Fewer TLB misses: the ring walks through all buffers in turn. Advice only; refusing it costs nothing but speed.
        _ = unsafe madvise(memory, memoryBytes, MADV_HUGEPAGE)
        let ring = unsafe ringMemory.bindMemory(to: ur_buf_ring.self, capacity: 1)
        unsafe ur_buf_ring_init(ring)
        let code = unsafe kernel.registerBufferRing(ring, entries: count, group: group)
        guard code == 0 else {
            unsafe munmap(ringMemory, ringBytes)
            unsafe munmap(memory, memoryBytes)
            throw SystemError(
                "registering \(count) provided buffers", code: -code,
                remedy: code == -EINVAL ? "provided-buffer rings need Linux 5.19" : UringKernel.remedy(for: -code))
        }
        for id in 0..<UInt16(truncatingIfNeeded: count) {
            unsafe ur_buf_ring_add(ring, memory + Int(id) * bytesEach, UInt32(bytesEach), id, count - 1, Int32(id))
        }
        unsafe ur_buf_ring_advance(ring, Int32(count))
        return unsafe BufferRing(count: count, bytesEach: bytesEach, ring: ring, memory: memory)
    }

    private init(count: UInt32, bytesEach: Int, ring: UnsafeMutablePointer<ur_buf_ring>, memory: UnsafeMutableRawPointer) {
        unsafe (self.count, self.bytesEach, self.ring, self.memory) = unsafe (count, bytesEach, ring, memory)
    }

    /// The kernel must be gone, or its ring unregistered, before this: the loop destroys its kernel first.
    deinit {
        unsafe munmap(ring, Int(count) * 16)
        unsafe munmap(memory, Int(count) * bytesEach)
    }

    private static func map(_ bytes: Int) -> UnsafeMutableRawPointer? {
        let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return unsafe address == MAP_FAILED ? nil : address
    }

    /// The bytes of a buffer that a completion named. Valid until `recycle(id)`.
    package mutating func take(_ id: UInt16) -> UnsafeMutableRawPointer {
        precondition(UInt32(id) < count, "BUG: the kernel named a buffer that does not exist")
        outstanding &+= 1
        return unsafe memory + Int(id) &* bytesEach
    }

    /// Gives a buffer back; the kernel sees it at the next `publish()`.
    package mutating func recycle(_ id: UInt16) {
        precondition(outstanding > 0, "BUG: more buffers recycled than taken")
        unsafe ur_buf_ring_add(ring, memory + Int(id) &* bytesEach, UInt32(truncatingIfNeeded: bytesEach), id, count &- 1, unpublished)
        unpublished &+= 1
        outstanding &-= 1
    }

    /// Makes recycled buffers visible to the kernel: once per batch.
    package mutating func publish() {
        guard unpublished > 0 else { return }
        unsafe ur_buf_ring_advance(ring, unpublished)
        unpublished = 0
    }
}
