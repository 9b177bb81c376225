// The whole server in the simulated world: many connections, every fault, each response checked, nothing left behind. A failure prints
// its seed; `SIMULATION_SEED=n swift test --filter ServerSimulationTests` repeats exactly that run and prints the end of its trace.

import Glibc
import Testing
import UringRing
import UringServer
import UringSimulation

/// The seeds of a run: the one asked for, or `count` fixed ones, so that a failure on one machine is a failure on all.
private func seeds(_ count: Int) -> [UInt64] {
    if let text = unsafe getenv("SIMULATION_SEED"), let seed = unsafe UInt64(String(cString: text)) { return [seed] }
    return (1...UInt64(count)).map(\.self)
}

@Suite struct ServerSimulationTests {
    struct Result {
        var problems: [String] = []
        var hash: UInt64 = 0
        var answered = 0
    }

    /// One world: `connections` clients with `requests` exchanges each, some of them slow, and abusers among them.
    private func simulate(
        _ seed: UInt64, faults: FaultPlan, loops: Int, connections: Int, requests: Int, bytesMax: Int = 40_000, abusers: Int = 0,
        features: KernelFeatures = SimulatedKernel.allFeatures
    ) -> Result {
        let simulation = Simulation(seed: seed, faults: faults)
        simulation.keepsTraceText = unsafe getenv("SIMULATION_SEED") != nil
        let server = SimulatedServer(simulation, loops: loops, features: features)
        var random = RandomSource(seed: seed ^ 0xA5A5)
        var clients: [TestClient] = []
        for _ in 0..<connections {
            let count = random.within(1...requests)
            let exchanges = (0..<count).map { Traffic.exchange($0, &random, last: $0 == count - 1, bytesMax: bytesMax) }
            let pace: TestClient.Pace = random.chance(0.4) ? .pipelined : random.chance(0.5) ? .oneByOne : .window(random.within(2...16))
            let client = TestClient(simulation, to: server.address, exchanges, pace, options(&random), RandomSource(seed: random.next()))
            clients.append(client)
        }
        for _ in 0..<abusers { abuse(simulation, server.address, &random) }
        server.run { clients.allSatisfy(\.isDone) }
        var result = Result()
        result.problems = clients.enumerated().compactMap { index, client in
            client.problem.map { "client \(index): \($0)" } ?? (client.isDone ? nil : "client \(index): \(client.answered) answered, \(client.client.state)")
        }
        result.answered = clients.reduce(0) { $0 + $1.answered }
        server.stop()
        result.problems = simulation.violations + result.problems + (simulation.violations.isEmpty ? server.problems : [])
        result.hash = simulation.traceHash
        if !result.problems.isEmpty, simulation.keepsTraceText { print(simulation.traceLog.text.suffix(Int(unsafe getenv("SIMULATION_LINES").map { unsafe String(cString: $0) } ?? "300")!).joined(separator: "\n")) }
        return result
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
        options.closesAtEnd = true
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
        let result = simulate(1, faults: .none, loops: 1, connections: 20, requests: 20)
        #expect(result.problems == [])
    }

    /// So that a failure names its cause.
    @Test(arguments: FaultPlan.each.map(\.name), seeds(3)) func oneFaultAlone(_ name: String, _ seed: UInt64) throws {
        let plan = try #require(FaultPlan.each.first { $0.name == name }).plan
        let result = simulate(seed, faults: plan, loops: 1, connections: 20, requests: 10)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(60)) func chaos(_ seed: UInt64) {
        let result = simulate(seed, faults: .chaos, loops: 1 + Int(seed % 3), connections: 30, requests: 12, abusers: 10)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }
}
