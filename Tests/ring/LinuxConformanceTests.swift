// Conformance of what the simulation leaves out, on the ring and on epoll: connecting, numbers that are used again, pipes, writing, messages from
// other threads, many operations at once. See Conformance.swift.

import CUring
import Glibc
import Testing
import UringBase
import UringRing

@Suite struct LinuxConformanceTests {
    @Test func connecting() {
        conformsOnLinux(["1: descriptor", "10: 0", "sent 5", "hello", "11: -Connection refused", "12: -Bad file descriptor"]) { seam in
            let listener = seam.listen()
            func connect(_ tag: UInt64, _ fd: Int32) {
                var memory = sockaddr_storage()
                unsafe withUnsafeMutableBytes(of: &memory) { memory in
                    let length = unsafe listener.address.withSockaddr {
                        unsafe memory.copyMemory(from: UnsafeRawBufferPointer(start: $0, count: Int($1)))
                        return $1
                    }
                    seam.queue(tag) { unsafe ur_prep_connect($0, fd, memory.baseAddress!.assumingMemoryBound(to: sockaddr.self), length) }
                    seam.collect(tag == 10 ? 2 : 1)
                }
            }
            let fd = seam.kernel.socket(.ipv4)
            seam.queue(1) { unsafe ur_prep_accept($0, listener.fd) }
            connect(10, fd)
            seam.sortLast(2)
            let line = seam.takeLast()
            let first = seam.takeLast()
            // Accepted before or after it was connected: either is right.
            seam.note(first.hasPrefix("1: d") ? first : line)
            seam.note(first.hasPrefix("1: d") ? line : first)
            seam.note("sent \(unsafe seam.kernel.send(fd, "hello", 5, more: false))")
            var bytes = [UInt8](repeating: 0, count: 5)
            _ = unsafe recv(seam.accepted[0], &bytes, 5, 0)
            seam.note(String(decoding: bytes, as: UTF8.self))
            for fd in [fd, seam.accepted[0], listener.fd] { seam.kernel.close(fd) }
            let second = seam.kernel.socket(.ipv4)
            connect(11, second)
            seam.kernel.close(second)
            connect(12, 900)
        }
    }

    /// What belonged to the file that had a number before is never told of the one that has it now.
    @Test(arguments: [false, true]) func aNumberUsedAgain(closesBehindTheKernel: Bool) {
        let end = closesBehindTheKernel ? [] : ["10: 3 more buffer 'old'", "10: 0"]
        conformsOnLinux(["same number", "11: 3 more buffer 'new'"] + end) { seam in
            seam.makeBuffers(8)
            let (fd, peer) = seam.pair()
            let (other, otherPeer) = seam.pair()
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
            seam.collect(0)
            // In the ring the operation keeps the file in either case; nobody may count on that who closes behind the kernel's back.
            if closesBehindTheKernel {
                seam.queue(20) { unsafe ur_prep_cancel($0, 10) }
                seam.collect(2)
                _ = (seam.takeLast(), seam.takeLast())
                _ = Glibc.close(fd)
            } else {
                seam.kernel.close(fd)
            }
            // The lowest free number is the one that was closed.
            let copy = fcntl(other, F_DUPFD_CLOEXEC, fd)
            seam.note(copy == fd ? "same number" : "another number")
            seam.queue(11, flags: Flag.select) { unsafe ur_prep_recv($0, copy, 0, true) }
            seam.collect(0)
            otherPeer.write(bytes("new"))
            seam.collect(1)
            if !closesBehindTheKernel {
                peer.write(bytes("old"))
                seam.collect(1)
                peer.finish()
                seam.collect(1)
            }
            seam.kernel.close(copy)
            seam.kernel.close(other)
        }
    }

