// Answer and Watchdog: how threads wait for each other at start, stop and on request. Never on the request path.

internal import Glibc

/// A value that one thread waits for and another sends, once. Takes no descriptor: it must work when a server has none left, or the signal
/// that should end it in order would be its death.
@safe
package final class Answer<Value: Sendable>: @unchecked Sendable {
    // Touched under the lock only.
    private var value: Value?
    // Freed in deinit, when nobody can wait or send any more: both hold a reference.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init() {
        unsafe lock.initialize(to: pthread_mutex_t())
        unsafe changed.initialize(to: pthread_cond_t())
        unsafe pthread_mutex_init(lock, nil)
        // So that a change of the calendar clock ends no wait.
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(changed, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(changed)
        unsafe pthread_mutex_destroy(lock)
        unsafe changed.deallocate()
        unsafe lock.deallocate()
    }

    package func send(_ sent: Value) {
        unsafe pthread_mutex_lock(lock)
        value = sent
        unsafe pthread_cond_broadcast(changed)
        unsafe pthread_mutex_unlock(lock)
    }

    package func wait() -> Value {
        while true {
            if let value = wait(milliseconds: -1) { return value }
        }
    }

    /// nil when the time passed first; negative waits without limit.
    package func wait(milliseconds: Int32) -> Value? {
        var deadline = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + Int(max(0, milliseconds) % 1000) * 1_000_000
        deadline.tv_sec += Int(max(0, milliseconds) / 1000) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        while value == nil {
            let code = unsafe milliseconds < 0 ? pthread_cond_wait(changed, lock) : pthread_cond_timedwait(changed, lock, &deadline)
            if code == ETIMEDOUT { break }
        }
        return value
    }
}

/// Does something when a time has passed, unless it is cancelled before.
final class Watchdog: Sendable {
    private let cancelled = Answer<Bool>()

    init(after limit: Duration, _ action: @escaping @Sendable () -> Void) {
        let cancelled = cancelled
        let milliseconds = Int32(clamping: ServerOptions.nanoseconds(limit) / 1_000_000)
        let body = Body { if cancelled.wait(milliseconds: milliseconds) == nil { action() } }
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, unsafe Unmanaged.passRetained(body).toOpaque())
        if code == 0 { pthread_detach(thread) }
    }

    func cancel() { cancelled.send(true) }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
