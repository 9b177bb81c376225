// The whole server in the simulated world: many connections, every fault, each response checked, nothing left behind. A failure prints
// its seed; `SIMULATION_SEED=n swift test --filter ServerSimulationTests` repeats exactly that run and prints the end of its trace.

import Glibc
import Testing
import UringRing
import UringServer
import UringSimulation

/// The seeds of a run: the one asked for, or `count` fixed ones, so that a failure on one machine is a failure on all. SIMULATION_FACTOR
/// multiplies their number, for a search through the night.
func seeds(_ count: Int) -> [UInt64] {
    if let text = unsafe getenv("SIMULATION_FACTOR"), let factor = unsafe Int(String(cString: text)) { return (1...UInt64(count * factor)).map(\.self) }
    if let text = unsafe getenv("SIMULATION_SEED"), let seed = unsafe UInt64(String(cString: text)) { return [seed] }
    return (1...UInt64(count)).map(\.self)
}

@Suite struct ServerSimulationTests {
    struct Result {
        var problems: [String] = []
        var hash: UInt64 = 0
        var answered = 0
    }

    /// One world: well-behaved clients of every pace, some of them slow, and abusers among them.
    struct World {
        var faults = FaultPlan.none
        var loops = 1
        var connections = 30
        /// Most requests of one connection.
        var requests = 12
        /// Largest body.
        var bytesMax = 40_000
        var files = true
        var abusers = 0
        var features = SimulatedKernel.allFeatures
        var descriptorLimit: Int32 = 4096
        var tolerance = TestClient.Tolerance.nothing
        var configure: (inout LoopConfiguration) -> Void = { _ in }
        /// Drains so many nanoseconds after the start, instead of when all is answered.
        var drainAfterNs: Int?
    }

    private func simulate(_ seed: UInt64, _ world: World) -> Result {
        let simulation = Simulation(seed: seed, faults: world.faults, descriptorLimit: world.descriptorLimit)
        simulation.keepsTraceText = unsafe getenv("SIMULATION_SEED") != nil
        let server = SimulatedServer(simulation, loops: world.loops, features: world.features, configure: world.configure)
        var random = RandomSource(seed: seed ^ 0xA5A5)
        let clients = (0..<world.connections).map { _ in makeClient(simulation, server.address, world, &random) }
        for _ in 0..<world.abusers { abuse(simulation, server.address, &random) }
        var isTimeToDrain = false
        if let after = world.drainAfterNs { simulation.schedule(after: after) { isTimeToDrain = true } }
        server.run { isTimeToDrain || clients.allSatisfy(\.isDone) }
        server.stop()
        // The server is gone; what it sent is still on its way to slow readers.
        for _ in 0..<600 where !clients.allSatisfy(\.isDone) && simulation.violations.isEmpty { simulation.advance(byNs: 1_000_000_000) }
        var result = Result()
        result.problems = clients.enumerated().compactMap { index, client in
            client.problem.map { "client \(index): \($0)" } ?? (client.isDone ? nil : "client \(index): \(client.answered) answered, \(client.client.state)")
        }
        result.answered = clients.reduce(0) { $0 + $1.answered }
        result.problems = simulation.violations + result.problems + (simulation.violations.isEmpty ? server.problems : [])
        result.hash = simulation.traceHash
        if !result.problems.isEmpty, simulation.keepsTraceText {
            let lines = unsafe getenv("SIMULATION_LINES").flatMap { unsafe Int(String(cString: $0)) } ?? 300
            print(simulation.traceLog.text.suffix(lines).joined(separator: "\n"))
        }
        return result
    }

    private func makeClient(_ simulation: Simulation, _ address: SocketAddress, _ world: World, _ random: inout RandomSource) -> TestClient {
        let count = random.within(1...world.requests)
        let exchanges = (0..<count).map { Traffic.exchange($0, &random, last: $0 == count - 1, bytesMax: world.bytesMax, files: world.files) }
        let pace: TestClient.Pace = random.chance(0.4) ? .pipelined : random.chance(0.5) ? .oneByOne : .window(random.within(2...16))
        return TestClient(
            simulation, to: address, exchanges, pace, options(&random), RandomSource(seed: random.next()), tolerance: world.tolerance)
    }

    private func options(_ random: inout RandomSource) -> ClientOptions {
        var options = ClientOptions()
        options.delayNs = random.chance(0.2) ? 0...0 : 1000...random.within(2000...400_000)
        switch random.below(4) {
        case 0: options.readBytes = 1...random.within(2...3000)
        case 1: options.readBytes = 1000...1000
        default: break
        }
        // Windows so small that hardly any response leaves whole.
        if random.chance(0.3) { options.serverSendBytes = random.within(200...5000) }
        if random.chance(0.2) { options.serverReceiveBytes = random.within(100...3000) }
        return options
    }

