// PeriodicThread: a thread for what happens every so often and may wait for loops. Owned by whoever wants it to happen; ends with its owner, or before.

internal import Glibc
internal import Synchronization

/// Calls something at a fixed period until it is told to end.
final class PeriodicThread: Sendable {
    /// Shut down by `end`, which ends the thread; the other end is the thread's.
    private let stop: Int32
    private let isEnded = Atomic<Bool>(false)

    private final class Run {
        let wake: Int32
        let periodMs: Int32
        let body: @Sendable () -> Void

        init(wake: Int32, periodMs: Int32, _ body: @escaping @Sendable () -> Void) { (self.wake, self.periodMs, self.body) = (wake, periodMs, body) }

        func run() {
            defer { close(wake) }
            while true {
                var descriptor = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
                switch unsafe poll(&descriptor, 1, periodMs) {
                case 0: body()
                case -1 where errno == EINTR: continue
                case 1:
                    // As many calls of `wake` as there were before this one.
                    var bytes = (UInt64(0), UInt64(0))
                    // The kernel writes into `bytes` during the call alone.
                    guard unsafe recv(wake, &bytes, MemoryLayout.size(ofValue: bytes), 0) > 0 else { return }
                    body()
                default: return
                }
            }
        }
    }

    /// - Parameter body: called on the thread, one call at a time; first when a period is over. What it captures lives until the thread ends.
    /// - Returns: nil when no thread or no descriptors are left.
    init?(periodMs: Int32, _ body: @escaping @Sendable () -> Void) {
        var ends: (Int32, Int32) = (-1, -1)
        // Two descriptors for the call to write.
        let made = unsafe withUnsafeMutablePointer(to: &ends) {
            unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0) }
        }
        guard made == 0 else { return nil }
        stop = ends.1
        var thread = pthread_t()
        // The thread takes the reference over.
        let run = unsafe Unmanaged.passRetained(Run(wake: ends.0, periodMs: periodMs, body))
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Run>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, unsafe run.toOpaque())
        guard code == 0 else {
            unsafe run.release()
            close(ends.0)
            close(ends.1)
            return nil
        }
        pthread_detach(thread)
    }

    private final class Once: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Calls something once, on a thread that ends with it.
    /// - Returns: false when there is no thread for it.
    static func once(_ body: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        // The thread takes the reference over.
        let run = unsafe Unmanaged.passRetained(Once(body))
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument { unsafe Unmanaged<Once>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, unsafe run.toOpaque())
        guard code == 0 else {
            unsafe run.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    deinit {
        end()
        close(stop)
    }

    /// A call under way goes on to its end; none follows. Once is enough.
    func end() { if !isEnded.exchange(true, ordering: .relaxed) { shutdown(stop, Int32(SHUT_RDWR)) } }

    /// One more call at once, behind one that is under way. Any thread; does not wait.
    func wake() {
        var byte: UInt8 = 1
        // The kernel reads the byte during the call. With a full socket there are calls enough to come.
        _ = unsafe send(stop, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }
}
