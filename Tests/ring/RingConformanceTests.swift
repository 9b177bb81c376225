// Conformance of the ring itself: entries, waiting, chains, cancelling, polling, messages, overflow. See Conformance.swift.

import CUring
import Glibc
import Testing
import UringBase
import UringRing
import UringSimulation

@Suite struct RingConformanceTests {
    @Test func nothingAndUnknown() {
        conforms(["10: 0", "11: -Invalid argument", "14: -Invalid argument"]) { seam in
            seam.queue(10) { unsafe ur_prep_nop($0) }
            seam.queue(11) {
                unsafe ur_prep_nop($0)
                unsafe $0.pointee.opcode = 200
            }
            seam.queue(12, flags: Flag.skip) { unsafe ur_prep_nop($0) }
            seam.queue(14, flags: Flag.skip) {
                unsafe ur_prep_nop($0)
                unsafe $0.pointee.opcode = 201
            }
            seam.collect(3)
        }
    }

    @Test func waiting() {
        conforms(["-Timer expired", "1", "10: 0", "0", "1"]) { seam in
            func enter(_ minimum: UInt32, _ ns: Int64) {
                var code = -EINTR
                while code == -EINTR { code = seam.kernel.enter(waitFor: minimum, timeoutNs: ns) }
                seam.note(code < 0 ? "-\(SystemError.text(of: -code))" : "\(code)")
            }
            enter(1, 1_000_000)
            seam.queue(10) { unsafe ur_prep_nop($0) }
            // Something was submitted, so the count comes back and not the -ETIME.
            enter(2, 1_000_000)
            seam.reap(seam.kernel)
            enter(0, 0)
            seam.queue(11) { unsafe ur_prep_nop($0) }
            enter(1, -1)
        }
    }

    @Test func chainSendsThenCloses() {
        conforms(["11: 0", "peer: bye", "end", "13: 0", "peer: !", "end"]) { seam in
            for (sendFlags, base) in [(Flag.link | Flag.skip, UInt64(10)), (Flag.link | Flag.skip, 12)] {
                let (fd, peer) = seam.pair()
                unsafe (base == 10 ? "bye" : "!").withCString { text in
                    seam.queue(base, flags: sendFlags) { unsafe ur_prep_send($0, fd, text, UInt32(strlen(text)), dontWaitAll, false) }
                    seam.queue(base + 1) { unsafe ur_prep_close($0, fd) }
                    seam.collect(1)
                }
                seam.note("peer: " + String(decoding: peer.read(100), as: UTF8.self))
                seam.note(peer.sawEnd ? "end" : "no end")
            }
        }
    }

    @Test func brokenChains() {
        conforms([
            // The failure is told, the rest cancelled, however silent its success would have been.
            "10: -Bad file descriptor", "11: -Operation canceled", "12: -Operation canceled",
            // A silent operation that fails silences the rest of its chain.
            "13: -Bad file descriptor",
            // An entry that is refused takes its whole chain along.
            "16: -Operation canceled", "17: -Invalid argument",
            // A chain without its end stops at the end of the batch.
            "18: 0", "19: 0",
        ]) { seam in
            unsafe "x".withCString { text in
                seam.queue(10, flags: Flag.link) { unsafe ur_prep_send($0, 900, text, 1, dontWaitAll, false) }
                seam.queue(11, flags: Flag.link | Flag.skip) { unsafe ur_prep_nop($0) }
                seam.queue(12) { unsafe ur_prep_nop($0) }
                seam.collect(3)
                seam.queue(13, flags: Flag.link | Flag.skip) { unsafe ur_prep_send($0, 900, text, 1, dontWaitAll, false) }
                seam.queue(14, flags: Flag.link) { unsafe ur_prep_nop($0) }
                seam.queue(15) { unsafe ur_prep_nop($0) }
                seam.collect(1)
                seam.queue(16, flags: Flag.link) { unsafe ur_prep_nop($0) }
                seam.queue(17) {
                    unsafe ur_prep_nop($0)
                    unsafe $0.pointee.opcode = 200
                }
                seam.collect(2)
                seam.queue(18, flags: Flag.link) { unsafe ur_prep_nop($0) }
                seam.collect(1)
                seam.queue(19) { unsafe ur_prep_nop($0) }
                seam.collect(1)
            }
        }
    }

