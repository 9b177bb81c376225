// Which descriptors epoll watches for an EpollKernel, and whom an event wakes. The loop's thread.
//
// Registrations are edge-triggered and stay for the life of a connection: a keep-alive request costs no epoll_ctl. They are believed only while an
// operation is armed on the descriptor. Without one the number may have been closed by somebody who does not tell this kernel (a task's socket, a
// protocol that took a connection over) and be another file's: then the next to arm registers anew.
//
// Pointers: see EpollKernel.

internal import CUring
internal import Glibc

extension EpollKernel {
    // MARK: numbers

    /// What is known of a number, which must not be negative.
    func descriptor(_ fd: Int32) -> UnsafeMutablePointer<EpollDescriptor> {
        let number = Int(fd)
        if unsafe number >= state.pointee.descriptors.count { unsafe state.pointee.descriptors.reach(number) }
        return unsafe state.pointee.descriptors.pointer(number)
    }

    /// The number is a new file's: what is remembered of it belongs to one that is gone.
    func adopt(_ fd: Int32, isTCP: Bool) {
        let descriptor = unsafe descriptor(fd)
        // Closed by somebody who did not tell, under armed operations: nothing will wake them any more, and they can be cancelled.
        while unsafe descriptor.pointee.first >= 0 { unsafe leaveDescriptor(descriptor.pointee.first) }
        unsafe descriptor.pointee.registered = 0
        unsafe descriptor.pointee.isTCP = isTCP
    }

    /// Closes a number. Operations that are armed on it keep its file, as they do in the ring: they go on with a duplicate, which is closed with the last of
    /// them. The peer sees no end before.
    func closeDescriptor(_ fd: Int32) -> Int32 {
        guard fd >= 0 else { return -EBADF }
        let descriptor = unsafe descriptor(fd)
        if unsafe descriptor.pointee.first >= 0 { moveOperations(from: fd) }
        unsafe descriptor.pointee.registered = 0
        unsafe descriptor.pointee.closesWhenIdle = false
        return Glibc.close(fd) == 0 ? 0 : -errno
    }

    private func moveOperations(from fd: Int32) {
        let old = unsafe descriptor(fd)
        // epoll would go on reporting the duplicate under the old number, and could not be told to stop once that is closed (epoll(7), question 6).
        _ = ur_epoll_control(epoll, EpollEvents.remove, fd, 0, 0)
        let copy = ur_duplicate(fd)
        let events = unsafe old.pointee.registered
        if copy >= 0 {
            adopt(copy, isTCP: unsafe old.pointee.isTCP)
            unsafe self.descriptor(copy).pointee.closesWhenIdle = true
        }
        while unsafe old.pointee.first >= 0 {
            let index = unsafe old.pointee.first
            leaveDescriptor(index)
            if copy < 0 {
                // No descriptor is left to keep the file with.
                unsafe operation(index).pointee.state = .cancelled
                unsafe state.pointee.cancelled.append(index)
                unsafe state.pointee.hasBacklog = true
                continue
            }
            unsafe operation(index).pointee.entry.fd = copy
            join(copy, index)
        }
        if copy >= 0 { _ = register(copy, events) }
    }

    // MARK: lists

    private func join(_ fd: Int32, _ index: Int32) {
        let (slot, descriptor) = unsafe (operation(index), descriptor(fd))
        unsafe slot.pointee.descriptor = fd
        unsafe slot.pointee.previous = -1
        unsafe slot.pointee.next = unsafe descriptor.pointee.first
        if unsafe slot.pointee.next >= 0 { unsafe operation(slot.pointee.next).pointee.previous = index }
        unsafe descriptor.pointee.first = index
    }

    func leaveDescriptor(_ index: Int32) {
        let slot = unsafe operation(index)
        let fd = unsafe slot.pointee.descriptor
        guard fd >= 0 else { return }
        let descriptor = unsafe descriptor(fd)
        let (next, previous) = unsafe (slot.pointee.next, slot.pointee.previous)
        if previous >= 0 { unsafe operation(previous).pointee.next = next } else { unsafe descriptor.pointee.first = next }
        if next >= 0 { unsafe operation(next).pointee.previous = previous }
        unsafe (slot.pointee.descriptor, slot.pointee.next, slot.pointee.previous) = (-1, -1, -1)
        if unsafe descriptor.pointee.first < 0, unsafe descriptor.pointee.closesWhenIdle { _ = closeDescriptor(fd) }
    }

    // MARK: arming

    /// Keeps an operation until its descriptor has one of `events`.
    /// - Parameter isExhausted: the descriptor has just said that it has none: if it is registered for them, their coming is an edge.
    func arm(_ index: Int32, _ events: UInt32, isExhausted: Bool) {
        let slot = unsafe operation(index)
        let fd = unsafe slot.pointee.entry.fd
        guard fd >= 0 else { return finish(index, .finished(-EBADF)) }
        keepFindable(index)
        unsafe slot.pointee.state = .armed
        unsafe slot.pointee.events = events
        let descriptor = unsafe descriptor(fd)
        let isTrusted = unsafe descriptor.pointee.first >= 0
        if unsafe slot.pointee.descriptor < 0 { join(fd, index) }
        if isTrusted, isExhausted, unsafe descriptor.pointee.registered & events == events { return }
        let code = register(fd, unsafe (isTrusted ? descriptor.pointee.registered : 0) | events)
        if code < 0 { notWatched(index, code) }
    }

