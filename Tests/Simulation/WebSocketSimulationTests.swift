// WebSockets of the whole server in a simulated world: faults, cuts at every byte, peers that leave, and time.

import Synchronization
import TestSupport
import Testing
import UringHTTP1
import UringHTTP2
import UringServer
import UringSimulation

@Suite struct WebSocketSimulationTests {
    /// What handlers were told, over all sockets.
    final class Counts: Sendable {
        let opened = Atomic<Int>(0)
        let closed = Atomic<Int>(0)
        let lastCode = Atomic<Int>(0)
    }

    static func handler(_ options: WebSocketOptions = WebSocketOptions(), _ counts: Counts, _ then: @escaping @Sendable (WebSocket) -> Void = { _ in }) -> HandlerBox {
        HandlerBox(handle: { _, response in
            response.webSocket(options) { socket, event in
                switch event {
                case .opened:
                    counts.opened.add(1, ordering: .relaxed)
                    then(socket)
                case .message(let message): socket.send(message)
                case .writable: break
                case .closed(let close):
                    counts.closed.add(1, ordering: .relaxed)
                    counts.lastCode.store(Int(close.code.rawValue), ordering: .relaxed)
                }
            }
        })
    }

    private struct World {
        var faults = FaultPlan.none
        var peers = 12
        var isSecure = false
        var messagesMax = 12
        var bytesMax = 30_000
        var breaks = false
        var configure: (inout LoopConfiguration) -> Void = { _ in }
    }

    /// Every message comes back, in order, whatever the kernel does; nothing is left behind, and every handler hears of the end.
    private func play(_ seed: UInt64, _ world: World) -> [String] {
        let simulation = Simulation(seed: seed, faults: world.faults)
        let counts = Counts()
        var transport = ListenerTransport()
        if world.isSecure { transport.tls = SimulatedCertificate.configuration }
        let server = SimulatedServer(simulation, handler: Self.handler(WebSocketOptions(), counts), transport: transport) {
            $0.http2.local = .init(streamWindowBytes: 1 << 22, connectionWindowBytes: 1 << 22, extendedConnect: true)
            world.configure(&$0)
        }
        var random = RandomSource(seed: seed ^ 0x5A5A)
        let peers = (0..<world.peers).map { _ in
            var options = ClientOptions()
            options.delayNs = random.chance(0.3) ? 0...0 : 1000...random.within(2000...200_000)
            if random.chance(0.5) { options.serverSendBytes = random.within(200...5000) }
            if random.chance(0.3) { options.serverReceiveBytes = random.within(100...3000) }
            if random.chance(0.3) { options.readBytes = 1...random.within(2...3000) }
            let http2 = random.chance(0.5)
            var tls: ClientTLSOptions?
            if world.isSecure { tls = ClientTLSOptions(protocols: http2 ? ["h2"] : ["http/1.1"]) }
            let messages = (0..<random.within(0...world.messagesMax)).map { _ in
                random.chance(0.2)
                    ? WireFrame(opcode: 9, payload: [1])
                    : WireFrame(opcode: 2, payload: Traffic.pattern(random.below(100), random.chance(0.7) ? random.below(300) : random.below(world.bytesMax)))
            }
            return WebSocketPeer(simulation, to: server, http2: http2, messages, options: options, tls: tls)
        }
        server.run { peers.allSatisfy { $0.isDone || (world.breaks && !$0.wire.isOpen) } }
        server.stop()
        for _ in 0..<600 where !peers.allSatisfy(\.isDone) && simulation.violations.isEmpty { simulation.advance(byNs: 1_000_000_000) }
        var problems = simulation.violations + (simulation.violations.isEmpty ? server.problems : [])
        for (index, peer) in peers.enumerated() where peer.problem != nil || !peer.isDone && !(world.breaks && !peer.wire.isOpen) { problems.append("peer \(index): \(peer.state)") }
        let (opened, closed) = (counts.opened.load(ordering: .relaxed), counts.closed.load(ordering: .relaxed))
        if opened != closed { problems.append("\(opened) opened, \(closed) closed") }
        if !world.breaks, opened != world.peers { problems.append("\(opened) opened") }
        return problems
    }

