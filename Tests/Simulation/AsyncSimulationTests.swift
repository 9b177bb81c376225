// Async handlers in the simulated world: every exchange of the other suites, answered by handlers that wait, read and write piece by piece, under the same faults. When
// a world ends no handler is left, however its client went. A failure prints its seed; `SIMULATION_SEED=n swift test --filter AsyncSimulationTests` repeats exactly that run.

import Testing
import UringHTTP
import UringHTTP2
import UringRing
import UringServer
import UringSimulation

@Suite struct AsyncSimulationTests {
    private func world(_ faults: FaultPlan = .none) -> World {
        var world = World(faults: faults)
        world.protocols = [.http2, .http1]
        world.handler = AsyncTraffic.handler
        return world
    }

    @Test(arguments: [World.Speech.http1, .http2]) func calm(_ speech: World.Speech) {
        var world = world()
        (world.protocols, world.connections, world.requests, world.resets) = ([speech], 20, 30, false)
        let result = World.simulate(1, world)
        #expect(result.problems == [])
        #expect(result.answered > 200)
    }

    @Test(arguments: FaultPlan.each.map(\.name), seeds(3)) func oneFaultAlone(_ name: String, _ seed: UInt64) throws {
        var world = world(try #require(FaultPlan.each.first { $0.name == name }).plan)
        world.connections = 20
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(40)) func chaos(_ seed: UInt64) {
        var world = world(.chaos)
        (world.loops, world.requests, world.abusers) = (1 + Int(seed % 3), 20, 10)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Handlers whose client goes at any point of what they do.
    @Test(arguments: seeds(30)) func brokenConnections(_ seed: UInt64) {
        var world = world(.chaos)
        (world.faults.reset, world.faults.acceptAborted) = (0.01, 0.1)
        (world.loops, world.abusers, world.tolerance) = (2, 20, .breaks)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(20)) func overTLS(_ seed: UInt64) {
        var world = world(.chaos)
        (world.isSecure, world.connections, world.requests, world.abusers) = (true, 15, 10, 5)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(20)) func drainUnderLoad(_ seed: UInt64) {
        var world = world(.chaos)
        (world.loops, world.tolerance, world.drainAfterNs) = (2, .closeBetween, 150_000 * Int(seed % 40))
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func hardlyAnyBuffers(_ seed: UInt64) {
        var world = world(.chaos)
        world.configure = { $0.receiveBuffers = 2 }
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(20)) func hardlyAnyMemory(_ seed: UInt64) {
        var world = world(.chaos)
        (world.tolerance, world.configure) = (.breaks, { $0.chunksMax = 12 })
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func smallReceiveWindows(_ seed: UInt64) {
        var world = world(.chaos)
        (world.protocols, world.refusalsMax) = ([.http2], 20)
        world.configure = { $0.http2.local = .init(maxConcurrentStreams: 3, streamWindowBytes: 1000, connectionWindowBytes: 65_535) }
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test func oneSeedOneTrace() {
        var world = world(.chaos)
        (world.loops, world.connections, world.abusers) = (2, 20, 10)
        let (first, second) = (World.simulate(7, world), World.simulate(7, world))
        #expect(first.hash == second.hash)
        #expect(first.hash != World.simulate(8, world).hash)
    }
}