    /// Registers a descriptor, or changes what it is registered for. Either way epoll looks at its state now, so that nothing that came before is missed.
    private func register(_ fd: Int32, _ events: UInt32) -> Int32 {
        let descriptor = unsafe descriptor(fd)
        let flags = events | EpollEvents.edgeTriggered
        if unsafe descriptor.pointee.registered != 0 {
            let code = ur_epoll_control(epoll, EpollEvents.modify, fd, flags, unsafe data(fd, descriptor.pointee.generation))
            if code == 0 {
                unsafe descriptor.pointee.registered = events
                return 0
            }
            if code != -ENOENT { return code }
        }
        unsafe descriptor.pointee.generation &+= 1
        let data = unsafe data(fd, descriptor.pointee.generation)
        var code = ur_epoll_control(epoll, EpollEvents.add, fd, flags, data)
        if code == -EEXIST { code = ur_epoll_control(epoll, EpollEvents.modify, fd, flags, data) }
        unsafe descriptor.pointee.registered = code == 0 ? events : 0
        return code
    }

    private func data(_ fd: Int32, _ generation: UInt32) -> UInt64 { UInt64(generation) << 32 | UInt64(UInt32(bitPattern: fd)) }

    /// epoll refuses a descriptor: a file on a disk is always ready (EPERM); anything else is a failure.
    private func notWatched(_ index: Int32, _ code: Int32) {
        let slot = unsafe operation(index)
        guard code == -EPERM else { return finish(index, .finished(code)) }
        switch unsafe EpollOpcode(rawValue: slot.pointee.entry.opcode) {
        case .pollAdd: finish(index, .finished(Int32(truncatingIfNeeded: unsafe slot.pointee.events & (EpollEvents.input | EpollEvents.output))))
        case .read, .write: handToWorker(index)
        default: finish(index, .finished(-EOPNOTSUPP))
        }
    }

    // MARK: events

    /// One event of epoll.
    func take(_ events: UInt32, _ data: UInt64) {
        if data == Self.inboxData { return takeInbox() }
        let fd = Int32(truncatingIfNeeded: data)
        let descriptor = unsafe descriptor(fd)
        guard unsafe descriptor.pointee.generation == UInt32(truncatingIfNeeded: data >> 32), unsafe descriptor.pointee.registered != 0 else { return }
        let first = unsafe descriptor.pointee.first
        guard first >= 0 else { return forgetDescriptor(fd) }
        if unsafe operation(first).pointee.next < 0 {
            if unsafe events & (operation(first).pointee.events | EpollEvents.always) != 0, unsafe operation(first).pointee.state == .armed { wake(first, events) }
            return
        }
        takeForSeveral(first, events)
    }

    /// Nobody waits: reading is paused, or another protocol has taken the connection over. Its events would only wake the loop.
    private func forgetDescriptor(_ fd: Int32) {
        _ = ur_epoll_control(epoll, EpollEvents.remove, fd, 0, 0)
        unsafe descriptor(fd).pointee.registered = 0
    }

    /// Several wait on one descriptor. What one of them sets off may end another, or even begin one in its slot: who waits is noted first.
    private func takeForSeveral(_ first: Int32, _ events: UInt32) {
        var index = first
        var woken = unsafe state.pointee.woken
        unsafe state.pointee.woken = []
        while index >= 0 {
            if unsafe events & (operation(index).pointee.events | EpollEvents.always) != 0 { woken.append(index) }
            index = unsafe operation(index).pointee.next
        }
        let fd = unsafe operation(first).pointee.descriptor
        for index in woken where unsafe operation(index).pointee.state == .armed && operation(index).pointee.descriptor == fd { wake(index, events) }
        woken.removeAll(keepingCapacity: true)
        unsafe state.pointee.woken = woken
    }

    private func takeInbox() {
        for item in inbox.take() {
            switch item {
            case .message(let data, let value): post(data, value, 0)
            case .finished(let index, let result): workerFinished(index, result)
            }
        }
    }

    // MARK: poll

    /// One look, or one after each change.
    func poll(_ entry: UnsafeMutablePointer<ur_sqe>, _ events: UInt32) -> EpollAttempt {
        let wanted = unsafe ur_sqe_poll_mask(entry) & EpollEvents.pollable
        let found = events & (wanted | EpollEvents.always)
        // epoll is asked, which looks at once when it is: one call instead of poll(2) and that.
        guard found != 0 else { return .wait(wanted | EpollEvents.always, isExhausted: false) }
        let result = Int32(bitPattern: found)
        guard unsafe entry.pointee.len & EpollBits.pollMultishot != 0, unsafe postMore(entry.pointee.user_data, result, 0) else { return .finished(result) }
        return .wait(wanted | EpollEvents.always, isExhausted: true)
    }
}
