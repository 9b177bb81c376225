// EpollState: what an EpollKernel remembers between two enters. Behind a pointer, because class properties cost exclusivity checks.
//
// Pointers: all are this state's own, allocated by `init` or as it grows, and freed by `destroy`.

internal import CUring
internal import Glibc

@unsafe
struct EpollState: ~Copyable {
    var operations: ChunkedTable<EpollOperation>
    /// The first free slot of `operations`; -1: none.
    var free: Int32 = -1
    var kept = 0
    var descriptors: ChunkedTable<EpollDescriptor>
    /// First operation of each bucket of user data, for cancelling: a power of two.
    var buckets: UnsafeMutablePointer<Int32>
    var bucketCount = 256
    /// Rings of provided buffers.
    var groups: UnsafeMutablePointer<EpollBufferGroup>
    var groupCount = 0
    /// More than the one of a loop, for tests.
    static var groupsMax: Int { 8 }

    /// Operations that have more to do and let the others go first.
    var yielding: [Int32] = []
    /// Operations to be tried again after a while.
    var retrying: [Int32] = []
    /// Operations to be told that they were cancelled.
    var cancelled: [Int32] = []
    /// Completions that found the queue full, oldest first.
    var overflow: [ur_cqe] = []
    /// One of these four is not empty.
    var hasBacklog = false
    /// Operations of a descriptor that has told something to several of them; one array, used again.
    var woken: [Int32] = []

    init() {
        unsafe operations = unsafe ChunkedTable(repeating: EpollOperation())
        unsafe descriptors = ChunkedTable(repeating: EpollDescriptor())
        unsafe buckets = .allocate(capacity: bucketCount)
        unsafe buckets.initialize(repeating: -1, count: bucketCount)
        unsafe groups = .allocate(capacity: Self.groupsMax)
    }

    mutating func noteBacklog() {
        unsafe hasBacklog = unsafe !yielding.isEmpty || !retrying.isEmpty || !cancelled.isEmpty || !overflow.isEmpty
    }

    mutating func destroy() {
        for index in unsafe 0..<operations.count { unsafe Glibc.free(operations.pointer(index).pointee.parts) }
        for number in unsafe 0..<descriptors.count where unsafe descriptors.pointer(number).pointee.closesWhenIdle {
            SystemKernel.closeNow(Int32(truncatingIfNeeded: number))
        }
        unsafe buckets.deallocate()
        unsafe groups.deallocate()
    }
}

/// The kernel's side of a ring of provided buffers.
@unsafe
struct EpollBufferGroup: BitwiseCopyable {
    let group: Int32
    /// The program's memory, valid until it destroys its kernel.
    let ring: UnsafeMutablePointer<ur_buf_ring>
    let mask: UInt16
    var head: UInt16 = 0
}