    @Test func shortSendBreaksItsChain() {
        conforms(["short", "11: -Operation canceled"]) { seam in
            let (fd, peer) = seam.pair()
            seam.world.limitSendBuffer(fd)
            let payload = [UInt8](repeating: 1, count: 2 << 20)
            unsafe payload.withUnsafeBytes { raw in
                seam.queue(10, flags: Flag.link) { unsafe ur_prep_send($0, fd, raw.baseAddress!, UInt32(raw.count), dontWaitAll, false) }
                seam.queue(11) { unsafe ur_prep_close($0, fd) }
                seam.collect(2)
                let cancelled = seam.takeLast()
                seam.note(seam.takeResult(of: 10) < raw.count ? "short" : "whole")
                seam.note(cancelled)
            }
            seam.kernel.close(fd)
            _ = peer
        }
    }

    @Test func cancelByDescriptor() {
        conforms([
            "20: 2", "10: -Operation canceled", "11: -Operation canceled", "21: 0", "22: -Bad file descriptor", "23: -No such file or directory",
        ]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.queue(11) { unsafe ur_prep_poll($0, fd, 0x2000) }
            seam.collect(0)
            seam.queue(20) { unsafe ur_prep_cancel_fd($0, fd) }
            seam.collect(3)
            // Linux goes through a hash table here: any order.
            seam.sortLast(2)
            seam.queue(21) { unsafe ur_prep_cancel_fd($0, fd) }
            seam.collect(1)
            seam.queue(22) { unsafe ur_prep_cancel_fd($0, 900) }
            seam.collect(1)
            seam.queue(23) { unsafe ur_prep_cancel($0, 4711) }
            seam.collect(1)
            seam.kernel.close(fd)
            _ = peer
        }
    }

    @Test func poll() {
        conforms(["10: 4", "11: 1", "12: 8197", "13: 1 more", "13: 1 more"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10) { unsafe ur_prep_poll($0, fd, 5) }
            seam.collect(1)
            seam.queue(11) { unsafe ur_prep_poll($0, fd, 1) }
            seam.collect(0)
            peer.write(bytes("x"))
            seam.collect(1)
            peer.finish()
            seam.queue(12) { unsafe ur_prep_poll($0, fd, 0x2005) }
            seam.collect(1)
            seam.kernel.close(fd)
            let listener = seam.listen()
            seam.queue(13) { unsafe ur_prep_poll_multishot($0, listener.fd, 1) }
            seam.collect(0)
            let one = seam.world.connect(listener.address)
            seam.collect(1)
            let two = seam.world.connect(listener.address)
            seam.collect(1)
            seam.kernel.close(listener.fd)
            _ = (one, two)
        }
    }

    @Test func messages() {
        conforms(["10: 0", "4660: 77", "12: -File descriptor in bad state"]) { seam in
            let target = seam.world.otherKernel.messageTarget
            seam.queue(10) { unsafe ur_prep_msg_ring($0, target, 77, 0x1234) }
            seam.queue(11, flags: Flag.skip) { unsafe ur_prep_nop($0) }
            seam.collect(1)
            seam.collect(1, from: seam.world.otherKernel)
            let (fd, peer) = seam.pair()
            seam.queue(12) { unsafe ur_prep_msg_ring($0, fd, 77, 0x1234) }
            seam.collect(1)
            seam.kernel.close(fd)
            _ = peer
        }
    }

    @Test func overflowIsKeptAndFlushed() {
        conforms(["overflow", "8192", "8", "no overflow"]) { seam in
            for batch in 0..<9 {
                for _ in 0..<(batch < 8 ? 1024 : 8) { seam.queue(10) { unsafe ur_prep_nop($0) } }
                _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
            }
            seam.note(unsafe ur_cq_overflow(seam.kernel.ring) ? "overflow" : "no overflow")
            for _ in 0..<2 {
                let count = unsafe ur_cq_ready(seam.kernel.ring)
                unsafe ur_cq_advance(seam.kernel.ring, count)
                seam.note("\(count)")
                _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
            }
            seam.note(unsafe ur_cq_overflow(seam.kernel.ring) ? "overflow" : "no overflow")
        }
    }

    @Test func overflowEndsAMultishot() {
        conforms(["7: 4 buffer 'late'"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(7, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            for _ in 0..<8 {
                for _ in 0..<1024 { seam.queue(10) { unsafe ur_prep_nop($0) } }
                _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
            }
            peer.write(bytes("late"))
            _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
            unsafe ur_cq_advance(seam.kernel.ring, ur_cq_ready(seam.kernel.ring))
            seam.collect(1)
            seam.kernel.close(fd)
        }
    }
}
