// FlightRecorder: when the last events of all loops are written to a file, and how often. One for the life of a gateway; any thread asks, a thread of its own writes, so that a loop that has
// just been held up is not held up again. Loops are not asked for their events (FlightRing): one that is stuck is in the dump too.

internal import Glibc
internal import UringBase
internal import UringServer

package final class FlightRecorder: Sendable {
    /// Why a dump is made.
    package enum Reason: String, Sendable, CaseIterable {
        /// SIGQUIT.
        case signal
        /// A handler held a loop longer than the threshold.
        case stall
        /// A breaker opened.
        case breaker
        /// An upstream's server was ejected.
        case ejection

        /// The shortest time between two dumps: whoever sends a signal wants one, and faults come in numbers.
        var pauseNs: UInt64 { self == .signal ? 1_000_000_000 : 10_000_000_000 }
    }

    struct Counts: Sendable {
        var written = [UInt64](repeating: 0, count: Reason.allCases.count)
        var failed: UInt64 = 0
        /// Those that came too soon behind another.
        var skipped: UInt64 = 0
    }

    private struct State {
        var configuration = FlightConfiguration()
        weak var gateway: Gateway?
        /// When the last was begun, CLOCK_MONOTONIC; nil: none was.
        var lastNs: UInt64?
        var isWriting = false
        var counts = Counts()
    }

    private let log: OperationalLog
    private let state = Locked(State())

    init(_ log: OperationalLog) { self.log = log }

    /// From now on there is something to dump.
    func attach(_ gateway: Gateway) { state.withLock { $0.gateway = gateway } }

    var configuration: FlightConfiguration {
        get { state.withLock { $0.configuration } }
        set { state.withLock { $0.configuration = newValue } }
    }

    var counts: Counts { state.withLock { $0.counts } }

    /// Whether a dump for `reason` may begin `now`; then one has. `lastNs` is when the last began.
    static func admits(_ reason: Reason, now: UInt64, lastNs: UInt64?) -> Bool {
        guard let lastNs else { return true }
        return now >= lastNs && now - lastNs >= reason.pauseNs
    }

    /// Has a dump written, unless there was one a moment ago. Returns at once.
    package func dump(_ reason: Reason) {
        let now = MonotonicClock.now
        let begun = state.withLock { state -> (Gateway, FlightConfiguration)? in
            guard state.configuration.events > 0, let gateway = state.gateway else { return nil }
            guard !state.isWriting, Self.admits(reason, now: now, lastNs: state.lastNs) else {
                state.counts.skipped += 1
                return nil
            }
            (state.lastNs, state.isWriting) = (now, true)
            return (gateway, state.configuration)
        }
        guard let (gateway, configuration) = begun else { return }
        let isStarted = PeriodicThread.once { [self] in write(gateway, configuration, reason) }
        if !isStarted { ended(reason, .failure(TextProblem(reason: "no thread could be started"))) }
    }

    private func write(_ gateway: Gateway, _ configuration: FlightConfiguration, _ reason: Reason) {
        let dump = FlightDump.make(gateway, reason: reason.rawValue, withinNs: configuration.withinNs)
        let result = FlightDirectory.open(configuration.directory).flatMap { directory in
            let result = directory.write(dump.bytes, reason: reason.rawValue, unixNs: Gateway.wallNs(), keep: configuration.files)
            directory.close()
            return result
        }
        ended(reason, result, events: dump.events)
    }

    private func ended(_ reason: Reason, _ result: Result<String, TextProblem>, events: Int = 0) {
        state.withLock { state in
            state.isWriting = false
            switch result {
            case .success: state.counts.written[Reason.allCases.firstIndex(of: reason) ?? 0] += 1
            case .failure: state.counts.failed += 1
            }
        }
        switch result {
        case .success(let path): log.notice("the flight recorder has written its last \(events) events to \(path) (\(reason.rawValue))")
        case .failure(let problem): log.error("the flight recorder could not write its events (\(reason.rawValue)): \(problem.reason)")
        }
    }
}
