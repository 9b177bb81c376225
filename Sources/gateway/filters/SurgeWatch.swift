// SurgeWatch: tells SurgeControl once a second how many connections there are. Owned by Gateway, started when a configuration first has `surge`.

internal import UringBase
internal import UringServer

final class SurgeWatch: Sendable {
    private static let periodMs: Int32 = 1000

    private final class Watched: Sendable {
        let control: Locked<SurgeControl?>
        init(_ control: SurgeControl) { self.control = Locked(control) }
    }

    private let watched: Watched
    private let thread: PeriodicThread

    /// Nil: no thread or no descriptors are left.
    init?(_ server: RunningServer, _ control: SurgeControl) {
        let watched = Watched(control)
        let thread = PeriodicThread(periodMs: Self.periodMs) {
            guard let control = watched.control.withLock({ $0 }) else { return }
            control.sample(server.snapshots().reduce(0) { $0 + $1.connections }, now: MonotonicClock.now)
        }
        guard let thread else { return nil }
        (self.watched, self.thread) = (watched, thread)
    }

    /// What is told from now on; nil: nothing.
    func set(_ control: SurgeControl?) { watched.control.withLock { $0 = control } }

    /// Ends the thread. Once is enough.
    func end() { thread.end() }
}
