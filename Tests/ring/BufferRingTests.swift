// BufferRing on the simulated kernel, which records who owns each buffer.

import CUring
import Testing
import UringBase
import UringRing
import UringSimulation

@Suite struct BufferRingTests {
    /// A world with one connection whose peer has sent `count` bytes.
    private func world(_ count: Int, buffers: UInt32, _ body: (Seam, any Peer, Int32) -> Void) -> [String] {
        let world = SimulatedWorld()
        let seam = Seam(world)
        seam.makeBuffers(buffers, 4096)
        let (fd, peer) = seam.pair()
        peer.write([UInt8](repeating: 97, count: count))
        seam.recycles = false
        body(seam, peer, fd)
        world.simulated.destroy()
        return world.simulation.violations
    }

    private func receive(_ seam: Seam, _ fd: Int32, _ completions: Int) {
        seam.queue(10, flags: 1 << 5) { unsafe ur_prep_recv($0, fd, 0, true) }
        seam.collect(completions)
    }

    @Test func buffersGoRoundAndRound() {
        let violations = world(1 << 16, buffers: 2) { seam, _, fd in
            // 16 buffers' worth through two: two and -ENOBUFS each time.
            for _ in 0..<8 {
                receive(seam, fd, 3)
                #expect(seam.buffersOutstanding == 2)
                seam.recycleHeld()
                #expect(seam.buffersOutstanding == 0)
            }
        }
        #expect(violations == [])
    }

    @Test func recycledIsNotPublished() {
        let violations = world(8192, buffers: 1) { seam, _, fd in
            receive(seam, fd, 2)
            seam.buffers!.recycle(seam.held.removeFirst())
            // The kernel has not been told yet.
            seam.queue(11, flags: 1 << 5) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(1)
            #expect(seam.seen.last == "11: -No buffer space available")
            seam.buffers!.publish()
            receive(seam, fd, 1)
            #expect(seam.seen.suffix(2).first?.hasPrefix("10: 4096 more buffer") == true)
        }
        #expect(violations == [])
    }

    @Test func aWriteAfterRecyclingIsFound() {
        let violations = world(4096, buffers: 1) { seam, peer, fd in
            receive(seam, fd, 2)
            let id = seam.held.removeFirst()
            seam.recycle(id)
            // Waits for data; the kernel has seen the buffer and filled it with its pattern.
            seam.queue(11, flags: 1 << 5) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(0)
            unsafe seam.buffers!.take(id).storeBytes(of: 1, toByteOffset: 77, as: UInt8.self)
            peer.write([98])
            seam.collect(1)
        }
        #expect(violations == ["buffer 0 was written while the kernel owned it"])
    }

    @Test func whatWasRecycledIsNonsense() {
        let violations = world(4096, buffers: 1) { seam, _, fd in
            receive(seam, fd, 2)
            let id = seam.held.removeFirst()
            let late = unsafe seam.buffers!.take(id)
            #expect(unsafe late.load(as: UInt8.self) == 97)
            seam.recycle(id)
            seam.queue(11, flags: 1 << 5) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(0)
            #expect(unsafe late.load(as: UInt8.self) != 97)
        }
        #expect(violations == [])
    }

    @Test func recyclingTwiceIsFound() {
        let violations = world(8192, buffers: 2) { seam, _, fd in
            receive(seam, fd, 3)
            let id = seam.held[0]
            seam.recycle(id)
            seam.recycle(id)
            receive(seam, fd, 1)
        }
        #expect(violations == ["buffer 0 was published while the kernel owned it"])
    }

    @Test func recyclingWhatWasNotTakenTraps() async {
        await #expect(processExitsWith: .failure) {
            let world = SimulatedWorld()
            let seam = Seam(world)
            seam.makeBuffers(2)
            seam.buffers!.recycle(0)
        }
    }

    @Test func registrationFailuresSayWhy() {
        let world = SimulatedWorld()
        do {
            let first = try BufferRing.make(kernel: world.kernel, count: 4, bytesEach: 4096)
            #expect(first.count == 4)
            _ = try BufferRing.make(kernel: world.kernel, count: 4, bytesEach: 4096)
            Issue.record("a group was registered twice")
        } catch {
            #expect(error.description == "registering 4 provided buffers: File exists (errno 17)")
        }
        world.simulated.destroy()
    }
}
