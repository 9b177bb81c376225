// LoopWaits: what tasks of a loop wait for: points in time, and operations of its ring. The loop's thread only.
//
// Pointers: memory that an operation works on is its caller's, who waits until the completion has come, cancelled or not. A slot is used from the call until its continuation is
// resumed.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringRing

@safe
final class LoopWaits: @unchecked Sendable {
    /// Tasks that wait at the same time; what comes then fails with -EAGAIN. Twice and a half the default limit of connections, and 2 MB of tables.
    private static let waitsMax = 1 << 18
    /// 2¹⁸ ns, 0.26 ms: what a sleep is longer than was asked for, at most, beside the loop's own lag.
    private static let tickShift: UInt64 = 18

    @unsafe
    private struct Wait {
        let handle: Handle
        /// nil: nobody waits, the slot is free.
        var continuation: UnsafeContinuation<Int32, Never>?
        /// In the kernel's hands: it ends with its completion, however it is cancelled.
        var isOperation: Bool
        /// What an operation that is cancelled answers: -ECANCELED, or -ETIME when its time was up.
        var reason: Int32
        /// Cancelled before it began.
        var isCancelled = false
    }

    /// The loop outlives every use: it closes the executor before it goes, and that refuses further calls.
    private unowned(unsafe) let loop: Loop
    /// Whose this is. Whoever waits holds it: a cancellation may come from any thread, and while the loop goes.
    private unowned(unsafe) let executor: LoopExecutor
    private let slots: UnsafeMutablePointer<Slab<Wait>>
    private let wheel: UnsafeMutablePointer<TimerWheel>
    /// Operations whose completion has not come.
    private(set) var operations = 0

    init(_ loop: Loop) {
        unsafe self.loop = loop
        unsafe executor = loop.executor
        unsafe slots = .allocate(capacity: 1)
        unsafe slots.initialize(to: Slab(capacity: Self.waitsMax))
        unsafe wheel = .allocate(capacity: 1)
        unsafe wheel.initialize(to: TimerWheel(now: loop.kernel.now(), tickShift: min(Self.tickShift, loop.wheel.pointee.tickShift)))
    }

    deinit {
        unsafe slots.deinitialize(count: 1)
        unsafe slots.deallocate()
        unsafe wheel.deinitialize(count: 1)
        unsafe wheel.deallocate()
    }

    // MARK: waiting

    /// Waits until a point in time on the loop's clock. 0, or -ECANCELED.
    nonisolated(nonsending) func sleep(until deadline: UInt64) async -> Int32 {
        guard let handle = claim(isOperation: false) else { return -EAGAIN }
        return await wait(handle) { arm(handle, deadline) }
    }

    /// Nanoseconds from now on the loop's clock; a time that is too far away is never.
    func deadline(in ns: UInt64) -> UInt64 {
        let (sum, overflow) = unsafe loop.kernel.now().addingReportingOverflow(ns)
        return overflow ? .max : sum
    }

    /// Queues an operation and waits for its completion.
    /// - Parameters:
    ///   - timeoutNs: .max: none. The operation is cancelled then, and answers -ETIME.
    ///   - prepare: fills the entry in. Memory that it names is the caller's until this has returned.
    /// - Returns: the completion's result, or a negative errno: -ECANCELED when the task was cancelled first.
    nonisolated(nonsending) func perform(timeoutNs: UInt64 = .max, _ prepare: (UnsafeMutablePointer<ur_sqe>) -> Void) async -> Int32 {
        guard let handle = claim(isOperation: true) else { return -EAGAIN }
        return await wait(handle) {
            let entry = unsafe loop.entry()
            unsafe prepare(entry)
            unsafe ur_sqe_tag(entry, Operation(.task, handle).raw, 0)
            operations += 1
            if timeoutNs != .max { arm(handle, deadline(in: timeoutNs)) }
        }
    }

    /// A socket for an address, not connected, or a negative errno.
    func openSocket(_ address: SocketAddress) -> Int32 { unsafe loop.kernel.socket(address.family) }

    private func claim(isOperation: Bool) -> Handle? {
        guard let handle = unsafe slots.pointee.claim(), let slot = unsafe slots.pointee.pointer(handle) else { return nil }
        unsafe slot.initialize(to: Wait(handle: handle, continuation: nil, isOperation: isOperation, reason: -ECANCELED))
        return handle
    }

    private func arm(_ handle: Handle, _ deadline: UInt64) {
        unsafe wheel.pointee.arm(handle.index, deadline: deadline)
        unsafe loop.state.pointee.waitsExpireAt = unsafe wheel.pointee.nextExpiry
    }

