// Each fault of a FaultPlan, alone and certain: what it does to one operation. And each violation: what it takes to be recorded.

import CUring
import Glibc
import Testing
import UringRing
import UringSimulation

/// A kernel with one connection, driven by hand.
private final class Bench {
    let simulation: Simulation
    let simulated: SimulatedKernel
    let kernel: Kernel
    private(set) var client: SimulatedClient
    private(set) var listener: Int32
    private(set) var fd: Int32 = -1
    let directory: Int32

    init(_ options: ClientOptions = ClientOptions(), descriptorLimit: Int32 = 64, isConnected: Bool = true) {
        simulation = Simulation(seed: 1, descriptorLimit: descriptorLimit)
        simulation.files.write("/www/file", Array("contents".utf8))
        directory = simulation.openDirectory("/www")
        simulated = simulation.makeKernel()
        kernel = simulated.makeKernel()
        guard case .success(let address) = SocketAddress.parse("127.0.0.1:80"), case .success(let fd) = kernel.listen(address, backlog: 8, deferAcceptSeconds: 0)
        else { preconditionFailure("BUG: no listener") }
        listener = fd
        client = simulation.connect(to: address, options: options)
        simulation.runDue()
        if isConnected {
            queue(1) { unsafe ur_prep_accept($0, fd) }
            self.fd = enter()[0].result
        }
    }

    deinit { simulated.destroy() }

    @safe func queue(_ tag: UInt64, flags: UInt32 = 0, _ prepare: (UnsafeMutablePointer<ur_sqe>) -> Void) {
        guard let entry = unsafe ur_get_sqe(kernel.ring) else { preconditionFailure("BUG: queue full") }
        unsafe prepare(entry)
        unsafe ur_sqe_tag(entry, tag, flags)
    }

    struct Completion: Equatable {
        let tag: UInt64
        let result: Int32
        let hasMore: Bool
    }

    /// Enters without waiting; what was posted.
    func enter() -> [Completion] {
        _ = kernel.enter(waitFor: 0, timeoutNs: 0)
        return reap()
    }

    /// Enters until something is posted, or time is up.
    func wait(seconds: Int64 = 10) -> [Completion] {
        _ = kernel.enter(waitFor: 1, timeoutNs: seconds * 1_000_000_000)
        return reap()
    }

    private func reap() -> [Completion] {
        let count = unsafe ur_cq_ready(kernel.ring)
        defer { unsafe ur_cq_advance(kernel.ring, count) }
        return (0..<count).map { n in
            let cqe = unsafe ur_cq_at(kernel.ring, n).pointee
            return Completion(tag: cqe.user_data, result: cqe.res, hasMore: cqe.flags & 2 != 0)
        }
    }

    /// A send of `count` bytes from memory that lives as long as the process.
    func send(_ tag: UInt64, _ bytes: UnsafeMutableRawBufferPointer, dontWait: Bool = true, skip: Bool = false) {
        let flags = Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL) | (dontWait ? Int32(MSG_DONTWAIT) : 0)
        let fd = fd
        queue(tag, flags: skip ? 1 << 6 : 0) { unsafe ur_prep_send($0, fd, bytes.baseAddress!, UInt32(bytes.count), flags, false) }
    }
}

private func memory(_ count: Int) -> UnsafeMutableRawBufferPointer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    for index in 0..<count { unsafe bytes[index] = UInt8(truncatingIfNeeded: index) }
    return unsafe bytes
}

@Suite struct SimulatedFaultTests {
    @Test func shortSendInSpiteOfWaitAll() {
        let bench = Bench()
        bench.simulation.faults.shortSend = 1
        let bytes = unsafe memory(1000)
        unsafe bench.send(2, bytes, skip: true)
        let posted = bench.enter()
        #expect(posted.count == 1)
        #expect(posted[0].result > 0 && posted[0].result < 1000)
        #expect(unsafe bench.kernel.send(bench.fd, bytes.baseAddress!, 1000, more: false) < 1000)
        unsafe bytes.deallocate()
    }

