// BlockingPool: threads for work that must not hold a loop up. One pool for the process; any thread may add work.

internal import CUringBase
internal import Glibc
internal import Synchronization

/// `lock` guards what is behind `work`; all three pointers live as long as the object.
@safe
final class BlockingPool: @unchecked Sendable {
    static let shared = BlockingPool(threadsMax: 64, waitingMax: 10_000, idleSeconds: 10)

    /// Blocking calls mostly sleep, so there may be many more than cores; each costs a stack, of which little is touched.
    private let threadsMax: Int
    private let waitingMax: Int
    private let idleSeconds: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>
    /// Under `lock`.
    private struct Work {
        var waiting: [@Sendable () -> Void] = []
        var first = 0
        var threads = 0
        var idle = 0
    }
    private let work: UnsafeMutablePointer<Work>

    init(threadsMax: Int, waitingMax: Int, idleSeconds: Int) {
        (self.threadsMax, self.waitingMax, self.idleSeconds) = (threadsMax, waitingMax, idleSeconds)
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
        unsafe wakeUp = .allocate(capacity: 1)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        // Whoever sets the clock must not keep threads alive, nor end them.
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(wakeUp, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
        unsafe work = .allocate(capacity: 1)
        unsafe work.initialize(to: Work())
    }

    /// Runs on the last thread that held the pool: its threads do while they live.
    deinit {
        unsafe work.deinitialize(count: 1)
        unsafe work.deallocate()
        unsafe pthread_cond_destroy(wakeUp)
        unsafe wakeUp.deallocate()
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
    }

    /// How many threads there are now.
    var threadCount: Int { locked { $0.threads } }

    private func locked<Result>(_ body: (inout Work) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return unsafe body(&work.pointee)
    }

    /// False when too much is waiting, or no thread could be made: it will not run.
    func add(_ body: @escaping @Sendable () -> Void) -> Bool {
        let accepted = locked { work in
            let waiting = work.waiting.count - work.first
            guard waiting < waitingMax else { return false }
            // Under the lock, which the new thread waits for: nobody else counts on one that cannot be made. Then the others do the work, if there are any.
            if work.idle <= waiting, work.threads < threadsMax, startThread() { work.threads += 1 }
            guard work.threads > 0 else { return false }
            work.waiting.append(body)
            return true
        }
        if accepted { unsafe pthread_cond_signal(wakeUp) }
        return accepted
    }

    private func startThread() -> Bool {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
        defer { unsafe pthread_attr_destroy(&attributes) }
        let argument = unsafe Unmanaged.passRetained(self).toOpaque()
        // The thread takes over the retained reference.
        let code = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                unsafe ur_name_thread("blocking")
                unsafe Unmanaged<BlockingPool>.fromOpaque(argument!).takeRetainedValue().runThread()
                return nil
            }, argument)
        if code != 0 { unsafe Unmanaged<BlockingPool>.fromOpaque(argument).release() }
        return code == 0
    }

    private func runThread() {
        while let body = next() { body() }
    }

    /// The next piece of work; nil when there was none for so long that the thread ends.
    private func next() -> (@Sendable () -> Void)? {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        var until = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_sec += idleSeconds
        while unsafe work.pointee.first == work.pointee.waiting.count {
            unsafe work.pointee.idle += 1
            let code = unsafe pthread_cond_timedwait(wakeUp, lock, &until)
            unsafe work.pointee.idle -= 1
            if code == ETIMEDOUT, unsafe work.pointee.first == work.pointee.waiting.count {
                unsafe work.pointee.threads -= 1
                return nil
            }
        }
        let body = unsafe work.pointee.waiting[work.pointee.first]
        unsafe work.pointee.first += 1
        if unsafe work.pointee.first == work.pointee.waiting.count {
            unsafe work.pointee.waiting.removeAll(keepingCapacity: true)
            unsafe work.pointee.first = 0
        } else if unsafe work.pointee.first >= 1024 {
            unsafe work.pointee.waiting.removeFirst(work.pointee.first)
            unsafe work.pointee.first = 0
        }
        return body
    }
}
