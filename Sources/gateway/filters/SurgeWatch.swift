// SurgeWatch: a thread that tells SurgeControl once a second how many connections there are. Owned by Gateway, started when a configuration first has `surge`.

internal import Glibc
internal import Synchronization
internal import UringBase
internal import UringServer

final class SurgeWatch: Sendable {
    private static let periodMs: Int32 = 1000

    private let server: RunningServer
    private let current: Locked<SurgeControl?>
    /// Closed by `end`, which ends the thread; the other end is the thread's.
    private let stop: Int32
    private let isEnded = Atomic<Bool>(false)

    /// Nil: no thread or no descriptors are left.
    init?(_ server: RunningServer, _ control: SurgeControl) {
        var ends: (Int32, Int32) = (-1, -1)
        // Two descriptors for the call to write.
        let made = unsafe withUnsafeMutablePointer(to: &ends) { unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0) } }
        guard made == 0 else { return nil }
        self.server = server
        current = Locked(control)
        stop = ends.1
        let run = SurgeThread(watch: self, wake: ends.0)
        var thread = pthread_t()
        // The thread takes the reference over.
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<SurgeThread>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(run).toOpaque())
        if code == 0 { pthread_detach(thread) } else {
            close(ends.0)
            close(ends.1)
        }
        if code != 0 { return nil }
    }

    /// What is told from now on; nil: nothing.
    func set(_ control: SurgeControl?) { current.withLock { $0 = control } }

    /// Ends the thread. Once is enough.
    func end() { if !isEnded.exchange(true, ordering: .relaxed) { close(stop) } }

    private func sample() {
        guard let control = current.withLock({ $0 }) else { return }
        let connections = server.snapshots().reduce(0) { $0 + $1.connections }
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        control.sample(connections, now: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    private final class SurgeThread {
        let watch: SurgeWatch
        let wake: Int32

        init(watch: SurgeWatch, wake: Int32) { (self.watch, self.wake) = (watch, wake) }

        func run() {
            defer { close(wake) }
            while true {
                var descriptor = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
                switch unsafe poll(&descriptor, 1, SurgeWatch.periodMs) {
                case 0: watch.sample()
                case -1 where errno == EINTR: continue
                // The other end is closed.
                default: return
                }
            }
        }
    }
}