    @Test(arguments: FaultPlan.each.map(\.name)) func eachFault(_ name: String) {
        let plan = FaultPlan.each.first { $0.name == name }!.plan
        for seed in seeds(4) { #expect(play(seed, World(faults: plan)) == [], "seed \(seed)") }
    }

    @Test func chaos() {
        for seed in seeds(40) { #expect(play(seed, World(faults: .chaos)) == [], "seed \(seed)") }
    }

    @Test func chaosOverTLS() {
        for seed in seeds(15) { #expect(play(seed, World(faults: .chaos, isSecure: true)) == [], "seed \(seed)") }
    }

    /// The network breaks connections anywhere.
    @Test func resets() {
        var faults = FaultPlan.chaos
        faults.reset = 0.01
        for seed in seeds(30) { #expect(play(seed, World(faults: faults, isSecure: seed % 2 == 0, breaks: true)) == [], "seed \(seed)") }
    }

    /// Hardly any receive buffers, and little room for output.
    @Test func scarcity() {
        for seed in seeds(20) {
            let problems = play(seed, World(faults: .chaos, peers: 20, configure: {
                $0.receiveBuffers = 2
                $0.receiveBufferBytes = 256
                $0.keepAlive.outputBytesMax = 2000
            }))
            #expect(problems == [], "seed \(seed)")
        }
    }

    /// What a client sends, torn at every byte; and a client that leaves there.
    @Test(arguments: [false, true], [nil, SimulatedClient.Step.wait(1_000_000), .reset, .halfClose, .close].map(CutStep.init)) func cuts(_ http2: Bool, _ step: CutStep) {
        let messages = [WireFrame.text("one"), WireFrame(opcode: 9, payload: [5]), WireFrame(opcode: 2, payload: [UInt8](repeating: 7, count: 130))]
        for at in stride(from: 1, to: 500, by: 1) {
            let simulation = Simulation(seed: UInt64(at))
            let counts = Counts()
            let server = SimulatedServer(simulation, handler: Self.handler(WebSocketOptions(), counts)) { $0.http2.local = .init(extendedConnect: true) }
            let leaves = step.step.map { if case .wait = $0 { false } else { true } } ?? false
            let cut = ClientWire.Cut(at: at, steps: step.step.map { [$0] } ?? [], leaves: leaves)
            let peer = WebSocketPeer(simulation, to: server, http2: http2, messages, cut: cut)
            server.run { peer.isDone || !peer.wire.isOpen }
            let isBeyond = !peer.wire.hasLeft && leaves
            server.stop()
            if !leaves || isBeyond { #expect(peer.isDone && peer.problem == nil, "cut at \(at): \(peer.state)") }
            #expect(server.problems == [], "cut at \(at)")
            #expect(counts.opened.load(ordering: .relaxed) == counts.closed.load(ordering: .relaxed), "cut at \(at)")
            // Behind the last byte.
            if peer.wire.putCount < at { break }
        }
    }

    struct CutStep: Sendable, CustomStringConvertible {
        let step: SimulatedClient.Step?
        init(_ step: SimulatedClient.Step?) { self.step = step }
        var description: String { step.map { "\($0)" } ?? "none" }
    }

    // MARK: time

    private struct Seen {
        var seconds: Double
        var code: Int
        var closeCode: Int?
    }

    /// One client that has opened a socket and goes on as `answers` says, until its connection has ended.
    private func see(
        _ options: WebSocketOptions, http2: Bool = false, answers: Bool = true, reads: Bool = true, messages: [WireFrame] = [], then: @escaping @Sendable (WebSocket) -> Void = { _ in },
        during: (SimulatedServer, WebSocketPeer, Simulation) -> Void = { _, _, _ in }
    ) -> Seen {
        let simulation = Simulation(seed: 3)
        let counts = Counts()
        let server = SimulatedServer(simulation, handler: Self.handler(options, counts, then)) { $0.http2.local = .init(extendedConnect: true) }
        let began = simulation.now
        var client = ClientOptions()
        client.reads = reads
        client.serverSendBytes = 3000
        let peer = WebSocketPeer(simulation, to: server, http2: http2, messages, closes: false, options: client)
        peer.answers = answers
        server.run { counts.opened.load(ordering: .relaxed) == 1 }
        during(server, peer, simulation)
        server.run { counts.closed.load(ordering: .relaxed) == 1 || simulation.now - began > 1_000_000_000_000 }
        let seconds = Double(simulation.now - began) / 1e9
        let code = counts.lastCode.load(ordering: .relaxed)
        server.stop()
        #expect(server.problems == [])
        return Seen(seconds: seconds, code: code, closeCode: peer.closeCode)
    }

    @Test(arguments: [false, true]) func aClientThatDoesNotAnswerPing(_ http2: Bool) {
        let seen = see(WebSocketOptions(), http2: http2, answers: false)
        #expect(seen.code == 1006 && seen.seconds >= 50 && seen.seconds < 51, "\(seen)")
    }

    @Test(arguments: [false, true]) func aClientThatDoes(_ http2: Bool) {
        let seen = see(WebSocketOptions(), http2: http2)
        // The test's patience.
        #expect(seen.code == 0 && seen.seconds > 900, "\(seen)")
    }

    @Test(arguments: [false, true]) func idle(_ http2: Bool) {
        var options = WebSocketOptions()
        options.idleTimeout = .seconds(100)
        let seen = see(options, http2: http2)
        #expect(seen.code == 1000 && seen.closeCode == 1000 && seen.seconds >= 100 && seen.seconds < 101, "\(seen)")
    }

    @Test(arguments: [false, true]) func aCloseThatIsNotAnswered(_ http2: Bool) {
        let seen = see(WebSocketOptions(), http2: http2, answers: false, then: { $0.close(.normal) })
        #expect(seen.code == 1006 && seen.closeCode == 1000 && seen.seconds >= 5 && seen.seconds < 6, "\(seen)")
    }

    @Test(arguments: [false, true]) func drainAmongTheMute(_ http2: Bool) {
        var seconds = 0.0
        let seen = see(WebSocketOptions(), http2: http2, answers: false, during: { server, peer, simulation in
            let began = simulation.now
            for loop in server.loops { loop.deliver(LoopMessage(.drain(sparesIdle: false))) }
            server.run { server.loops.allSatisfy(\.isFinished) }
            seconds = Double(simulation.now - began) / 1e9
        })
        #expect(seen.closeCode == 1001 && seen.code == 1006)
        #expect(seconds >= 5 && seconds < 11, "\(seconds)")
    }

    /// Not a byte is read: the client is told, and gone before the write timeout.
    @Test(arguments: [false, true]) func aClientThatDoesNotRead(_ http2: Bool) {
        var options = WebSocketOptions()
        options.limits.queuedBytes = 20_000
        let seen = see(options, http2: http2, reads: false, then: { socket in
            for _ in 0..<200 { socket.send([UInt8](repeating: 1, count: 1000)) }
        })
        #expect(seen.code == 1006 && seen.seconds >= 5 && seen.seconds < 7, "\(seen)")
    }
}
