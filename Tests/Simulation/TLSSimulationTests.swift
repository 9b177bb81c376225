// TLS in the simulated world: OpenSSL clients of both versions that speak HTTP/1.1 and HTTP/2 by ALPN, with every fault. A failure prints its
// seed; `SIMULATION_SEED=n swift test --filter TLSSimulationTests` repeats that run and prints the end of its trace: the certificate is one whose
// signatures are all of one length, so the random numbers of OpenSSL change no length.

import Testing
import UringServer
import UringSimulation

@Suite struct TLSSimulationTests {
    private func world(_ faults: FaultPlan = .none, _ protocols: [World.Speech] = [.http1, .http2]) -> World {
        var world = World(faults: faults)
        (world.protocols, world.isSecure, world.connections, world.bytesMax) = (protocols, true, 20, 30_000)
        return world
    }

    @Test(arguments: [World.Speech.http1, .http2]) func calm(_ speaks: World.Speech) {
        var world = world(.none, [speaks])
        (world.requests, world.resets) = (20, false)
        let result = World.simulate(1, world)
        #expect(result.problems == [])
        #expect(result.answered > 100)
    }

    @Test(arguments: FaultPlan.each.map(\.name), seeds(2)) func oneFaultAlone(_ name: String, _ seed: UInt64) throws {
        let result = World.simulate(seed, world(try #require(FaultPlan.each.first { $0.name == name }).plan))
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(40)) func chaos(_ seed: UInt64) {
        var world = world(.chaos)
        (world.loops, world.abusers) = (1 + Int(seed % 3), 10)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    /// A few bytes at a time in both directions: every byte of a handshake is the last of some piece.
    @Test(arguments: 1...12 as ClosedRange<Int>) func piecemeal(_ bytes: Int) {
        var plan = FaultPlan()
        (plan.shortReceive, plan.shortSend, plan.endMultishotReceive) = (0.9, 0.5, 0.5)
        var world = world(plan)
        (world.connections, world.requests, world.bytesMax, world.files) = (6, 4, 500, false)
        world.configure = { $0.receiveBufferBytes = bytes * 37 }
        let result = World.simulate(UInt64(bytes), world)
        #expect(result.problems == [], "\(bytes)")
    }

    @Test(arguments: seeds(20)) func brokenConnections(_ seed: UInt64) {
        var world = world(.chaos)
        (world.faults.reset, world.faults.acceptAborted) = (0.01, 0.1)
        (world.loops, world.abusers, world.tolerance) = (2, 10, .breaks)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(20)) func drainUnderLoad(_ seed: UInt64) {
        var world = world(.chaos)
        (world.loops, world.tolerance, world.drainAfterNs) = (2, .closeBetween, 200_000 * Int(seed % 40))
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func hardlyAnyBuffers(_ seed: UInt64) {
        var world = world(.chaos)
        world.configure = { $0.receiveBuffers = 2 }
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(10)) func hardlyAnyDescriptors(_ seed: UInt64) {
        var world = world(.chaos)
        (world.connections, world.requests, world.files, world.descriptorLimit) = (40, 6, false, 24)
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test(arguments: seeds(20)) func hardlyAnyMemory(_ seed: UInt64) {
        var world = world(.chaos)
        (world.tolerance, world.configure) = (.breaks, { $0.chunksMax = 12 })
        let result = World.simulate(seed, world)
        #expect(result.problems == [], "SIMULATION_SEED=\(seed)")
    }

    @Test func oneSeedOneTrace() {
        var world = world(.chaos)
        (world.loops, world.connections, world.abusers) = (2, 10, 5)
        #expect(World.simulate(7, world).answered == World.simulate(7, world).answered)
    }
}
