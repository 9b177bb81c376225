// Open, read and write on an EpollKernel: at once what the caches hold, by a worker what a disk must be waited for. The loop's thread.
//
// Pointers: memory that entries name is the program's until the completion; paths are copied for workers.

internal import CUring
internal import Glibc

extension EpollKernel {
    // MARK: at submission

    func open(_ entry: UnsafeMutablePointer<ur_sqe>) -> EpollAttempt {
        guard let path = unsafe UnsafePointer<CChar>(bitPattern: UInt(ur_sqe_addr(entry))), let how = unsafe UnsafePointer<open_how>(bitPattern: UInt(ur_sqe_off(entry)))
        else { return .finished(-EFAULT) }
        var cached = unsafe how.pointee
        cached.resolve |= UInt64(RESOLVE_CACHED)
        let fd = unsafe EpollJob.open(entry.pointee.fd, path, cached)
        // EINVAL: Linux before 5.12 does not know RESOLVE_CACHED; or the program's own mistake, which the worker then meets.
        if fd == -EAGAIN || fd == -EINVAL { return .work() }
        if fd >= 0 { adopt(fd, isTCP: false) }
        return .finished(fd)
    }

    func read(_ entry: UnsafeMutablePointer<ur_sqe>, _ events: UInt32) -> EpollAttempt {
        let (fd, wanted, offset) = unsafe (entry.pointee.fd, Int(entry.pointee.len), Int64(bitPattern: ur_sqe_off(entry)))
        guard let memory = unsafe UnsafeMutableRawPointer(bitPattern: UInt(ur_sqe_addr(entry))) else { return .finished(-EFAULT) }
        var count = unsafe ur_preadv2_nowait(fd, memory, wanted, offset)
        // What has no positions is read where it stands.
        if count == -Int(ESPIPE) { count = unsafe ur_preadv2_nowait(fd, memory, wanted, -1) }
        if count >= 0 {
            // The cache held a part of what was asked for, or the file ends there. A worker asks again for all.
            if count > 0, count < wanted, isOnDisk(fd), offset &+ Int64(count) < size(fd) { return .work() }
            return .finished(Int32(clamping: count), failed: count < wanted)
        }
        guard count == -Int(EAGAIN) || count == -Int(EOPNOTSUPP) else { return .finished(Int32(clamping: count)) }
        if isOnDisk(fd) || events != 0 && count == -Int(EOPNOTSUPP) { return .work() }
        return .wait(EpollEvents.readable, isExhausted: false)
    }

    func write(_ entry: UnsafeMutablePointer<ur_sqe>, _ operation: UnsafeMutablePointer<EpollOperation>?, _ events: UInt32) -> EpollAttempt {
        let (fd, wanted, offset) = unsafe (entry.pointee.fd, Int(entry.pointee.len), Int64(bitPattern: ur_sqe_off(entry)))
        guard let memory = unsafe UnsafeRawPointer(bitPattern: UInt(ur_sqe_addr(entry))) else { return .finished(-EFAULT) }
        var count = unsafe ur_pwritev2_nowait(fd, memory, wanted, offset)
        if count == -Int(ESPIPE) { count = unsafe ur_pwritev2_nowait(fd, memory, wanted, -1) }
        if count >= 0 {
            if count < wanted, isOnDisk(fd) { return .work(done: count) }
            return .finished(Int32(clamping: count), failed: count < wanted)
        }
        guard count == -Int(EAGAIN) || count == -Int(EOPNOTSUPP) else { return .finished(Int32(clamping: count)) }
        if isOnDisk(fd) || events != 0 && count == -Int(EOPNOTSUPP) { return .work() }
        return .wait(EpollEvents.output, isExhausted: false)
    }

    /// Regular files and block devices have no readiness: only a thread can wait for them.
    private func isOnDisk(_ fd: Int32) -> Bool {
        var status = stat()
        guard unsafe fstat(fd, &status) == 0 else { return false }
        let kind = status.st_mode & S_IFMT
        return kind == S_IFREG || kind == S_IFBLK || kind == S_IFDIR
    }

    /// 0 for what has no size of its own, such as a file of /proc, which ends where it ends.
    private func size(_ fd: Int32) -> Int64 {
        var status = stat()
        return unsafe fstat(fd, &status) == 0 ? Int64(status.st_size) : 0
    }

    // MARK: workers

    func handToWorker(_ index: Int32) {
        let slot = unsafe operation(index)
        guard let opcode = unsafe EpollOpcode(rawValue: slot.pointee.entry.opcode) else { return }
        leaveDescriptor(index)
        keepFindable(index)
        unsafe slot.pointee.state = .working
        let job = unsafe makeJob(index, opcode, &slot.pointee.entry, slot.pointee.done)
        if unsafe workers.add(job) { return }
        // No thread can be had: better slow than not at all.
        let result = unsafe job.run()
        unsafe job.release()
        workerFinished(index, result)
    }

    private func makeJob(_ index: Int32, _ opcode: EpollOpcode, _ entry: UnsafeMutablePointer<ur_sqe>, _ done: Int) -> EpollJob {
        let fd = unsafe entry.pointee.fd
        // The program may close the number meanwhile, and it may be another file's. Negative: AT_FDCWD, or no descriptor to be had.
        let copy = fd >= 0 ? ur_duplicate(fd) : -1
        var job = unsafe EpollJob(operation: index, opcode: opcode, descriptor: copy >= 0 ? copy : fd, ownsDescriptor: copy >= 0)
        if opcode == .open {
            unsafe job.path = unsafe strdup(UnsafePointer<CChar>(bitPattern: UInt(ur_sqe_addr(entry)))!)
            unsafe job.how = unsafe UnsafePointer<open_how>(bitPattern: UInt(ur_sqe_off(entry)))!.pointee
        } else {
            unsafe job.memory = unsafe UnsafeMutableRawPointer(bitPattern: UInt(ur_sqe_addr(entry)))
            unsafe (job.count, job.offset, job.done) = unsafe (Int(entry.pointee.len), ur_sqe_off(entry), done)
        }
        return unsafe job
    }

    func workerFinished(_ index: Int32, _ result: Int32) {
        let slot = unsafe operation(index)
        let isOpen = unsafe slot.pointee.entry.opcode == EpollOpcode.open.rawValue
        if isOpen, result >= 0 { adopt(result, isTCP: false) }
        let wanted = unsafe isOpen ? 0 : Int64(slot.pointee.entry.len)
        finish(index, .finished(result, failed: Int64(result) < wanted))
    }
}
