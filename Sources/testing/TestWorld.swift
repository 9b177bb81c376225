// TestWorld: the simulated world of one TestServer: kernel, network, clock, the loop, and who is connected. One thread at a time: the test's.
//
// Who holds whom: the TestServer and each TestConnection hold the world; the world holds the connections that may still hear something, until the
// TestServer goes and ends it. So nothing depends on which of a test's variables the compiler lets go first.

internal import Glibc
internal import UringRing
internal import UringSimulation

final class TestWorld {
    let simulation: Simulation
    let reports: ReportLog
    let address: SocketAddress
    /// nil: the server has ended.
    private var loop: Loop?
    private var connections: [TestConnection] = []
    /// How long, in real time, other threads may take to resume an exchange.
    var threadPatience = Duration.zero

    /// Above all descriptors of the test's process, so that a handler that closes one closes nobody's.
    private static let firstDescriptor: Int32 = 1 << 24
    private static let descriptors: Int32 = 65_536
    /// While hardly any time passes: a producer that never ends reaches it within a second or two.
    private static let turnsMax = 100_000
    /// What counts as progress, of simulated time: more than the delays of all faults.
    private static let progressNs: UInt64 = 50_000_000

    init(options: ServerOptions, application given: Application, seed: UInt64, faults: TestFaults) {
        simulation = Simulation(
            seed: seed, faults: faults.plan, firstDescriptor: Self.firstDescriptor, descriptorLimit: Self.firstDescriptor + Self.descriptors)
        // Time passes when the test says so, not by the number of turns.
        simulation.enterCostNs = 0
        simulation.opensRealFiles = true
        simulation.horizon = simulation.now
        reports = ReportLog(before: given.reporter)
        var application = given
        application.reporter = reports
        guard case .success(let address) = SocketAddress.parse("127.0.0.1:80") else { preconditionFailure("BUG: address") }
        self.address = address
        let kernel = simulation.makeKernel().makeKernel()
        guard case .success(let listener) = kernel.listen(address, backlog: Int32(clamping: options.backlog), deferAcceptSeconds: 0) else {
            preconditionFailure("BUG: a simulated kernel has room for a listener")
        }
        do {
            loop = try LoneLoop.make(kernel: kernel, listener: listener, address: address, options: options, application: application)
        } catch { preconditionFailure("BUG: a simulated kernel refuses a loop: \(error)") }
    }

    // MARK: clock

    static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        precondition(seconds >= 0 && attoseconds >= 0, "time does not go back")
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    /// Lets time pass: what was to happen meanwhile happens, each at its time.
    func advance(by duration: Duration) throws {
        let target = simulation.now + Self.nanoseconds(duration)
        try drive(to: target)
        if simulation.now < target { simulation.advance(byNs: target - simulation.now) }
        try drive()
    }

    // MARK: driving

    /// Runs the server until `done`, or until nothing happens any more.
    /// - Parameter limit: how far time may pass for the server's timers; nil: not at all, only the network's own delays pass.
    func drive(to limit: UInt64? = nil, until done: (() throws -> Bool)? = nil) throws {
        var (turns, quietTurns, since) = (0, 0, simulation.now)
        simulation.horizon = max(limit ?? 0, simulation.now)
        defer { simulation.horizon = simulation.now }
        while true {
            try takeIn()
            if let done, try done() { return }
            guard let loop else { throw TestFailure("the server has ended: keep the TestServer until the end of the test") }
            guard turns < Self.turnsMax else {
                throw TestFailure("the server is still busy after \(turns) turns: does a producer answer .more without end? (Take its content with TestExchange.read.)")
            }
            turns += 1
            if simulation.now - since > Self.progressNs { (turns, since) = (0, simulation.now) }
            loop.runOnce()
            // What a turn does behind its wait shows in the next one.
            guard simulation.takeQuiet(), !loop.hasMessages else {
                quietTurns = 0
                continue
            }
            quietTurns += 1
            guard quietTurns >= 2 else { continue }
            quietTurns = 0
            if limit == nil, let event = simulation.nextEvent, event <= simulation.nextDeadline ?? .max {
                simulation.horizon = event
                continue
            }
            guard done != nil, waitForThreads(loop) else { return }
        }
    }

    /// Checks the world, and gives the connections what has arrived.
    private func takeIn() throws {
        if let violation = simulation.violations.first { throw TestFailure("the server used the kernel wrongly: \(violation)") }
        for connection in connections { try connection.takeIn() }
    }

    private func waitForThreads(_ loop: Loop) -> Bool {
        guard threadPatience > .zero else { return false }
        let deadline = ContinuousClock.now + threadPatience
        while ContinuousClock.now < deadline {
            if loop.hasMessages { return true }
            usleep(100)
        }
        return loop.hasMessages
    }

    // MARK: connections

    func connect(from source: SocketAddress?, options: ClientOptions) -> SimulatedClient { simulation.connect(to: address, from: source, options: options) }

    func add(_ connection: TestConnection) { connections.append(connection) }
    /// Nothing will be heard of it any more.
    func remove(_ connection: TestConnection) { connections.removeAll { $0 === connection } }

    func wait(of client: SimulatedClient) -> String? { loop?.wait(ofPeer: client.address) }

    // MARK: the end

    /// As SIGTERM does; whoever is still connected after the time limit is cut off.
    /// - Returns: what the server did not give back.
    func drain(within limit: Duration) throws -> [String] {
        guard let ending = loop else { return [] }
        ending.deliver(LoopMessage(.drain(sparesIdle: false)))
        try drive(to: simulation.now + Self.nanoseconds(limit), until: { ending.isFinished })
        if !ending.isFinished {
            ending.deliver(LoopMessage(.abort))
            try drive(until: { ending.isFinished })
        }
        var left: [String] = []
        if ending.connectionsOpen != 0 { left.append("\(ending.connectionsOpen) connections") }
        if ending.chunksHeld != 0 { left.append("\(ending.chunksHeld) chunks of memory") }
        if ending.buffersHeld != 0 { left.append("\(ending.buffersHeld) receive buffers") }
        loop = nil
        // What it said last is on its way to the clients.
        simulation.advance(byNs: Self.progressNs)
        try takeIn()
        return left
    }

    /// Lets go of everything, whatever state it is in.
    func end() {
        connections = []
        simulation.faults = .none
        if let loop, simulation.violations.isEmpty {
            loop.deliver(LoopMessage(.drain(sparesIdle: false)))
            loop.deliver(LoopMessage(.abort))
            for _ in 0..<Self.turnsMax where !loop.isFinished { loop.runOnce() }
        }
        loop = nil
    }
}
