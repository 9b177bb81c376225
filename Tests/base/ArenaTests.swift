// Arena: what it hands out, what it gives back, and that a write past the end of an allocation is found.

import Testing
import UringBase

/// A pool at a fixed address, as a loop keeps it.
private func withPool<R>(chunksMax: Int, _ body: (UnsafeMutablePointer<ChunkPool>) throws -> R) rethrows -> R {
    let pool = UnsafeMutablePointer<ChunkPool>.allocate(capacity: 1)
    unsafe pool.initialize(to: ChunkPool(chunksMax: chunksMax))
    defer {
        unsafe pool.deinitialize(count: 1)
        unsafe pool.deallocate()
    }
    return try unsafe body(pool)
}

@Suite struct ArenaTests {
    @Test func allocationsAreAlignedAndApart() {
        unsafe withPool(chunksMax: 4) { pool in
            var arena = unsafe Arena(pool: pool)!
            var ends: [(UInt, UInt)] = []
            for size in [0, 1, 15, 16, 17, 100, 1000] {
                let memory = unsafe arena.allocate(size)!
                let address = UInt(bitPattern: memory)
                #expect(address % 16 == 0)
                unsafe memory.initializeMemory(as: UInt8.self, repeating: 1, count: size)
                for (start, end) in ends { #expect(address >= end || address + UInt(size) <= start) }
                ends.append((address, address + UInt(size)))
            }
            arena.checkRedZones()
        }
    }

    @Test func resetKeepsTheFirstBlockAndReturnsTheOthers() {
        unsafe withPool(chunksMax: 8) { pool in
            var arena = unsafe Arena(pool: pool)!
            #expect(unsafe pool.pointee.outstanding == 1)
            let first = unsafe arena.allocate(100)
            for _ in 0..<4 { _ = unsafe arena.allocate(10_000) }
            #expect(unsafe pool.pointee.outstanding > 1)
            #expect(arena.used >= 40_000)
            arena.reset()
            #expect(unsafe pool.pointee.outstanding == 1)
            #expect(arena.used == 0)
            #expect(arena.highWater >= 40_000)
            #expect(arena.resets == 1)
            #expect(unsafe arena.allocate(100) == first)
        }
    }

    @Test func largeAllocationsComeFromElsewhere() {
        unsafe withPool(chunksMax: 1) { pool in
            var arena = unsafe Arena(pool: pool)!
            let memory = unsafe arena.allocate(100_000)!
            unsafe memory.initializeMemory(as: UInt8.self, repeating: 7, count: 100_000)
            #expect(arena.oversized == 1)
            #expect(unsafe pool.pointee.outstanding == 1)
            arena.reset()
            #expect(arena.used == 0)
        }
    }

    @Test func anExhaustedPoolMeansNil() {
        unsafe withPool(chunksMax: 1) { pool in
            var arena = unsafe Arena(pool: pool)!
            let second = unsafe Arena(pool: pool)
            switch consume second {
            case .some: Issue.record("an arena without memory")
            case .none: break
            }
            #expect(unsafe arena.allocate(10_000) != nil)
            #expect(unsafe arena.allocate(10_000) == nil)
            #expect(unsafe pool.pointee.refused == 2)
        }
    }

    @Test func theEndGivesEverythingBack() {
        unsafe withPool(chunksMax: 8) { pool in
            do {
                var arena = unsafe Arena(pool: pool)!
                for _ in 0..<3 { _ = unsafe arena.allocate(12_000) }
                _ = unsafe arena.allocate(50_000)
            }
            #expect(unsafe pool.pointee.outstanding == 0)
        }
    }

    #if DEBUG
    @Test func aWritePastTheEndTraps() async {
        await #expect(processExitsWith: .failure) {
            unsafe withPool(chunksMax: 2) { pool in
                var arena = unsafe Arena(pool: pool)!
                let memory = unsafe arena.allocate(32)!
                unsafe memory.storeBytes(of: 1, toByteOffset: 32, as: UInt8.self)
                arena.reset()
            }
        }
        // The same without the write, so that the failure above is the write's.
        await #expect(processExitsWith: .success) {
            unsafe withPool(chunksMax: 2) { pool in
                var arena = unsafe Arena(pool: pool)!
                let memory = unsafe arena.allocate(32)!
                unsafe memory.storeBytes(of: 1, toByteOffset: 31, as: UInt8.self)
                arena.reset()
            }
        }
    }

    @Test func memoryOfTheLastRequestIsNonsense() {
        unsafe withPool(chunksMax: 2) { pool in
            var arena = unsafe Arena(pool: pool)!
            let memory = unsafe arena.allocate(16)!
            unsafe memory.storeBytes(of: 0x0102_0304, as: UInt32.self)
            arena.reset()
            #expect(unsafe memory.load(as: UInt32.self) == 0xA5A5_A5A5)
        }
    }
    #endif
}
