// Answer and Watchdog: how threads wait for each other at start, stop and on request. Never on the request path.

internal import Glibc
internal import Synchronization

/// A value that one thread waits for and another sends, once.
final class Answer<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    private let reading: Int32
    private let writing: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        let code = unsafe pipe(&ends)
        precondition(code == 0, "out of descriptors: raise LimitNOFILE (ulimit -n)")
        (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    deinit {
        close(reading)
        close(writing)
    }

    func send(_ sent: Value) {
        value.withLock { $0 = sent }
        var byte: UInt8 = 1
        _ = unsafe write(writing, &byte, 1)
    }

    func wait() -> Value {
        while true {
            if let value = wait(milliseconds: -1) { return value }
        }
    }

    /// nil when the time passed first; negative waits without limit.
    func wait(milliseconds: Int32) -> Value? {
        var poller = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&poller, 1, milliseconds)
        return value.withLock { $0 }
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
