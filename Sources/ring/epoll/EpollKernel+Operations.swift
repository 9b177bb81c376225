// The operations that an EpollKernel keeps: their slots, and how they are found by user data. The loop's thread.
//
// Pointers: slots never move, and are the state's as long as the kernel lives.

internal import CUring
internal import Glibc

extension EpollKernel {
    /// A slot by its number. It never moves.
    func operation(_ index: Int32) -> UnsafeMutablePointer<EpollOperation> { unsafe state.pointee.operations.pointer(Int(index)) }

    /// A slot for an entry: what must outlive the call is copied, as Linux does at submission.
    func claim(_ entry: UnsafeMutablePointer<ur_sqe>) -> Int32 {
        if unsafe state.pointee.free < 0 { grow() }
        let index = unsafe state.pointee.free
        let slot = unsafe operation(index)
        unsafe state.pointee.free = unsafe slot.pointee.next
        unsafe slot.pointee = unsafe EpollOperation(entry: entry.pointee)
        unsafe slot.pointee.state = .linked
        if unsafe entry.pointee.opcode == EpollOpcode.sendMessage.rawValue { unsafe copyVectors(slot) }
        return index
    }

    private func grow() {
        let from = unsafe state.pointee.operations.count
        unsafe state.pointee.operations.reach(from)
        for index in unsafe (from..<state.pointee.operations.count).reversed() {
            unsafe state.pointee.operations.pointer(index).pointee.next = unsafe state.pointee.free
            unsafe state.pointee.free = Int32(truncatingIfNeeded: index)
        }
    }

    private func copyVectors(_ slot: UnsafeMutablePointer<EpollOperation>) {
        guard let header = unsafe UnsafePointer<msghdr>(bitPattern: UInt(ur_sqe_addr(&slot.pointee.entry))) else { return }
        let count = unsafe Int(header.pointee.msg_iovlen)
        guard count > 0, let memory = unsafe malloc(count * MemoryLayout<iovec>.stride) else { return }
        unsafe memory.copyMemory(from: header.pointee.msg_iov, byteCount: count * MemoryLayout<iovec>.stride)
        unsafe (slot.pointee.parts, slot.pointee.partCount) = unsafe (memory.bindMemory(to: iovec.self, capacity: count), count)
    }

    func release(_ index: Int32) {
        let slot = unsafe operation(index)
        if let parts = unsafe slot.pointee.parts {
            unsafe free(parts)
            unsafe slot.pointee.parts = nil
        }
        unsafe slot.pointee.state = .free
        unsafe slot.pointee.next = unsafe state.pointee.free
        unsafe state.pointee.free = index
    }

    // MARK: by user data

    private func bucket(_ userData: UInt64) -> Int {
        // Fibonacci hashing: user data differs in its low bits (slot) and in its high ones (kind).
        unsafe Int(truncatingIfNeeded: (userData &* 0x9E37_79B9_7F4A_7C15) &>> 32) & (state.pointee.bucketCount &- 1)
    }

    /// Lets cancel find the operation by its user data.
    func keepFindable(_ index: Int32) {
        if unsafe operation(index).pointee.state != .linked { return }
        if unsafe state.pointee.kept >= state.pointee.bucketCount { growBuckets() }
        insert(index)
        unsafe state.pointee.kept &+= 1
    }

    private func insert(_ index: Int32) {
        let slot = unsafe operation(index)
        let bucket = unsafe bucket(slot.pointee.entry.user_data)
        unsafe slot.pointee.bucketNext = unsafe state.pointee.buckets[bucket]
        unsafe state.pointee.buckets[bucket] = index
    }

    private func growBuckets() {
        unsafe state.pointee.buckets.deallocate()
        unsafe state.pointee.bucketCount *= 2
        unsafe state.pointee.buckets = .allocate(capacity: state.pointee.bucketCount)
        unsafe state.pointee.buckets.initialize(repeating: -1, count: state.pointee.bucketCount)
        for index in unsafe 0..<state.pointee.operations.count {
            let index = Int32(truncatingIfNeeded: index)
            switch unsafe operation(index).pointee.state {
            case .armed, .working, .cancelled: insert(index)
            case .free, .linked: break
            }
        }
    }

    private func forget(_ index: Int32) {
        let slot = unsafe operation(index)
        let bucket = unsafe bucket(slot.pointee.entry.user_data)
        unsafe state.pointee.kept &-= 1
        var at = unsafe state.pointee.buckets[bucket]
        if at == index {
            unsafe state.pointee.buckets[bucket] = unsafe slot.pointee.bucketNext
            return
        }
        while at >= 0 {
            let other = unsafe operation(at)
            if unsafe other.pointee.bucketNext == index {
                unsafe other.pointee.bucketNext = unsafe slot.pointee.bucketNext
                return
            }
            at = unsafe other.pointee.bucketNext
        }
        preconditionFailure("BUG: an operation that nobody can find")
    }

    /// Takes an operation out of everything it is in. Not its chain.
    func detach(_ index: Int32) {
        switch unsafe operation(index).pointee.state {
        case .armed, .working, .cancelled: forget(index)
        case .free, .linked: return
        }
        leaveDescriptor(index)
    }

    // MARK: cancel

    /// By user data, or all of a descriptor, or all.
    func cancel(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        let flags = unsafe ur_sqe_cancel_flags(entry)
        if flags & EpollBits.cancelDescriptor != 0 { return unsafe cancelDescriptor(entry.pointee.fd, all: flags & EpollBits.cancelAll != 0) }
        let all = flags & (EpollBits.cancelAll | EpollBits.cancelAny) != 0
        var (count, busy): (Int32, Bool) = (0, false)
        if flags & EpollBits.cancelAny != 0 {
            for index in unsafe 0..<state.pointee.operations.count { cancelOne(Int32(truncatingIfNeeded: index), &count, &busy) }
        } else {
            let userData = unsafe ur_sqe_addr(entry)
            var index = unsafe state.pointee.buckets[bucket(userData)]
            while index >= 0, all || count == 0 {
                let next = unsafe operation(index).pointee.bucketNext
                if unsafe operation(index).pointee.entry.user_data == userData { cancelOne(index, &count, &busy) }
                index = next
            }
        }
        return .finished(all ? count : count > 0 ? 0 : busy ? -EALREADY : -ENOENT)
    }

    private func cancelDescriptor(_ fd: Int32, all: Bool) -> EpollAttempt {
        guard fd >= 0, ur_is_open(fd) != 0 else { return .finished(-EBADF) }
        var (count, busy): (Int32, Bool) = (0, false)
        var index = unsafe descriptor(fd).pointee.first
        while index >= 0, all || count == 0 {
            let next = unsafe operation(index).pointee.next
            cancelOne(index, &count, &busy)
            index = next
        }
        return .finished(all ? count : count > 0 ? 0 : -ENOENT)
    }

    private func cancelOne(_ index: Int32, _ count: inout Int32, _ busy: inout Bool) {
        switch unsafe operation(index).pointee.state {
        case .armed: break
        case .working:
            // What a worker has begun cannot be stopped any more.
            if !workers.remove(operation: index) {
                busy = true
                return
            }
        case .free, .linked, .cancelled: return
        }
        unsafe operation(index).pointee.state = .cancelled
        unsafe state.pointee.cancelled.append(index)
        unsafe state.pointee.hasBacklog = true
        count &+= 1
    }
}
