// Certificates that change while clients are connected and while handshakes are under way: who began with the old one goes on with it, who comes
// afterwards gets the new one, and of the old context nothing stays when its last connection has gone. A failure prints its seed.

import Testing
import UringBase
import UringRing
import UringServer
import UringSimulation
import UringTLS

@Suite struct ReloadSimulationTests {
    /// Contexts that the server has had, and not because of this list.
    private final class Contexts {
        private struct Entry { weak var context: TLSContext? }
        private var entries: [Entry] = []
        func note(_ server: SimulatedServer) { for loop in server.loops { entries.append(Entry(context: loop.tlsContext())) } }
        var alive: Int { entries.count { $0.context != nil } }
        var sessions: Int { entries.reduce(0) { $0 + ($1.context?.sessionCount ?? 0) } }
    }

    private static let identities = [SimulatedCertificate.identity] + SimulatedCertificate.renewed
    private static let names = ["sim.example", "one.example", "two.example"]
    private static let transports = identities.map { identity in
        var transport = ListenerTransport()
        transport.tls = identity.configuration()
        return transport
    }

    /// Clients come all the time, and the certificate changes all the time.
    @Test(arguments: seeds(12)) func underLoad(_ seed: UInt64) {
        let simulation = Simulation(seed: seed, faults: .chaos)
        let loops = 1 + Int(seed % 3)
        let server = SimulatedServer(simulation, loops: loops, transport: Self.transports[0])
        var random = RandomSource(seed: seed &* 13)
        let contexts = Contexts()
        contexts.note(server)
        // What the server shows, from when on.
        var shown: [(from: UInt64, name: String)] = [(0, Self.names[0])]
        for _ in 0..<5 {
            simulation.schedule(after: random.within(100_000...15_000_000)) {
                let next = simulation.random.below(Self.transports.count)
                server.change(Self.transports[next])
                contexts.note(server)
                shown.append((simulation.now, Self.names[next]))
            }
        }
        var clients: [(began: UInt64, client: any CheckedClient)] = []
        let total = 20
        for _ in 0..<total {
            var source = RandomSource(seed: random.next())
            simulation.schedule(after: random.within(0...15_000_000)) { clients.append((simulation.now, Self.client(simulation, server, &source))) }
        }
        server.run { clients.count == total && clients.allSatisfy { $0.client.isDone } }
        for (began, client) in clients {
            #expect(client.problem == nil, "seed \(seed)")
            let until = client.wire.establishedNs ?? .max
            let possible = shown.indices.filter { shown[$0].from <= until && ($0 + 1 == shown.count || shown[$0 + 1].from >= began) }.map { shown[$0].name }
            #expect(possible.contains(client.wire.tls?.serverName ?? ""), "seed \(seed): \(client.wire.tls?.serverName ?? "") is not of \(possible)")
        }
        let open = server.loops.reduce(0) { $0 + $1.connectionsOpen }
        #expect(contexts.sessions <= open, "seed \(seed)")
        for (_, client) in clients { client.client.close() }
        server.run { server.loops.allSatisfy { $0.connectionsOpen == 0 } }
        #expect(contexts.sessions == 0 && contexts.alive == loops, "seed \(seed): \(contexts.alive) contexts, \(contexts.sessions) sessions")
        server.stop()
        #expect(contexts.alive == 0, "seed \(seed)")
        #expect(server.problems == [], "seed \(seed)")
        // The network calls them until the end.
        withExtendedLifetime(clients) {}
    }

    private final class Told: ServerReporter, @unchecked Sendable {
        // The simulation has one thread.
        var lines: [String] = []
        func certificatesNotTaken(listener: String, _ reason: String) { lines.append("\(listener): \(reason)") }
        func stalled(_ stall: LoopStall) {}
        func handlerFailed(_ route: String, _ error: any Error) {}
        func fieldRefused(_ route: String) {}
        func lengthMismatch() {}
    }

    /// What OpenSSL refuses is told and counted, and the old certificate goes on. (`RunningServer.reload` tries configurations first; memory may be short even so.)
    @Test func aContextThatCannotBeMade() {
        let simulation = Simulation(seed: 1)
        let told = Told()
        let handler = HandlerBox(handle: { _, response in response.write("hello") }, reporter: told)
        let server = SimulatedServer(simulation, handler: handler, transport: Self.transports[0])
        var transport = Self.transports[1]
        transport.tls?.cipherList = "nonsense"
        server.change(transport)
        let failures = Locked<UInt64>(0)
        server.loops[0].deliver(LoopMessage(.snapshot { snapshot in failures.withLock { $0 = snapshot.contextFailures } }))
        #expect(failures.withLock { $0 } == 1)
        #expect(told.lines.count == 1 && told.lines[0].hasPrefix("\(server.address.description): ") && told.lines[0].contains("nonsense"), "\(told.lines)")
        var random = RandomSource(seed: 1)
        let client = Self.client(simulation, server, &random)
        server.run { client.wire.establishedNs != nil }
        #expect(client.wire.tls?.serverName == Self.names[0])
        client.client.close()
        server.stop()
        #expect(server.problems == [])
        withExtendedLifetime(client) {}
    }