    @Test func againThoughThereIsRoom() {
        let bench = Bench()
        bench.simulation.faults.sendAgain = 1
        let bytes = unsafe memory(10)
        unsafe bench.send(2, bytes, skip: true)
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: -EAGAIN, hasMore: false)])
        #expect(unsafe bench.kernel.send(bench.fd, bytes.baseAddress!, 10, more: false) == -Int(EAGAIN))
        // Not without DONTWAIT: such a send waits instead of answering.
        unsafe bench.send(3, bytes, dontWait: false)
        #expect(bench.enter() == [Bench.Completion(tag: 3, result: 10, hasMore: false)])
        unsafe bytes.deallocate()
    }

    @Test func multishotsThatEndWithTheirLast() {
        let bench = Bench(isConnected: false)
        bench.simulation.faults.endMultishotAccept = 1
        let listener = bench.listener
        bench.queue(2) { unsafe ur_prep_multishot_accept($0, listener) }
        let posted = bench.enter()
        #expect(posted.count == 1 && posted[0].result > 0 && !posted[0].hasMore)
        bench.kernel.close(posted[0].result)
    }

    @Test func acceptErrors() {
        let bench = Bench(isConnected: false)
        bench.simulation.faults.acceptFails = 1
        let listener = bench.listener
        bench.queue(2) { unsafe ur_prep_multishot_accept($0, listener) }
        let failed = bench.enter()
        #expect(failed.count == 1 && [-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM].contains(failed[0].result) && !failed[0].hasMore)
        // The connection has waited.
        bench.simulation.faults.acceptFails = 0
        bench.simulation.faults.acceptAborted = 1
        bench.queue(3) { unsafe ur_prep_multishot_accept($0, listener) }
        #expect(bench.enter() == [Bench.Completion(tag: 3, result: -ECONNABORTED, hasMore: false)])
        // And is gone now.
        bench.simulation.faults.acceptAborted = 0
        bench.queue(4) { unsafe ur_prep_accept($0, listener) }
        #expect(bench.enter() == [])
        #expect(bench.client.state == .reset)
    }

    @Test func acceptAtTheDescriptorLimit() {
        // 0, 1, 2, the directory, the ring and the listener.
        let bench = Bench(descriptorLimit: 6, isConnected: false)
        let listener = bench.listener
        bench.queue(2) { unsafe ur_prep_accept($0, listener) }
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: -EMFILE, hasMore: false)])
        bench.simulation.descriptorLimit = 7
        bench.queue(3) { unsafe ur_prep_accept($0, listener) }
        #expect(bench.enter() == [Bench.Completion(tag: 3, result: 6, hasMore: false)])
    }

    @Test func spuriousPoll() {
        let bench = Bench()
        bench.simulation.faults.spuriousPoll = 1
        let fd = bench.fd
        bench.queue(2) { unsafe ur_prep_poll($0, fd, 1) }
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: 1, hasMore: false)])
    }

    @Test func enterThatFails() {
        let bench = Bench()
        bench.simulation.faults.enterFails = 1
        #expect(bench.kernel.enter(waitFor: 0, timeoutNs: 0) == -EINTR)
        bench.queue(2) { unsafe ur_prep_nop($0) }
        #expect([-EAGAIN, -EBUSY].contains(bench.kernel.enter(waitFor: 0, timeoutNs: 0)))
        #expect(unsafe ur_sq_pending(bench.kernel.ring) == 1)
        bench.simulation.faults.enterFails = 0
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: 0, hasMore: false)])
    }

    @Test func partialSubmission() {
        let bench = Bench()
        bench.simulation.faults.partialSubmission = 1
        for tag in 2..<12 { bench.queue(UInt64(tag)) { unsafe ur_prep_nop($0) } }
        let consumed = bench.kernel.enter(waitFor: 10, timeoutNs: -1)
        #expect(consumed > 0 && consumed < 10)
        #expect(unsafe ur_sq_pending(bench.kernel.ring) == UInt32(10 - consumed))
        bench.simulation.faults.partialSubmission = 0
        #expect(bench.enter().map(\.tag) == (2..<12).map { UInt64($0) })
    }

    @Test func delayedCompletion() {
        let bench = Bench()
        bench.simulation.faults.delayCompletion = 1
        let fd = bench.fd
        bench.queue(2) { unsafe ur_prep_poll($0, fd, 1) }
        #expect(bench.enter() == [])
        bench.client.send([1])
        #expect(bench.enter() == [])
        let before = bench.kernel.now()
        #expect(bench.wait() == [Bench.Completion(tag: 2, result: 1, hasMore: false)])
        #expect(bench.kernel.now() > before)
    }

    @Test func coldFiles() {
        let bench = Bench()
        bench.simulation.faults.openNotCached = 1
        bench.simulation.faults.readNotCached = 1
        let open = { (cachedOnly: Bool) in
            unsafe "file".withCString { unsafe bench.kernel.openFile(directory: bench.directory, path: $0, cachedOnly: cachedOnly) }
        }
        #expect(open(true) == -EAGAIN)
        let fd = open(false)
        #expect(fd > 0)
        let into = unsafe memory(8)
        #expect(unsafe bench.kernel.readCached(fd, into: into.baseAddress!, count: 8, offset: 0) == -Int(EAGAIN))
        bench.queue(2) { unsafe ur_prep_read($0, fd, into.baseAddress!, 8, 0) }
        #expect(bench.enter() == [])
        let before = bench.kernel.now()
        #expect(bench.wait() == [Bench.Completion(tag: 2, result: 8, hasMore: false)])
        #expect(bench.kernel.now() - before >= 50_000)
        #expect(unsafe Array(into) == Array("contents".utf8))
        bench.kernel.close(fd)
        unsafe into.deallocate()
    }

    @Test func clocks() {
        let bench = Bench()
        let (now, unix) = (bench.kernel.now(), bench.kernel.unixTime())
        bench.simulation.advance(byNs: 3_000_000_000)
        #expect(bench.kernel.now() == now + 3_000_000_000)
        #expect(bench.kernel.unixTime() == unix + 3)
        bench.simulation.stepUnixTime(-7200)
        #expect(bench.kernel.unixTime() == unix + 3 - 7200)
        bench.simulation.faults.timeJump = 1
        bench.simulation.advance(byNs: 1)
        #expect(bench.kernel.now() > now + 3_000_000_001)
    }

    /// Waiting advances the clock to what happens next, and to the end of the wait when that is sooner.
    @Test func waitingIsTimePassing() {
        let bench = Bench()
        let fd = bench.fd
        bench.queue(2) { unsafe ur_prep_poll($0, fd, 1) }
        bench.client.run([.wait(5_000_000_000), .send([1])])
        let began = bench.kernel.now()
        #expect(bench.wait(seconds: 2) == [])
        #expect(bench.kernel.now() - began < 2_100_000_000)
        #expect(bench.kernel.enter(waitFor: 1, timeoutNs: 0) == -ETIME)
        #expect(bench.wait() == [Bench.Completion(tag: 2, result: 1, hasMore: false)])
        #expect(bench.kernel.now() - began < 5_100_000_000)
    }
}

