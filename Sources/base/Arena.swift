// Arena: bump allocation for one request at a time. Owned by a loop (or by an exchange that outlives one batch), used on the
// loop's thread only. Everything it hands out dies together at reset().

#if canImport(Glibc)
internal import Glibc
#endif

/// A bump allocator over blocks of a `ChunkPool`, reset in one step when the response has been serialised.
///
/// The first block belongs to the arena for its life, so the steady state takes nothing from the pool and calls no malloc.
/// Allocations larger than a block come from malloc and are freed at reset; they are counted (`oversized`).
///
/// Debug builds put a red zone behind every allocation and check all of them at reset, as varnish's workspaces do: a write
/// past the end of an allocation traps at the end of the request that made it.
@safe
package struct Arena: ~Copyable {
    package static let alignment = 16
    private static let redZone: UInt64 = 0xFEED_FACE_DEAD_BEEF

    /// Lies at the start of every block but the first, and of every oversized allocation.
    @unsafe private struct Link {
        var next: UnsafeMutableRawPointer?
    }
    private static let linkBytes = 16

    private var cursor: UnsafeMutableRawPointer
    private var limit: UnsafeMutableRawPointer
    private let first: UnsafeMutableRawPointer
    private let pool: UnsafeMutablePointer<ChunkPool>
    private var extraChunks: UnsafeMutableRawPointer?
    private var oversizedBlocks: UnsafeMutableRawPointer?
    private var usedInFullChunks = 0
    #if DEBUG
    /// Address of each red zone of the current request.
    private var redZones: [UnsafeMutableRawPointer] = unsafe []
    #endif

    /// The most bytes one request took, over the arena's life.
    package private(set) var highWater = 0
    /// Allocations larger than a block, over the arena's life.
    package private(set) var oversized: UInt64 = 0
    package private(set) var resets: UInt64 = 0

    /// nil when the pool has no block left.
    /// - Parameter pool: must outlive the arena: the loop destroys its arenas before its pool.
    package init?(pool: UnsafeMutablePointer<ChunkPool>) {
        guard let chunk = unsafe pool.pointee.take() else { return nil }
        unsafe self.pool = pool
        unsafe first = chunk
        unsafe cursor = chunk
        unsafe limit = chunk + ChunkPool.chunkBytes
    }

    deinit {
        unsafe Arena.release(extraChunks, oversizedBlocks, pool)
        unsafe pool.pointee.give(first)
    }

    /// Bytes taken since the last reset.
    package var used: Int { unsafe usedInFullChunks &+ (ChunkPool.chunkBytes &- (limit - cursor)) }

    /// `byteCount` uninitialised bytes aligned to 16, valid until `reset()`; nil when the pool is exhausted or malloc refuses.
    package mutating func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        precondition(byteCount >= 0, "BUG: negative allocation")
        #if DEBUG
        let needed = (byteCount &+ 15) & ~15 &+ 16
        #else
        let needed = (byteCount &+ 15) & ~15
        #endif
        if unsafe limit - cursor >= needed {
            let result = unsafe cursor
            unsafe cursor = result + needed
            unsafe mark(result, needed)
            return unsafe result
        }
        return unsafe allocateSlow(needed)
    }

    @inline(never)
    private mutating func allocateSlow(_ needed: Int) -> UnsafeMutableRawPointer? {
        if needed > ChunkPool.chunkBytes &- Self.linkBytes {
            guard let block = unsafe malloc(needed &+ Self.linkBytes) else { return nil }
            unsafe block.storeBytes(of: Link(next: oversizedBlocks), as: Link.self)
            unsafe oversizedBlocks = block
            oversized &+= 1
            usedInFullChunks &+= needed
            unsafe mark(block + Self.linkBytes, needed)
            return unsafe block + Self.linkBytes
        }
        guard let chunk = unsafe pool.pointee.take() else { return nil }
        unsafe chunk.storeBytes(of: Link(next: extraChunks), as: Link.self)
        unsafe extraChunks = chunk
        usedInFullChunks &+= ChunkPool.chunkBytes
        unsafe cursor = chunk + Self.linkBytes
        unsafe limit = chunk + ChunkPool.chunkBytes
        let result = unsafe cursor
        unsafe cursor = result + needed
        unsafe mark(result, needed)
        return unsafe result
    }

    /// Everything allocated since the last reset becomes invalid. Keeps the first block.
    package mutating func reset() {
        #if DEBUG
        checkRedZones()
        unsafe redZones.removeAll(keepingCapacity: true)
        #endif
        let usedNow = used
        if usedNow > highWater { highWater = usedNow }
        resets &+= 1
        if unsafe extraChunks != nil || oversizedBlocks != nil {
            unsafe Arena.release(extraChunks, oversizedBlocks, pool)
            unsafe extraChunks = nil
            unsafe oversizedBlocks = nil
            usedInFullChunks = 0
            unsafe limit = first + ChunkPool.chunkBytes
        }
        #if DEBUG
        unsafe memset(first, 0xA5, ChunkPool.chunkBytes)
        #endif
        unsafe cursor = first
    }

    private static func release(
        _ chunks: UnsafeMutableRawPointer?, _ blocks: UnsafeMutableRawPointer?, _ pool: UnsafeMutablePointer<ChunkPool>
    ) {
        var next = unsafe chunks
        while let chunk = unsafe next {
            unsafe next = chunk.load(as: Link.self).next
            unsafe pool.pointee.give(chunk)
        }
        unsafe next = unsafe blocks
        while let block = unsafe next {
            unsafe next = block.load(as: Link.self).next
            unsafe free(block)
        }
    }

    @inline(__always)
    private mutating func mark(_ start: UnsafeMutableRawPointer, _ needed: Int) {
        #if DEBUG
        let zone = unsafe start + (needed &- 16)
        unsafe zone.storeBytes(of: Self.redZone, as: UInt64.self)
        unsafe redZones.append(zone)
        #endif
    }

    /// Debug builds: traps when an allocation of the current request was written past its end. Release builds: nothing.
    package func checkRedZones() {
        #if DEBUG
        for unsafe zone in unsafe redZones {
            precondition(
                unsafe zone.load(as: UInt64.self) == Self.redZone, "BUG: a write past the end of an arena allocation")
        }
        #endif
    }
}
