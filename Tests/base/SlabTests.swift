// Slab and Handle: fixed addresses, stale handles, reuse.

import Testing
import UringBase

@Suite struct SlabTests {
    @Test func slotsKeepTheirAddresses() {
        var slab = Slab<Int>(capacity: 1000)
        var slots: [(Handle, UnsafeMutablePointer<Int>)] = unsafe []
        for n in 0..<1000 {
            let handle = slab.claim()!
            let pointer = unsafe slab.pointer(handle)!
            unsafe pointer.initialize(to: n)
            unsafe slots.append((handle, pointer))
        }
        #expect(slab.claim() == nil)
        #expect(slab.count == 1000)
        for n in 0..<1000 {
            let (handle, pointer) = unsafe slots[n]
            #expect(unsafe slab.pointer(handle) == pointer)
            #expect(unsafe slab.pointer(at: handle.index).pointee == n)
        }
        for unsafe (handle, _) in unsafe slots { slab.release(handle) }
        #expect(slab.count == 0)
        #expect(slab.highWater == 1000)
    }

    @Test func aReleasedHandleIsStale() {
        var slab = Slab<Int>(capacity: 4)
        let old = slab.claim()!
        slab.release(old)
        #expect(slab.isCurrent(old) == false)
        #expect(unsafe slab.pointer(old) == nil)
        let new = slab.claim()!
        #expect(new.index == old.index)
        #expect(new.generation != old.generation)
        #expect(slab.isCurrent(old) == false)
        #expect(slab.isCurrent(new) == true)
    }

    @Test func handlesThatNeverWereAreStale() {
        var slab = Slab<Int>(capacity: 300)
        #expect(slab.isCurrent(Handle(index: 0, generation: 1)) == false)
        #expect(slab.claim() != nil)
        #expect(slab.isCurrent(Handle(index: 299, generation: 1)) == false)
        #expect(slab.isCurrent(Handle(index: 300, generation: 1)) == false)
        #expect(slab.isCurrent(Handle(index: .max, generation: 1)) == false)
        // User data of all zeroes names nothing.
        #expect(slab.isCurrent(Handle(index: 0, generation: 0)) == false)
    }

    #if !DEBUG
    /// Sixteen million lives of one slot: a few seconds without optimisation.
    @Test func generationsWrapWithoutZero() {
        var slab = Slab<UInt8>(capacity: 1)
        var last: UInt32 = 0
        var sawWrap = false
        for _ in 0..<(1 << 24) {
            let handle = slab.claim()!
            if handle.generation == 0 || handle.generation == last { Issue.record("generation \(handle.generation) after \(last)") }
            if handle.generation < last { sawWrap = true }
            last = handle.generation
            slab.release(handle)
        }
        #expect(sawWrap)
    }
    #endif

    @Test func releasingTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            var slab = Slab<Int>(capacity: 4)
            let handle = slab.claim()!
            slab.release(handle)
            slab.release(handle)
        }
    }
}
