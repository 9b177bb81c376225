// Resumption in the simulated world: tickets, session ids and pre-shared keys of clients that come back, to any loop, with every fault; and the
// full handshake when the keys have gone. A failure prints its seed.

import Testing
import UringServer
import UringSimulation
import UringTLS

@Suite struct ResumptionSimulationTests {
    /// What a client resumes by.
    enum Kind: CaseIterable { case preSharedKey, ticket, sessionID }

    /// One server, and clients that come back.
    private final class Visits {
        let simulation: Simulation
        let server: SimulatedServer
        var random: RandomSource
        /// Every context that the server had, those of a reload included.
        var contexts: [TLSContext] = []
        var problems: [String] = []
        /// The simulation calls them as long as it runs.
        private var clients: [any CheckedClient] = []

        init(_ seed: UInt64, _ faults: FaultPlan = .none, loops: Int = 1, tls: TLSConfiguration) {
            var faults = faults
            // The calendar decides about tickets: it is this test's.
            faults.clockStep = 0
            simulation = Simulation(seed: seed, faults: faults)
            random = RandomSource(seed: seed &* 77)
            var transport = ListenerTransport()
            transport.tls = tls
            server = SimulatedServer(simulation, loops: loops, transport: transport)
            noteContexts()
        }

        func noteContexts() { contexts += server.loops.compactMap { $0.tlsContext() } }

        func change(_ tls: TLSConfiguration) {
            var transport = ListenerTransport()
            transport.tls = tls
            server.change(transport)
            noteContexts()
        }

        /// Lets calendar and clock advance, so that loops look at their keys.
        func pass(days: Int) {
            simulation.stepUnixTime(Int64(days) * 86_400)
            var isLater = false
            simulation.schedule(after: 3_000_000_000) { isLater = true }
            server.run { isLater }
        }

        func options(_ kind: Kind, _ session: ClientSession?) -> ClientTLSOptions {
            var options = ClientTLSOptions(version: kind == .preSharedKey ? .tls13 : .tls12)
            (options.takesTickets, options.session) = (kind != .sessionID, session)
            return options
        }

        /// One client for each entry, all at once; they are answered in full.
        func visit(_ kinds: [Kind], _ sessions: [ClientSession?], cuts: [ClientWire.Cut?] = []) -> [any CheckedClient] {
            let clients = kinds.indices.map { index in
                var tls = options(kinds[index], sessions[index])
                var options = ClientOptions()
                options.delayNs = 0...random.within(0...100_000)
                if random.chance(0.3) { options.serverSendBytes = random.within(200...3000) }
                let exchanges = (0..<random.within(1...4)).map { Traffic.exchange($0, &random, last: false, bytesMax: 5000) }
                if cuts.isEmpty, random.chance(0.5) {
                    tls.protocols = ["h2"]
                    return HTTP2TestClient(simulation, to: server.address, exchanges, options, RandomSource(seed: random.next()), tls: tls, resets: false) as any CheckedClient
                }
                return TestClient(simulation, to: server.address, exchanges, .oneByOne, options, tls: tls, cut: cuts.isEmpty ? nil : cuts[index])
            }
            self.clients += clients
            server.run { clients.allSatisfy(\.isDone) }
            for (index, client) in clients.enumerated() {
                if let problem = client.problem { problems.append("\(kinds[index]) \(index): \(problem)") }
                if !client.isDone { problems.append("\(kinds[index]) \(index): not answered") }
            }
            return clients
        }

        func count(_ what: KeyPath<TLSCounters, UInt64>) -> Int { contexts.reduce(0) { $0 + Int($1.counters[keyPath: what]) } }

        func end() -> [String] {
            server.stop()
            if contexts.contains(where: { $0.sessionCount != 0 }) { problems.append("sessions are left") }
            if contexts.contains(where: { $0.counters.failedTotal + $0.counters.abandoned != 0 }) { problems.append("handshakes failed") }
            return problems + server.problems
        }
    }

    private func configuration(rotateSeconds: Int64 = 12 * 3600, seed: UInt8 = 1) -> TLSConfiguration {
        var configuration = SimulatedCertificate.configuration
        let bytes = [UInt8](repeating: seed, count: 32)
        let secret = unsafe bytes.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
        configuration.sessionTickets = .derived(secret: secret, rotateSeconds: rotateSeconds)
        configuration.sessionCache = TLSSessionCache()
        return configuration
    }

