// The conformance test of the seam: each script runs on Linux and on the simulated kernel and must be seen to do the same.

import CUring
import Glibc
import Testing
import UringBase
import UringRing
import UringSimulation

private let link: UInt32 = 1 << 2
private let select: UInt32 = 1 << 5
private let skip: UInt32 = 1 << 6
private let dontWaitAll = Int32(MSG_DONTWAIT) | Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL)

/// Whether this machine lets us have a ring at all; without one there is nothing to compare with.
private let hasRing: Bool = { if case .some = try? UringKernel.make() { true } else { false } }()

@Suite struct KernelConformanceTests {
    /// Runs the script in both worlds, compares, and compares with what we believe.
    private func conforms(_ expected: [String], _ script: (Seam) -> Void, _ location: SourceLocation = #_sourceLocation) {
        let world = SimulatedWorld()
        let simulated = Seam(world)
        script(simulated)
        // The kernel goes before the buffers that it may fill.
        world.simulated.destroy()
        #expect(simulated.seen == expected, "simulated", sourceLocation: location)
        #expect(world.simulation.violations.filter { !allowed.contains($0) } == [], sourceLocation: location)
        guard hasRing, let linux = try? LinuxWorld() else { return }
        let real = Seam(linux)
        script(real)
        #expect(real.seen == expected, "Linux", sourceLocation: location)
    }

    /// Violations that scripts commit on purpose.
    private let allowed = ["operation 26 on descriptor 900, which is not open", "cancel by descriptor 900, which is not open"]

