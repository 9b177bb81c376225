// RunningServer: loops at work. Reached from any thread; loops are reached by messages.

internal import Glibc
internal import Synchronization
internal import UringHTTP1
internal import UringRing

public final class RunningServer: Sendable {
    /// What it listens on, ports filled in: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`.
    public let addresses: [String]
    /// How many loops on which cores, and why.
    public let plan: LoopPlan
    private let mailbox: LoopMailbox
    private let threads: [LoopThread]
    private let unixPaths: [String]
    private let stopped = Mutex(false)

    init(_ server: Server) throws {
        do {
            plan = try LoopPlan(server.options.loops)
        } catch {
            throw ServerError("\(error)")
        }
        var opened: [Int32] = []
        do {
            mailbox = try LoopMailbox()
            let loops = plan.cores.count
            let addresses = try server.listen.map { try SocketAddress.parse($0).get() }
            guard !addresses.isEmpty else { throw ServerError("no address to listen on") }
            var perLoop = [[LoopListener]](repeating: [], count: loops)
            var bound: [SocketAddress] = []
            for address in addresses {
                let (actual, listeners) = try Self.open(address, loops: loops, server.options)
                opened += Set(listeners.map(\.fd))
                bound.append(actual)
                for loop in 0..<loops { perLoop[loop].append(listeners[loop]) }
            }
            self.addresses = bound.map(\.description)
            unixPaths = bound.filter { $0.family == .unix && !$0.path.hasPrefix("@") }.map(\.path)
            let connections = Self.connectionLimit(server.options.limits.connections)
            let configuration = server.options.loopConfiguration(connectionsPerLoop: max(1, connections / loops))
            let box = server.application.box
            var started: [LoopThread] = []
            do {
                for loop in 0..<loops {
                    let core = plan.isPinned ? plan.cores[loop] : nil
                    started.append(
                        try LoopThread(index: loop, core: core, listeners: perLoop[loop], configuration: configuration, handler: box))
                }
            } catch {
                for thread in started { mailbox.post(.abort, to: thread.target) }
                for thread in started { thread.join() }
                throw error
            }
            threads = started
        } catch {
            for fd in opened { close(fd) }
            throw ServerError("\(error)")
        }
    }

    /// A socket per loop, all on one address (SO_REUSEPORT); a unix socket is shared.
    private static func open(_ address: SocketAddress, loops: Int, _ options: ServerOptions) throws -> (SocketAddress, [LoopListener]) {
        let backlog = Int32(clamping: options.backlog)
        let deferSeconds: Int32 = options.deferAccept ? 1 : 0
        if address.family == .unix {
            if !address.path.hasPrefix("@") { UringKernel.removeStaleSocket(address) }
            let fd = try UringKernel.openListener(address, backlog: backlog, deferAcceptSeconds: 0).get()
            return (address, (0..<loops).map { LoopListener(fd: fd, address: address, closesWithLoop: $0 == 0) })
        }
        // Another program with SO_REUSEPORT on this address would share our clients: refuse, as every other server does.
        if address.port != 0, let taken = UringKernel.isTaken(address) { throw taken }
        var actual = address
        var listeners: [LoopListener] = []
        for _ in 0..<loops {
            let fd = try UringKernel.openListener(actual, backlog: backlog, deferAcceptSeconds: deferSeconds).get()
            if actual.port == 0 { actual = UringKernel.boundAddress(fd) ?? actual }
            listeners.append(LoopListener(fd: fd, address: actual, closesWithLoop: true))
        }
        return (actual, listeners)
    }

    /// Raises the soft descriptor limit to the hard one, and lowers `wanted` to what it then allows: beyond it clients wait in the backlog.
    private static func connectionLimit(_ wanted: Int) -> Int {
        guard let soft = (try? ResourceLimit.raiseOpenFiles())?.soft else { return max(1, wanted) }
        // What is not a connection: rings, listeners, log files, files being served.
        let reserve: UInt64 = 64
        return max(1, min(wanted, Int(clamping: soft > 2 * reserve ? soft - reserve : soft / 2)))
    }

    /// `listening on http://127.0.0.1:8080 (loops: 2, cores 0,1: affinity mask)`, a line per listener, and the plan's remarks.
    public var summary: [String] {
        addresses.map { address in
            "listening on \(address.hasPrefix("unix:") ? "http+" : "http://")\(address) (\(plan.summary))"
        } + plan.notes
    }

    /// Replaces handler and settings on every loop. Connections stay; requests under way finish with what they began with.
    public func replace(options: ServerOptions, application: Application) {
        let connections = Self.connectionLimit(options.limits.connections)
        let configuration = options.loopConfiguration(connectionsPerLoop: max(1, connections / threads.count))
        let box = application.box
        for thread in threads { mailbox.post(.replace(configuration, box), to: thread.target) }
    }

    /// Each loop's figures, gathered on the loops' threads. Missing: loops that have stopped.
    public func snapshots() -> [LoopSnapshot] {
        threads.compactMap { thread in
            let answer = Answer<LoopSnapshot>()
            guard mailbox.post(.snapshot({ answer.send($0) }), to: thread.target) else { return nil }
            return answer.wait()
        }
    }

    /// Stops accepting, lets requests under way finish, waits for the loops to end; after `limit` closes who is still connected.
    public func stop(within limit: Duration) {
        let isFirst = stopped.withLock { stopped in
            defer { stopped = true }
            return !stopped
        }
        guard isFirst else { return }
        for path in unixPaths { unsafe unlink(path) }
        for thread in threads { mailbox.post(.drain, to: thread.target) }
        let watchdog = Watchdog(after: limit) { [mailbox, threads] in
            for thread in threads { mailbox.post(.abort, to: thread.target) }
        }
        for thread in threads { thread.join() }
        watchdog.cancel()
    }
}
