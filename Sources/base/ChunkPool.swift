// ChunkPool: fixed-size blocks of memory for one loop: carried-over input, queued output, the request arena's growth.
// Owned by a loop, reached through a pointer that the loop frees last; used on the loop's thread only, so nothing is atomic.

internal import CUringBase
#if canImport(Glibc)
internal import Glibc
#endif

/// Blocks of `ChunkPool.chunkBytes` bytes, taken and given back in last-in-first-out order so that the hottest block is reused first.
///
/// Memory comes from the system in slabs of `chunksPerSlab` blocks and is returned only when the pool is destroyed: a loop that
/// needed N blocks under load will need them again. Peer data decides how many blocks are out, so `take()` is bounded by
/// `chunksMax` and answers nil beyond it: the caller sheds the connection that asked.
@safe
package struct ChunkPool: ~Copyable {
    /// 16 KiB: the largest TLS record, a usual pipe or socket read, and four pages.
    package static let chunkBytes = 16 * 1024
    /// One slab is 1 MiB: rare enough to disappear in the figures, small enough not to matter when idle.
    package static let chunksPerSlab = 64

    @unsafe private struct FreeChunk {
        var next: UnsafeMutableRawPointer?
    }

    private var free: UnsafeMutableRawPointer?
    private var slabs: [UnsafeMutableRawPointer] = unsafe []
    private var freshBase: UnsafeMutableRawPointer?
    /// Pieces of `largeBytes` that were given back. malloc would return their pages to the system and fetch others, some microseconds for each piece of a large body.
    private var freeLarge: [UnsafeMutableRawPointer] = unsafe []
    /// 72 KiB: 64 KiB, as bodies and their pieces often are, with a head in front.
    package static let largeBytes = 72 * 1024
    /// 4.5 MiB: as much as is under way at once on a loop with a few dozen large bodies.
    private static let freeLargeMax = 64
    private var freshCount = 0

    /// Blocks that are out now, larger ones counted as the blocks they would fill.
    package private(set) var outstanding = 0
    /// The most blocks that were ever out at once.
    package private(set) var highWater = 0
    /// `take()` calls refused because `chunksMax` blocks were out.
    package private(set) var refused: UInt64 = 0
    package let chunksMax: Int

    /// - Parameter chunksMax: most blocks out at once; at least 1.
    package init(chunksMax: Int) {
        precondition(chunksMax > 0, "BUG: a chunk pool needs room for at least one chunk")
        self.chunksMax = chunksMax
    }

    deinit {
        for unsafe slab in unsafe slabs { unsafe slab.deallocate() }
        for unsafe memory in unsafe freeLarge { unsafe Glibc.free(memory) }
    }

    /// An uninitialised block of `chunkBytes` bytes, aligned to 64, or nil when `chunksMax` are out. It stays valid until `give`.
    package mutating func take() -> UnsafeMutableRawPointer? {
        guard outstanding < chunksMax else {
            refused &+= 1
            return nil
        }
        outstanding &+= 1
        if outstanding > highWater { highWater = outstanding }
        if let chunk = unsafe free {
            unsafe free = chunk.load(as: FreeChunk.self).next
            return unsafe chunk
        }
        if freshCount == 0 {
            // Alignment 64: a block begins on a cache line. The slab lives until deinit.
            let slab = UnsafeMutableRawPointer.allocate(byteCount: Self.chunkBytes * Self.chunksPerSlab, alignment: 64)
            unsafe slabs.append(slab)
            unsafe freshBase = slab
            freshCount = Self.chunksPerSlab
        }
        let chunk = unsafe freshBase!
        unsafe freshBase = chunk + Self.chunkBytes
        freshCount &-= 1
        return unsafe chunk
    }

    // MARK: larger pieces

    /// `byteCount` uninitialised bytes from malloc for what does not fit a block, or nil when malloc refuses or the pool's bound is met: what
    /// peers make a loop hold is bounded whatever the pieces are. Given back by `giveLarge` with the same count.
    package mutating func takeLarge(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        guard adoptLarge(byteCount) else { return nil }
        let isPooled = byteCount > Self.chunkBytes && byteCount <= Self.largeBytes
        if isPooled, let memory = unsafe freeLarge.popLast() { return unsafe memory }
        if let memory = unsafe malloc(isPooled ? Self.largeBytes : byteCount) { return unsafe memory }
        outstanding -= Self.chunks(byteCount)
        return nil
    }

    /// Counts memory from malloc that somebody else took, as `takeLarge` does; the caller gives it back by `giveLarge`. False: the bound is met,
    /// and the memory stays the caller's.
    package mutating func adoptLarge(_ byteCount: Int) -> Bool {
        let count = Self.chunks(byteCount)
        guard count <= chunksMax - outstanding else {
            refused &+= 1
            return false
        }
        outstanding += count
        if outstanding > highWater { highWater = outstanding }
        return true
    }

    package mutating func giveLarge(_ memory: UnsafeMutableRawPointer?, _ byteCount: Int) {
        let count = Self.chunks(byteCount)
        precondition(outstanding >= count, "BUG: more memory given back than taken")
        outstanding -= count
        // Memory that somebody else took is as large as he wanted it.
        if byteCount > Self.chunkBytes, byteCount <= Self.largeBytes, let memory = unsafe memory, unsafe freeLarge.count < Self.freeLargeMax,
            unsafe ur_usable_bytes(memory) >= Self.largeBytes
        {
            #if DEBUG
            unsafe memset(memory, 0xDB, Self.largeBytes)
            #endif
            unsafe freeLarge.append(memory)
            return
        }
        unsafe Glibc.free(memory)
    }

    private static func chunks(_ byteCount: Int) -> Int { byteCount / chunkBytes + 1 }

    /// Returns a block that `take` gave out. The caller must not touch it afterwards; in debug builds it is filled with a pattern
    /// so that a late reader sees nonsense at once.
    package mutating func give(_ chunk: UnsafeMutableRawPointer) {
        precondition(outstanding > 0, "BUG: more chunks given back than taken")
        #if DEBUG
        unsafe memset(chunk, 0xDB, Self.chunkBytes)
        #endif
        unsafe chunk.storeBytes(of: FreeChunk(next: free), as: FreeChunk.self)
        unsafe free = chunk
        outstanding &-= 1
    }
}