    @Test func nothingAndUnknown() {
        conforms(["10: 0", "11: -Invalid argument", "14: -Invalid argument"]) { seam in
            seam.queue(10) { unsafe ur_prep_nop($0) }
            seam.queue(11) {
                unsafe ur_prep_nop($0)
                unsafe $0.pointee.opcode = 200
            }
            seam.queue(12, flags: skip) { unsafe ur_prep_nop($0) }
            seam.queue(14, flags: skip) {
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

    @Test func multishotAcceptGoesOnUntilCancelled() {
        conforms(["1: descriptor more", "1: descriptor more", "1: descriptor more", "20: 0", "1: -Operation canceled"]) { seam in
            let listener = seam.listen()
            let early = seam.world.connect(listener.address)
            seam.queue(1) { unsafe ur_prep_multishot_accept($0, listener.fd) }
            seam.collect(1)
            let peers = [seam.world.connect(listener.address), seam.world.connect(listener.address)]
            seam.collect(2)
            seam.queue(20) { unsafe ur_prep_cancel($0, 1) }
            seam.collect(2)
            for fd in seam.accepted + [listener.fd] { seam.kernel.close(fd) }
            _ = (early, peers)
        }
    }

    @Test func singleAcceptTakesOne() {
        conforms(["1: descriptor", "20: -No such file or directory"]) { seam in
            let listener = seam.listen()
            seam.queue(1) { unsafe ur_prep_accept($0, listener.fd) }
            seam.collect(0)
            let peers = [seam.world.connect(listener.address), seam.world.connect(listener.address)]
            seam.collect(1)
            seam.queue(20) { unsafe ur_prep_cancel($0, 1) }
            seam.collect(1)
            for fd in seam.accepted + [listener.fd] { seam.kernel.close(fd) }
            _ = peers
        }
    }

    @Test func multishotReceiveUntilTheEnd() {
        conforms(["10: 5 more buffer 'first'", "10: 6 more buffer 'second'", "10: 0"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            peer.write(bytes("first"))
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(1)
            peer.write(bytes("second"))
            seam.collect(1)
            peer.finish()
            seam.collect(1)
            seam.kernel.close(fd)
        }
    }

    @Test func singleReceive() {
        conforms(["10: 4 buffer 'data'", "11: 0"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(0)
            peer.write(bytes("data"))
            peer.finish()
            seam.collect(1)
            seam.queue(11, flags: select) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(1)
            seam.kernel.close(fd)
        }
    }

    @Test func endOfBuffersEndsAMultishot() {
        conforms([
            "10: 4096 more buffer sum 397312", "10: 4096 more buffer sum 397312", "10: -No buffer space available",
            // Neither data nor a buffer: Linux picks the buffer first.
            "12: -No buffer space available",
            "11: 1808 more buffer sum 175376",
        ]) { seam in
            seam.makeBuffers(2)
            seam.recycles = false
            let (fd, peer) = seam.pair()
            let (silent, _) = seam.pair()
            peer.write([UInt8](repeating: 97, count: 10000))
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(3)
            seam.queue(12, flags: select) { unsafe ur_prep_recv($0, silent, 0, true) }
            seam.collect(1)
            seam.recycleHeld()
            seam.queue(11, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(1)
            seam.recycleHeld()
            seam.kernel.close(fd)
            seam.kernel.close(silent)
        }
    }

    @Test func silentSend() {
        conforms(["peer: one two three"]) { seam in
            let (fd, peer) = seam.pair()
            let text = bytes("one two ")
            unsafe text.withUnsafeBytes { raw in
                seam.queue(10, flags: skip) { unsafe ur_prep_send($0, fd, raw.baseAddress!, UInt32(raw.count), dontWaitAll, false) }
                seam.collect(0)
            }
            _ = unsafe seam.kernel.send(fd, "three", 5, more: false)
            seam.note("peer: " + String(decoding: peer.read(100), as: UTF8.self))
            seam.kernel.close(fd)
        }
    }

    @Test func fullSocket() {
        conforms([
            "short", "11: -Resource temporarily unavailable", "12: -Resource temporarily unavailable", "-11",
            // Without DONTWAIT it waits, and with WAITALL until everything has gone.
            "pending", "13: 200000", "all bytes in order",
        ]) { seam in
            let (fd, peer) = seam.pair()
            seam.world.limitSendBuffer(fd)
            let payload = (0..<(2 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 9) }
            unsafe payload.withUnsafeBytes { raw in
                func send(_ tag: UInt64, _ from: Int, _ count: Int, _ flags: Int32, pollFirst: Bool = false) {
                    seam.queue(tag, flags: tag == 13 ? 0 : skip) {
                        unsafe ur_prep_send($0, fd, raw.baseAddress! + from, UInt32(count), flags, pollFirst)
                    }
                }
                send(10, 0, raw.count, dontWaitAll)
                seam.collect(1)
                var first = seam.takeResult(of: 10)
                seam.note(first > 0 && first < raw.count ? "short" : "not short: \(first)")
                var more = 0
                // On loopback the peer's window may open a little more after the first send.
                while more >= 0 {
                    send(11, first, 100_000, dontWaitAll)
                    seam.collect(1)
                    more = seam.takeResult(of: 11)
                    first += max(0, more)
                }
                seam.note("11: -\(SystemError.text(of: Int32(-more)))")
                // POLL_FIRST with DONTWAIT never polls.
                send(12, first, 100_000, dontWaitAll, pollFirst: true)
                seam.collect(1)
                seam.note("\(unsafe seam.kernel.send(fd, raw.baseAddress! + first, 100_000, more: false))")
                send(13, first, 200_000, Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL), pollFirst: true)
                seam.collect(0)
                seam.note("pending")
                var read = peer.read(first + 200_000)
                while read.count < first + 200_000 {
                    _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
                    read += peer.read(first + 200_000 - read.count)
                }
                seam.collect(1)
                seam.note(read.elementsEqual(payload.prefix(first + 200_000)) ? "all bytes in order" : "wrong bytes")
            }
            seam.kernel.close(fd)
        }
    }

    @Test func sendOfSeveralParts() {
        conforms(["10: 11", "peer: hello world"]) { seam in
            let (fd, peer) = seam.pair()
            var hello = bytes("hello ")
            var world = bytes("world")
            unsafe hello.withUnsafeMutableBytes { first in
                unsafe world.withUnsafeMutableBytes { second in
                    var vectors = unsafe [
                        iovec(iov_base: first.baseAddress, iov_len: first.count), iovec(iov_base: second.baseAddress, iov_len: second.count),
                    ]
                    unsafe vectors.withUnsafeMutableBufferPointer { list in
                        var header = unsafe msghdr()
                        unsafe header.msg_iov = list.baseAddress
                        unsafe header.msg_iovlen = 2
                        unsafe withUnsafePointer(to: &header) { header in
                            seam.queue(10) { unsafe ur_prep_sendmsg($0, fd, header, UInt32(bitPattern: dontWaitAll), false) }
                            seam.collect(1)
                        }
                    }
                }
            }
            seam.note("peer: " + String(decoding: peer.read(100), as: UTF8.self))
            seam.kernel.close(fd)
        }
    }

    @Test func chainSendsThenCloses() {
        conforms(["11: 0", "peer: bye", "end", "13: 0", "peer: !", "end"]) { seam in
            for (sendFlags, base) in [(link | skip, UInt64(10)), (link | skip, 12)] {
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
                seam.queue(10, flags: link) { unsafe ur_prep_send($0, 900, text, 1, dontWaitAll, false) }
                seam.queue(11, flags: link | skip) { unsafe ur_prep_nop($0) }
                seam.queue(12) { unsafe ur_prep_nop($0) }
                seam.collect(3)
                seam.queue(13, flags: link | skip) { unsafe ur_prep_send($0, 900, text, 1, dontWaitAll, false) }
                seam.queue(14, flags: link) { unsafe ur_prep_nop($0) }
                seam.queue(15) { unsafe ur_prep_nop($0) }
                seam.collect(1)
                seam.queue(16, flags: link) { unsafe ur_prep_nop($0) }
                seam.queue(17) {
                    unsafe ur_prep_nop($0)
                    unsafe $0.pointee.opcode = 200
                }
                seam.collect(2)
                seam.queue(18, flags: link) { unsafe ur_prep_nop($0) }
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
                seam.queue(10, flags: link) { unsafe ur_prep_send($0, fd, raw.baseAddress!, UInt32(raw.count), dontWaitAll, false) }
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
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
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

    @Test func closeUnderAnArmedReceiveSendsNothing() {
        conforms(["no end", "20: 0", "10: -Operation canceled", "end"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            seam.kernel.close(fd)
            seam.collect(0)
            _ = peer.read(1)
            seam.note(peer.sawEnd ? "end" : "no end")
            seam.queue(20) { unsafe ur_prep_cancel($0, 10) }
            seam.collect(2)
            _ = peer.read(1)
            seam.note(peer.sawEnd ? "end" : "no end")
        }
    }

    @Test func shutdownSendsTheEndUnderAnArmedReceive() {
        conforms(["end", "10: 4 more buffer 'more'", "10: 0", "-32"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            seam.kernel.shutdownWrite(fd)
            _ = peer.read(1)
            seam.note(peer.sawEnd ? "end" : "no end")
            peer.write(bytes("more"))
            seam.collect(1)
            peer.finish()
            seam.collect(1)
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.kernel.close(fd)
        }
    }

    @Test func resetByThePeer() {
        conforms([
            "10: -Connection reset by peer", "-32", "11: 0", "no name",
            "-104",
            "12: 4 more buffer 'data'", "12: -Connection reset by peer",
        ]) { seam in
            seam.makeBuffers(4)
            var (fd, peer) = seam.pair()
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            peer.reset()
            seam.collect(1)
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.queue(11, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(1)
            seam.note(seam.kernel.peerAddress(fd) == nil ? "no name" : "name")
            seam.kernel.close(fd)
            // Whoever speaks first is told.
            (fd, peer) = seam.pair()
            peer.reset()
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.kernel.close(fd)
            // What arrived before the reset is still readable.
            (fd, peer) = seam.pair()
            peer.write(bytes("data"))
            peer.reset()
            seam.queue(12, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(2)
            seam.kernel.close(fd)
        }
    }

    @Test func closedPeer() {
        conforms(["10: 0", "1", "-32", "11: 0"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            peer.close()
            seam.collect(1)
            // The first send is answered by a reset, which the second one meets.
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.collect(0)
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.queue(11, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(1)
            seam.kernel.close(fd)
        }
    }

    @Test func closeWithUnreadBytesResets() {
        conforms(["reset", "reset", "end"]) { seam in
            for kind in 0..<3 {
                let (fd, peer) = seam.pair()
                if kind == 0 { peer.write(bytes("never read")) }
                if kind == 1 { seam.kernel.resetOnClose(fd) }
                seam.kernel.close(fd)
                seam.note(peer.sawReset ? "reset" : peer.sawEnd ? "end" : "nothing")
            }
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
            seam.queue(11, flags: skip) { unsafe ur_prep_nop($0) }
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
            seam.queue(7, flags: select) { unsafe ur_prep_recv($0, fd, 0, true) }
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

    @Test func queuedOpenAndRead() {
        let cases: [(UInt64, String)] = [
            (30, "file"), (31, "sub/inner"), (32, "inside-link"), (33, "sub/up"), (34, "sub/../file"), (35, "../outside"), (36, "outside-link"),
            (37, "absolute-link"), (38, "/etc/passwd"), (39, "loop"), (40, "none"), (41, "file/x"), (42, "file/"), (43, "sub/../../root/file"),
        ]
        conforms([
            "30: contents of the file", "31: inner", "32: inner", "33: contents of the file", "34: contents of the file",
            "35: -Invalid cross-device link", "36: -Invalid cross-device link", "37: -Invalid cross-device link", "38: -Invalid cross-device link",
            "39: -Too many levels of symbolic links", "40: -No such file or directory", "41: -Not a directory", "42: -Not a directory",
            "43: -Invalid cross-device link",
            // The same at once.
            "30: contents of the file", "31: inner", "32: inner", "33: contents of the file", "34: contents of the file",
            "35: -Invalid cross-device link", "36: -Invalid cross-device link", "37: -Invalid cross-device link", "38: -Invalid cross-device link",
            "39: -Too many levels of symbolic links", "40: -No such file or directory", "41: -Not a directory", "42: -Not a directory",
            "43: -Invalid cross-device link",
        ]) { seam in
            for (tag, path) in cases {
                var how = open_how(flags: Kernel.openFlags, mode: 0, resolve: Kernel.openResolve)
                let fd = unsafe path.withCString { path in
                    unsafe withUnsafePointer(to: &how) { how in
                        seam.queue(tag) { unsafe ur_prep_openat2($0, seam.world.directory, path, how) }
                        seam.collect(1)
                        return Int32(seam.takeResult(of: tag))
                    }
                }
                guard fd >= 0 else {
                    seam.note("\(tag): -\(SystemError.text(of: -fd))")
                    continue
                }
                var memory = [UInt8](repeating: 0, count: 64)
                let count = unsafe memory.withUnsafeMutableBytes { into in
                    seam.queue(tag) { unsafe ur_prep_read($0, fd, into.baseAddress!, 64, 0) }
                    seam.collect(1)
                    return seam.takeResult(of: tag)
                }
                seam.note("\(tag): \(String(decoding: memory.prefix(max(0, count)), as: UTF8.self))")
                seam.kernel.close(fd)
            }
            for (tag, path) in cases {
                let fd = unsafe path.withCString { unsafe seam.kernel.openFile(directory: seam.world.directory, path: $0, cachedOnly: false) }
                guard fd >= 0 else {
                    seam.note("\(tag): -\(SystemError.text(of: -fd))")
                    continue
                }
                var memory = [UInt8](repeating: 0, count: 64)
                // A file system without RWF_NOWAIT answers that; then the ring's read is what remains.
                var count = unsafe memory.withUnsafeMutableBytes { unsafe seam.kernel.readCached(fd, into: $0.baseAddress!, count: 64, offset: 0) }
                if count == -Int(EOPNOTSUPP) || count == -Int(EAGAIN) {
                    count = unsafe memory.withUnsafeMutableBytes { unsafe pread(fd, $0.baseAddress!, 64, 0) }
                }
                seam.note("\(tag): \(String(decoding: memory.prefix(max(0, count)), as: UTF8.self))")
                seam.kernel.close(fd)
            }
        }
    }

    @Test func fileStatusAndSendFile() {
        conforms(["20 regular", "directory", "9", "peer: the file", "0", "0"]) { seam in
            func open(_ path: String) -> Int32 {
                unsafe path.withCString { unsafe seam.kernel.openFile(directory: seam.world.directory, path: $0, cachedOnly: false) }
            }
            let file = open("file")
            let directory = open("sub")
            if case .success(let status) = seam.kernel.fileStatus(file) { seam.note("\(status.size)\(status.isRegular ? " regular" : "")") }
            if case .success(let status) = seam.kernel.fileStatus(directory) { seam.note(status.isDirectory ? "directory" : "?") }
            let (fd, peer) = seam.pair()
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 12, count: 9) + 1)")
            seam.note("peer: " + String(decoding: peer.read(100), as: UTF8.self))
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 20, count: 9))")
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 2000, count: 9))")
            for fd in [file, directory, fd] { seam.kernel.close(fd) }
        }
    }
}

extension Seam {
    /// The result of the last line, which was about `tag`; the line goes.
    func takeResult(of tag: UInt64) -> Int {
        let line = takeLast()
        precondition(line.hasPrefix("\(tag): "), "BUG: '\(line)' is not about \(tag)")
        let text = line.dropFirst("\(tag): ".count)
        return Int(text) ?? -Int(codes.first { "-\(SystemError.text(of: $0))" == text } ?? 0)
    }
    private var codes: [Int32] { Array(1...133) }
}
