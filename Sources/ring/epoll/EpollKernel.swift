// EpollKernel: the seam where io_uring is forbidden. It consumes the same submission entries and posts the same completions as the ring, by
// non-blocking system calls and one edge-triggered epoll. Created, used and destroyed on its loop's pinned thread.
//
// An entry is carried out when `enter` consumes it. What would have to wait is kept (EpollOperation) and tried again when epoll says so; what may
// wait for a disk goes to a worker thread (EpollWorkers). Semantics are those of io_uring/net.c and io_uring/rw.c of Linux 6.12 to 6.18;
// Tests/ring holds this kernel, the ring and the simulated kernel against each other.
//
// Pointers: the ring's memory, the state and its tables live as long as this object. Memory that entries name is the program's until the completion.

package import CUring
internal import Glibc

@safe
package final class EpollKernel: SystemKernel {
    /// Events taken from epoll at a time: more than a turn usually has, and a buffer of 6 KB.
    private static let eventsMax: Int32 = 512
    /// How often a connect that found a unix socket's backlog full is tried again. Nothing tells when it has room.
    private static let retryNs: Int64 = 5_000_000

    let state: UnsafeMutablePointer<EpollState>
    let epoll: Int32
    let inbox: EpollInbox
    let workers: EpollWorkers
    private let words: UnsafeMutablePointer<UInt32>
    private let submissions: UnsafeMutablePointer<ur_sqe>
    private let completions: UnsafeMutablePointer<ur_cqe>
    private let events: UnsafeMutablePointer<ur_epoll_event>

    /// The event descriptor's place in epoll: no descriptor is this large.
    static let inboxData = UInt64.max

    /// - Throws: `SystemError` when there is no descriptor left.
    package static func make() throws(SystemError) -> EpollKernel {
        let epoll = ur_epoll_create()
        guard epoll >= 0 else { throw SystemError("epoll_create1", code: -epoll, remedy: UringKernel.remedy(for: -epoll)) }
        let inbox: EpollInbox
        do { inbox = try EpollInbox() } catch {
            closeNow(epoll)
            throw error
        }
        let code = ur_epoll_control(epoll, EpollEvents.add, inbox.descriptor, EpollEvents.input | EpollEvents.edgeTriggered, inboxData)
        guard code == 0 else {
            inbox.close()
            closeNow(epoll)
            throw SystemError("epoll_ctl", code: -code)
        }
        return EpollKernel(epoll: epoll, inbox: inbox)
    }

    private init(epoll: Int32, inbox: EpollInbox) {
        (self.epoll, self.inbox) = (epoll, inbox)
        workers = EpollWorkers(inbox: inbox)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: EpollState())
        unsafe words = .allocate(capacity: 8)
        unsafe words.initialize(repeating: 0, count: 8)
        let (entries, results) = (UringKernel.submissionEntries, UringKernel.completionEntries)
        unsafe submissions = .allocate(capacity: Int(entries))
        unsafe submissions.initialize(repeating: ur_sqe(), count: Int(entries))
        unsafe completions = .allocate(capacity: Int(results))
        unsafe completions.initialize(repeating: ur_cqe(), count: Int(results))
        unsafe events = .allocate(capacity: Int(Self.eventsMax))
        unsafe events.initialize(repeating: ur_epoll_event(), count: Int(Self.eventsMax))
        let ring = UnsafeMutablePointer<ur_ring>.allocate(capacity: 1)
        unsafe ring.initialize(to: ur_ring())
        unsafe ur_simulated_ring(ring, words, submissions, entries, completions, results)
        var features = KernelFeatures()
        (features.multishotReceive, features.bufferRings, features.messages) = (true, true, true)
        unsafe super.init(ring: ring, features: features)
    }

    /// The loop has let go: what is in flight ends without a word, as with a ring that is closed.
    deinit {
        workers.stop()
        inbox.close()
        for item in inbox.take() {
            // A file that nobody will hear of.
            if case .finished(let index, let result) = item, result >= 0, unsafe operation(index).pointee.entry.opcode == EpollOpcode.open.rawValue {
                Self.closeNow(result)
            }
        }
        unsafe state.pointee.destroy()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
        Self.closeNow(epoll)
        releaseRetired()
        unsafe events.deallocate()
        unsafe completions.deallocate()
        unsafe submissions.deallocate()
        unsafe words.deallocate()
        unsafe ring.deallocate()
    }

    package override var messageTarget: Int32 { inbox.descriptor }

    // MARK: enter

    package override func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 {
        let queued = unsafe ur_sq_flush(ring)
        if queued > 0 { submit(queued) }
        let waited = waitForCompletions(minimum, timeoutNs)
        // As io_uring_enter: the result of waiting shows only when nothing was submitted.
        return queued > 0 ? Int32(bitPattern: queued) : waited
    }

    /// Looks at epoll once in any case: a loop that always has something to do must hear of the others too.
    private func waitForCompletions(_ minimum: UInt32, _ timeoutNs: Int64) -> Int32 {
        if unsafe state.pointee.hasBacklog { workOff() }
        var deadline: UInt64 = 0
        var left = timeoutNs
        while true {
            var pause: Int64 = 0
            if unsafe ur_cq_ready(ring) < minimum, unsafe state.pointee.yielding.isEmpty {
                if timeoutNs > 0, deadline == 0 { deadline = now().addingReportingOverflow(UInt64(timeoutNs)).partialValue }
                pause = clampedToRetries(left)
            }
            let count = unsafe ur_epoll_wait(epoll, events, Self.eventsMax, pause)
            if count > 0 {
                for n in 0..<count { unsafe take(ur_epoll_events(events, n), ur_epoll_data(events, n)) }
            }
            if unsafe state.pointee.hasBacklog { workOff() }
            if unsafe ur_cq_ready(ring) >= minimum { return 0 }
            if count < 0 { return count }
            // The wait brought nothing that counts: an event of nobody, or the time of a retry.
            if timeoutNs >= 0 {
                let now = deadline == 0 ? 0 : now()
                if now >= deadline { return -ETIME }
                left = Int64(clamping: deadline &- now)
            }
        }
    }

    private func clampedToRetries(_ ns: Int64) -> Int64 {
        if unsafe state.pointee.retrying.isEmpty { return ns }
        return ns < 0 ? Self.retryNs : min(ns, Self.retryNs)
    }

    /// What waits for a turn and not for an event.
    private func workOff() {
        runCancelled()
        let (yielding, retrying) = unsafe (state.pointee.yielding, state.pointee.retrying)
        unsafe (state.pointee.yielding, state.pointee.retrying) = ([], [])
        for index in yielding where takeTurn(index) { wake(index, unsafe operation(index).pointee.events) }
        for index in retrying where takeTurn(index) { wake(index, 0) }
        runCancelled()
        flushOverflow()
        unsafe state.pointee.noteBacklog()
    }

    /// False when it has ended meanwhile: its slot is free, or somebody else's.
    private func takeTurn(_ index: Int32) -> Bool {
        let operation = unsafe operation(index)
        guard unsafe operation.pointee.awaitsTurn, unsafe operation.pointee.state == .armed else { return false }
        unsafe operation.pointee.awaitsTurn = false
        return true
    }

    // MARK: submission

    /// Carries the queued entries out, in their order. A chain that is still open at the end of the batch ends there, as in Linux.
    private func submit(_ count: UInt32) {
        var offset: UInt32 = 0
        while offset < count {
            let entry = unsafe ur_sim_sq_at(ring, offset)!
            if unsafe entry.pointee.flags & (EpollBits.link | EpollBits.hardLink) == 0 {
                unsafe start(entry)
                offset &+= 1
            } else {
                offset = submitChain(offset, count)
            }
            if unsafe !state.pointee.cancelled.isEmpty { runCancelled() }
        }
        unsafe ur_sim_sq_consume(ring, count)
    }

    private func start(_ entry: UnsafeMutablePointer<ur_sqe>) {
        let attempt = unsafe isAcceptable(entry) ? perform(entry, nil, 0) : .finished(-EINVAL)
        if attempt.kind == .finished {
            unsafe tell(entry.pointee.user_data, entry.pointee.flags, attempt)
        } else {
            unsafe park(claim(entry), attempt)
        }
    }

    /// - Returns: the offset of the first entry behind the chain.
    private func submitChain(_ first: UInt32, _ count: UInt32) -> UInt32 {
        var end = first &+ 1
        while end < count, unsafe ur_sim_sq_at(ring, end &- 1)!.pointee.flags & (EpollBits.link | EpollBits.hardLink) != 0 { end &+= 1 }
        for offset in first..<end where unsafe !isAcceptable(ur_sim_sq_at(ring, offset)!) {
            refuseChain(first..<end, because: offset)
            return end
        }
        var offset = first
        while offset < end {
            let entry = unsafe ur_sim_sq_at(ring, offset)!
            let attempt = unsafe perform(entry, nil, 0)
            guard attempt.kind == .finished else {
                let operation = unsafe claim(entry)
                linkRest(operation, offset &+ 1..<end)
                park(operation, attempt)
                return end
            }
            unsafe tell(entry.pointee.user_data, entry.pointee.flags, attempt)
            offset &+= 1
            if attempt.failed, unsafe entry.pointee.flags & EpollBits.hardLink == 0 {
                // A silent operation that fails silences the rest of its chain (io_uring_enter(2), IOSQE_CQE_SKIP_SUCCESS).
                if unsafe entry.pointee.flags & EpollBits.skipSuccess == 0 {
                    for rest in offset..<end { unsafe post(ur_sim_sq_at(ring, rest)!.pointee.user_data, -ECANCELED, 0) }
                }
                return end
            }
        }
        return end
    }

    /// One bad entry: nothing of its chain is carried out.
    private func refuseChain(_ chain: Range<UInt32>, because wrong: UInt32) {
        let silently = unsafe ur_sim_sq_at(ring, chain.lowerBound)!.pointee.flags & EpollBits.skipSuccess != 0
        for offset in chain where offset == chain.lowerBound || !silently {
            unsafe post(ur_sim_sq_at(ring, offset)!.pointee.user_data, offset == wrong ? -EINVAL : -ECANCELED, 0)
        }
    }

    private func linkRest(_ head: Int32, _ rest: Range<UInt32>) {
        var last = head
        for offset in rest {
            let next = unsafe claim(ur_sim_sq_at(ring, offset)!)
            unsafe operation(next).pointee.state = .linked
            unsafe operation(last).pointee.link = next
            last = next
        }
    }

    private func isAcceptable(_ entry: UnsafeMutablePointer<ur_sqe>) -> Bool {
        unsafe entry.pointee.flags & (EpollBits.fixedFile | EpollBits.drain) == 0 && EpollOpcode(rawValue: entry.pointee.opcode) != nil
    }

    // MARK: carrying out

    /// Carries an operation out as far as it goes now.
    /// - Parameters:
    ///   - operation: nil at submission.
    ///   - events: what its descriptor has told; 0 when it was not asked.
    func perform(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?, _ events: UInt32) -> EpollAttempt {
        switch unsafe EpollOpcode(rawValue: entry.pointee.opcode) {
        case .receive: unsafe receive(entry, operation, events)
        case .send, .sendMessage: unsafe send(entry, operation)
        case .close: unsafe .finished(closeDescriptor(entry.pointee.fd))
        case .accept: unsafe accept(entry, operation)
        case .nop: .finished(0)
        case .pollAdd: unsafe poll(entry, events)
        case .cancel: unsafe cancel(entry)
        case .connect: unsafe connect(entry, operation, events)
        case .read: unsafe read(entry, events)
        case .write: unsafe write(entry, operation, events)
        case .open: unsafe open(entry)
        case .shutdown: unsafe shutDown(entry)
        case .messageRing: unsafe message(entry)
        case nil: .finished(-EINVAL)
        }
    }

    /// Keeps an operation until what it waits for has come.
    func park(_ index: Int32, _ attempt: EpollAttempt) {
        unsafe operation(index).pointee.done = attempt.done
        switch attempt.kind {
        case .finished: finish(index, attempt)
        case .wait: arm(index, attempt.events, isExhausted: attempt.isExhausted)
        case .yield:
            arm(index, attempt.events, isExhausted: false)
            // Unless that has ended it.
            if unsafe operation(index).pointee.state == .armed {
                unsafe operation(index).pointee.awaitsTurn = true
                unsafe state.pointee.yielding.append(index)
                unsafe state.pointee.hasBacklog = true
            }
        case .work: handToWorker(index)
        case .retry:
            keepFindable(index)
            unsafe operation(index).pointee.state = .armed
            unsafe operation(index).pointee.awaitsTurn = true
            unsafe state.pointee.retrying.append(index)
            unsafe state.pointee.hasBacklog = true
        }
    }

    /// Its descriptor is ready, or it is its turn.
    func wake(_ index: Int32, _ events: UInt32) {
        let operation = unsafe operation(index)
        let attempt = unsafe perform(&operation.pointee.entry, operation, events)
        // The usual end of a receive that goes on: there is nothing to change.
        if attempt.kind == .wait, attempt.isExhausted, unsafe operation.pointee.events == attempt.events {
            unsafe operation.pointee.done = attempt.done
            return
        }
        park(index, attempt)
    }

    /// The end of a kept operation: its completion, and what comes behind it in its chain.
    func finish(_ index: Int32, _ attempt: EpollAttempt) {
        let operation = unsafe operation(index)
        let (userData, flags, link) = unsafe (operation.pointee.entry.user_data, operation.pointee.entry.flags, operation.pointee.link)
        detach(index)
        release(index)
        tell(userData, flags, attempt)
        guard link >= 0 else { return }
        if attempt.failed, flags & EpollBits.hardLink == 0 { return cancelChain(link, silently: flags & EpollBits.skipSuccess != 0) }
        let next = unsafe self.operation(link)
        unsafe park(link, perform(&next.pointee.entry, next, 0))
    }

    private func cancelChain(_ first: Int32, silently: Bool) {
        var index = first
        while index >= 0 {
            let (userData, next) = unsafe (operation(index).pointee.entry.user_data, operation(index).pointee.link)
            release(index)
            if !silently { post(userData, -ECANCELED, 0) }
            index = next
        }
    }

    /// Tells those that were cancelled. Behind the completion of who cancelled them, as the ring does.
    func runCancelled() {
        while unsafe !state.pointee.cancelled.isEmpty {
            let index = unsafe state.pointee.cancelled.removeFirst()
            let done = unsafe operation(index).pointee.done
            // A send that got rid of something says so (io_sendrecv_fail).
            finish(index, .finished(done > 0 ? Int32(clamping: done) : -ECANCELED, failed: true))
        }
    }

    // MARK: completions

    private func tell(_ userData: UInt64, _ flags: UInt8, _ attempt: EpollAttempt) {
        if attempt.failed || flags & EpollBits.skipSuccess == 0 { post(userData, attempt.result, attempt.flags) }
    }

    /// Posts a completion; it waits in the backlog when the queue is full.
    func post(_ userData: UInt64, _ result: Int32, _ flags: UInt32) {
        // Behind a backlog everything queues up, or completions would overtake each other.
        if unsafe state.pointee.overflow.isEmpty, unsafe ur_sim_cq_push(ring, userData, result, flags) { return }
        var completion = ur_cqe()
        (completion.user_data, completion.res, completion.flags) = (userData, result, flags)
        unsafe state.pointee.overflow.append(completion)
        unsafe state.pointee.hasBacklog = true
        unsafe ur_sim_set_overflow(ring, true)
    }

    /// Posts one of a multishot's completions. False when there is no room: the multishot has to end then.
    func postMore(_ userData: UInt64, _ result: Int32, _ flags: UInt32) -> Bool {
        unsafe state.pointee.overflow.isEmpty && ur_sim_cq_push(ring, userData, result, flags | EpollBits.more)
    }

    private func flushOverflow() {
        let count = unsafe state.pointee.overflow.count
        guard count > 0 else { return }
        var moved = 0
        while moved < count {
            let completion = unsafe state.pointee.overflow[moved]
            guard unsafe ur_sim_cq_push(ring, completion.user_data, completion.res, completion.flags) else { break }
            moved += 1
        }
        unsafe state.pointee.overflow.removeFirst(moved)
        if unsafe state.pointee.overflow.isEmpty { unsafe ur_sim_set_overflow(ring, false) }
    }

    // MARK: immediate calls: those that make or end a descriptor

    package override func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        let result = super.listen(address, backlog: backlog, deferAcceptSeconds: deferAcceptSeconds)
        if case .success(let fd) = result { adopt(fd, isTCP: address.family != .unix) }
        return result
    }

    package override func socket(_ family: SocketAddress.Family) -> Int32 {
        let fd = super.socket(family)
        if fd >= 0 { adopt(fd, isTCP: family != .unix) }
        return fd
    }

    package override func acceptWaiting(_ fd: Int32) -> Int32 {
        let accepted = super.acceptWaiting(fd)
        if accepted >= 0 { adopt(accepted, isTCP: unsafe descriptor(fd).pointee.isTCP) }
        return accepted
    }

    package override func close(_ fd: Int32) { _ = closeDescriptor(fd) }

    package override func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        let fd = unsafe super.openFile(directory: directory, path: path, cachedOnly: cachedOnly, resolve: resolve)
        if fd >= 0 { adopt(fd, isTCP: false) }
        // Linux before 5.12 does not know RESOLVE_CACHED: a worker opens the file.
        return fd == -EINVAL && cachedOnly ? -EAGAIN : fd
    }

    package override func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        unsafe addGroup(memory, entries: entries, group)
    }
}
