// Conformance of sockets: accept, receive, send, and the ends of connections. See Conformance.swift.

import CUring
import Glibc
import Testing
import UringBase
import UringRing
import UringSimulation

@Suite struct SocketConformanceTests {
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
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(0)
            peer.write(bytes("data"))
            peer.finish()
            seam.collect(1)
            seam.queue(11, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, false) }
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
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(3)
            seam.queue(12, flags: Flag.select) { unsafe ur_prep_recv($0, silent, 0, true) }
            seam.collect(1)
            seam.recycleHeld()
            seam.queue(11, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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
                seam.queue(10, flags: Flag.skip) { unsafe ur_prep_send($0, fd, raw.baseAddress!, UInt32(raw.count), dontWaitAll, false) }
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
                    seam.queue(tag, flags: tag == 13 ? 0 : Flag.skip) {
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

    @Test func closeUnderAnArmedReceiveSendsNothing() {
        conforms(["no end", "20: 0", "10: -Operation canceled", "end"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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

    @Test func bytesThatThePeerHasNotTaken() {
        conforms(["0", "some", "0"]) { seam in
            let (fd, peer) = seam.pair()
            seam.note("\(seam.kernel.unacknowledgedBytes(fd))")
            let block = [UInt8](repeating: 120, count: 64 * 1024)
            var sent = 0
            while true {
                let count = unsafe block.withUnsafeBytes { unsafe seam.kernel.send(fd, $0.baseAddress!, $0.count, more: false) }
                guard count > 0 else { break }
                sent += count
            }
            seam.note(seam.kernel.unacknowledgedBytes(fd) > 0 ? "some" : "none")
            _ = peer.read(sent)
            seam.note("\(seam.kernel.unacknowledgedBytes(fd))")
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
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            peer.reset()
            seam.collect(1)
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.queue(11, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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
            seam.queue(12, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(2)
            seam.kernel.close(fd)
        }
    }

    @Test func closedPeer() {
        conforms(["10: 0", "1", "-32", "11: 0"]) { seam in
            seam.makeBuffers(4)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            peer.close()
            seam.collect(1)
            // The first send is answered by a reset, which the second one meets.
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.collect(0)
            seam.note("\(unsafe seam.kernel.send(fd, "x", 1, more: false))")
            seam.queue(11, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
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
}
