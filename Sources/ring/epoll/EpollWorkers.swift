// EpollWorkers: threads that wait for disks in a loop's stead, as the ring's own worker threads do. The loop's thread adds and ends; the threads
// are this file's. None exists before the first file that is not in the page cache.
//
// Pointers: memory that a job reads or writes is the program's until its completion; paths are the job's and freed by whoever ends it.

internal import CUring
internal import CUringBase
internal import Glibc

/// One operation for a worker. Its descriptor is a duplicate where one could be made, so that the number may be closed meanwhile.
@unsafe
struct EpollJob {
    let operation: Int32
    let opcode: EpollOpcode
    let descriptor: Int32
    let ownsDescriptor: Bool
    var memory: UnsafeMutableRawPointer?
    var count = 0
    var offset: UInt64 = 0
    /// Bytes that were written before.
    var done = 0
    var path: UnsafeMutablePointer<CChar>?
    var how = open_how()

    func release() {
        unsafe free(path)
        if unsafe ownsDescriptor { unsafe SystemKernel.closeNow(descriptor) }
    }

    /// A result or a negative errno.
    func run() -> Int32 {
        switch unsafe opcode {
        case .read: unsafe runRead()
        case .write: unsafe runWrite()
        case .open: unsafe Self.open(descriptor, path!, how)
        default: -EINVAL
        }
    }

    private func runRead() -> Int32 {
        while true {
            var count = unsafe pread(descriptor, memory, self.count, Int(bitPattern: UInt(offset)))
            // What has no positions (a terminal, a pipe without a reader's event) is read where it stands.
            if count < 0, errno == ESPIPE { count = unsafe Glibc.read(descriptor, memory, self.count) }
            if count >= 0 { return Int32(clamping: count) }
            if errno != EINTR { return -errno }
        }
    }

    private func runWrite() -> Int32 {
        while true {
            var count = unsafe pwrite(descriptor, memory! + done, self.count - done, Int(bitPattern: UInt(offset) &+ UInt(done)))
            if count < 0, errno == ESPIPE { count = unsafe Glibc.write(descriptor, memory! + done, self.count - done) }
            if count >= 0 { return unsafe Int32(clamping: done + count) }
            if errno != EINTR { return unsafe done > 0 ? Int32(clamping: done) : -errno }
        }
    }

    /// O_PATH, which the Glibc module lacks: such a descriptor has no flags to take off.
    private static var pathOnly: UInt64 { 0o10000000 }

    /// Never waits for the other end of a pipe (O_NONBLOCK), as the ring does not; what was not asked for is taken off again.
    static func open(_ directory: Int32, _ path: UnsafePointer<CChar>, _ how: open_how) -> Int32 {
        let asked = how.flags
        let nonBlocking = UInt64(UInt32(bitPattern: O_NONBLOCK))
        var how = how
        how.flags |= nonBlocking
        var fd = unsafe ur_openat2_how(directory, path, &how)
        if fd == -EAGAIN, how.resolve & UInt64(RESOLVE_CACHED) == 0 {
            // A lease that somebody has to give up first (fcntl(2), F_SETLEASE): that is worth waiting for.
            how.flags = asked
            return unsafe ur_openat2_how(directory, path, &how)
        }
        if fd >= 0, unsafe asked & (nonBlocking | pathOnly) == 0 {
            let code = ur_clear_nonblock(fd)
            if code < 0 {
                SystemKernel.closeNow(fd)
                fd = code
            }
        }
        return fd
    }
}

/// `lock` guards what is behind `work`; all pointers live as long as the object, and `stop` has joined every thread before that ends.
@safe
final class EpollWorkers: @unchecked Sendable {
    /// A disk answers several requests at once; more threads than this only pile up in front of it.
    private static let threadsMax = 4

    @unsafe private struct Work {
        var waiting: [EpollJob] = unsafe []
        var threads: [pthread_t] = []
        var idle = 0
        var isStopping = false
    }

    private let inbox: EpollInbox
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>
    private let work: UnsafeMutablePointer<Work>

    init(inbox: EpollInbox) {
        self.inbox = inbox
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
        unsafe wakeUp = .allocate(capacity: 1)
        unsafe pthread_cond_init(wakeUp, nil)
        unsafe work = .allocate(capacity: 1)
        unsafe work.initialize(to: Work())
    }

    deinit {
        unsafe work.deinitialize(count: 1)
        unsafe work.deallocate()
        unsafe pthread_cond_destroy(wakeUp)
        unsafe wakeUp.deallocate()
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
    }

    private func locked<Result>(_ body: (inout Work) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return unsafe body(&work.pointee)
    }

    /// False when there is no thread and none could be made: the job is the caller's to run.
    func add(_ job: EpollJob) -> Bool {
        let accepted = unsafe locked { work in
            if unsafe work.idle <= work.waiting.count, unsafe work.threads.count < Self.threadsMax, let thread = startThread() {
                unsafe work.threads.append(thread)
            }
            guard unsafe !work.threads.isEmpty else { return false }
            unsafe work.waiting.append(job)
            return true
        }
        if accepted { unsafe pthread_cond_signal(wakeUp) }
        return accepted
    }

    /// Takes a job back that no thread has begun. False: its result will come.
    func remove(operation: Int32) -> Bool {
        unsafe locked { work in
            guard let index = unsafe work.waiting.firstIndex(where: { unsafe $0.operation == operation }) else { return false }
            unsafe work.waiting.remove(at: index).release()
            return true
        }
    }

    /// Drops what was not begun and waits for what was: it uses memory that will be freed.
    func stop() {
        let threads = unsafe locked { work in
            unsafe work.isStopping = true
            for unsafe job in unsafe work.waiting { unsafe job.release() }
            unsafe work.waiting.removeAll()
            return unsafe work.threads
        }
        unsafe pthread_cond_broadcast(wakeUp)
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Under the lock, which the new thread waits for.
    private func startThread() -> pthread_t? {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(self).toOpaque()
        // The thread takes over the retained reference.
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe ur_name_thread("loop-disk")
                unsafe Unmanaged<EpollWorkers>.fromOpaque(argument!).takeRetainedValue().runThread()
                return nil
            }, argument)
        guard code == 0 else {
            unsafe Unmanaged<EpollWorkers>.fromOpaque(argument).release()
            return nil
        }
        return thread
    }

    private func runThread() {
        while let job = unsafe next() {
            let result = unsafe job.run()
            unsafe job.release()
            unsafe inbox.add(.finished(operation: job.operation, result: result))
        }
    }

    private func next() -> EpollJob? {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        while unsafe work.pointee.waiting.isEmpty {
            if unsafe work.pointee.isStopping { return nil }
            unsafe work.pointee.idle += 1
            unsafe pthread_cond_wait(wakeUp, lock)
            unsafe work.pointee.idle -= 1
        }
        return unsafe work.pointee.waiting.removeFirst()
    }
}
