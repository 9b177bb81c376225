// RunningServer: loops at work. Reached from any thread; loops are reached by messages.

internal import Glibc
internal import Synchronization
internal import UringBase
internal import UringHTTP1
internal import UringRing

/// A server at work, made by `Server.start`. It serves until `stop`, whoever holds it. Every method may be called from any thread; those that wait for loops
/// (`stop`, `snapshots`) not from a handler.
public final class RunningServer: Sendable {
    /// How many loops on which cores, and why.
    public let plan: LoopPlan
    /// What the loops wait with: `uring` or `epoll`, never `automatic`.
    public let backend: ServerOptions.Backend
    /// Why that is not io_uring, and what to do about it, where neither the program nor its environment asked for epoll; nil otherwise.
    public let backendNote: String?
    /// Open connections over all loops: `limits.connections`, or what the descriptor limit allowed at start.
    package let connectionsMax: Int
    private let addressLimiter: AddressLimiter
    let threads: [LoopThread]
    let listeners: Locked<[OpenListener]>
    let materials: TLSMaterials
    private let stopped = Locked(false)
    private let isHandedOver = Atomic<Bool>(false)

    /// What it listens on, ports filled in: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`.
    public var addresses: [String] { listeners.withLock { $0.map(\.address.description) } }

    init(_ server: Server) throws {
        do {
            plan = try LoopPlan(server.options.loops)
        } catch {
            throw ServerError("\(error)")
        }
        addressLimiter = AddressLimiter(limit: UInt32(clamping: server.options.limits.connectionsPerAddress))
        let materials = TLSMaterials()
        var opened: [OpenListener] = []
        do {
            let kernels = try KernelChoice(server.options.backend)
            (backend, backendNote) = (kernels.backend, kernels.note)
            let mailbox = try LoopMailbox(backend)
            let loops = plan.cores.count
            guard !server.listeners.isEmpty || server.listensNowhere else { throw ServerError("no address to listen on") }
            // Before anything listens: who cannot serve must not take clients away from who can.
            let loaded = try server.listeners.map { try materials.load($0) }
            for listener in loaded { opened.append(try OpenListener.open(listener, loops: loops, server.options, besides: opened)) }
            let connections = Self.connectionLimit(server.options.limits.connections)
            connectionsMax = connections
            var configuration = server.options.loopConfiguration(connectionsPerLoop: max(1, connections / loops))
            configuration.addressLimiter = addressLimiter
            let box = server.application.box
            var started: [LoopThread] = []
            do {
                for loop in 0..<loops {
                    let core = plan.isPinned && server.options.pinsLoops ? plan.cores[loop] : nil
                    started.append(
                        try LoopThread(
                            index: loop, core: core, listeners: opened.flatMap { $0.listeners(of: loop, loops) }, configuration: configuration, handler: box,
                            mailbox: mailbox, kernels: kernels))
                }
            } catch {
                // The loops that did start close their own descriptors; the rest is closed here.
                for thread in started { thread.post(.abort) }
                for thread in started { thread.join() }
                for listener in opened {
                    for loop in started.count..<loops { for descriptor in listener.descriptors(of: loop, loops) { close(descriptor) } }
                    if !listener.isAdopted { listener.removeFile() }
                }
                opened = []
                throw error
            }
            threads = started
        } catch {
            for listener in opened { listener.abandon() }
            throw ServerError("\(error)")
        }
        self.materials = materials
        listeners = Locked(opened)
    }

    /// Raises the soft descriptor limit to the hard one, and lowers `wanted` to what it then allows: beyond it clients wait in the backlog.
    private static func connectionLimit(_ wanted: Int) -> Int {
        guard let soft = (try? ResourceLimit.raiseOpenFiles())?.soft else { return max(1, wanted) }
        // What is not a connection: rings, listeners, log files, files being served.
        let reserve: UInt64 = 64
        return max(1, min(wanted, Int(clamping: soft > 2 * reserve ? soft - reserve : soft / 2)))
    }

    /// `listening on http://127.0.0.1:8080 (loops: 2, cores 0,1: affinity mask)`, a line per listener, and remarks about loops and kernel.
    public var summary: [String] { addresses.map(summary(of:)) + notes }

    /// What is to be known of the choice of loops and of the kernel's interface, a sentence each.
    package var notes: [String] { plan.notes + (backendNote.map { [$0] } ?? []) }

    /// The line of one of `addresses`.
    package func summary(of address: String) -> String {
        let isSecure = listeners.withLock { $0.contains { $0.address.description == address && $0.loaded.transport.tls != nil } }
        return "listening on \(isSecure ? "https" : "http")\(address.hasPrefix("unix:") ? "+" : "://")\(address) (\(plan.summary))"
    }

    /// Replaces handler and settings on every loop. Connections stay; requests under way finish with what they began with.
    public func replace(options: ServerOptions, application: Application) {
        let connections = Self.connectionLimit(options.limits.connections)
        let configuration = options.loopConfiguration(connectionsPerLoop: max(1, connections / threads.count))
        addressLimiter.limit = UInt32(clamping: options.limits.connectionsPerAddress)
        let box = application.box
        for thread in threads { thread.post(.replace(configuration, box)) }
    }