    private func last(_ clients: [any CheckedClient]) -> [ClientSession?] { clients.map { $0.wire.tls?.sessions.last } }

    /// First visits, which are full handshakes; second visits, which resume; then the keys go, by the calendar or by a reload, and the third
    /// are full again; the fourth resume by what the third were given.
    @Test(arguments: seeds(12)) func fourVisits(_ seed: UInt64) {
        let visits = Visits(seed, .chaos, loops: 1 + Int(seed % 3), tls: configuration())
        let kinds = Kind.allCases + Kind.allCases
        let total = kinds.count
        let first = visits.visit(kinds, kinds.map { _ in nil })
        #expect(visits.count(\.full) == total && visits.count(\.fallback) == 0, "seed \(seed)")
        let second = visits.visit(kinds, last(first))
        #expect(second.allSatisfy { $0.wire.tls?.isResumed == true }, "seed \(seed)")
        #expect(visits.count(\.preSharedKey) == 2 && visits.count(\.ticket) == 2 && visits.count(\.sessionID) == 2, "seed \(seed)")
        if seed % 2 == 0 { visits.pass(days: 3) } else { visits.change(configuration(seed: 2)) }
        let third = visits.visit(kinds, last(first))
        #expect(third.allSatisfy { $0.wire.tls?.isResumed == false }, "seed \(seed)")
        #expect(visits.count(\.full) == 2 * total && visits.count(\.fallback) == total, "seed \(seed)")
        let fourth = visits.visit(kinds, last(third))
        #expect(fourth.allSatisfy { $0.wire.tls?.isResumed == true }, "seed \(seed)")
        #expect(visits.count(\.full) == 2 * total && visits.count(\.fallback) == total, "seed \(seed)")
        #expect(visits.end() == [], "seed \(seed)")
    }

    /// The key of the epoch before still opens what it has sealed; the client is given a ticket of the new one.
    @Test(arguments: seeds(4)) func keysRotate(_ seed: UInt64) {
        let visits = Visits(seed, .chaos, tls: configuration(rotateSeconds: 86_400))
        let kinds = [Kind.preSharedKey, .ticket]
        let first = visits.visit(kinds, [nil, nil])
        visits.pass(days: 1)
        #expect(visits.visit(kinds, last(first)).allSatisfy { $0.wire.tls?.isResumed == true }, "seed \(seed)")
        visits.pass(days: 1)
        #expect(visits.visit(kinds, last(first)).allSatisfy { $0.wire.tls?.isResumed == false }, "seed \(seed)")
        #expect(visits.end() == [], "seed \(seed)")
    }

    /// Without tickets, TLS 1.3 resumes from the cache that loops share.
    @Test(arguments: seeds(4)) func ticketsOff(_ seed: UInt64) {
        var tls = configuration()
        tls.sessionTickets = .off
        let visits = Visits(seed, .chaos, loops: 2, tls: tls)
        let first = visits.visit(Kind.allCases, [nil, nil, nil])
        let second = visits.visit(Kind.allCases, last(first))
        #expect(second.allSatisfy { $0.wire.tls?.isResumed == true }, "seed \(seed)")
        #expect(visits.count(\.preSharedKey) == 1 && visits.count(\.sessionID) == 2 && visits.count(\.ticket) == 0, "seed \(seed)")
        #expect(visits.end() == [], "seed \(seed)")
    }

    /// What the client sends to resume, torn at every byte.
    @Test(arguments: [Kind.preSharedKey, .ticket]) func everyCut(_ kind: Kind) {
        let visits = Visits(1, tls: configuration())
        let first = visits.visit([kind], [nil])
        let probe = ClientTLS(visits.options(kind, last(first)[0]))
        probe.handshake()
        // The hello, and what follows it until the handshake is complete.
        let bytes = probe.takeOutgoing().count + (kind == .preSharedKey ? 80 : 57)
        let cuts = (1...bytes).map { ClientWire.Cut(at: $0, steps: [.wait(200_000)]) }
        let clients = visits.visit(cuts.map { _ in kind }, cuts.map { _ in last(first)[0] }, cuts: cuts)
        #expect(clients.allSatisfy { $0.wire.tls?.isResumed == true })
        #expect(visits.count(\.full) == 1 && visits.count(\.fallback) == 0)
        #expect(visits.end() == [])
    }
}
