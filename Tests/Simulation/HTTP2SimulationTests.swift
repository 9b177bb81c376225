// HTTP/2 in the simulated world: the same exchanges as on HTTP/1.1, several at once on each connection, by libnghttp2. A failure prints its
// seed; `SIMULATION_SEED=n swift test --filter HTTP2SimulationTests` repeats exactly that run and prints the end of its trace.

import Testing
import UringHTTP2
import UringRing
import UringServer
import UringSimulation

@Suite struct HTTP2SimulationTests {
    private func world(_ faults: FaultPlan = .none) -> World {
        var world = World(faults: faults)
        world.protocols = [.http2]
        return world
    }
    /// Clients of both protocols on one port.
    private func mixed(_ faults: FaultPlan) -> World {
        var world = world(faults)
        world.protocols = [.http2, .http2, .http1]
        return world
    }

    @Test func calm() {
        var world = world()
        (world.connections, world.requests, world.resets) = (20, 30, false)
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

    @Test(arguments: seeds(60)) func chaos(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.loops, world.requests, world.abusers) = (1 + Int(seed % 3), 20, 10)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(2)) func manyConnections(_ seed: UInt64) {
        var world = world(.chaos)
        (world.loops, world.connections, world.requests, world.bytesMax, world.abusers) = (2, 150, 60, 20_000, 40)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
        #expect(result.answered > 3000)
    }

    @Test(arguments: seeds(20)) func brokenConnections(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.faults.reset, world.faults.acceptAborted) = (0.01, 0.1)
        (world.loops, world.abusers, world.tolerance) = (2, 10, .breaks)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// GOAWAY in the middle of it: every stream that it names is answered whole.
    @Test(arguments: seeds(30)) func drainUnderLoad(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.loops, world.tolerance, world.drainAfterNs) = (2, .closeBetween, 150_000 * Int(seed % 40))
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func oldKernel(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.features.multishotReceive, world.features.deferTaskrun) = (false, false)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func hardlyAnyBuffers(_ seed: UInt64) {
        var world = mixed(.chaos)
        world.configure = { $0.receiveBuffers = 2 }
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func hardlyAnyDescriptors(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.connections, world.requests, world.files, world.descriptorLimit) = (60, 6, false, 24)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// A stream for which there is no memory is reset, or its connection goes; nothing else happens.
    @Test(arguments: seeds(20)) func hardlyAnyMemory(_ seed: UInt64) {
        var world = mixed(.chaos)
        (world.tolerance, world.configure) = (.breaks, { $0.chunksMax = 12 })
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// Windows of the server that hold hardly a frame.
    @Test(arguments: seeds(10)) func smallReceiveWindows(_ seed: UInt64) {
        var world = world(.chaos)
        world.refusalsMax = 20
        world.configure = { $0.http2.local = .init(maxConcurrentStreams: 3, streamWindowBytes: 1000, connectionWindowBytes: 65_535) }
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test func oneSeedOneTrace() {
        var world = mixed(.chaos)
        (world.loops, world.connections, world.abusers) = (2, 20, 10)
        let (first, second) = (World.simulate(7, world), World.simulate(7, world))
        #expect(first.hash == second.hash)
        #expect(first.hash != World.simulate(8, world).hash)
    }
}
