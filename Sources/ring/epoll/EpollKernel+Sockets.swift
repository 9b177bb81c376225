// Accept, receive, send, connect and messages on an EpollKernel. The loop's thread.
//
// Sockets stay as they are made, most of them blocking ones: every call here says for itself that it does not wait.
// Pointers: memory that entries name is the program's until the completion.

internal import CUring
internal import Glibc

extension EpollKernel {
    /// Connections, or full buffers, that one operation takes before others have a turn.
    private static var yieldAfter: Int { 32 }

    // MARK: accept

    func accept(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?) -> EpollAttempt {
        let fd = unsafe entry.pointee.fd
        // accept4(2) has no flag that forbids waiting. Loops share the description of a unix socket: all want it so.
        if unsafe operation == nil || operation!.pointee.events == 0 { noteListener(fd) }
        let isMultishot = unsafe entry.pointee.ioprio & EpollBits.acceptMultishot != 0
        for _ in 0..<Self.yieldAfter {
            let accepted = unsafe ur_accept4(fd, Int32(bitPattern: ur_sqe_msg_flags(entry)))
            if accepted < 0 {
                if accepted == -EINTR { continue }
                return accepted == -EAGAIN ? .wait(EpollEvents.input, isExhausted: true) : .finished(accepted)
            }
            adopt(accepted, isTCP: unsafe descriptor(fd).pointee.isTCP)
            guard isMultishot, unsafe postMore(entry.pointee.user_data, accepted, 0) else { return .finished(accepted) }
        }
        return .yield(EpollEvents.input)
    }

