// Gateway: a configuration at work. Starts, reloads and stops the servers; reached from the thread that takes the signals, and from the one
// that waits for the drain. Loops are reached through `RunningServer` only.

internal import UringBase
package import UringServer

package final class Gateway: Sendable {
    private struct State {
        var configuration: Configuration
        var application: GatewayApplication
        var admin: RunningServer?
        /// Started with the first configuration that has `surge`.
        var watch: SurgeWatch?
        /// Started with the first configuration that has `admin`.
        var sampler: PeriodicThread?
        var tracing = TCPTracing.off
    }

    package let server: RunningServer
    let readiness: Readiness
    let log: OperationalLog
    let meters: RouteMeters
    /// nil: the configuration came from arguments.
    let source: ConfigurationSource?
    let reloads: Locked<ReloadCounters>
    /// One reload from the file at a time.
    let reloading = Locked<Void>(())
    let reporter: LogReporter
    let door: ProxyDoor
    private let lookup: NameLookup
    let bans: BanBook
    /// The last minutes, for the dashboard.
    let history = DashboardHistory()
    private let adminContext: AdminContext
    private let state: Locked<State>

    /// How long probes that are being answered may take when their server stops.
    private static let adminDrain = Duration.seconds(1)
    /// Probes come from a handful of places.
    private static let adminConnectionsMax = 256

    /// Starts to serve.
    /// - Parameters:
    ///   - source: where the configuration is read again from when the administration asks for it.
    ///   - lookup: whom names of upstreams' servers are looked up by.
    /// - Throws: when an address is in use, a file cannot be opened, io_uring is demanded and forbidden: a sentence with the remedy.
    package init(_ configuration: Configuration, log: OperationalLog, backend: ServerOptions.Backend = .automatic, source: ConfigurationSource? = nil, lookup: NameLookup = .system) throws {
        let readiness = Readiness()
        let reporter = LogReporter(log)
        var options = configuration.serverOptions
        options.backend = backend
        let loops = try Self.plan(options.loops).cores.count
        let meters = RouteMeters(loops: loops)
        let bans = BanBook(loops: loops, log: reporter)
        let application = try GatewayApplication(configuration, loops: loops, meters: meters, log: reporter, lookup: lookup, bans: bans)
        bans.take(application.addressFile, trusted: configuration.trustedProxies)
        reporter.bans.withLock { $0 = application.banWatch }
        let door = ProxyDoor(log)
        let listeners = try configuration.serverListeners(door)
        // First, so that probes see "starting" instead of a refused connection.
        let context = AdminContext(readiness)
        context.tokens = configuration.admin?.tokens ?? []
        let admin = try configuration.admin.map { try Self.startAdmin($0, context, reporter, backend) }
        do {
            server = try Server(
                listeners: listeners, options: options, application: application.application(reporter: reporter)
            ).start()
        } catch {
            admin?.stop(within: .zero)
            throw error
        }
        (self.readiness, self.log, self.reporter, self.meters, self.source, adminContext) = (readiness, log, reporter, meters, source, context)
        (self.door, self.lookup, self.bans) = (door, lookup, bans)
        var reloads = ReloadCounters()
        reloads.loadedNs = Self.wallNs()
        self.reloads = Locked(reloads)
        state = Locked(State(configuration: configuration, application: application, admin: admin))
        context.gateway = self
        reporter.flight.configuration = configuration.flightRecorder
        reporter.flight.attach(self)
        context.redis = application.redis
        Self.watch(application, server)
        bans.start()
        share(application)
        state.withLock { state in
            watchSurges(&state)
            sample(&state)
            trace(&state)
        }
        application.tracing?.spans.export.start(backend)
        readiness.current = .serving
    }

    /// Health checks and the like begin, where they are not under way. Each upstream's belong to one loop, not all to the same.
    private static func watch(_ application: GatewayApplication, _ server: RunningServer) {
        let loops = server.plan.cores.indices.compactMap { server.serverLoop($0) }
        // A server that is stopping.
        guard loops.count == server.plan.cores.count else { return }
        for (number, upstream) in application.upstreams.enumerated() { upstream.startWatching(on: number % loops.count, of: loops) }
        for (number, source) in application.filters.keySources.enumerated() { source.start(on: loops[number % loops.count]) }
        let redis = application.redis
        // First requests find a connection.
        if !redis.isEmpty { server.onEachServerLoop { index, loop in for one in redis { _ = one.onLoop(index, loop) } } }
    }

    /// Bans are shared as this application says.
    private func share(_ application: GatewayApplication) {
        bans.share(with: application.sharedBans)
        if let shared = application.sharedBans, let loop = server.serverLoop(0) { shared.start(on: loop, 0) }
    }

    /// nil: nothing is done about surges.
    var surge: SurgeControl? { state.withLock { $0.application.filters.surge } }

    private func watchSurges(_ state: inout State) {
        let surge = state.application.filters.surge
        if let watch = state.watch { return watch.set(surge) }
        guard let surge else { return }
        state.watch = SurgeWatch(server, surge)
        if state.watch == nil { log.error("surges are not seen: no thread for it could be started") }
    }

    private static let samplePeriodMs: Int32 = 1000

    /// Fills the dashboard's history from now on, if somebody may look at it.
    private func sample(_ state: inout State) {
        guard state.admin != nil, state.sampler == nil, state.configuration.isSampled else { return }
        let dashboard = DashboardSampler()
        state.sampler = PeriodicThread(periodMs: Self.samplePeriodMs) { [weak self] in if let self { dashboard.sample(self) } }
        if state.sampler == nil { log.error("the dashboard shows nothing: no thread for it could be started") }
    }

    /// Begins or ends the tracing of TCP, as the configuration says.
    private func trace(_ state: inout State) {
        switch (state.tracing, state.configuration.admin?.tracesTCP ?? false) {
        case (.off, true): state.tracing = TCPTracing.start(log)
        // Tries again: rights may have come meanwhile.
        case (.sampling, true): state.tracing = TCPTracing.start(log)
        case (_, false): state.tracing = .off
        case (.attached, true): break
        }
    }

    var tracing: TCPTracing { state.withLock { $0.tracing } }

    private static func plan(_ selection: UringServer.LoopSelection) throws -> LoopPlan {
        do throws(LoopPlanError) { return try LoopPlan(selection) } catch { throw GatewayError("\(error)") }
    }

    private static func startAdmin(
        _ admin: AdminConfiguration, _ context: AdminContext, _ reporter: LogReporter, _ backend: ServerOptions.Backend
    ) throws -> RunningServer {
        var listener = Listener(try admin.address.numeric())
        if case .unix = admin.address { listener.unixMode = 0o660 }
        var options = ServerOptions()
        options.loops = .count(1)
        options.pinsLoops = false
        options.backend = backend
        options.limits.connections = adminConnectionsMax
        return try Server(listeners: [listener], options: options, application: AdminApplication.make(context, reporter: reporter)).start()
    }

    /// What is in use now. Waits for a reload under way.
    package var configuration: Configuration { state.withLock { $0.configuration } }
    var current: GatewayApplication { state.withLock { $0.application } }

    /// `listening on …`, a line per listener.
    package var listening: [String] {
        server.addresses.map { server.summary(of: $0) } + state.withLock { $0.admin.map(Self.lines) ?? [] }
    }

    /// What the choice of loops and the limits of the process mean here, a sentence each.
    package var notes: [String] {
        let wanted = state.withLock { $0.configuration.limits.connections }
        var notes = server.notes
        if server.connectionsMax < wanted {
            notes.append(
                "\(server.connectionsMax) connections fit under the limit of open files, not \(wanted): raise LimitNOFILE (ulimit -n), or lower limits.connections")
        }
        return notes + server.selfSignedFingerprints.map { "the certificate is self-signed, its SHA-256 fingerprint \($0)" }
    }

    private static func lines(_ admin: RunningServer) -> [String] {
        admin.addresses.map { "listening on \($0.hasPrefix("unix:") ? "http+" : "http://")\($0) (admin)" }
    }

    /// Of the configuration that is at work, in its order.
    package var upstreams: [Upstream] { state.withLock { $0.application.upstreams } }

    // MARK: reload

    /// Goes over to another configuration: requests under way finish with the old one, connections and listeners that stay are untouched.
    /// - Returns: the `listening on …` lines of listeners that are new.
    /// - Throws: what cannot be opened; then the old configuration goes on as it was.
    package func reload(_ new: Configuration) throws -> [String] {
        try state.withLock { state in
            let application = try GatewayApplication(new, loops: server.plan.cores.count, previous: state.application, meters: meters, log: reporter, lookup: lookup, bans: bans)
            let listeners = try new.serverListeners(door)
            // Who may ask is looked up for each request.
            let keepsAdmin = new.admin?.address == state.configuration.admin?.address
            let admin = keepsAdmin ? state.admin : try new.admin.map { try Self.startAdmin($0, adminContext, reporter, server.backend) }
            let change: (added: [String], removed: [String])
            do {
                change = try server.reload(
                    listeners: listeners, options: new.serverOptions, application: application.application(reporter: reporter))
            } catch {
                if !keepsAdmin { admin?.stop(within: .zero) }
                throw error
            }
            bans.take(application.addressFile, trusted: new.trustedProxies)
            reporter.bans.withLock { $0 = application.banWatch }
            for remark in Self.remarks(from: state.configuration, to: new) { log.warning(remark) }
            for change in Self.transportChanges(from: state.configuration, to: new) { log.notice(change) }
            for address in change.removed { log.info("no longer listening on \(address)") }
            let gone = state.application.upstreams.filter { old in !application.upstreams.contains { $0 === old } }
            for upstream in gone { upstream.stopWatching() }
            for source in state.application.filters.keySources where !application.filters.keySources.contains(where: { $0 === source }) { source.stop() }
            Self.watch(application, server)
            goOver(from: state.application.tracing?.spans.export, to: application.tracing?.spans.export)
            if let old = state.application.sharedBans, old !== application.sharedBans { old.stop() }
            share(application)
            let redisGone = state.application.redis.filter { old in !application.redis.contains { $0 === old } }
            if !redisGone.isEmpty { server.onEachServerLoop { index, _ in for old in redisGone { old.retire(index) } } }
            if !gone.isEmpty {
                let current = application.upstreams
                server.onEachServerLoop { index, loop in
                    for old in gone { old.retire(loop: index, loop, successor: current.first { $0.configuration.name == old.configuration.name }) }
                }
            }
            let oldAdmin = keepsAdmin ? nil : state.admin
            state = State(configuration: new, application: application, admin: admin, watch: state.watch, sampler: state.sampler, tracing: state.tracing)
            watchSurges(&state)
            sample(&state)
            trace(&state)
            log.level = new.logLevel
            reporter.flight.configuration = new.flightRecorder
            adminContext.tokens = new.admin?.tokens ?? []
            adminContext.redis = application.redis
            // Not here: it may be the one that asked for this reload, and waits for the answer.
            if let oldAdmin { Task.detached { oldAdmin.stop(within: Self.adminDrain) } }
            return change.added.map { server.summary(of: $0) } + (keepsAdmin ? [] : admin.map(Self.lines) ?? [])
        }
    }

    /// Loops are with the new application by now, or will be before what is posted here.
    private func goOver(from old: SpanExport?, to new: SpanExport?) {
        guard old !== new else { return }
        new?.start(server.backend)
        guard let old else { return }
        server.onEachLoop { old.queues[$0].retire() }
        // Not here: the collector may take its time.
        guard let loop = server.serverLoop(0) else { return old.finish() }
        Task(executorPreference: loop.taskExecutor) { try? await loop.offload { old.finish() } }
    }

    /// What a reload cannot change.
    static func remarks(from old: Configuration, to new: Configuration) -> [String] {
        var remarks: [String] = []
        if new.loops != old.loops { remarks.append("`loops` changed: takes effect when the server is restarted") }
        if new.limits.connections != old.limits.connections {
            remarks.append("`limits.connections` changed: takes effect when the server is restarted")
        }
        if new.flightRecorder.events != old.flightRecorder.events { remarks.append("`admin.flight-recorder.events` changed: takes effect when the server is restarted") }
        if new.hasSupervisor != old.hasSupervisor { remarks.append("`supervisor` changed: takes effect when the server is restarted") }
        for (before, after) in stayingListeners(from: old, to: new) {
            // TLS and HTTP/2 are up to each connection: new ones get what is new.
            var fixed = after
            (fixed.tls, fixed.http2, fixed.expectsProxyProtocol) = (before.tls, before.http2, before.expectsProxyProtocol)
            guard fixed != before else { continue }
            remarks.append("options of the listener \(after.address) changed: they take effect when the server is restarted")
        }
        return remarks
    }

    /// Listeners that go over to TLS or the PROXY protocol or back, a sentence each.
    static func transportChanges(from old: Configuration, to new: Configuration) -> [String] {
        let staying = stayingListeners(from: old, to: new)
        let headers = staying.filter { $0.before.expectsProxyProtocol != $0.after.expectsProxyProtocol }.map { _, after in
            "new connections to \(after.address) \(after.expectsProxyProtocol ? "begin" : "do not begin") with a PROXY protocol header from now on"
        }
        return headers + staying.compactMap { before, after in
            switch (before.tls == nil, after.tls == nil) {
            case (true, false): "new connections to \(after.address) speak TLS from now on"
            case (false, true): "new connections to \(after.address) are in clear from now on"
            case (true, true), (false, false): nil
            }
        }
    }

    private static func stayingListeners(
        from old: Configuration, to new: Configuration
    ) -> [(before: ListenerConfiguration, after: ListenerConfiguration)] {
        new.listeners.compactMap { after in old.listeners.first { $0.address == after.address }.map { ($0, after) } }
    }

    /// Has the last events of all loops written to a file. Any thread; returns at once.
    package func dumpFlight() { reporter.flight.dump(.signal) }

    // MARK: logs

    /// Opens the access log anew on every loop, for log rotation.
    package func reopenLogs() {
        guard let logs = state.withLock({ $0.application.logs }) else { return }
        let failure = Locked<CInt>(0)
        server.onEachLoop { loop in
            let code = logs.reopen(loop)
            if code != 0 { failure.withLock { $0 = code } }
        }
        let code = failure.withLock { $0 }
        if code == 0 {
            log.info("opened the access log anew")
        } else {
            log.error("cannot open the access log anew, the old file stays in use: \(ConfigFileChecks.reason(code))")
        }
    }

    // MARK: stop

    /// What it listens on, the administration too, for another process to go on with: address as it was asked for, descriptors.
    package var sockets: [(address: String, descriptors: [Int32])] { server.sockets + state.withLock { $0.admin?.sockets ?? [] } }

    /// How long clients with idle connections may still send a request when another process has the sockets, before those are closed.
    private static let patience = Duration.seconds(5)

    /// Another process serves on the same sockets: drains without haste, and returns when every connection is gone. In place of `stop`.
    package func handOver() {
        server.handOver()
        state.withLock { $0.admin }?.handOver()
        stop(patience: Self.patience)
    }

    /// Drains, and returns when every connection is gone. Once.
    package func stop() { stop(patience: .zero) }

    private func stop(patience: Duration) {
        readiness.current = .draining
        for upstream in state.withLock({ $0.application.upstreams }) { upstream.stopWatching() }
        for source in state.withLock({ $0.application.filters.keySources }) { source.stop() }
        state.withLock { $0.application.sharedBans }?.stop()
        state.withLock { $0.watch }?.end()
        state.withLock { $0.sampler }?.end()
        bans.end()
        server.stop(limit: state.withLock { $0.configuration.drainLimit }, patience: patience)
        // Behind the last response, which has a span too.
        state.withLock { $0.application.tracing }?.spans.export.finish()
        if let line = HandshakeSummary(server.lastFigures).line { log.info(line) }
        state.withLock { $0.admin }?.stop(within: Self.adminDrain)
    }

    /// Closes every connection at once: `stop` then returns. Any thread.
    package func abort() { server.abort() }
}
