// Supervisor: a process that serves nothing, keeps the listening sockets and starts the server again when it dies (`supervisor: true`). Its worker is this program with the same arguments; it tells the
// supervisor its sockets when it serves and after each reload (SocketKeeper), and ends when the supervisor does. The supervisor's main thread takes the signals, one more reads what the worker tells.

import Glibc
import Synchronization
import UringGateway
import UringServer

final class Supervisor: Sendable {
    /// The worker's end of the channel.
    static let channelVariable = "URINGD_SUPERVISOR"

    /// A worker that lived so long has earned that the next one is started at once.
    private static let provenMs: UInt64 = 1000
    private static let pauseFirstMs: UInt64 = 100
    private static let pauseMaxMs: UInt64 = 10_000

    private struct State {
        var worker: pid_t = 0
        /// Serves, and has told its sockets.
        var isReady = false
        /// The service manager was told that a reload is under way.
        var isReloading = false
        var startedMs: UInt64 = 0
        var sockets: [(address: String, descriptors: [Int32])] = []
        /// A worker has told its sockets.
        var hasServed = false
        /// Workers that finish what they have, because another serves.
        var leaving: Set<pid_t> = []
        /// Started by SIGUSR2, and not ready yet.
        var next: pid_t?
    }

    private let state = Mutex(State())
    private let log: OperationalLog
    private let manager: ServiceManager

    private init(_ log: OperationalLog, _ manager: ServiceManager) {
        (self.log, self.manager) = (log, manager)
        // A service manager's, or a predecessor's: the first worker starts on them.
        state.withLock { $0.sockets = InheritedSockets.takeAll() }
    }

    /// Never returns: ends the process with the status of the last worker.
    static func run(_ log: OperationalLog, _ manager: ServiceManager) -> Never {
        let supervisor = Supervisor(log, manager)
        // Blocked before there is a worker: none that ends is missed.
        let signals = SignalSet([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGCHLD, SIGALRM])
        guard supervisor.start(asNext: false) else { exit(1) }
        var isEnding = false
        var pauseMs = pauseFirstMs
        while true {
            let (signal, value) = signals.waitForValue()
            switch signal {
            case SIGTERM, SIGINT:
                if !isEnding { supervisor.manager.tell("STOPPING=1") }
                isEnding = true
                supervisor.forward(signal)
            // The worker that serves has the outcome.
            case SIGHUP where value != nil: supervisor.handOn(SIGHUP, value ?? 0)
            case SIGHUP: supervisor.reload()
            case SIGUSR1, SIGQUIT: supervisor.forward(signal)
            case SIGUSR2 where !isEnding: supervisor.upgrade()
            case SIGCHLD: supervisor.reap(isEnding, &pauseMs)
            case SIGALRM where !isEnding: supervisor.restart()
            default: break
            }
        }
    }

    private func forward(_ signal: Int32) {
        let all = state.withLock { [$0.worker] + $0.leaving + [$0.next].compactMap(\.self) }
        for process in all where process > 0 { kill(process, signal) }
    }

    /// The worker says when it is over, by telling its sockets.
    private func reload() {
        manager.tellReloading()
        let isServing = state.withLock { state in
            state.isReloading = state.isReady
            return state.isReady
        }
        forward(SIGHUP)
        // The next worker reads the file as it is.
        if !isServing { manager.tell("READY=1") }
    }

    private func handOn(_ signal: Int32, _ value: UInt64) {
        let worker = state.withLock { $0.isReady ? $0.worker : 0 }
        // The pointer is a number that the kernel hands on.
        if worker > 0, unsafe sigqueue(worker, signal, sigval(sival_ptr: UnsafeMutableRawPointer(bitPattern: UInt(value)))) == 0 { return }
        ReloadSignal.reply(value, status: 503, "no worker serves at the moment: ask again\n")
    }

    /// Starts a worker with the sockets that are kept.
    /// - Parameter asNext: beside the one that serves, which leaves when this one does.
    private func start(asNext: Bool) -> Bool {
        guard let (here, there) = SocketKeeper.pair() else {
            log.error("no worker can be started: no descriptors are left")
            return false
        }
        let sockets = state.withLock { $0.sockets }
        defer { close(there) }
        do throws(SpawnFailure) {
            let worker = try OwnProgram.spawn(
                passing: sockets.flatMap(\.descriptors) + [there], manager.workerVariables.merging([Self.channelVariable: "\(there)", Successor.socketsVariable: InheritedSockets.text(sockets)]) { $1 }, without: "NOTIFY_SOCKET")
            state.withLock { state in
                state.startedMs = Self.nowMs()
                if asNext { state.next = worker } else { state.worker = worker }
            }
            Service.onThread { [self] in listen(to: worker, here) }
            return true
        } catch {
            log.error("no worker can be started: \(error.reason)")
            close(here)
            return false
        }
    }

