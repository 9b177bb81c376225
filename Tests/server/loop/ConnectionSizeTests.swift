// What an idle connection costs in memory: its slot, its tables' share, its timer; no buffer, no chunk, no exchange.

import Testing

@testable import UringServer

@Suite struct ConnectionSizeTests {
    /// Slot, slab tables (generation and free list: 8 bytes) and timer wheel (24 bytes).
    @Test func anIdleConnectionFitsHalfAKilobyte() {
        let bytes = unsafe MemoryLayout<Connection>.stride + 8 + 24
        print("bytes per idle connection: \(bytes)")
        #expect(bytes <= 512)
    }
}
