// WebSockets of async handlers in a simulated world: short sends, starved receives, resets at any point, drains. Every message comes back in order, and when a world ends no handler is
// left. A failure prints its seed; `SIMULATION_SEED=n swift test --filter AsyncWebSocketSimulationTests` repeats exactly that run.

import Synchronization
import TestSupport
import Testing
import UringHTTP1
import UringHTTP2
import UringServer
import UringSimulation

@Suite struct AsyncWebSocketSimulationTests {
    final class Counts: Sendable {
        let begun = Atomic<Int>(0)
        let ended = Atomic<Int>(0)
        let elsewhere = Atomic<Int>(0)
    }

    /// Sends everything back, in one of several ways, with waits between.
    private static func handler(_ options: WebSocketOptions, _ counts: Counts) -> HandlerBox {
        HandlerBox(handle: { _, response in
            response.webSocket(options) { socket in
                let number = counts.begun.add(1, ordering: .relaxed).newValue
                defer { counts.ended.add(1, ordering: .relaxed) }
                switch number % 3 {
                case 0: for try await message in socket.messages { try await socket.send(message) }
                case 1:
                    for try await message in socket.messages {
                        try await socket.loop.sleep(for: .microseconds(message.count % 700))
                        try await socket.send(message)
                        if ServerLoop.current == nil { counts.elsewhere.add(1, ordering: .relaxed) }
                    }
                default: try await relay(socket)
                }
            }
        })
    }

    /// One task reads, another writes.
    private static func relay(_ socket: AsyncWebSocket) async throws {
        let (messages, continuation) = AsyncStream.makeStream(of: AsyncWebSocket.Message.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { continuation.finish() }
                for try await message in socket.messages { continuation.yield(message) }
            }
            group.addTask { for await message in messages { try await socket.send(message) } }
            try await group.waitForAll()
        }
    }

    private struct World {
        var faults = FaultPlan.none
        var peers = 8
        var isSecure = false
        var bytesMax = 30_000
        var unreadMessages = 16
        var breaks = false
        var drainAfterNs: Int?
        var configure: (inout LoopConfiguration) -> Void = { _ in }
    }

    private func play(_ seed: UInt64, _ world: World) -> [String] {
        let simulation = Simulation(seed: seed, faults: world.faults)
        let counts = Counts()
        var transport = ListenerTransport()
        if world.isSecure { transport.tls = SimulatedCertificate.configuration }
        var options = WebSocketOptions()
        options.limits.unreadMessages = world.unreadMessages
        let server = SimulatedServer(simulation, handler: Self.handler(options, counts), transport: transport) {
            $0.http2.local = .init(streamWindowBytes: 1 << 22, connectionWindowBytes: 1 << 22, extendedConnect: true)
            world.configure(&$0)
        }
        var random = RandomSource(seed: seed ^ 0xA5A5)
        let peers = (0..<world.peers).map { _ in
            var options = ClientOptions()
            options.delayNs = random.chance(0.3) ? 0...0 : 1000...random.within(2000...200_000)
            if random.chance(0.5) { options.serverSendBytes = random.within(200...5000) }
            if random.chance(0.3) { options.serverReceiveBytes = random.within(100...3000) }
            if random.chance(0.3) { options.readBytes = 1...random.within(2...3000) }
            let http2 = random.chance(0.5)
            var tls: ClientTLSOptions?
            if world.isSecure { tls = ClientTLSOptions(protocols: http2 ? ["h2"] : ["http/1.1"]) }
            let messages = (0..<random.within(0...40)).map { _ in
                WireFrame(opcode: 2, payload: Traffic.pattern(random.below(100), random.chance(0.8) ? random.below(300) : random.below(world.bytesMax)))
            }
            return WebSocketPeer(simulation, to: server, http2: http2, messages, whenDone: true, options: options, tls: tls)
        }
        let isOver = { peers.allSatisfy { $0.isDone || (world.breaks && !$0.wire.isOpen) } }
        if let after = world.drainAfterNs {
            let end = simulation.now + UInt64(after)
            server.run { simulation.now >= end || isOver() }
        } else {
            server.run(until: isOver)
        }
        server.stop()
        for _ in 0..<600 where !isOver() && simulation.violations.isEmpty && world.drainAfterNs == nil { simulation.advance(byNs: 1_000_000_000) }
        var problems = simulation.violations + (simulation.violations.isEmpty ? server.problems : [])
        for (index, peer) in peers.enumerated() where peer.problem != nil || world.drainAfterNs == nil && !peer.isDone && !(world.breaks && !peer.wire.isOpen) {
            problems.append("peer \(index): \(peer.state)")
        }
        let (begun, ended) = (counts.begun.load(ordering: .relaxed), counts.ended.load(ordering: .relaxed))
        if begun != ended { problems.append("\(begun) begun, \(ended) ended") }
        if !world.breaks, world.drainAfterNs == nil, begun != world.peers { problems.append("\(begun) begun") }
        if counts.elsewhere.load(ordering: .relaxed) > 0 { problems.append("a handler went on elsewhere") }
        return problems
    }

    @Test(arguments: FaultPlan.each.map(\.name)) func eachFault(_ name: String) {
        let plan = FaultPlan.each.first { $0.name == name }!.plan
        for seed in seeds(3) { #expect(play(seed, World(faults: plan)) == [], "seed \(seed)") }
    }

    @Test(arguments: [1, 16]) func chaos(_ unread: Int) {
        for seed in seeds(20) { #expect(play(seed, World(faults: .chaos, unreadMessages: unread)) == [], "seed \(seed)") }
    }

    @Test func chaosOverTLS() {
        for seed in seeds(10) { #expect(play(seed, World(faults: .chaos, isSecure: true, unreadMessages: 3)) == [], "seed \(seed)") }
    }

    /// Short sends, and a network that breaks connections anywhere.
    @Test func resets() {
        var faults = FaultPlan.chaos
        faults.reset = 0.01
        for seed in seeds(30) { #expect(play(seed, World(faults: faults, isSecure: seed % 2 == 0, breaks: true)) == [], "seed \(seed)") }
    }

    /// Hardly any receive buffers, and little room for output.
    @Test func scarcity() {
        for seed in seeds(15) {
            let problems = play(seed, World(faults: .chaos, peers: 20, unreadMessages: 2, configure: {
                $0.receiveBuffers = 2
                $0.receiveBufferBytes = 256
                $0.keepAlive.outputBytesMax = 2000
            }))
            #expect(problems == [], "seed \(seed)")
        }
    }

    @Test func drainUnderLoad() {
        for seed in seeds(25) {
            #expect(play(seed, World(faults: .chaos, unreadMessages: 4, drainAfterNs: 150_000 * Int(seed % 40))) == [], "seed \(seed)")
        }
    }
}
