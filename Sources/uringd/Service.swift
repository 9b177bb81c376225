// Service: a gateway as a process. Takes the signals on the main thread, tells the service manager, ends the process.

import ArgumentParser
import Glibc
import Synchronization
import UringGateway
import UringServer

enum Service {
    /// Serves until a signal ends it, and ends the process with status 0; throws `ExitCode(1)` when it cannot start, the reason printed.
    /// - Parameter source: where the configuration is read anew on SIGHUP; nil where there is no file.
    static func run(_ backend: BackendOption, _ configuration: () throws -> Configuration, source: ConfigurationSource? = nil) throws {
        // Before any thread starts: all of them inherit the blocked signals, and this one takes them.
        let signals = SignalSet([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT])
        let manager = ServiceManager()
        let isSuccessor = Successor.isOne
        for problem in Successor.takeOver() { Console.error("uringd: \(problem)\n") }
        let unusable = ServiceManager.takeSockets()
        let supervisor = SupervisorChannel()
        let log: OperationalLog
        let gateway: Gateway
        do {
            var configuration = try configuration()
            // For bench/sampling alone.
            if OwnProgram.take("URINGD_SAMPLING") == "off" { configuration.isSampled = false }
            // Who has set up a socket unit expects to be served on it.
            for problem in unusable + InheritedSockets.unclaimed(besides: configuration.listenAddresses) { throw GatewayError(problem) }
            log = OperationalLog(level: configuration.logLevel)
            // Whoever is supervised is the worker.
            if configuration.hasSupervisor, supervisor == nil { Supervisor.run(log, manager) }
            gateway = try start(configuration, log, backend.backend, source)
        } catch let error as ExitCode {
            throw error
        } catch {
            Console.error("uringd: \(error)\n")
            throw ExitCode(1)
        }
        Console.out(gateway.listening.map { $0 + "\n" }.joined())
        for note in gateway.notes { log.notice(note) }
        if !isSuccessor { manager.tell("READY=1") }
        Successor.sayReady()
        supervisor?.tell(gateway.sockets)
        if let period = ServiceManager.watchdogMicroseconds(isHeir: isSuccessor || supervisor != nil) {
            (supervisor == nil ? manager : .ofWorker).feedWatchdog(everyMicroseconds: period) { gateway.server.onEachLoop { _ in } }
        }
        var isDraining = false
        let upgrade = Upgrade()
        while true {
            let (signal, value) = signals.waitForValue()
            switch signal {
            case SIGHUP:
                let isStopping = isDraining || upgrade.isDone
                let reloads = {
                    let outcome = reload(gateway, manager)
                    supervisor?.tell(gateway.sockets)
                    return outcome
                }
                if let value { ReloadSignal.serve(value, gateway, isStopping: isStopping, reload: reloads) } else if !isStopping { _ = reloads() }
            // Another worker has the sockets.
            case SIGUSR2 where !isDraining && supervisor != nil:
                isDraining = true
                onThread { gateway.handOver(); exit(0) }
            case SIGUSR1: gateway.reopenLogs()
            case SIGQUIT: gateway.dumpFlight()
            case SIGUSR2 where !isDraining && !upgrade.isUnderWay: upgrade.begin(gateway, log, manager)
            case SIGTERM, SIGINT:
                if isDraining || upgrade.isDone {
                    log.notice("a second signal: closing every connection")
                    gateway.abort()
                } else {
                    isDraining = true
                    log.notice("draining: requests under way finish; another signal ends them")
                    manager.tell("STOPPING=1")
                    onThread { gateway.stop(); exit(0) }
                }
            default: break
            }
        }
    }

    /// Another process with the binary that stands at this one's path now, on the same sockets.
    private final class Upgrade: Sendable {
        private let underWay = Atomic<Bool>(false)
        private let done = Atomic<Bool>(false)

        /// The successor serves, and this process drains.
        var isDone: Bool { done.load(ordering: .acquiring) }
        var isUnderWay: Bool { underWay.load(ordering: .acquiring) }

        /// Serves on while the successor starts; ends the process when it serves and the last connection of this one is gone.
        func begin(_ gateway: Gateway, _ log: OperationalLog, _ manager: ServiceManager) {
            underWay.store(true, ordering: .releasing)
            log.notice("upgrading: another process is started on the same sockets")
            Service.onThread { [self] in
                switch Successor.start(gateway.sockets) {
                case .serves(let process):
                    // From this process, whom the service manager believes as the main one (NotifyAccess=main).
                    manager.tell("MAINPID=\(process)\nREADY=1")
                    log.notice("process \(process) serves from now on: this one finishes the requests that it has")
                    done.store(true, ordering: .releasing)
                    gateway.handOver()
                    exit(0)
                case .failed(let reason):
                    log.error("the upgrade has failed, this process goes on: \(reason)")
                    underWay.store(false, ordering: .releasing)
                }
            }
        }
    }

    private static func start(_ configuration: Configuration, _ log: OperationalLog, _ backend: ServerOptions.Backend, _ source: ConfigurationSource?) throws -> Gateway {
        do {
            return try Gateway(configuration, log: log, backend: backend, source: source)
        } catch {
            Console.error("uringd: \(error)\n")
            // Often the machine is the reason: then the failing lines of the doctor say what to change.
            var needs = DoctorNeeds()
            needs.loops = configuration.loops.selection
            needs.connections = UInt64(configuration.limits.connections)
            needs.backend = (try? backend.resolved()) ?? .automatic
            let failures = DoctorReport.live(needs: needs).failures
            if !failures.isEmpty { Console.error("What `uringd doctor` finds wrong with this machine:\n" + DoctorReport.lines(of: failures)) }
            throw ExitCode(1)
        }
    }

    private static func reload(_ gateway: Gateway, _ manager: ServiceManager) -> ReloadOutcome {
        manager.tellReloading()
        // What is wrong stands before the line that says so.
        let outcome = gateway.reload { Console.error($0.render(excerpts: true)) }
        if case .changed(_, let listening, _, _) = outcome { Console.out(listening.map { $0 + "\n" }.joined()) }
        manager.tell("READY=1")
        return outcome
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    static func onThread(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        // The thread takes over the retained reference.
        let code = unsafe pthread_create(
            &thread, nil,
            {
                unsafe Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run()
                return nil
            }, unsafe Unmanaged.passRetained(Body(body)).toOpaque())
        // Without a thread the drain runs here; only the second signal is not taken then.
        if code == 0 { pthread_detach(thread) } else { body() }
    }
}