    /// Begins once somebody waits, so that nothing can end before.
    @inline(__always)
    private nonisolated(nonsending) func wait(_ handle: Handle, _ begin: () -> Void) async -> Int32 {
        guard let (worker, task) = unsafe executor.ownWorker else { return await waitAsAnyTask(handle, begin) }
        if Task.isCancelled {
            unsafe slots.pointee.release(handle)
            return -ECANCELED
        }
        // Nothing has run on the loop since the look above, and `AsyncWorker.cancel`, on the loop, is the only one who cancels this task.
        worker.wait = handle
        // Resumed once, by `end`.
        let result = unsafe await withUnsafeContinuation { unsafe start(handle, $0, begin) }
        // When the loop has ended this may be any thread.
        if unsafe !executor.isOver {
            worker.wait = nil
            unsafe executor.goesOn(worker, task)
        }
        return result
    }

    /// A task that others may cancel, on any thread.
    private nonisolated(nonsending) func waitAsAnyTask(_ handle: Handle, _ begin: () -> Void) async -> Int32 {
        // Held: a cancellation may come while the loop goes.
        let executor = unsafe executor
        return await withTaskCancellationHandler {
            // Resumed once, by `end`.
            unsafe await withUnsafeContinuation { unsafe start(handle, $0, begin) }
        } onCancel: {
            executor.run { self.cancel(handle) }
        }
    }

    private func start(_ handle: Handle, _ continuation: UnsafeContinuation<Int32, Never>, _ begin: () -> Void) {
        guard let slot = unsafe slots.pointee.pointer(handle) else { preconditionFailure("BUG: a wait ended before it began") }
        unsafe slot.pointee.continuation = unsafe continuation
        if unsafe slot.pointee.isCancelled { end(handle, -ECANCELED) } else { begin() }
    }

    // MARK: ends

    func completed(_ handle: Handle, _ result: Int32) {
        guard let slot = unsafe slots.pointee.pointer(handle), unsafe slot.pointee.isOperation else { preconditionFailure("BUG: a completion of a wait that has ended") }
        operations -= 1
        let reason = unsafe slot.pointee.reason
        end(handle, result == -ECANCELED ? reason : result)
    }

    private func end(_ handle: Handle, _ result: Int32) {
        guard let slot = unsafe slots.pointee.pointer(handle), let continuation = unsafe slot.pointee.continuation else {
            preconditionFailure("BUG: a wait that nobody waits for")
        }
        unsafe slot.pointee.continuation = nil
        unsafe wheel.pointee.cancel(handle.index)
        unsafe slots.pointee.release(handle)
        unsafe continuation.resume(returning: result)
    }

    /// Ends a wait early. Stale handles are of waits that ended by themselves.
    func cancel(_ handle: Handle) {
        guard let slot = unsafe slots.pointee.pointer(handle) else { return }
        guard unsafe slot.pointee.continuation != nil else {
            unsafe slot.pointee.isCancelled = true
            return
        }
        guard unsafe slot.pointee.isOperation else { return end(handle, -ECANCELED) }
        let entry = unsafe loop.entry()
        unsafe ur_prep_cancel(entry, Operation(.task, handle).raw)
        unsafe ur_sqe_tag(entry, Operation(.cancel, handle).raw, 0)
    }

    func runTimers() {
        unsafe wheel.pointee.expire(to: loop.state.pointee.now)
        while let index = unsafe wheel.pointee.popExpired() {
            let slot = unsafe slots.pointee.pointer(at: index)
            let handle = unsafe slot.pointee.handle
            guard unsafe slot.pointee.isOperation else {
                end(handle, 0)
                continue
            }
            unsafe slot.pointee.reason = -ETIME
            cancel(handle)
        }
        unsafe loop.state.pointee.waitsExpireAt = unsafe wheel.pointee.nextExpiry
    }

    /// The loop ends: nothing is waited for any more.
    func cancelAll() {
        for index in unsafe 0..<slots.pointee.slotsEver {
            let slot = unsafe slots.pointee.pointer(at: index)
            if unsafe slot.pointee.continuation != nil { unsafe cancel(slot.pointee.handle) }
        }
    }

    /// The loop is over. Ends what the kernel has no part in; does not touch the loop, which may be going.
    func endTimers() {
        for index in unsafe 0..<slots.pointee.slotsEver {
            let slot = unsafe slots.pointee.pointer(at: index)
            if unsafe slot.pointee.continuation != nil, unsafe !slot.pointee.isOperation { unsafe end(slot.pointee.handle, -ECANCELED) }
        }
    }
}
