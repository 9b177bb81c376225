// OutputQueue: output of one connection that could not leave with its batch. Segments own what they point to until it is sent.
// The loop's thread only.

internal import Glibc
internal import UringBase

/// A file that responses send parts of; closed when the last segment is gone.
final class OpenFile {
    let fd: Int32
    let kernelClose: (Int32) -> Void
    init(fd: Int32, close: @escaping (Int32) -> Void) {
        self.fd = fd
        kernelClose = close
    }
    deinit { kernelClose(fd) }
}

/// Text, or a run of a file's bytes.
package enum FilePiece: Sendable {
    case text([UInt8])
    case range(offset: UInt64, count: UInt64)
}

/// What a response sends of a file: text pieces (part heads of multipart/byteranges) and ranges, in order.
final class FileContent {
    let file: OpenFile
    let pieces: [FilePiece]
    let length: UInt64
    init(file: OpenFile, pieces: [FilePiece]) {
        self.file = file
        self.pieces = pieces
        length = pieces.reduce(0) { sum, piece in
            switch piece {
            case .text(let bytes): sum + UInt64(bytes.count)
            case .range(_, let count): sum + count
            }
        }
    }
}

/// One run of output. `owner` says what is released when it is sent.
@unsafe
struct OutputSegment {
    enum Owner: UInt8 {
        /// The loop's batch arena: nothing to release, but only valid until the batch is settled.
        case batch
        /// A chunk of the loop's pool.
        case chunk
        /// malloc, counted by the loop's pool.
        case block
        /// A retained SharedBytes.
        case shared
        /// A retained OpenFile; `base` is nil.
        case file
    }
    var next: UnsafeMutablePointer<OutputSegment>?
    var owner: Owner
    /// First unsent byte.
    var base: UnsafePointer<UInt8>?
    var count: UInt64
    /// Room behind the last byte, for `chunk` and `block` while they are written.
    var room = 0
    /// What `base` points into; for `file` where a read under way puts the file's next bytes, nil without one.
    var memory: UnsafeMutableRawPointer?
    /// Size of `memory`, for `block` and `file`.
    var memoryBytes = 0
    var object: Unmanaged<AnyObject>?
    var fileOffset: UInt64 = 0
}

@unsafe
struct OutputQueue {
    private(set) var first: UnsafeMutablePointer<OutputSegment>?
    private var last: UnsafeMutablePointer<OutputSegment>?

    var isEmpty: Bool { unsafe first == nil }
    var tail: UnsafeMutablePointer<OutputSegment>? { unsafe last }

    mutating func append(_ segment: OutputSegment) {
        let node = UnsafeMutablePointer<OutputSegment>.allocate(capacity: 1)
        unsafe node.initialize(to: segment)
        unsafe node.pointee.next = nil
        if let last = unsafe last { unsafe last.pointee.next = node } else { unsafe first = node }
        unsafe last = node
    }

    mutating func prepend(_ segment: OutputSegment) {
        let node = UnsafeMutablePointer<OutputSegment>.allocate(capacity: 1)
        unsafe node.initialize(to: segment)
        unsafe node.pointee.next = first
        if unsafe last == nil { unsafe last = node }
        unsafe first = node
    }

    /// Drops the first `count` bytes, releasing segments that are used up; answers what is left of `count`. A segment without bytes (room
    /// that was made for a read that came to nothing) is never left at the front, where it would be sent again and again.
    mutating func advance(_ count: UInt64, pool: UnsafeMutablePointer<ChunkPool>) -> UInt64 {
        var left = count
        while let segment = unsafe first, unsafe left > 0 || segment.pointee.count == 0 {
            let step = unsafe min(left, segment.pointee.count)
            unsafe segment.pointee.count -= step
            if unsafe segment.pointee.owner == .file {
                unsafe segment.pointee.fileOffset += step
            } else {
                unsafe segment.pointee.base! += Int(step)
            }
            left -= step
            if unsafe segment.pointee.count == 0 { unsafe removeFirst(pool: pool) }
        }
        // Memory that was reserved for a small file and not filled may come next: sending its 0 bytes would never end.
        unsafe dropLeadingEmpty(pool: pool)
        return left
    }

    mutating func removeFirst(pool: UnsafeMutablePointer<ChunkPool>) {
        guard let segment = unsafe first else { return }
        unsafe first = segment.pointee.next
        if unsafe first == nil { unsafe last = nil }
        switch unsafe segment.pointee.owner {
        case .batch: break
        case .chunk: unsafe pool.pointee.give(segment.pointee.memory!)
        case .block: unsafe pool.pointee.giveLarge(segment.pointee.memory, segment.pointee.memoryBytes)
        case .shared: unsafe segment.pointee.object?.release()
        case .file:
            if let memory = unsafe segment.pointee.memory { unsafe pool.pointee.giveLarge(memory, segment.pointee.memoryBytes) }
            unsafe segment.pointee.object?.release()
        }
        unsafe segment.deallocate()
    }

    /// A segment that was made and not written: never left at the front, where it would be sent.
    mutating func dropLeadingEmpty(pool: UnsafeMutablePointer<ChunkPool>) {
        while let segment = unsafe first, unsafe segment.pointee.count == 0 { unsafe removeFirst(pool: pool) }
    }

    mutating func removeAll(pool: UnsafeMutablePointer<ChunkPool>) {
        while unsafe first != nil { unsafe removeFirst(pool: pool) }
    }
}

/// Output of all connections since the last enter, in one hot run of memory that is emptied when the batch's sends are settled.
@unsafe
struct BatchArena {
    /// Room for the responses of one reap: 64 completions of 16 pipelined requests with 200-byte answers take 200 KiB.
    static let bytes = 512 * 1024

    let base: UnsafeMutablePointer<UInt8>
    private(set) var used = 0
    private(set) var highWater = 0

    init() {
        let memory = unsafe UnsafeMutableRawPointer.allocate(byteCount: Self.bytes, alignment: 4096)
        unsafe base = memory.bindMemory(to: UInt8.self, capacity: Self.bytes)
    }

    var cursor: UnsafeMutablePointer<UInt8> { unsafe base + used }
    var space: Int { unsafe Self.bytes &- used }

    @inline(__always)
    mutating func commit(_ count: Int) { unsafe used &+= count }

    mutating func align() { unsafe used = (used &+ 15) & ~15 }

    mutating func reset() {
        if unsafe used > highWater { unsafe highWater = used }
        unsafe used = 0
    }

    func destroy() { unsafe base.deallocate() }
}
