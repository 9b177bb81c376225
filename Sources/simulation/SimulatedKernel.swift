// SimulatedKernel: io_uring as Linux does it, on memory of its own. It consumes submission entries, works off what becomes ready and posts
// completions, all inside enter() and in an order that the simulation's seed decides. One per loop; created by Simulation.makeKernel.
//
// Faithful to Linux with DEFER_TASKRUN: what cannot finish at submission waits for readiness, and readiness is worked off only in an enter
// with GETEVENTS, about twenty operations at a time.

internal import CUring
internal import Glibc
package import UringRing

@safe
package final class SimulatedKernel: KernelCalls {
    /// Operations worked off in one go (IO_LOCAL_TW_DEFAULT_MAX in io_uring/io_uring.c).
    static let workPerRun = 20

    package static let allFeatures: KernelFeatures = {
        var features = KernelFeatures()
        features.deferTaskrun = true
        features.noSubmissionArray = true
        features.multishotReceive = true
        features.bufferRings = true
        features.messages = true
        return features
    }()

    package let simulation: Simulation
    package let features: KernelFeatures
    /// All four are allocated here and freed by deinit; the loop's Kernel object keeps this object alive.
    let ring: UnsafeMutablePointer<ur_ring>
    private let words: UnsafeMutablePointer<UInt32>
    private let submissions: UnsafeMutablePointer<ur_sqe>
    private let completions: UnsafeMutablePointer<ur_cqe>
    private(set) var ringDescriptor: Int32 = -1
    private var isDestroyed = false
    private var wasMade = false

    /// Operations whose descriptor became ready, or whose turn in a chain has come.
    private var work: [PendingOperation] = []
    /// Messages of other rings, on their way into this one's completion queue.
    private var messages: [(data: UInt64, value: Int32)] = []
    /// Completions that found the queue full, oldest first.
    private var overflow: [ur_cqe] = []
    /// Everything in flight.
    private var armed: [PendingOperation] = []
    var bufferGroups: [Int32: ProvidedBuffers] = [:]

    /// Set between an enter that found nothing and the next one.
    private var isWaiting = false
    private(set) var waitDeadline: UInt64?
    var lastTurn = 0

    /// Completions posted, ever.
    package private(set) var completionCount: UInt64 = 0
    /// Times the completion queue overflowed.
    package private(set) var overflowCount: UInt64 = 0

    init(_ simulation: Simulation, features: KernelFeatures, submissionEntries: UInt32, completionEntries: UInt32) {
        func isPowerOfTwo(_ n: UInt32) -> Bool { n > 0 && n & (n - 1) == 0 }
        precondition(isPowerOfTwo(submissionEntries) && isPowerOfTwo(completionEntries), "BUG: ring sizes are powers of two")
        self.simulation = simulation
        self.features = features
        unsafe ring = .allocate(capacity: 1)
        unsafe ring.initialize(to: ur_ring())
        unsafe words = .allocate(capacity: 8)
        unsafe words.initialize(repeating: 0, count: 8)
        unsafe submissions = .allocate(capacity: Int(submissionEntries))
        unsafe submissions.initialize(repeating: ur_sqe(), count: Int(submissionEntries))
        unsafe completions = .allocate(capacity: Int(completionEntries))
        unsafe completions.initialize(repeating: ur_cqe(), count: Int(completionEntries))
        unsafe ur_simulated_ring(ring, words, submissions, submissionEntries, completions, completionEntries)
        ringDescriptor = simulation.descriptors.add(RingFile(simulation, self)) ?? -1
        unsafe ring.pointee.ring_fd = ringDescriptor
    }

    deinit {
        unsafe ring.deallocate()
        unsafe words.deallocate()
        unsafe submissions.deallocate()
        unsafe completions.deallocate()
    }

    /// What the loop is given. Once only: the ring ends with that object.
    package func makeKernel() -> Kernel {
        precondition(!wasMade, "BUG: one ring, one kernel object")
        wasMade = true
        return unsafe ForwardingKernel(ring: ring, features: features, calls: self)
    }

    /// The ring is closed: Linux cancels what is in flight and posts nothing.
    package func destroy() {
        guard !isDestroyed else { return }
        let rest = held()
        isDestroyed = true
        for operation in armed {
            operation.state = .done
            operation.next = nil
            detach(operation)
        }
        armed.removeAll()
        work.removeAll()
        bufferGroups.removeAll()
        _ = simulation.descriptors.remove(ringDescriptor)
        simulation.removeKernel(self, leaving: rest)
    }

    /// Operations in flight and provided buffers that are not in their ring.
    func held() -> [String] {
        var found = armed.map {
            "operation in flight: opcode \($0.entry.opcode) on descriptor \($0.entry.descriptor), user data \(String($0.entry.userData, radix: 16))"
        }
        for group in bufferGroups.keys.sorted() {
            let buffers = bufferGroups[group]!
            guard buffers.isMapped() else {
                found.append("the buffer ring of group \(group) was unmapped before its kernel was destroyed")
                continue
            }
            let count = buffers.heldByProgram
            if count > 0 { found.append("\(count) buffers of group \(group) are not in their ring") }
        }
        return found
    }

    package var armedOperations: Int { armed.count }
    /// Operations in flight on a descriptor, by opcode: for tests that look for a forgotten one.
    package func armedOperations(on fd: Int32) -> [UInt8] { armed.filter { $0.entry.descriptor == fd }.map(\.entry.opcode) }

    // MARK: enter

    package func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 {
        simulation.takeTurn(self)
        isWaiting = false
        waitDeadline = nil
        simulation.enterPassesTime()
        let queued = unsafe ur_sq_flush(ring)
        if simulation.fault(\.enterFails) {
            let code = queued == 0 ? -EINTR : simulation.random.chance(0.5) ? -EAGAIN : -EBUSY
            simulation.trace(.fault, 3, Int64(code))
            return code
        }
        let consumed = queued > 1 && simulation.fault(\.partialSubmission) ? UInt32(simulation.random.within(1...Int(queued - 1))) : queued
        submit(consumed)
        guard consumed == queued else { return Int32(consumed) }
        let waited = waitForCompletions(minimum, timeoutNs)
        simulation.trace(.enter, Int64(consumed), Int64(waited), unsafe Int64(ur_cq_ready(ring)))
        // As io_uring_enter: the result of waiting shows only when nothing was submitted.
        return consumed > 0 ? Int32(consumed) : waited
    }

    private func waitForCompletions(_ minimum: UInt32, _ timeoutNs: Int64) -> Int32 {
        let deadline = timeoutNs < 0 || minimum == 0 ? nil : simulation.now &+ UInt64(timeoutNs)
        while true {
            runWork()
            flushOverflow()
            if unsafe ur_cq_ready(ring) >= minimum {
                wakes()
                return 0
            }
            if !work.isEmpty || !messages.isEmpty { continue }
            if let deadline, simulation.now >= deadline {
                wakes()
                return -ETIME
            }
            waitDeadline = deadline
            isWaiting = true
            if simulation.othersMustRun(than: self) {
                // Linux would let this thread sleep while the others run; here it is asked again later.
                return -EINTR
            }
            let next = simulation.nextMoment(seenFrom: self)
            if simulation.returnsToDriver(before: next) { return -EINTR }
            guard let next else {
                simulation.nothingToWaitFor()
                return -EINTR
            }
            simulation.advance(to: next)
        }
    }

    /// The loop goes back to work: until it enters again, time stands still for the others.
    private func wakes() {
        isWaiting = false
        waitDeadline = nil
    }

    /// Its loop would not sleep now.
    func mustRun(now: UInt64) -> Bool {
        !isWaiting || !work.isEmpty || !messages.isEmpty || waitDeadline.map { now >= $0 } ?? false
    }

    // MARK: work

    func queueWork(_ operation: PendingOperation) {
        guard operation.state != .queued, operation.state != .done, !isDestroyed else { return }
        operation.state = .queued
        if simulation.fault(\.delayCompletion) {
            simulation.schedule(after: simulation.random.within(0...simulation.faults.delayNsMax)) { [weak self] in
                if operation.state == .queued { self?.work.append(operation) }
            }
        } else {
            work.append(operation)
        }
    }

    /// Works off up to `workPerRun` of what is queued now; what that queues in turn waits for the next run.
    private func runWork() {
        let arrived = messages
        messages.removeAll(keepingCapacity: true)
        for message in arrived { post(message.data, message.value, 0) }
        guard !work.isEmpty else { return }
        let count = min(work.count, Self.workPerRun)
        var batch = Array(work.prefix(count))
        work.removeFirst(count)
        if count > 1, simulation.fault(\.reorderCompletions) { reorder(&batch) }
        for operation in batch where operation.state == .queued {
            operation.state = .new
            if operation.isCancelled {
                finishCancelled(operation)
            } else {
                perform(operation)
            }
        }
    }

    /// Another order, in which the operations of one file keep theirs.
    private func reorder(_ batch: inout [PendingOperation]) {
        let before = batch
        for last in stride(from: batch.count - 1, to: 0, by: -1) { batch.swapAt(last, simulation.random.below(last + 1)) }
        // Each file's operations, in their old order, take the places that the shuffle gave to that file.
        var taken = [Bool](repeating: false, count: before.count)
        for place in batch.indices {
            let file = batch[place].file
            guard file != nil, let first = before.indices.first(where: { !taken[$0] && before[$0].file === file }) else { continue }
            taken[first] = true
            batch[place] = before[first]
        }
        simulation.trace(.fault, 4, Int64(batch.count))
    }

    // MARK: completions

    /// Posts a completion; it waits in the backlog when the queue is full.
    func post(_ userData: UInt64, _ result: Int32, _ flags: UInt32) {
        completionCount += 1
        simulation.trace(.complete, Int64(bitPattern: userData), Int64(result), Int64(flags))
        // Behind a backlog everything queues up, or completions would overtake each other.
        if overflow.isEmpty, unsafe ur_sim_cq_push(ring, userData, result, flags) { return }
        overflowCount += 1
        simulation.trace(.overflow, Int64(overflow.count))
        var cqe = ur_cqe()
        (cqe.user_data, cqe.res, cqe.flags) = (userData, result, flags)
        overflow.append(cqe)
        unsafe ur_sim_set_overflow(ring, true)
    }

    /// Posts one of a multishot's completions, with F_MORE. False when there is no room: the multishot has to end then.
    func postMore(_ userData: UInt64, _ result: Int32, _ flags: UInt32) -> Bool {
        guard overflow.isEmpty, unsafe ur_sim_cq_push(ring, userData, result, flags | Bits.more) else { return false }
        completionCount += 1
        simulation.trace(.complete, Int64(bitPattern: userData), Int64(result), Int64(flags | Bits.more))
        return true
    }

    private func flushOverflow() {
        guard !overflow.isEmpty else { return }
        var moved = 0
        while moved < overflow.count {
            let cqe = overflow[moved]
            guard unsafe ur_sim_cq_push(ring, cqe.user_data, cqe.res, cqe.flags) else { break }
            moved += 1
        }
        overflow.removeFirst(moved)
        if overflow.isEmpty { unsafe ur_sim_set_overflow(ring, false) }
    }

    /// The end of an operation: its completion, if it is not to be silent, and its chain.
    func finish(_ operation: PendingOperation, _ result: Int32, flags: UInt32 = 0, failed: Bool? = nil) {
        let failed = failed ?? (result < 0)
        operation.state = .done
        if failed && operation.skipsCompletion {
            operation.skipsCompletion = false
            operation.silencesChain = true
        }
        disarm(operation)
        if !operation.skipsCompletion { post(operation.entry.userData, result, flags) }
        let file = operation.file
        detach(operation)
        if let next = operation.next {
            operation.next = nil
            if failed && operation.entry.flags & Bits.hardLink == 0 {
                cancelChain(next, silently: operation.silencesChain)
            } else {
                queueWork(next)
            }
        }
        file?.releaseIfUnused()
    }

    func cancelChain(_ first: PendingOperation, silently: Bool) {
        var link = Optional(first)
        while let operation = link {
            link = operation.next
            operation.next = nil
            operation.state = .done
            disarm(operation)
            if !silently { post(operation.entry.userData, -ECANCELED, 0) }
        }
    }

    private func finishCancelled(_ operation: PendingOperation) {
        // A send that got rid of something says so (io_sendrecv_fail).
        finish(operation, operation.done > 0 ? Int32(clamping: operation.done) : -ECANCELED, failed: true)
    }

    private func detach(_ operation: PendingOperation) {
        guard let file = operation.file else { return }
        file.waiters.removeAll { $0 === operation }
        file.operations -= 1
        operation.file = nil
        if isDestroyed { file.releaseIfUnused() }
    }

    // MARK: what is in flight

    func register(_ operation: PendingOperation) {
        guard operation.armedIndex < 0 else { return }
        operation.armedIndex = armed.count
        armed.append(operation)
    }

    private func disarm(_ operation: PendingOperation) {
        let index = operation.armedIndex
        guard index >= 0 else { return }
        operation.armedIndex = -1
        let last = armed.removeLast()
        if last !== operation {
            armed[index] = last
            last.armedIndex = index
        }
    }

    /// Waits until the operation's file has one of `events`.
    func arm(_ operation: PendingOperation, _ events: UInt32) {
        operation.waitEvents = events | PollEvents.always
        operation.state = .armed
        register(operation)
        guard let file = operation.file else { return }
        operation.hasWaited = true
        if !file.waiters.contains(where: { $0 === operation }) { file.waiters.append(operation) }
        // Ready meanwhile, or while it was being armed: Linux looks again too (io_arm_poll_handler).
        if file.readiness() & operation.waitEvents != 0 { queueWork(operation) }
    }

    func inFlight(where matches: (PendingOperation) -> Bool) -> [PendingOperation] {
        armed.filter { !$0.isCancelled && matches($0) }
    }

    /// Puts a message of another ring, or of the world, into this one's completion queue at its next enter.
    package func receiveMessage(value: Int32, data: UInt64) {
        guard !isDestroyed else { return }
        messages.append((data, value))
    }
}