    private static func client(_ simulation: Simulation, _ server: SimulatedServer, _ random: inout RandomSource) -> any CheckedClient {
        let count = random.within(1...8)
        let exchanges = (0..<count).map { Traffic.exchange($0, &random, last: $0 == count - 1, bytesMax: 10_000) }
        var options = ClientOptions()
        options.delayNs = 0...random.within(0...400_000)
        if random.chance(0.3) { options.serverSendBytes = random.within(200...5000) }
        let tls = ClientTLSOptions(version: random.chance(0.4) ? .tls12 : .tls13, protocols: random.chance(0.5) ? ["h2"] : [])
        guard tls.protocols.isEmpty else {
            return HTTP2TestClient(simulation, to: server.address, exchanges, options, RandomSource(seed: random.next()), tls: tls)
        }
        return TestClient(simulation, to: server.address, exchanges, .oneByOne, options, tls: tls)
    }

    /// Handshakes that stand still at every place when the certificate changes: they go on with the old one.
    @Test(arguments: [ClientTLSOptions.Version.tls12, .tls13]) func withinHandshakes(_ version: ClientTLSOptions.Version) {
        let simulation = Simulation(seed: 1)
        let server = SimulatedServer(simulation, transport: Self.transports[0])
        let contexts = Contexts()
        contexts.note(server)
        var random = RandomSource(seed: 1)
        let probe = ClientTLS(ClientTLSOptions(version: version))
        probe.handshake()
        let hello = probe.takeOutgoing().count
        func client(_ cut: ClientWire.Cut?) -> TestClient {
            let exchanges = (0..<3).map { Traffic.exchange($0, &random, last: false, bytesMax: 5000) }
            return TestClient(simulation, to: server.address, exchanges, .oneByOne, ClientOptions(), tls: ClientTLSOptions(version: version), cut: cut)
        }
        let places = Array(stride(from: 1, through: hello + 80, by: 9)) + [hello - 1, hello, hello + 1]
        let old = places.map { client(ClientWire.Cut(at: $0, steps: [.wait(5_000_000)])) }
        // Connected, and not a byte: its session is made of what the listener has when it comes.
        let silent = client(ClientWire.Cut(at: 0, steps: [.wait(5_000_000)]))
        simulation.schedule(after: 2_000_000) {
            server.change(Self.transports[1])
            contexts.note(server)
        }
        var isLater = false
        simulation.schedule(after: 3_000_000) { isLater = true }
        server.run { isLater }
        #expect(contexts.alive == 2 && server.loops[0].handshakesOpen > 0 && contexts.sessions == places.count)
        let new = client(nil)
        server.run { (old + [silent, new]).allSatisfy(\.isDone) }
        for (place, client) in zip(places, old) {
            #expect(client.problem == nil && client.wire.tls?.serverName == "sim.example", "cut at \(place): \(client.wire.tls?.serverName ?? "")")
        }
        for client in [silent, new] { #expect(client.problem == nil && client.wire.tls?.serverName == "one.example") }
        for client in old + [silent, new] { client.client.close() }
        server.run { server.loops[0].connectionsOpen == 0 }
        #expect(contexts.sessions == 0 && contexts.alive == 1)
        server.stop()
        #expect(contexts.alive == 0)
        #expect(server.problems == [])
        withExtendedLifetime((old, silent, new)) {}
    }

    /// A listener that changes between TLS and clear: who began goes on with what he speaks.
    @Test(arguments: seeds(6)) func betweenClearAndTLS(_ seed: UInt64) {
        let simulation = Simulation(seed: seed, faults: .chaos)
        let startsSecure = seed % 2 == 0
        let before = startsSecure ? Self.transports[0] : ListenerTransport()
        let after = startsSecure ? ListenerTransport() : Self.transports[0]
        let server = SimulatedServer(simulation, transport: before)
        let contexts = Contexts()
        contexts.note(server)
        var random = RandomSource(seed: seed)
        func client(isSecure: Bool) -> TestClient {
            let exchanges = (0..<6).map { Traffic.exchange($0, &random, last: false, bytesMax: 5000) }
            var options = ClientOptions()
            options.delayNs = 1000...50_000
            return TestClient(simulation, to: server.address, exchanges, .oneByOne, options, tls: isSecure ? ClientTLSOptions() : nil)
        }
        let old = (0..<4).map { _ in client(isSecure: startsSecure) }
        server.run { old.allSatisfy { $0.answered > 0 } }
        server.change(after)
        contexts.note(server)
        let new = (0..<4).map { _ in client(isSecure: !startsSecure) }
        server.run { (old + new).allSatisfy(\.isDone) }
        for client in old + new { #expect(client.problem == nil, "seed \(seed)") }
        for client in old + new { client.client.close() }
        server.run { server.loops[0].connectionsOpen == 0 }
        #expect(contexts.alive == (startsSecure ? 0 : 1), "seed \(seed)")
        server.stop()
        #expect(contexts.alive == 0)
        #expect(server.problems == [], "seed \(seed)")
        withExtendedLifetime((old, new)) {}
    }
}