    @Test func aSocketClosedBehindTheKernelIsForgotten() {
        conformsOnLinux(["1: descriptor", "10: 3 more buffer 'new'"]) { seam in
            seam.makeBuffers(8)
            let (fd, peer) = seam.pair()
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, false) }
            seam.collect(0)
            peer.write(bytes("x"))
            seam.collect(1)
            _ = seam.takeLast()
            _ = Glibc.close(fd)
            // Accepted under the number of one that this kernel had registered.
            let listener = seam.listen()
            let next = seam.world.connect(listener.address)
            seam.queue(1) { unsafe ur_prep_accept($0, listener.fd) }
            seam.collect(1)
            let accepted = seam.accepted[1]
            seam.queue(10, flags: Flag.select) { unsafe ur_prep_recv($0, accepted, 0, true) }
            seam.collect(0)
            next.write(bytes("new"))
            seam.collect(1)
            for fd in [accepted, listener.fd] { seam.kernel.close(fd) }
        }
    }

    @Test func bytesAndEndTogether() {
        conformsOnLinux(["10: 5 more buffer 'bytes'", "10: 0", "11: 4 more buffer 'more'", "11: -Connection reset by peer"]) { seam in
            seam.makeBuffers(8)
            for (tag, text, resets) in [(UInt64(10), "bytes", false), (11, "more", true)] {
                let (fd, peer) = seam.pair()
                seam.queue(tag, flags: Flag.select) { unsafe ur_prep_recv($0, fd, 0, true) }
                seam.collect(0)
                peer.write(bytes(text))
                if resets { peer.reset() } else { peer.finish() }
                seam.collect(2)
                seam.kernel.close(fd)
            }
        }
    }

    @Test func chainBehindAReceiveThatWaits() {
        conformsOnLinux(["10: 1", "11: 0", "12: 0", "13: -Operation canceled", "14: -Operation canceled"]) { seam in
            let (fd, peer) = seam.pair()
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
            defer { unsafe memory.deallocate() }
            seam.queue(10, flags: Flag.link) { unsafe ur_prep_recv_into($0, fd, memory, 8) }
            seam.queue(11, flags: Flag.link) { unsafe ur_prep_nop($0) }
            seam.queue(12) { unsafe ur_prep_nop($0) }
            seam.collect(0)
            peer.write(bytes("x"))
            seam.collect(3)
            seam.queue(13, flags: Flag.link) { unsafe ur_prep_recv_into($0, fd, memory, 8) }
            seam.queue(14) { unsafe ur_prep_nop($0) }
            seam.collect(0)
            seam.queue(20, flags: Flag.skip) { unsafe ur_prep_cancel($0, 13) }
            seam.collect(2)
            seam.kernel.close(fd)
        }
    }

    @Test func pipesAndFiles() {
        conformsOnLinux([
            "10: 4", "11: 5", "12: 5", "13: 2", "14: 0", "15: positive", "16: 1", "17: -Operation canceled", "18: -Bad file descriptor", "19: -Is a directory",
        ]) { seam in
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
            defer { unsafe memory.deallocate() }
            var ends: [Int32] = [0, 0]
            unsafe pipe(&ends)
            let (input, output) = (ends[0], ends[1])
            seam.queue(10) { unsafe ur_prep_read($0, input, memory, 64, 0) }
            seam.collect(0)
            _ = unsafe Glibc.write(output, "pipe", 4)
            seam.collect(1)
            seam.queue(11) { unsafe ur_prep_write($0, output, memory, 5, 0) }
            seam.collect(1)
            let file = unsafe "file".withCString { unsafe openat(seam.world.directory, $0, O_RDWR | O_CLOEXEC) }
            unsafe memory.storeBytes(of: 0x21212121, as: UInt32.self)
            seam.queue(12) { unsafe ur_prep_write($0, file, memory, 5, 20) }
            seam.collect(1)
            // Up to its end, and at it.
            seam.queue(13) { unsafe ur_prep_read($0, file, memory, 64, 23) }
            seam.collect(1)
            seam.queue(14) { unsafe ur_prep_read($0, file, memory, 64, 25) }
            seam.collect(1)
            // No page cache, no size, no answer to RWF_NOWAIT.
            let proc = unsafe Glibc.open("/proc/self/status", O_RDONLY | O_CLOEXEC)
            seam.queue(15) { unsafe ur_prep_read($0, proc, memory, 64, 0) }
            seam.collect(1)
            seam.note(seam.takeResult(of: 15) > 0 ? "15: positive" : "15: nothing")
            seam.queue(16) { unsafe ur_prep_poll($0, file, 1) }
            seam.collect(1)
            var rest: [UInt8] = [0, 0, 0, 0, 0]
            _ = unsafe Glibc.read(input, &rest, 5)
            seam.queue(17) { unsafe ur_prep_read($0, input, memory, 64, 0) }
            seam.collect(0)
            seam.queue(20, flags: Flag.skip) { unsafe ur_prep_cancel($0, 17) }
            seam.collect(1)
            seam.queue(18) { unsafe ur_prep_read($0, 900, memory, 64, 0) }
            seam.collect(1)
            let directory = seam.world.directory
            seam.queue(19) { unsafe ur_prep_read($0, directory, memory, 64, 0) }
            seam.collect(1)
            for fd in [input, output, file, proc] { _ = Glibc.close(fd) }
        }
    }

    /// A message wakes a loop that sleeps without a time limit.
    @Test func messagesOfAnotherThread() async {
        let kernel = try! EpollKernel.make()
        let target = kernel.messageTarget
        let thread = Thread { for n in 0..<1000 { _ = EpollInbox.post(to: target, data: UInt64(n), value: 7) } }
        var next: UInt64 = 0
        while next < 1000 {
            _ = kernel.enter(waitFor: 1, timeoutNs: -1)
            for _ in 0..<(unsafe ur_cq_ready(kernel.ring)) {
                let completion = unsafe ur_cq_at(kernel.ring, 0)!.pointee
                unsafe ur_cq_advance(kernel.ring, 1)
                #expect(completion.user_data == next && completion.res == 7)
                next += 1
            }
        }
        thread.join()
        #expect(EpollInbox.post(to: 0, data: 0, value: 0) == -EBADFD)
    }

    /// Kept, woken, cancelled: none is lost or told twice.
    @Test func manyOperations() {
        conformsOnLinux(["1000 woken", "1000 cancelled", "0 left"]) { seam in
            var pairs: [(Int32, Int32)] = []
            for _ in 0..<100 {
                var ends: [Int32] = [0, 0]
                unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
                pairs.append((ends[0], ends[1]))
            }
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 2000, alignment: 8)
            defer { unsafe memory.deallocate() }
            for round in 0..<2 {
                for n in 0..<1000 { seam.queue(UInt64(n)) { unsafe ur_prep_recv_into($0, pairs[n % 100].0, memory + n, 1) } }
                _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
                if round == 0 {
                    for pair in pairs { _ = unsafe Glibc.write(pair.1, "0123456789", 10) }
                } else {
                    for n in 0..<1000 { seam.queue(5000, flags: Flag.skip) { unsafe ur_prep_cancel($0, UInt64(n)) } }
                }
                var seen = Set<UInt64>()
                while seen.count < 1000, seam.kernel.enter(waitFor: 1, timeoutNs: 5_000_000_000) != -ETIME {
                    for _ in 0..<(unsafe ur_cq_ready(seam.kernel.ring)) {
                        let completion = unsafe ur_cq_at(seam.kernel.ring, 0)!.pointee
                        unsafe ur_cq_advance(seam.kernel.ring, 1)
                        #expect(completion.res == (round == 0 ? 1 : -ECANCELED))
                        #expect(seen.insert(completion.user_data).inserted)
                    }
                }
                seam.note("\(seen.count) \(round == 0 ? "woken" : "cancelled")")
            }
            _ = seam.kernel.enter(waitFor: 0, timeoutNs: 0)
            seam.note("\(unsafe ur_cq_ready(seam.kernel.ring)) left")
            for pair in pairs {
                seam.kernel.close(pair.0)
                _ = Glibc.close(pair.1)
            }
        }
    }
}

/// A thread that can be waited for.
private final class Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let argument = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        // The thread takes over the retained reference.
        unsafe pthread_create(
            &thread, nil,
            {
                unsafe Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run()
                return nil
            }, argument)
    }

    func join() { pthread_join(thread, nil) }
}
