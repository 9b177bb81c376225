// Simulation: a whole world for one server: clock, chance, events, network, files, and the kernels of its loops. Everything happens on the
// thread of the test, in an order that the seed alone decides.

internal import Glibc
package import UringRing

package final class Simulation {
    package let seed: UInt64
    package var random: RandomSource
    package var faults: FaultPlan
    package let files = FileSystem()
    package internal(set) var traceLog = Trace()

    /// Monotonic nanoseconds.
    package private(set) var now: UInt64 = 1_000_000_000
    /// 2024-06-01 12:00:00 UTC at the start.
    private var unixOffset: Int64 = 1_717_243_200 - 1
    /// Each entry into a kernel takes so long, so that a loop that never waits still sees time pass.
    package var enterCostNs: UInt64 = 1000

    private var events = EventQueue()
    private var serials: Int64 = 0
    var descriptors: DescriptorTable
    private var listeners: [ListenerFile] = []
    private var nextPort: UInt16 = 40_000
    private var clients: [SimulatedClient] = []
    private(set) var kernels: [SimulatedKernel] = []
    /// More turns than any round of loops takes.
    private static let turnsUntilAbandoned = 200
    /// Counts entries into any kernel.
    private(set) var turn = 0

    /// What the program under test did wrong, in order.
    package private(set) var violations: [String] = []
    /// Stop at the first violation, where the debugger can see who did it.
    package var trapsOnViolation = false
    /// Nothing can happen any more: no event, and every loop waits without limit.
    package private(set) var isDeadlocked = false
    package var onDeadlock: (() -> Void)?
    /// Waits in a row that nothing could ever end.
    private var stalls = 0
    /// Closes of a descriptor under armed operations: allowed, and worth a look.
    package internal(set) var closedWhileArmed = 0
    /// What kernels that are gone left behind.
    private var leftBehind: [String] = []
    /// How far waiting loops let time pass; nil: to whatever is scheduled next. Set by a driver that keeps the clock to itself.
    package var horizon: UInt64?
    private var wasQuiet = false
    private var driverIsWanted = false
    /// Directories of the real process can be opened in, for programs that open theirs before they meet the simulation.
    package var opensRealFiles = false
    /// Descriptors that the test itself opened.
    private var excusedDescriptors: [Int32] = []

    /// - Parameters:
    ///   - firstDescriptor: above all numbers of the real process where programs under test could mix them up.
    ///   - descriptorLimit: as RLIMIT_NOFILE: the first number that is refused.
    package init(seed: UInt64, faults: FaultPlan = .none, firstDescriptor: Int32 = 3, descriptorLimit: Int32 = 65_536) {
        self.seed = seed
        self.faults = faults
        random = RandomSource(seed: seed)
        descriptors = DescriptorTable(first: firstDescriptor, limit: descriptorLimit)
    }

    deinit { events.removeAll() }

    func nextSerial() -> Int64 {
        serials += 1
        return serials
    }

    // MARK: record

    func trace(_ event: TraceEvent, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0) { traceLog.add(event, at: now, a, b, c) }
    package var traceHash: UInt64 { traceLog.hash }
    package var keepsTraceText: Bool {
        get { traceLog.keepsText }
        set { traceLog.keepsText = newValue }
    }

    func violation(_ text: String) {
        precondition(!trapsOnViolation, "BUG: \(text)")
        trace(.violation, Int64(violations.count))
        violations.append(text)
    }

    func fault(_ kind: KeyPath<FaultPlan, Double>) -> Bool { random.chance(faults[keyPath: kind]) }

    // MARK: clock

    package var unixTime: Int64 { unixOffset + Int64(now / 1_000_000_000) }

    /// Sets the calendar clock forward or back; the monotonic clock goes on.
    package func stepUnixTime(_ seconds: Int64) { unixOffset += seconds }

    /// Has `action` happen so many nanoseconds from now.
    package func schedule(after delayNs: Int, _ action: @escaping () -> Void) { events.add(at: now + UInt64(max(delayNs, 0)), action) }

    /// Lets time pass, and with it everything that was to happen.
    package func advance(byNs ns: UInt64) { advance(to: now + ns) }

    func advance(to time: UInt64) {
        stalls = 0
        // Events of the way happen at their own time; only the end may be overshot.
        while let next = events.nextTime, next <= time {
            if next > now { now = next }
            runDue()
        }
        if time > now { now = time }
        if fault(\.timeJump) {
            now += UInt64(random.within(0...faults.timeJumpNsMax))
            trace(.time, Int64(now))
            runDue()
        }
        if fault(\.clockStep) { stepUnixTime(Int64(random.within(-86_400...86_400))) }
    }

    /// Lets happen what is due without letting time pass.
    package func runDue() {
        while let action = events.popDue(now) { action() }
    }

    func enterPassesTime() {
        now += enterCostNs
        runDue()
    }

    // MARK: kernels

    /// A kernel for one more loop of the simulated process. The simulation keeps it until its `Kernel` is let go of.
    package func makeKernel(
        features: KernelFeatures = SimulatedKernel.allFeatures, submissionEntries: UInt32 = 1024, completionEntries: UInt32 = 8192
    ) -> SimulatedKernel {
        let kernel = SimulatedKernel(self, features: features, submissionEntries: submissionEntries, completionEntries: completionEntries)
        kernels.append(kernel)
        return kernel
    }

    func removeKernel(_ kernel: SimulatedKernel, leaving rest: [String]) {
        leftBehind += rest
        kernels.removeAll { $0 === kernel }
    }

    func takeTurn(_ kernel: SimulatedKernel) {
        turn += 1
        kernel.lastTurn = turn
    }

    /// Another loop has something to do, so this one must not let time pass.
    func othersMustRun(than kernel: SimulatedKernel) -> Bool {
        kernels.contains { $0 !== kernel && !isAbandoned($0) && $0.mustRun(now: now) }
    }

    /// The driver does not run that loop any more: its thread would have ended.
    private func isAbandoned(_ other: SimulatedKernel) -> Bool {
        turn - other.lastTurn > Self.turnsUntilAbandoned
    }

    /// The next moment at which anything happens: an event, or the end of a loop's wait. nil: never.
    func nextMoment(seenFrom waiting: SimulatedKernel) -> UInt64? {
        var next = events.nextTime
        for kernel in kernels where kernel === waiting || !isAbandoned(kernel) {
            guard let deadline = kernel.waitDeadline else { continue }
            next = min(next ?? deadline, deadline)
        }
        return next
    }

    /// When the next event happens; nil: none is scheduled.
    package var nextEvent: UInt64? { events.nextTime }
    /// When the wait of the first loop ends; nil: none waits, or without limit.
    package var nextDeadline: UInt64? { kernels.compactMap(\.waitDeadline).min() }

    /// Nothing happens before the horizon, or the driver wants a look: time does not pass by itself any further.
    func returnsToDriver(before next: UInt64?) -> Bool {
        guard let horizon else { return false }
        if driverIsWanted {
            driverIsWanted = false
            return true
        }
        guard next ?? .max > horizon else { return false }
        wasQuiet = true
        return true
    }

    /// Ends the wait under way, so that the driver sees what has happened. Only where there is a horizon.
    package func returnToDriver() { driverIsWanted = true }

    /// Whether a loop has met the horizon since this was asked last.
    package func takeQuiet() -> Bool {
        defer { wasQuiet = false }
        return wasQuiet
    }

    /// A loop found nothing to wait for. Once round is no deadlock yet: what just happened may be all that the test wanted.
    func nothingToWaitFor() {
        stalls += 1
        guard stalls > kernels.count, !isDeadlocked else { return }
        isDeadlocked = true
        violation("deadlock: every loop waits without limit and nothing is scheduled")
        onDeadlock?()
    }

    // MARK: network

    func addListener(_ listener: ListenerFile) { listeners.append(listener) }
    func removeListener(_ listener: ListenerFile) { listeners.removeAll { $0 === listener } }

    func freePort() -> UInt16 {
        nextPort += 1
        return nextPort
    }

    func isTaken(_ address: SocketAddress) -> Bool { listeners.contains { $0.address == address } }

    /// A client that connects now, or as soon as its delay allows.
    /// - Parameter from: its address; one of 10.0.0.0/8 by default.
    package func connect(to address: SocketAddress, from: SocketAddress? = nil, options: ClientOptions = ClientOptions()) -> SimulatedClient {
        let number = UInt32(clients.count)
        let own = from ?? SocketAddress(ipv4: 10 << 24 | (number / 50_000) << 8 | 1, port: UInt16(10_000 + number % 50_000))
        let client = SimulatedClient(self, address: own, options: options)
        clients.append(client)
        schedule(after: client.delay()) { [self] in connectionRequested(client, to: address) }
        return client
    }

    private func connectionRequested(_ client: SimulatedClient, to address: SocketAddress) {
        let candidates = listeners.filter { reaches($0.address, address) }
        guard !candidates.isEmpty else { return client.refused() }
        // SO_REUSEPORT: the kernel hashes, here chance decides.
        let listener = candidates[random.below(candidates.count)]
        guard !listener.isFull else {
            // Linux drops the SYN; the client's kernel sends another after a second.
            return schedule(after: 1_000_000_000) { [self] in connectionRequested(client, to: address) }
        }
        let connection = Connection(client, to: address)
        listener.offer(connection)
        client.established(connection)
    }

    private func reaches(_ bound: SocketAddress, _ wanted: SocketAddress) -> Bool {
        if bound == wanted { return true }
        guard bound.family != .unix, bound.port == wanted.port else { return false }
        return bound.high | bound.low == 0 && (bound.family == .ipv6 || wanted.family == .ipv4)
    }

    /// Clients in the order of their making.
    package var allClients: [SimulatedClient] { clients }

    // MARK: files

    /// A directory of the simulated file system, opened for the server: what open(2) with O_PATH | O_DIRECTORY would give.
    package func openDirectory(_ path: String) -> Int32 {
        guard let node = files.directory(path), let fd = descriptors.add(NodeFile(self, node)) else { return -ENOENT }
        excusedDescriptors.append(fd)
        return fd
    }

    // MARK: driver

    package enum Outcome: Sendable, Equatable {
        case finished
        case deadlocked
        case violated
        /// `turnsMax` was reached.
        case endless
    }

    /// Runs loops in turn on this thread until `done`, a violation, a deadlock, or the end of every loop.
    /// - Parameters:
    ///   - loops: each runs one turn of a loop and returns false when that loop has ended.
    ///   - turnsMax: a bound, so that a loop that spins for ever fails the test instead of hanging it.
    package func run(_ loops: [() -> Bool], turnsMax: Int = 10_000_000, until done: () -> Bool) -> Outcome {
        var running = loops
        var turns = 0
        while !done() {
            guard violations.isEmpty else { return isDeadlocked ? .deadlocked : .violated }
            guard turns < turnsMax else { return .endless }
            var next: [() -> Bool] = []
            for loop in running where loop() { next.append(loop) }
            if next.count != running.count { running = next }
            if running.isEmpty { return done() ? .finished : .deadlocked }
            turns += running.count
        }
        return violations.isEmpty ? .finished : isDeadlocked ? .deadlocked : .violated
    }

    /// What is still held that should have been given back: descriptors, armed operations, provided buffers.
    package func leaks() -> [String] {
        var found = leftBehind
        for kernel in kernels { found += kernel.held() }
        for (fd, file) in descriptors.all where !(file is RingFile) && !excusedDescriptors.contains(fd) {
            found.append("descriptor \(fd) is open: \(describe(file))")
        }
        return found
    }

    private func describe(_ file: OpenFile) -> String {
        switch file {
        case let file as SocketFile: "connection \(file.connection.serial) from \(file.connection.clientAddress.description)"
        case let file as ListenerFile: "listener on \(file.address.description)"
        case let file as NodeFile: "file \(file.node.name)"
        default: "file \(file.serial)"
        }
    }

    package var openDescriptors: Int { descriptors.open }
    package var descriptorHighWater: Int { descriptors.highWater }
    package var descriptorLimit: Int32 {
        get { descriptors.limit }
        set { descriptors.limit = newValue }
    }
}
