// ChunkPool: reuse, bounds, figures.

import Testing
import UringBase

@Suite struct ChunkPoolTests {
    @Test func theLastGivenIsTheFirstTaken() {
        var pool = ChunkPool(chunksMax: 10)
        let first = unsafe pool.take()!
        let second = unsafe pool.take()!
        #expect(unsafe first != second)
        unsafe pool.give(first)
        unsafe pool.give(second)
        #expect(unsafe pool.take() == second)
        #expect(unsafe pool.take() == first)
        #expect(pool.outstanding == 2)
        #expect(pool.highWater == 2)
        unsafe pool.give(first)
        unsafe pool.give(second)
    }

    @Test func theLimitIsMet() {
        // Across the border of a slab.
        let max = ChunkPool.chunksPerSlab + 3
        var pool = ChunkPool(chunksMax: max)
        var taken: [UnsafeMutableRawPointer] = unsafe []
        for n in 0..<max {
            let chunk = unsafe pool.take()!
            #expect(unsafe UInt(bitPattern: chunk) % 64 == 0)
            unsafe chunk.initializeMemory(as: UInt8.self, repeating: UInt8(n % 251), count: ChunkPool.chunkBytes)
            unsafe taken.append(chunk)
        }
        #expect(unsafe pool.take() == nil)
        #expect(pool.refused == 1)
        for n in 0..<max {
            // Nobody wrote into a neighbour.
            #expect(unsafe taken[n].load(as: UInt8.self) == UInt8(n % 251))
            #expect(unsafe taken[n].load(fromByteOffset: ChunkPool.chunkBytes - 1, as: UInt8.self) == UInt8(n % 251))
        }
        for unsafe chunk in unsafe taken { unsafe pool.give(chunk) }
        #expect(pool.outstanding == 0)
        #expect(pool.highWater == max)
        #expect(unsafe pool.take() != nil)
    }

    @Test func moreGivenThanTakenTraps() async {
        await #expect(processExitsWith: .failure) {
            var pool = ChunkPool(chunksMax: 2)
            let chunk = unsafe pool.take()!
            unsafe pool.give(chunk)
            unsafe pool.give(chunk)
        }
    }

    #if DEBUG
    @Test func aGivenChunkIsNonsense() {
        var pool = ChunkPool(chunksMax: 2)
        let chunk = unsafe pool.take()!
        unsafe chunk.storeBytes(of: 1, toByteOffset: 104, as: UInt64.self)
        unsafe pool.give(chunk)
        #expect(unsafe chunk.load(fromByteOffset: 104, as: UInt64.self) == 0xDBDB_DBDB_DBDB_DBDB)
    }
    #endif
}