    /// Clients that nobody owes an answer: the server must survive them and forget them.
    private func abuse(_ simulation: Simulation, _ address: SocketAddress, _ random: inout RandomSource) {
        var options = options(&random)
        let exchanges = (0..<5).map { Traffic.exchange($0, &random, last: false, bytesMax: 60_000) }
        let bytes = exchanges.flatMap(\.request)
        let part = Array(bytes.prefix(random.within(0...bytes.count)))
        let pieces = random.within(1...8)
        let steps: [SimulatedClient.Step]
        switch random.below(8) {
        case 0: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .reset]
        case 1: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .close]
        case 2: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .halfClose]
        case 3:
            // Asks and never reads.
            options.reads = false
            steps = [.send(bytes)]
        case 4: steps = [.send(Array("GET / HT\u{0}P/1.1\r\n\r\n".utf8) + part), .awaitEnd]
        case 5: steps = [.send(Array("GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".utf8) + [UInt8](repeating: 97, count: 100_000)), .awaitEnd]
        case 6: steps = []
        default: steps = [.send(part), .stopReading, .wait(random.within(0...50_000_000)), .startReading, .wait(2_000_000_000), .reset]
        }
        simulation.connect(to: address, options: options).run(steps)
    }

    @Test func calm() {
        let result = simulate(1, World(connections: 20, requests: 20))
        #expect(result.problems == [])
        #expect(result.answered > 100)
    }

    /// So that a failure names its cause.
    @Test(arguments: FaultPlan.each.map(\.name), seeds(3)) func oneFaultAlone(_ name: String, _ seed: UInt64) throws {
        let plan = try #require(FaultPlan.each.first { $0.name == name }).plan
        let result = simulate(seed, World(faults: plan, connections: 20, requests: 10))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(60)) func chaos(_ seed: UInt64) {
        let result = simulate(seed, World(faults: .chaos, loops: 1 + Int(seed % 3), abusers: 10))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// The acceptance of the whole: every connection with fifty requests, all faults.
    @Test(arguments: seeds(2)) func manyConnections(_ seed: UInt64) {
        let result = simulate(seed, World(faults: .chaos, loops: 2, connections: 200, requests: 50, bytesMax: 20_000, abusers: 40))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
        #expect(result.answered > 3000)
    }

    /// Connections break anywhere: what had arrived is right, and nothing is left behind.
    @Test(arguments: seeds(20)) func brokenConnections(_ seed: UInt64) {
        var plan = FaultPlan.chaos
        plan.reset = 0.01
        plan.acceptAborted = 0.1
        let result = simulate(seed, World(faults: plan, loops: 2, abusers: 10, tolerance: .breaks))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// A drain in the middle of it: what was begun is finished, and no response is cut.
    @Test(arguments: seeds(20)) func drainUnderLoad(_ seed: UInt64) {
        let after = 100_000 * Int(seed % 40)
        let result = simulate(seed, World(faults: .chaos, loops: 2, tolerance: .closeBetween, drainAfterNs: after))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Kernels that lack what 5.19 lacks.
    @Test(arguments: seeds(10)) func oldKernel(_ seed: UInt64) {
        var features = SimulatedKernel.allFeatures
        (features.multishotReceive, features.deferTaskrun) = (false, false)
        let result = simulate(seed, World(faults: .chaos, features: features))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Two receive buffers for thirty connections.
    @Test(arguments: seeds(10)) func hardlyAnyBuffers(_ seed: UInt64) {
        let result = simulate(seed, World(faults: .chaos, configure: { $0.receiveBuffers = 2 }))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// More clients than descriptors: whoever was served is served on, and the others have their turn.
    @Test(arguments: seeds(10)) func hardlyAnyDescriptors(_ seed: UInt64) {
        let result = simulate(seed, World(faults: .chaos, connections: 60, requests: 6, files: false, descriptorLimit: 24))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// So little memory that connections are shed: a shed one is cut, and nothing else happens.
    @Test(arguments: seeds(10)) func hardlyAnyMemory(_ seed: UInt64) {
        let result = simulate(seed, World(faults: .chaos, tolerance: .breaks, configure: { $0.chunksMax = 12 }))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test func oneSeedOneTrace() {
        let world = World(faults: .chaos, loops: 2, connections: 20, abusers: 10)
        let (first, second) = (simulate(7, world), simulate(7, world))
        #expect(first.hash == second.hash)
        #expect(first.hash != simulate(8, world).hash)
    }
}