@Suite struct ViolationTests {
    @Test func useOfAClosedDescriptor() {
        let bench = Bench()
        let fd = bench.fd
        bench.kernel.close(fd)
        bench.queue(2, flags: 1 << 5) { unsafe ur_prep_recv($0, fd, 0, false) }
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: -EBADF, hasMore: false)])
        bench.kernel.close(fd)
        bench.queue(3) { unsafe ur_prep_close($0, fd) }
        #expect(bench.enter() == [Bench.Completion(tag: 3, result: -EBADF, hasMore: false)])
        #expect(
            bench.simulation.violations == [
                "operation 27 on descriptor \(fd), which is not open", "close of descriptor \(fd), which is not open",
                "a queued close of descriptor \(fd), which is not open",
            ])
    }

    @Test func bytesThatChangeUnderASend() {
        var options = ClientOptions()
        options.serverSendBytes = 100
        options.reads = false
        let bench = Bench(options)
        let bytes = unsafe memory(300)
        unsafe bench.send(2, bytes, dontWait: false)
        #expect(bench.enter() == [])
        unsafe bytes[250] = 0
        bench.client.startReading()
        #expect(bench.wait() == [Bench.Completion(tag: 2, result: 300, hasMore: false)])
        #expect(bench.simulation.violations == ["the bytes of a send on descriptor \(bench.fd) changed while it was in flight"])
        unsafe bytes.deallocate()
    }

    @Test func aCloseUnderAnArmedOperationIsCounted() {
        let bench = Bench()
        let fd = bench.fd
        bench.queue(2) { unsafe ur_prep_poll($0, fd, 1) }
        _ = bench.enter()
        bench.kernel.close(fd)
        #expect(bench.simulation.closedWhileArmed == 1)
        #expect(bench.simulation.violations == [])
        // The number is free at once, the operation still hears of its old file.
        bench.client.send([1])
        #expect(bench.enter() == [Bench.Completion(tag: 2, result: 1, hasMore: false)])
    }

    @Test func leaks() {
        let bench = Bench()
        let fd = bench.fd
        bench.queue(2) { unsafe ur_prep_poll($0, fd, 1) }
        _ = bench.enter()
        #expect(
            bench.simulation.leaks() == [
                "operation in flight: opcode 6 on descriptor \(fd), user data 2", "descriptor \(bench.listener) is open: listener on 127.0.0.1:80",
                "descriptor \(fd) is open: connection 4 from \(bench.client.address.description)",
            ])
        bench.queue(3) { unsafe ur_prep_cancel($0, 2) }
        _ = bench.enter()
        bench.kernel.close(fd)
        bench.kernel.close(bench.listener)
        #expect(bench.simulation.leaks() == [])
    }

    @Test func deadlock() {
        let bench = Bench()
        for _ in 0..<3 { _ = bench.kernel.enter(waitFor: 1, timeoutNs: -1) }
        #expect(bench.simulation.isDeadlocked)
        #expect(bench.simulation.violations == ["deadlock: every loop waits without limit and nothing is scheduled"])
    }

    @Test func theDriverTellsHowItEnded() {
        let simulation = Simulation(seed: 1)
        let kernel = simulation.makeKernel().makeKernel()
        let spin = {
            _ = kernel.enter(waitFor: 0, timeoutNs: 0)
            return true
        }
        #expect(simulation.run([spin], turnsMax: 100) { false } == .endless)
        #expect(simulation.run([spin], turnsMax: 100) { true } == .finished)
        let sleep = {
            _ = kernel.enter(waitFor: 1, timeoutNs: -1)
            return true
        }
        #expect(simulation.run([sleep], turnsMax: 100) { false } == .deadlocked)
    }
}
