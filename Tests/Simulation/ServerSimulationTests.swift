// The whole server in the simulated world: many connections, every fault, each response checked, nothing left behind. A failure prints
// its seed; `SIMULATION_SEED=n swift test --filter ServerSimulationTests` repeats exactly that run and prints the end of its trace.
// HTTP/1.1 in clear; see HTTP2SimulationTests and TLSSimulationTests for the others.

import Testing
import UringRing
import UringServer
import UringSimulation

@Suite struct ServerSimulationTests {
    @Test func calm() {
        let result = World.simulate(1, World(connections: 20, requests: 20))
        #expect(result.problems == [])
        #expect(result.answered > 100)
    }

    /// So that a failure names its cause.
    @Test(arguments: FaultPlan.each.map(\.name), seeds(3)) func oneFaultAlone(_ name: String, _ seed: UInt64) throws {
        let plan = try #require(FaultPlan.each.first { $0.name == name }).plan
        let result = World.simulate(seed, World(faults: plan, connections: 20, requests: 10))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(60)) func chaos(_ seed: UInt64) {
        let result = World.simulate(seed, World(faults: .chaos, loops: 1 + Int(seed % 3), abusers: 10))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// The acceptance of the whole: every connection with fifty requests, all faults.
    @Test(arguments: seeds(2)) func manyConnections(_ seed: UInt64) {
        let result = World.simulate(seed, World(faults: .chaos, loops: 2, connections: 200, requests: 50, bytesMax: 20_000, abusers: 40))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
        #expect(result.answered > 3000)
    }

    /// Connections break anywhere: what had arrived is right, and nothing is left behind.
    @Test(arguments: seeds(20)) func brokenConnections(_ seed: UInt64) {
        var plan = FaultPlan.chaos
        plan.reset = 0.01
        plan.acceptAborted = 0.1
        let result = World.simulate(seed, World(faults: plan, loops: 2, abusers: 10, tolerance: .breaks))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// A drain in the middle of it: what was begun is finished, and no response is cut.
    @Test(arguments: seeds(20)) func drainUnderLoad(_ seed: UInt64) {
        let after = 100_000 * Int(seed % 40)
        let result = World.simulate(seed, World(faults: .chaos, loops: 2, tolerance: .closeBetween, drainAfterNs: after))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Kernels that lack what 5.19 lacks.
    @Test(arguments: seeds(10)) func oldKernel(_ seed: UInt64) {
        var features = SimulatedKernel.allFeatures
        (features.multishotReceive, features.deferTaskrun) = (false, false)
        let result = World.simulate(seed, World(faults: .chaos, features: features))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Two receive buffers for thirty connections.
    @Test(arguments: seeds(10)) func hardlyAnyBuffers(_ seed: UInt64) {
        let result = World.simulate(seed, World(faults: .chaos, configure: { $0.receiveBuffers = 2 }))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// More clients than descriptors: whoever was served is served on, and the others have their turn.
    @Test(arguments: seeds(10)) func hardlyAnyDescriptors(_ seed: UInt64) {
        let result = World.simulate(seed, World(faults: .chaos, connections: 60, requests: 6, files: false, descriptorLimit: 24))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// So little memory that connections are shed: a shed one is cut, and nothing else happens.
    @Test(arguments: seeds(10)) func hardlyAnyMemory(_ seed: UInt64) {
        let result = World.simulate(seed, World(faults: .chaos, tolerance: .breaks, configure: { $0.chunksMax = 12 }))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test func oneSeedOneTrace() {
        let world = World(faults: .chaos, loops: 2, connections: 20, abusers: 10)
        let (first, second) = (World.simulate(7, world), World.simulate(7, world))
        #expect(first.hash == second.hash)
        #expect(first.hash != World.simulate(8, world).hash)
    }
}