    /// As `replace`, and changes what is listened on: addresses that stay keep their sockets and the clients queued in them.
    /// - Returns: the addresses that are new, as `addresses` tells them, and those that are gone.
    /// - Throws: `ServerError` when a new address cannot be opened, or a certificate cannot be used; then nothing has changed.
    package func reload(
        listeners wanted: [Listener], options: ServerOptions, application: Application
    ) throws -> (added: [String], removed: [String]) {
        try listeners.withLock { open in
            let change = ListenerChange(from: open, to: try wanted.map { try materials.load($0) })
            var added: [OpenListener] = []
            do {
                for listener in change.added {
                    added.append(try OpenListener.open(listener, loops: threads.count, options, besides: open + added))
                }
            } catch {
                for listener in added { listener.abandon() }
                throw ServerError("\(error)")
            }
            replace(options: options, application: application)
            for (loop, thread) in threads.enumerated() {
                if !added.isEmpty, !thread.post(.listen(added.flatMap { $0.listeners(of: loop, threads.count) })) {
                    for listener in added { for descriptor in listener.descriptors(of: loop, threads.count) { close(descriptor) } }
                }
                if !change.kept.isEmpty { thread.post(.transport(change.kept.transports(of: loop, threads.count))) }
                if !change.removed.isEmpty { thread.post(.unlisten(change.removed.flatMap { $0.descriptors(of: loop, threads.count) })) }
            }
            for listener in change.removed { listener.removeFile() }
            open = change.kept + added
            return (added.map(\.address.description), change.removed.map(\.address.description))
        }
    }

    /// Runs something on each loop's thread, between two requests, and waits until all have. Skips loops that have ended.
    package func onEachLoop(_ body: @escaping @Sendable (_ loop: Int) -> Void) {
        for (loop, thread) in threads.enumerated() {
            let answer = Answer<Bool>()
            let isDelivered = thread.post(
                .run {
                    body(loop)
                    answer.send(true)
                })
            if isDelivered { _ = answer.wait() }
        }
    }

    /// The same, with the loop as tasks see it.
    package func onEachServerLoop(_ body: @escaping @Sendable (_ index: Int, _ loop: ServerLoop) -> Void) {
        for (index, thread) in threads.enumerated() {
            let answer = Answer<Bool>()
            let isDelivered = thread.post(
                .runOn { loop in
                    body(index, loop)
                    answer.send(true)
                })
            if isDelivered { _ = answer.wait() }
        }
    }

    /// A loop, for tasks that shall run on it; nil when it has ended. Not from a loop's thread.
    package func serverLoop(_ index: Int) -> ServerLoop? {
        let answer = Answer<ServerLoop>()
        return threads[index].post(.runOn { answer.send($0) }) ? answer.wait() : nil
    }

    /// Each loop's figures, gathered on the loops' threads. Missing: loops that have stopped.
    public func snapshots() -> [LoopSnapshot] {
        threads.compactMap { thread in
            let answer = Answer<LoopSnapshot>()
            guard thread.post(.snapshot({ answer.send($0) })) else { return nil }
            return answer.wait()
        }
    }

    /// Each loop's figures at its end, after `stop`.
    package var lastFigures: [LoopSnapshot] { threads.compactMap(\.lastFigures) }

    /// Stops accepting, lets requests under way finish, waits for the loops to end; after `limit` closes who is still connected.
    public func stop(within limit: Duration) { stop(limit: limit) }

    /// - Parameter limit: nil waits as long as it takes, or until `abort`.
    /// - Parameter patience: how long connections that are idle may still send a request, which is answered; another process has the sockets by then (`handOver`). Zero ends them at once.
    package func stop(limit: Duration?, patience: Duration = .zero) {
        let isFirst = stopped.withLock { stopped in
            defer { stopped = true }
            return !stopped
        }
        guard isFirst else { return }
        if !isHandedOver.load(ordering: .acquiring) { listeners.withLock { for listener in $0 { listener.removeFile() } } }
        for thread in threads { thread.post(.drain(sparesIdle: patience > .zero)) }
        let second = patience > .zero ? Watchdog(after: patience) { [self] in for thread in threads { thread.post(.drain(sparesIdle: false)) } } : nil
        let watchdog = limit.map { limit in Watchdog(after: limit) { [self] in abort() } }
        for thread in threads { thread.join() }
        second?.cancel()
        watchdog?.cancel()
    }

    /// The sockets that it listens on, for another process to go on with: address as it was asked for, descriptors. They stay this server's.
    package var sockets: [(address: String, descriptors: [Int32])] { listeners.withLock { $0.map { ($0.loaded.listener.address, $0.descriptors) } } }

    /// Another process listens on the same sockets from now on: files of unix sockets are left to it.
    package func handOver() { isHandedOver.store(true, ordering: .releasing) }

    /// Closes every connection at once. For a server that is being stopped: `stop` then returns.
    package func abort() {
        for thread in threads { thread.post(.abort) }
    }
}