    /// What a worker tells, until it ends.
    private func listen(to worker: pid_t, _ channel: Int32) {
        defer { close(channel) }
        while let told = SocketKeeper.receive(on: channel) {
            let (old, leaves, isFirst, hasReloaded) = state.withLock { state -> ([Int32], pid_t?, Bool, Bool) in
                // One that leaves has nothing to say any more.
                guard state.worker == worker || state.next == worker else { return (told.flatMap(\.descriptors), nil, false, false) }
                let old = state.sockets.flatMap(\.descriptors)
                var leaves: pid_t?
                if state.next == worker {
                    // Nobody leaves where the old one has died meanwhile.
                    if state.worker > 0 {
                        leaves = state.worker
                        state.leaving.insert(state.worker)
                    }
                    (state.worker, state.next, state.isReady) = (worker, nil, false)
                }
                let (isFirst, hasReloaded) = (!state.isReady, state.isReloading)
                (state.sockets, state.isReady, state.hasServed, state.isReloading) = (told, true, true, false)
                return (old, leaves, isFirst, hasReloaded)
            }
            for descriptor in old { close(descriptor) }
            if let leaves {
                log.notice("process \(worker) serves from now on: process \(leaves) finishes the requests that it has")
                kill(leaves, SIGUSR2)
            }
            if isFirst { manager.tell("READY=1\nSTATUS=worker \(worker)") } else if hasReloaded { manager.tell("READY=1") }
        }
    }

    private func upgrade() {
        guard state.withLock({ $0.next == nil }) else { return }
        log.notice("upgrading: another worker is started on the same sockets")
        _ = start(asNext: true)
    }

    private func reap(_ isEnding: Bool, _ pauseMs: inout UInt64) {
        while true {
            var status: Int32 = 0
            let process = unsafe waitpid(-1, &status, WNOHANG)
            guard process > 0 else { return }
            enum Part { case worker(wasReady: Bool, livedMs: UInt64), next, leaving }
            let part = state.withLock { state -> Part in
                if state.leaving.remove(process) != nil { return .leaving }
                if state.next == process {
                    state.next = nil
                    return .next
                }
                defer { (state.worker, state.isReady) = (0, false) }
                return .worker(wasReady: state.isReady || state.hasServed, livedMs: Self.nowMs() &- state.startedMs)
            }
            switch part {
            case .leaving: if isEnding, isAlone { Self.end(status) }
            case .next:
                log.error("the upgrade has failed: the new worker \(OwnProgram.ending(status)); what it said stands above")
                // The old one has died while this one started.
                if isEnding { if isAlone { Self.end(status) } } else { restart() }
            case .worker(let wasReady, let livedMs):
                if isEnding { if isAlone { Self.end(status) } else { continue } }
                // It never served: starting it again would fail in the same way.
                guard wasReady else { Self.end(status == 0 ? 256 : status) }
                log.error("the worker \(process) \(OwnProgram.ending(status)): another is started on the same sockets")
                if livedMs >= Self.provenMs {
                    pauseMs = Self.pauseFirstMs
                    restart()
                } else {
                    log.warning("it lived \(livedMs) ms: the next one is started in \(pauseMs) ms")
                    Self.alarm(afterMs: pauseMs)
                    pauseMs = min(pauseMs * 2, Self.pauseMaxMs)
                }
            }
        }
    }

    private func restart() {
        // A successor that is being started takes the place.
        guard state.withLock({ $0.worker == 0 && $0.next == nil }) else { return }
        if !start(asNext: false) { Self.alarm(afterMs: Self.pauseMaxMs / 10) }
    }

    private static func alarm(afterMs ms: UInt64) {
        var timer = itimerval()
        timer.it_value = timeval(tv_sec: Int(ms / 1000), tv_usec: Int(ms % 1000) * 1000)
        unsafe setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
    }

    private var isAlone: Bool { state.withLock { $0.worker == 0 && $0.leaving.isEmpty && $0.next == nil } }

    private static func end(_ status: Int32) -> Never { exit(status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)) }

    private static func nowMs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }
}

/// A worker's way to its supervisor.
struct SupervisorChannel {
    private let descriptor: Int32

    /// nil: nobody supervises this process.
    init?() {
        guard let text = OwnProgram.take(Supervisor.channelVariable), let descriptor = Int32(text), descriptor > 2 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        self.descriptor = descriptor
        // A worker whose supervisor is gone drains.
        Service.onThread {
            var byte: UInt8 = 0
            while unsafe recv(descriptor, &byte, 1, 0) > 0 {}
            kill(getpid(), SIGTERM)
        }
    }

    /// This process serves on these sockets.
    func tell(_ sockets: [(address: String, descriptors: [Int32])]) { _ = SocketKeeper.send(sockets, on: descriptor) }
}