    private func noteListener(_ fd: Int32) {
        guard fd >= 0 else { return }
        setNonBlocking(fd, 1)
        var (domain, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        let isKnown = unsafe getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0
        unsafe descriptor(fd).pointee.isTCP = isKnown && domain != AF_UNIX
    }

    // MARK: receive

    func receive(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?, _ events: UInt32) -> EpollAttempt {
        let hasWaited = unsafe operation != nil && operation!.pointee.events != 0
        if unsafe entry.pointee.ioprio & EpollBits.pollFirst != 0, !hasWaited { return .wait(EpollEvents.readable, isExhausted: false) }
        let isMultishot = unsafe entry.pointee.ioprio & EpollBits.receiveMultishot != 0
        guard unsafe entry.pointee.flags & EpollBits.bufferSelect != 0 else { return isMultishot ? .finished(-EINVAL) : unsafe receiveIntoMemory(entry) }
        guard let group = unsafe group(ur_sqe_buf_group(entry)) else { return .finished(-ENOBUFS) }
        let (fd, limit) = unsafe (entry.pointee.fd, Int(entry.pointee.len))
        let flags = unsafe Int32(bitPattern: ur_sqe_msg_flags(entry)) | Int32(MSG_DONTWAIT)
        for _ in 0..<Self.yieldAfter {
            // Linux picks the buffer before it looks for data, so an empty ring ends a receive that has none.
            guard let buffer = unsafe group.pointee.first else { return .finished(-ENOBUFS) }
            let room = unsafe limit > 0 ? min(limit, Int(buffer.pointee.len)) : Int(buffer.pointee.len)
            let count = unsafe recv(fd, UnsafeMutableRawPointer(bitPattern: UInt(buffer.pointee.addr)), room, flags)
            // At the end, and on an error, the buffer stays the kernel's and a multishot is over.
            guard count > 0 else {
                let code = count == 0 ? 0 : errno
                if code == EINTR { continue }
                return code == EAGAIN ? unsafe emptied(entry) : .finished(-code)
            }
            let told = unsafe EpollBits.buffer | UInt32(buffer.pointee.bid) << EpollBits.bufferShift
            unsafe group.pointee.head &+= 1
            let result = Int32(truncatingIfNeeded: count)
            guard isMultishot, unsafe postMore(entry.pointee.user_data, result, told) else { return .finished(result, flags: told) }
            // Not filled, and nothing unusual behind it: TCP has no more, and its next bytes are an event. Without an event to go by, epoll looks.
            if count < room, events & EpollEvents.unfinished == 0, unsafe descriptor(fd).pointee.isTCP {
                return .wait(EpollEvents.readable, isExhausted: events != 0)
            }
        }
        return .yield(EpollEvents.readable)
    }

    private func emptied(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        unsafe ur_sqe_msg_flags(entry) & UInt32(MSG_DONTWAIT) != 0 ? .finished(-EAGAIN) : .wait(EpollEvents.readable, isExhausted: true)
    }

    private func receiveIntoMemory(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        let flags = unsafe Int32(bitPattern: ur_sqe_msg_flags(entry)) | Int32(MSG_DONTWAIT)
        while true {
            let count = unsafe recv(entry.pointee.fd, UnsafeMutableRawPointer(bitPattern: UInt(ur_sqe_addr(entry))), Int(entry.pointee.len), flags)
            if count >= 0 { return .finished(Int32(clamping: count)) }
            let code = errno
            if code == EAGAIN { return unsafe emptied(entry) }
            if code != EINTR { return .finished(-code) }
        }
    }

    private func group(_ number: UInt16) -> UnsafeMutablePointer<EpollBufferGroup>? {
        for index in unsafe 0..<state.pointee.groupCount where unsafe state.pointee.groups[index].group == Int32(number) { return unsafe state.pointee.groups + index }
        return nil
    }

    func addGroup(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, _ group: Int32) -> Int32 {
        guard entries > 0, entries <= 32768, entries & (entries - 1) == 0, group >= 0, group <= Int32(UInt16.max) else { return -EINVAL }
        if unsafe self.group(UInt16(group)) != nil { return -EEXIST }
        guard unsafe state.pointee.groupCount < EpollState.groupsMax else { return -ENOMEM }
        let added = unsafe EpollBufferGroup(group: group, ring: memory, mask: UInt16(truncatingIfNeeded: entries - 1))
        unsafe (state.pointee.groups + state.pointee.groupCount).initialize(to: added)
        unsafe state.pointee.groupCount += 1
        return 0
    }

    // MARK: send

    func send(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?) -> EpollAttempt {
        let asked = unsafe ur_sqe_msg_flags(entry)
        let mayWait = asked & UInt32(MSG_DONTWAIT) == 0
        let hasWaited = unsafe operation != nil && operation!.pointee.events != 0
        if unsafe entry.pointee.ioprio & EpollBits.pollFirst != 0, !hasWaited {
            return mayWait ? .wait(EpollEvents.output, isExhausted: false) : .finished(-EAGAIN)
        }
        let flags = Int32(bitPattern: asked & ~UInt32(MSG_WAITALL)) | Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        let before = unsafe operation?.pointee.done ?? 0
        var total = 0
        while true {
            let sent = unsafe entry.pointee.opcode == EpollOpcode.send.rawValue ? sendBytes(entry, before, flags, &total) : sendVectors(entry, operation, flags, &total)
            if sent < 0 {
                let code = errno
                if code == EINTR { continue }
                if code == EAGAIN, mayWait { return .wait(EpollEvents.output, isExhausted: true, done: before) }
                return .finished(before > 0 ? Int32(clamping: before) : -code, failed: true)
            }
            let done = before + sent
            let wantsAll = asked & UInt32(MSG_WAITALL) != 0
            // A send that did not wait and came short has met the end of the room: its return is an event.
            if done < total, wantsAll, mayWait { return .wait(EpollEvents.output, isExhausted: true, done: done) }
            // A short send breaks its chain only when all was asked for.
            return .finished(Int32(clamping: done), failed: wantsAll && done < total)
        }
    }

    private func sendBytes(_ entry: UnsafeMutablePointer<ur_sqe>, _ done: Int, _ flags: Int32, _ total: inout Int) -> Int {
        total = unsafe Int(entry.pointee.len)
        return unsafe Glibc.send(entry.pointee.fd, UnsafeRawPointer(bitPattern: UInt(ur_sqe_addr(entry)) &+ UInt(done)), total - done, flags)
    }

    /// From the program's header at submission, and from the copy of its vectors later on.
    private func sendVectors(
        _ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?, _ flags: Int32, _ total: inout Int
    ) -> Int {
        total = 0
        guard let operation = unsafe operation, let parts = unsafe operation.pointee.parts else {
            guard let header = unsafe UnsafePointer<msghdr>(bitPattern: UInt(ur_sqe_addr(entry))) else {
                errno = EFAULT
                return -1
            }
            for n in unsafe 0..<Int(header.pointee.msg_iovlen) { total += unsafe Int(header.pointee.msg_iov[n].iov_len) }
            return unsafe sendmsg(entry.pointee.fd, header, flags)
        }
        var skipped = unsafe operation.pointee.done
        var rest: [iovec] = unsafe []
        for n in unsafe 0..<operation.pointee.partCount {
            let part = unsafe parts[n]
            let count = unsafe Int(part.iov_len)
            total += count
            let skip = min(skipped, count)
            skipped -= skip
            if count > skip { unsafe rest.append(iovec(iov_base: part.iov_base + skip, iov_len: count - skip)) }
        }
        return unsafe rest.withUnsafeMutableBufferPointer { list in
            var header = unsafe msghdr()
            unsafe header.msg_iov = list.baseAddress
            unsafe header.msg_iovlen = list.count
            return unsafe sendmsg(entry.pointee.fd, &header, flags)
        }
    }

    // MARK: connect

    func connect(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?, _ events: UInt32) -> EpollAttempt {
        let fd = unsafe entry.pointee.fd
        if events != 0 {
            var (code, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
            guard unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return .finished(-errno) }
            if code != 0 { return .finished(-code) }
            return events & EpollEvents.output != 0 ? .finished(0) : .wait(EpollEvents.output, isExhausted: true)
        }
        setNonBlocking(fd, 1)
        let address = unsafe UnsafePointer<sockaddr>(bitPattern: UInt(ur_sqe_addr(entry)))
        if unsafe Glibc.connect(fd, address, socklen_t(truncatingIfNeeded: ur_sqe_off(entry))) == 0 { return .finished(0) }
        switch errno {
        case EINPROGRESS, EINTR: return .wait(EpollEvents.output, isExhausted: false)
        // A unix socket whose backlog is full (connect(2)).
        case EAGAIN: return .retry
        case let code: return .finished(-code)
        }
    }

    // MARK: the rest

    func shutDown(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        unsafe .finished(Glibc.shutdown(entry.pointee.fd, Int32(bitPattern: entry.pointee.len)) == 0 ? 0 : -errno)
    }

    func message(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        // IORING_MSG_DATA is 0; passing descriptors (1) is nothing that loops do.
        guard unsafe ur_sqe_addr(entry) == 0 else { return .finished(-EINVAL) }
        guard unsafe ur_is_open(entry.pointee.fd) != 0 else { return .finished(-EBADF) }
        return unsafe .finished(EpollInbox.post(to: entry.pointee.fd, data: ur_sqe_off(entry), value: Int32(bitPattern: entry.pointee.len)))
    }
}

extension EpollBufferGroup {
    /// The buffer to be filled next; nil when the program has them all.
    var first: UnsafePointer<io_uring_buf>? {
        unsafe head == ur_buf_ring_tail(ring) ? nil : ur_buf_ring_at(ring, UInt32(head & mask))
    }
}
