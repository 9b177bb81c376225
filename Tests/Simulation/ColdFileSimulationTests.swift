// Files that no cache holds: the loop waits for no disk, and every byte arrives. And clients in the backlog of a listener that goes away.

import Testing
import UringHTTP
import UringServer
import UringSimulation

@Suite struct ColdFileSimulationTests {
    private func serve(_ seed: UInt64, _ faults: FaultPlan, _ requests: [Exchange]) -> (problems: [String], coldReads: UInt64) {
        let simulation = Simulation(seed: seed, faults: faults)
        let server = SimulatedServer(simulation)
        let clients = (0..<4).map { _ in
            TestClient(simulation, to: server.address, requests, .oneByOne, ClientOptions())
        }
        server.run { clients.allSatisfy(\.isDone) }
        let coldReads = server.loops[0].coldReads
        server.stop()
        #expect(server.ledger.sent >= 4 * requests.count)
        return (simulation.violations + clients.compactMap(\.problem) + server.problems, coldReads)
    }

    private func exchanges(_ count: Int, where isWanted: (Exchange) -> Bool) -> [Exchange] {
        var random = RandomSource(seed: 99)
        var found: [Exchange] = []
        while found.count < count {
            let exchange = Traffic.exchange(found.count, &random, last: false, bytesMax: 3000)
            if isWanted(exchange) { found.append(exchange) }
        }
        return found
    }

    /// No page is ever in the cache: sendfile would wait for each, so the ring reads all of it.
    @Test(arguments: seeds(5)) func contentComesThroughTheRing(_ seed: UInt64) {
        var faults = FaultPlan.none
        faults.readNotCached = 1
        let (problems, coldReads) = serve(seed, faults, exchanges(6) { $0.name.contains("file") && $0.body.count > 40_000 })
        #expect(problems == [])
        // 40,000 bytes and more in pieces of 128 KiB, six requests of four clients.
        #expect(coldReads >= 24)
    }

    /// A receiver cannot be called again for a file that was not in the dentry cache.
    @Test(arguments: seeds(5)) func receiversGetTheirFiles(_ seed: UInt64) {
        var faults = FaultPlan.none
        faults.openNotCached = 1
        let (problems, _) = serve(seed, faults, exchanges(6) { $0.name.contains("for a body") })
        #expect(problems == [])
    }

    /// Whoever the kernel has accepted when the server begins to drain is answered.
    @Test(arguments: seeds(5)) func theBacklogIsServed(_ seed: UInt64) {
        let simulation = Simulation(seed: seed)
        let server = SimulatedServer(simulation)
        var random = RandomSource(seed: seed)
        var options = ClientOptions()
        options.delayNs = 0...0
        let exchange = Traffic.exchange(0, &random, last: true, bytesMax: 300, files: false)
        let clients = (0..<20).map { _ in
            TestClient(simulation, to: server.address, [exchange], .oneByOne, options, tolerance: .closeBetween)
        }
        simulation.advance(byNs: 10_000_000)
        server.stop()
        for _ in 0..<600 where !clients.allSatisfy(\.isDone) { simulation.advance(byNs: 100_000_000) }
        #expect(simulation.violations + clients.compactMap(\.problem) + server.problems == [])
        #expect(clients.allSatisfy { $0.answered == 1 })
    }
}
